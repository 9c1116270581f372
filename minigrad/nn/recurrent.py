"""Recurrent layers over whole sequences, with arguments, weights, gates and results as in ``torch.nn``.

Each direction of each layer is one operation, :mod:`minigrad.ops.recurrent`. Between the layers sequences stay packed, so those
of different lengths cost no more than their own steps. The layers of one step are in :mod:`.recurrent_cells`.
"""

from __future__ import annotations

import math
import numbers
import warnings
from typing import Any

import numpy as np

from .. import kernels
from ..errors import DTypeError, ShapeError, UsageError
from ..hooks import RemovableHandle, add_hook
from ..ops import cat, stack
from ..ops.layout import floating, one_dtype
from ..ops.recurrent import gru, lstm, rnn
from ..ops.rows import gather_rows
from ..tensor import Tensor, raw, wrap
from . import functional as F
from . import init
from .linear import new_parameter
from .module import Module
from .utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence


class RNNBase(Module):
    """What the recurrent layers share: layers, directions, weights, and how sequences are passed in and out.

    Args:
        input_size: features of the input.
        hidden_size: features of the state of each layer and direction.
        num_layers: how many layers; each reads the states of the one below.
        bias: whether there are biases.
        batch_first: whether tensors are (batch, time, features) rather than (time, batch, features). States do not change.
        dropout: the probability of dropping each feature between two layers in training.
        bidirectional: whether each layer also reads the sequences from their ends; the outputs of both stand side by side.
        dtype: of the parameters; float32 where left out.

    Parameters, for layer ``k`` and, with ``_reverse`` behind the names, for its second direction:
        ``weight_ih_lk`` (gates * hidden_size, features), ``weight_hh_lk`` (gates * hidden_size, hidden_size), and
        ``bias_ih_lk`` and ``bias_hh_lk`` (gates * hidden_size).

    Initialisation: all uniform in ``(-1/sqrt(hidden_size), 1/sqrt(hidden_size))``.

    Raises:
        UsageError: for sizes that are not positive, or a dropout outside [0, 1].
        DTypeError: for sizes that are not integers.
    """

    _gates: int  # of a cell
    _states = 1  # tensors that make up the state of a cell

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        dtype=None,
    ):
        super().__init__()
        sizes = {"input_size": input_size, "hidden_size": hidden_size, "num_layers": num_layers}
        for name, value in sizes.items():
            if not isinstance(value, numbers.Integral):
                raise DTypeError(f"{name} is an integer: got {value!r}")
            if value <= 0:
                raise UsageError(f"{name} is positive: got {value}")
        for name, value in {"bias": bias, "batch_first": batch_first}.items():
            if not isinstance(value, bool):
                raise DTypeError(f"{name} is True or False: got {value!r}")
        if not isinstance(dropout, numbers.Real) or isinstance(dropout, bool) or not 0 <= dropout <= 1:
            raise UsageError(f"dropout is a probability, between 0 and 1: got {dropout!r}")
        if dropout and num_layers == 1:
            warnings.warn(
                f"dropout acts between layers, and there is one layer: dropout={dropout} does nothing; use num_layers=2 or "
                "more, or an nn.Dropout behind the layer",
                stacklevel=2,
            )
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self._flow_hooks: dict[int, Any] = {}
        rows = self._gates * hidden_size
        for place, suffix in enumerate(self._suffixes()):
            features = input_size if place < self._directions else hidden_size * self._directions
            setattr(self, f"weight_ih_{suffix}", new_parameter(rows, features, dtype=dtype))
            setattr(self, f"weight_hh_{suffix}", new_parameter(rows, hidden_size, dtype=dtype))
            if bias:
                setattr(self, f"bias_ih_{suffix}", new_parameter(rows, dtype=dtype))
                setattr(self, f"bias_hh_{suffix}", new_parameter(rows, dtype=dtype))
        self.reset_parameters()

    @property
    def _directions(self) -> int:
        return 2 if self.bidirectional else 1

    def _suffixes(self) -> list[str]:
        """What follows the names of the parameters, of all directions of all layers."""
        return [f"l{layer}{end}" for layer in range(self.num_layers) for end in ("", "_reverse")[: self._directions]]

    def _weights(self, suffix: str) -> list[Tensor | None]:
        names = ("weight_ih_", "weight_hh_", "bias_ih_", "bias_hh_")
        return [getattr(self, name + suffix, None) for name in names]

    @property
    def all_weights(self) -> list[list[Tensor]]:
        """The parameters of each direction of each layer."""
        return [[w for w in self._weights(suffix) if w is not None] for suffix in self._suffixes()]

    def flatten_parameters(self) -> None:
        """Does nothing; programs written for PyTorch call it to arrange the weights in a GPU's memory."""

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def register_gradient_flow_hook(self, hook) -> RemovableHandle:
        """Watch gradients flow through time: call ``hook(name, norms)`` in every backward pass, last layer first.

        ``name`` is "l0", "l0_reverse", "l1" and so on, as in the parameters' names. ``norms`` is an array (time, batch): the
        norm of dL/dh_t for each sequence, where h_t is the hidden state after step t, and the gradient contains all that later
        steps made of that state. It is 0 where a sequence has no such step. Where norms fall or rise by orders of magnitude
        from the last step to the first, gradients vanish or explode. A backward pass with ``create_graph`` calls no hook.
        """
        return add_hook(self._flow_hooks, hook)

    def _watch(self, suffix: str, unsorted):
        if not self._flow_hooks:
            return None

        def watch(norms):
            for hook in list(self._flow_hooks.values()):
                hook(suffix, norms if unsorted is None else norms[:, raw(unsorted)])

        return watch

    # -- the call -------------------------------------------------------------------------------------------------------

    def forward(self, input: Tensor | PackedSequence, hx=None, lengths=None):
        """Run the layers over a batch of sequences.

        Args:
            input: (time, batch, input_size), or (batch, time, input_size) with ``batch_first``, or (time, input_size) for a
                single sequence; or a :class:`~minigrad.nn.utils.rnn.PackedSequence`.
            hx: the states at the beginning, zeros where left out: (layers * directions, batch, hidden_size), or (layers *
                directions, hidden_size) for a single sequence; for an LSTM a pair of such, hidden and cell states.
            lengths: (batch,), the sequences' own lengths, where those differ. What lies beyond a length is not read; the
                output is 0 there. This packs the sequences and pads them again, so they need not be sorted.

        Returns:
            ``(output, state)``: the last layer's hidden states after each step, shaped as ``input`` with hidden_size *
            directions features, or packed as the input was; and the states of all layers and directions after each
            sequence's last step (for a direction that reads backwards, its first), shaped as ``hx``.

        Raises:
            ShapeError: if the shapes do not fit, or there is no step.
            DTypeError: if the dtypes differ from the parameters'.
        """
        if isinstance(input, PackedSequence):
            if lengths is not None:
                raise UsageError("a PackedSequence knows its lengths: leave lengths out")
            return self._forward_packed(input, hx)
        x = floating(input, type(self).__name__)
        if x.ndim not in (2, 3):
            raise ShapeError(f"{type(self).__name__} takes an input of 2 or 3 dimensions: got {x.shape}; see its layout")
        if lengths is not None:
            packed = pack_padded_sequence(x, lengths, self.batch_first, enforce_sorted=False)
            packed, states = self._forward_packed(packed, hx)
            return pad_packed_sequence(packed, self.batch_first, 0.0, x.shape[1 if self.batch_first else 0])[0], states
        self._check_features(x)
        batched = x.ndim == 3
        if batched and self.batch_first:
            x = x.transpose(0, 1)
        time, batch = x.shape[:2] if batched else (x.shape[0], 1)
        if not time:
            raise ShapeError(f"{type(self).__name__} needs at least one step: got an input of shape {tuple(input.shape)}")
        states = self._checked_states(hx, batch, batched, x)
        out, states = self._run(x.reshape(time * batch, x.shape[-1]), np.full(time, batch, np.int64), states, None)
        if not batched:
            return out, self._as_given([s.squeeze(1) for s in states])
        out = out.reshape(time, batch, out.shape[1])
        return out.transpose(0, 1) if self.batch_first else out, self._as_given(states)

    def _forward_packed(self, packed: PackedSequence, hx):
        x = floating(packed.data, type(self).__name__)
        if x.ndim != 2:
            raise ShapeError(f"{type(self).__name__} takes packed sequences (steps, features): got {x.shape}")
        self._check_features(x)
        sizes = np.asarray(raw(packed.batch_sizes))
        states = self._checked_states(hx, int(sizes[0]), True, x)
        order, back = packed.sorted_indices, packed.unsorted_indices
        if order is not None:
            states = [s[:, raw(order)] for s in states]
        out, states = self._run(x, sizes, states, back)
        if back is not None:
            states = [s[:, raw(back)] for s in states]
        return packed._replace(data=out), self._as_given(states)

    def _run(self, x: Tensor, sizes: np.ndarray, states: list, unsorted):
        """All layers over packed rows: the last one's states after each step, and the last states."""
        finals = []
        rows = len(x)
        for layer in range(self.num_layers):
            if layer and self.dropout and self.training:
                x = F.dropout(x, self.dropout)
            outputs = []
            for direction in range(self._directions):
                place = layer * self._directions + direction
                suffix, reverse = self._suffixes()[place], direction == 1
                before = [s[place] for s in states]
                options = sizes, reverse, self._watch(suffix, unsorted)
                result = self._layer(x, before, self._weights(suffix), options)
                out = result[:rows] if len(result) > rows else result
                outputs.append(out)
                last = _last_states(out, sizes, reverse)
                finals.append([last, result[rows:]] if self._states == 2 else [last])
            x = outputs[0] if len(outputs) == 1 else cat(outputs, 1)
        columns = ([last[i] for last in finals] for i in range(self._states))
        return x, [stack(each) if len(each) > 1 else each[0].unsqueeze(0) for each in columns]

    def _layer(self, x: Tensor, states: list, weights: list, options: tuple) -> Tensor:
        """One direction of one layer, as the operation of this kind of cell."""
        raise NotImplementedError

    def _as_given(self, states: list):
        return states[0]

    # -- checks ---------------------------------------------------------------------------------------------------------

    def _check_features(self, x: Tensor) -> None:
        one_dtype(type(self).__name__, x, weight=self._weights("l0")[0])
        if x.shape[-1] != self.input_size:
            raise ShapeError(
                f"this {type(self).__name__} takes {self.input_size} features in the last dimension: got input {x.shape}"
            )

    def _checked_states(self, hx, batch: int, batched: bool, x: Tensor) -> list:
        """The states at the beginning: as many as a cell has, each (layers * directions, batch, hidden_size)."""
        shape = self.num_layers * self._directions, batch, self.hidden_size
        if hx is None:
            return [np.zeros(shape, x.dtype)] * self._states
        states = self._split(hx)
        one_dtype(type(self).__name__, x, **{f"initial state {i}": s for i, s in enumerate(states)})
        expected = shape if batched else (shape[0], shape[2])
        for state in states:
            if tuple(state.shape) != expected:
                raise ShapeError(
                    f"this {type(self).__name__} takes initial states of shape {expected}, "
                    f"(layers * directions{', batch' if batched else ''}, hidden_size), here: got {tuple(state.shape)}"
                )
        states = [s if isinstance(s, Tensor) else wrap(np.asarray(s)) for s in states]
        return states if batched else [s.unsqueeze(1) for s in states]

    def _split(self, hx) -> tuple:
        if isinstance(hx, (tuple, list)):
            raise DTypeError(f"{type(self).__name__} has one initial state, a tensor: got a {type(hx).__name__}")
        return (hx,)

    def extra_repr(self) -> str:
        shown = {"num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False}
        options = [f", {name}={getattr(self, name)}" for name, default in shown.items() if getattr(self, name) != default]
        return f"{self.input_size}, {self.hidden_size}{''.join(options)}"


def _last_states(out: Tensor, sizes: np.ndarray, reverse: bool) -> Tensor:
    """Each sequence's last state, or its first where time runs backwards: (sequences, hidden)."""
    if reverse:
        return out[: int(sizes[0])]
    if sizes[-1] == sizes[0]:
        return out[len(out) - int(sizes[0]) :]
    return gather_rows(out, kernels.recurrent.last_rows(sizes, reverse))


class RNN(RNNBase):
    """The plain recurrent network: ``h_t = tanh(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh)``.

    The arguments are those of :class:`RNNBase`, with ``nonlinearity``, "tanh" or "relu", after ``num_layers``.

    Source: Elman, "Finding Structure in Time", Cognitive Science 14, 1990.
    """

    _gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        dtype=None,
    ):
        if nonlinearity not in ("tanh", "relu"):
            raise UsageError(f"the nonlinearity is 'tanh' or 'relu': got {nonlinearity!r}")
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype=dtype)
        self.nonlinearity = nonlinearity

    def _layer(self, x, states, weights, options):
        return rnn(x, *states, *weights, self.nonlinearity, *options)

    def extra_repr(self) -> str:
        return super().extra_repr() + ("" if self.nonlinearity == "tanh" else f", nonlinearity={self.nonlinearity}")


class LSTM(RNNBase):
    """Long short-term memory: a cell state that gates let in, keep and let out.

    ``c_t = f c_(t-1) + i g`` and ``h_t = o tanh(c_t)``, where ``i``, ``f`` and ``o`` are the sigmoids and ``g`` the tanh of
    ``W_ih x_t + b_ih + W_hh h_(t-1) + b_hh``, cut into four in the order i, f, g, o. A state is a pair ``(h, c)``. The
    arguments are those of :class:`RNNBase`; the projection of hidden states, PyTorch's ``proj_size``, is not there.

    Sources: Hochreiter and Schmidhuber, "Long Short-Term Memory", Neural Computation 9, 1997; Gers, Schmidhuber and Cummins,
    "Learning to Forget", Neural Computation 12, 2000.
    """

    _gates = 4
    _states = 2

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        *,
        dtype=None,
    ):
        if proj_size:
            raise UsageError(f"LSTM does not project its states: got proj_size={proj_size}; put an nn.Linear behind the layer")
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype=dtype)

    def _layer(self, x, states, weights, options):
        return lstm(x, *states, *weights, *options)

    def _split(self, hx) -> tuple:
        if not isinstance(hx, (tuple, list)) or len(hx) != 2:
            raise DTypeError(f"the initial state of an LSTM is a pair (h_0, c_0) of tensors: got a {type(hx).__name__}")
        return tuple(hx)

    def _as_given(self, states: list):
        return tuple(states)


class GRU(RNNBase):
    """Gated recurrent units: ``h_t = (1 - z) n + z h_(t-1)``.

    ``r`` and ``z`` are the sigmoids of the first two thirds of ``W_ih x_t + b_ih + W_hh h_(t-1) + b_hh``; ``n`` is the tanh of
    ``(W_ih x_t + b_ih) + r (W_hh h_(t-1) + b_hh)`` in the last third. The arguments are those of :class:`RNNBase`.

    Source: Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder for Statistical Machine Translation", 2014;
    there ``r`` multiplies the state before the product, here after it, as in PyTorch.
    """

    _gates = 3

    def _layer(self, x, states, weights, options):
        return gru(x, *states, *weights, *options)
