"""Elements in other places: turned round, moved along, repeated, cut to a triangle, read off a diagonal."""

from __future__ import annotations

import numpy as np

from ..errors import DimensionError, ShapeError, UsageError
from ..primitive import primitive
from ..tensor import Tensor, array_of
from .dims import axes_of, axis_of, integer, numpy_names, sizes


@primitive(r"\mathrm{flip}(x)", name="flip")
def flipped(x, axes):
    """The elements in reverse order along some dimensions."""
    return np.array(np.flip(x, axes), order="C")  # a copy: NumPy's view would let a write to it reach x


flipped.vjp(x=lambda g, axes: np.flip(g, axes))


def flip(input, *axes, dims=None) -> Tensor:
    """The order of the elements reversed along each of ``dims``, given one by one or as one sequence; a copy."""
    named = sizes(axes, dims)
    return flipped(input, axes_of(named, array_of(input).ndim) if named else ())


@primitive(r"\mathrm{roll}(x)", name="roll")
def rolled(x, shifts, axes):
    """The elements moved along, those that fall off one end coming in at the other."""
    return np.roll(x, shifts, axes)


rolled.vjp(x=lambda g, shifts, axes: np.roll(g, tuple(-s for s in shifts), axes))


@numpy_names
def roll(input, shifts, dims=None) -> Tensor:
    """The elements moved by ``shifts`` along ``dims`` (of the flattened tensor without ``dims``), round the end; a copy.

    Raises:
        UsageError: unless there is one shift for each dimension.
        DimensionError: if the tensor lacks one of the dimensions.
    """
    ndim = array_of(input).ndim
    shifts = sizes((shifts,))
    dims = None if dims is None else tuple(axis_of(d, ndim) for d in (dims if isinstance(dims, (tuple, list)) else (dims,)))
    if len(shifts) != (1 if dims is None else len(dims)):
        raise UsageError(f"roll needs one shift per dim: got {len(shifts)} shifts and {len(dims or ())} dims")
    if dims and not ndim:
        raise DimensionError("roll along a dim needs a tensor with dimensions: this one has none")
    return rolled(input, shifts, dims)


@primitive(r"\mathrm{repeat}(x)", name="repeat")
def repeated(x, counts):
    """The whole tensor so many times along each dimension; as many counts as dimensions, or more."""
    return np.tile(x, counts)


def _repeat_rule(g, x_shape, counts):
    sizes_in = (1,) * (len(counts) - len(x_shape)) + x_shape
    pairs = [n for count, size in zip(counts, sizes_in) for n in (count, size)]
    return np.reshape(np.sum(np.reshape(g, tuple(pairs)), axis=tuple(range(0, len(pairs), 2))), x_shape)


repeated.vjp(x=_repeat_rule)


def repeat(input, *counts, repeats=None) -> Tensor:
    """The whole tensor repeated so many times along each dimension; more counts than dimensions add some in front. A copy.

    Raises:
        ShapeError: for fewer counts than dimensions, or a negative count.
    """
    counts = sizes(counts, repeats)
    shape = array_of(input).shape
    if len(counts) < len(shape) or any(n < 0 for n in counts):
        raise ShapeError(f"repeat needs one count per dimension, none negative: got {counts} for shape {shape}")
    return repeated(input, counts)


def tile(input, *counts, dims=None) -> Tensor:
    """The whole tensor repeated along each dimension, as ``numpy.tile`` does: missing counts, in front, are 1."""
    counts = sizes(counts, dims)
    return repeat(input, (1,) * (array_of(input).ndim - len(counts)) + counts)


# -- triangles and diagonals --------------------------------------------------------------------------------------------


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
    return lower(input, integer(diagonal, "diagonal"))


def triu(input, diagonal: int = 0) -> Tensor:
    """The upper triangle of matrices (..., rows, columns), from the given diagonal; zeros below."""
    _matrices(input, "triu")
    return upper(input, integer(diagonal, "diagonal"))


def _matrices(input, name: str) -> None:
    if array_of(input).ndim < 2:
        raise ShapeError(f"{name} needs at least 2 dimensions: got shape {array_of(input).shape}")


@primitive(r"x_{ii}", name="diagonal")
def main_diagonal(x, offset, axis1, axis2):
    """The elements whose indices along two dimensions differ by ``offset``; a view."""
    result = np.diagonal(x, offset, axis1, axis2)
    result.flags.writeable = x.flags.writeable  # which NumPy takes away
    return result


@primitive(r"\mathrm{diag}(g)", name="diagonal_embed")
def on_diagonal(g, offset, axis1, axis2, shape):
    """Zeros of a given shape with ``g`` on a diagonal."""
    result = np.zeros(shape, g.dtype)
    main_diagonal.forward(result, offset, axis1, axis2)[...] = g
    return result


main_diagonal.vjp(x=lambda g, x_shape, offset, axis1, axis2: on_diagonal.on(g, offset, axis1, axis2, x_shape))
on_diagonal.vjp(g=lambda g, offset, axis1, axis2: main_diagonal.on(g, offset, axis1, axis2))


def diagonal(input, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The elements whose index along ``dim2`` is that along ``dim1`` plus ``offset``, as the last dimension of a view.

    Raises:
        DimensionError: if the tensor lacks one of the dimensions.
        UsageError: if the two dimensions are the same.
    """
    ndim = array_of(input).ndim
    axis1, axis2 = axis_of(dim1, ndim, "dim1"), axis_of(dim2, ndim, "dim2")
    if axis1 == axis2:
        raise UsageError(f"diagonal needs two different dimensions: got {dim1} and {dim2} for shape {array_of(input).shape}")
    return main_diagonal(input, integer(offset, "offset"), axis1, axis2)
