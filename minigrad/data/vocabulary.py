"""Tokens and their numbers."""

from collections import Counter
from collections.abc import Iterable, Mapping

from minigrad.errors import DataError

SPECIALS = ("<pad>", "<unk>", "<bos>", "<eos>")
PAD, UNK, BOS, EOS = range(4)


class Vocabulary:
    """A list of tokens, each with its id: first the four specials, then the words.

    ``<pad>`` (0) fills a batch, ``<unk>`` (1) stands for any unknown token, ``<bos>`` (2) and ``<eos>`` (3) begin and end
    a sentence. A special's name inside a text is an unknown token, never the special: text cannot end its own sentence.

    Args:
        words: the tokens after the specials, in the order of their ids, each once.

    Raises:
        DataError: fewer than two words, a word twice, or something else than text.
    """

    def __init__(self, words: Iterable[str]):
        words = list(words)
        strange = [word for word in words if not isinstance(word, str)]
        if strange:
            raise DataError(f"a vocabulary is a list of words: got {strange[0]!r} among them; convert it to text first")
        if len(words) < 2:
            raise DataError(
                f"a vocabulary needs two different words besides its specials: got {words}; give more text, or lower min_count"
            )
        self.tokens: tuple[str, ...] = (*SPECIALS, *words)
        self._ids = {token: number for number, token in enumerate(self.tokens)}
        if len(self._ids) != len(self.tokens):
            twice = next(token for token, count in Counter(self.tokens).items() if count > 1)
            raise DataError(f"a vocabulary holds each token once: got {twice!r} twice")
        for special in SPECIALS:
            del self._ids[special]

    @classmethod
    def build(cls, counts: Mapping[str, int], *, min_count: int = 1, max_size: int | None = None) -> "Vocabulary":
        """The most frequent tokens, and equally frequent ones in the order of their characters.

        Args:
            counts: how often each token occurs.
            min_count: rarer tokens are left out.
            max_size: how many tokens to hold at most, specials included.
        """
        frequent = [(token, count) for token, count in counts.items() if count >= min_count and token not in SPECIALS]
        frequent.sort(key=lambda item: (-item[1], item[0]))
        room = None if max_size is None else max(0, max_size - len(SPECIALS))
        return cls(token for token, _ in frequent[:room])

    def encode(self, tokens: Iterable[str]) -> list[int]:
        """The ids of tokens; ``UNK`` for those it does not hold."""
        return [self._ids.get(token, UNK) for token in tokens]

    def decode(self, ids: Iterable[int]) -> list[str]:
        """The tokens of ids, specials included. Raises :class:`DataError` for an id outside ``[0, len(self))``."""
        tokens = self.tokens
        ids = [int(number) for number in ids]
        if ids and not 0 <= min(ids) <= max(ids) < len(tokens):
            outside = next(number for number in ids if not 0 <= number < len(tokens))
            raise DataError(f"a token id lies in [0, {len(tokens)}): got {outside}; these ids belong to another vocabulary")
        return [tokens[number] for number in ids]

    @property
    def words(self) -> list[str]:
        """The tokens without the specials: ``Vocabulary(v.words)`` is ``v`` again."""
        return list(self.tokens[len(SPECIALS) :])

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: str) -> bool:
        return token in self._ids

    def __repr__(self) -> str:
        return f"Vocabulary({len(self):,} tokens)"
