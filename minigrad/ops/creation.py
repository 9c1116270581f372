"""New tensors. The default dtype is float32."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..errors import DTypeError, UsageError
from ..promotion import FLOAT32, INT64, scalar_dtype
from ..tensor import Tensor, array_of, as_dtype, wrap
from .dims import integer, shape_of


def _new(array: np.ndarray, requires_grad: bool) -> Tensor:
    result = wrap(array)
    return result.requires_grad_() if requires_grad else result


def zeros(*shape, size=None, dtype=None, requires_grad: bool = False) -> Tensor:
    """Zeros of the given shape."""
    return _new(np.zeros(shape_of(shape, size), as_dtype(dtype or FLOAT32)), requires_grad)


def ones(*shape, size=None, dtype=None, requires_grad: bool = False) -> Tensor:
    """Ones of the given shape."""
    return _new(np.ones(shape_of(shape, size), as_dtype(dtype or FLOAT32)), requires_grad)


def empty(*shape, size=None, dtype=None, requires_grad: bool = False) -> Tensor:
    """Uninitialised memory of the given shape."""
    return _new(np.empty(shape_of(shape, size), as_dtype(dtype or FLOAT32)), requires_grad)


def full(size, fill_value, *, dtype=None, requires_grad: bool = False) -> Tensor:
    """``fill_value``, a number, everywhere; its kind (bool, integer, float) decides the dtype: bool, int64 or float32."""
    value = _number(fill_value)
    dtype = scalar_dtype(value) if dtype is None else as_dtype(dtype)
    return _new(np.full(shape_of((size,)), value, dtype), requires_grad)


def _number(x) -> Any:
    """A tensor, array or NumPy scalar of one element as a Python number; a number as it is."""
    if isinstance(x, (Tensor, np.ndarray, np.generic)):
        return x.item()
    if not isinstance(x, (int, float)):
        raise DTypeError(f"a number is needed here: got {x!r}")
    return x


def arange(start=None, end=None, step=1, *, dtype=None, requires_grad: bool = False) -> Tensor:
    """start, start + step, ... up to but without ``end``; ``arange(n)`` counts from 0. Integers give int64.

    Raises:
        DTypeError: without an ``end``.
        UsageError: for a step of 0 or one that leads away from ``end``, and for bounds that are not finite.
    """
    if start is None and end is None:
        raise DTypeError("arange needs an end: got neither start nor end")
    if start is None or end is None:
        start, end = 0, start if end is None else end
    start, end, step = _number(start), _number(end), _number(step)
    if not math.isfinite(end - start):
        raise UsageError(f"arange needs bounds that are finite: got {start} and {end}")
    if step == 0 or (end - start) * step < 0:
        raise UsageError(f"arange needs a step that leads from start to end: got {start}, {end}, {step}")
    if dtype is None:
        dtype = INT64 if all(isinstance(x, int) for x in (start, end, step)) else FLOAT32
    count = math.ceil((end - start) / step)
    values = start + np.arange(count) * step
    return _new(values.astype(as_dtype(dtype)), requires_grad)


def linspace(start, end, steps: int, *, dtype=None, requires_grad: bool = False) -> Tensor:
    """``steps`` numbers at equal distances from ``start`` to ``end``, both included."""
    if integer(steps, "steps") < 0:
        raise UsageError(f"linspace needs a number of steps from 0 upward: got {steps}")
    return _new(np.linspace(_number(start), _number(end), steps).astype(as_dtype(dtype or FLOAT32)), requires_grad)


def eye(n: int, m: int | None = None, *, dtype=None, requires_grad: bool = False) -> Tensor:
    """The identity matrix (n, n), or ones on the diagonal of (n, m)."""
    rows, columns = shape_of((n, n if m is None else m))
    return _new(np.eye(rows, columns, dtype=as_dtype(dtype or FLOAT32)), requires_grad)


def zeros_like(input, *, dtype=None, requires_grad: bool = False) -> Tensor:
    """Zeros with the shape and dtype of ``input``."""
    return zeros(array_of(input).shape, dtype=dtype or array_of(input).dtype, requires_grad=requires_grad)


def ones_like(input, *, dtype=None, requires_grad: bool = False) -> Tensor:
    """Ones with the shape and dtype of ``input``."""
    return ones(array_of(input).shape, dtype=dtype or array_of(input).dtype, requires_grad=requires_grad)


def empty_like(input, *, dtype=None, requires_grad: bool = False) -> Tensor:
    """Uninitialised memory with the shape and dtype of ``input``."""
    return empty(array_of(input).shape, dtype=dtype or array_of(input).dtype, requires_grad=requires_grad)


def full_like(input, fill_value, *, dtype=None, requires_grad: bool = False) -> Tensor:
    """``fill_value`` everywhere, with the shape and dtype of ``input``."""
    return full(array_of(input).shape, fill_value, dtype=dtype or array_of(input).dtype, requires_grad=requires_grad)


def from_numpy(array: np.ndarray) -> Tensor:
    """A tensor that shares the memory of ``array``."""
    from .. import aliasing

    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
        raise DTypeError(f"from_numpy needs a numeric NumPy array: got {getattr(array, 'dtype', type(array).__name__)}")
    return wrap(aliasing.adopt(array))


def as_tensor(data, dtype=None) -> Tensor:
    """A tensor as it is, an array without a copy, anything else as :func:`minigrad.tensor` makes it."""
    if isinstance(data, Tensor):
        return data if dtype is None else data.to(dtype)
    if isinstance(data, np.ndarray) and (dtype is None or data.dtype == as_dtype(dtype)):
        return from_numpy(data)
    return Tensor(data, dtype)
