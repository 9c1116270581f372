"""What may have been meant by a word that is not there."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

_CANDIDATES = 2000  # difflib compares some 50,000 pairs a second
_ALPHABET = 1000  # words whose characters are those of the language


def near_spellings(word: str, words: Sequence[str], index_of: Mapping[str, int], count: int = 3) -> list[str]:
    """Up to ``count`` words spelled like ``word``: those that differ in case alone, then by one edit, then more.

    The answer is quick in a vocabulary of a million: edits are looked up, and only if that finds too little is the word
    compared with others, the first 2,000 with the same first letter and about the same length. ``words`` are taken to be
    sorted by their frequency: of two words, the more frequent one is offered first.
    """
    found = [form for form in (word.lower(), word.capitalize(), word.upper(), word.title()) if form in index_of]
    alphabet = sorted(set("".join(words[:_ALPHABET])))
    found += sorted({form for form in _edited(word, alphabet) if form in index_of}, key=lambda form: index_of[form])
    if len(set(found)) < count:
        first = word[:1].lower()
        alike = (other for other in words if other[:1].lower() == first and abs(len(other) - len(word)) <= 2)
        lowered: dict[str, str] = {}
        for other in islice(alike, _CANDIDATES):
            lowered.setdefault(other.lower(), other)
        found += [lowered[form] for form in difflib.get_close_matches(word.lower(), lowered, n=count)]
    return list(dict.fromkeys(found))[:count]


def _edited(word: str, alphabet: Sequence[str]) -> Iterator[str]:
    """The word with one character left out, two neighbours exchanged, or one character replaced or put in."""
    for i in range(len(word) + 1):
        head, tail = word[:i], word[i:]
        yield head + tail[1:]
        yield head + tail[1:2] + tail[:1] + tail[2:]
        for character in alphabet:
            yield head + character + tail[1:]
            yield head + character + tail
