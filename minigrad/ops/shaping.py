"""Shape: the same elements in another arrangement. Gradients take the way back."""

from __future__ import annotations

import functools
import itertools
import math
import operator

import numpy as np

from ..errors import DimensionError, DTypeError, ShapeError, UsageError
from ..primitive import Primitive, primitive
from ..promotion import promote_types
from ..tensor import Tensor, raw, wrap
from .dims import axes_of, axis_of, numpy_names, sizes


@primitive(r"\mathrm{reshape}(x)", name="reshape")
def reshaped(x, shape):
    """The same elements in row-major order under another shape; a view where the memory allows."""
    return np.reshape(x, shape)


reshaped.vjp(x=lambda g, x_shape: np.reshape(g, x_shape))


def reshape(input, *size, shape=None) -> Tensor:
    """The same elements, in the same order, under another shape; one size may be -1, and follows from the others.

    Raises:
        ShapeError: if the sizes do not multiply to the number of elements.
    """
    x = raw(input)
    shape = sizes(size, shape)
    known = math.prod(n for n in shape if n != -1)
    unknown = shape.count(-1)
    fits = known == x.size if not unknown else unknown == 1 and known and x.size % known == 0
    if not fits or any(n < -1 for n in shape):
        raise ShapeError(f"reshape keeps the number of elements, with at most one -1: cannot turn {x.shape} into {shape}")
    return reshaped(input, shape)


def view(input, *shape) -> Tensor:
    """As :func:`reshape`: a copy where the memory does not allow a view, which PyTorch would refuse.

    Raises:
        DTypeError: for a dtype instead of a shape; reading the same bytes as another type has no gradient.
    """
    if len(shape) == 1 and isinstance(shape[0], (np.dtype, type, str)):
        raise DTypeError(f"view takes sizes, not the dtype {shape[0]}: use .to(dtype) to convert the values")
    return reshape(input, *shape)


def view_as(input, other) -> Tensor:
    """``input`` under the shape of ``other``."""
    return reshape(input, raw(other).shape)


reshape_as = view_as


def ravel(input) -> Tensor:
    """All elements as a vector."""
    return reshape(input, -1)


def flatten(input, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """The dimensions from ``start_dim`` to ``end_dim`` as one."""
    x = raw(input)
    if not x.ndim:
        return reshaped(input, (1,))
    start, end = axis_of(start_dim, x.ndim, "start_dim"), axis_of(end_dim, x.ndim, "end_dim")
    if start > end:
        raise UsageError(f"flatten goes from start_dim up to end_dim: got {start_dim} and {end_dim} for shape {x.shape}")
    return reshaped(input, (*x.shape[:start], math.prod(x.shape[start : end + 1]), *x.shape[end + 1 :]))


@numpy_names
def unflatten(input, dim: int, sizes: tuple[int, ...]) -> Tensor:
    """One dimension as several; one of ``sizes`` may be -1.

    Raises:
        ShapeError: if the sizes do not multiply to that of the dimension.
    """
    shape = raw(input).shape
    axis = axis_of(dim, len(shape))
    if not shape:
        raise ShapeError("unflatten needs a tensor with dimensions: this one has none; use reshape")
    return reshape(input, (*shape[:axis], *_completed(sizes, shape[axis]), *shape[axis + 1 :]))


def _completed(parts, total: int) -> tuple[int, ...]:
    """``parts`` with -1 replaced, so that they multiply to ``total``: also where other dimensions have size 0."""
    known = math.prod(n for n in parts if n != -1)
    parts = tuple((total // known if known else 0) if n == -1 else n for n in parts)
    if math.prod(parts) != total:
        raise ShapeError(f"unflatten needs sizes that multiply to {total}, with at most one -1: got {parts}")
    return parts


@primitive(r"x^{\mathsf{T}}", name="permute")
def permuted(x, order):
    """The dimensions in another order; a view."""
    return np.transpose(x, order)


permuted.vjp(x=lambda g, order: np.transpose(g, tuple(sorted(range(len(order)), key=order.__getitem__))))


def permute(input, *order, dims=None) -> Tensor:
    """The dimensions in another order: ``x.permute(2, 0, 1)``, ``x.permute((2, 0, 1))`` or ``dims=``.

    Raises:
        ShapeError: if not every dimension is named once.
    """
    x = raw(input)
    wanted = sizes(order, dims)
    order = tuple(axis_of(d, x.ndim) for d in wanted)
    if sorted(order) != list(range(x.ndim)):
        raise ShapeError(f"permute names each of the {x.ndim} dimensions once: got {wanted}")
    return permuted(input, order)


def transpose(input, dim0: int, dim1: int) -> Tensor:
    """Two dimensions swapped."""
    x = raw(input)
    a, b = axis_of(dim0, x.ndim), axis_of(dim1, x.ndim)
    order = list(range(x.ndim))
    if order:
        order[a], order[b] = b, a
    return permuted(input, tuple(order))


def swapaxes(input, axis0: int, axis1: int) -> Tensor:
    """Two dimensions swapped, under NumPy's name."""
    return transpose(input, axis0, axis1)


def t(input) -> Tensor:
    """A matrix transposed; a vector or a number as it is.

    Raises:
        ShapeError: for more dimensions than two.
    """
    x = raw(input)
    if x.ndim > 2:
        raise ShapeError(f"t() takes at most 2 dimensions: got shape {x.shape}; use .mT or transpose(dim0, dim1)")
    return reversed_dims(input)


def movedim(input, source, destination) -> Tensor:
    """The dimensions ``source`` (one or several) moved to ``destination``, the others keeping their order.

    Raises:
        UsageError: if the two do not name equally many dimensions, each once.
    """
    ndim = raw(input).ndim
    sources, targets = (
        axes_of(d if isinstance(d, (tuple, list)) else (d,), ndim) if d != () else () for d in (source, destination)
    )
    if len(sources) != len(targets):
        raise UsageError(f"movedim needs as many destinations as sources: got {source} and {destination}")
    order = [i for i in range(ndim) if i not in sources]
    for target, moved in sorted(zip(targets, sources)):
        order.insert(target, moved)
    return permuted(input, tuple(order))


moveaxis = movedim


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


def expand(input, *shape, size=None) -> Tensor:
    """Dimensions of size 1 repeated to ``shape``, and new ones put in front; -1 keeps a size. No memory is copied.

    Raises:
        ShapeError: if a size other than 1 would have to change.
    """
    x = raw(input)
    wanted = sizes(shape, size)
    lead = len(wanted) - x.ndim
    target = tuple(x.shape[i - lead] if n == -1 and i >= lead else n for i, n in enumerate(wanted))
    if lead < 0 or any(n < 0 for n in target) or any(a not in (1, b) for a, b in zip(x.shape, target[max(lead, 0) :])):
        raise ShapeError(f"expand repeats dimensions of size 1 and adds dimensions in front: cannot turn {x.shape} into {wanted}")
    return broadcasted(input, target)


def expand_as(input, other) -> Tensor:
    """``input`` expanded to the shape of ``other``."""
    return expand(input, raw(other).shape)


def broadcast_to(input, size) -> Tensor:
    """As :func:`expand`, with the shape as one sequence."""
    return expand(input, size)


@numpy_names
def squeeze(input, dim=None) -> Tensor:
    """Without its dimensions of size 1, or without those of ``dim`` that have size 1."""
    x = raw(input)
    axes = range(x.ndim) if dim is None else axes_of(dim, x.ndim) if dim != () else ()
    return reshaped(input, tuple(n for i, n in enumerate(x.shape) if n != 1 or i not in axes))


@numpy_names
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


@functools.cache
def _joined(count: int) -> Primitive:
    """The primitive that joins ``count`` tensors: a primitive has a fixed number of arguments, and ``cat`` has not."""
    pieces = [f"x{i}" for i in range(count)]
    joined = Primitive(_concatenated, r"[x_0; x_1; \dots]", False, "cat", (*pieces, "axis", "starts"))
    joined.vjp(**{piece: _piece_rule(i) for i, piece in enumerate(pieces)})
    return joined


def _concatenated(*arguments):
    """Tensors one behind the other along an axis; ``starts`` says where each begins."""
    *pieces, axis, _starts = arguments
    return np.concatenate(pieces, axis)


def _piece_rule(i: int):
    return lambda g, axis, starts: g[(slice(None),) * axis + (slice(starts[i], starts[i + 1]),)]


@numpy_names
def cat(tensors, dim: int = 0) -> Tensor:
    """Tensors joined along ``dim``; their other sizes agree.

    Raises:
        UsageError: for no tensors at all.
        ShapeError: if their other sizes differ.
    """
    if isinstance(tensors, (Tensor, np.ndarray)):
        raise DTypeError("cat takes a list or tuple of tensors: got a single tensor")
    tensors = [t for t in tensors if raw(t).shape != (0,)] or list(tensors)[:1]  # PyTorch lets an empty vector join anything
    if not tensors:
        raise UsageError("cat needs at least one tensor: got none")
    shapes = [raw(t).shape for t in tensors]
    if any(len(s) == 0 for s in shapes):
        raise ShapeError("cat needs tensors with dimensions: got one without; use stack")
    axis = axis_of(dim, len(shapes[0]))
    if len({len(s) for s in shapes}) > 1 or len({(*s[:axis], *s[axis + 1 :]) for s in shapes}) > 1:
        raise ShapeError(f"cat needs sizes that agree except in dim {dim}: got {', '.join(map(str, shapes))}")
    dtype = functools.reduce(promote_types, (raw(t).dtype for t in tensors))
    tensors = [_as(t, dtype) for t in tensors]
    starts = (0, *itertools.accumulate(shape[axis] for shape in shapes))
    return _joined(len(tensors))(*tensors, axis, starts)


def _as(t, dtype):
    if raw(t).dtype == dtype:
        return t
    return t.to(dtype) if isinstance(t, Tensor) else np.asarray(t, dtype)


concat = concatenate = cat


@numpy_names
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


@numpy_names
def split(tensor, split_size_or_sections, dim: int = 0) -> tuple[Tensor, ...]:
    """Views along ``dim`` of a given size each (the last may be smaller), or of the sizes listed.

    Raises:
        ShapeError: if the sizes listed do not add up to the size of ``dim``, or there is no dimension to split.
    """
    axis, length = _to_part(tensor, dim, "split")
    try:
        size = operator.index(split_size_or_sections)
    except TypeError:
        parts = sizes((tuple(split_size_or_sections),))
    else:
        if size < 0 or (size == 0 and length):
            raise UsageError(f"split needs a positive size: got {size}")
        parts = tuple(min(size, length - i) for i in range(0, length, size)) if length else (0,)
    if sum(parts) != length or any(n < 0 for n in parts):
        raise ShapeError(f"split sections add up to the size {length} of dim {dim}: got {parts}")
    starts = (0, *itertools.accumulate(parts))
    tensor = tensor if isinstance(tensor, Tensor) else wrap(np.asarray(tensor))
    return tuple(tensor[(slice(None),) * axis + (slice(a, b),)] for a, b in itertools.pairwise(starts))


def _to_part(input, dim: int, name: str) -> tuple[int, int]:
    """The axis to part a tensor along, and its length."""
    shape = raw(input).shape
    axis = axis_of(dim, len(shape))
    if not shape:
        raise DimensionError(f"{name} needs a tensor with dimensions: this one has none")
    return axis, shape[axis]


@numpy_names
def chunk(input, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most ``chunks`` views of equal size along ``dim`` (the last may be smaller)."""
    if chunks <= 0:
        raise UsageError(f"chunk needs a positive number of chunks: got {chunks}")
    _, length = _to_part(input, dim, "chunk")
    return split(input, -(-length // chunks), dim) if length else split(input, [0] * chunks, dim)


@numpy_names
def unbind(input, dim: int = 0) -> tuple[Tensor, ...]:
    """The slices along ``dim``, without that dimension."""
    axis, length = _to_part(input, dim, "unbind")
    return tuple(input[(slice(None),) * axis + (i,)] for i in range(length))


@numpy_names
def narrow(input, dim: int, start: int, length: int) -> Tensor:
    """The ``length`` slices along ``dim`` from ``start`` on, as a view.

    Raises:
        DimensionError: if they do not all exist.
    """
    axis, size = _to_part(input, dim, "narrow")
    first = start + size if start < 0 else start
    if length < 0 or not 0 <= first <= size - length:
        raise DimensionError(f"narrow needs start and length within dim {dim} of size {size}: got {start} and {length}")
    return input[(slice(None),) * axis + (slice(first, first + length),)]
