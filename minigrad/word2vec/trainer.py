"""Training word vectors on a numbered text, on all threads, with an honest record and a state that can be saved."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigrad.errors import CheckpointError, UsageError
from minigrad.kernels import word2vec as kernel
from minigrad.kernels.huffman import huffman
from minigrad.kernels.threads import get_num_threads
from minigrad.kernels.word2vec_lanes import LINE
from minigrad.kernels.word2vec_rows import padded
from minigrad.word2vec.options import Options
from minigrad.word2vec.stream import NumberStream
from minigrad.word2vec.vocabulary import Vocabulary

BLOCK = 1 << 19  # numbers trained on at a time: a fraction of a second, between progress reports
_INIT_ROWS = 1 << 14  # drawn at a time, so that memory holds the tables once


@dataclass(frozen=True)
class Report:
    """How far training is, after a block.

    Attributes:
        epoch: epochs that are complete.
        words: words read in this call of :meth:`Trainer.fit`, over all its epochs.
        total: words to read in it.
        seconds: since it began.
        loss: mean loss of this block's pairs, in nats, measured on one window of 32; a pair is a context and its centre, with
            the centre's negative words or path. In CBOW all contexts of a window count as one.
        epoch_loss: the same over the epoch so far.
        alpha: the learning rate.
        end_of_epoch: whether this block was an epoch's last.
    """

    epoch: int
    words: int
    total: int
    seconds: float
    loss: float
    epoch_loss: float
    alpha: float
    end_of_epoch: bool

    @property
    def words_per_second(self) -> float:
        """Words read in a second, those that subsampling then skips included."""
        return self.words / self.seconds if self.seconds else 0.0

    @property
    def eta(self) -> float:
        """Seconds that the rest will take at this speed."""
        return (self.total - self.words) / self.words_per_second if self.words else float("nan")


class Trainer:
    """Word vectors in training.

    Args:
        vocabulary: the words.
        options: the model and how to train it.

    Raises:
        UsageError: as many negative words as there are words, or more.
    """

    def __init__(self, vocabulary: Vocabulary, options: Options) -> None:
        self.vocabulary, self.options = vocabulary, options
        n, columns = len(vocabulary), padded(options.size, np.dtype(options.dtype).itemsize)
        if options.loss == "ns" and options.negative >= n:
            raise UsageError(
                f"negative words are drawn from the others of the vocabulary: got negative = {options.negative} for {n:,} "
                "words; give more text, a lower min_count, or fewer negative words"
            )
        targets = n if options.loss == "ns" else n - 1
        self._tables = kernel.Tables(_table(n, columns, options.dtype), _table(targets, columns, options.dtype))
        self._words = _words(vocabulary, options)
        self._draw_vectors(0)
        self.epoch = 0  # complete ones
        self.position = 0  # numbers of the stream read in the present epoch
        self.losses: list[float] = []
        """Mean loss of each complete epoch."""
        self._measured = [0.0, 0]  # loss and pairs of the present epoch

    @property
    def vectors(self) -> np.ndarray:
        """The word vectors, ``(words, size)``: a view of what training changes."""
        return self._tables.inputs[:, : self.options.size]

    @property
    def outputs(self) -> np.ndarray:
        """The targets' vectors, ``(words, size)``, or those of the inner nodes, ``(words - 1, size)``: a view."""
        return self._tables.outputs[:, : self.options.size]

    def fit(self, text: NumberStream, *, report: Callable[[Report], object] | None = None) -> None:
        """Train until ``options.epochs`` epochs are complete, from where the trainer stands.

        The learning rate depends on how far the run is, so an interrupted run that goes on is the same as one that was not;
        with one thread, to the bit.

        Args:
            text: the numbers of the vocabulary's words, no unknown ones.
            report: called after each block; what it raises, a KeyboardInterrupt too, ends training between two blocks, with
                everything as it should be.
        """
        options = self.options
        threads = 1 if options.deterministic else min(options.threads or get_num_threads(), get_num_threads())
        settings = kernel.Settings(
            options.model == "cbow", options.cbow_mean, options.negative if options.loss == "ns" else 0, options.window
        )
        length = len(text)
        total = options.epochs * length
        scale = text.words / length if length else 0.0  # of the stream's numbers, the share that are words
        began, first = time.perf_counter(), self.epoch * length + self.position
        while self.epoch < options.epochs:
            for piece in text.pieces(BLOCK, self.position):
                done = self.epoch * length + self.position
                rates = kernel.Rates(options.alpha, options.min_alpha, done, total)
                loss, pairs = kernel.train(piece, self._tables, self._words, settings, rates, self._seed(), threads)
                self.position += piece.size
                self._measured = [self._measured[0] + loss, self._measured[1] + pairs]
                mean = self._measured[0] / max(1, self._measured[1])
                ends = self.position >= length
                if ends:
                    self._end_epoch(mean)
                if report is not None:
                    now = self.epoch * length + self.position
                    report(
                        Report(
                            epoch=self.epoch,
                            words=round((now - first) * scale),
                            total=round((total - first) * scale),
                            seconds=time.perf_counter() - began,
                            loss=loss / max(1, pairs),
                            epoch_loss=mean,
                            alpha=options.alpha + (options.min_alpha - options.alpha) * now / total,
                            end_of_epoch=ends,
                        )
                    )
            if not length:
                self._end_epoch(float("nan"))

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Everything needed to go on later: arrays, and plain values. The arrays are views, not copies."""
        arrays = {"inputs": self.vectors, "outputs": self.outputs, "counts": self.vocabulary.counts}
        values = {
            "options": self.options.as_dict(),
            "words": self.vocabulary.words,
            "progress": {
                "epoch": self.epoch, "position": self.position, "losses": self.losses, "measured": self._measured
            },
        }  # fmt: skip
        return arrays, values

    @classmethod
    def from_state(cls, arrays: Mapping[str, np.ndarray], values: Mapping[str, Any]) -> Trainer:
        """The trainer whose :meth:`state` this is.

        Raises:
            CheckpointError: something is missing, or does not fit.
        """
        try:
            vocabulary = Vocabulary(values["words"], arrays["counts"])
            trainer = cls(vocabulary, Options(**values["options"]))
            trainer.vectors[:], trainer.outputs[:] = arrays["inputs"], arrays["outputs"]
            progress = values["progress"]
            trainer.epoch, trainer.position = progress["epoch"], progress["position"]
            trainer.losses, trainer._measured = list(progress["losses"]), list(progress["measured"])
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"this is no state of word2vec training: {error}; use one that it saved") from None
        return trainer

    def continued(self, options: Options, counts: Mapping[str, int] | None = None) -> Trainer:
        """A trainer that goes on from these vectors with further text, from epoch 0 and options of its own.

        Args:
            options: the size, loss and dtype must be the same.
            counts: the frequent words of the further text. Words that are new get new vectors, at the end of the vocabulary;
                counts of known ones are added up. None leaves the vocabulary as it is.

        Raises:
            UsageError: another size, loss or dtype, or new words under hierarchical softmax, whose tree is already grown.
        """
        for name in ("size", "loss", "dtype"):
            if getattr(options, name) != getattr(self.options, name):
                raise UsageError(
                    f"continued training keeps {name} {getattr(self.options, name)}: got {getattr(options, name)}; leave it"
                )
        known = dict(zip(self.vocabulary.words, self.vocabulary.counts.tolist()))
        new = [word for word in counts or {} if word not in known]
        if options.loss == "hs":
            if new:
                raise UsageError(
                    f"hierarchical softmax cannot learn new words, its tree is grown: got {len(new):,}, such as {new[0]!r}; "
                    "leave the vocabulary as it is, or train with negative sampling"
                )
            counts = None  # other counts would grow another tree
        merged = {word: known.get(word, 0) + (counts or {}).get(word, 0) for word in [*known, *new]}
        trainer = Trainer(Vocabulary(list(merged), merged.values()), options)
        trainer._draw_vectors(len(known))
        trainer.vectors[: len(known)] = self.vectors
        trainer.outputs[: self.outputs.shape[0]] = self.outputs
        return trainer

    def _seed(self) -> int:
        """A seed for each block, whatever came before it."""
        return int(np.random.SeedSequence((self.options.seed, self.epoch, self.position)).generate_state(1, np.uint64)[0])

    def _end_epoch(self, loss: float) -> None:
        self.losses.append(loss)
        self.epoch, self.position, self._measured = self.epoch + 1, 0, [0.0, 0]

    def _draw_vectors(self, first: int) -> None:
        """Start the word vectors from ``first`` on: uniform within 1 / size on both sides of 0."""
        generator = np.random.default_rng((self.options.seed, first))
        vectors = self.vectors
        for start in range(first, len(vectors), _INIT_ROWS):
            rows = vectors[start : start + _INIT_ROWS]
            rows[:] = (2 * generator.random(rows.shape, dtype=vectors.dtype) - 1) / self.options.size


def _table(rows: int, columns: int, dtype: str) -> np.ndarray:
    """Zeros, each row beginning with a cache line."""
    itemsize = np.dtype(dtype).itemsize
    memory = np.zeros(rows * columns + LINE // itemsize, dtype)
    start = -memory.ctypes.data % LINE // itemsize
    return memory[start : start + rows * columns].reshape(rows, columns)


def _words(vocabulary: Vocabulary, options: Options) -> kernel.Words:
    share = vocabulary.counts / vocabulary.counts.sum()
    relative = options.sample / share
    keep = np.sqrt(relative) + relative if options.sample else np.ones(len(vocabulary))
    keep = np.clip(np.ceil(keep * 2.0**32) - 1, 0, 2**32 - 1).astype(np.uint32)
    if options.loss == "ns":
        way = np.zeros(1, np.int64), np.empty(0, np.int32), np.empty(0, np.uint8)
        return kernel.Words(keep, kernel.alias_table(vocabulary.counts.astype(np.float64) ** options.power), *way)
    return kernel.Words(keep, np.empty(0, np.uint64), *huffman(vocabulary.counts))
