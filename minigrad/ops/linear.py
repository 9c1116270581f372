"""The linear layer: the operation in which a model's training spends most of its time."""

from __future__ import annotations

import math

from .. import kernels
from ..errors import ShapeError
from ..primitive import fused
from ..tensor import Tensor
from .layout import floating, one_dtype, ready
from .linalg import matmul
from .shaping import matrix_transpose


def _reference(x, weight, bias):
    product = matmul(x, matrix_transpose(weight))
    return product if bias is None else product + bias


@fused(r"x W^{\mathsf{T}} + b", reference=_reference, name="linear")
def affine(x, weight, bias):
    """Every row of x times the transposed weight, as one flat product (rows, in) @ (in, out) whose sums start at the bias."""
    out_features, in_features = weight.shape
    out = kernels.matmul.matmul(x.reshape(math.prod(x.shape[:-1]), in_features), weight.T, start=bias)
    return out.reshape(*x.shape[:-1], out_features), None


@affine.backward("x", "weight", "bias")
def _(g, x, weight, needs):
    out_features, in_features = weight.shape
    rows = math.prod(x.shape[:-1])  # not -1, which has no answer where there are no features
    g = ready(g).reshape(rows, out_features)
    gx = kernels.matmul.matmul(g, weight).reshape(x.shape) if needs[0] else None
    gweight = kernels.matmul.matmul(g.T, x.reshape(rows, in_features)) if needs[1] else None
    gbias = kernels.bias.sum_rows(g) if needs[2] else None
    return gx, gweight, gbias


def linear(input, weight, bias=None) -> Tensor:
    """``input @ weight.T + bias``.

    Args:
        input: (.., in_features).
        weight: (out_features, in_features), or (in_features), which gives results of shape (..).
        bias: (out_features), or None.

    Returns:
        (.., out_features).

    Raises:
        ShapeError: if the features do not fit.
        DTypeError: if the dtypes differ, or are not float32 or float64.
    """
    x = floating(input, "linear")
    one_dtype("linear", x, weight=weight, bias=bias)
    shape = weight.shape
    if not x.ndim or not 1 <= len(shape) <= 2 or x.shape[-1] != shape[-1]:
        raise ShapeError(
            "linear needs an input (.., in_features) and a weight (out_features, in_features): "
            f"got {x.shape} and {shape}; the last dimensions of both must agree"
        )
    if bias is not None and bias.shape != shape[:-1]:
        raise ShapeError(f"linear needs a bias of shape {shape[:-1]} beside a weight of shape {shape}: got {bias.shape}")
    if len(shape) == 1:
        return matmul(x, weight) if bias is None else matmul(x, weight) + bias
    return affine(x, weight, bias)
