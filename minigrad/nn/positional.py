"""Positions: what tells attention, which is blind to order, where each token stands."""

from __future__ import annotations

import numpy as np

from ..errors import ShapeError, UsageError
from ..tensor import Tensor, wrap
from . import functional as F
from . import init
from .linear import new_parameter
from .module import Module


def sinusoids(length: int, features: int) -> np.ndarray:
    """The table of sines and cosines, (length, features), float64.

    ``table[p, 2i] = sin(p / 10000^(2i / features))`` and ``table[p, 2i + 1] = cos(p / 10000^(2i / features))``: wavelengths
    from 2 pi to 20000 pi positions, and the row ``k`` positions on is a rotation of each pair by a fixed angle.

    Source: Vaswani et al., "Attention Is All You Need", 2017, section 3.5.
    """
    even = np.arange(0, features, 2)
    angles = np.arange(length)[:, None] / 10000.0 ** (even / features)
    table = np.empty((length, features))
    table[:, 0::2] = np.sin(angles)
    table[:, 1::2] = np.cos(angles[:, : features // 2])
    return table


class PositionalEncoding(Module):
    """Adds to each position of a sequence a vector that says which one it is, then drops out.

    Args:
        d_model: features.
        dropout: the probability of dropping an element of the sum in training.
        max_len: how many positions a learned table has; the sinusoidal one has no end.
        learned: a table of parameters ``weight (max_len, d_model)`` rather than :func:`sinusoids`.
        batch_first: whether sequences are ``(batch, time, features)`` rather than ``(time, batch, features)``.
        dtype: of a learned table; float32 where left out.

    Initialisation: normal with standard deviation 0.02.
    """

    def __init__(
        self,
        d_model: int,
        dropout: float = 0.0,
        max_len: int = 512,
        *,
        learned: bool = False,
        batch_first: bool = False,
        dtype=None,
    ):
        super().__init__()
        if not 0 <= dropout <= 1:
            raise UsageError(f"the probability of dropping is between 0 and 1: got {dropout}")
        self.d_model = d_model
        self.dropout = dropout
        self.max_len = max_len
        self.learned = learned
        self.batch_first = batch_first
        self.weight = new_parameter(max_len, d_model, dtype=dtype) if learned else None
        self._table = np.empty((0, d_model), np.float32)  # the sinusoids so far, in the dtype last asked for
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw a learned table anew."""
        if self.weight is not None:
            init.normal_(self.weight, 0.0, 0.02)

    def forward(self, input: Tensor, offset: int = 0) -> Tensor:
        """The sequence with its positions added.

        Args:
            input: (time, batch, d_model), or (batch, time, d_model) with ``batch_first``, or (time, d_model).
            offset: the position of the first element; in decoding step by step, how many came before.

        Raises:
            ShapeError: for other shapes, or for positions that a learned table does not have.
        """
        if input.ndim not in (2, 3) or input.shape[-1] != self.d_model:
            raise ShapeError(f"positions are added to sequences with {self.d_model} features last: got shape {input.shape}")
        time = input.shape[1] if self.batch_first and input.ndim == 3 else input.shape[0]
        positions = self.positions(offset, offset + time, input.dtype)
        if input.ndim == 3 and not self.batch_first:
            positions = positions.unsqueeze(1)
        return F.dropout(input + positions, self.dropout, self.training)

    def positions(self, start: int, stop: int, dtype=None) -> Tensor:
        """The vectors of the positions from ``start`` up to ``stop``, (stop - start, d_model)."""
        if start < 0:
            raise UsageError(f"positions count from 0: got the offset {start}")
        if self.weight is not None:
            if stop > self.max_len:
                raise ShapeError(
                    f"this learned table has {self.max_len} positions, and {stop} are needed: make it with a larger max_len, "
                    "cut the sequences, or use sinusoidal positions, which have no end"
                )
            return self.weight[start:stop]
        dtype = np.dtype(dtype or np.float32)
        if stop > len(self._table) or self._table.dtype != dtype:
            self._table = sinusoids(max(stop, 2 * len(self._table), 64), self.d_model).astype(dtype)
        return wrap(self._table[start:stop])

    def extra_repr(self) -> str:
        kind = f"learned, max_len={self.max_len}" if self.learned else "sinusoidal"
        return f"{self.d_model}, {kind}, dropout={self.dropout}"
