"""Dimensions and shapes as arguments: one place that checks them, and one that accepts NumPy's spellings."""

from __future__ import annotations

import functools
import operator

from ..errors import DimensionError, DTypeError, ShapeError, UsageError


def axis_of(dim, ndim: int, what: str = "dim") -> int:
    """``dim`` counted from the front.

    Raises:
        DimensionError: if it is outside [-ndim, ndim - 1] (a zero-dimensional tensor counts as having one dimension).
        DTypeError: if it is not an integer.
    """
    try:
        i = operator.index(dim)
    except TypeError:
        raise DTypeError(f"{what} is an integer: got {dim!r}") from None
    n = max(ndim, 1)
    if not -n <= i < n:
        raise DimensionError(f"{what} is between {-n} and {n - 1} for a tensor of {ndim} dimensions: got {i}")
    return i % n


def axes_of(dim, ndim: int) -> tuple[int, ...]:
    """One dimension, several, or all (None or an empty sequence), counted from the front and each named once."""
    if dim is None:
        return tuple(range(ndim))
    if not isinstance(dim, (tuple, list)):
        return (axis_of(dim, ndim),) if ndim else _nothing_to_reduce(dim)
    if not dim:
        return tuple(range(ndim))
    axes = tuple(axis_of(d, ndim) for d in dim)
    if len(set(axes)) != len(axes):
        raise UsageError(f"each dim is named once: got {tuple(dim)} for a tensor of {ndim} dimensions")
    return axes if ndim else ()


def _nothing_to_reduce(dim) -> tuple[int, ...]:
    axis_of(dim, 0)
    return ()


def sizes(shape) -> tuple[int, ...]:
    """Sizes given one by one or as one sequence: ``f(2, 3)`` and ``f((2, 3))`` mean the same."""
    if len(shape) == 1 and isinstance(shape[0], (tuple, list)):
        shape = shape[0]
    try:
        return tuple(operator.index(n) for n in shape)
    except TypeError:
        raise DTypeError(f"sizes are integers: got {tuple(shape)!r}") from None


def shape_of(shape) -> tuple[int, ...]:
    """Sizes of a new tensor, none negative."""
    result = sizes(shape)
    if any(n < 0 for n in result):
        raise ShapeError(f"sizes are not negative: got {result}")
    return result


def numpy_names(function):
    """Accept ``axis`` for ``dim`` and ``keepdims`` for ``keepdim``, as NumPy spells them."""

    @functools.wraps(function)
    def accepting(*args, **kwargs):
        if kwargs:
            for theirs, ours in (("axis", "dim"), ("keepdims", "keepdim")):
                if theirs in kwargs:
                    if ours in kwargs:
                        raise UsageError(f"{function.__name__} takes {ours} or {theirs}, not both")
                    kwargs[ours] = kwargs.pop(theirs)
        return function(*args, **kwargs)

    return accepting
