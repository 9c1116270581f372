"""Recurrent layers over whole sequences, forward and backward through time: one direction of one layer.

Most of the work has nothing to wait for and is done for all steps at once, as one product each: the inputs times their weight,
and on the way back the gradients by the inputs and by both weights. What remains step by step is in `recurrent_walk.py`.

Arrays are contiguous and of one dtype, float32 or float64. Sequences lie packed, as described there: ``x`` is (rows, features),
a row being one step of one sequence, and ``sizes`` says how many sequences have each step. Where all are equally long, that is
(time, batch, features) with its first two dimensions taken as one.

Source of backward: Werbos, "Backpropagation Through Time: What It Does and How to Do It", 1990.
"""

import numpy as np

from minigrad.kernels import recurrent_walk as walk
from minigrad.kernels.bias import sum_rows
from minigrad.kernels.matmul import matmul
from minigrad.kernels.recurrent_walk import GRU, LSTM, RELU, TANH, Cell, schedule_of

__all__ = ["GRU", "LSTM", "RELU", "TANH", "backward", "forward", "last_rows"]


def last_rows(sizes: np.ndarray, reverse: bool) -> np.ndarray:
    """The row of each sequence's last state: that of its last step, or of its first where time runs backwards."""
    sequences = np.arange(sizes[0])
    if reverse:
        return sequences
    lengths = len(sizes) - np.searchsorted(sizes[::-1], sequences, side="right")
    return (np.cumsum(sizes) - sizes)[lengths - 1] + sequences


def forward(cell: Cell, x, h0, c0, weight_ih, weight_hh, bias_ih, bias_hh, sizes, reverse: bool):
    """Run a layer over its sequences.

    Args:
        cell: LSTM, GRU, TANH or RELU.
        x: (rows, features).
        h0, c0: (sequences, hidden), the states at the beginning; ``c0`` is None but for an LSTM.
        weight_ih, weight_hh: (gates * hidden, features) and (gates * hidden, hidden), the gates in PyTorch's order.
        bias_ih, bias_hh: (gates * hidden), or None.
        sizes: (steps,), int64, positive, and none larger than the one before.
        reverse: whether each sequence is read from its end.

    Returns:
        ``(out, kept)``: (rows, hidden), the hidden state after each step; for an LSTM, followed by (sequences, hidden), the
        last cell states. And what :func:`backward` asks for.
    """
    rows, n = len(x), weight_hh.shape[1]
    out = np.empty((rows + (len(h0) if cell is LSTM else 0), n), x.dtype)
    states = out[:rows]
    gates = states if cell.slots == 1 else np.empty((rows, cell.slots * n), x.dtype)
    with np.errstate(all="ignore"):
        matmul(x, weight_ih.T, gates[:, : cell.gates * n])
    bias = _bias_of_slots(cell, bias_ih, bias_hh, n, x.dtype)
    state = np.empty((rows, n), x.dtype) if cell is LSTM else states
    schedule = schedule_of(sizes, reverse)
    walk.forward(cell, gates, weight_hh, bias, schedule, h0, h0 if c0 is None else c0, state, states)
    if cell is LSTM:
        np.take(state, last_rows(sizes, reverse), axis=0, out=out[rows:])
    return out, (gates, state, schedule)


def backward(cell: Cell, g, x, h0, c0, weight_ih, weight_hh, sizes, out, kept, needs, flow):
    """Return the gradients by ``x, h0, c0, weight_ih, weight_hh, bias_ih, bias_hh``, given ``g``, that by ``out``.

    Args:
        kept: what :func:`forward` returned; unchanged.
        needs: whether each of the seven is wanted; None is returned for those that are not.
        flow: (rows,), filled with the sum of squares of each row of the gradient by the hidden states, in which all that later
            steps made of them is contained; or empty.
    """
    gates, state, schedule = kept
    rows, n = len(x), weight_hh.shape[1]
    joint = (cell.gates - cell.apart) * n
    g_h0 = np.zeros(h0.shape, x.dtype)
    g_c0 = np.array(g[rows:]) if cell is LSTM else g_h0
    slopes = np.empty((rows, cell.slots * n), x.dtype)
    states = h0, h0 if c0 is None else c0, state, out[:rows]
    walk.backward(cell, gates, weight_hh, schedule, *states, g[:rows], g_h0, g_c0, slopes, flow)
    by_sums = slopes[:, : cell.gates * n]
    gx = g_weight_ih = g_weight_hh = sums = None
    with np.errstate(all="ignore"):
        if needs[0]:
            gx = matmul(by_sums, weight_ih)
        if needs[3]:
            g_weight_ih = matmul(by_sums.T, x)
        if needs[4]:
            g_weight_hh = np.empty(weight_hh.shape, x.dtype)
            before = _states_before(h0, out[:rows], schedule)
            matmul(slopes[:, :joint].T, before, g_weight_hh[:joint])
            if cell.apart:
                matmul(slopes[:, -n:].T, before, g_weight_hh[joint:])
    if needs[5] or needs[6]:
        sums = sum_rows(slopes)
    g_bias_ih = None if sums is None else sums[: cell.gates * n]
    g_bias_hh = None if sums is None else np.concatenate([sums[:joint], sums[joint:][-n:]]) if cell.apart else sums.copy()
    return gx, g_h0, g_c0 if cell is LSTM else None, g_weight_ih, g_weight_hh, g_bias_ih, g_bias_hh


def _bias_of_slots(cell, bias_ih, bias_hh, n: int, dtype):
    """What is added in each slot. Only a slot that is kept apart tells the two biases from each other."""
    if bias_ih is None:
        return np.zeros(cell.slots * n, dtype)
    if not cell.apart:
        return bias_ih + bias_hh
    joint = (cell.gates - 1) * n
    return np.concatenate([bias_ih[:joint] + bias_hh[:joint], bias_ih[joint:], bias_hh[joint:]])


def _states_before(h0, out, schedule):
    """The state that met the recurrent weight in each row."""
    before = np.empty_like(out)
    for row, sequence, count, previous in schedule.tolist():
        before[row : row + count] = h0[sequence : sequence + count] if previous < 0 else out[previous : previous + count]
    return before
