"""What can be chosen about word2vec training, under the names and with the defaults of word2vec.c where it has them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from minigrad.errors import UsageError


@dataclass(frozen=True)
class Options:
    """How to train word vectors.

    Attributes:
        model: ``"skipgram"``: each context predicts the centre of its window; ``"cbow"``: all of them together do.
        loss: ``"ns"``, negative sampling, or ``"hs"``, hierarchical softmax.
        size: numbers in a vector.
        window: how far contexts are from their centre at most; each window's reach is drawn from 1 to this.
        negative: negative words for a window, with ``"ns"``.
        sample: frequent words are skipped so often that the chance of an occurrence to stay is ``sqrt(s) + s`` with
            ``s = sample / share of the word in the text``, where this is below 1 (Mikolov et al. 2013b, as in word2vec.c; the
            paper's formula lacks the second term); 0 keeps all.
        power: negative words are drawn in proportion to count ^ power.
        cbow_mean: CBOW averages its contexts; otherwise it sums them.
        alpha, min_alpha: the learning rate, falling linearly with the words read from the first to the second.
        epochs: how often to read the text.
        seed: of all that is random.
        threads: at most so many threads, None for all of the pool.
        deterministic: one thread, so that the same seed gives the same bits.
        dtype: ``"float32"``, or ``"float64"`` for checks.
    """

    model: str = "skipgram"
    loss: str = "ns"
    size: int = 100
    window: int = 5
    negative: int = 5
    sample: float = 1e-3
    power: float = 0.75
    cbow_mean: bool = True
    alpha: float = 0.025
    min_alpha: float = 1e-4
    epochs: int = 5
    seed: int = 1
    threads: int | None = None
    deterministic: bool = False
    dtype: str = "float32"

    def __post_init__(self) -> None:
        _one_of("model", self.model, ("skipgram", "cbow"))
        _one_of("loss", self.loss, ("ns", "hs"))
        _one_of("dtype", self.dtype, ("float32", "float64"))
        for name in ("size", "window", "epochs"):
            _at_least(name, getattr(self, name), 1)
        if self.loss == "ns":
            _at_least("negative", self.negative, 1)
        _at_least("seed", self.seed, 0)
        if self.threads is not None:
            _at_least("threads", self.threads, 1)
        if not self.sample >= 0:
            raise UsageError(f"sample is 0, to keep all words, or a small share such as 1e-3: got {self.sample}")
        if not 0 <= self.min_alpha <= self.alpha < float("inf"):
            raise UsageError(f"the learning rate falls from alpha to min_alpha >= 0: got {self.alpha} and {self.min_alpha}")

    def as_dict(self) -> dict[str, Any]:
        """All options by name, as plain values."""
        return dataclasses.asdict(self)


def _one_of(name: str, value: Any, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UsageError(f"{name} is one of {', '.join(known)}: got {value!r}")


def _at_least(name: str, value: Any, least: int) -> None:
    if type(value) is not int or value < least:
        raise UsageError(f"{name} is an integer from {least}: got {value!r}")
