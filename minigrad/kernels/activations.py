"""Activation functions and their gradients, element by element.

Every function takes arrays of any shape and one dtype, float32 or float64, and returns a new array, or ``out``, which is
contiguous and overlaps no input. NaN gives NaN. A ``_backward`` function returns the gradient by the input, given the gradient
``g`` of the output, and the input ``x`` or the output ``y``, whichever the formula needs.

Sources: Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016 (gelu); Elfwing, Uchibe and Doya, "Sigmoid-weighted linear
units for neural network function approximation in reinforcement learning", 2018 (silu); Dugas et al., "Incorporating
second-order functional knowledge for better option pricing", 2001 (softplus).
"""

import functools
import inspect
import math
from collections.abc import Callable

import numpy as np
from numba import prange
from numba.extending import register_jitable

from minigrad.kernels import vectormath
from minigrad.kernels.jit import chunk_count, core, driver
from minigrad.kernels.vectormath import INLINED

PER_CHUNK = 32_768  # elements below which a second thread does not pay


def elementwise(function):
    """Turn a function of one or two numbers into one of arrays, with ``out=``. Parameters with defaults stay numbers."""
    signature = inspect.signature(function).parameters.values()
    defaults = {p.name: p.default for p in signature if p.default is not p.empty}
    number = register_jitable(**INLINED)(function)
    loop, shared_loop = (_loops_over_one if len(signature) - len(defaults) == 1 else _loops_over_two)(number)

    @functools.wraps(function)
    def on_arrays(*arrays, out=None, **options):
        dtype = arrays[-1].dtype.type
        result = np.empty(arrays[-1].shape, dtype) if out is None else out
        values = tuple(map(dtype, (defaults | options).values()))
        run = loop if chunk_count(result.size, PER_CHUNK) == 1 else shared_loop
        run(*map(_flat, arrays), result.reshape(-1), values)
        return result

    return on_arrays


# The loops close over a plain function, not over something compiled: Numba's cache on disk tells closures apart by what they
# close over, and something compiled has another identity in every process.


def _loops_over_one(number) -> tuple[Callable, Callable]:
    @core
    def loop(x, out, options):
        for i in range(x.size):
            out[i] = number(x[i], *options)

    @driver
    def shared_loop(x, out, options):
        for i in prange(x.size):
            out[i] = number(x[i], *options)

    return loop, shared_loop


def _loops_over_two(number) -> tuple[Callable, Callable]:
    @core
    def loop(g, x, out, options):
        for i in range(x.size):
            out[i] = number(g[i], x[i], *options)

    @driver
    def shared_loop(g, x, out, options):
        for i in prange(x.size):
            out[i] = number(g[i], x[i], *options)

    return loop, shared_loop


def _flat(x):
    return (x if x.flags.carray else np.array(x, order="C")).reshape(-1)  # Numba would compile anew for other layouts


@elementwise
def relu(x):
    """Return max(x, 0)."""
    return type(x)(0) if x < type(x)(0) else x


@elementwise
def relu_backward(g, y, scale=1.0):
    """Return g scale where y > 0, else 0; at 0, where the slope jumps, 0. The scale is that of a dropout after the relu."""
    return type(y)(0) if y <= type(y)(0) else g * scale


@elementwise
def leaky_relu(x, slope=0.01):
    """Return x where x > 0, else slope x."""
    return x if x > type(x)(0) else x * slope


@elementwise
def leaky_relu_backward(g, x, slope=0.01):
    """Return g where x > 0, else g slope."""
    return g if x > type(x)(0) else g * slope


@elementwise
def elu(x, alpha=1.0):
    """Return x where x > 0, else alpha (e^x - 1)."""
    return x if x > type(x)(0) else alpha * vectormath.expm1(x)


@elementwise
def elu_backward(g, x, alpha=1.0):
    """Return g where x > 0, else g alpha e^x."""
    return g if x > type(x)(0) else g * alpha * vectormath.exp_negative(x)


@elementwise
def sigmoid(x):
    """Return 1 / (1 + e^-x)."""
    return vectormath.sigmoid(x)


@elementwise
def sigmoid_backward(g, y):
    """Return g y (1 - y)."""
    return g * y * (type(y)(1) - y)


@elementwise
def tanh(x):
    """Return (e^x - e^-x) / (e^x + e^-x)."""
    return vectormath.tanh(x)


@elementwise
def tanh_backward(g, y):
    """Return g (1 - y^2)."""
    return g * (type(y)(1) - y * y)


@elementwise
def erf(x):
    """Return 2/sqrt(pi) times the integral of e^-t^2 for t from 0 to x."""
    return vectormath.erf(x)


@elementwise
def silu(x):
    """Return x sigmoid(x)."""
    return x * vectormath.sigmoid(x)


@elementwise
def silu_backward(g, x):
    """Return g s (1 + x (1 - s)) with s = sigmoid(x)."""
    one = type(x)(1)
    s = vectormath.sigmoid(x)
    return g * s * (one + x * (one - s))


@elementwise
def gelu(x):
    """Return x Phi(x), with the normal distribution function Phi(x) = (1 + erf(x / sqrt 2)) / 2."""
    return x * vectormath.normal_cdf(x)


@elementwise
def gelu_backward(g, x):
    """Return g (Phi(x) + x phi(x)), with the normal density phi(x) = e^(-x^2 / 2) / sqrt(2 pi)."""
    return g * vectormath.gelu_slope(x)


@elementwise
def gelu_tanh(x):
    """Return x (1 + tanh u) / 2 = x sigmoid(2u) with u = sqrt(2 / pi) (x + 0.044715 x^3), an approximation of gelu."""
    return x * vectormath.sigmoid(_gelu_argument(x))


@elementwise
def gelu_tanh_backward(g, x):
    """Return g (s + x s (1 - s) v') with v = 2 sqrt(2 / pi) (x + 0.044715 x^3) and s = sigmoid(v)."""
    one = type(x)(1)
    s = vectormath.sigmoid(_gelu_argument(x))
    slope = type(x)(_GELU_SCALE) * (one + type(x)(3 * _GELU_CUBIC) * x * x)
    return g * (s + x * s * (one - s) * slope)


@elementwise
def softplus(x, beta=1.0, threshold=20.0):
    """Return log(1 + e^(beta x)) / beta, and x itself where beta x is above the threshold."""
    return x if x * beta > threshold else vectormath.softplus(x * beta) / beta


@elementwise
def softplus_backward(g, x, beta=1.0, threshold=20.0):
    """Return g sigmoid(beta x), and g itself where beta x is above the threshold."""
    return g if x * beta > threshold else g * vectormath.sigmoid(x * beta)


@elementwise
def logits_loss(y, x):
    """Return (1 - y) x - log sigmoid(x) = (1 - y) x + log(1 + e^-x), the binary cross-entropy of a logit x and an answer y."""
    return (type(x)(1) - y) * x + vectormath.softplus(-x)


@elementwise
def logits_loss_slope(y, x):
    """Return sigmoid(x) - y, the derivative of ``logits_loss`` by x."""
    return vectormath.sigmoid(x) - y


_GELU_SCALE = 2 * math.sqrt(2 / math.pi)
_GELU_CUBIC = 0.044715


@register_jitable(**INLINED)
def _gelu_argument(x):
    return type(x)(_GELU_SCALE) * x * (type(x)(1) + type(x)(_GELU_CUBIC) * x * x)
