"""The words of a text, counted and numbered: frequent ones first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from minigrad.errors import DataError, UsageError
from minigrad.kernels import word_numbers as kernel
from minigrad.kernels.threads import get_num_threads
from minigrad.word2vec.corpus import BLOCK, Corpus
from minigrad.word2vec.stream import NumberStream

MAX_DIFFERENT = 1 << 25  # words told apart while counting, some 2 GB of them; what is new after so many counts as unknown

Progress = Callable[[int, int, int], object]
"""Called while text is read, with the bytes read, the bytes in all (0: unknown) and the words so far."""


class Vocabulary:
    """Words and how often each occurs; a word's number is its place.

    Args:
        words: different words, at least two.
        counts: how often each occurs, each at least 1.

    Raises:
        DataError: fewer than two words, or one of them twice.
    """

    def __init__(self, words: Sequence[str], counts: Iterable[int]) -> None:
        self.words = list(words)
        self.counts = np.array(counts if isinstance(counts, np.ndarray) else list(counts), np.int64)
        if len(self.words) < 2:
            raise DataError(f"word vectors need at least two different words: got {self.words}; give more text")
        if len(set(self.words)) < len(self.words) or len(self.words) != self.counts.size or self.counts.min() < 1:
            raise DataError("a vocabulary holds each word once, with its count, 1 or more: got something else; count again")

    def __len__(self) -> int:
        return len(self.words)

    @property
    def total(self) -> int:
        """The number of words in the text, counting each occurrence."""
        return int(self.counts.sum())


class WordTable:
    """Numbers for byte strings, in the order in which they are first seen."""

    def __init__(self, words: Iterable[str] = ()) -> None:
        self._table = kernel.new_table(1 << 12, 1 << 16)
        self._out, self._misses = np.empty(0, np.int32), np.empty((2, 0), np.int32)
        text = "\n".join(words).encode("utf-8", "surrogateescape")
        for start in _line_starts(text):
            self.numbers(np.frombuffer(text[start[0] : start[1]], np.uint8), adding=True)

    def __len__(self) -> int:
        return int(self._table.size[0])

    def word(self, number: int) -> bytes:
        """The bytes of a word."""
        ends = self._table.ends
        return self._table.letters[ends[number] : ends[number + 1]].tobytes()

    def numbers(self, text: np.ndarray, adding: bool) -> list[np.ndarray]:
        """The numbers of the words of a text, with -1 for a line's end, in pieces that are overwritten by the next call.

        Args:
            text: ``(n,)`` uint8, cut between words.
            adding: give a number to new words; otherwise, and beyond ``MAX_DIFFERENT`` words, they are -2.
        """
        if text.size > self._out.size:
            self._out, self._misses = np.empty(text.size, np.int32), np.empty((2, text.size), np.int32)
        # The first texts teach the table nearly every word, one by one: that is no work to share.
        parts = get_num_threads() if text.size > 1 << 16 else 1
        found = kernel.numbers(text, self._table, self._out, self._misses, parts)
        if adding:
            for start, _, missed in found:
                self._add(text, int(start), int(start + missed))
        return [self._out[start:stop] for start, stop, _ in found]

    def _add(self, text: np.ndarray, first: int, stop: int) -> None:
        while (first := kernel.add(text, self._table, self._out, self._misses, first, stop)) < stop:
            if len(self) >= MAX_DIFFERENT:
                return
            words, letters = self._table.hashes.size, self._table.letters.size
            letters *= 2 if self._table.ends[len(self)] * 2 > letters else 1
            words *= 2 if len(self) * 2 > words else 1
            self._table = kernel.grown(self._table, words, letters + text.size)


def read_numbers(
    corpus: Corpus, table: WordTable, *, adding: bool = True, progress: Progress | None = None
) -> tuple[NumberStream, np.ndarray]:
    """Read a text once: number its words and count them.

    Args:
        corpus: the text.
        table: the words known; new ones are added, or with ``adding=False`` are unknown.
        progress: called from time to time.

    Returns:
        the text as numbers, unknown words -2, and ``(len(table),)`` int64, how often each word occurs.

    Raises:
        DataError: the text cannot be read, or has no words.
    """
    stream, counts = NumberStream(), np.zeros(max(1, len(table)), np.int64)
    piece = 1 << 16  # at first small, while most words are new
    for block in corpus.blocks():
        start = 0
        while start < block.size:
            stop = _between_words(block, start + piece)
            for numbers in table.numbers(block[start:stop], adding):
                if len(table) > counts.size:
                    counts = np.concatenate([counts, np.zeros(2 * len(table) - counts.size, np.int64)])
                kernel.count_words(numbers, counts)
                stream.append(numbers)
            start, piece = stop, min(2 * piece, BLOCK)
        if progress is not None:
            progress(corpus.position, corpus.size, stream.words)
    if not stream.words:
        raise DataError(f"{corpus} holds no {'words' if adding else 'known word'}: give a text of at least a few sentences")
    return stream, counts[: len(table)]


def choose(
    table: WordTable, counts: np.ndarray, *, min_count: int = 5, max_words: int | None = None
) -> tuple[Vocabulary, np.ndarray, int]:
    """The vocabulary of a text: the most frequent words, and equally frequent ones as they first occur.

    Args:
        table, counts: as :func:`read_numbers` gives them.
        min_count: rarer words are left out.
        max_words: how many to keep at most; None for all.

    Returns:
        the vocabulary; ``rank``, int32, the number of each word of ``table`` in it, or -2; and how many words were left out
        because they are not UTF-8.

    Raises:
        DataError: fewer than two words are left.
    """
    if min_count < 1 or (max_words is not None and max_words < 2):
        raise UsageError(f"min_count is 1 or more, and max_words 2 or more: got {min_count} and {max_words}")
    words, kept, damaged = [], [], 0
    for number in frequent(counts, min_count):
        try:
            words.append(table.word(number).decode("utf-8"))
            kept.append(number)
        except UnicodeDecodeError:
            damaged += 1
        if max_words is not None and len(words) == max_words:
            break
    if len(words) < 2:
        if damaged > len(words):
            raise DataError(
                f"a text must be UTF-8: {damaged:,} of its frequent words are not; re-encode it, from Latin-1 for example: "
                "iconv -f LATIN1 -t UTF-8 OLD > NEW"
            )
        most = int(counts.max(initial=0))
        raise DataError(
            f"two different words or more must occur min_count = {min_count:,} times: got {len(words)} such of {len(table):,}, "
            f"{most:,} times at most; give more text, or lower min_count"
        )
    rank = np.full(len(table), kernel.UNKNOWN, np.int32)
    rank[kept] = np.arange(len(kept), dtype=np.int32)
    return Vocabulary(words, counts[kept]), rank, damaged


def frequent(counts: np.ndarray, min_count: int) -> np.ndarray:
    """The numbers of the words that occur ``min_count`` times or more, the most frequent first, equals as they stand."""
    found = np.flatnonzero(counts >= min_count)
    return found[np.argsort(-counts[found], kind="stable")]


def _between_words(block: np.ndarray, place: int) -> int:
    """The end of the word at ``place``, or the block's."""
    if place >= block.size:
        return block.size
    ahead = block[place : place + 4096]
    spaces = np.flatnonzero((ahead == ord(" ")) | ((ahead >= ord("\t")) & (ahead <= ord("\r"))))
    return place + int(spaces[0]) + 1 if spaces.size else block.size


def _line_starts(text: bytes) -> Iterable[tuple[int, int]]:
    """A long text in pieces of whole lines."""
    start = 0
    while start < len(text):
        stop = len(text) if len(text) - start <= BLOCK else text.rindex(b"\n", start, start + BLOCK) + 1
        yield start, stop
        start = stop
