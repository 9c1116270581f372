"""Sums along the rows of an array; those down its columns are in :mod:`~minigrad.kernels.bias`."""

import numpy as np
from numba import prange

from minigrad.kernels.jit import chunk_count, driver, summing_core

PER_CHUNK = 131_072  # elements below which a second thread does not pay


def sum_along_rows(x):
    """Return the sum of each row of ``x``: ``(rows, n)`` to ``(rows,)``, contiguous, float32 or float64; added in float64."""
    rows = len(x)
    sums = np.empty(rows, x.dtype)
    chunks = min(rows, chunk_count(x.size, PER_CHUNK))
    if chunks <= 1:
        _sum_along_rows(x, sums, 0, rows)
    else:
        _sum_along_rows_chunks(x, sums, chunks)
    return sums


@summing_core
def _sum_along_rows(x, sums, start, stop):
    for i in range(start, stop):
        total = np.float64(0)
        for j in range(x.shape[1]):
            total += x[i, j]
        sums[i] = total


@driver
def _sum_along_rows_chunks(x, sums, chunks):
    rows = len(x)
    for c in prange(chunks):
        _sum_along_rows(x, sums, c * rows // chunks, (c + 1) * rows // chunks)
