"""Softmax and log-softmax over the last axis, forward and backward, with masks for attention.

Every array is contiguous and of one dtype, float32 or float64; masks are bool. Two-dimensional arrays are ``(rows, n)``.
A result may be written over an input, given as ``out``.

Rows are worked on in tiles of some 4,096 elements, one long row or many short ones, whose passes all run in the cache: memory
is read and written once. The exponentials of a tile of short rows run as one long vector loop; those of a long row are summed
as they are made.
"""

import numpy as np
from numba import prange

from minigrad.kernels.jit import chunk_count, core, driver, summing_core
from minigrad.kernels.vectormath import exp_negative, row_max

PER_CHUNK = 16_384  # elements below which a second thread does not pay
TILE = 4096  # elements: 16 kB of float32, a half or less of every first-level cache
LONG = 192  # elements of a row from which what is left over after whole vectors no longer counts

_NO_MASK = np.empty((0, 0), np.bool_)


def softmax(x, out=None):
    """Return ``exp(x) / sum(exp(x))`` of each row of ``x`` ``(rows, n)``.

    A row of nothing but -inf gives NaN, as does a row that holds NaN or +inf.
    """
    out = np.empty_like(x) if out is None else out
    if x.size == 0:
        return out
    _run_softmax(x, out, out is x, _NO_MASK, (0, 0, 0), (1, 1), 1.0, False, False)
    return out


def masked_softmax(scores, mask=None, scale=1.0, causal=False, out=None):
    """Return the softmax of ``scale * scores`` over the keys that each query may attend to; 0 for the other keys.

    The mask is read through strides, so it is never expanded to the shape of the scores. What a masked score holds does not
    matter, be it NaN. A query that may attend to no key, or whose every score is -inf, gets 0 everywhere.

    Args:
        scores: ``(.., queries, keys)``.
        mask: bool, True where a query may attend; of a shape that broadcasts to that of ``scores``, or None.
        scale: factor of the scores, ``1 / sqrt(features)`` in attention.
        causal: whether query ``i`` may attend to keys ``0 .. i`` alone.
        out: where to write the result, the scores themselves included.

    Source: Vaswani et al., "Attention Is All You Need", 2017, section 3.2.1.
    """
    out = np.empty_like(scores) if out is None else out
    if scores.size == 0:
        return out
    if not scale > 0:  # the kernel scales after it has subtracted the maximum, which only a positive factor leaves the maximum
        scores, scale = scores * scores.dtype.type(scale), 1.0
    heads, queries, keys = (1, 1, *scores.shape)[-3:]
    if mask is None:
        mask, strides = _NO_MASK, (0, 0, 0)
    else:
        mask, strides = _mask_rows(mask, scores.shape)
    x2d, out2d = scores.reshape(-1, keys), out.reshape(-1, keys)
    _run_softmax(x2d, out2d, out is scores, mask, strides, (heads, queries), scale, causal, True)
    return out


def softmax_backward(g, y, scale=1.0, out=None):
    """Return the gradient by the input of a softmax: ``scale * y * (g - sum(g * y))`` of each row.

    Args:
        g: the gradient of the softmax, ``(rows, n)``.
        y: the softmax, ``(rows, n)``.
        scale: that of ``masked_softmax``.
        out: where to write the result, ``g`` itself included.
    """
    out = np.empty_like(g) if out is None else out
    in_place, scale, rows = out is g, g.dtype.type(scale), len(g)
    chunks = chunk_count(g.size, PER_CHUNK)
    if chunks == 1:
        _softmax_backward(g, y, out, in_place, scale, 0, rows)
    else:
        _softmax_backward_chunks(g, y, out, in_place, scale, chunks)
    return out


def log_softmax(x, out=None):
    """Return ``x - log(sum(exp(x)))`` of each row of ``x`` ``(rows, n)``; NaN where ``softmax`` gives NaN."""
    out = np.empty_like(x) if out is None else out
    chunks = chunk_count(x.size, PER_CHUNK)
    if chunks == 1:
        _log_softmax(x, out, out is x, 0, len(x))
    else:
        _log_softmax_chunks(x, out, out is x, chunks)
    return out


def log_softmax_backward(g, y, out=None):
    """Return the gradient by the input of a log-softmax: ``g - exp(y) * sum(g)`` of each row.

    Args:
        g: the gradient of the log-softmax, ``(rows, n)``.
        y: the log-softmax, ``(rows, n)``.
        out: where to write the result, ``g`` itself included.
    """
    out = np.empty_like(g) if out is None else out
    chunks = chunk_count(g.size, PER_CHUNK)
    if chunks == 1:
        _log_softmax_backward(g, y, out, out is g, 0, len(g))
    else:
        _log_softmax_backward_chunks(g, y, out, out is g, chunks)
    return out


def _mask_rows(mask, shape):
    """Return the mask as rows of keys, and by how many rows it advances per batch, head and query: 0 where it broadcasts."""
    mask = mask.reshape((1,) * (max(4, len(shape)) - mask.ndim) + mask.shape)
    *batch, heads, queries, keys = mask.shape
    if keys != shape[-1] or len(batch) > 1:  # three strides cannot tell these axes apart: expand them, and no others
        mask = np.broadcast_to(mask, (*(shape[:-3] if len(batch) > 1 else batch), heads, queries, shape[-1]))
    if not mask.flags.carray:  # a read-only mask would compile the kernel anew
        mask = np.array(mask, order="C")
    mask = mask.reshape(-1, shape[-1])
    batches = len(mask) // (heads * queries)
    return mask, (heads * queries * (batches > 1), queries * (heads > 1), int(queries > 1))


def _run_softmax(x, out, in_place, mask, strides, groups, scale, causal, zero_if_empty):
    args = x, out, in_place, mask, strides, groups, x.dtype.type(scale), causal, zero_if_empty
    chunks = chunk_count(x.size, PER_CHUNK)
    if chunks == 1:
        _softmax(*args, 0, len(x))
    else:
        _softmax_chunks(*args, chunks)


# A core that may write over its input, told so by ``in_place``, then works on ``out`` alone: had its loop two names for one
# array, LLVM would find an overlap and run it one element at a time. Rows are indexed, not sliced: Numba counts the references
# to a slice, which takes longer than a short row.


@summing_core
def _softmax(x, out, in_place, mask, strides, groups, scale, causal, zero_if_empty, start, stop):
    n = x.shape[1]
    heads, queries = groups
    inf = x.dtype.type(np.inf)
    hiding = causal or mask.size > 0
    batch, head, query = start // (heads * queries), start // queries % heads, start % queries
    flat = out.reshape(out.size)
    step = 1 + TILE // n
    totals = np.empty(step, x.dtype)
    for first in range(start, stop, step):
        last = min(stop, first + step)
        if hiding:
            for i in range(first, last):
                if not in_place:
                    for j in range(n):
                        out[i, j] = x[i, j]
                if mask.size > 0:
                    r = batch * strides[0] + head * strides[1] + query * strides[2]
                    for j in range(n):
                        out[i, j] = out[i, j] if mask[r, j] else -inf
                if causal:
                    for j in range(n):
                        out[i, j] = out[i, j] if j <= query else -inf
                query += 1  # three divisions a row would take longer than a short row
                if query == queries:
                    query, head = 0, head + 1
                    if head == heads:
                        head, batch = 0, batch + 1
        for i in range(first, last):
            top = row_max(out, i) if hiding else row_max(x, i)
            if zero_if_empty and top == -inf:
                top = x.dtype.type(0)  # exp(-inf - 0) is 0, exp(-inf + inf) would be NaN
            total = x.dtype.type(0)
            if n < LONG:
                if hiding or in_place:
                    for j in range(n):
                        out[i, j] = (out[i, j] - top) * scale
                else:
                    for j in range(n):
                        out[i, j] = (x[i, j] - top) * scale
            elif hiding or in_place:
                for j in range(n):
                    out[i, j] = exp_negative((out[i, j] - top) * scale)
                    total += out[i, j]
            else:
                for j in range(n):
                    e = exp_negative((x[i, j] - top) * scale)
                    out[i, j] = e
                    total += e
            totals[i - first] = total
        if n < LONG:
            tile = flat[first * n : last * n]
            for j in range(len(tile)):
                tile[j] = exp_negative(tile[j])
            for i in range(first, last):
                total = x.dtype.type(0)
                for j in range(n):
                    total += out[i, j]
                totals[i - first] = total
        for i in range(first, last):
            total = totals[i - first]
            factor = total if total == 0 else 1 / total
            for j in range(n):
                out[i, j] *= factor


@driver
def _softmax_chunks(x, out, in_place, mask, strides, groups, scale, causal, zero_if_empty, chunks):
    rows = len(x)
    for c in prange(chunks):
        first, last = c * rows // chunks, (c + 1) * rows // chunks
        _softmax(x, out, in_place, mask, strides, groups, scale, causal, zero_if_empty, first, last)


@summing_core
def _softmax_backward(g, y, out, in_place, scale, start, stop):
    n = g.shape[1]
    for i in range(start, stop):
        dot = g.dtype.type(0)
        for j in range(n):
            dot += g[i, j] * y[i, j]
        if in_place:
            for j in range(n):
                out[i, j] = scale * y[i, j] * (out[i, j] - dot)
        else:
            for j in range(n):
                out[i, j] = scale * y[i, j] * (g[i, j] - dot)


@driver
def _softmax_backward_chunks(g, y, out, in_place, scale, chunks):
    rows = len(g)
    for c in prange(chunks):
        _softmax_backward(g, y, out, in_place, scale, c * rows // chunks, (c + 1) * rows // chunks)


@core
def _log_softmax(x, out, in_place, start, stop):
    n = x.shape[1]
    step = 1 + TILE // max(1, n)
    sums = np.empty((step, 2), x.dtype)
    scratch = np.empty((step, n), x.dtype)
    for first in range(start, stop, step):
        last = min(stop, first + step)
        log_sum_exp(x, first, last, sums, scratch)
        for i in range(first, last):
            top, log_total = sums[i - first]
            if in_place:
                for j in range(n):
                    out[i, j] = out[i, j] - top - log_total
            else:
                for j in range(n):
                    out[i, j] = x[i, j] - top - log_total


@driver
def _log_softmax_chunks(x, out, in_place, chunks):
    rows = len(x)
    for c in prange(chunks):
        _log_softmax(x, out, in_place, c * rows // chunks, (c + 1) * rows // chunks)


@summing_core
def _log_softmax_backward(g, y, out, in_place, start, stop):
    n = g.shape[1]
    for i in range(start, stop):
        total = g.dtype.type(0)
        for j in range(n):
            total += g[i, j]
        if in_place:
            for j in range(n):
                out[i, j] -= exp_negative(y[i, j]) * total
        else:
            for j in range(n):
                out[i, j] = g[i, j] - exp_negative(y[i, j]) * total


@driver
def _log_softmax_backward_chunks(g, y, out, in_place, chunks):
    rows = len(g)
    for c in prange(chunks):
        _log_softmax_backward(g, y, out, in_place, c * rows // chunks, (c + 1) * rows // chunks)


@summing_core
def log_sum_exp(x, first, last, sums, scratch):
    """Write ``(m, s)`` with ``log(sum(exp(x[i]))) = m + s`` to ``sums[i - first]``, for the rows ``first <= i < last``.

    ``m`` is the maximum of the row, and ``s`` is ``log(sum(exp(x[i] - m)))``. They stay apart because ``x - m`` is exact where
    ``m + s`` would round: logits near 10^4 keep their digits. ``scratch`` has the shape of
    these rows, or more rows.
    """
    n = x.shape[1]
    for i in range(first, last):
        top = row_max(x, i)
        total = x.dtype.type(0)
        if n < LONG:
            for j in range(n):
                scratch[i - first, j] = x[i, j] - top
        else:
            for j in range(n):
                total += exp_negative(x[i, j] - top)
        sums[i - first, 0], sums[i - first, 1] = top, total
    if n < LONG:
        tile = scratch.reshape(scratch.size)[: (last - first) * n]
        for j in range(len(tile)):
            tile[j] = exp_negative(tile[j])
        for k in range(last - first):
            total = x.dtype.type(0)
            for j in range(n):
                total += scratch[k, j]
            sums[k, 1] = total
    for k in range(last - first):
        sums[k, 1] = np.log(sums[k, 1])
