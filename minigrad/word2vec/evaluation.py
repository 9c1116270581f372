"""How good word vectors are, by two customary measures: analogies, and people's judgement of similarity.

Which questions count, and the resulting numbers, are those of gensim's ``evaluate_word_analogies`` and ``evaluate_word_pairs``.
"""

import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from minigrad.data.corpus import read_lines
from minigrad.errors import DataError, UsageError
from minigrad.kernels.analogy import best_answers
from minigrad.kernels.matmul import matmul
from minigrad.word2vec.vectors import WordVectors

RESTRICT_VOCAB = 300_000  # words, gensim's default
_BLOCK = 4096  # words whose similarities to all the words of the questions are held at a time


@dataclass(frozen=True)
class Section:
    """The answers to some analogies: ``correct``, ``wrong``, and ``unknown`` where a word of the question has no vector."""

    name: str
    correct: int = 0
    wrong: int = 0
    unknown: int = 0

    @property
    def answered(self) -> int:
        return self.correct + self.wrong

    @property
    def accuracy(self) -> float:
        """The share of correct answers, from 0 to 1; NaN if nothing was answered."""
        return self.correct / self.answered if self.answered else math.nan

    @property
    def coverage(self) -> float:
        """The share of the questions all of whose words have a vector, from 0 to 1; NaN without a question."""
        return self.answered / (self.answered + self.unknown) if self.answered + self.unknown else math.nan


@dataclass(frozen=True)
class Analogies:
    """The result of :func:`evaluate_analogies`.

    Attributes:
        sections: one for each of the file, in its order.
        invalid: lines that are no question: they do not have four words.
    """

    sections: tuple[Section, ...]
    invalid: int = 0

    @property
    def total(self) -> Section:
        return _summed("total", self.sections)

    @property
    def semantic(self) -> Section:
        """All sections whose name does not begin with ``gram``, as those of Mikolov's questions about grammar do."""
        return _summed("semantic", [section for section in self.sections if not section.name.startswith("gram")])

    @property
    def syntactic(self) -> Section:
        return _summed("syntactic", [section for section in self.sections if section.name.startswith("gram")])

    def __str__(self) -> str:
        rows = [*self.sections, self.semantic, self.syntactic, self.total]
        width = max(len(row.name) for row in rows)
        lines = [f"{'section':{width}}  accuracy   correct  answered  coverage"]
        lines += [
            f"{row.name:{width}}  {_percent(row.accuracy)}  {row.correct:>8,}  {row.answered:>8,}  {_percent(row.coverage)}"
            for row in rows
        ]
        return "\n".join(lines)


@dataclass(frozen=True)
class Similarities:
    """The result of :func:`evaluate_similarity`.

    Attributes:
        spearman: the correlation of the ranks, from -1 to 1.
        pearson: the correlation of the values, from -1 to 1.
        pairs: how many pairs went in.
        unknown: pairs with a word that has no vector.
        coverage: the share of the pairs both of whose words have a vector, from 0 to 1.
        invalid: lines that are no pair: they do not have two words and a number.
    """

    spearman: float
    pearson: float
    pairs: int
    unknown: int
    coverage: float
    invalid: int = 0

    def __str__(self) -> str:
        return (
            f"Spearman {self.spearman:.4f}, Pearson {self.pearson:.4f} over {self.pairs:,} pairs, "
            f"coverage {_percent(self.coverage).strip()}"
        )


def evaluate_analogies(
    vectors: WordVectors,
    path: str | os.PathLike,
    *,
    restrict_vocab: int | None = RESTRICT_VOCAB,
    case_insensitive: bool = True,
    dummy4unknown: bool = False,
) -> Analogies:
    """Answer the analogies of a file, such as word2vec's ``questions-words.txt``, and count the correct answers.

    To "a is to b as c is to ?" the answer is the word w other than a, b and c that maximises
    cos(w, b) + cos(w, c) - cos(w, a), which is the cosine of w with the sum of unit vectors b + c - a but for a factor
    (3CosAdd: Levy and Goldberg 2014, "Linguistic Regularities in Sparse and Explicit Word Representations", equation 3).
    So the similarities of the few hundred words of the questions to all words are all that has to be computed. gensim looks
    no further than the five nearest words: should all five be words of the question in another case, its answer is one of them.

    Args:
        path: a text file, plain or gzipped. A line ``: name`` begins a section, every other one has four words: a, b, c and
            the answer. Lines that begin with ``#`` or ``//`` are comments.
        restrict_vocab: use only the first so many words, for questions as for answers; ``None`` for all.
        case_insensitive: take words that differ only in case for one and the same, whose vector is that of the first of them.
        dummy4unknown: count questions with a word that has no vector as wrong, instead of leaving them out.

    Raises:
        DataError: a file that cannot be read, or without a question.
    """
    fold, row_of, groups = _vocabulary(vectors, restrict_vocab, case_insensitive)
    names: list[str] = []
    questions: list[tuple[int, ...]] = []
    section_of: list[int] = []
    unknown: list[int] = []
    invalid = 0
    for line in read_lines(path):
        if line.startswith(":"):
            names.append(line.lstrip(": ").strip())
            unknown.append(0)
            continue
        words = line.split()
        if not words or words[0].startswith(("#", "//")):
            continue
        if len(words) != 4:
            invalid += 1
            continue
        if not names:  # questions before the first heading
            names.append("questions")
            unknown.append(0)
        rows = tuple(row_of.get(fold(word), -1) for word in words)
        if min(rows) < 0:
            unknown[-1] += 1
        else:
            questions.append(rows)
            section_of.append(len(names) - 1)
    if not questions and not any(unknown):
        raise DataError(f"{path} holds no question: a line of it has four words, as in 'Athens Greece Oslo Norway'")

    asked = np.array(questions, np.int64).reshape(-1, 4)
    answers = _answers(vectors, asked[:, :3], groups)
    right = (answers >= 0) & (groups[answers] == groups[asked[:, 3]])
    where = np.array(section_of, np.int64)
    all_of = np.bincount(where, minlength=len(names))
    correct = np.bincount(where[right], minlength=len(names))
    sections = []
    for name, good, every, missed in zip(names, correct.tolist(), all_of.tolist(), unknown):
        if dummy4unknown:
            every, missed = every + missed, 0
        sections.append(Section(name, good, every - good, missed))
    return Analogies(tuple(sections), invalid)


def evaluate_similarity(
    vectors: WordVectors,
    path: str | os.PathLike,
    *,
    restrict_vocab: int | None = RESTRICT_VOCAB,
    case_insensitive: bool = True,
    dummy4unknown: bool = False,
) -> Similarities:
    """Correlate the cosine similarities of pairs of words with people's ratings, as WordSim-353 holds them.

    Args:
        path: a text file, plain or gzipped, of lines with two words and a number, separated by tabs, commas or spaces. Lines
            that begin with ``#`` are comments, and the first line may name the columns.
        restrict_vocab: use only the first so many words; ``None`` for all.
        case_insensitive: take words that differ only in case for one and the same, whose vector is that of the first of them.
        dummy4unknown: count pairs with a word that has no vector as of similarity 0, instead of leaving them out.

    Raises:
        DataError: a file that cannot be read, or with fewer than two pairs to correlate.
    """
    fold, row_of, _ = _vocabulary(vectors, restrict_vocab, case_insensitive)
    ratings: list[float] = []
    cosines: list[float] = []
    known = unknown = invalid = 0
    for number, line in enumerate(line for line in read_lines(path) if line.strip() and not line.startswith("#")):
        pair = _pair(line)
        if pair is None:
            invalid += number > 0  # the first line may be a heading
            continue
        first, second, rating = pair
        a, b = row_of.get(fold(first)), row_of.get(fold(second))
        if a is not None and b is not None:
            known += 1
            cosine = vectors.similarity(vectors.words[a], vectors.words[b])
        else:
            unknown += 1
            if not dummy4unknown:
                continue
            cosine = 0.0
        ratings.append(rating)
        cosines.append(cosine)
    pairs = len(ratings)
    if pairs < 2:
        raise DataError(
            f"a correlation needs two pairs of words with vectors: got {pairs} from {path}, with {unknown:,} pairs of unknown "
            f"words and {invalid:,} lines without two words and a number; check the file, or train on more text"
        )
    return Similarities(
        spearman(ratings, cosines), pearson(ratings, cosines), pairs, unknown, known / (known + unknown), invalid
    )


def pearson(x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray) -> float:
    """The correlation of two sequences: their covariance over the root of the product of their variances.

    NaN if one of them is constant.
    """
    a, b = np.asarray(x, np.float64), np.asarray(y, np.float64)
    a, b = a - a.mean(), b - b.mean()
    scale = math.sqrt((a @ a) * (b @ b))
    return float(np.clip(a @ b / scale, -1, 1)) if scale else math.nan


def spearman(x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray) -> float:
    """The correlation of the ranks of two sequences; equal values share the mean of their ranks."""
    return pearson(_ranks(x), _ranks(y))


def _ranks(values: Sequence[float] | np.ndarray) -> np.ndarray:
    _, inverse, counts = np.unique(np.asarray(values, np.float64), return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]


def _vocabulary(
    vectors: WordVectors, restrict_vocab: int | None, case_insensitive: bool
) -> tuple[Callable[[str], str], dict[str, int], np.ndarray]:
    """How words are folded, the row of each folded word, and for each row that of the first word folded to the same."""
    if restrict_vocab is not None and restrict_vocab < 1:
        raise UsageError(f"restrict_vocab is a number of words of at least 1: got {restrict_vocab}")
    fold = str.upper if case_insensitive else str
    row_of: dict[str, int] = {}
    groups = [row_of.setdefault(fold(word), row) for row, word in enumerate(vectors.words[:restrict_vocab])]
    return fold, row_of, np.array(groups, np.int64)


def _answers(vectors: WordVectors, questions: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The row of the best answer to each of ``questions`` (q, 3), or -1 if no word is left."""
    asked, numbered = np.unique(questions, return_inverse=True)
    numbered = numbered.reshape(questions.shape)
    units = vectors.vectors[asked] / np.where(vectors.norms[asked] > 0, vectors.norms[asked], 1)[:, None]
    scores = np.full(len(questions), -np.inf, np.float32)
    best = np.full(len(questions), -1, np.int64)
    for start in range(0, len(groups), _BLOCK):
        stop = min(start + _BLOCK, len(groups))
        similarities = matmul(units, vectors.vectors[start:stop].T)
        with np.errstate(invalid="ignore"):  # a vector of zeros gives NaN, which is no answer
            similarities /= vectors.norms[start:stop]
        best_answers(similarities, numbered, np.concatenate([groups[start:stop], groups[asked]]), scores, best, start)
    return best


def _pair(line: str) -> tuple[str, str, float] | None:
    fields = [field.strip() for field in line.split("\t" if "\t" in line else "," if "," in line else None)]
    try:
        a, b, rating = fields
        value = float(rating)
    except ValueError:
        return None
    return (a, b, value) if math.isfinite(value) else None


def _summed(name: str, sections: Iterable[Section]) -> Section:
    some = list(sections)
    return Section(name, sum(s.correct for s in some), sum(s.wrong for s in some), sum(s.unknown for s in some))


def _percent(share: float) -> str:
    return "       -" if math.isnan(share) else f"{100 * share:6.2f} %"
