"""Parallel text as token ids."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minigrad.data.corpus import Skipped, TextPairs
from minigrad.data.tokenizer import Tokenizer
from minigrad.data.vocabulary import UNK
from minigrad.errors import DataError


@dataclass
class ParallelText:
    """Sentences and their translations, as text and as ids; entry ``i`` of all four lists is the same pair.

    Attributes:
        text: the pairs that were kept, as they were read: the references of an evaluation.
        sources, targets: their ids, int32 arrays ``(time,)`` without ``<bos>`` and ``<eos>``.
        skipped: what was left out, by the reader and for its length in tokens.
    """

    text: TextPairs
    sources: list[np.ndarray]
    targets: list[np.ndarray]
    skipped: Skipped

    @classmethod
    def encode(
        cls,
        pairs: TextPairs,
        tokenizer: Tokenizer,
        target_tokenizer: Tokenizer | None = None,
        *,
        max_tokens: int | None = None,
    ) -> "ParallelText":
        """Numbers the tokens of pairs.

        Args:
            pairs: the text.
            tokenizer: that of both sides, or of the source alone where there is a ``target_tokenizer``.
            target_tokenizer: that of the target.
            max_tokens: pairs with more tokens than this on a side are skipped, and counted. An evaluation, whose score is
                over every pair, has none, or only that of the memory at hand.

        Raises:
            DataError: no pair is left.
        """
        sources = _arrays(tokenizer.encode_all(pairs.sources))
        targets = _arrays((target_tokenizer or tokenizer).encode_all(pairs.targets))
        kept, skipped = [], Skipped()
        for index, (source, target) in enumerate(zip(sources, targets)):
            if not source.size or not target.size:
                skipped.empty += 1
            elif max_tokens is not None and max(source.size, target.size) > max_tokens:
                skipped.long += 1
            else:
                kept.append(index)
        skipped = pairs.skipped + skipped
        if not kept:
            raise DataError(f"no pair has at most {max_tokens} tokens on each side (skipped: {skipped}); allow longer ones")
        text = TextPairs([pairs.sources[i] for i in kept], [pairs.targets[i] for i in kept], pairs.skipped)
        return cls(text, [sources[i] for i in kept], [targets[i] for i in kept], skipped)

    def __len__(self) -> int:
        return len(self.sources)

    @property
    def lengths(self) -> np.ndarray:
        """The tokens of each source and target, int64 ``(pairs, 2)``."""
        return np.array([[array.size for array in side] for side in (self.sources, self.targets)], dtype=np.int64).T

    def describe(self) -> str:
        """One line: pairs, tokens, mean and greatest length and share of unknown tokens of each side, pairs skipped."""
        sides = [f"{len(self):,} pairs", _described("source", self.sources), _described("target", self.targets)]
        return "; ".join([*sides, f"skipped: {self.skipped}"] if self.skipped else sides)


def _arrays(sequences: Sequence[Sequence[int]]) -> list[np.ndarray]:
    return [np.array(ids, dtype=np.int32) for ids in sequences]


def _described(side: str, arrays: list[np.ndarray]) -> str:
    ids = np.concatenate(arrays)
    longest = max(array.size for array in arrays)
    unknown = np.count_nonzero(ids == UNK) / ids.size
    return f"{side} {ids.size:,} tokens (mean {ids.size / len(arrays):.1f}, longest {longest:,}, {unknown:.2%} unknown)"
