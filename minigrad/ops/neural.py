"""Fused primitives of neural networks: one kernel forward, one backward, and a reference that says what they compute."""

from __future__ import annotations

import numpy as np

from .. import kernels
from ..errors import DTypeError
from ..primitive import fused, primitive
from ..tensor import Tensor, as_dtype, raw, wrap
from .arithmetic import to
from .dims import axis_of, numpy_names
from .elementwise import exp, log
from .reduction import amax, sum as sum_


@primitive(r"\max(0, x)", name="relu")
def rectified(x):
    """x where it is positive, else 0; NaN stays NaN. The gradient at 0 is 0."""
    return np.maximum(x, 0)


rectified.vjp(x=lambda g, out: g * (out > 0))


def relu(input) -> Tensor:
    """max(0, x); the gradient at 0 is 0."""
    return rectified(input)


def _rows(x, axis: int):
    """``x`` as contiguous rows along ``axis``, and the way back."""
    moved = np.moveaxis(x, axis, -1)
    rows = np.ascontiguousarray(moved).reshape(-1, x.shape[axis])
    return rows, lambda result: np.moveaxis(result.reshape(moved.shape), -1, axis)


def _softmax_reference(x, axis):
    shifted = exp(x - amax(x, axis, True).detach())
    return shifted / sum_(shifted, axis, True)


@fused(r"\frac{e^{x_i}}{\sum_j e^{x_j}}", reference=_softmax_reference, name="softmax")
def soft_maximum(x, axis):
    """Softmax along one axis; a row of nothing but -inf gives NaN."""
    if not x.size:
        return np.array(x), None
    rows, back = _rows(x, axis)
    return back(kernels.softmax.softmax(rows)), None


@soft_maximum.backward("x")
def _(g, out, axis):
    if not g.size:
        return (g,)
    rows, back = _rows(np.asarray(g), axis)
    return (back(kernels.softmax.softmax_backward(rows, _rows(out, axis)[0])),)


def _log_softmax_reference(x, axis):
    shifted = x - amax(x, axis, True).detach()
    return shifted - log(sum_(exp(shifted), axis, True))


@fused(r"x_i - \ln \sum_j e^{x_j}", reference=_log_softmax_reference, name="log_softmax")
def log_soft_maximum(x, axis):
    """The logarithm of softmax along one axis, without its rounding errors."""
    if not x.size:
        return np.array(x), None
    rows, back = _rows(x, axis)
    return back(kernels.softmax.log_softmax(rows)), None


@log_soft_maximum.backward("x")
def _(g, out, axis):
    if not g.size:
        return (g,)
    rows, back = _rows(np.asarray(g), axis)
    return (back(kernels.softmax.log_softmax_backward(rows, _rows(out, axis)[0])),)


def _floating(input, dtype) -> Tensor:
    x = input if isinstance(input, Tensor) else wrap(np.asarray(raw(input)))
    if dtype is not None:
        return to(x, as_dtype(dtype))
    if x.dtype.kind != "f":
        raise DTypeError(f"softmax needs a floating-point tensor: got dtype {x.dtype}; use .float() first")
    return x


@numpy_names
def softmax(input, dim: int, *, dtype=None) -> Tensor:
    """exp(x) / sum(exp(x)) along ``dim``, shifted so that nothing overflows.

    A row of nothing but -inf gives NaN, as in PyTorch; attention masks go through scaled_dot_product_attention, where such a
    row gives 0.
    """
    x = _floating(input, dtype)
    axis = axis_of(dim, x.ndim)
    return soft_maximum(x, axis) if x.ndim else soft_maximum(x.reshape(1), 0).reshape(())


@numpy_names
def log_softmax(input, dim: int, *, dtype=None) -> Tensor:
    """log(softmax(x)) along ``dim``, computed as x - logsumexp(x)."""
    x = _floating(input, dtype)
    axis = axis_of(dim, x.ndim)
    return log_soft_maximum(x, axis) if x.ndim else log_soft_maximum(x.reshape(1), 0).reshape(())
