"""Around the reading of a text: how far it is, whether it is still the same, new words of a further text, vocabulary files."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time

import numpy as np

from minigrad.data.corpus import read_lines
from minigrad.errors import DataError
from minigrad.formats import atomic
from minigrad.kernels.word_numbers import UNKNOWN, count_words
from minigrad.training.progress import Progress
from minigrad.word2vec.corpus import Corpus
from minigrad.word2vec.stream import NumberStream
from minigrad.word2vec.vocabulary import Progress as Callback
from minigrad.word2vec.vocabulary import Vocabulary, WordTable, frequent, read_numbers

_PATIENCE = 2.0  # seconds that reading may take before it shows how far it is


class Reading:
    """Shows how much of a text has been read, once that takes longer than a moment. A context manager; call it to report."""

    def __init__(self) -> None:
        self._began, self._words = time.monotonic(), 0
        self._progress: Progress | None = None

    def __call__(self, done: int, size: int, words: int) -> None:
        if self._progress is None and time.monotonic() - self._began > _PATIENCE:
            self._progress = Progress(max(size, done, 1), unit="words", counting="reading: byte")
        if self._progress is not None:
            self._progress.total_steps = max(size, done, 1)  # nobody knows how long standard input is: its end is always here
            self._progress.update(done, tokens=words - self._words)
        self._words = words

    def __enter__(self) -> Reading:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._progress is not None:
            self._progress.close()


def fingerprint(numbers: NumberStream, words: int) -> str:
    """What tells whether a text is still the same: its length, and a hash of how often each of its ``words`` words occurs."""
    counts = np.zeros(words, np.int64)
    for piece in numbers.pieces():
        count_words(piece, counts)
    return f"{numbers.words:,} words, {hashlib.blake2b(counts.astype('<i8').tobytes(), digest_size=8).hexdigest()}"


def read_growing(
    corpus: Corpus, known: Vocabulary, *, min_count: int, progress: Callback | None = None
) -> tuple[NumberStream, dict[str, int], int]:
    """Read a further text, and find its new words.

    Args:
        corpus: the text.
        known: the vocabulary so far; its words keep their numbers.
        min_count: new words that occur so often get the numbers that follow, the most frequent first.
        progress: called while the text is read.

    Returns:
        the text in numbers, rare words left out; the new words with their counts; and how many words the text has in all.
    """
    table = WordTable(known.words)
    read, counts = read_numbers(corpus, table, progress=progress)
    rank = np.full(len(table), UNKNOWN, np.int32)
    rank[: len(known)] = np.arange(len(known))
    new: dict[str, int] = {}
    for number in frequent(counts, min_count):
        if number >= len(known):
            with contextlib.suppress(UnicodeDecodeError):
                word = table.word(int(number)).decode("utf-8")
                rank[number], new[word] = len(known) + len(new), int(counts[number])
    return read.renumbered(rank), new, read.words


def write_vocabulary(path: str | os.PathLike, vocabulary: Vocabulary) -> None:
    """Write a vocabulary as word2vec.c does with ``-save-vocab``: a word, a space and its count on each line."""
    lines = (f"{word} {count}\n" for word, count in zip(vocabulary.words, vocabulary.counts.tolist()))
    atomic.write_text(path, "".join(lines))


def read_vocabulary(path: str | os.PathLike, min_count: int = 1) -> Vocabulary:
    """Read what :func:`write_vocabulary` or word2vec.c wrote, without words of a lower count, and without its ``</s>``.

    Raises:
        DataError: a file that cannot be read, a line that is no word with its count, or fewer than two words.
    """
    words: dict[str, int] = {}
    for number, line in enumerate(read_lines(path), 1):
        word, _, count = line.rpartition(" ")
        if not (word and count.isdecimal() and count.isascii()):
            rule = "a vocabulary has a word, a space and its count on each line"
            raise DataError(f"{rule}: got {line[:80]!r} on line {number:,} of {path}; let --save-vocab write one")
        if int(count) >= min_count and word != "</s>":
            words[word] = int(count)
    return Vocabulary(list(words), words.values())
