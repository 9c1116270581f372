"""The bias of a linear layer: its addition to every row, its gradient, and the rectifier that often follows.

Every array is contiguous and of one dtype, float32 or float64.
"""

import numpy as np
from numba import prange

from minigrad.kernels.jit import chunk_count, core, driver

PER_CHUNK = 131_072  # elements below which a second thread does not pay
BLOCK = 64  # rows summed together, see sum_rows
WIDE = 256  # elements of a row from which the vector loop over it is worth its start


def sum_rows(g):
    """Return the sum of the rows of ``g``: ``(rows, features)`` to ``(features,)``.

    Blocks of 64 rows are summed, then blocks of 64 of those sums, and so on: the rounding error grows with the logarithm of
    the number of rows, and the bits do not depend on the number of threads (Higham, "Accuracy and Stability of Numerical
    Algorithms", 2002, section 4.2: summation in blocks). Several narrow rows are first added as one wide row.
    """
    rows, features = g.shape
    fold = WIDE // features if features else 0
    if fold > 1 and g.size >= BLOCK * WIDE:
        whole = rows - rows % fold
        wide = sum_rows(g[:whole].reshape(-1, fold * features))
        g = np.concatenate([wide.reshape(fold, features), g[whole:]])
    while True:
        rows, features = g.shape
        blocks = max(1, -(-rows // BLOCK))
        sums = np.zeros((blocks, features), g.dtype)
        chunks = min(blocks, chunk_count(g.size, PER_CHUNK))
        if chunks == 1:
            _sum_blocks(g, sums, 0, blocks)
        else:
            _sum_blocks_chunks(g, sums, chunks)
        if blocks == 1:
            return sums[0]
        g = sums


def add_bias_(x, bias):
    """Add ``bias`` ``(features,)`` to every row of ``x`` ``(rows, features)``, in place."""
    rows = x.shape[0]
    chunks = chunk_count(x.size, PER_CHUNK)
    if chunks == 1:
        _add_bias(x, bias, 0, rows)
    else:
        _add_bias_chunks(x, bias, chunks)


def add_bias_relu_(x, bias):
    """Replace every row of ``x`` ``(rows, features)`` by ``relu(row + bias)``; NaN stays NaN."""
    rows = x.shape[0]
    chunks = chunk_count(x.size, PER_CHUNK)
    if chunks == 1:
        _add_bias_relu(x, bias, 0, rows)
    else:
        _add_bias_relu_chunks(x, bias, chunks)


@core
def _sum_blocks(g, sums, start, stop):
    rows, features = g.shape
    for block in range(start, stop):
        i, end = block * BLOCK, min(rows, (block + 1) * BLOCK)
        while i + 4 <= end:  # four rows at a time: the sums are loaded and stored a quarter as often
            for j in range(features):
                sums[block, j] += (g[i, j] + g[i + 1, j]) + (g[i + 2, j] + g[i + 3, j])
            i += 4
        while i < end:
            for j in range(features):
                sums[block, j] += g[i, j]
            i += 1


@driver
def _sum_blocks_chunks(g, sums, chunks):
    blocks = sums.shape[0]
    for c in prange(chunks):
        _sum_blocks(g, sums, c * blocks // chunks, (c + 1) * blocks // chunks)


@core
def _add_bias(x, bias, start, stop):
    for i in range(start, stop):
        for j in range(x.shape[1]):
            x[i, j] += bias[j]


@driver
def _add_bias_chunks(x, bias, chunks):
    rows = x.shape[0]
    for c in prange(chunks):
        _add_bias(x, bias, c * rows // chunks, (c + 1) * rows // chunks)


@core
def _add_bias_relu(x, bias, start, stop):
    for i in range(start, stop):
        for j in range(x.shape[1]):
            y = x[i, j] + bias[j]
            x[i, j] = 0 if y < 0 else y  # the comparison is false for NaN, which so passes through


@driver
def _add_bias_relu_chunks(x, bias, chunks):
    rows = x.shape[0]
    for c in prange(chunks):
        _add_bias_relu(x, bias, c * rows // chunks, (c + 1) * rows // chunks)
