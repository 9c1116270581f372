"""The gradient of a bias: the sum of many rows. (The bias itself is added by the matrix product, which starts from it.)

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
    if rows == 1:
        return g[0].copy()
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
