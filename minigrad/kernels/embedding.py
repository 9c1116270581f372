"""Rows of a table picked by number, and the sum of rows back into a table: an embedding and its gradient.

Every array is contiguous; tables and rows are float32 or float64, numbers int64 between 0 and the number of rows (the caller
has checked).
"""

import numpy as np
from numba import prange

from minigrad.kernels.jit import chunk_count, core, driver

PER_CHUNK = 131_072  # elements below which a second thread does not pay
LINE = 16  # columns that a thread has at least: narrower stripes would share cache lines


def gather(table, ids):
    """Return the rows ``table[ids]``: ``(rows, features)`` and ``(n,)`` to ``(n, features)``."""
    rows = np.empty((ids.size, table.shape[1]), table.dtype)
    chunks = chunk_count(rows.size, PER_CHUNK)
    if chunks == 1:
        _gather(table, ids, rows, 0, ids.size)
    else:
        _gather_chunks(table, ids, rows, chunks)
    return rows


def scatter_add(rows, ids, table, skip=-1):
    """Add each of ``rows`` ``(n, features)`` to the row of ``table`` that ``ids`` ``(n,)`` names; repeated numbers accumulate.

    What would go to the row ``skip`` is left out.
    The work is in proportion to ``rows``, not to the table. Threads share the columns, not the rows: each sum is taken in
    the order of ``ids``, so the bits do not depend on the number of threads, and frequent numbers leave no thread idle.
    """
    features = table.shape[1]
    chunks = min(chunk_count(rows.size, PER_CHUNK), features // LINE)
    if chunks <= 1:
        _scatter_add(rows, ids, table, skip, 0, features)
    else:
        _scatter_add_chunks(rows, ids, table, skip, chunks)


@core
def _gather(table, ids, rows, start, stop):
    for i in range(start, stop):
        source, target = table[ids[i]], rows[i]
        for j in range(source.size):
            target[j] = source[j]


@driver
def _gather_chunks(table, ids, rows, chunks):
    n = ids.size
    for c in prange(chunks):
        _gather(table, ids, rows, c * n // chunks, (c + 1) * n // chunks)


@core
def _scatter_add(rows, ids, table, skip, start, stop):
    for i in range(ids.size):
        if ids[i] == skip:
            continue
        source, target = rows[i, start:stop], table[ids[i], start:stop]
        for j in range(source.size):
            target[j] += source[j]


@driver
def _scatter_add_chunks(rows, ids, table, skip, chunks):
    features = table.shape[1]
    for c in prange(chunks):
        _scatter_add(rows, ids, table, skip, c * features // chunks, (c + 1) * features // chunks)
