"""Choosing elements, and putting them back. Where one element is chosen twice, its gradients add up."""

from __future__ import annotations

import operator
from typing import NamedTuple

import numpy as np

from .. import aliasing
from ..errors import DimensionError, DTypeError, GraphError, ShapeError, UsageError
from ..primitive import primitive, state
from ..tensor import Tensor, raw, wrap
from .dims import axis_of, numpy_names


# -- x[index] -----------------------------------------------------------------------------------------------------------


def _plain(index):
    """The index with arrays in place of tensors and lists, and the checks NumPy leaves out."""
    if isinstance(index, tuple):
        return tuple(_plain(i) for i in index)
    if isinstance(index, Tensor):
        index = index._data
    if isinstance(index, list):
        index = np.asarray([raw(i) for i in index]) if index else np.zeros(0, np.int64)
    if isinstance(index, (np.ndarray, np.generic)) and index.dtype.kind not in "biu":
        raise DimensionError(f"a tensor is indexed by integers, booleans, slices, ... and None: got dtype {index.dtype}")
    if isinstance(index, float):
        raise DimensionError(f"a tensor is indexed by integers, booleans, slices, ... and None: got {index!r}")
    return index


def _is_basic(index) -> bool:
    """Whether an index chooses a view (each element at most once): integers, slices, ... and None only."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(p is None or p is Ellipsis or isinstance(p, (slice, int, np.integer)) and p is not True and p is not False for p in parts)


@primitive(r"x[i]", name="getitem")
def chosen(x, index):
    """The chosen elements: a view for slices and integers, a copy for index arrays."""
    return x[index]


@primitive(r"\mathrm{scatter}(g, i)", name="put")
def placed(g, index, shape):
    """Zeros of a given shape with ``g`` added in at ``index``, once for each time an element is named."""
    result = np.zeros(shape, g.dtype)
    if _is_basic(index):
        result[index] = g
    elif isinstance(index, np.ndarray) and index.dtype.kind in "iu" and len(shape) >= 1:
        add_rows(result, index, g)
    else:
        np.add.at(result, index, g)
    return result


def add_rows(table: np.ndarray, ids: np.ndarray, rows: np.ndarray) -> None:
    """``table[ids] += rows`` with repeated ids adding up, where ids index the first dimension."""
    count = len(table)
    flat = ids.reshape(-1)
    if not flat.size:
        return
    rows = rows.reshape(flat.size, -1)
    flat = np.where(flat < 0, flat + count, flat)
    if rows.shape[1] == 1:
        if table.dtype == np.float64:
            table.reshape(-1)[:] += np.bincount(flat, rows[:, 0], count)
        else:
            np.add.at(table.reshape(-1), flat, rows[:, 0])
        return
    order = np.argsort(flat, kind="stable")
    ranked = flat[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    table.reshape(count, -1)[ranked[starts]] += np.add.reduceat(rows[order], starts, axis=0)


chosen.vjp(x=lambda g, x_shape, index: placed.on(g, index, x_shape))
placed.vjp(g=lambda g, index: g[index])


def getitem(input: Tensor, index) -> Tensor:
    """``input[index]``: integers, slices, ``...``, None, boolean masks and integer arrays, as in NumPy.

    Raises:
        DimensionError: for an index outside its dimension, or too many of them.
        ShapeError: for masks or index arrays whose shapes do not fit.
    """
    index = _plain(index)
    try:
        return chosen(input, index)
    except (IndexError, ValueError) as error:
        raise _explained(input, index, error) from None


def _explained(input, index, error) -> Exception:
    """The NumPy error in our words."""
    shape = raw(input).shape
    if isinstance(error, (DimensionError, ShapeError)):
        return error
    if "zero-dimensional" in str(error) or not shape:
        return DimensionError(f"a tensor without dimensions has no elements to choose by {index!r}: use item()")
    return DimensionError(f"cannot index a tensor of shape {shape} by {_shown(index)}: {error}")


def _shown(index) -> str:
    if isinstance(index, tuple):
        return "[" + ", ".join(_shown(i) for i in index) + "]"
    return f"{index.dtype} array {index.shape}" if isinstance(index, np.ndarray) else repr(index)


# -- x[index] = value ---------------------------------------------------------------------------------------------------


@primitive(r"x[i] \leftarrow v", name="setitem")
def assigned(x, value, index):
    """x with the elements at ``index`` replaced by ``value``; here as a new array."""
    result = np.array(x)
    result[index] = value
    return result


def _kept_rule(g, index):
    kept = np.ones(g.shape, np.bool_)
    kept[index] = False
    return np.where(kept, g, 0.0)


assigned.vjp(x=_kept_rule, value=lambda g, index: g[index])


def setitem(input: Tensor, index, value) -> None:
    """``input[index] = value``, in place and differentiable: gradients flow to ``value``, and to what was not replaced.

    Raises:
        GraphError: for a leaf that requires gradients, or a view of another tensor, outside ``no_grad()``.
    """
    index = _plain(index)
    update_in_place(input, assigned, (value if isinstance(value, Tensor) else np.asarray(raw(value)), index), index=index)


def update_in_place(target: Tensor, operation, operands: tuple, index=None) -> Tensor:
    """Make ``target`` hold ``operation(target, *operands)``: its memory is written to, and the tape notes who made the value.

    Raises:
        GraphError: where gradients would be lost: ``target`` is a leaf that requires them, or a view.
    """
    recorded = state.recording and (
        target._requires_grad or any(isinstance(o, Tensor) and o._requires_grad for o in operands)
    )
    name = operation.name
    if recorded:
        if target._node is None and target._requires_grad:
            raise GraphError(
                f"{name} would change a leaf that requires gradients in place, and its own value would be lost to the tape: "
                "work on a .clone(), or update it inside no_grad()"
            )
        if isinstance(target._data, np.ndarray) and target._data.base is not None and _shared(target._data):
            raise GraphError(
                f"{name} would change a view in place, and the tensor it shows would not notice: write to that tensor itself, "
                "or to a .clone()"
            )
        before = wrap(target._data, target._requires_grad)
        before._node = target._node
    else:
        before = target.detach()
    values = target._data
    if not isinstance(values, np.ndarray):
        values = np.asarray(values)
    try:
        if index is not None and not recorded:
            aliasing.note_write(values)
            values[index] = raw(operands[0])
            target._data = values
            return target
        result = operation(before, *operands)
    except (IndexError, ValueError) as error:
        raise _explained(target, index, error) if index is not None else error from None
    new = result._data
    if new.shape != values.shape:
        raise ShapeError(f"{name} in place keeps the shape {values.shape}: the result has {new.shape}; use the form that returns one")
    if np.result_type(new.dtype, values.dtype).kind != values.dtype.kind and new.dtype.kind != values.dtype.kind:
        raise DTypeError(f"{name} in place keeps the dtype {values.dtype}: the result has {new.dtype}; convert the tensor first")
    if not values.flags.writeable:
        values = np.array(values)
    aliasing.note_write(values)
    values[...] = new
    target._data = values
    if result._node is not None:
        target._node, target._requires_grad = result._node, True
    return target


def _shared(array: np.ndarray) -> bool:
    """Whether a view shows the memory of an array that is in use elsewhere, rather than being its only face."""
    import sys

    return sys.getrefcount(array.base) > 2


# -- by index tensors ---------------------------------------------------------------------------------------------------


def _index_tensor(index, name: str) -> np.ndarray:
    index = raw(index)
    if not isinstance(index, (np.ndarray, np.generic)) or index.dtype.kind not in "iu":
        raise DTypeError(f"{name} needs an integer index tensor: got {getattr(index, 'dtype', type(index).__name__)}")
    return np.asarray(index)


def _in_range(index: np.ndarray, size: int, name: str) -> None:
    if index.size and (index.min() < 0 or index.max() >= size):
        bad = index[(index < 0) | (index >= size)].flat[0]
        raise DimensionError(f"{name} needs indices from 0 to {size - 1}: got {bad}")


def _along(index: np.ndarray, axis: int):
    """Index arrays that address, for each position of ``index``, the element with that index along ``axis``."""
    grids = np.ogrid[tuple(slice(n) for n in index.shape)]
    return tuple(index if i == axis else grid for i, grid in enumerate(grids))


def gather(input, dim: int, index) -> Tensor:
    """``out[i][j] = input[index[i][j]][j]`` for dim 0, and so on for the others.

    Shapes:
        ``index`` has as many dimensions as ``input`` and is nowhere larger except along ``dim``; the result has its shape.
    """
    x, where = raw(input), _index_tensor(index, "gather")
    axis = axis_of(dim, x.ndim)
    _fits_along(x, where, axis, "gather")
    _in_range(where, x.shape[axis] if x.ndim else 1, "gather")
    return chosen(input, _along(where, axis))


def _fits_along(x, where, axis: int, name: str) -> None:
    if where.ndim != x.ndim or any(n > m for i, (n, m) in enumerate(zip(where.shape, x.shape)) if i != axis):
        raise ShapeError(f"{name} needs an index with the dimensions of {x.shape}, larger only in dim {axis}: got {where.shape}")


@primitive(r"x_{i} \mathrel{+}= v", name="scatter_add")
def added_at(x, source, where, axis):
    """x with ``source`` added at the places that ``where`` names along ``axis``."""
    result = np.array(x)
    np.add.at(result, _along(where, axis), source[tuple(slice(n) for n in where.shape)])
    return result


added_at.vjp(
    x=lambda g: g,
    source=lambda g, source_shape, where, axis: placed.on(
        g[_along(where, axis)], tuple(slice(n) for n in where.shape), source_shape
    ),
)


def scatter_add(input, dim: int, index, src) -> Tensor:
    """``input`` with ``src[i][j]`` added at ``[index[i][j]][j]`` for dim 0, and so on; repeated places add up."""
    x, where, source = raw(input), _index_tensor(index, "scatter_add"), raw(src)
    axis = axis_of(dim, x.ndim)
    _fits_along(x, where, axis, "scatter_add")
    if any(n > m for n, m in zip(where.shape, source.shape)) or where.ndim != source.ndim:
        raise ShapeError(f"scatter_add needs a source at least as large as its index: got {source.shape} and {where.shape}")
    _in_range(where, x.shape[axis], "scatter_add")
    if source.dtype != x.dtype:
        raise DTypeError(f"scatter_add needs one dtype: got {x.dtype} and a source of {source.dtype}")
    return added_at(input, src, where, axis)


@numpy_names
def index_select(input, dim: int, index) -> Tensor:
    """The slices of ``input`` along ``dim`` that a vector of indices names; a slice named twice comes twice."""
    x, where = raw(input), _index_tensor(index, "index_select")
    if where.ndim > 1:
        raise ShapeError(f"index_select needs a vector of indices: got shape {where.shape}")
    axis = axis_of(dim, x.ndim)
    _in_range(where, x.shape[axis] if x.ndim else 1, "index_select")
    if not x.ndim:
        return chosen(input, ())
    return chosen(input, (slice(None),) * axis + (where.reshape(-1),)) if axis else chosen(input, where.reshape(-1))


@numpy_names
def take_along_dim(input, indices, dim=None) -> Tensor:
    """The elements that ``indices`` names along ``dim`` (of the flattened tensor without one); other dimensions broadcast."""
    x, where = raw(input), _index_tensor(indices, "take_along_dim")
    if dim is None:
        where = where.reshape(-1)
        _in_range(where, x.size, "take_along_dim")
        return chosen(input.reshape(-1), where)
    axis = axis_of(dim, x.ndim)
    if where.ndim != x.ndim:
        raise ShapeError(f"take_along_dim needs as many dimensions in indices as in the input: got {where.shape} and {x.shape}")
    shape = np.broadcast_shapes(
        tuple(1 if i == axis else n for i, n in enumerate(x.shape)), tuple(1 if i == axis else n for i, n in enumerate(where.shape))
    )
    _in_range(where, x.shape[axis], "take_along_dim")
    where = np.broadcast_to(where, tuple(where.shape[axis] if i == axis else n for i, n in enumerate(shape)))
    if x.shape != (wide := tuple(x.shape[axis] if i == axis else n for i, n in enumerate(shape))):
        input = input.expand(wide)
    return chosen(input, _along(where, axis))


def masked_select(input, mask) -> Tensor:
    """The elements where the bool tensor ``mask`` holds, as a vector; the two broadcast."""
    x, chosen_by = raw(input), raw(mask)
    if chosen_by.dtype != np.bool_:
        raise DTypeError(f"masked_select needs a bool mask: got dtype {chosen_by.dtype}")
    shape = np.broadcast_shapes(x.shape, chosen_by.shape)
    if x.shape != shape:
        input = input.expand(shape)
    return chosen(input, np.broadcast_to(chosen_by, shape))


def select(input, dim: int, index: int) -> Tensor:
    """The slice number ``index`` along ``dim``, without that dimension."""
    axis = axis_of(dim, raw(input).ndim)
    return getitem(input, (slice(None),) * axis + (operator.index(index),))


# -- order --------------------------------------------------------------------------------------------------------------


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


def nonzero(input) -> Tensor:
    """The indices of the elements that are not zero, one row each: (count, ndim)."""
    return wrap(np.argwhere(raw(input)))
