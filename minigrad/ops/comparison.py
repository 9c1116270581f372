"""Comparison and logic: which elements are equal, larger, true. Results are never recorded: they have no slope."""

from __future__ import annotations

import numpy as np

from ..errors import DTypeError
from ..promotion import refusal, require_operands, result_type
from ..tensor import Tensor, array_of, wrap
from .arithmetic import operand


def _comparison(name: str, ufunc, sign: str):
    def compare(input, other) -> Tensor:
        a, b = operand(input), operand(other)
        require_operands(name, a, b)
        dtype = result_type(a, b)
        try:
            if dtype.kind == "f":  # equal in PyTorch's common dtype, which may be coarser than NumPy's
                a, b = np.asarray(a, dtype), np.asarray(b, dtype)
            return wrap(ufunc(a, b))
        except (ValueError, TypeError) as error:
            raise refusal(name, (a, b), error) from None

    compare.__name__ = compare.__qualname__ = name
    compare.__doc__ = f"Whether ``input {sign} other``, element by element, as a bool tensor; broadcasts, never recorded."
    return compare


eq = _comparison("eq", np.equal, "==")
ne = _comparison("ne", np.not_equal, "!=")
lt = _comparison("lt", np.less, "<")
le = _comparison("le", np.less_equal, "<=")
gt = _comparison("gt", np.greater, ">")
ge = _comparison("ge", np.greater_equal, ">=")
logical_and = _comparison("logical_and", np.logical_and, "and")
logical_or = _comparison("logical_or", np.logical_or, "or")
logical_xor = _comparison("logical_xor", np.logical_xor, "xor")


def logical_not(input) -> Tensor:
    """Whether each element is zero or False, as a bool tensor."""
    return wrap(np.logical_not(array_of(input)))


def _bitwise(name: str, ufunc, sign: str):
    def combine(input, other) -> Tensor:
        a, b = operand(input), operand(other)
        require_operands(name, a, b)
        dtype = result_type(a, b)
        if dtype.kind == "f":
            raise DTypeError(f"{sign} combines bool or integer tensors: got a floating-point one; compare first, as in (x > 0)")
        try:
            return wrap(ufunc(np.asarray(a, dtype), np.asarray(b, dtype)))
        except ValueError as error:
            raise refusal(name, (a, b), error) from None

    combine.__name__ = combine.__qualname__ = name
    combine.__doc__ = f"``input {sign} other``, bit by bit, for bool and integer tensors; broadcasts, never recorded."
    return combine


bitwise_and = _bitwise("bitwise_and", np.bitwise_and, "&")
bitwise_or = _bitwise("bitwise_or", np.bitwise_or, "|")
bitwise_xor = _bitwise("bitwise_xor", np.bitwise_xor, "^")


def invert(input) -> Tensor:
    """``~input``: not, bit by bit, for bool and integer tensors."""
    x = array_of(input)
    if x.dtype.kind == "f":
        raise DTypeError(f"~ takes a bool or integer tensor: got dtype {x.dtype}")
    return wrap(np.invert(x))


def equal(input, other) -> bool:
    """Whether two tensors have one shape and equal elements; NaN equals nothing."""
    return np.array_equal(array_of(input), array_of(other))


def isclose(input, other, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Tensor:
    """Where ``|input - other| <= atol + rtol * |other|``, as a bool tensor; ``equal_nan`` lets NaN equal NaN. Broadcasts.

    Raises:
        DTypeError: if the dtypes differ.
    """
    a, b = array_of(input), array_of(other)
    if a.dtype != b.dtype:
        raise DTypeError(f"isclose needs operands of one dtype: got {a.dtype} and {b.dtype}; convert one with .to()")
    try:
        return wrap(np.asarray(np.isclose(a, b, rtol, atol, equal_nan)))
    except ValueError as error:
        raise refusal("isclose", (a, b), error) from None


def allclose(input, other, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> bool:
    """Whether :func:`isclose` holds everywhere."""
    return bool(isclose(input, other, rtol, atol, equal_nan)._data.all())
