"""Dimensions and shapes as arguments: one place that checks them, and one that accepts NumPy's spellings."""

from __future__ import annotations

import functools
import operator

from ..errors import DimensionError, DTypeError, ShapeError, UsageError


def integer(value, what: str) -> int:
    """``value`` as a Python integer.

    Raises:
        DTypeError: if it is something else; booleans are no integers here.
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise DTypeError(f"{what} is an integer: got {value!r}") from None


def axis_of(dim, ndim: int, what: str = "dim") -> int:
    """``dim`` counted from the front.

    Raises:
        DimensionError: if it is outside [-ndim, ndim - 1] (a zero-dimensional tensor counts as having one dimension).
        DTypeError: if it is not an integer.
    """
    i = integer(dim, what)
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


def sizes(given, named=None) -> tuple[int, ...]:
    """Sizes (or dimensions) given one by one, as one sequence, or by name: ``f(2, 3)``, ``f((2, 3))``, ``f(shape=(2, 3))``.

    Args:
        given: the positional arguments.
        named: the value of the keyword, or None where it was not used.
    """
    if named is not None:
        if given:
            raise UsageError(f"sizes are given by position or by name, not both: got {given!r} and {named!r}")
        given = named if isinstance(named, (tuple, list)) else (named,)
    elif len(given) == 1 and isinstance(given[0], (tuple, list)):
        given = given[0]
    try:
        return tuple(operator.index(n) for n in given)
    except TypeError:
        raise DTypeError(f"sizes are integers: got {tuple(given)!r}") from None


def shape_of(given, named=None) -> tuple[int, ...]:
    """Sizes of a new tensor, none negative."""
    result = sizes(given, named)
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
