"""Phrases: pairs of words that occur together far more often than by chance become words of their own, as ``new_york``.

Source: Mikolov et al., "Distributed Representations of Words and Phrases and their Compositionality", 2013, section 4.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minigrad.errors import UsageError
from minigrad.kernels.word_numbers import count_words
from minigrad.kernels.word_pairs import FREE, PairTable, count_pairs, fill, join_pairs, new_pair_table
from minigrad.word2vec.stream import NumberStream

MAX_SLOTS = 1 << 26  # of the table that counts pairs: 1 GB; when half are taken, the rarest pairs are forgotten
_FIRST_SLOTS = 1 << 16
_PIECE = 1 << 20


class Phrases:
    """Which pairs of words are phrases, found in one or several passes; later passes join phrases to longer ones.

    Args:
        words: the words before the first pass. Numbers from ``len(words)`` on are phrases, in the order of ``pairs``.
        passes: for each pass ``(phrases, 2)`` int32, the numbers of the two words, or phrases of earlier passes.
        separator: stands between the words of a phrase.
    """

    def __init__(self, words: Sequence[str], passes: Sequence[np.ndarray] = (), separator: str = "_") -> None:
        self.words, self.separator = list(words), separator
        self.passes: list[np.ndarray] = []
        self.names = list(words)
        """All names by number, words first, then phrases."""
        for pairs in passes:
            self._add(pairs)

    def find(self, stream: NumberStream, *, min_count: int = 5, threshold: float = 100.0) -> NumberStream:
        """One more pass: find phrases in a text, and join them.

        A pair is a phrase if ``(count(ab) - min_count) / (count(a) count(b)) * words > threshold``: the paper's score, times
        the number of words, so that the threshold does not depend on the length of the text.

        Args:
            stream: the text as earlier passes have left it, with unknown words in their places, so that nothing is joined
                across them.
            min_count: the discount (delta in the paper); pairs that are not more frequent are no phrases.
            threshold: the higher, the fewer phrases.

        Returns:
            the text with its new phrases joined.
        """
        if min_count < 1 or not threshold >= 0:
            raise UsageError(f"phrases need min_count of 1 or more and a threshold from 0: got {min_count} and {threshold}")
        counts = np.zeros(len(self.names), np.int64)
        for piece in stream.pieces(_PIECE):
            count_words(piece, counts)
        pairs, together = _frequent_pairs(stream, min_count)
        first, second = pairs >> 32, pairs & 0xFFFFFFFF
        score = (together - min_count) / (counts[first] * counts[second].astype(np.float64)) * stream.words
        chosen = np.flatnonzero(score > threshold)
        chosen = chosen[np.lexsort((pairs[chosen], -together[chosen]))]
        # What two different pairs spell alike, such as a_b + c and a + b_c, or a word of the text that looks so, is one word
        # to a reader: the first to come keeps the name.
        taken, fresh = set(self.names), []
        for k in chosen:
            name = f"{self.names[first[k]]}{self.separator}{self.names[second[k]]}"
            if name not in taken:
                taken.add(name)
                fresh.append(k)
        self._add(np.stack([first[fresh], second[fresh]], 1).astype(np.int32))
        return self._join(stream, len(self.passes) - 1)

    def join(self, stream: NumberStream) -> NumberStream:
        """Join the phrases of all passes in a text of the numbers of ``words``, unknown words in their places."""
        for number in range(len(self.passes)):
            stream = self._join(stream, number)
        return stream

    def _add(self, pairs: np.ndarray) -> None:
        names = [f"{self.names[a]}{self.separator}{self.names[b]}" for a, b in pairs]
        self.passes.append(pairs)
        self.names += names

    def _join(self, stream: NumberStream, number: int) -> NumberStream:
        pairs = self.passes[number].astype(np.int64)
        begin = len(self.words) + sum(len(earlier) for earlier in self.passes[:number])
        table = new_pair_table(max(16, 1 << (2 * len(pairs)).bit_length()))
        fill(table, (pairs[:, 0] << 32) | pairs[:, 1], np.arange(begin, begin + len(pairs)))
        joined, out = NumberStream(), np.empty(_PIECE, np.int32)
        for piece in stream.pieces(_PIECE):
            joined.append(out[: join_pairs(piece, table, out)])
        return joined


def _frequent_pairs(stream: NumberStream, min_count: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs that occur more than ``min_count`` times, and how often."""
    table, rare = new_pair_table(_FIRST_SLOTS), 1
    for piece in stream.pieces(_PIECE):
        start = 0
        while (start := count_pairs(piece, table, start)) < piece.size:
            if table.pairs.size < MAX_SLOTS:
                table = _rebuilt(table, 0, 2 * table.pairs.size)
            else:  # as the original program does when its table is full
                table = _rebuilt(table, rare, MAX_SLOTS)
                rare += 1
    kept = (table.pairs != FREE) & (table.values > min_count)
    return table.pairs[kept], table.values[kept]


def _rebuilt(table: PairTable, rare: int, slots: int) -> PairTable:
    """The pairs that occur more than ``rare`` times, in a table of ``slots`` slots."""
    kept = (table.pairs != FREE) & (table.values > rare)
    new = new_pair_table(slots)
    fill(new, table.pairs[kept], table.values[kept])
    return new
