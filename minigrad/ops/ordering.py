"""Order: sorting, the largest few, the distinct values. Values carry gradients back to where they came from; indices do not."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..errors import UsageError
from ..tensor import Tensor, array_of, wrap
from .dims import axis_of, integer, numpy_names
from .indexing import along, chosen


class Ranked(NamedTuple):
    """What :func:`sort`, :func:`topk`, and ``max`` and ``min`` along a dimension return: values, and the indices they had."""

    values: Tensor
    indices: Tensor


@numpy_names
def sort(input, dim: int = -1, descending: bool = False, stable: bool = False) -> Ranked:
    """Values in order along ``dim`` with their indices; equal values keep their order. NaN counts as the largest."""
    x = array_of(input)
    axis = axis_of(dim, x.ndim)
    return _ranked(input, _order(x, axis, descending), axis)


@numpy_names
def argsort(input, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
    """The indices that put the values along ``dim`` in order."""
    x = array_of(input)
    return wrap(_order(x, axis_of(dim, x.ndim), descending))


def _order(x, axis: int, descending: bool) -> np.ndarray:
    if not x.ndim:
        return np.zeros((), np.int64)
    if not descending:
        return np.argsort(x, axis=axis, kind="stable")
    backward = np.argsort(np.flip(x, axis), axis=axis, kind="stable")  # flipped twice, so that ties keep their order
    return np.ascontiguousarray(x.shape[axis] - 1 - np.flip(backward, axis))


def _ranked(input, order: np.ndarray, axis: int) -> Ranked:
    return Ranked(chosen(input, along(order, axis)), wrap(order))


@numpy_names
def topk(input, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Ranked:
    """The ``k`` largest (or smallest) values along ``dim``, in order, with their indices; the first of equal values.

    Raises:
        UsageError: for more values than there are.
    """
    x = array_of(input)
    axis = axis_of(dim, x.ndim)
    length = x.shape[axis] if x.ndim else 1
    if not 0 <= integer(k, "k") <= length:
        raise UsageError(f"topk finds from 0 to {length} values along dim {dim} of shape {x.shape}: got k={k}")
    if not x.ndim:
        return _ranked(input, np.zeros((), np.int64), axis)
    order = _few(x, k, axis, largest) if 0 < k <= min(_FEW, length // 2) and x.dtype.kind == "f" else None
    if order is None:
        order = _order(x, axis, largest).take(range(k), axis)
    return _ranked(input, order, axis)


_FEW = 128  # up to so many searches for one extreme value are quicker than one sort


def _few(x: np.ndarray, k: int, axis: int, largest: bool) -> np.ndarray | None:
    """The indices of the k extreme values by k searches, each of which strikes out what it found.

    None where what is struck out could not be told from what was there, or NaN hides what is there: then one must sort.
    """
    rows = np.array(np.moveaxis(x, axis, -1), order="C")
    shape = (*rows.shape[:-1], k)
    rows = rows.reshape(-1, x.shape[axis])
    lines = np.arange(len(rows))
    found = np.empty((len(rows), k), np.int64)
    for i in range(k):
        found[:, i] = place = rows.argmax(1) if largest else rows.argmin(1)
        if not np.isfinite(rows[lines, place]).all():
            return None
        rows[lines, place] = -np.inf if largest else np.inf
    return np.moveaxis(found.reshape(shape), -1, axis)


@numpy_names
def unique(input, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False, dim=None):
    """The values that occur (the slices along ``dim``, if given), in order.

    Returns:
        the values; with ``return_inverse``, also where each element of the input went among them; with ``return_counts``, also
        how often each occurs.
    """
    if dim is not None:
        dim = axis_of(dim, array_of(input).ndim)
    parts = np.unique(array_of(input), return_inverse=return_inverse, return_counts=return_counts, axis=dim)
    if not isinstance(parts, tuple):
        return wrap(parts)
    return tuple(wrap(np.asarray(p)) for p in parts)


def nonzero(input, *, as_tuple: bool = False):
    """The indices of the elements that are not zero, one row each: (count, ndim); or, as a tuple, one vector per dimension."""
    x = np.asarray(array_of(input))
    if as_tuple:
        return tuple(wrap(i) for i in np.nonzero(np.atleast_1d(x)))
    return wrap(np.argwhere(x))
