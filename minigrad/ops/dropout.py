"""Dropout: noise that a counter makes, so that the backward pass draws the same mask again instead of keeping it."""

from __future__ import annotations

import numpy as np

from .. import kernels
from ..errors import UsageError
from ..primitive import fused
from . import random
from .arithmetic import mul, select
from .layout import ready


def draw_seed() -> int:
    """A fresh seed for one mask, taken from minigrad's generator: ``manual_seed`` makes it reproducible."""
    return int(random.generator().integers(1 << 63))


def probability(p: float, name: str) -> float:
    """``p`` as a float.

    Raises:
        UsageError: if it is outside [0, 1].
    """
    if not 0 <= p <= 1:
        raise UsageError(f"{name} needs a probability from 0 to 1: got {p}")
    return float(p)


def drop(x: np.ndarray, p: float, seed: int) -> np.ndarray:
    """An array with each element zeroed with probability ``p`` and the others divided by 1 - p; the seed decides which."""
    return kernels.dropout.dropout(ready(x).reshape(-1), p, seed, 0).reshape(x.shape)


def _reference(x, p, seed):
    factor = drop(np.ones(x.shape, x.dtype), p, seed)
    return select(factor != 0, mul(x, factor), 0.0)  # not the product alone: a dropped NaN is 0


@fused(r"\frac{m \odot x}{1 - p}, \; m \sim \mathrm{Bernoulli}(1 - p)", reference=_reference, name="dropout")
def dropped(x, p, seed):
    """x with elements zeroed at random."""
    return drop(x, p, seed), None


@dropped.backward("x")
def _(g, p, seed):
    return (drop(g, p, seed),)


dropped.vjp(x=lambda g, p, seed: dropped.on(g, p, seed))
