"""Normalisation of the last dimensions: layer norm and root-mean-square norm."""

from __future__ import annotations

import math

from .. import kernels
from ..errors import ShapeError
from ..primitive import fused
from ..promotion import FLOAT32
from ..tensor import Tensor
from .arithmetic import square
from .dims import sizes
from .elementwise import rsqrt
from .layout import floating, one_dtype, ready, shaped
from .reduction import mean


def _flat(x, normalized_shape):
    """``x`` as contiguous rows (rows, features), the features being everything that is normalised together."""
    features = math.prod(normalized_shape)
    return shaped(ready(x), (x.size // features if features else 0, features))


def _vector(parameter):
    return None if parameter is None else shaped(ready(parameter), (parameter.size,))


def _trailing(normalized_shape):
    return tuple(range(-len(normalized_shape), 0))


def _layer_norm_reference(x, weight, bias, normalized_shape, eps):
    dims = _trailing(normalized_shape)
    centred = x - mean(x, dims, True)
    out = centred * rsqrt(mean(square(centred), dims, True) + eps)
    out = out if weight is None else out * weight
    return out if bias is None else out + bias


@fused(r"\frac{x - \bar{x}}{\sqrt{\mathrm{Var}[x] + \epsilon}} \odot w + b", reference=_layer_norm_reference, name="layer_norm")
def normalized(x, weight, bias, normalized_shape, eps):
    """Mean 0 and variance 1 over the last dimensions, then scale and shift. Keeps the mean and 1 / deviation of each row."""
    out, mean, rstd = kernels.norm.layer_norm(_flat(x, normalized_shape), _vector(weight), _vector(bias), eps)
    return shaped(out, x.shape), (mean, rstd)


@normalized.backward("x", "weight", "bias")
def _(g, x, weight, normalized_shape, kept):
    g, rows = _flat(g, normalized_shape), _flat(x, normalized_shape)
    gx, gweight, gbias = kernels.norm.layer_norm_backward(g, rows, *kept, _vector(weight))
    return shaped(gx, x.shape), shaped(gweight, normalized_shape), shaped(gbias, normalized_shape)


def _rms_norm_reference(x, weight, normalized_shape, eps):
    out = x * rsqrt(mean(square(x), _trailing(normalized_shape), True) + eps)
    return out if weight is None else out * weight


@fused(r"\frac{x}{\sqrt{\overline{x^2} + \epsilon}} \odot w", reference=_rms_norm_reference, name="rms_norm")
def root_mean_square_normalized(x, weight, normalized_shape, eps):
    """Root mean square 1 over the last dimensions, then scale. Keeps 1 / root mean square of each row."""
    out, rrms = kernels.norm.rms_norm(_flat(x, normalized_shape), _vector(weight), eps)
    return shaped(out, x.shape), rrms


@root_mean_square_normalized.backward("x", "weight")
def _(g, x, weight, normalized_shape, kept):
    g, rows = _flat(g, normalized_shape), _flat(x, normalized_shape)
    gx, gweight = kernels.norm.rms_norm_backward(g, rows, kept, _vector(weight))
    return shaped(gx, x.shape), shaped(gweight, normalized_shape)


def _checked(name: str, input, normalized_shape, **parameters):
    x = floating(input, name)
    shape = sizes((normalized_shape,))
    if not shape or x.shape[-len(shape) :] != shape:
        raise ShapeError(
            f"{name} normalises the last dimensions, which normalized_shape names: got {shape} for an input of shape {x.shape}"
            f"; pass normalized_shape={x.shape[-max(len(shape), 1) :]}, or move those dimensions last"
        )
    one_dtype(name, x, **parameters)
    for what, parameter in parameters.items():
        if parameter is not None and parameter.shape != shape:
            raise ShapeError(f"{name} needs a {what} of shape {shape}, its normalized_shape: got {parameter.shape}")
    return x, shape


def layer_norm(input, normalized_shape, weight=None, bias=None, eps: float = 1e-5) -> Tensor:
    """``(x - mean) / sqrt(variance + eps) * weight + bias``, mean and variance taken over the last dimensions.

    Args:
        input: (.., *normalized_shape).
        normalized_shape: the sizes of the dimensions that are normalised together, or one size.
        weight, bias: of shape ``normalized_shape``, or None.
        eps: added to the (biased) variance, in the units of the input squared.

    Source: Ba, Kiros and Hinton, "Layer Normalization", 2016, section 3.

    Raises:
        ShapeError: if the last dimensions are not ``normalized_shape``.
    """
    x, shape = _checked("layer_norm", input, normalized_shape, weight=weight, bias=bias)
    return normalized(x, weight, bias, shape, float(eps))


def rms_norm(input, normalized_shape, weight=None, eps: float | None = None) -> Tensor:
    """``x / sqrt(mean(x^2) + eps) * weight``, the mean taken over the last dimensions.

    Args:
        input: (.., *normalized_shape).
        normalized_shape: the sizes of the dimensions that are normalised together, or one size.
        weight: of shape ``normalized_shape``, or None.
        eps: added to the mean square; None for the machine epsilon of the dtype.

    Source: Zhang and Sennrich, "Root Mean Square Layer Normalization", NeurIPS 2019, section 3.

    Raises:
        ShapeError: if the last dimensions are not ``normalized_shape``.
    """
    x, shape = _checked("rms_norm", input, normalized_shape, weight=weight)
    if eps is None:
        eps = 2.0**-23 if x.dtype is FLOAT32 else 2.0**-52
    return root_mean_square_normalized(x, weight, shape, float(eps))
