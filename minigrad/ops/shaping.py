"""Shape: the same elements in another arrangement. Gradients take the way back."""

from __future__ import annotations

import math

import numpy as np

from ..errors import DTypeError, ShapeError, UsageError
from ..primitive import primitive
from ..tensor import Tensor, array_of
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
    x = array_of(input)
    shape = sizes(size, shape)
    if -1 in shape or math.prod(shape) != x.size:
        shape = _completed(shape, x.size, f"cannot turn {x.shape} into {shape}")
    return reshaped(input, shape)


def _completed(parts: tuple[int, ...], total: int, otherwise: str) -> tuple[int, ...]:
    """``parts`` with the one -1 among them replaced, so that they multiply to ``total``."""
    known = math.prod(n for n in parts if n != -1)
    if min(parts, default=0) < -1 or parts.count(-1) != 1 or not known or total % known:
        raise ShapeError(f"the number of elements stays, and at most one size is -1: {otherwise}")
    return tuple(total // known if n == -1 else n for n in parts)


def view(input, *shape, size=None) -> Tensor:
    """As :func:`reshape`: a copy where the memory does not allow a view, which PyTorch would refuse.

    Raises:
        DTypeError: for a dtype instead of a shape; reading the same bytes as another type has no gradient.
    """
    if len(shape) == 1 and isinstance(shape[0], (np.dtype, type, str)):
        raise DTypeError(f"view takes sizes, not the dtype {shape[0]}: use .to(dtype) to convert the values")
    return reshape(input, *shape, shape=size)


def view_as(input, other) -> Tensor:
    """``input`` under the shape of ``other``."""
    return reshape(input, array_of(other).shape)


reshape_as = view_as


def ravel(input) -> Tensor:
    """All elements as a vector."""
    return reshape(input, -1)


def flatten(input, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """The dimensions from ``start_dim`` to ``end_dim`` as one."""
    x = array_of(input)
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
    shape = array_of(input).shape
    axis = axis_of(dim, len(shape))
    if not shape:
        raise ShapeError("unflatten needs a tensor with dimensions: this one has none; use reshape")
    parts = tuple(sizes)
    if -1 in parts or math.prod(parts) != shape[axis]:
        parts = _completed(parts, shape[axis], f"cannot turn dim {dim} of size {shape[axis]} into {parts}")
    return reshaped(input, (*shape[:axis], *parts, *shape[axis + 1 :]))


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
    x = array_of(input)
    wanted = sizes(order, dims)
    order = tuple(axis_of(d, x.ndim) for d in wanted)
    if sorted(order) != list(range(x.ndim)):
        raise ShapeError(f"permute names each of the {x.ndim} dimensions once: got {wanted}")
    return permuted(input, order)


def transpose(input, dim0: int, dim1: int) -> Tensor:
    """Two dimensions swapped."""
    x = array_of(input)
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
    x = array_of(input)
    if x.ndim > 2:
        raise ShapeError(f"t() takes at most 2 dimensions: got shape {x.shape}; use .mT or transpose(dim0, dim1)")
    return reversed_dims(input)


def movedim(input, source, destination) -> Tensor:
    """The dimensions ``source`` (one or several) moved to ``destination``, the others keeping their order.

    Raises:
        UsageError: if the two do not name equally many dimensions, each once.
    """
    ndim = array_of(input).ndim
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
    x = array_of(input)
    if x.ndim < 2:
        raise ShapeError(f".mT needs at least 2 dimensions: got shape {x.shape}")
    return transpose(input, -2, -1)


def reversed_dims(input) -> Tensor:
    """All dimensions in reverse order (``.T``)."""
    return permuted(input, tuple(reversed(range(array_of(input).ndim))))


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
    x = array_of(input)
    wanted = sizes(shape, size)
    lead = len(wanted) - x.ndim
    target = tuple(x.shape[i - lead] if n == -1 and i >= lead else n for i, n in enumerate(wanted))
    if lead < 0 or any(n < 0 for n in target) or any(a not in (1, b) for a, b in zip(x.shape, target[max(lead, 0) :])):
        raise ShapeError(
            f"expand repeats dimensions of size 1 and adds dimensions in front: cannot turn {x.shape} into {wanted}"
        )
    return broadcasted(input, target)


def expand_as(input, other) -> Tensor:
    """``input`` expanded to the shape of ``other``."""
    return expand(input, array_of(other).shape)


def broadcast_to(input, size) -> Tensor:
    """As :func:`expand`, with the shape as one sequence."""
    return expand(input, size)


@numpy_names
def squeeze(input, dim=None) -> Tensor:
    """Without its dimensions of size 1, or without those of ``dim`` that have size 1."""
    x = array_of(input)
    axes = range(x.ndim) if dim is None else axes_of(dim, x.ndim) if dim != () else ()
    return reshaped(input, tuple(n for i, n in enumerate(x.shape) if n != 1 or i not in axes))


@numpy_names
def unsqueeze(input, dim: int) -> Tensor:
    """With a new dimension of size 1 at ``dim``."""
    shape = array_of(input).shape
    axis = axis_of(dim, len(shape) + 1)
    return reshaped(input, (*shape[:axis], 1, *shape[axis:]))


@primitive(r"\mathrm{contiguous}(x)", name="contiguous")
def packed(x):
    """A copy in row-major order."""
    return np.array(x, order="C")


packed.vjp(x=lambda g: g)


def contiguous(input) -> Tensor:
    """The tensor itself if its memory is in row-major order, else such a copy."""
    x = array_of(input)
    return input if isinstance(x, np.generic) or x.flags.c_contiguous else packed(input)


@primitive(r"x", name="clone")
def copied(x):
    """A copy with memory of its own."""
    return np.array(x, order="K")


copied.vjp(x=lambda g: g)


def clone(input) -> Tensor:
    """A copy with memory of its own; gradients flow through it."""
    return copied(input)
