"""What may have been meant by a word that is not there."""

import difflib
from collections.abc import Mapping, Sequence
from itertools import islice

_CANDIDATES = 2000  # difflib compares some 50,000 pairs a second


def near_spellings(word: str, words: Sequence[str], index_of: Mapping[str, int], count: int = 3) -> list[str]:
    """Up to ``count`` words spelled like ``word``: first those that differ in case alone, then the most similar ones.

    Similar spellings are sought among the first 2,000 words with the same first letter and about the same length, so that the
    answer is quick in a vocabulary of a million. ``words`` are taken to be sorted by their frequency.
    """
    cased = [form for form in (word.lower(), word.capitalize(), word.upper(), word.title()) if form in index_of]
    first = word[:1].lower()
    alike = (other for other in words if other[:1].lower() == first and abs(len(other) - len(word)) <= 2)
    lowered: dict[str, str] = {}
    for other in islice(alike, _CANDIDATES):
        lowered.setdefault(other.lower(), other)
    close = difflib.get_close_matches(word.lower(), lowered, n=count)
    return list(dict.fromkeys([*cased, *(lowered[form] for form in close)]))[:count]
