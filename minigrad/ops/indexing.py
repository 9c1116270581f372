"""Choosing elements. Where one element is chosen twice, its gradients add up."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ..errors import DimensionError, DTypeError, ShapeError, UsageError
from ..primitive import Part, primitive
from ..tensor import Tensor, array_of, raw
from .dims import axis_of, integer, numpy_names

# -- x[index] -----------------------------------------------------------------------------------------------------------


class TwoSteps:
    """An index of integers and index arrays together: first the integers, slices and None, then the arrays.

    PyTorch works in these two steps. NumPy counts the integers among the index arrays, and so may put the dimensions of the
    result in another order: ``x[0, :, [0, 1]]`` has shape (2, n) in NumPy and (n, 2) here.
    """

    __slots__ = ("arrays", "basic")

    def __init__(self, parts: tuple, ndim: int):
        named = sum(_consumes(p) for p in parts)
        basic: list[Any] = []
        arrays: list[Any] = []
        for p in parts:
            if p is Ellipsis:
                whole = [slice(None)] * (ndim - named)
                basic += whole
                arrays += whole
            elif isinstance(p, np.ndarray):
                basic += [slice(None)] * _consumes(p)
                arrays.append(p)
            else:
                basic.append(p)
                if not isinstance(p, int):
                    arrays.append(slice(None))
        self.basic, self.arrays = tuple(basic), tuple(arrays)

    def __repr__(self) -> str:
        return f"{shown(self.basic)}{shown(self.arrays)}"


def _consumes(part) -> int:
    """How many dimensions of the indexed tensor one part of an index stands for."""
    if isinstance(part, np.ndarray):
        return part.ndim if part.dtype == np.bool_ else 1
    return int(isinstance(part, (int, slice)))


def plain(index, ndim: int):
    """The index with arrays in place of tensors and lists, checked where NumPy would not.

    Raises:
        DimensionError: for parts that are no index.
    """
    if index.__class__ is int or index.__class__ is slice:
        return index
    if not isinstance(index, tuple):
        return _part(index)
    parts = tuple([_part(p) for p in index])
    kinds = {p.__class__ for p in parts}
    return TwoSteps(parts, ndim) if int in kinds and np.ndarray in kinds else parts


def _part(part):
    if part is None or part is Ellipsis or isinstance(part, slice):
        return part
    if isinstance(part, (bool, np.bool_)):
        return np.asarray(part)
    if isinstance(part, Tensor):
        part = part._data
    elif isinstance(part, (list, range)):
        part = np.asarray([raw(i) for i in part]) if len(part) else np.zeros(0, np.int64)
    if isinstance(part, (np.ndarray, np.generic)):
        if part.dtype.kind not in "biu":
            raise _no_index(f"an array of dtype {part.dtype}")
        # A copy, because the backward pass needs the index as it is now, whatever its owner does to it in between.
        return np.array(part) if part.ndim or part.dtype == np.bool_ else int(part)
    if isinstance(part, (str, bytes)):
        raise DTypeError(f"a tensor is indexed by position, not by name: got {part!r}")
    try:
        return operator.index(part)
    except TypeError:
        raise _no_index(repr(part)) from None


def _no_index(got: str) -> DimensionError:
    return DimensionError(f"a tensor is indexed by integers, booleans, slices, ... and None: got {got}")


def read(x, index):
    """The elements of an array or tensor at a plain index."""
    return x[index.basic][index.arrays] if isinstance(index, TwoSteps) else x[index]


def place(x: np.ndarray, index):
    """Where a plain index writes: an array of ``x``'s memory, and the index into that."""
    return (x[(*index.basic, Ellipsis)], index.arrays) if isinstance(index, TwoSteps) else (x, index)


def may_repeat(index) -> bool:
    """Whether an index might name one element twice: only integer arrays can."""
    if isinstance(index, TwoSteps):
        index = index.arrays
    parts = index if isinstance(index, tuple) else (index,)
    return any(isinstance(p, np.ndarray) and p.dtype != np.bool_ for p in parts)


@primitive(r"x[i]", name="getitem")
def chosen(x, index):
    """The chosen elements: a view for slices and integers, a copy for index arrays."""
    return read(x, index)


@primitive(r"\mathrm{scatter}(g, i)", name="put")
def placed(g, index, shape):
    """Zeros of a given shape with ``g`` added in at ``index``, once for each time an element is named."""
    result = np.zeros(shape, g.dtype)
    add_at(result, index, g)
    return result


def add_at(array: np.ndarray, index, values) -> None:
    """``array[index] += values``, once for each time that the plain index names an element."""
    target, index = place(array, index)
    if not may_repeat(index):
        target[index] += values
    elif isinstance(index, np.ndarray):
        add_rows(target, index, values)
    else:
        np.add.at(target, index, values)


def add_rows(table: np.ndarray, ids: np.ndarray, rows: np.ndarray) -> None:
    """``table[ids] += rows`` with repeated ids adding up, where ids index the first dimension."""
    if not rows.size:
        return
    flat = ids.reshape(-1)
    rows = rows.reshape(flat.size, -1)
    if rows.shape[1] == 1:
        np.add.at(table.reshape(-1), flat, rows[:, 0])  # quick in one dimension, and slow in more
        return
    flat = np.where(flat < 0, flat + len(table), flat)
    order = np.argsort(flat, kind="stable")
    ranked = flat[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    table.reshape(len(table), -1)[ranked[starts]] += np.add.reduceat(rows[order], starts, axis=0)


def _choice_rule(g, x_shape, index):
    if isinstance(g, Tensor):
        return placed(g, index, x_shape)
    return Part(lambda array: add_at(array, index, g), x_shape, g.dtype)


chosen.vjp(x=_choice_rule)
placed.vjp(g=lambda g, index: read(g, index))


def getitem(input: Tensor, index) -> Tensor:
    """``input[index]``: integers, slices, ``...``, None, boolean masks and integer arrays.

    A view for integers, slices, ``...`` and None; a copy where masks or arrays take part. Index arrays apart from each other
    put their dimensions in front, as in NumPy; integers are not counted among them, as in PyTorch. Unlike PyTorch, slices may
    step backwards.

    Raises:
        DimensionError: for an index outside its dimension, too many of them, or masks and arrays that do not fit.
    """
    index = plain(index, array_of(input).ndim)
    try:
        return chosen(input, index)
    except (IndexError, ValueError) as error:
        raise explained(input, index, error) from None


def explained(input, index, error) -> Exception:
    """The NumPy error in our words."""
    shape = array_of(input).shape
    if not shape:
        return DimensionError(f"a tensor without dimensions has no elements to choose by {shown(index)}: use item()")
    return DimensionError(f"cannot index a tensor of shape {shape} by {shown(index)}: {error}")


def shown(index) -> str:
    """An index for a message: arrays by dtype and shape."""
    if isinstance(index, tuple):
        return "[" + ", ".join(shown(i) for i in index) + "]"
    if isinstance(index, slice):
        return ":".join("" if n is None else str(n) for n in (index.start, index.stop, index.step)).removesuffix(":")
    return f"{index.dtype} array {index.shape}" if isinstance(index, np.ndarray) else repr(index)


@numpy_names
def select(input, dim: int, index: int) -> Tensor:
    """The slice number ``index`` along ``dim``, without that dimension."""
    axis = axis_of(dim, array_of(input).ndim)
    return getitem(input, (slice(None),) * axis + (integer(index, "index"),))


# -- by index tensors ---------------------------------------------------------------------------------------------------


def _index_tensor(index, name: str) -> np.ndarray:
    index = raw(index)
    if not isinstance(index, (np.ndarray, np.generic)) or index.dtype.kind not in "iu":
        raise DTypeError(f"{name} needs an integer index tensor: got {getattr(index, 'dtype', type(index).__name__)}")
    return np.array(index)  # a copy: the backward pass needs the index as it is now


def _in_range(index: np.ndarray, size: int, name: str) -> None:
    if index.size and (index.min() < 0 or index.max() >= size):
        bad = index[(index < 0) | (index >= size)].flat[0]
        raise DimensionError(f"{name} needs indices from 0 to {size - 1}: got {bad}")


def along(index: np.ndarray, axis: int) -> tuple:
    """Index arrays that address, for each position of ``index``, the element with that index along ``axis``."""
    ndim = index.ndim
    return tuple(
        [
            index if i == axis else np.arange(n).reshape((1,) * i + (n,) + (1,) * (ndim - i - 1))
            for i, n in enumerate(index.shape)
        ]
    )


@numpy_names
def gather(input, dim: int, index) -> Tensor:
    """``out[i][j] = input[index[i][j]][j]`` for dim 0, and so on for the others.

    Shapes:
        ``index`` has as many dimensions as ``input`` and is nowhere larger except along ``dim``; the result has its shape.

    Raises:
        ShapeError, DTypeError: for another index.
        DimensionError: for indices that are negative or too large.
    """
    x, where = array_of(input), _index_tensor(index, "gather")
    axis = axis_of(dim, x.ndim)
    _fits(x, where, axis, "gather")
    _in_range(where, x.shape[axis] if x.ndim else 1, "gather")
    return chosen(input, along(where, axis))


def _fits(x, where, axis: int, name: str) -> None:
    if where.ndim != x.ndim or any(n > m for i, (n, m) in enumerate(zip(where.shape, x.shape)) if i != axis):
        raise ShapeError(
            f"{name} needs an index with the dimensions of {x.shape}, larger only in dim {axis}: got {where.shape}"
        )


@primitive(r"x_{i} \mathrel{+}= v", name="scatter_add")
def added_at(x, source, where, axis):
    """x with ``source`` added at the places that ``where`` names along ``axis``."""
    result = np.array(x)
    np.add.at(result, along(where, axis), source[_corner(where)])
    return result


def _corner(where: np.ndarray) -> tuple[slice, ...]:
    """The index of the part of a source that an index tensor as large or smaller covers."""
    return tuple(slice(n) for n in where.shape)


added_at.vjp(
    x=lambda g: g,
    source=lambda g, source_shape, where, axis: placed.on(g[along(where, axis)], _corner(where), source_shape),
)


@numpy_names
def scatter_add(input, dim: int, index, src) -> Tensor:
    """``input`` with ``src[i][j]`` added at ``[index[i][j]][j]`` for dim 0, and so on; repeated places add up.

    Shapes:
        ``index`` has as many dimensions as ``input``, and is nowhere larger except along ``dim``; ``src`` is at least as large
        as ``index``.

    Raises:
        ShapeError, DTypeError: for operands that do not fit.
        DimensionError: for indices that are negative or too large.
    """
    x, where, source = array_of(input), _index_tensor(index, "scatter_add"), array_of(src)
    axis = axis_of(dim, x.ndim)
    _fits(x, where, axis, "scatter_add")
    if where.ndim != source.ndim or any(n > m for n, m in zip(where.shape, source.shape)):
        raise ShapeError(f"scatter_add needs a source at least as large as its index: got {source.shape} and {where.shape}")
    _in_range(where, x.shape[axis] if x.ndim else 1, "scatter_add")
    if source.dtype != x.dtype:
        raise DTypeError(f"scatter_add needs one dtype: got {x.dtype} and a source of {source.dtype}")
    return added_at(input, src, where, axis) if x.ndim else input + src


@numpy_names
def index_select(input, dim: int, index) -> Tensor:
    """The slices of ``input`` along ``dim`` that a vector of indices names; a slice named twice comes twice.

    Raises:
        DimensionError: for indices that are negative or too large, or that are no vector.
    """
    x, where = array_of(input), _index_tensor(index, "index_select")
    if where.ndim > 1:
        raise DimensionError(f"index_select needs a vector of indices: got shape {where.shape}")
    axis = axis_of(dim, x.ndim)
    _in_range(where, x.shape[axis] if x.ndim else 1, "index_select")
    if not x.ndim:
        return chosen(input, ())
    where = where.reshape(-1)
    return chosen(input, (slice(None),) * axis + (where,) if axis else where)


@numpy_names
def repeat_interleave(input, repeats, dim=None) -> Tensor:
    """Each element, or each slice along ``dim``, ``repeats`` times in a row; one number, or one for each of them.

    Raises:
        ShapeError: if there are neither one nor as many repeats as slices.
        UsageError: for negative repeats.
    """
    x = input.reshape(-1) if dim is None else input
    axis = 0 if dim is None else axis_of(dim, array_of(input).ndim)
    length = raw(x).shape[axis]
    counts = np.asarray(raw(repeats))
    if counts.ndim > 1 or counts.size not in (1, length):
        raise ShapeError(
            f"repeat_interleave needs one number of repeats, or one for each of {length}: got shape {counts.shape}"
        )
    if counts.size and counts.min() < 0:
        raise UsageError(f"repeat_interleave needs repeats from 0 upward: got {counts.min()}")
    return index_select(x, axis, np.repeat(np.arange(length), counts))


@numpy_names
def take_along_dim(input, indices, dim=None) -> Tensor:
    """The elements that ``indices`` names along ``dim`` (of the flattened tensor without one); other dimensions broadcast.

    Raises:
        ShapeError, DTypeError: for indices that do not fit.
        DimensionError: for indices that are negative or too large.
    """
    x, where = array_of(input), _index_tensor(indices, "take_along_dim")
    if dim is None:
        where = where.reshape(-1)
        _in_range(where, x.size, "take_along_dim")
        return chosen(input.reshape(-1), where)
    axis = axis_of(dim, x.ndim)
    if where.ndim != x.ndim:
        raise ShapeError(f"take_along_dim needs as many dimensions in indices as in the input: got {where.shape} and {x.shape}")
    if not x.ndim:
        x, where = x.reshape(1), where.reshape(1)
        _in_range(where, 1, "take_along_dim")
        return chosen(input, ())
    shape = list(_together((*x.shape[:axis], 1, *x.shape[axis + 1 :]), (*where.shape[:axis], 1, *where.shape[axis + 1 :])))
    _in_range(where, x.shape[axis], "take_along_dim")
    shape[axis] = where.shape[axis]
    where = np.broadcast_to(where, shape)
    shape[axis] = x.shape[axis]
    return chosen(input if x.shape == tuple(shape) else input.expand(shape), along(where, axis))


def _together(a: tuple, b: tuple) -> tuple[int, ...]:
    try:
        return np.broadcast_shapes(a, b)
    except ValueError:
        raise ShapeError(f"sizes that differ must be 1 to broadcast: got {a} and {b}") from None


def masked_select(input, mask) -> Tensor:
    """The elements where the bool tensor ``mask`` holds, as a vector; the two broadcast.

    Raises:
        DTypeError: for a mask that is not bool.
    """
    x, held = array_of(input), array_of(mask)
    if held.dtype != np.bool_:
        raise DTypeError(f"masked_select needs a bool mask: got dtype {held.dtype}")
    shape = _together(x.shape, held.shape)
    return chosen(input if x.shape == shape else input.expand(shape), np.broadcast_to(held, shape))
