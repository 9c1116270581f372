"""Shape: the same elements in another arrangement. Gradients take the way back."""

from __future__ import annotations

import math
import operator

import numpy as np

from ..errors import ShapeError, UsageError
from ..primitive import primitive
from ..tensor import Tensor, raw
from .dims import axes_of, axis_of, sizes


@primitive(r"\mathrm{reshape}(x)", name="reshape")
def reshaped(x, shape):
    """The same elements in row-major order under another shape; a view where the memory allows."""
    return np.reshape(x, shape)


reshaped.vjp(x=lambda g, x_shape: np.reshape(g, x_shape))


def reshape(input, *shape) -> Tensor:
    """The same elements, in the same order, under another shape; one size may be -1, and follows from the others.

    Raises:
        ShapeError: if the sizes do not multiply to the number of elements.
    """
    x = raw(input)
    shape = sizes(shape)
    known = math.prod(n for n in shape if n != -1)
    unknown = shape.count(-1)
    fits = known == x.size if not unknown else unknown == 1 and known and x.size % known == 0
    if not fits or any(n < -1 for n in shape):
        raise ShapeError(f"reshape keeps the number of elements, with at most one -1: cannot turn {x.shape} into {shape}")
    return reshaped(input, shape)


def view(input, *shape) -> Tensor:
    """As :func:`reshape`; a copy where the memory does not allow a view."""
    return reshape(input, *shape)


def flatten(input, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """The dimensions from ``start_dim`` to ``end_dim`` as one."""
    x = raw(input)
    if not x.ndim:
        return reshaped(input, (1,))
    start, end = axis_of(start_dim, x.ndim, "start_dim"), axis_of(end_dim, x.ndim, "end_dim")
    if start > end:
        raise UsageError(f"flatten goes from start_dim up to end_dim: got {start_dim} and {end_dim} for shape {x.shape}")
    return reshaped(input, (*x.shape[:start], math.prod(x.shape[start : end + 1]), *x.shape[end + 1 :]))


def unflatten(input, dim: int, sizes_: tuple[int, ...]) -> Tensor:
    """One dimension as several; one of ``sizes_`` may be -1."""
    x = raw(input)
    axis = axis_of(dim, x.ndim)
    return reshape(input, (*x.shape[:axis], *sizes_, *x.shape[axis + 1 :]))


@primitive(r"x^{\mathsf{T}}", name="permute")
def permuted(x, order):
    """The dimensions in another order; a view."""
    return np.transpose(x, order)


permuted.vjp(x=lambda g, order: np.transpose(g, tuple(sorted(range(len(order)), key=order.__getitem__))))


def permute(input, *dims) -> Tensor:
    """The dimensions in the order ``dims``.

    Raises:
        ShapeError: if ``dims`` does not name every dimension once.
    """
    x = raw(input)
    order = tuple(axis_of(d, x.ndim) for d in sizes(dims))
    if sorted(order) != list(range(x.ndim)):
        raise ShapeError(f"permute names each of the {x.ndim} dimensions once: got {sizes(dims)}")
    return permuted(input, order)


def transpose(input, dim0: int, dim1: int) -> Tensor:
    """Two dimensions swapped."""
    x = raw(input)
    a, b = axis_of(dim0, x.ndim), axis_of(dim1, x.ndim)
    order = list(range(x.ndim))
    if order:
        order[a], order[b] = b, a
    return permuted(input, tuple(order))


swapaxes = transpose


def matrix_transpose(input) -> Tensor:
    """The last two dimensions swapped (``.mT``)."""
    x = raw(input)
    if x.ndim < 2:
        raise ShapeError(f".mT needs at least 2 dimensions: got shape {x.shape}")
    return transpose(input, -2, -1)


def reversed_dims(input) -> Tensor:
    """All dimensions in reverse order (``.T``)."""
    return permuted(input, tuple(reversed(range(raw(input).ndim))))


@primitive(r"\mathrm{broadcast}(x)", name="expand")
def broadcasted(x, shape):
    """The same values repeated along new or size-1 dimensions, without a copy."""
    return np.broadcast_to(x, shape)


broadcasted.vjp(x=lambda g: g)  # the tape sums what was broadcast


def expand(input, *shape) -> Tensor:
    """Dimensions of size 1 repeated to ``shape``, and new ones put in front; -1 keeps a size. No memory is copied.

    Raises:
        ShapeError: if a size other than 1 would have to change.
    """
    x = raw(input)
    wanted = sizes(shape)
    lead = len(wanted) - x.ndim
    target = tuple(x.shape[i - lead] if n == -1 and i >= lead else n for i, n in enumerate(wanted))
    if lead < 0 or any(n < 0 for n in target) or any(a not in (1, b) for a, b in zip(x.shape, target[max(lead, 0) :])):
        raise ShapeError(f"expand repeats dimensions of size 1 and adds dimensions in front: cannot turn {x.shape} into {wanted}")
    return broadcasted(input, target)


def expand_as(input, other) -> Tensor:
    """``input`` expanded to the shape of ``other``."""
    return expand(input, raw(other).shape)


def broadcast_to(input, shape) -> Tensor:
    """As :func:`expand`, with the shape as one sequence."""
    return expand(input, shape)


def squeeze(input, dim=None) -> Tensor:
    """Without its dimensions of size 1, or without those of ``dim`` that have size 1."""
    x = raw(input)
    axes = range(x.ndim) if dim is None else axes_of(dim, x.ndim) if dim != () else ()
    return reshaped(input, tuple(n for i, n in enumerate(x.shape) if n != 1 or i not in axes))


def unsqueeze(input, dim: int) -> Tensor:
    """With a new dimension of size 1 at ``dim``."""
    shape = raw(input).shape
    axis = axis_of(dim, len(shape) + 1)
    return reshaped(input, (*shape[:axis], 1, *shape[axis:]))


@primitive(r"\mathrm{contiguous}(x)", name="contiguous")
def packed(x):
    """A copy in row-major order."""
    return np.array(x, order="C")


packed.vjp(x=lambda g: g)


def contiguous(input) -> Tensor:
    """The tensor itself if its memory is in row-major order, else such a copy."""
    x = raw(input)
    return input if isinstance(x, np.generic) or x.flags.c_contiguous else packed(input)


@primitive(r"x", name="clone")
def copied(x):
    """A copy with memory of its own."""
    return np.array(x, order="K")


copied.vjp(x=lambda g: g)


def clone(input) -> Tensor:
    """A copy with memory of its own; gradients flow through it."""
    return copied(input)


# -- joining and parting ------------------------------------------------------------------------------------------------


class _Join:
    """``cat`` takes any number of tensors, and a primitive a fixed number of arguments: one primitive per number."""

    def __init__(self):
        self._of: dict[int, object] = {}

    def of(self, count: int):
        if count not in self._of:
            names = [f"x{i}" for i in range(count)]
            namespace: dict = {"np": np}
            source = f"def cat({', '.join(names)}, axis, starts): return np.concatenate([{', '.join(names)}], axis)"
            exec(source, namespace)
            joined = primitive(r"[x_0; x_1; \dots]", name="cat")(namespace["cat"])
            joined.vjp(**{name: _piece_rule(i) for i, name in enumerate(names)})
            self._of[count] = joined
        return self._of[count]


def _piece_rule(i: int):
    return lambda g, axis, starts: g[(slice(None),) * axis + (slice(starts[i], starts[i + 1]),)]


_join = _Join()


def cat(tensors, dim: int = 0) -> Tensor:
    """Tensors joined along ``dim``; their other sizes agree.

    Raises:
        UsageError: for no tensors at all.
        ShapeError: if their other sizes differ.
    """
    from ..promotion import promote_types

    tensors = [t for t in tensors if raw(t).shape != (0,)] or list(tensors)[:1]
    if not tensors:
        raise UsageError("cat needs at least one tensor: got none")
    shapes = [raw(t).shape for t in tensors]
    if any(len(s) == 0 for s in shapes):
        raise ShapeError("cat needs tensors with dimensions: got one without; use stack")
    axis = axis_of(dim, len(shapes[0]))
    others = {(*s[:axis], *s[axis + 1 :]) for s in shapes}
    if len(others) > 1 or len({len(s) for s in shapes}) > 1:
        raise ShapeError(f"cat needs sizes that agree except in dim {dim}: got {', '.join(map(str, shapes))}")
    dtypes = [raw(t).dtype for t in tensors]
    dtype = dtypes[0]
    for other in dtypes[1:]:
        dtype = promote_types(dtype, other)
    tensors = [t if raw(t).dtype == dtype else _as(t, dtype) for t in tensors]
    starts = [0]
    for shape in shapes:
        starts.append(starts[-1] + shape[axis])
    return _join.of(len(tensors))(*tensors, axis, tuple(starts))  # type: ignore[operator]


def _as(t, dtype):
    return t.to(dtype) if isinstance(t, Tensor) else np.asarray(t, dtype)


concat = concatenate = cat


def stack(tensors, dim: int = 0) -> Tensor:
    """Tensors of one shape joined along a new dimension.

    Raises:
        ShapeError: if their shapes differ.
    """
    tensors = list(tensors)
    shapes = {raw(t).shape for t in tensors}
    if len(shapes) != 1:
        got = ", ".join(map(str, shapes)) if shapes else "no tensors"
        raise ShapeError(f"stack needs tensors of one shape: got {got}")
    return cat([unsqueeze(t, dim) for t in tensors], axis_of(dim, len(shapes.pop()) + 1))


def split(input, split_size_or_sections, dim: int = 0) -> tuple[Tensor, ...]:
    """Views along ``dim`` of a given size each (the last may be smaller), or of the sizes listed.

    Raises:
        ShapeError: if the sizes listed do not add up to the size of ``dim``.
    """
    x = raw(input)
    axis = axis_of(dim, x.ndim)
    length = x.shape[axis]
    try:
        size = operator.index(split_size_or_sections)
    except TypeError:
        parts = [operator.index(n) for n in split_size_or_sections]
    else:
        if size <= 0 and length:
            raise UsageError(f"split needs a positive size: got {size}")
        parts = [min(size, length - i) for i in range(0, length, size)] if length else [0]
    if sum(parts) != length or any(n < 0 for n in parts):
        raise ShapeError(f"split sections add up to the size {length} of dim {dim}: got {parts}")
    starts = [sum(parts[:i]) for i in range(len(parts))]
    index = (slice(None),) * axis
    tensor = input if isinstance(input, Tensor) else Tensor(input)
    return tuple(tensor[(*index, slice(start, start + n))] for start, n in zip(starts, parts))


def chunk(input, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most ``chunks`` views of equal size along ``dim`` (the last may be smaller)."""
    if chunks <= 0:
        raise UsageError(f"chunk needs a positive number of chunks: got {chunks}")
    x = raw(input)
    length = x.shape[axis_of(dim, x.ndim)]
    return split(input, max(-(-length // chunks), 1), dim) if length else split(input, [0] * chunks, dim)


def unbind(input, dim: int = 0) -> tuple[Tensor, ...]:
    """The slices along ``dim``, without that dimension."""
    x = raw(input)
    axis = axis_of(dim, x.ndim)
    return tuple(input[(slice(None),) * axis + (i,)] for i in range(x.shape[axis]))


# -- repeating and turning ----------------------------------------------------------------------------------------------


@primitive(r"\mathrm{flip}(x)", name="flip")
def flipped(x, axes):
    """The elements in reverse order along some dimensions."""
    return np.flip(x, axes)


flipped.vjp(x=lambda g, axes: np.flip(g, axes))


def flip(input, *dims) -> Tensor:
    """The order of the elements reversed along each of ``dims``."""
    dims = sizes(dims)
    return flipped(input, axes_of(dims, raw(input).ndim) if dims else ())


@primitive(r"\mathrm{roll}(x)", name="roll")
def rolled(x, shifts, axes):
    """The elements moved along, those that fall off one end coming in at the other."""
    return np.roll(x, shifts, axes)


rolled.vjp(x=lambda g, shifts, axes: np.roll(g, tuple(-s for s in shifts) if isinstance(shifts, tuple) else -shifts, axes))


def roll(input, shifts, dims=None) -> Tensor:
    """The elements moved by ``shifts`` along ``dims`` (of the flattened tensor without ``dims``), round the end."""
    ndim = raw(input).ndim
    if dims is None:
        return rolled(input, operator.index(shifts) if not isinstance(shifts, (tuple, list)) else shifts[0], None)
    shifts = tuple(shifts) if isinstance(shifts, (tuple, list)) else (shifts,)
    dims = tuple(dims) if isinstance(dims, (tuple, list)) else (dims,)
    if len(shifts) != len(dims):
        raise UsageError(f"roll needs one shift per dim: got {len(shifts)} shifts and {len(dims)} dims")
    return rolled(input, shifts, tuple(axis_of(d, ndim) for d in dims))


def tile(input, *dims) -> Tensor:
    """The whole tensor repeated ``dims`` times along each dimension, as ``numpy.tile`` does."""
    counts = sizes(dims)
    ndim = raw(input).ndim
    return repeat(input, *((1,) * (ndim - len(counts)) + counts))


def repeat(input, *counts) -> Tensor:
    """The whole tensor repeated so many times along each dimension; more counts than dimensions add some in front.

    Raises:
        ShapeError: for fewer counts than dimensions, or a negative count.
    """
    counts = sizes(counts)
    shape = raw(input).shape
    lead = len(counts) - len(shape)
    if lead < 0 or any(n < 0 for n in counts):
        raise ShapeError(f"repeat needs one count per dimension, none negative: got {counts} for shape {shape}")
    shape = (1,) * lead + shape
    pairs = tuple(n for count, size in zip(counts, shape) for n in (1, size))
    spread = tuple(n for count, size in zip(counts, shape) for n in (count, size))
    return reshaped(broadcasted(reshaped(input, pairs), spread), tuple(c * n for c, n in zip(counts, shape)))


# -- triangles ----------------------------------------------------------------------------------------------------------


@primitive(r"\mathrm{tril}(x)", name="tril")
def lower(x, diagonal):
    """The lower triangle, zeros above."""
    return np.tril(x, diagonal)


@primitive(r"\mathrm{triu}(x)", name="triu")
def upper(x, diagonal):
    """The upper triangle, zeros below."""
    return np.triu(x, diagonal)


lower.vjp(x=lambda g, diagonal: np.tril(g, diagonal))
upper.vjp(x=lambda g, diagonal: np.triu(g, diagonal))


def tril(input, diagonal: int = 0) -> Tensor:
    """The lower triangle of matrices (..., rows, columns), up to the given diagonal; zeros above."""
    _matrices(input, "tril")
    return lower(input, diagonal)


def triu(input, diagonal: int = 0) -> Tensor:
    """The upper triangle of matrices (..., rows, columns), from the given diagonal; zeros below."""
    _matrices(input, "triu")
    return upper(input, diagonal)


def _matrices(input, name: str) -> None:
    if raw(input).ndim < 2:
        raise ShapeError(f"{name} needs at least 2 dimensions: got shape {raw(input).shape}")
