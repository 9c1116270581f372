"""Order: sorting, the largest few, the distinct values. Values carry gradients back to where they came from; indices do not."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..errors import UsageError
from ..tensor import Tensor, raw, wrap
from .dims import axis_of, numpy_names
from .indexing import chosen, take_along_dim


class Ranked(NamedTuple):
    """Values in order, and the indices they had."""

    values: Tensor
    indices: Tensor


@numpy_names
def sort(input, dim: int = -1, descending: bool = False, stable: bool = False) -> Ranked:
    """Values in order along ``dim`` with their indices; equal values keep their order. NaN counts as the largest."""
    order = _order(input, dim, descending)
    return Ranked(_taken(input, order, dim), wrap(order))


@numpy_names
def argsort(input, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
    """The indices that put the values along ``dim`` in order."""
    return wrap(_order(input, dim, descending))


def _order(input, dim: int, descending: bool) -> np.ndarray:
    x = raw(input)
    axis = axis_of(dim, x.ndim)
    if not x.ndim:
        return np.zeros((), np.int64)
    if not descending:
        return np.argsort(x, axis=axis, kind="stable")
    backward = np.argsort(np.flip(x, axis), axis=axis, kind="stable")  # flipped twice, so that ties keep their order
    return np.ascontiguousarray(x.shape[axis] - 1 - np.flip(backward, axis))


def _taken(input, order, dim) -> Tensor:
    return take_along_dim(input, wrap(order), dim) if order.ndim else chosen(input, ())


@numpy_names
def topk(input, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Ranked:
    """The ``k`` largest (or smallest) values along ``dim``, in order, with their indices.

    Raises:
        UsageError: for more values than there are.
    """
    x = raw(input)
    axis = axis_of(dim, x.ndim)
    length = x.shape[axis] if x.ndim else 1
    if not 0 <= k <= length:
        raise UsageError(f"topk finds from 0 to {length} values along dim {dim} of shape {x.shape}: got k={k}")
    if not x.ndim:
        return Ranked(chosen(input, ()), wrap(np.zeros((), np.int64)))
    if 4 * k < length and x.dtype.kind == "f" and not np.isnan(x).any():
        part = np.argpartition(-x if largest else x, k, axis=axis).take(range(k), axis) if k else np.zeros(0, np.int64)
        if not k:
            part = np.zeros((*x.shape[:axis], 0, *x.shape[axis + 1 :]), np.int64)
        values = np.take_along_axis(x, part, axis)
        order = np.take_along_axis(part, _order(values, axis, largest), axis)
    else:
        order = _order(x, axis, largest).take(range(k), axis)
    return Ranked(_taken(input, order, dim), wrap(order))


def unique(input, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False, dim=None):
    """The values that occur, in order; optionally where each element of the input went, and how often each value occurs."""
    parts = np.unique(raw(input), return_inverse=return_inverse, return_counts=return_counts, axis=dim)
    if not isinstance(parts, tuple):
        return wrap(parts)
    return tuple(wrap(np.asarray(p)) for p in parts)


def nonzero(input, *, as_tuple: bool = False):
    """The indices of the elements that are not zero, one row each: (count, ndim); or, as a tuple, one vector per dimension."""
    x = np.asarray(raw(input))
    if as_tuple:
        return tuple(wrap(i) for i in np.nonzero(np.atleast_1d(x)))
    return wrap(np.argwhere(x))
