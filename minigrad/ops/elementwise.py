"""Functions of one element: exp, log, tanh and their kin. Integers give float32, as in PyTorch.

Where a function has a kink or a pole, its docstring says which gradient is used there.
"""

from __future__ import annotations

import math

import numpy as np

from .. import kernels
from ..errors import DTypeError, ShapeError, UsageError
from ..primitive import primitive
from ..promotion import FLOAT32, FLOAT64, require_operands, result_type
from ..tensor import Tensor, array_of, raw, wrap
from .arithmetic import as_operand, neg, operand, quiet, select
from .layout import pays


@primitive(r"e^{x}", promote="float")
def exp(x):
    """e to the power x."""
    with quiet(all="ignore"):
        return np.exp(x)


exp.vjp(x=lambda g, out: g * out)


@primitive(r"e^{x} - 1", promote="float")
def expm1(x):
    """e to the power x, minus 1, exact near 0."""
    with quiet(all="ignore"):
        return np.expm1(x)


expm1.vjp(x=lambda g, out: g * (out + 1))


@primitive(r"\ln x", promote="float")
def log(x):
    """The natural logarithm: -inf at 0, NaN below."""
    with quiet(all="ignore"):
        return np.log(x)


log.vjp(x=lambda g, x: g / x)


@primitive(r"\ln(1 + x)", promote="float")
def log1p(x):
    """The natural logarithm of 1 + x, exact near 0."""
    with quiet(all="ignore"):
        return np.log1p(x)


log1p.vjp(x=lambda g, x: g / (1 + x))


@primitive(r"\log_2 x", promote="float")
def log2(x):
    """The logarithm to base 2."""
    with quiet(all="ignore"):
        return np.log2(x)


log2.vjp(x=lambda g, x: g / (x * math.log(2)))


@primitive(r"\sqrt{x}", promote="float")
def sqrt(x):
    """The square root; NaN below 0. The gradient at 0 is 0 rather than infinite, so that norms of zero vectors train."""
    with quiet(all="ignore"):
        return np.sqrt(x)


sqrt.vjp(x=lambda g, out: g * np.where(out == 0, 0.0, 0.5 / np.where(out == 0, 1.0, out)))


@primitive(r"1 / \sqrt{x}", promote="float")
def rsqrt(x):
    """One over the square root."""
    with quiet(all="ignore"):
        return 1 / np.sqrt(x)


rsqrt.vjp(x=lambda g, out: g * (-0.5 * out * out * out))


@primitive(r"1 / x", promote="float")
def reciprocal(x):
    """One over x."""
    with quiet(all="ignore"):
        return 1 / x


reciprocal.vjp(x=lambda g, out: -g * out * out)


def _number(x, name: str):
    if x.dtype.kind == "b":
        raise DTypeError(f"{name} needs numbers: got a bool tensor; convert it with .long() or .float()")
    return x


@primitive(r"|x|", name="abs")
def absolute(x):
    """The absolute value. The gradient at 0 is 0.

    Raises:
        DTypeError: for booleans.
    """
    return np.abs(_number(x, "abs"))


absolute.vjp(x=lambda g, x: g * np.sign(x))


@primitive(r"\mathrm{sign}\,x")
def sign(x):
    """-1, 0 or 1; NaN stays NaN, and booleans stay as they are. The gradient is 0."""
    return np.sign(x) if x.dtype.kind != "b" else x.copy()


sign.vjp(x=lambda g: np.zeros_like(g))


@primitive(r"\sin x", promote="float")
def sin(x):
    """The sine of an angle in radians."""
    with quiet(all="ignore"):
        return np.sin(x)


sin.vjp(x=lambda g, x: g * np.cos(x))


@primitive(r"\cos x", promote="float")
def cos(x):
    """The cosine of an angle in radians."""
    with quiet(all="ignore"):
        return np.cos(x)


cos.vjp(x=lambda g, x: -g * np.sin(x))


@primitive(r"\tan x", promote="float")
def tan(x):
    """The tangent of an angle in radians."""
    with quiet(all="ignore"):
        return np.tan(x)


tan.vjp(x=lambda g, out: g * (1 + out * out))


@primitive(r"\tanh x", promote="float")
def tanh(x):
    """The hyperbolic tangent."""
    return np.tanh(x)


tanh.vjp(x=lambda g, out: kernels.activations.tanh_backward(g, out) if pays(g) else g * (1 - out * out))


@primitive(r"\sigma(x) = 1 / (1 + e^{-x})", promote="float")
def sigmoid(x):
    """The logistic function, written so that neither tail overflows or loses its digits."""
    if pays(x):
        return kernels.activations.sigmoid(x)
    with quiet(all="ignore"):
        small = np.exp(-1.0 * np.abs(x))  # a minus sign alone has no meaning for booleans
        return np.where(x >= 0, 1, small) / (1 + small)


sigmoid.vjp(x=lambda g, out: kernels.activations.sigmoid_backward(g, out) if pays(g) else g * out * (1 - out))


@primitive(r"\mathrm{erf}\,x", promote="float")
def erf(x):
    """The error function, 2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x."""
    require_operands("erf", x)
    x = np.asarray(x)
    if x.dtype in (FLOAT32, FLOAT64):
        return kernels.activations.erf(x)
    out = kernels.activations.erf(x.astype(FLOAT32))
    return out.astype(x.dtype) if x.dtype.kind == "f" else out


erf.vjp(x=lambda g, x: g * (2 / math.sqrt(math.pi)) * np.exp(-x * x))


@primitive(r"\lfloor x \rfloor")
def floor(x):
    """The largest integer that is not above x. The gradient is 0.

    Raises:
        DTypeError: for booleans.
    """
    return np.floor(_number(x, "floor")).astype(x.dtype, copy=False)


floor.vjp(x=lambda g: np.zeros_like(g))


@primitive(r"\mathrm{round}\,x", name="round")
def rounded(x, decimals):
    """x rounded to a number of decimals, halves to even. The gradient is 0."""
    return np.round(_number(x, "round"), decimals)


rounded.vjp(x=lambda g: np.zeros_like(g))


def round(input, *, decimals: int = 0) -> Tensor:
    """``input`` rounded to ``decimals`` places, halves to even. The gradient is 0.

    Raises:
        DTypeError: for booleans.
    """
    return rounded(input, decimals)


def abs(input) -> Tensor:
    """The absolute value. The gradient at 0 is 0."""
    return absolute(input)


@primitive(r"\min(\max(x, a), b)", name="clamp")
def clip(x, low, high):
    """x moved into [low, high], or to high where low > high. None leaves a side open; NaN stays NaN.

    The gradient goes to x inside and on the bounds, and outside to the bound that took its place.
    """
    return np.clip(x, low, high)


def _is_inside(x, low, high):
    inside = True if low is None else x >= low
    return inside if high is None else np.logical_and(inside, x <= high)


def _is_low(x, low, high):
    below = x < low
    return below if high is None else np.logical_and(below, low < high)


def _is_high(x, low, high):
    above = x > high
    return above if low is None else np.logical_or(above, high < low)


clip.vjp(
    x=lambda g, x, low, high: np.where(_is_inside(x, low, high), g, 0.0),
    low=lambda g, x, low, high: np.where(_is_low(x, low, high), g, 0.0),
    high=lambda g, x, low, high: np.where(_is_high(x, low, high), g, 0.0),
)


def clamp(input, min=None, max=None) -> Tensor:
    """``input`` moved into [min, max]; either bound may be left out, and either may be a tensor. Where min > max: max.

    The gradient is 1 inside and on the bounds, 0 outside; there it goes to the bound, if that is a tensor.

    Raises:
        UsageError: if both bounds are left out.
        DTypeError: for booleans.
    """
    if min is None and max is None:
        raise UsageError("clamp needs min, max or both: got neither")
    operands = [input, min, max]
    given = [operand(x) for x in operands if x is not None]
    require_operands("clamp", *given)
    dtype = result_type(*given)
    if dtype.kind == "b":
        raise DTypeError("clamp needs numbers: got a bool tensor; convert it with .long() or .float()")
    return clip(*(None if x is None else as_operand(x, dtype) for x in operands))


def masked_fill(input, mask, value) -> Tensor:
    """``value`` where the bool tensor ``mask`` holds, ``input`` elsewhere, in the dtype of ``input``; the two broadcast.

    Args:
        mask: (...), bool.
        value: a number, or a tensor without dimensions.

    Raises:
        UsageError: for a mask of another dtype.
        ShapeError: for a ``value`` with dimensions.
        DTypeError: for a ``value`` that the dtype of ``input`` has not, such as an infinity among integers.
    """
    condition, dtype = np.asarray(raw(mask)), array_of(input).dtype
    if condition.dtype != np.bool_:
        raise UsageError(f"masked_fill needs a bool mask: got dtype {condition.dtype}; compare it with something first")
    if np.ndim(raw(value)):
        raise ShapeError(f"masked_fill needs one value: got shape {np.shape(raw(value))}; use where(mask, value, input)")
    try:
        return select(condition, as_operand(value, dtype), input)
    except (OverflowError, ValueError) as error:
        if isinstance(error, ShapeError):
            raise
        raise DTypeError(f"masked_fill needs a value that {dtype} can hold: got {value!r}; convert the tensor first") from None


def isnan(input) -> Tensor:
    """Where the elements are NaN, as a bool tensor."""
    return wrap(np.isnan(array_of(input)))


def isinf(input) -> Tensor:
    """Where the elements are infinite, as a bool tensor."""
    return wrap(np.isinf(array_of(input)))


def isfinite(input) -> Tensor:
    """Where the elements are neither infinite nor NaN, as a bool tensor."""
    return wrap(np.isfinite(array_of(input)))


negative = neg
