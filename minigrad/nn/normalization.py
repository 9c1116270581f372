"""Layers that bring each position's features to one scale."""

from __future__ import annotations

from ..ops.dims import sizes
from ..tensor import Tensor
from . import functional as F
from . import init
from .linear import new_parameter
from .module import Module


class LayerNorm(Module):
    """``(x - mean) / sqrt(variance + eps) * weight + bias``, mean and variance over the last dimensions.

    Args:
        normalized_shape: the sizes of these dimensions, or the one size.
        eps: added to the variance, in the units of the input squared.
        elementwise_affine: whether there are ``weight`` and ``bias``, of shape ``normalized_shape``.
        bias: whether there is a ``bias``, if there is a ``weight``.
        dtype: of the parameters; float32 where left out.

    Initialisation: ``weight`` 1, ``bias`` 0.

    Source: Ba, Kiros and Hinton, "Layer Normalization", 2016, section 3.
    """

    def __init__(self, normalized_shape, eps: float = 1e-5, elementwise_affine: bool = True, bias: bool = True, *, dtype=None):
        super().__init__()
        self.normalized_shape = sizes((normalized_shape,))
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        self.weight = new_parameter(*self.normalized_shape, dtype=dtype) if elementwise_affine else None
        self.bias = new_parameter(*self.normalized_shape, dtype=dtype) if elementwise_affine and bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set ``weight`` to 1 and ``bias`` to 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        options = f"eps={self.eps}, elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        return f"{self.normalized_shape}, {options}"


class RMSNorm(Module):
    """``x / sqrt(mean(x^2) + eps) * weight``, the mean over the last dimensions.

    Args:
        normalized_shape: the sizes of these dimensions, or the one size.
        eps: added to the mean square; None for the machine epsilon of the input's dtype.
        elementwise_affine: whether there is a ``weight``, of shape ``normalized_shape``.
        dtype: of the parameters; float32 where left out.

    Initialisation: ``weight`` 1.

    Source: Zhang and Sennrich, "Root Mean Square Layer Normalization", NeurIPS 2019, section 3.
    """

    def __init__(self, normalized_shape, eps: float | None = None, elementwise_affine: bool = True, *, dtype=None):
        super().__init__()
        self.normalized_shape = sizes((normalized_shape,))
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        self.weight = new_parameter(*self.normalized_shape, dtype=dtype) if elementwise_affine else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set ``weight`` to 1."""
        if self.weight is not None:
            init.ones_(self.weight)

    def forward(self, input: Tensor) -> Tensor:
        return F.rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
