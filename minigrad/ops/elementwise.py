"""Functions of one element: exp, log, tanh and their kin. Integers give float32, as in PyTorch.

Where a function has a kink or a pole, its docstring says which gradient is used there.
"""

from __future__ import annotations

import math

import numpy as np

from ..errors import UsageError
from ..primitive import primitive
from ..promotion import result_type
from ..tensor import Tensor, raw, wrap
from .arithmetic import maximum, minimum, neg, quiet, select


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


rsqrt.vjp(x=lambda g, x, out: g * (-0.5 * out / x))


@primitive(r"1 / x", promote="float")
def reciprocal(x):
    """One over x."""
    with quiet(all="ignore"):
        return 1 / x


reciprocal.vjp(x=lambda g, out: -g * out * out)


@primitive(r"|x|", name="abs")
def absolute(x):
    """The absolute value. The gradient at 0 is 0."""
    return np.abs(x)


absolute.vjp(x=lambda g, x: g * np.sign(x))


@primitive(r"\mathrm{sign}\,x")
def sign(x):
    """-1, 0 or 1. The gradient is 0."""
    return np.sign(x)


sign.vjp(x=lambda g: g * 0)


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


tanh.vjp(x=lambda g, out: g * (1 - out * out))


@primitive(r"\sigma(x) = 1 / (1 + e^{-x})", promote="float")
def sigmoid(x):
    """The logistic function, written so that neither tail overflows or loses its digits."""
    with quiet(all="ignore"):
        small = np.exp(-np.abs(x))
        return np.where(x >= 0, 1, small) / (1 + small)


sigmoid.vjp(x=lambda g, out: g * out * (1 - out))


@primitive(r"\mathrm{erf}\,x", promote="float")
def erf(x):
    """The error function, 2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x."""
    from ..kernels import activations

    return activations.erf(x)


erf.vjp(x=lambda g, x: g * (2 / math.sqrt(math.pi)) * np.exp(-x * x))


@primitive(r"\lfloor x \rfloor")
def floor(x):
    """The largest integer that is not above x. The gradient is 0."""
    return np.floor(x).astype(x.dtype, copy=False)


floor.vjp(x=lambda g: g * 0)


@primitive(r"\mathrm{round}\,x", name="round")
def rounded(x, decimals):
    """x rounded to a number of decimals, halves to even. The gradient is 0."""
    return np.round(x, decimals)


rounded.vjp(x=lambda g: g * 0)


def round(input, *, decimals: int = 0) -> Tensor:
    """``input`` rounded to ``decimals`` places, halves to even. The gradient is 0."""
    return rounded(input, decimals)


def abs(input) -> Tensor:
    """The absolute value. The gradient at 0 is 0."""
    return absolute(input)


@primitive(r"\min(\max(x, a), b)", name="clamp")
def clip(x, low, high):
    """x moved into [low, high]; the gradient is 1 inside and on the bounds, 0 outside."""
    return np.clip(x, low, high)


def _inside(x, low, high):
    keep = True
    if low is not None:
        keep = x >= low
    if high is not None:
        keep = np.logical_and(keep, x <= high)
    return keep


clip.vjp(x=lambda g, x, low, high: np.where(_inside(x, low, high), g, 0.0))


def clamp(input, min=None, max=None) -> Tensor:
    """``input`` moved into [min, max]; either bound may be left out, and either may be a tensor.

    The gradient is 1 inside and on the bounds, 0 outside.

    Raises:
        UsageError: if both bounds are left out.
    """
    if min is None and max is None:
        raise UsageError("clamp needs min, max or both")
    if isinstance(min, Tensor) or isinstance(max, Tensor):
        result = input
        if min is not None:
            result = maximum(result, min)
        return result if max is None else minimum(result, max)
    values = raw(input)
    dtype = result_type(values, *(bound for bound in (min, max) if bound is not None))
    if values.dtype != dtype:
        input = (input if isinstance(input, Tensor) else wrap(values)).to(dtype)
    return clip(input, *(None if bound is None else dtype.type(bound) for bound in (min, max)))


def masked_fill(input, mask, value) -> Tensor:
    """``value`` where the bool tensor ``mask`` holds, ``input`` elsewhere; the two broadcast."""
    mask = raw(mask)
    if mask.dtype != np.bool_:
        raise UsageError(f"masked_fill needs a bool mask: got dtype {mask.dtype}")
    values = raw(input)
    if not isinstance(value, Tensor):
        value = np.asarray(value, values.dtype)
    elif value.dtype != values.dtype:
        value = value.to(values.dtype)
    return select(mask, value, input)


def isnan(input) -> Tensor:
    """Where the elements are NaN, as a bool tensor."""
    return wrap(np.isnan(raw(input)))


def isinf(input) -> Tensor:
    """Where the elements are infinite, as a bool tensor."""
    return wrap(np.isinf(raw(input)))


def isfinite(input) -> Tensor:
    """Where the elements are neither infinite nor NaN, as a bool tensor."""
    return wrap(np.isfinite(raw(input)))


negative = neg
