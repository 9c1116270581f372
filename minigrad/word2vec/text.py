"""From a corpus to what training needs, a vocabulary and the text in its numbers, in one reading."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minigrad.errors import DataError
from minigrad.kernels.word_numbers import UNKNOWN, count_words
from minigrad.word2vec.corpus import Corpus
from minigrad.word2vec.phrases import Phrases
from minigrad.word2vec.stream import NumberStream
from minigrad.word2vec.vocabulary import Progress, Vocabulary, WordTable, choose, frequent, read_numbers


@dataclass(frozen=True)
class Text:
    """A text ready for training.

    Attributes:
        vocabulary: its words, frequent ones first.
        numbers: the text in their numbers, other words left out.
        phrases: how words were joined, or None.
        words_read: how many words the text has in all.
        damaged: how many frequent words were left out because they are not UTF-8.
    """

    vocabulary: Vocabulary
    numbers: NumberStream
    phrases: Phrases | None
    words_read: int
    damaged: int


def prepare(
    corpus: Corpus,
    *,
    min_count: int = 5,
    max_words: int | None = None,
    phrase_passes: int = 0,
    phrase_threshold: float = 100.0,
    progress: Progress | None = None,
) -> Text:
    """Read a corpus, count its words, and number it.

    Args:
        corpus: the text.
        min_count: rarer words, and phrases, are left out.
        max_words: how many words to keep at most.
        phrase_passes: how often to look for phrases; the k-th pass finds phrases of up to 2^k words.
        phrase_threshold: the higher, the fewer.
        progress: called while the text is read.

    Raises:
        DataError: the text cannot be read, is empty, or has fewer than two words that are frequent enough.
    """
    table = WordTable()
    read, counts = read_numbers(corpus, table, progress=progress)
    chosen, rank, damaged = choose(table, counts, min_count=min_count, max_words=None if phrase_passes else max_words)
    numbers = read.renumbered(rank, keep_unknown=bool(phrase_passes))
    if not phrase_passes:
        return Text(chosen, numbers, None, read.words, damaged)
    phrases = Phrases(chosen.words)
    for _ in range(phrase_passes):
        numbers = phrases.find(numbers, min_count=min_count, threshold=phrase_threshold)
    counts = np.zeros(len(phrases.names), np.int64)
    for piece in numbers.pieces():
        count_words(piece, counts)
    order = frequent(counts, min_count)[:max_words]
    vocabulary = Vocabulary([phrases.names[k] for k in order], counts[order])
    rank = np.full(counts.size, UNKNOWN, np.int32)
    rank[order] = np.arange(order.size, dtype=np.int32)
    return Text(vocabulary, numbers.renumbered(rank), phrases, read.words, damaged)


def prepare_more(
    corpus: Corpus, vocabulary: Vocabulary, phrases: Phrases | None = None, *, progress: Progress | None = None
) -> Text:
    """Read a further corpus with a vocabulary that is settled: other words are left out.

    Raises:
        DataError: the text cannot be read, or has none of the words.
    """
    known = vocabulary.words if phrases is None else phrases.words
    read, _ = read_numbers(corpus, WordTable(known), adding=False, progress=progress)
    numbers = read if phrases is None else phrases.join(read)
    names = known if phrases is None else phrases.names
    places = {word: number for number, word in enumerate(vocabulary.words)}
    numbers = numbers.renumbered(np.array([places.get(name, UNKNOWN) for name in names], np.int32))
    if not numbers.words:
        raise DataError(f"{corpus} holds none of the {len(vocabulary):,} words of the vocabulary: give text of the same kind")
    return Text(vocabulary, numbers, phrases, read.words, 0)
