"""Arithmetic between tensors: +, -, *, /, **, and what compares or selects elements. All of it broadcasts.

The derivative with respect to an operand that was broadcast is summed back by the tape, so the rules here are those of scalars.
"""

from __future__ import annotations

import numpy as np

from ..errors import DTypeError
from ..primitive import primitive
from ..promotion import result_type
from ..tensor import Tensor, as_dtype, raw, wrap

quiet = np.errstate  # IEEE 754 has a value for every case; NumPy's warnings about them would only repeat it


@primitive(r"a + b", promote=True, name="add")
def plus(a, b):
    """Element by element, a + b."""
    return a + b


plus.vjp(a=lambda g: g, b=lambda g: g)


@primitive(r"a - b", promote=True, name="sub")
def minus(a, b):
    """Element by element, a - b."""
    return a - b


minus.vjp(a=lambda g: g, b=lambda g: -g)


@primitive(r"a \odot b", promote=True)
def mul(a, b):
    """Element by element, a * b."""
    return a * b


mul.vjp(a=lambda g, b: g * b, b=lambda g, a: g * a)


@primitive(r"a / b", promote="float")
def div(a, b):
    """Element by element, a / b. Integers give float32; division by zero gives an infinity or NaN."""
    with quiet(all="ignore"):
        return np.true_divide(a, b)


div.vjp(a=lambda g, b: g / b, b=lambda g, b, out: -g * out / b)


@primitive(r"-x")
def neg(x):
    """Element by element, -x.

    Raises:
        DTypeError: for booleans.
    """
    if x.dtype.kind == "b":
        raise DTypeError("a minus sign needs numbers: got a bool tensor; use ~x or x.logical_not()")
    return -x


neg.vjp(x=lambda g: -g)


def _pow_exponent_rule(g, a, b, out):
    # out * log(a), but 0 where a = 0 and b >= 0: there the limit is 0 and the product would be 0 * -inf.
    flat = np.logical_and(a == 0, b >= 0)
    return g * np.where(flat, 0.0, out * np.log(np.where(flat, 1.0, a)))


@primitive(r"a^{b}", promote=True, name="pow")
def power(a, b):
    """Element by element, a to the power b.

    The derivative with respect to a is 0 where b = 0, also at a = 0; with respect to b it is 0 where a = 0 and b >= 0.

    Raises:
        DTypeError: for an integer to a negative integer power.
    """
    with quiet(all="ignore"):
        try:
            return np.power(a, b)
        except ValueError:
            raise DTypeError("integers to negative powers are not integers: convert the base with .float()") from None


power.vjp(
    a=lambda g, a, b: g * np.where(b == 0, 0.0, b * np.power(a, np.where(b == 0, 1.0, b - 1))),
    b=_pow_exponent_rule,
)


@primitive(r"x^2")
def square(x):
    """Element by element, x * x."""
    return x * x


square.vjp(x=lambda g, x: g * (2 * x))


@primitive(r"\max(a, b)", promote=True)
def maximum(a, b):
    """Element by element, the larger of a and b; NaN where either is. At a tie each gets half the gradient."""
    return np.maximum(a, b)


maximum.vjp(
    a=lambda g, a, b: g * ((a > b) + 0.5 * (a == b)),
    b=lambda g, a, b: g * ((b > a) + 0.5 * (a == b)),
)


@primitive(r"\min(a, b)", promote=True)
def minimum(a, b):
    """Element by element, the smaller of a and b; NaN where either is. At a tie each gets half the gradient."""
    return np.minimum(a, b)


minimum.vjp(
    a=lambda g, a, b: g * ((a < b) + 0.5 * (a == b)),
    b=lambda g, a, b: g * ((b < a) + 0.5 * (a == b)),
)


@primitive(r"\mathrm{atan2}(y, x)", promote="float")
def atan2(y, x):
    """The angle of the point (x, y), in radians from -pi to pi. The gradient at the origin is 0."""
    return np.arctan2(y, x)


def _over_radius(value, y, x):
    radius = y * y + x * x
    return value * np.where(radius == 0, 0.0, 1.0 / np.where(radius == 0, 1.0, radius))


atan2.vjp(y=lambda g, y, x: g * _over_radius(x, y, x), x=lambda g, y, x: g * _over_radius(-y, y, x))


@primitive(r"c \; ? \; a : b", name="where")
def select(condition, a, b):
    """a where the condition holds, b elsewhere."""
    return np.where(condition, a, b)


select.vjp(
    a=lambda g, condition: np.where(condition, g, 0.0),
    b=lambda g, condition: np.where(condition, 0.0, g),
)


def add(input, other, *, alpha=1) -> Tensor:
    """``input + alpha * other``, with broadcasting.

    Shapes:
        any two that broadcast, such as (batch, time, features) and (features,).
    """
    return plus(input, other if alpha == 1 else mul(other, alpha))


def sub(input, other, *, alpha=1) -> Tensor:
    """``input - alpha * other``, with broadcasting.

    Raises:
        DTypeError: for two bool tensors.
    """
    a, b = raw(input), raw(other)
    if getattr(a, "dtype", None) == np.bool_ and getattr(b, "dtype", None) == np.bool_:
        raise DTypeError("subtraction needs numbers: got two bool tensors; use logical_xor")
    return minus(input, other if alpha == 1 else mul(other, alpha))


def pow(input, exponent) -> Tensor:
    """``input`` to the power ``exponent``, with broadcasting."""
    if isinstance(exponent, (int, float)) and exponent == 2 and isinstance(input, Tensor):
        if input._data.dtype.kind == "f" or isinstance(exponent, int) and input._data.dtype.kind == "i":
            return square(input)
    return power(input, exponent)


def where(condition, input=None, other=None):
    """``input`` where ``condition`` holds and ``other`` elsewhere, with broadcasting; gradients flow only to what was chosen.

    With the condition alone: a tuple of index tensors, one per dimension, of the places where it holds.
    """
    mask = raw(condition)
    if input is None and other is None:
        return tuple(wrap(i) for i in np.nonzero(mask))
    mask = np.asarray(mask)
    if mask.dtype != np.bool_:
        raise DTypeError(f"where needs a bool condition: got dtype {mask.dtype}; compare it with something first")
    a, b = raw(input), raw(other)
    dtype = result_type(a, b)
    return select(mask, _cast(input, dtype), _cast(other, dtype))


def _cast(value, dtype):
    if isinstance(value, Tensor):
        return value if value.dtype == dtype else to(value, dtype)
    return np.asarray(value, dtype)


@primitive(r"x", name="to")
def convert(x, dtype):
    """The same values in another dtype."""
    return x.astype(dtype)


convert.vjp(x=lambda g: g)  # the tape casts the gradient back


def to(input: Tensor, dtype) -> Tensor:
    """The tensor in another dtype; itself if it has that dtype already. Gradients flow back in the original dtype."""
    dtype = as_dtype(dtype)
    if input._data.dtype == dtype:
        return input
    if dtype.kind != "f":
        return wrap(input._data.astype(dtype))
    return convert(input, dtype)


def _comparison(name: str, ufunc, sign: str):
    def compare(input, other) -> Tensor:
        a, b = raw(input), raw(other)
        return wrap(ufunc(a, b))

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
    return wrap(np.logical_not(raw(input)))


def _bitwise(name: str, ufunc, sign: str):
    def combine(input, other) -> Tensor:
        a, b = raw(input), raw(other)
        for x in (a, b):
            if getattr(x, "dtype", None) is not None and x.dtype.kind == "f":
                raise DTypeError(f"{sign} combines bool or integer tensors: got dtype {x.dtype}; compare first, as in (x > 0)")
        return wrap(ufunc(a, b))

    combine.__name__ = combine.__qualname__ = name
    combine.__doc__ = f"``input {sign} other``, bit by bit, for bool and integer tensors; broadcasts, never recorded."
    return combine


bitwise_and = _bitwise("bitwise_and", np.bitwise_and, "&")
bitwise_or = _bitwise("bitwise_or", np.bitwise_or, "|")
bitwise_xor = _bitwise("bitwise_xor", np.bitwise_xor, "^")


def invert(input) -> Tensor:
    """``~input``: not, bit by bit, for bool and integer tensors."""
    x = raw(input)
    if x.dtype.kind == "f":
        raise DTypeError(f"~ takes a bool or integer tensor: got dtype {x.dtype}")
    return wrap(np.invert(x))


def floor_divide(input, other) -> Tensor:
    """The quotient rounded down; never recorded."""
    with quiet(all="ignore"):
        return wrap(np.floor_divide(raw(input), raw(other)))


@primitive(r"a - b \lfloor a / b \rfloor", promote=True)
def remainder(a, b):
    """What is left of a after whole multiples of b, with the sign of b."""
    with quiet(all="ignore"):
        return np.remainder(a, b)


remainder.vjp(a=lambda g: g, b=lambda g, a, b: -g * np.floor(a / b))
