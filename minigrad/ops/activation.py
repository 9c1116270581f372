"""Activations: what stands between two linear layers, and the softmax at the end."""

from __future__ import annotations

import math

import numpy as np

from .. import kernels
from ..errors import ShapeError, UsageError
from ..primitive import fused, primitive
from ..tensor import Tensor, as_dtype, raw, wrap
from .arithmetic import mul, to
from .dims import axis_of, numpy_names
from .elementwise import erf, exp, log, sigmoid, tanh
from .layout import floating, rows_along
from .reduction import amax
from .reduction import sum as sum_
from .shaping import chunk

# -- one element at a time ----------------------------------------------------------------------------------------------


@primitive(r"\max(0, x)", name="relu")
def rectified(x):
    """x where it is positive, else 0; NaN stays NaN."""
    return np.maximum(x, 0)


rectified.vjp(x=lambda g, out: g * (out > 0))


def relu(input) -> Tensor:
    """max(0, x); the gradient at 0 is 0."""
    return rectified(input)


@primitive(r"\max(x, 0) + \alpha \min(x, 0)", name="leaky_relu")
def leaky(x, slope):
    """x where it is positive, else a little of it; the gradient at 0 is that of the negative side, as in PyTorch."""
    return np.where(x > 0, x, x * slope)


leaky.vjp(x=lambda g, x, slope: np.where(x > 0, g, g * slope))


@primitive(r"x > 0 \; ? \; x : \alpha (e^{x} - 1)", name="elu")
def exponential_linear(x, alpha):
    """x where it is positive, else alpha (e^x - 1); the gradient at 0 is that of the negative side, as in PyTorch."""
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


exponential_linear.vjp(x=lambda g, x, out, alpha: np.where(x > 0, g, g * (out + alpha)))


@primitive(r"\frac{1}{\beta} \ln(1 + e^{\beta x})", name="softplus")
def soft_plus(x, beta, threshold):
    """A smooth maximum of 0 and x; x itself where beta x is above the threshold, where the two agree to the last digit."""
    scaled = x * beta
    return np.where(scaled > threshold, x, np.log1p(np.exp(np.minimum(scaled, threshold))) / beta)


soft_plus.vjp(x=lambda g, x, beta, threshold: np.where(x * beta > threshold, g, g * sigmoid.on(x * beta)))


@primitive(r"\ln \sigma(x)", name="logsigmoid")
def log_sigmoid(x):
    """The logarithm of the sigmoid, written so that neither tail overflows."""
    return np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x)))


log_sigmoid.vjp(x=lambda g, x: g * sigmoid.on(-x))


@primitive(r"x \, \sigma(x)", name="silu")
def sigmoid_weighted(x):
    """x times its sigmoid."""
    return x * sigmoid.forward(x)


def _silu_rule(g, x):
    gate = sigmoid.on(x)
    return g * (gate * (1 + x * (1 - gate)))


sigmoid_weighted.vjp(x=_silu_rule)


def glu(input, dim: int = -1) -> Tensor:
    """The gated linear unit ``a * sigmoid(b)``, a and b being the halves of ``input`` along ``dim``.

    Source: Dauphin et al., "Language Modeling with Gated Convolutional Networks", 2017, section 2.

    Raises:
        ShapeError: if that dimension is odd.
    """
    shape = raw(input).shape
    size = shape[axis_of(dim, len(shape))] if shape else 1
    if size % 2:
        raise ShapeError(f"glu halves a dimension of even size: got size {size} for dim {dim} of shape {shape}")
    a, b = chunk(input, 2, dim)
    return mul(a, sigmoid(b))


def _gelu_reference(x, tanh_form):
    if tanh_form:
        return x * 0.5 * (1 + tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * (x * x * x))))
    return x * 0.5 * (1 + erf(x * math.sqrt(0.5)))


def gelu(input, approximate: str = "none") -> Tensor:
    """x times the normal distribution function of x; with ``approximate="tanh"`` the formula that GPT-2 uses for it.

    Source: Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016, section 2.

    Raises:
        UsageError: for another ``approximate``.
    """
    if approximate not in ("none", "tanh"):
        raise UsageError(f"gelu knows approximate='none' and 'tanh': got {approximate!r}")
    return _gelu_reference(floating(input, "gelu"), approximate == "tanh")


# -- one row at a time --------------------------------------------------------------------------------------------------


def _softmax_reference(x, axis):
    shifted = exp(x - amax(x, axis, True).detach())
    return shifted / sum_(shifted, axis, True)


@fused(r"\frac{e^{x_i}}{\sum_j e^{x_j}}", reference=_softmax_reference, name="softmax")
def soft_maximum(x, axis):
    """Softmax along one axis; a row of nothing but -inf gives NaN."""
    if not x.size:
        return np.array(x), None
    rows, back = rows_along(x, axis)
    return back(kernels.softmax.softmax(rows)), None


@soft_maximum.backward("x")
def _(g, out, axis):
    if not g.size:
        return (g,)
    rows, back = rows_along(g, axis)
    return (back(kernels.softmax.softmax_backward(rows, rows_along(out, axis)[0])),)


def _log_softmax_reference(x, axis):
    shifted = x - amax(x, axis, True).detach()
    return shifted - log(sum_(exp(shifted), axis, True))


@fused(r"x_i - \ln \sum_j e^{x_j}", reference=_log_softmax_reference, name="log_softmax")
def log_soft_maximum(x, axis):
    """The logarithm of softmax along one axis, without its rounding errors."""
    if not x.size:
        return np.array(x), None
    rows, back = rows_along(x, axis)
    return back(kernels.softmax.log_softmax(rows)), None


@log_soft_maximum.backward("x")
def _(g, out, axis):
    if not g.size:
        return (g,)
    rows, back = rows_along(g, axis)
    return (back(kernels.softmax.log_softmax_backward(rows, rows_along(out, axis)[0])),)


def _along(operation, name: str, input, dim: int, dtype) -> Tensor:
    x = floating(input if dtype is None else to(_tensor(input), as_dtype(dtype)), name)
    axis = axis_of(dim, x.ndim)
    return operation(x, axis) if x.ndim else operation(x.reshape(1), 0).reshape(())


def _tensor(input) -> Tensor:
    return input if isinstance(input, Tensor) else wrap(np.asarray(input))


@numpy_names
def softmax(input, dim: int, *, dtype=None) -> Tensor:
    """exp(x) / sum(exp(x)) along ``dim``, shifted so that nothing overflows.

    A row of nothing but -inf gives NaN, as in PyTorch; attention masks go through scaled_dot_product_attention, where such a
    row gives 0.
    """
    return _along(soft_maximum, "softmax", input, dim, dtype)


@numpy_names
def log_softmax(input, dim: int, *, dtype=None) -> Tensor:
    """log(softmax(x)) along ``dim``, computed as x - logsumexp(x)."""
    return _along(log_soft_maximum, "log_softmax", input, dim, dtype)
