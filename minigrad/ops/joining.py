"""Several tensors as one, and one as several."""

from __future__ import annotations

import functools
import itertools

import numpy as np

from ..errors import DimensionError, DTypeError, ShapeError, UsageError
from ..primitive import Primitive
from ..promotion import promote_types
from ..tensor import Tensor, array_of, tensor_of, wrap
from .dims import axis_of, integer, numpy_names, sizes

# -- joining ------------------------------------------------------------------------------------------------------------


def _of_any_number(name: str, formula: str, join, options: tuple[str, ...], rule_of):
    """An operation on any number of tensors: a primitive for each number, because a primitive has a fixed number of arguments.

    Args:
        join: takes the tensors, then the ``options``.
        rule_of: gives the rule of tensor number i.
    """

    @functools.cache
    def primitive_for(count: int) -> Primitive:
        pieces = [f"x{i}" for i in range(count)]
        joined = Primitive(join, formula, False, name, (*pieces, *options))
        joined.vjp(**{piece: rule_of(i) for i, piece in enumerate(pieces)})
        return joined

    return primitive_for


def _concatenated(*arguments):
    """Tensors one behind the other along an axis; ``starts`` says where each begins."""
    *pieces, axis, _starts = arguments
    return np.concatenate(pieces, axis)


def _stacked(*arguments):
    """Tensors of one shape side by side along a new axis."""
    *pieces, axis = arguments
    return np.stack(pieces, axis)


def _piece_of_cat(i: int):
    return lambda g, axis, starts: g[(slice(None),) * axis + (slice(starts[i], starts[i + 1]),)]


def _piece_of_stack(i: int):
    return lambda g, axis: g[(slice(None),) * axis + (i,)]


_cat_of = _of_any_number("cat", r"[x_0; x_1; \dots]", _concatenated, ("axis", "starts"), _piece_of_cat)
_stack_of = _of_any_number("stack", r"(x_0, x_1, \dots)", _stacked, ("axis",), _piece_of_stack)


@numpy_names
def cat(tensors, dim: int = 0) -> Tensor:
    """Tensors joined along ``dim``; their other sizes agree.

    Raises:
        UsageError: for no tensors at all.
        ShapeError: if their other sizes differ.
    """
    _a_sequence(tensors, "cat")
    if not tensors:
        raise UsageError("cat needs at least one tensor: got none")
    # PyTorch lets an empty vector join anything; only its dtype counts.
    tensors = _alike(tensors)
    tensors = [t for t in tensors if array_of(t).shape != (0,)] or tensors[:1]
    shapes = [array_of(t).shape for t in tensors]
    if any(len(s) == 0 for s in shapes):
        raise ShapeError("cat needs tensors with dimensions: got one without; use stack")
    axis = axis_of(dim, len(shapes[0]))
    if len({len(s) for s in shapes}) > 1 or len({(*s[:axis], *s[axis + 1 :]) for s in shapes}) > 1:
        raise ShapeError(f"cat needs sizes that agree except in dim {dim}: got {', '.join(map(str, shapes))}")
    starts = (0, *itertools.accumulate(shape[axis] for shape in shapes))
    return _cat_of(len(tensors))(*tensors, axis, starts)


def _a_sequence(tensors, name: str) -> None:
    if not isinstance(tensors, (list, tuple)):
        raise DTypeError(f"{name} takes a list or tuple of tensors: got a {type(tensors).__name__}")


def _alike(tensors: list) -> list:
    """The tensors in the dtype that holds all of theirs."""
    dtypes = [array_of(t).dtype for t in tensors]
    dtype = functools.reduce(promote_types, dtypes)
    return [t if own == dtype else (t if isinstance(t, Tensor) else wrap(t)).to(dtype) for t, own in zip(tensors, dtypes)]


concat = concatenate = cat


@numpy_names
def stack(tensors, dim: int = 0) -> Tensor:
    """Tensors of one shape joined along a new dimension.

    Raises:
        ShapeError: if their shapes differ, or there are none.
    """
    _a_sequence(tensors, "stack")
    shapes = {array_of(t).shape for t in tensors}
    if len(shapes) != 1:
        raise ShapeError(f"stack needs tensors of one shape: got {', '.join(map(str, shapes)) or 'no tensors'}")
    return _stack_of(len(tensors))(*_alike(tensors), axis_of(dim, len(shapes.pop()) + 1))


# -- parting ------------------------------------------------------------------------------------------------------------


@numpy_names
def split(tensor, split_size_or_sections=None, dim: int = 0, *, split_size=None) -> tuple[Tensor, ...]:
    """Views along ``dim`` of a given size each (the last may be smaller), or of the sizes listed.

    PyTorch's method calls the second argument ``split_size``, its function ``split_size_or_sections``; both take both.

    Raises:
        ShapeError: if the sizes listed do not add up to the size of ``dim``, or there is no dimension to split.
    """
    axis, length = _to_part(tensor, dim, "split")
    wanted = split_size_or_sections if split_size is None else split_size
    if isinstance(wanted, (list, tuple)):
        parts = sizes((wanted,))
    else:
        size = integer(wanted, "split_size")
        if size < 0 or (size == 0 and length):
            raise UsageError(f"split needs a positive size: got {size}")
        parts = tuple(min(size, length - i) for i in range(0, length, size)) if length else (0,)
    if sum(parts) != length or any(n < 0 for n in parts):
        raise ShapeError(f"split sections add up to the size {length} of dim {dim}: got {parts}")
    starts = (0, *itertools.accumulate(parts))
    tensor = tensor_of(tensor)
    return tuple(tensor[(slice(None),) * axis + (slice(a, b),)] for a, b in itertools.pairwise(starts))


def _to_part(input, dim: int, name: str) -> tuple[int, int]:
    """The axis to part a tensor along, and its length."""
    shape = array_of(input).shape
    axis = axis_of(dim, len(shape))
    if not shape:
        raise DimensionError(f"{name} needs a tensor with dimensions: this one has none")
    return axis, shape[axis]


@numpy_names
def chunk(input, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most ``chunks`` views of equal size along ``dim`` (the last may be smaller)."""
    if integer(chunks, "chunks") <= 0:
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
