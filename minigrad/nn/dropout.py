"""Dropout: a layer that forgets at random, so that no other relies on a single feature."""

from __future__ import annotations

from ..errors import UsageError
from ..ops.dropout import add_dropout, draw_seed, relu_dropout
from ..ops.layout import floating
from ..tensor import Tensor
from . import functional as F
from .module import Module


class Dropout(Module):
    """In training, sets each element to 0 with probability ``p`` and multiplies the others by ``1 / (1 - p)``; else nothing.

    With ``inplace``, the result is written over the input.

    Source: Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting", JMLR 2014.
    """

    def __init__(self, p: float = 0.5, inplace: bool = False):
        super().__init__()
        if not 0 <= p <= 1:
            raise UsageError(f"the probability of dropping is between 0 and 1: got {p}")
        self.p = p
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout(input, self.p, True, self.inplace) if self.training and self.p else input

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


def _is_plain(dropout: Module) -> bool:
    """Whether it is about to drop, and nobody watches or replaces what it does: then a fused operation may do it."""
    return type(dropout) is Dropout and dropout.training and dropout.p > 0 and not dropout.inplace and dropout._hooks is None


def relu_then(dropout: Module, x: Tensor) -> Tensor:
    """``dropout(relu(x))``, in one pass over memory where possible, with the same mask."""
    if _is_plain(dropout):
        return relu_dropout(floating(x, "relu"), dropout.p, draw_seed())  # pyright: ignore[reportAttributeAccessIssue]
    return dropout(F.relu(x))


def residual(x: Tensor, branch: Tensor, dropout: Module) -> Tensor:
    """``x + dropout(branch)``, in one pass over memory where possible, with the same mask."""
    if _is_plain(dropout) and x.shape == branch.shape and x.dtype == branch.dtype:
        return add_dropout(floating(x, "add"), branch, dropout.p, draw_seed())  # pyright: ignore[reportAttributeAccessIssue]
    return x + dropout(branch)
