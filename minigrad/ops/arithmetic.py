"""Arithmetic between tensors: +, -, *, /, **, and what selects elements. All of it broadcasts.

The derivative with respect to an operand that was broadcast is summed back by the tape, so the rules here are those of scalars.
"""

from __future__ import annotations

import math

import numpy as np

from ..errors import DTypeError, UsageError
from ..primitive import primitive
from ..promotion import BOOL, refusal, require_operands, result_type
from ..tensor import Tensor, as_dtype, raw, wrap

quiet = np.errstate  # IEEE 754 has a value for every case; NumPy's warnings about them would only repeat it


@primitive(r"a + b", promote=True, name="add")
def plus(a, b):
    """Element by element, a + b."""
    return a + b


plus.vjp(a=lambda g: g, b=lambda g: g)


def operand(value):
    """As :func:`raw`, but a NumPy scalar counts as a Python number, as in PyTorch."""
    return value.item() if isinstance(value, np.generic) else raw(value)


def _is_bool(x) -> bool:
    return x.dtype is BOOL if isinstance(x, np.ndarray) else isinstance(x, (bool, np.bool_))


@primitive(r"a - b", promote=True, name="sub")
def minus(a, b):
    """Element by element, a - b.

    Raises:
        DTypeError: if one of them is bool.
    """
    if _is_bool(a) or _is_bool(b):
        raise DTypeError("subtraction needs numbers: got a bool operand; use ~x for 1 - x, and logical_xor for a - b")
    return a - b


minus.vjp(a=lambda g: g, b=lambda g: -g)


@primitive(r"a \odot b", promote=True)
def mul(a, b):
    """Element by element, a * b."""
    return a * b


mul.vjp(a=lambda g, b: g * b, b=lambda g, a: g * a)


@primitive(r"a / b", promote="float", name="div")
def quotient(a, b):
    """Element by element, a / b. Integers give float32; division by zero gives an infinity or NaN."""
    with quiet(all="ignore"):
        return np.true_divide(a, b)


quotient.vjp(a=lambda g, b: g / b, b=lambda g, b, out: -g * out / b)


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


def _pow_base_rule(g, a, b):
    if isinstance(b, (int, float)):  # the usual case; NumPy's where would make a float64 array of a number
        return g * (b * a ** (b - 1)) if b else np.zeros_like(g)
    return g * np.where(b == 0, 0.0, b * np.power(a, np.where(b == 0, 1.0, b - 1)))


def _pow_exponent_rule(g, a, b, out):
    if isinstance(a, (int, float)) and a > 0:
        return g * (out * math.log(a))
    # out * log(a), but 0 where a = 0 and b >= 0: there the limit is 0 and the product would be 0 * -inf.
    flat = np.logical_and(a == 0, b >= 0)
    return g * np.where(flat, 0.0, out * np.log(np.where(flat, 1.0, a)))


@primitive(r"a^{b}", promote=True, name="pow")
def power(a, b):
    """Element by element, a to the power b.

    The derivative with respect to a is 0 where b = 0, also at a = 0; with respect to b it is 0 where a = 0 and b >= 0.

    Raises:
        DTypeError: for an integer to a negative integer power, and for two booleans.
    """
    with quiet(all="ignore"):
        try:
            return _numeric(np.power(a, b), "pow", a, b)
        except ValueError as error:
            if "negative" in str(error):
                raise DTypeError("integers to negative powers are not integers: convert the base with .float()") from None
            raise


power.vjp(a=_pow_base_rule, b=_pow_exponent_rule)


def _numeric(out, name: str, a, b):
    """``out``, unless NumPy made it of two booleans, for which it has int8 and PyTorch an error."""
    if out.dtype == np.int8 and result_type(a, b) == BOOL:
        raise DTypeError(f"{name} needs numbers: got two bool operands; convert one with .long() or .float()")
    return out


@primitive(r"x^2")
def square(x):
    """Element by element, x * x; booleans give int64."""
    return x * x if x.dtype != BOOL else x.astype(np.int64)


square.vjp(x=lambda g, x: g * (2 * x))


def _shared(g, a, b, lost):
    # With where, not a product: an infinite gradient times 0 would be NaN. Where a or b is NaN, neither lost.
    return np.where(a == b, 0.5 * g, np.where(lost, 0.0, g))


@primitive(r"\max(a, b)", promote=True)
def maximum(a, b):
    """Element by element, the larger of a and b; NaN where either is. At a tie each gets half the gradient."""
    return np.maximum(a, b)


maximum.vjp(a=lambda g, a, b: _shared(g, a, b, b > a), b=lambda g, a, b: _shared(g, a, b, a > b))


@primitive(r"\min(a, b)", promote=True)
def minimum(a, b):
    """Element by element, the smaller of a and b; NaN where either is. At a tie each gets half the gradient."""
    return np.minimum(a, b)


minimum.vjp(a=lambda g, a, b: _shared(g, a, b, b < a), b=lambda g, a, b: _shared(g, a, b, a < b))


@primitive(r"\mathrm{atan2}(y, x)", promote="float")
def atan2(y, x):
    """The angle of the point (x, y), in radians from -pi to pi. The gradient at the origin is 0."""
    return np.arctan2(y, x)


def _over_radius(value, y, x):
    radius = y * y + x * x
    return value * np.where(radius == 0, 0.0, 1.0 / np.where(radius == 0, 1.0, radius))


atan2.vjp(y=lambda g, y, x: g * _over_radius(x, y, x), x=lambda g, y, x: -g * _over_radius(y, y, x))


@primitive(r"c \; ? \; a : b", name="where")
def select(condition, a, b):
    """a where the condition holds, b elsewhere."""
    return np.where(condition, a, b)


select.vjp(
    a=lambda g, condition: np.where(condition, g, 0.0),
    b=lambda g, condition: np.where(condition, 0.0, g),
)


def _scaled(name: str, input, other, alpha):
    a, b = raw(input), raw(other)
    require_operands(name, a, b, raw(alpha))
    if result_type(a, b).kind != "f" and result_type(raw(alpha)).kind == "f":
        raise DTypeError(f"{name} of integers takes an integer alpha: got {alpha}; convert one operand with .float()")
    return other * alpha


def add(input, other, *, alpha=1) -> Tensor:
    """``input + alpha * other``, with broadcasting.

    Shapes:
        any two that broadcast, such as (batch, time, features) and (features,).
    """
    return plus(input, other if alpha == 1 else _scaled("add", input, other, alpha))


def sub(input, other, *, alpha=1) -> Tensor:
    """``input - alpha * other``, with broadcasting.

    Raises:
        DTypeError: if one of them is bool.
    """
    return minus(input, other if alpha == 1 else _scaled("sub", input, other, alpha))


def div(input, other, *, rounding_mode: str | None = None) -> Tensor:
    """``input / other``, with broadcasting; division by zero gives an infinity or NaN.

    Args:
        rounding_mode: None for the quotient itself, in float32 where both are integers; "floor" for :func:`floor_divide`;
            "trunc" to round towards 0. Rounded quotients keep the operands' dtype and are not recorded.

    Raises:
        UsageError: for another ``rounding_mode``, or integers divided by zero and rounded.
    """
    if rounding_mode is None:
        return quotient(input, other)
    if rounding_mode == "floor":
        return floor_divide(input, other)
    if rounding_mode != "trunc":
        raise UsageError(f'rounding_mode is None, "floor" or "trunc": got {rounding_mode!r}')
    a, b = _for_whole_division("div", input, other)
    with quiet(all="ignore"):
        if a.dtype.kind == "f":
            return wrap(np.trunc(a / b))
        rounded_down = np.floor_divide(a, b)
        return wrap(rounded_down + (rounded_down < 0) * (rounded_down * b != a).astype(a.dtype))


def pow(input, exponent) -> Tensor:
    """``input`` to the power ``exponent``, with broadcasting."""
    if isinstance(exponent, (int, float)) and exponent == 2 and isinstance(input, Tensor):
        kind = input._data.dtype.kind
        if kind == "f" or (kind == "i" and isinstance(exponent, int)):
            return square(input)  # which is quicker, and a float exponent would make floats of integers
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
    a, b = operand(input), operand(other)
    require_operands("where", a, b)
    dtype = result_type(a, b)
    return select(mask, as_operand(input, dtype), as_operand(other, dtype))


def as_operand(value, dtype):
    """A tensor, array or number in another dtype: a Tensor if it was one, else an array."""
    return to(value, dtype) if isinstance(value, Tensor) else np.asarray(value, dtype)


@primitive(r"x", name="to")
def convert(x, dtype):
    """The same values in another dtype."""
    with quiet(all="ignore"):
        return x.astype(dtype)


convert.vjp(x=lambda g: g)  # the tape casts the gradient back


def to(input: Tensor, dtype) -> Tensor:
    """The tensor in another dtype; itself if it has that dtype already. Gradients flow back in the original dtype."""
    dtype = as_dtype(dtype)
    if input._data.dtype == dtype:
        return input
    return convert(input, dtype) if dtype.kind == "f" else wrap(convert.forward(input._data, dtype))


def _for_whole_division(name: str, input, other):
    """The operands of a rounded quotient in their common dtype, checked."""
    a, b = operand(input), operand(other)
    require_operands(name, a, b)
    dtype = result_type(a, b)
    if dtype == BOOL:
        raise DTypeError(f"{name} needs numbers: got two bool operands; convert one with .long() or .float()")
    try:
        a, b = np.broadcast_arrays(np.asarray(a, dtype), np.asarray(b, dtype))
    except ValueError as error:
        raise refusal(name, (a, b), error) from None
    _no_integer_zero(name, a, b)
    return a, b


def _no_integer_zero(name: str, result, divisor) -> None:
    if result.dtype.kind in "iu" and result.size and not np.all(divisor):
        raise UsageError(f"{name} of integers needs a divisor without zeros: got a zero; convert with .float() for an infinity")


def floor_divide(input, other) -> Tensor:
    """The quotient rounded down, in the operands' dtype; never recorded.

    Raises:
        UsageError: for an integer divided by zero.
        DTypeError: for two booleans.
    """
    a, b = _for_whole_division("floor_divide", input, other)
    with quiet(all="ignore"):
        return wrap(np.floor_divide(a, b))


@primitive(r"a - b \lfloor a / b \rfloor", promote=True)
def remainder(a, b):
    """What is left of a after whole multiples of b, with the sign of b.

    Raises:
        UsageError: for an integer divided by zero.
        DTypeError: for two booleans.
    """
    with quiet(all="ignore"):
        out = _numeric(np.remainder(a, b), "remainder", a, b)
    _no_integer_zero("remainder", out, b)
    return out


remainder.vjp(a=lambda g: g, b=lambda g, a, b: -g * np.floor(a / b))
