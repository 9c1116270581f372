"""Activations: what stands between two linear layers, and the softmax at the end."""

from __future__ import annotations

import math

import numpy as np

from .. import kernels
from ..errors import ShapeError, UsageError
from ..primitive import fused
from ..tensor import Tensor, array_of, as_dtype, raw, tensor_of
from .arithmetic import minimum, mul, select, to
from .dims import axis_of, numpy_names
from .elementwise import absolute, erf, exp, expm1, log, log1p, sigmoid, tanh
from .joining import chunk
from .layout import floating, pays, ready, shaped
from .reduction import amax
from .reduction import sum as sum_

# -- one element at a time ----------------------------------------------------------------------------------------------


def _relu_reference(x):
    return select(raw(x) <= 0, 0.0, x)


@fused(r"\max(0, x)", reference=_relu_reference, name="relu")
def rectified(x):
    """x where it is positive, else 0; NaN stays NaN."""
    return kernels.activations.relu(x) if pays(x) else np.maximum(x, 0), None


@rectified.backward("x")
def _(g, out):
    return (kernels.activations.relu_backward(g, out) if pays(g) else np.where(out <= 0, g.dtype.type(0), g),)


rectified.vjp(x=lambda g, out: np.where(out <= 0, 0.0, g))


def relu(input) -> Tensor:
    """max(0, x); the gradient at 0 is 0."""
    return rectified(tensor_of(input))


def _leaky_relu_reference(x, slope):
    return select(raw(x) > 0, x, x * slope)


@fused(r"\max(x, 0) + \alpha \min(x, 0)", reference=_leaky_relu_reference, name="leaky_relu")
def leaky(x, slope):
    """x where it is positive, else a little of it; the gradient at 0 is that of the negative side, as in PyTorch."""
    return kernels.activations.leaky_relu(x, slope=slope), None


@leaky.backward("x")
def _(g, x, slope):
    return (kernels.activations.leaky_relu_backward(g, x, slope=slope),)


def _elu_reference(x, alpha):
    return select(raw(x) > 0, x, alpha * expm1(minimum(x, 0.0)))


@fused(r"x > 0 \; ? \; x : \alpha (e^{x} - 1)", reference=_elu_reference, name="elu")
def exponential_linear(x, alpha):
    """x where it is positive, else alpha (e^x - 1); the gradient at 0 is that of the negative side, as in PyTorch."""
    return kernels.activations.elu(x, alpha=alpha), None


@exponential_linear.backward("x")
def _(g, x, alpha):
    return (kernels.activations.elu_backward(g, x, alpha=alpha),)


def _softplus_reference(x, beta, threshold):
    scaled = mul(x, beta)
    return select(raw(scaled) > threshold, x, log1p(exp(minimum(scaled, threshold))) / beta)


@fused(r"\frac{1}{\beta} \ln(1 + e^{\beta x})", reference=_softplus_reference, name="softplus")
def soft_plus(x, beta, threshold):
    """A smooth maximum of 0 and x; x itself where beta x is above the threshold."""
    return kernels.activations.softplus(x, beta=beta, threshold=threshold), None


@soft_plus.backward("x")
def _(g, x, beta, threshold):
    return (kernels.activations.softplus_backward(g, x, beta=beta, threshold=threshold),)


def _logsigmoid_reference(x):
    return minimum(x, 0.0) - log1p(exp(-absolute(x)))


@fused(r"\ln \sigma(x)", reference=_logsigmoid_reference, name="logsigmoid")
def log_sigmoid(x):
    """The logarithm of the sigmoid, which is the softplus mirrored both ways; neither tail overflows."""
    return -kernels.activations.softplus(-x, threshold=np.inf), None


@log_sigmoid.backward("x")
def _(g, x):
    return (kernels.activations.softplus_backward(g, -x, threshold=np.inf),)


def _silu_reference(x):
    return mul(x, sigmoid(x))


@fused(r"x \, \sigma(x)", reference=_silu_reference, name="silu")
def sigmoid_weighted(x):
    """x times its sigmoid."""
    return kernels.activations.silu(x), None


@sigmoid_weighted.backward("x")
def _(g, x):
    return (kernels.activations.silu_backward(g, x),)


def _gelu_reference(x, tanh_form):
    if tanh_form:
        return x * 0.5 * (1 + tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * (x * x * x))))
    return x * 0.5 * (1 + erf(x * math.sqrt(0.5)))


@fused(r"x \, \Phi(x)", reference=_gelu_reference, name="gelu")
def gaussian_weighted(x, tanh_form):
    """x times the normal distribution function of x, or times the usual approximation of it by a tanh."""
    return (kernels.activations.gelu_tanh if tanh_form else kernels.activations.gelu)(x), None


@gaussian_weighted.backward("x")
def _(g, x, tanh_form):
    return ((kernels.activations.gelu_tanh_backward if tanh_form else kernels.activations.gelu_backward)(g, x),)


def gelu(input, approximate: str = "none") -> Tensor:
    """x times the normal distribution function of x; with ``approximate="tanh"`` the formula that GPT-2 uses for it.

    Source: Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016, section 2.

    Raises:
        UsageError: for another ``approximate``.
    """
    if approximate not in ("none", "tanh"):
        raise UsageError(f"gelu knows approximate='none' and 'tanh': got {approximate!r}")
    return gaussian_weighted(floating(input, "gelu"), approximate == "tanh")


def glu(input, dim: int = -1) -> Tensor:
    """The gated linear unit ``a * sigmoid(b)``, a and b being the halves of ``input`` along ``dim``.

    Source: Dauphin et al., "Language Modeling with Gated Convolutional Networks", 2017, section 2.

    Raises:
        ShapeError: if that dimension is odd.
    """
    shape = array_of(input).shape
    size = shape[axis_of(dim, len(shape))] if shape else 1
    if size % 2:
        raise ShapeError(f"glu halves a dimension of even size: got size {size} for dim {dim} of shape {shape}")
    a, b = chunk(input, 2, dim)
    return mul(a, sigmoid(b))


# -- one row at a time --------------------------------------------------------------------------------------------------

_NARROW = 8  # columns beside each other from which the kernels that share vector lanes among them pay


def _by_axis(name: str, axis: int, *arrays) -> np.ndarray:
    """The softmax kernel ``name`` along one axis of arrays of one shape: a new array."""
    shape, last = arrays[0].shape, arrays[0].ndim - 1
    out, n = np.empty(shape, arrays[0].dtype), shape[axis]
    if axis == last:
        kernel, flat = getattr(kernels.softmax, name), (out.size // n, n)
    elif (columns := math.prod(shape[axis + 1 :])) >= _NARROW:
        kernel, flat = getattr(kernels.softmax_columns, name), (out.size // (n * columns), n, columns)
    else:
        return _by_axis(name, last, *(x.swapaxes(axis, last) for x in arrays)).swapaxes(axis, last)
    kernel(*[shaped(ready(x), flat) for x in arrays], out=shaped(out, flat))
    return out


def _softmax_reference(x, axis):
    shifted = exp(x - amax(x, axis, True).detach())
    return shifted / sum_(shifted, axis, True)


@fused(r"\frac{e^{x_i}}{\sum_j e^{x_j}}", reference=_softmax_reference, name="softmax")
def soft_maximum(x, axis):
    """Softmax along one axis; a row of nothing but -inf gives NaN."""
    if not x.size:
        return np.array(x), None
    return _by_axis("softmax", axis, x), None


@soft_maximum.backward("x")
def _(g, out, axis):
    if not g.size:
        return (g,)
    return (_by_axis("softmax_backward", axis, g, out),)


soft_maximum.vjp(x=lambda g, out, axis: out * (g - np.sum(g * out, axis, keepdims=True)))


def _log_softmax_reference(x, axis):
    shifted = x - amax(x, axis, True).detach()
    return shifted - log(sum_(exp(shifted), axis, True))


@fused(r"x_i - \ln \sum_j e^{x_j}", reference=_log_softmax_reference, name="log_softmax")
def log_soft_maximum(x, axis):
    """The logarithm of softmax along one axis, without its rounding errors."""
    if not x.size:
        return np.array(x), None
    return _by_axis("log_softmax", axis, x), None


@log_soft_maximum.backward("x")
def _(g, out, axis):
    if not g.size:
        return (g,)
    return (_by_axis("log_softmax_backward", axis, g, out),)


log_soft_maximum.vjp(x=lambda g, out, axis: g - np.exp(out) * np.sum(g, axis, keepdims=True))


def _along(operation, name: str, input, dim: int, dtype) -> Tensor:
    x = floating(input if dtype is None else to(tensor_of(input), as_dtype(dtype)), name)
    axis = axis_of(dim, x.ndim)
    return operation(x, axis) if x.ndim else operation(x.reshape(1), 0).reshape(())


@numpy_names
def softmax(input, dim: int, dtype=None) -> Tensor:
    """exp(x) / sum(exp(x)) along ``dim``, shifted so that nothing overflows.

    A row of nothing but -inf gives NaN, as in PyTorch; attention masks go through scaled_dot_product_attention, where such a
    row gives 0.
    """
    return _along(soft_maximum, "softmax", input, dim, dtype)


@numpy_names
def log_softmax(input, dim: int, dtype=None) -> Tensor:
    """log(softmax(x)) along ``dim``, computed as x - logsumexp(x)."""
    return _along(log_soft_maximum, "log_softmax", input, dim, dtype)
