"""A vector times a matrix: as fast as memory delivers the matrix, each of whose numbers is used once.

NumPy's BLAS does this as fast, but shares it among threads of its own, and for milliseconds afterwards these spin on the cores
that the threads of the next kernel need.
"""

import numpy as np
from numba import prange

from minigrad.kernels.few_rows import with_columns
from minigrad.kernels.jit import chunk_count, core, driver, summing_core
from minigrad.kernels.microkernel import address

STREAMS = 16  # rows read side by side: few enough for the processor to see where each goes on
WIDEST = 64  # columns that ``with_columns`` takes at once, at most: chunks begin with them, so the bits depend on no thread
PER_CHUNK = 1 << 16  # elements of a matrix below which a second thread does not pay


def add_product(x: np.ndarray, matrix: np.ndarray, out: np.ndarray) -> None:
    """``out += x @ matrix``.

    Args:
        x: (depth,), contiguous.
        matrix: (depth, cols), contiguous or the transpose of a contiguous matrix; of the dtype of ``x``.
        out: (cols,), contiguous; shares no memory with the others.
    """
    if matrix.flags.c_contiguous:
        one, many = _weighted_sum, _weighted_sum_chunks
    else:
        matrix, one, many = matrix.T, _dots, _dots_chunks
    chunks = chunk_count(matrix.size, PER_CHUNK)
    if chunks == 1:
        one(x, matrix, out, 0, len(out))
    else:
        many(x, matrix, out, chunks)


@summing_core
def _dots(x, rows, out, start, stop):
    for j in range(start, stop):
        total = x.dtype.type(0)
        for k in range(len(x)):
            total += x[k] * rows[j, k]
        out[j] += total


@driver
def _dots_chunks(x, rows, out, chunks):
    for c in prange(chunks):
        _dots(x, rows, out, c * len(out) // chunks, (c + 1) * len(out) // chunks)


@core
def _weighted_sum(x, rows, out, start, stop):
    like, item, row = out.dtype.type(0), rows.itemsize, rows.strides[0]
    target = address(out) + start * item, 0
    for k in range(0, len(x), STREAMS):
        source = address(rows) + k * row + start * item, row
        with_columns(like, (address(x) + k * item, 0), source, target, 1, min(STREAMS, len(x) - k), stop - start, True)


@driver
def _weighted_sum_chunks(x, rows, out, chunks):
    strips = -(-len(out) // WIDEST)
    for c in prange(chunks):
        first, last = c * strips // chunks * WIDEST, (c + 1) * strips // chunks * WIDEST
        _weighted_sum(x, rows, out, first, min(last, len(out)))
