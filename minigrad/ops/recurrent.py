"""Recurrent layers as one operation each: one direction of one layer, over whole sequences.

Sequences are *packed*, as in ``torch.nn.utils.rnn.PackedSequence``: ``x`` is (rows, features), first the first steps of all
sequences, the longest in front, then the second steps, and so on; ``sizes`` says how many sequences have each step. The
references take one step at a time, and say what a cell is.
"""

from __future__ import annotations

import numpy as np

from .. import kernels
from ..primitive import fused
from .activation import rectified
from .indexing import getitem
from .joining import cat
from .layout import ready
from .linalg import matmul
from .named import sigmoid, tanh
from .shaping import matrix_transpose

# -- the references -----------------------------------------------------------------------------------------------------


def _plus(product, bias):
    return product if bias is None else product + bias


def _columns(x, count: int):
    width = x.shape[1] // count
    return [getitem(x, (slice(None), slice(i * width, (i + 1) * width))) for i in range(count)]


def _lstm_cell(from_input, from_state, h, c):
    i, f, g, o = _columns(from_input + from_state, 4)
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    return sigmoid(o) * tanh(c), c


def _gru_cell(from_input, from_state, h, c):
    (r, z, n), (hr, hz, hn) = _columns(from_input, 3), _columns(from_state, 3)
    z = sigmoid(z + hz)
    n = tanh(n + sigmoid(r + hr) * hn)
    return n + z * (h - n), c


def _tanh_cell(from_input, from_state, h, c):
    return tanh(from_input + from_state), c


def _relu_cell(from_input, from_state, h, c):
    return rectified(from_input + from_state), c


def _unrolled(cell, x, h, c, weight_ih, weight_hh, bias_ih, bias_hh, sizes, reverse):
    """Step by step. In each, the sequences that are not in it keep their state: they are over, or have not begun."""
    from_inputs = _plus(matmul(x, matrix_transpose(weight_ih)), bias_ih)
    starts = np.cumsum(sizes) - sizes
    steps = range(len(sizes))
    outputs = [None for _ in steps]
    for t in reversed(steps) if reverse else steps:
        n = int(sizes[t])
        here, state = getitem(h, slice(n)), None if c is None else getitem(c, slice(n))
        from_state = _plus(matmul(here, matrix_transpose(weight_hh)), bias_hh)
        outputs[t], state = cell(getitem(from_inputs, slice(starts[t], starts[t] + n)), from_state, here, state)
        h = cat([outputs[t], getitem(h, slice(n, None))])
        c = None if c is None else cat([state, getitem(c, slice(n, None))])
    return cat(outputs if c is None else [*outputs, c])


def _lstm_reference(x, h0, c0, weight_ih, weight_hh, bias_ih, bias_hh, sizes, reverse, watch):
    return _unrolled(_lstm_cell, x, h0, c0, weight_ih, weight_hh, bias_ih, bias_hh, sizes, reverse)


def _gru_reference(x, h0, weight_ih, weight_hh, bias_ih, bias_hh, sizes, reverse, watch):
    return _unrolled(_gru_cell, x, h0, None, weight_ih, weight_hh, bias_ih, bias_hh, sizes, reverse)


def _rnn_reference(x, h0, weight_ih, weight_hh, bias_ih, bias_hh, nonlinearity, sizes, reverse, watch):
    cell = _relu_cell if nonlinearity == "relu" else _tanh_cell
    return _unrolled(cell, x, h0, None, weight_ih, weight_hh, bias_ih, bias_hh, sizes, reverse)


# -- the operations -----------------------------------------------------------------------------------------------------


def _forward(cell, *operands_and_options):
    *operands, sizes, reverse = operands_and_options
    return kernels.recurrent.forward(cell, *(None if x is None else ready(x) for x in operands), sizes, reverse)


def _backward(cell, g, x, h0, c0, weight_ih, weight_hh, sizes, out, kept, needs, watch):
    """The seven gradients; ``watch`` is told the norms of those by the hidden states."""
    operands = (None if a is None else ready(a) for a in (g, x, h0, c0, weight_ih, weight_hh))
    flow = np.empty(0 if watch is None else len(x), x.dtype)
    gradients = kernels.recurrent.backward(cell, *operands, sizes, out, kept, needs, flow)
    if watch is not None:
        norms = np.zeros((len(sizes), sizes[0]), x.dtype)
        norms[np.arange(sizes[0]) < sizes[:, None]] = np.sqrt(flow)
        watch(norms)
    return gradients


@fused(
    r"c_t = \sigma(f) \odot c_{t-1} + \sigma(i) \odot \tanh g, \; h_t = \sigma(o) \odot \tanh c_t, \; "
    r"(i, f, g, o) = W x_t + U h_{t-1} + b",
    reference=_lstm_reference,
)
def lstm(x, h0, c0, weight_ih, weight_hh, bias_ih, bias_hh, sizes, reverse, watch):
    """The hidden state after each step (rows, hidden), followed by the last cell state of each sequence.

    Args:
        x: (rows, features), packed.
        h0, c0: (sequences, hidden), the states at the beginning.
        weight_ih, weight_hh: (4 * hidden, features), (4 * hidden, hidden): the gates i, f, g, o.
        bias_ih, bias_hh: (4 * hidden), or None.
        sizes: (steps,), an int64 array.
        reverse: whether each sequence is read from its end.
        watch: None, or a function that every backward pass, but one with ``create_graph``, calls with an array (steps,
            sequences): the norm of the gradient by the hidden state after each step, where a sequence has that step, else 0.
    """
    return _forward(kernels.recurrent.LSTM, x, h0, c0, weight_ih, weight_hh, bias_ih, bias_hh, sizes, reverse)


@lstm.backward("x", "h0", "c0", "weight_ih", "weight_hh", "bias_ih", "bias_hh")
def _(g, x, h0, c0, weight_ih, weight_hh, sizes, watch, out, kept, needs):
    cell = kernels.recurrent.LSTM
    return _backward(cell, g, x, h0, c0, weight_ih, weight_hh, sizes, out, kept, needs, watch)


def _without_cell_state(cell, g, x, h0, weight_ih, weight_hh, sizes, watch, out, kept, needs):
    needs = needs[0], needs[1], False, *needs[2:]
    gx, g_h0, _, *others = _backward(cell, g, x, h0, None, weight_ih, weight_hh, sizes, out, kept, needs, watch)
    return gx, g_h0, *others


@fused(
    r"h_t = (1 - z) \odot n + z \odot h_{t-1}, \; n = \tanh(W_n x_t + b_n + r \odot (U_n h_{t-1} + c_n)), \; "
    r"(r, z) = \sigma(W x_t + U h_{t-1} + b)",
    reference=_gru_reference,
)
def gru(x, h0, weight_ih, weight_hh, bias_ih, bias_hh, sizes, reverse, watch):
    """The hidden state after each step (rows, hidden). Arguments as for :func:`lstm`, with the gates r, z, n."""
    return _forward(kernels.recurrent.GRU, x, h0, None, weight_ih, weight_hh, bias_ih, bias_hh, sizes, reverse)


@gru.backward("x", "h0", "weight_ih", "weight_hh", "bias_ih", "bias_hh")
def _(g, x, h0, weight_ih, weight_hh, sizes, watch, out, kept, needs):
    cell = kernels.recurrent.GRU
    return _without_cell_state(cell, g, x, h0, weight_ih, weight_hh, sizes, watch, out, kept, needs)


def _rnn_cell(nonlinearity: str):
    return kernels.recurrent.RELU if nonlinearity == "relu" else kernels.recurrent.TANH


@fused(r"h_t = \varphi(W x_t + U h_{t-1} + b)", reference=_rnn_reference)
def rnn(x, h0, weight_ih, weight_hh, bias_ih, bias_hh, nonlinearity, sizes, reverse, watch):
    """The hidden state after each step (rows, hidden). Arguments as for :func:`lstm`; ``nonlinearity`` is "tanh" or "relu"."""
    return _forward(_rnn_cell(nonlinearity), x, h0, None, weight_ih, weight_hh, bias_ih, bias_hh, sizes, reverse)


@rnn.backward("x", "h0", "weight_ih", "weight_hh", "bias_ih", "bias_hh")
def _(g, x, h0, weight_ih, weight_hh, nonlinearity, sizes, watch, out, kept, needs):
    cell = _rnn_cell(nonlinearity)
    return _without_cell_state(cell, g, x, h0, weight_ih, weight_hh, sizes, watch, out, kept, needs)
