"""Norms: the lengths of vectors. Where a vector is zero, its norm has no slope; the gradient there is 0."""

from __future__ import annotations

import math

import numpy as np

from ..errors import UsageError
from ..primitive import primitive
from ..tensor import Tensor, tensor_of, wrap
from .arithmetic import convert, quiet, to
from .dims import axes_of, numpy_names
from .elementwise import absolute
from .reduction import amax, amin, require_floating, spread, sum


@primitive(r"\sqrt{\sum_i x_i^2}", name="euclidean_norm")
def euclidean_norm(x, axes, keepdim):
    """The Euclidean norm; its gradient is x / norm, and 0 for a zero vector."""
    with quiet(all="ignore"):
        return np.sqrt(np.add.reduce(x * x, axis=axes, keepdims=keepdim))


def _euclidean_rule(g, x, out, axes, keepdim):
    length = spread(out, axes, keepdim)
    return x * (spread(g, axes, keepdim) * np.where(length == 0, 0.0, 1 / np.where(length == 0, 1.0, length)))


euclidean_norm.vjp(x=_euclidean_rule)


@primitive(r"\left(\sum_i |x_i|^p\right)^{1/p}", name="power_norm")
def power_norm(x, p, axes, keepdim):
    """The p-norm; its gradient is sign(x) * (|x| / norm)^(p - 1), and 0 where x is 0."""
    with quiet(all="ignore"):
        return np.add.reduce(np.abs(x) ** p, axis=axes, keepdims=keepdim) ** (1 / p)


def _power_norm_rule(g, x, out, p, axes, keepdim):
    zero = x == 0
    length = np.where(zero, 1.0, spread(out, axes, keepdim))
    slope = np.sign(x) * np.power(np.where(zero, 1.0, np.abs(x)) / length, p - 1)
    return spread(g, axes, keepdim) * np.where(zero, 0.0, slope)


power_norm.vjp(x=_power_norm_rule)


@numpy_names
def norm(input, p: float | str = "fro", dim=None, keepdim: bool = False, *, dtype=None) -> Tensor:
    """The p-norm of the elements over ``dim``, or of all of them. The gradient of the norm of a zero vector is 0.

    Args:
        p: "fro" or 2 (Euclidean), 1, 0 (how many are not zero), inf, -inf, or any other power.
        dim: one dimension, several, or all; a matrix counts as one long vector.
        dtype: the dtype to compute in.

    Raises:
        DTypeError: for integers.
        UsageError: for an unknown ``p``.
    """
    x = tensor_of(input) if dtype is None else to(tensor_of(input), dtype)
    require_floating(x, "norm")
    axes = axes_of(dim, x.ndim)
    if p in ("fro", 2, None):
        return euclidean_norm(x, axes, bool(keepdim))
    if isinstance(p, str):
        raise UsageError(f"norm takes p='fro' or a number: got {p!r}")
    if p in (math.inf, -math.inf):
        return (amax if p > 0 else amin)(absolute(x), dim, keepdim)
    if p == 0:
        return sum(convert(wrap(x._data != 0), x.dtype), dim, keepdim)
    return power_norm(x, p, axes, bool(keepdim))
