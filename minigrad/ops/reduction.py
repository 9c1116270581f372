"""Reductions: many elements become one. ``dim`` names what disappears (or stays with size 1, with ``keepdim``)."""

from __future__ import annotations

import math

import numpy as np

from .. import kernels
from ..errors import DimensionError, DTypeError
from ..primitive import primitive
from ..promotion import INT64
from ..tensor import Tensor, array_of, as_dtype, tensor_of, wrap
from .arithmetic import maximum, minimum, quiet, to
from .dims import axes_of, axis_of, numpy_names
from .elementwise import sqrt
from .indexing import take_along_dim
from .layout import SMALL, pays, shaped
from .ordering import Ranked
from .shaping import flatten, reshape


def spread(g, axes, keepdim):
    """A reduced gradient with its lost dimensions back, of size 1, ready to broadcast."""
    return g if keepdim or not axes else np.expand_dims(g, axes)


def require_floating(x: Tensor, name: str) -> None:
    if x.dtype.kind != "f":
        raise DTypeError(f"{name} needs a floating-point tensor: got dtype {x.dtype}; use .float() first")


@primitive(r"\sum_i x_i", name="sum")
def total(x, axes, keepdim):
    """The sum over some dimensions; added in blocks or in float64, so the error grows with log n at most."""
    if pays(x) and axes and x.flags.carray:
        return _sum_by_kernel(x, axes, keepdim)
    with quiet(all="ignore"):
        return np.add.reduce(x, axis=axes, keepdims=keepdim)


def _sum_by_kernel(x, axes, keepdim):
    """The sum of a large array: by a kernel where the dimensions that disappear are the first ones or the last ones."""
    rest = tuple(a for a in range(x.ndim) if a not in axes)
    first, last = not rest or rest[0] == len(axes), rest == tuple(range(len(rest)))
    if not (first or last):
        with quiet(all="ignore"):
            return np.add.reduce(x, axis=axes, keepdims=keepdim)
    if first:
        sums = kernels.bias.sum_rows(x.reshape(-1, math.prod(x.shape[a] for a in rest)))
    else:
        sums = kernels.sums.sum_along_rows(x.reshape(-1, math.prod(x.shape[a] for a in axes)))
    shape = tuple(1 if a in axes else n for a, n in enumerate(x.shape)) if keepdim else tuple(x.shape[a] for a in rest)
    return shaped(sums, shape) if shape else sums[0]


def _over(shape, g, axes):
    """A reduced gradient over the whole of ``shape`` again: a view of ``g``, or the array itself where that is made sooner."""
    if not isinstance(g, Tensor):
        g = g.reshape([1 if a in axes else n for a, n in enumerate(shape)])
        if math.prod(shape) < SMALL:
            out = np.empty(shape, g.dtype)
            out[...] = g
            return out
        return np.broadcast_to(g, shape)
    return np.broadcast_to(g if g.ndim == len(shape) else spread(g, axes, False), shape)


total.vjp(x=lambda g, x_shape, axes: _over(x_shape, g, axes))


@primitive(r"\frac{1}{n} \sum_i x_i", name="mean")
def average(x, axes, keepdim):
    """The mean over some dimensions; NaN where there is nothing to average."""
    with quiet(all="ignore"):
        return total.forward(x, axes, keepdim) / x.dtype.type(_count(x.shape, axes))


def _count(shape, axes) -> int:
    return math.prod([shape[a] for a in axes])


average.vjp(x=lambda g, x_shape, axes: _over(x_shape, g / (_count(x_shape, axes) or 1), axes))


@numpy_names
def sum(input, dim=None, keepdim: bool = False, *, dtype=None) -> Tensor:
    """The sum of the elements over ``dim`` (one, several, or all). Booleans and integers add up in int64.

    Raises:
        DimensionError: for a ``dim`` that ``input`` does not have.
    """
    x = tensor_of(input)
    if dtype is not None:
        x = to(x, dtype)
    elif x.dtype.kind in "bu" or (x.dtype.kind == "i" and x.dtype != INT64):
        x = to(x, INT64)
    return total(x, axes_of(dim, x.ndim), bool(keepdim))


@numpy_names
def mean(input, dim=None, keepdim: bool = False, *, dtype=None) -> Tensor:
    """The mean over ``dim``; NaN where there is nothing to average.

    Raises:
        DTypeError: for integers and booleans.
    """
    x = tensor_of(input)
    if dtype is not None:
        x = to(x, dtype)
    require_floating(x, "mean")
    return average(x, axes_of(dim, x.ndim), bool(keepdim))


def _variance_rule(g, x, axes, correction, keepdim):
    count = math.prod(x.shape[a] for a in axes)
    slope = spread(g, axes, keepdim) * (2 / (count - correction) if count > correction else math.nan)
    return slope * (x - np.sum(x, axis=axes, keepdims=True) / (count or 1))  # the mean of nothing is taken from nothing


@primitive(r"\frac{1}{n-c} \sum_i (x_i - \bar{x})^2", name="var")
def variance(x, axes, correction, keepdim):
    """The variance in two passes: first the mean, then the squared distances from it, so that no digits cancel."""
    count = math.prod(x.shape[a] for a in axes)
    with quiet(all="ignore"):
        centred = x - total.forward(x, axes, True) / x.dtype.type(count or 1)
        squares = total.forward(centred * centred, axes, keepdim)
        return squares / x.dtype.type(count - correction if count > correction else 0)


variance.vjp(x=_variance_rule)


@numpy_names
def var(input, dim=None, unbiased: bool | None = None, keepdim: bool = False, *, correction=1) -> Tensor:
    """The variance over ``dim``, divided by n - ``correction`` (1: unbiased; 0: of the population).

    ``unbiased``, PyTorch's older spelling, stands for a correction of 1 or 0; ``var(x, False)`` is understood too.

    Raises:
        DTypeError: for integers and booleans.
    """
    x = tensor_of(input)
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    require_floating(x, "var")
    correction = correction if unbiased is None else int(unbiased)
    return variance(x, axes_of(dim, x.ndim), correction, bool(keepdim))


@numpy_names
def std(input, dim=None, unbiased: bool | None = None, keepdim: bool = False, *, correction=1) -> Tensor:
    """The standard deviation over ``dim``: the square root of :func:`var`. Its gradient at 0 is 0.

    Raises:
        DTypeError: for integers and booleans.
    """
    return sqrt(var(input, dim, unbiased, keepdim, correction=correction))


def _product_rule(g, x, axis, keepdim):
    # The product of all the others: exact also where elements are zero, which g * out / x would not be.
    def before(values):
        ones = np.ones_like(np.take(values, [0], axis))
        return np.concatenate([ones, np.cumprod(np.delete(values, -1, axis), axis)], axis)

    if isinstance(x, Tensor):
        return spread(g, (axis,), keepdim) * _others_on_tape(x, axis)
    if x.shape[axis] == 0:
        return np.zeros_like(x)
    others = before(x) * np.flip(before(np.flip(x, axis)), axis)
    return spread(g, (axis,), keepdim) * others


def _others_on_tape(x: Tensor, axis: int) -> Tensor:
    from .joining import stack

    rows = [x.select(axis, i) for i in range(x.shape[axis])]
    left, right = [], []
    for parts, order in ((left, rows), (right, rows[::-1])):
        running = None
        for row in order:
            parts.append(running)
            running = row if running is None else running * row
    ones = wrap(np.ones(rows[0].shape, x.dtype))
    others = [(ones if a is None else a) * (ones if b is None else b) for a, b in zip(left, right[::-1])]
    return stack(others, axis)


@primitive(r"\prod_i x_i", name="prod")
def product(x, axis, keepdim):
    """The product over one dimension. Its gradient is the product of the others, also where some are zero."""
    with quiet(all="ignore"):
        return np.multiply.reduce(x, axis=axis, keepdims=keepdim)


product.vjp(x=_product_rule)


@numpy_names
def prod(input, dim=None, keepdim: bool = False, *, dtype=None) -> Tensor:
    """The product of all elements, or over one dimension."""
    x = tensor_of(input)
    if dtype is not None:
        x = to(x, dtype)
    elif x.dtype.kind in "biu":
        x = to(x, INT64)
    if dim is None:
        result = product(flatten(x), 0, False)
        return reshape(result, (1,) * x.ndim) if keepdim else result
    if not x.ndim:
        axis_of(dim, 0)
        x, keepdim = flatten(x), False
    return product(x, axis_of(dim, x.ndim), bool(keepdim))


def _extreme_rule(g, x, out, axes, keepdim):
    chosen = x == spread(out, axes, keepdim)
    ones = np.where(chosen, np.ones_like(x), 0.0)  # in the dtype of x: integers would widen float32
    count = np.sum(ones, axis=axes, keepdims=True)  # 0 where the extreme is NaN, which makes the gradient NaN too
    return spread(g, axes, keepdim) / count * ones


@primitive(r"\max_i x_i", name="amax")
def largest(x, axes, keepdim):
    """The largest element; ties share the gradient equally."""
    return np.maximum.reduce(x, axis=axes, keepdims=keepdim)


@primitive(r"\min_i x_i", name="amin")
def smallest(x, axes, keepdim):
    """The smallest element; ties share the gradient equally."""
    return np.minimum.reduce(x, axis=axes, keepdims=keepdim)


largest.vjp(x=_extreme_rule)
smallest.vjp(x=_extreme_rule)


def _nonempty(x: Tensor, axes, name: str) -> None:
    if 0 in [x.shape[a] for a in axes]:
        raise DimensionError(f"{name} needs at least one element: got shape {x.shape}")


@numpy_names
def amax(input, dim=(), keepdim: bool = False) -> Tensor:
    """The largest element over ``dim`` (one, several, or all); ties share the gradient equally."""
    x = tensor_of(input)
    axes = axes_of(dim, x.ndim)
    _nonempty(x, axes, "amax")
    return largest(x, axes, bool(keepdim))


@numpy_names
def amin(input, dim=(), keepdim: bool = False) -> Tensor:
    """The smallest element over ``dim`` (one, several, or all); ties share the gradient equally."""
    x = tensor_of(input)
    axes = axes_of(dim, x.ndim)
    _nonempty(x, axes, "amin")
    return smallest(x, axes, bool(keepdim))


def _along(x: Tensor, dim, keepdim, find, name: str) -> Ranked:
    axis = axis_of(dim, x.ndim)
    if not x.ndim:
        return Ranked(x.clone(), wrap(np.zeros((), np.int64)))
    _nonempty(x, (axis,), name)
    indices = np.expand_dims(find(x._data, axis=axis), axis)
    values = take_along_dim(x, wrap(indices), axis)
    if keepdim:
        return Ranked(values, wrap(indices))
    return Ranked(values.squeeze(axis), wrap(np.squeeze(indices, axis)))


@numpy_names
def max(input, dim=None, keepdim: bool = False, *, other=None):
    """The largest element of all (ties share the gradient), or values and indices along ``dim`` (the first of ties), or, with
    a tensor as second argument or as ``other``, :func:`maximum`."""
    if other is not None or isinstance(dim, Tensor):
        return maximum(input, dim if other is None else other)
    return amax(input) if dim is None else _along(tensor_of(input), dim, keepdim, np.argmax, "max")


@numpy_names
def min(input, dim=None, keepdim: bool = False, *, other=None):
    """The smallest element of all (ties share the gradient), or values and indices along ``dim`` (the first of ties), or, with
    a tensor as second argument or as ``other``, :func:`minimum`."""
    if other is not None or isinstance(dim, Tensor):
        return minimum(input, dim if other is None else other)
    return amin(input) if dim is None else _along(tensor_of(input), dim, keepdim, np.argmin, "min")


def _arg(find, input, dim, keepdim) -> Tensor:
    x = array_of(input)
    if dim is None:
        if not x.size:
            raise DimensionError(f"{find.__name__} needs at least one element: got shape {x.shape}")
        result = np.asarray(find(x))
        return wrap(result.reshape((1,) * x.ndim) if keepdim else result)
    axis = axis_of(dim, x.ndim)
    if not x.ndim:
        return wrap(np.zeros((), np.int64))
    if not x.shape[axis]:
        raise DimensionError(f"{find.__name__} needs at least one element along dim {dim}: got shape {x.shape}")
    return wrap(np.asarray(find(x, axis=axis, keepdims=bool(keepdim))))


@numpy_names
def argmax(input, dim=None, keepdim: bool = False) -> Tensor:
    """The index of the largest element, along ``dim`` or of the flattened tensor; the first of ties."""
    return _arg(np.argmax, input, dim, keepdim)


@numpy_names
def argmin(input, dim=None, keepdim: bool = False) -> Tensor:
    """The index of the smallest element, along ``dim`` or of the flattened tensor; the first of ties."""
    return _arg(np.argmin, input, dim, keepdim)


def _truth(find, input, dim, keepdim) -> Tensor:
    x = array_of(input)
    axes = () if dim == () else axes_of(dim, x.ndim)  # an empty tuple means no dimension here, as in PyTorch
    return wrap(np.asarray(find(x, axis=axes, keepdims=bool(keepdim))))


@numpy_names
def any(input, dim=None, keepdim: bool = False) -> Tensor:
    """Whether any element is true, over ``dim`` or in all."""
    return _truth(np.any, input, dim, keepdim)


@numpy_names
def all(input, dim=None, keepdim: bool = False) -> Tensor:
    """Whether every element is true, over ``dim`` or in all."""
    return _truth(np.all, input, dim, keepdim)


@primitive(r"\ln \sum_i e^{x_i}", name="logsumexp")
def log_sum_exp(x, axes, keepdim):
    """The logarithm of the sum of exponentials, shifted by the largest so that nothing overflows; -inf for a sum of nothing."""
    peak = np.maximum.reduce(x, axis=axes, keepdims=True, initial=-math.inf)
    with quiet(all="ignore"):
        shift = np.where(np.isfinite(peak), peak, 0)
        result = np.log(np.add.reduce(np.exp(x - shift), axis=axes, keepdims=True)) + shift
    return result if keepdim else np.squeeze(result, axes) if axes else result


def _log_sum_exp_rule(g, x, out, axes, keepdim):
    peak = spread(out, axes, keepdim)
    return spread(g, axes, keepdim) * np.where(peak == -math.inf, 0.0, np.exp(x - np.where(peak == -math.inf, 0.0, peak)))


log_sum_exp.vjp(x=_log_sum_exp_rule)


@numpy_names
def logsumexp(input, dim, keepdim: bool = False) -> Tensor:
    """log of the sum of exp over ``dim``, without overflow; the gradient of a row of -inf is 0."""
    x = tensor_of(input)
    if x.dtype.kind != "f":
        x = to(x, np.float32)
    return log_sum_exp(x, axes_of(dim, x.ndim), bool(keepdim))


@primitive(r"\sum_{j \le i} x_j", name="cumsum")
def running_sum(x, axis):
    """The running sum along a dimension, added up in float64: one float32 after another would lose digits."""
    with quiet(all="ignore"):
        return np.cumsum(x, axis=axis, dtype=np.float64).astype(x.dtype) if x.dtype.kind == "f" else np.cumsum(x, axis=axis)


running_sum.vjp(x=lambda g, axis: np.flip(running_sum.on(np.flip(g, axis), axis), axis))


@numpy_names
def cumsum(input, dim: int, *, dtype=None) -> Tensor:
    """The running sum along ``dim``. Booleans and integers add up in int64.

    Raises:
        DimensionError: for a ``dim`` that ``input`` does not have.
    """
    x = tensor_of(input)
    if dtype is not None or x.dtype.kind in "biu":
        x = to(x, INT64 if dtype is None else as_dtype(dtype))
    axis = axis_of(dim, x.ndim)
    return running_sum(x, axis) if x.ndim else x.clone()
