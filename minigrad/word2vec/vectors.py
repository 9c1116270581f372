"""Words with a vector each, and the questions one asks them: which are near, which is the odd one, what completes an analogy.

Similarity is the cosine of the angle between two vectors. The numbers are those of gensim's ``KeyedVectors``.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from numbers import Real

import numpy as np

from minigrad.errors import DataError, DTypeError, ShapeError, UnknownWordError, UsageError
from minigrad.kernels.matmul import matmul
from minigrad.word2vec import storage
from minigrad.word2vec.spelling import near_spellings

_SCORES = 1 << 24  # similarities held at a time by a batch of queries, 64 MB

Query = str | np.ndarray | tuple[str | np.ndarray, float]
"""A word, a vector ``(size,)``, or either with a weight."""


class WordVectors:
    """A vocabulary and its vectors.

    ``vectors["king"]`` is the vector of a word and ``vectors[["king", "queen"]]`` a matrix of two; ``"king" in vectors``,
    ``len(vectors)`` and iteration over the words work as for a dictionary. The arrays are read-only, since norms are cached.

    Args:
        words: each once, by custom the most frequent first: ``restrict_vocab`` relies on it.
        vectors: ``(words, size)``, used as they are if float32 and each row contiguous, else converted.
        counts: ``(words,)``, how often each word occurs, where that is known.

    Attributes:
        words: a list of text.
        index_of: a dictionary from each word to its row.
        vectors: ``(words, size)`` float32.
        counts: ``(words,)`` int64, or None.

    Raises:
        DataError: no word, a word twice, or words that are no text.
        ShapeError: not one row for each word, or one count.
        DTypeError: vectors that are no real numbers.
    """

    def __init__(self, words: Iterable[str], vectors: np.ndarray, counts: Iterable[int] | None = None):
        self.words = list(words)
        self.vectors = _matrix(vectors, len(self.words))
        self.index_of = {word: row for row, word in enumerate(self.words)}
        if len(self.index_of) != len(self.words):
            twice = next(word for word, times in Counter(self.words).items() if times > 1)
            raise DataError(f"each word has one vector: got {twice!r} twice; drop all but the first")
        if not all(issubclass(kind, str) for kind in set(map(type, self.words))):
            strange = next(word for word in self.words if not isinstance(word, str))
            raise DataError(f"words are text: got {strange!r} among them; convert it first")
        self.counts: np.ndarray | None = None
        if counts is not None:
            self.counts = np.array(counts, np.int64)
            self.counts.flags.writeable = False
            if self.counts.shape != (len(self.words),):
                raise ShapeError(f"each word has one count: got {self.counts.shape} for {len(self.words):,} words")

    @classmethod
    def load(
        cls, path: str | os.PathLike, *, binary: bool | None = None, limit: int | None = None, mmap: bool = False
    ) -> "WordVectors":
        """Read the vectors of a file: word2vec's text or binary format, plain or gzipped, or safetensors.

        Args:
            path: a name that ends in ``.safetensors`` tells that format, and ``.gz`` that the file is compressed.
            binary: which of word2vec's formats; ``None`` finds out from the first row.
            limit: read only so many words, the first of the file.
            mmap: leave the vectors in the file until they are asked for, which only safetensors allows.

        Raises:
            DataError: see :func:`minigrad.formats.word2vec.read`, which also says what is repaired, with a warning in the log.
            CheckpointError: a safetensors file that cannot be read.
            UsageError: ``mmap`` for another format.
        """
        return cls(*storage.load(path, binary=binary, limit=limit, mmap=mmap))

    def save(self, path: str | os.PathLike) -> None:
        """Write a file whose name tells its format: ``.safetensors``, ``.bin`` (word2vec binary), ``.txt`` or ``.vec`` (text).

        The last three may be followed by ``.gz``. Only safetensors holds the counts.

        Raises:
            UsageError: another ending.
            DataError: a word that word2vec's formats cannot hold.
            CheckpointError: the file cannot be written; an earlier one is then unchanged.
        """
        storage.save(path, self.words, self.vectors, self.counts)

    @property
    def size(self) -> int:
        """The number of dimensions of a vector."""
        return self.vectors.shape[1]

    @cached_property
    def norms(self) -> np.ndarray:
        """The Euclidean length of each vector, ``(words,)`` float32."""
        # Unlike np.linalg.norm, einsum makes no second matrix for the squares.
        return np.sqrt(np.einsum("ij,ij->i", self.vectors, self.vectors))

    def __getitem__(self, word: str | Sequence[str]) -> np.ndarray:
        if isinstance(word, str):
            return self.vectors[self._row(word)]
        return self.vectors[[self._row(one) for one in word]]

    def __contains__(self, word: object) -> bool:
        return word in self.index_of

    def __len__(self) -> int:
        return len(self.words)

    def __iter__(self) -> Iterator[str]:
        return iter(self.words)

    def __repr__(self) -> str:
        return f"WordVectors({len(self):,} words, {self.size} dimensions)"

    def similarity(self, first: str | np.ndarray, second: str | np.ndarray) -> float:
        """The cosine of the angle between two words or vectors, from -1 to 1; 0 if one of them is a vector of zeros."""
        return float(_unit(self._vector(first)) @ _unit(self._vector(second)))

    def distance(self, first: str | np.ndarray, second: str | np.ndarray, metric: str = "cosine") -> float:
        """How far apart two words or vectors are.

        Args:
            metric: ``cosine``, 1 - cos(a, b); ``euclidean``, sqrt(sum (a_i - b_i)^2); ``manhattan``, sum |a_i - b_i|.
        """
        if metric == "cosine":
            return 1 - self.similarity(first, second)
        difference = self._vector(first) - self._vector(second)
        if metric == "euclidean":
            return float(np.linalg.norm(difference))
        if metric == "manhattan":
            return float(np.abs(difference).sum())
        raise UsageError(f"metric must be 'cosine', 'euclidean' or 'manhattan': got {metric!r}")

    def most_similar(
        self,
        positive: Query | Sequence[Query] = (),
        negative: Query | Sequence[Query] = (),
        topn: int = 10,
        restrict_vocab: int | None = None,
    ) -> list[tuple[str, float]]:
        """The words nearest to a sum of words, each with its cosine similarity to that sum, best first.

        The sum is that of the unit vectors of the words, those in ``negative`` subtracted (Mikolov et al. 2013, "Linguistic
        Regularities in Continuous Space Word Representations"). A vector given as an array is added as it is, a weight beside
        a word or vector taken as it is, in ``negative`` too: there the usual weight is -1. The words of the query are left out
        of the answer, and so are words whose vector is zero or not finite.

        Args:
            positive: a word, a vector, a pair (word or vector, weight), or a list of such.
            negative: the same.
            topn: how many words to return.
            restrict_vocab: look only among so many words, the first of the vocabulary.

        Raises:
            UnknownWordError: a word without a vector; the message offers some spelled alike.
            UsageError: nothing to compare with, or a limit below 1.
        """
        if topn < 1:  # asking for those of the query besides would hide it
            raise UsageError(f"topn and restrict_vocab must be at least 1: got {topn} and {restrict_vocab}")
        target, rows = self._sum(_listed(positive), _listed(negative))
        best, similarities = self.nearest(target[None], topn + len(rows), restrict_vocab)
        found = [
            (self.words[row], float(similarity))
            for row, similarity in zip(best[0], similarities[0])
            if row not in rows and similarity == similarity
        ]
        return found[:topn]

    def analogy(self, a: str, b: str, c: str, topn: int = 10, restrict_vocab: int | None = None) -> list[tuple[str, float]]:
        """Answers to "a is to b as c is to ?": the words nearest to b - a + c, as :meth:`most_similar` gives them."""
        return self.most_similar([b, c], [a], topn, restrict_vocab)

    def doesnt_match(self, words: Sequence[str]) -> str:
        """The odd one out: the word least similar to the mean of all the unit vectors."""
        if isinstance(words, str) or not len(words):
            raise UsageError(f"doesnt_match needs a list of words: got {words!r}; split it first")
        units = np.stack([_unit(self[word]) for word in words])
        return min(zip(units @ _unit(units.mean(0)), words))[1]

    def nearest(self, queries: np.ndarray, topn: int = 10, restrict_vocab: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The words nearest to each of many vectors, found with one matrix product.

        Args:
            queries: ``(q, size)``.
            topn: how many words for each; all of them where there are fewer.
            restrict_vocab: look only among so many words, the first of the vocabulary.

        Returns:
            Two arrays ``(q, topn)``: rows of the vocabulary, best first, and their cosine similarities; of equally similar
            words the earlier one comes first. The last are NaN if too few words have a finite vector other than zero.
        """
        end = len(self) if restrict_vocab is None else min(restrict_vocab, len(self))
        if topn < 1 or end < 1:
            raise UsageError(f"topn and restrict_vocab must be at least 1: got {topn} and {restrict_vocab}")
        queries = np.asarray(queries, np.float32)
        if queries.ndim != 2 or queries.shape[1] != self.size:
            raise ShapeError(f"queries are vectors of {self.size} numbers, one a row: got an array of shape {queries.shape}")
        lengths = np.linalg.norm(queries, axis=1, keepdims=True)
        # NumPy sorts in ascending order and NaN to the end: opposite directions put the best first and NaN last.
        opposite = -queries / np.where(lengths > 0, lengths, 1)
        topn = min(topn, end)
        rows = np.empty((len(queries), 0), np.int64)
        scores = np.empty((len(queries), 0), np.float32)
        block = max(_SCORES // max(len(queries), 1), topn)
        for start in range(0, end, block):
            stop = min(start + block, end)
            new = self._cosines(opposite, start, stop)
            best = np.argpartition(new, min(topn, stop - start) - 1)[:, :topn]
            rows = np.concatenate([rows, start + best], axis=1)
            scores = np.concatenate([scores, np.take_along_axis(new, best, 1)], axis=1)
            order = np.lexsort((rows, scores))[:, :topn]
            rows, scores = np.take_along_axis(rows, order, 1), np.take_along_axis(scores, order, 1)
        return rows, -scores

    def _cosines(self, units: np.ndarray, start: int, stop: int) -> np.ndarray:
        """The cosines of unit vectors ``(q, size)`` with the words from ``start`` to ``stop``; NaN for vectors of zeros."""
        vectors = self.vectors[start:stop]
        products = (vectors @ units[0])[None] if len(units) == 1 else matmul(units, vectors.T)
        with np.errstate(invalid="ignore"):
            products /= self.norms[start:stop]
        return products

    def _sum(self, positive: Sequence[Query], negative: Sequence[Query]) -> tuple[np.ndarray, set[int]]:
        """The weighted sum of the queries, and the rows of those that are words."""
        total, rows = np.zeros(self.size, np.float32), set()
        for sign, queries in ((1.0, positive), (-1.0, negative)):
            for query in queries:
                what, weight = query if isinstance(query, tuple) and len(query) == 2 else (query, sign)
                if not isinstance(weight, Real):
                    raise UsageError(f"a query is a word, a vector, or one of them with a number: got {query!r}")
                vector = self._vector(what)
                if isinstance(what, str):
                    rows.add(self.index_of[what])
                    vector = _unit(vector)
                total += np.float32(weight) * vector
        if not positive and not negative:
            raise UsageError("most_similar needs a word or a vector: got none; pass positive=['king'] for example")
        return total, rows

    def _vector(self, what: str | np.ndarray) -> np.ndarray:
        if isinstance(what, str):
            return self[what]
        vector = np.asarray(what, np.float32)
        if vector.shape != (self.size,):
            raise ShapeError(f"a vector of {self.size} numbers is wanted here: got an array of shape {vector.shape}")
        return vector

    def _row(self, word: str) -> int:
        try:
            return self.index_of[word]
        except KeyError:
            alike = " or ".join(map(repr, near_spellings(word, self.words, self.index_of)))
            advice = f"did you mean {alike}?" if alike else "it may be rarer than the minimum count"
            raise UnknownWordError(f"{word!r} is not among the {len(self):,} words that have a vector; {advice}") from None


def _matrix(vectors: np.ndarray, words: int) -> np.ndarray:
    vectors = np.asarray(vectors)
    if vectors.dtype.kind not in "fiu":
        raise DTypeError(f"vectors are real numbers: got an array of {vectors.dtype}; convert it to float32")
    if not words:
        raise DataError("word vectors need at least one word: got none")
    if vectors.ndim != 2 or len(vectors) != words or not vectors.shape[1]:
        raise ShapeError(f"each word has a row of vectors: got an array of shape {vectors.shape} for {words:,} words")
    if vectors.dtype != np.float32 or vectors.strides[1] != vectors.itemsize:
        vectors = np.ascontiguousarray(vectors, np.float32)
    vectors = vectors.view()
    vectors.flags.writeable = False
    return vectors


def _unit(vector: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vector)
    return vector / length if length > 0 else vector


def _listed(queries: Query | Sequence[Query]) -> Sequence[Query]:
    if isinstance(queries, str) or (isinstance(queries, np.ndarray) and queries.ndim == 1):
        return [queries]
    if isinstance(queries, tuple) and len(queries) == 2 and isinstance(queries[1], Real):
        return [queries]  # type: ignore[list-item]
    return queries  # type: ignore[return-value]
