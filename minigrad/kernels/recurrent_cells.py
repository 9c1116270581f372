"""The cells of recurrent networks: what happens in one time step once the matrix products are done.

All arrays are two-dimensional, contiguous in each row, and of one dtype, float32 or float64. A row belongs to one sequence. A
cell keeps its gates side by side in one row of ``gates``, in *slots* as wide as the hidden state. They come in as sums of the
products with the weights, and leave as what backward needs; ``bias`` has the same slots. ``slopes`` are the gradients by those
sums. A cell is a pair of functions:

- ``forward(gates, bias, before, cell_before, cell, out)`` computes the hidden state ``out`` from the one ``before`` it;
- ``backward(gates, before, cell_before, cell, out, g, g_state, g_cell, slopes, flow)`` adds ``g``, the gradient by ``out``, to
  ``g_state``, what later steps sent back to it. It writes the slopes, and leaves in ``g_cell`` and ``g_state`` the gradients by
  the state before, so far as they do not pass through the slopes. ``flow``, unless empty, receives for each row the sum of
  squares of the whole gradient by ``out``.

The arrays of the cell state belong to the LSTM alone; others do not read them. Every loop touches few arrays, because LLVM
makes vectors of it only after it has made sure, at run time and by pairs, that what is written overlaps nothing that is read.

Sources: Elman, "Finding Structure in Time", 1990 (RNN); Hochreiter and Schmidhuber, "Long Short-Term Memory", 1997, with the
forget gate of Gers, Schmidhuber and Cummins, "Learning to Forget", 2000 (LSTM); Cho et al., "Learning Phrase Representations
using RNN Encoder-Decoder", 2014, in the form that applies the reset gate after the product (GRU).
"""

from minigrad.kernels.jit import core, summing_core
from minigrad.kernels.vectormath import sigmoid, tanh


@core
def _sigmoid_of_sum(x, bias):
    for j in range(x.size):
        x[j] = sigmoid(x[j] + bias[j])


@core
def _tanh_of_sum(x, bias):
    for j in range(x.size):
        x[j] = tanh(x[j] + bias[j])


@summing_core
def _sum_of_squares(x):
    total = x.dtype.type(0)
    for j in range(x.size):
        total += x[j] * x[j]
    return total


@core
def _arrive(g, g_state, flow):
    for i in range(g.shape[0]):
        here, later = g[i], g_state[i]
        for j in range(here.size):
            later[j] += here[j]
        if flow.size:
            flow[i] = _sum_of_squares(later)


# -- LSTM: slots i, f, g, o ---------------------------------------------------------------------------------------------


@core
def lstm_forward(gates, bias, before, cell_before, cell, out):
    """``c' = f c + i g`` and ``h' = o tanh(c')``, with i, f and o = sigmoid(sum), g = tanh(sum)."""
    rows, n = out.shape
    for row in range(rows):
        all_gates, old, new, h = gates[row], cell_before[row], cell[row], out[row]
        i, f, g, o = all_gates[:n], all_gates[n : 2 * n], all_gates[2 * n : 3 * n], all_gates[3 * n :]
        _sigmoid_of_sum(all_gates[: 2 * n], bias[: 2 * n])
        _tanh_of_sum(g, bias[2 * n : 3 * n])
        _sigmoid_of_sum(o, bias[3 * n :])
        for j in range(n):
            new[j] = f[j] * old[j] + i[j] * g[j]
        for j in range(n):
            h[j] = o[j] * tanh(new[j])


@core
def lstm_backward(gates, before, cell_before, cell, out, g, g_state, g_cell, slopes, flow):
    """Backward of :func:`lstm_forward`. Nothing of ``g_state`` passes outside the slopes: what is left there has no meaning."""
    _arrive(g, g_state, flow)
    rows, n = out.shape
    one = out.dtype.type(1)
    for row in range(rows):
        all_gates, all_slopes = gates[row], slopes[row]
        old, new, gh, gc = cell_before[row], cell[row], g_state[row], g_cell[row]
        i, f, g_, o = all_gates[:n], all_gates[n : 2 * n], all_gates[2 * n : 3 * n], all_gates[3 * n :]
        di, df, dg, do = all_slopes[:n], all_slopes[n : 2 * n], all_slopes[2 * n : 3 * n], all_slopes[3 * n :]
        for j in range(n):
            do[j] = tanh(new[j])
        for j in range(n):
            gc[j] += gh[j] * o[j] * (one - do[j] * do[j])
        for j in range(n):
            do[j] = gh[j] * do[j] * o[j] * (one - o[j])
        for j in range(n):
            di[j] = gc[j] * g_[j] * i[j] * (one - i[j])
        for j in range(n):
            dg[j] = gc[j] * i[j] * (one - g_[j] * g_[j])
        for j in range(n):
            df[j] = gc[j] * old[j] * f[j] * (one - f[j])
        for j in range(n):
            gc[j] *= f[j]


# -- GRU: slots r, z, n, and the product of the state with the weight of n, which r scales ------------------------------


@core
def gru_forward(gates, bias, before, cell_before, cell, out):
    """``h' = (1 - z) n + z h`` with r and z = sigmoid(sum), n = tanh(sum of the input + r * sum of the state)."""
    rows, n = out.shape
    for row in range(rows):
        all_gates, old, new = gates[row], before[row], out[row]
        r, z, n_, state = all_gates[:n], all_gates[n : 2 * n], all_gates[2 * n : 3 * n], all_gates[3 * n :]
        n_bias, state_bias = bias[2 * n : 3 * n], bias[3 * n :]
        _sigmoid_of_sum(all_gates[: 2 * n], bias[: 2 * n])
        for j in range(n):
            state[j] += state_bias[j]
        for j in range(n):
            n_[j] = tanh(n_[j] + n_bias[j] + r[j] * state[j])
        for j in range(n):
            new[j] = n_[j] + z[j] * (old[j] - n_[j])


@core
def gru_backward(gates, before, cell_before, cell, out, g, g_state, g_cell, slopes, flow):
    """Backward of :func:`gru_forward`."""
    _arrive(g, g_state, flow)
    rows, n = out.shape
    one = out.dtype.type(1)
    for row in range(rows):
        all_gates, all_slopes, old, gh = gates[row], slopes[row], before[row], g_state[row]
        r, z, n_, state = all_gates[:n], all_gates[n : 2 * n], all_gates[2 * n : 3 * n], all_gates[3 * n :]
        dr, dz, dn, dstate = all_slopes[:n], all_slopes[n : 2 * n], all_slopes[2 * n : 3 * n], all_slopes[3 * n :]
        for j in range(n):
            dn[j] = gh[j] * (one - z[j]) * (one - n_[j] * n_[j])
        for j in range(n):
            dz[j] = gh[j] * (old[j] - n_[j]) * z[j] * (one - z[j])
        for j in range(n):
            dr[j] = dn[j] * state[j] * r[j] * (one - r[j])
        for j in range(n):
            dstate[j] = dn[j] * r[j]
        for j in range(n):
            gh[j] *= z[j]


# -- the plain RNN: one slot, where the sum becomes the state -----------------------------------------------------------


@core
def tanh_forward(gates, bias, before, cell_before, cell, out):
    """``h' = tanh(sum)``, in place: ``gates`` is ``out``."""
    for row in range(out.shape[0]):
        _tanh_of_sum(out[row], bias)


@core
def tanh_backward(gates, before, cell_before, cell, out, g, g_state, g_cell, slopes, flow):
    """Backward of :func:`tanh_forward`. Nothing of ``g_state`` passes outside the slopes."""
    _arrive(g, g_state, flow)
    one = out.dtype.type(1)
    for row in range(out.shape[0]):
        h, gh, d = out[row], g_state[row], slopes[row]
        for j in range(h.size):
            d[j] = gh[j] * (one - h[j] * h[j])


@core
def relu_forward(gates, bias, before, cell_before, cell, out):
    """``h' = max(sum, 0)``, in place: ``gates`` is ``out``. NaN stays NaN."""
    zero = out.dtype.type(0)
    for row in range(out.shape[0]):
        h = out[row]
        for j in range(h.size):
            y = h[j] + bias[j]
            h[j] = zero if y < zero else y


@core
def relu_backward(gates, before, cell_before, cell, out, g, g_state, g_cell, slopes, flow):
    """Backward of :func:`relu_forward`; the slope at 0 is 0. Nothing of ``g_state`` passes outside the slopes."""
    _arrive(g, g_state, flow)
    zero = out.dtype.type(0)
    for row in range(out.shape[0]):
        h, gh, d = out[row], g_state[row], slopes[row]
        for j in range(h.size):
            d[j] = zero if h[j] <= zero else gh[j]
