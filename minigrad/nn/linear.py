"""Layers that are a matrix product."""

from __future__ import annotations

import math

import numpy as np

from ..promotion import FLOAT32
from ..tensor import Tensor, as_dtype, wrap
from . import functional as F
from . import init
from .module import Module
from .parameter import Parameter


def new_parameter(*shape: int, dtype=None) -> Parameter:
    """A parameter whose values are still to be set."""
    return Parameter(wrap(np.empty(shape, FLOAT32 if dtype is None else as_dtype(dtype))))


class Identity(Module):
    """Gives its input back, whatever arguments it was made with."""

    def __init__(self, *args, **kwargs):
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        return input


class Linear(Module):
    """``y = x W^T + b``.

    Args:
        in_features, out_features: the sizes of the last dimension before and after.
        bias: whether there is a ``b``.
        dtype: of the parameters; float32 where left out.

    Shapes:
        ``(.., in_features)`` gives ``(.., out_features)``; ``weight`` is ``(out_features, in_features)``, ``bias``
        ``(out_features)``.

    Initialisation: both uniform in ``(-1/sqrt(in_features), 1/sqrt(in_features))``.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True, *, dtype=None):
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        self.weight = new_parameter(out_features, in_features, dtype=dtype)
        self.bias = new_parameter(out_features, dtype=dtype) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        bound = 1 / math.sqrt(self.in_features) if self.in_features else 0.0
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"
