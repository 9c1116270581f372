"""Batches of like length, bounded by their tokens."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from minigrad.data.parallel import ParallelText
from minigrad.data.vocabulary import BOS, EOS, PAD
from minigrad.errors import DataError, UsageError


@dataclass
class Batch:
    """Sentences padded to a rectangle with ``PAD``; all arrays int64.

    Attributes:
        indices: ``(batch,)``, which pairs of the :class:`ParallelText` these are.
        source: ``(batch, source time)``, each row ``x <eos>``.
        target_input: ``(batch, target time)``, each row ``<bos> y``: what the decoder reads.
        target: ``(batch, target time)``, each row ``y <eos>``: what it is to predict at the same position.
    """

    indices: np.ndarray
    source: np.ndarray
    target_input: np.ndarray
    target: np.ndarray

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def target_tokens(self) -> int:
        """The number of targets that are no padding: what a mean loss divides by."""
        return int(np.count_nonzero(self.target != PAD))


class TokenBatches:
    """Cuts parallel text into batches of like length, anew for each epoch.

    An epoch's batches depend on the seed and the epoch alone, so that a run can continue in the middle of one.

    Args:
        text: the pairs.
        max_tokens: neither side of a batch takes more than this many ids, padding, ``<bos>`` and ``<eos>`` included:
            sentences times the longest of them.
        max_sentences: how many pairs a batch holds at most.
        shuffle: whether sentences of equal length, and then the batches, come in random order; else by length.
        seed: of the shuffling, not below 0.
        keep_long: whether a pair longer than ``max_tokens`` is a batch by itself (for evaluation); else it is left out, and
            counted in ``skipped``.

    Raises:
        UsageError: ``max_tokens`` or ``max_sentences`` below 1, or ``seed`` below 0.
        DataError: no pair fits.
    """

    def __init__(
        self,
        text: ParallelText,
        max_tokens: int,
        *,
        max_sentences: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        keep_long: bool = False,
    ):
        if max_tokens < 1 or (max_sentences is not None and max_sentences < 1) or seed < 0:
            raise UsageError(
                f"a batch holds at least one token and one sentence, and a seed is not below 0: "
                f"got max_tokens {max_tokens}, max_sentences {max_sentences}, seed {seed}"
            )
        self.text = text
        self.max_tokens, self.max_sentences = max_tokens, max_sentences
        self.shuffle, self.seed = shuffle, seed
        self._lengths = text.lengths + 1  # <eos> ends the source, <bos> or <eos> adds one to the target
        self._longest = self._lengths.max(axis=1)
        self._usable = np.arange(len(text)) if keep_long else np.flatnonzero(self._longest <= max_tokens)
        self.skipped = len(text) - len(self._usable)
        if not len(self._usable):
            shortest = min(self._longest, default=0)
            raise DataError(f"no pair fits into a batch of {max_tokens} tokens (the shortest has {shortest}): allow more")

    def plan(self, epoch: int = 0) -> list[np.ndarray]:
        """The batches of an epoch, each as the indices of its pairs; together they hold every usable pair once."""
        random = np.random.default_rng((self.seed, epoch))
        order = random.permutation(self._usable) if self.shuffle else self._usable
        source, target = self._lengths[order].T
        # By the longer side, which decides how many fit, then by each; stable: pairs of equal lengths keep their random order.
        order = order[np.lexsort((source, target, self._longest[order]))]
        batches = self._cut(order)
        if self.shuffle:
            batches = [batches[i] for i in random.permutation(len(batches))]
        return batches

    def epoch(self, epoch: int = 0, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, from number ``start`` on: those that ``plan(epoch)[start:]`` names."""
        for indices in self.plan(epoch)[start:]:
            yield self.batch(indices)

    def batch(self, indices: np.ndarray) -> Batch:
        """The pairs of these indices, padded."""
        sources = [self.text.sources[i] for i in indices]
        targets = [self.text.targets[i] for i in indices]
        return Batch(indices, pad(sources, last=EOS), pad(targets, first=BOS), pad(targets, last=EOS))

    def _cut(self, order: np.ndarray) -> list[np.ndarray]:
        """Sentences in order, cut where one more would pass a limit."""
        limit = len(order) if self.max_sentences is None else self.max_sentences
        batches, begin, longest = [], 0, 0
        for end, length in enumerate(self._longest[order].tolist()):
            longest = max(longest, length)
            size = end - begin + 1
            if end > begin and (size > limit or size * longest > self.max_tokens):
                batches.append(order[begin:end])
                begin, longest = end, length
        return [*batches, order[begin:]]


def pad(sequences: Sequence[np.ndarray], *, first: int | None = None, last: int | None = None) -> np.ndarray:
    """One int64 array ``(batch, time)`` of sequences of ids, each after ``first`` and before ``last``, then ``PAD``."""
    offset = first is not None
    padded = np.full((len(sequences), max(map(len, sequences)) + offset + (last is not None)), PAD, dtype=np.int64)
    if first is not None:
        padded[:, 0] = first
    for row, ids in zip(padded, sequences):
        row[offset : offset + len(ids)] = ids
        if last is not None:
            row[offset + len(ids)] = last
    return padded
