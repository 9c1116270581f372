"""Dropout: noise that a counter makes, so that the backward pass draws the same mask again instead of keeping it."""

from __future__ import annotations

import numpy as np

from .. import kernels
from ..errors import UsageError
from ..primitive import fused
from ..tensor import Tensor
from . import random
from .arithmetic import mul, where
from .layout import floating, ready


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
    return where(factor != 0, mul(x, factor), 0.0)  # where: a dropped element is 0 even if it was NaN or infinite


@fused(r"\frac{m \odot x}{1 - p}, \; m \sim \mathrm{Bernoulli}(1 - p)", reference=_reference, name="dropout")
def dropped(x, p, seed):
    """x with elements zeroed at random."""
    return drop(x, p, seed), None


@dropped.backward("x")
def _(g, p, seed):
    return (drop(g, p, seed),)


def dropout(input, p: float = 0.5, training: bool = True) -> Tensor:
    """Each element zeroed with probability ``p``, the others divided by 1 - p, so that the expectation stays the same.

    Not training, or with p = 0, ``input`` itself comes back; p = 1 gives zeros. A dropped element is 0 even where ``input`` is
    NaN or infinite. The seed of each call comes from minigrad's generator, see :func:`minigrad.manual_seed`.

    Source: Srivastava et al., "Dropout", JMLR 2014 (here in its inverted form).

    Raises:
        UsageError: if ``p`` is outside [0, 1].
    """
    p = probability(p, "dropout")
    if not training or p == 0:
        return input
    return dropped(floating(input, "dropout"), p, draw_seed())
