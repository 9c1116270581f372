"""Embedding: a vector for each word."""

from __future__ import annotations

from ..errors import ShapeError, UsageError
from ..tensor import Tensor
from . import functional as F
from . import init
from .linear import new_parameter
from .module import Module
from .parameter import Parameter


def _row(padding_idx: int | None, count: int) -> int | None:
    """``padding_idx`` counted from the front."""
    if padding_idx is None:
        return None
    if not -count <= padding_idx < count:
        raise UsageError(f"padding_idx is one of the {count} rows of the table: got {padding_idx}")
    return padding_idx % count


class Embedding(Module):
    """A table of vectors, looked up by number.

    Args:
        num_embeddings: how many vectors there are.
        embedding_dim: the size of each.
        padding_idx: a number whose vector starts at 0 and gets no gradient; negative ones count from the end.
        dtype: of the table; float32 where left out.

    Shapes:
        integers ``(..)`` give ``(.., embedding_dim)``; ``weight`` is ``(num_embeddings, embedding_dim)``.

    Initialisation: standard normal.
    """

    def __init__(self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None, *, dtype=None):
        super().__init__()
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = _row(padding_idx, num_embeddings)
        self.weight = new_parameter(num_embeddings, embedding_dim, dtype=dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the table anew."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            self.weight._data[self.padding_idx] = 0

    @classmethod
    def from_pretrained(cls, embeddings: Tensor, freeze: bool = True, padding_idx: int | None = None) -> Embedding:
        """An Embedding around the table ``embeddings`` ``(num_embeddings, embedding_dim)``; a Tensor's memory is shared.

        Args:
            freeze: whether the table stays as it is in training.
        """
        weight = Parameter(embeddings, requires_grad=not freeze)
        if weight.ndim != 2:
            raise ShapeError(f"embeddings are a matrix (num_embeddings, embedding_dim): got shape {weight.shape}")
        layer = cls(0, weight.shape[1])  # no rows, so that no random numbers are drawn in vain
        layer.num_embeddings = len(weight)
        layer.padding_idx = _row(padding_idx, len(weight))
        layer.weight = weight
        return layer

    def forward(self, input: Tensor) -> Tensor:
        return F.embedding(input, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"
