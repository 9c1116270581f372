"""A few rows of one table against a few rows of another: the arithmetic of one window of word2vec.

Each function is written three times: in NumPy, which says what it does and serves kernels that are run as plain Python; in
vectors, :mod:`minigrad.kernels.word2vec_lanes`; and as plain loops, for CPUs whose vectors are not known.

Tables are ``(rows, columns)`` with :func:`padded` columns, those beyond the vectors' size being zero. Row numbers are int64.
"""

import numba
import numpy as np
from numba.extending import overload

from minigrad.kernels.microkernel import address, vector_bytes
from minigrad.kernels.word2vec_lanes import (
    LINE,
    MOST,
    add_row_lanes,
    dots_lanes,
    fetch_lanes,
    group,
    lone_dots_lanes,
    lone_group,
    lone_update_lanes,
    sum_rows_lanes,
    update_lanes,
)  # fmt: skip


def padded(size: int, itemsize: int) -> int:
    """The columns of a table whose rows hold ``size`` numbers and fill whole cache lines."""
    lanes = LINE // itemsize
    return -(-size // lanes) * lanes


def dots(rows, at, m, others, targets, n, scores):
    """Set ``scores[j, q]`` to ``rows[at[j]] . others[targets[q]]`` for j < m and q < n.

    Args:
        rows, others: ``(.., columns)``, tables with :func:`padded` columns.
        at, targets: int64, row numbers, at least ``m`` and ``n`` of them, both at least 1.
        scores: ``(.., a multiple of group(itemsize))``; the columns from ``n`` to the next such multiple become anything.
    """
    scores[:m, :n] = rows[at[:m]] @ others[targets[:n]].T


def update(old, old_at, rows, at, m, others, targets, n, slopes):
    """Add ``slopes[j, q] others[targets[q]]`` to ``rows[at[j]]`` and ``slopes[j, q] old[old_at[j]]`` to ``others[targets[q]]``.

    Arguments as for :func:`dots`. ``old`` may be ``rows`` itself, read before it changes, where no row number repeats in
    ``at`` and ``n`` is at most one group.
    """
    x, v = old[old_at[:m]], others[targets[:n]]
    np.add.at(rows, at[:m], slopes[:m, :n] @ v)
    np.add.at(others, targets[:n], slopes[:m, :n].T @ x)


def lone_dots(row, others, targets, n, scores):
    """Set ``scores[0, q]`` to ``row[0] . others[targets[q]]`` for q < n: :func:`dots` of one row.

    Args:
        row: ``(1, columns)``.
        scores: as for :func:`dots`, but with a multiple of ``lone_group(itemsize)`` columns.
    """
    scores[0, :n] = others[targets[:n]] @ row[0]


def lone_update(row, error, others, targets, n, slopes):
    """Set ``error[0]`` to the sum of ``slopes[0, q] others[targets[q]]``, then add ``slopes[0, q] row[0]`` to the latter.

    Arguments as for :func:`lone_dots`; ``error`` is ``(1, columns)``. A target repeats within a group at most.
    """
    error[0] = slopes[0, :n] @ others[targets[:n]]
    np.add.at(others, targets[:n], slopes[0, :n, None] * row[0])


def sum_rows(rows, at, m, factor, total):
    """Set ``total[0]`` to ``factor`` times the sum of ``rows[at[j]]`` for j < m; ``total`` is ``(1, columns)``."""
    total[0] = factor * rows[at[:m]].sum(0)


def add_row(rows, at, m, row):
    """Add ``row[0]`` to ``rows[at[j]]`` for each j < m; ``row`` is ``(1, columns)``."""
    np.add.at(rows, at[:m], row[0])


def fetch(rows, at, first, m):
    """Ask the memory for the ``m`` rows ``rows[at[first + j]]``, which will be needed soon; nothing changes."""


def _in_lanes() -> bool:
    return vector_bytes() > 0 and not numba.config.DISABLE_JIT  # type: ignore[attr-defined]


@overload(dots, jit_options={"error_model": "numpy"})
def _dots(rows, at, m, others, targets, n, scores):
    if not _in_lanes():
        return _plain_dots
    width, lanes = group(rows.dtype.bitwidth // 8), vector_bytes() // (rows.dtype.bitwidth // 8)

    def in_lanes(rows, at, m, others, targets, n, scores):
        like = rows.dtype.type(0)
        size = rows.itemsize
        for q in range(0, n, width):
            dots_lanes(
                like, address(rows), rows.shape[1] * size, address(at), m,
                address(others), others.shape[1] * size, address(targets) + 8 * q, min(width, n - q),
                rows.shape[1] // lanes, address(scores) + q * size, scores.shape[1] * size,
            )  # fmt: skip

    return in_lanes


@overload(update, jit_options={"error_model": "numpy"})
def _update(old, old_at, rows, at, m, others, targets, n, slopes):
    if not _in_lanes():
        return _plain_update
    width, lanes = group(rows.dtype.bitwidth // 8), vector_bytes() // (rows.dtype.bitwidth // 8)

    def in_lanes(old, old_at, rows, at, m, others, targets, n, slopes):
        like = rows.dtype.type(0)
        size = rows.itemsize
        for q in range(0, n, width):
            update_lanes(
                like, address(old), old.shape[1] * size, address(old_at), address(rows), rows.shape[1] * size, address(at), m,
                address(others), others.shape[1] * size, address(targets) + 8 * q, min(width, n - q),
                rows.shape[1] // lanes, address(slopes) + q * size, slopes.shape[1] * size,
            )  # fmt: skip

    return in_lanes


@overload(lone_dots, jit_options={"error_model": "numpy"})
def _lone_dots(row, others, targets, n, scores):
    if not _in_lanes():
        return _plain_lone_dots
    width, lanes = lone_group(row.dtype.bitwidth // 8), vector_bytes() // (row.dtype.bitwidth // 8)

    def in_lanes(row, others, targets, n, scores):
        like, size, vectors = row.dtype.type(0), row.itemsize, row.shape[1] // lanes
        for q in range(0, n, width):
            lone_dots_lanes(
                like, address(row), address(others), others.shape[1] * size, address(targets) + 8 * q, min(width, n - q),
                vectors, address(scores) + q * size,
            )  # fmt: skip

    return in_lanes


@overload(lone_update, jit_options={"error_model": "numpy"})
def _lone_update(row, error, others, targets, n, slopes):
    if not _in_lanes():
        return _plain_lone_update
    width, lanes = lone_group(row.dtype.bitwidth // 8), vector_bytes() // (row.dtype.bitwidth // 8)

    def in_lanes(row, error, others, targets, n, slopes):
        like, size, vectors = row.dtype.type(0), row.itemsize, row.shape[1] // lanes
        for q in range(0, n, width):
            lone_update_lanes(
                like, address(row), address(error), q == 0, address(others), others.shape[1] * size, address(targets) + 8 * q,
                min(width, n - q), vectors, address(slopes) + q * size,
            )  # fmt: skip

    return in_lanes


@overload(fetch, jit_options={"error_model": "numpy"})
def _fetch(rows, at, first, m):
    if not _in_lanes():
        return lambda rows, at, first, m: None

    def in_lanes(rows, at, first, m):
        fetch_lanes(address(rows), rows.shape[1] * rows.itemsize, address(at) + 8 * first, m)

    return in_lanes


@overload(sum_rows, jit_options={"error_model": "numpy"})
def _sum_rows(rows, at, m, factor, total):
    if not _in_lanes():
        return _plain_sum_rows
    lanes = vector_bytes() // (rows.dtype.bitwidth // 8)

    def in_lanes(rows, at, m, factor, total):
        like, step, vectors = rows.dtype.type(0), rows.shape[1] * rows.itemsize, rows.shape[1] // lanes
        for j in range(0, m, MOST):
            some = min(MOST, m - j)
            sum_rows_lanes(like, address(rows), step, address(at) + 8 * j, some, j == 0, factor, address(total), vectors)

    return in_lanes


@overload(add_row, jit_options={"error_model": "numpy"})
def _add_row(rows, at, m, row):
    if not _in_lanes():
        return _plain_add_row
    lanes = vector_bytes() // (rows.dtype.bitwidth // 8)

    def in_lanes(rows, at, m, row):
        like, step, vectors = rows.dtype.type(0), rows.shape[1] * rows.itemsize, rows.shape[1] // lanes
        for j in range(0, m, MOST):
            add_row_lanes(like, address(rows), step, address(at) + 8 * j, min(MOST, m - j), address(row), vectors)

    return in_lanes


def _plain_sum_rows(rows, at, m, factor, total):
    for k in range(rows.shape[1]):
        value = rows.dtype.type(0)
        for j in range(m):
            value += rows[at[j], k]
        total[0, k] = factor * value


def _plain_add_row(rows, at, m, row):
    for k in range(rows.shape[1]):
        for j in range(m):
            rows[at[j], k] += row[0, k]


def _plain_lone_dots(row, others, targets, n, scores):
    for q in range(n):
        total = row.dtype.type(0)
        for k in range(row.shape[1]):
            total += row[0, k] * others[targets[q], k]
        scores[0, q] = total


def _plain_lone_update(row, error, others, targets, n, slopes):
    for k in range(row.shape[1]):
        value = row.dtype.type(0)
        for q in range(n):
            value += slopes[0, q] * others[targets[q], k]
        error[0, k] = value
        for q in range(n):
            others[targets[q], k] += slopes[0, q] * row[0, k]


def _plain_dots(rows, at, m, others, targets, n, scores):
    for j in range(m):
        x = rows[at[j]]
        for q in range(n):
            y = others[targets[q]]
            total = rows.dtype.type(0)
            for k in range(x.size):
                total += x[k] * y[k]
            scores[j, q] = total


def _plain_update(old, old_at, rows, at, m, others, targets, n, slopes):
    theirs, changes = np.empty(n, rows.dtype), np.empty(n, rows.dtype)
    for k in range(rows.shape[1]):
        for q in range(n):
            theirs[q], changes[q] = others[targets[q], k], 0
        for j in range(m):
            x, y = old[old_at[j], k], rows[at[j], k]
            for q in range(n):
                y += slopes[j, q] * theirs[q]
                changes[q] += slopes[j, q] * x
            rows[at[j], k] = y
        for q in range(n):
            others[targets[q], k] += changes[q]
