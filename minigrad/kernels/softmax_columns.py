"""Softmax and log-softmax down the columns of matrices, forward and backward: along an axis that is not the last.

Every array is contiguous, ``(batch, n, columns)``, of one dtype, float32 or float64; the sums run over ``n``. Neighbouring
columns share the vector lanes, so nothing is transposed. As many of them are worked on together as stay in the cache. A result
is a new array, or ``out``, which overlaps no input.
"""

import numpy as np
from numba import prange

from minigrad.kernels.jit import chunk_count, core, driver
from minigrad.kernels.vectormath import exp_negative

PER_CHUNK = 16_384  # elements below which a second thread does not pay
TILE = 16_384  # elements of the columns that are worked on together
NARROW, WIDE = 16, 512  # the fewest and the most columns worked on together


def softmax(x, out=None):
    """Return ``exp(x) / sum(exp(x))``; NaN in a column that holds NaN or +inf, or nothing but -inf."""
    return _run(_softmax, _softmax_chunks, out, x)


def softmax_backward(g, y, out=None):
    """Return ``y * (g - sum(g * y))``, the gradient by the input, given that of the softmax ``y``."""
    return _run(_softmax_backward, _softmax_backward_chunks, out, g, y)


def log_softmax(x, out=None):
    """Return ``x - log(sum(exp(x)))``; NaN where ``softmax`` gives NaN."""
    return _run(_log_softmax, _log_softmax_chunks, out, x)


def log_softmax_backward(g, y, out=None):
    """Return ``g - exp(y) * sum(g)``, the gradient by the input, given that of the log-softmax ``y``."""
    return _run(_log_softmax_backward, _log_softmax_backward_chunks, out, g, y)


def _run(serial, parallel, out, *arrays):
    batch, n, columns = arrays[0].shape
    out = np.empty((batch, n, columns), arrays[0].dtype) if out is None else out
    width = min(columns, WIDE, max(NARROW, TILE // n))
    tiles = batch * -(-columns // width)
    chunks = min(tiles, chunk_count(out.size, PER_CHUNK))
    if chunks <= 1:
        serial(*arrays, out, width, 0, tiles)
    else:
        parallel(*arrays, out, width, tiles, chunks)
    return out


@core
def _peaks_and_sums(x, b, first, tops, totals):
    """Fill ``tops`` with the maxima of the columns from ``first`` on, ``totals`` with the sums of their exponentials."""
    tops[:] = -np.inf
    totals[:] = 0
    for i in range(x.shape[1]):
        xs = x[b, i, first : first + tops.size]
        for j in range(xs.size):
            tops[j] = xs[j] if xs[j] > tops[j] else tops[j]  # passes over NaN, which then makes the sum NaN


@core
def _softmax(x, out, width, start, stop):
    n, columns = x.shape[1:]
    per_matrix = -(-columns // width)
    tops, totals = np.empty(width, x.dtype), np.empty(width, x.dtype)
    for tile in range(start, stop):
        b, first = tile // per_matrix, tile % per_matrix * width
        size = min(width, columns - first)
        _peaks_and_sums(x, b, first, tops[:size], totals[:size])
        for i in range(n):
            xs, ys = x[b, i, first : first + size], out[b, i, first : first + size]
            for j in range(xs.size):
                e = exp_negative(xs[j] - tops[j])
                ys[j] = e
                totals[j] += e
        for j in range(size):
            totals[j] = 1 / totals[j]
        for i in range(n):
            ys = out[b, i, first : first + size]
            for j in range(ys.size):
                ys[j] *= totals[j]


@driver
def _softmax_chunks(x, out, width, tiles, chunks):
    for c in prange(chunks):
        _softmax(x, out, width, c * tiles // chunks, (c + 1) * tiles // chunks)


@core
def _log_softmax(x, out, width, start, stop):
    n, columns = x.shape[1:]
    per_matrix = -(-columns // width)
    tops, totals = np.empty(width, x.dtype), np.empty(width, x.dtype)
    for tile in range(start, stop):
        b, first = tile // per_matrix, tile % per_matrix * width
        size = min(width, columns - first)
        _peaks_and_sums(x, b, first, tops[:size], totals[:size])
        for i in range(n):
            xs = x[b, i, first : first + size]
            for j in range(xs.size):
                totals[j] += exp_negative(xs[j] - tops[j])
        for j in range(size):
            totals[j] = np.log(totals[j])
        for i in range(n):
            xs, ys = x[b, i, first : first + size], out[b, i, first : first + size]
            for j in range(xs.size):
                ys[j] = (xs[j] - tops[j]) - totals[j]


@driver
def _log_softmax_chunks(x, out, width, tiles, chunks):
    for c in prange(chunks):
        _log_softmax(x, out, width, c * tiles // chunks, (c + 1) * tiles // chunks)


@core
def _softmax_backward(g, y, out, width, start, stop):
    n, columns = g.shape[1:]
    per_matrix = -(-columns // width)
    dots = np.empty(width, g.dtype)
    for tile in range(start, stop):
        b, first = tile // per_matrix, tile % per_matrix * width
        size = min(width, columns - first)
        dots[:size] = 0
        for i in range(n):
            gs, ys = g[b, i, first : first + size], y[b, i, first : first + size]
            for j in range(gs.size):
                dots[j] += gs[j] * ys[j]
        for i in range(n):
            gs, ys = g[b, i, first : first + size], y[b, i, first : first + size]
            result = out[b, i, first : first + size]
            for j in range(gs.size):
                result[j] = ys[j] * (gs[j] - dots[j])


@driver
def _softmax_backward_chunks(g, y, out, width, tiles, chunks):
    for c in prange(chunks):
        _softmax_backward(g, y, out, width, c * tiles // chunks, (c + 1) * tiles // chunks)


@core
def _log_softmax_backward(g, y, out, width, start, stop):
    n, columns = g.shape[1:]
    per_matrix = -(-columns // width)
    totals = np.empty(width, g.dtype)
    for tile in range(start, stop):
        b, first = tile // per_matrix, tile % per_matrix * width
        size = min(width, columns - first)
        totals[:size] = 0
        for i in range(n):
            gs = g[b, i, first : first + size]
            for j in range(gs.size):
                totals[j] += gs[j]
        for i in range(n):
            gs, ys = g[b, i, first : first + size], y[b, i, first : first + size]
            result = out[b, i, first : first + size]
            for j in range(gs.size):
                result[j] = gs[j] - exp_negative(ys[j]) * totals[j]


@driver
def _log_softmax_backward_chunks(g, y, out, width, tiles, chunks):
    for c in prange(chunks):
        _log_softmax_backward(g, y, out, width, c * tiles // chunks, (c + 1) * tiles // chunks)
