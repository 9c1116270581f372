"""Dropout: noise that a counter makes, so that the backward pass draws the same mask again instead of keeping it."""

from __future__ import annotations

import numpy as np

from .. import kernels
from ..errors import UsageError
from ..primitive import fused
from . import random
from .activation import rectified
from .arithmetic import mul, plus, select
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


def _relu_dropout_reference(x, p, seed):
    return _reference(rectified.reference(x), p, seed)


@fused(r"\frac{m \odot \max(0, x)}{1 - p}, \; m \sim \mathrm{Bernoulli}(1 - p)", reference=_relu_dropout_reference)
def relu_dropout(x, p, seed):
    """Dropout of a relu. Its output tells where the gradient passes, so no mask is drawn again and no relu is kept besides."""
    return kernels.dropout.relu_dropout(ready(x).reshape(-1), p, seed, 0).reshape(x.shape), None


def _scale(p: float) -> float:
    return 1 / (1 - p) if p < 1 else 0.0


@relu_dropout.backward("x")
def _(g, out, p):
    return (kernels.activations.relu_backward(g, out, scale=_scale(p)),)


relu_dropout.vjp(x=lambda g, out, p: np.where(out <= 0, 0.0, g * _scale(p)))


def _add_dropout_reference(x, branch, p, seed):
    return plus(x, _reference(branch, p, seed))


@fused(r"x + \frac{m \odot b}{1 - p}, \; m \sim \mathrm{Bernoulli}(1 - p)", reference=_add_dropout_reference)
def add_dropout(x, branch, p, seed):
    """A residual connection: x plus what dropout leaves of a branch of the same shape."""
    return kernels.dropout.add_dropout(ready(x).reshape(-1), ready(branch).reshape(-1), p, seed, 0).reshape(x.shape), None


@add_dropout.backward("x", "branch")
def _(g, p, seed, needs):
    return g, drop(g, p, seed) if needs[1] else None


add_dropout.vjp(x=lambda g: g, branch=lambda g, p, seed: dropped.on(g, p, seed))
