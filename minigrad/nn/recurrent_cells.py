"""One step of a recurrent layer, for programs that choose each input themselves, such as a decoder with attention."""

from __future__ import annotations

import math

import numpy as np

from ..errors import DTypeError, ShapeError, UsageError
from ..ops.layout import floating, one_dtype
from ..ops.recurrent import gru, lstm, rnn
from ..tensor import Tensor
from . import init
from .linear import new_parameter
from .module import Module


class RNNCellBase(Module):
    """What the cells share.

    Args:
        input_size: features of the input.
        hidden_size: features of the state.
        bias: whether there are biases.
        dtype: of the parameters; float32 where left out.

    Parameters: ``weight_ih`` (gates * hidden_size, input_size), ``weight_hh`` (gates * hidden_size, hidden_size), and
    ``bias_ih`` and ``bias_hh`` (gates * hidden_size), all uniform in ``(-1/sqrt(hidden_size), 1/sqrt(hidden_size))`` at first.
    """

    _gates: int

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, *, dtype=None):
        super().__init__()
        if input_size <= 0 or hidden_size <= 0:
            raise UsageError(f"input_size and hidden_size are positive: got {input_size} and {hidden_size}")
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        rows = self._gates * hidden_size
        self.weight_ih = new_parameter(rows, input_size, dtype=dtype)
        self.weight_hh = new_parameter(rows, hidden_size, dtype=dtype)
        self.bias_ih = new_parameter(rows, dtype=dtype) if bias else None
        self.bias_hh = new_parameter(rows, dtype=dtype) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def _operands(self, input, states: tuple | None, count: int) -> list:
        """Input, ``count`` states and weights, with a batch, and what the operations want besides."""
        name = type(self).__name__
        x = floating(input, name)
        one_dtype(name, x, weight=self.weight_ih)
        if x.ndim not in (1, 2) or x.shape[-1] != self.input_size:
            raise ShapeError(f"this {name} takes an input (batch, {self.input_size}) or ({self.input_size},): got {x.shape}")
        expected = (*x.shape[:-1], self.hidden_size)
        if states is None:
            states = (np.zeros(expected, x.dtype),) * count
        else:
            one_dtype(name, x, **{f"state {i}": s for i, s in enumerate(states)})
            for state in states:
                if tuple(state.shape) != expected:
                    raise ShapeError(f"this {name} takes a state of shape {expected} for this input: got {tuple(state.shape)}")
        batched = [x, *states] if x.ndim == 2 else [a[None] for a in (x, *states)]
        return [*batched, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh]

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else ", bias=False")


def _once(x: Tensor) -> tuple:
    """One step, forwards, that nobody watches."""
    return np.array([len(x)], np.int64), False, None


class RNNCell(RNNCellBase):
    """One step of :class:`~minigrad.nn.RNN`, with ``nonlinearity``, "tanh" or "relu"."""

    _gates = 1

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh", *, dtype=None):
        if nonlinearity not in ("tanh", "relu"):
            raise UsageError(f"the nonlinearity is 'tanh' or 'relu': got {nonlinearity!r}")
        super().__init__(input_size, hidden_size, bias, dtype=dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """The next state, (batch, hidden_size) or (hidden_size,), from an input and a state of this shape, or zeros."""
        operands = self._operands(input, None if hx is None else (hx,), 1)
        state = rnn(*operands, self.nonlinearity, *_once(operands[0]))
        return state if input.ndim == 2 else state[0]

    def extra_repr(self) -> str:
        return super().extra_repr() + ("" if self.nonlinearity == "tanh" else f", nonlinearity={self.nonlinearity}")


class LSTMCell(RNNCellBase):
    """One step of :class:`~minigrad.nn.LSTM`."""

    _gates = 4

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """The next ``(h, c)``, each (batch, hidden_size) or (hidden_size,), from an input and such a pair, or zeros."""
        if hx is not None and (not isinstance(hx, (tuple, list)) or len(hx) != 2):
            raise DTypeError(f"the state of an LSTMCell is a pair (h, c) of tensors: got a {type(hx).__name__}")
        operands = self._operands(input, hx, 2)
        both, batch = lstm(*operands, *_once(operands[0])), len(operands[0])
        return (both[:batch], both[batch:]) if input.ndim == 2 else (both[0], both[1])


class GRUCell(RNNCellBase):
    """One step of :class:`~minigrad.nn.GRU`."""

    _gates = 3

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """The next state, (batch, hidden_size) or (hidden_size,), from an input and a state of this shape, or zeros."""
        operands = self._operands(input, None if hx is None else (hx,), 1)
        state = gru(*operands, *_once(operands[0]))
        return state if input.ndim == 2 else state[0]
