"""Attention block by block, in memory that grows linearly with the sequence length.

The scores of all queries and keys are never there at once. A thread takes a block of queries past all blocks of keys, and the
scores of the two, at most 192 KB of float32, stay in a cache from the product that makes them to the one that uses them. Three
ideas make that possible:

1. *A softmax that goes on.* The maximum m of a query's scores so far, the sum of exp(score - m), and the sum of the values
   weighted by exp(score - m) are all that the next block needs to know: where it raises m to m', both sums are first multiplied
   by exp(m - m'). The one is divided by the other at the very end.
2. *Recomputation.* Backward makes the scores again by the same product, and the weights from them. So forward keeps two numbers
   a query: m, and 1 / sum. (One would do, m + log(sum); but that rounds where m is large.) Of short sequences it keeps the
   weights too, which are hardly longer than their queries, keys and values.
3. *A sum over the keys without the keys.* The gradient by the score of a key is w (dw - D), where w is its weight, dw the
   gradient by that, and D the sum of w dw over the keys. As dw = g . v, D is g . output: it is there before the first block.

What may not be attended to has the score -inf and so the weight 0; under ``causal``, blocks above the diagonal are skipped.

Arrays are (batch, heads, time, features), float32 or float64, read and written by stride; of those written, features must be
neighbours. In backward, threads may share the keys of a head, each with a sum of its own for the gradient by the queries. Into
how many shares does not depend on the threads, so any number of them gives the same bits.

Sources: Rabe and Staats, "Self-attention Does Not Need O(n^2) Memory", 2021; Dao et al., "FlashAttention", NeurIPS 2022,
algorithms 1 and 4; for the first idea Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018.
"""

import functools
import math

import numba
import numpy as np
from numba import carray, cfunc, types  # pyright: ignore[reportPrivateImportUsage]

from minigrad.kernels.attention_task import TASK, at, fetch_head, run, with_neighbours
from minigrad.kernels.dropout import key_of
from minigrad.kernels.few_rows import with_columns, with_rows
from minigrad.kernels.gemm import product
from minigrad.kernels.jit import core
from minigrad.kernels.matmul import compiles, prefers_numpy
from minigrad.kernels.microkernel import address, sizes
from minigrad.kernels.scores import (
    MOST_KEYS,
    array_at,
    copy,
    divide,
    dot,
    drop,
    drop_and_slope,
    hide,
    slope,
    weigh,
    weigh_again,
)

QUERIES, KEYS = 192, MOST_KEYS  # of a block; half or twice as many are as fast
SHARES = 4  # into which the keys of a single head are cut in backward
FEW_ROWS = 4

# Measured in multiply-adds of a product: where NumPy is as quick as the kernels here, whose loading a small program is spared.
SMALL = 2**15
SHORT = 80 * 80  # queries times keys, up to which it is quicker to keep the weights than to make them again
SHORT_FOR_NUMPY = 1024 * 1024  # queries times keys, where NumPy's products are preferred, and these serve to save memory alone


def pays(query: tuple, key: tuple, value: tuple) -> bool:
    """Whether attention of operands of these shapes goes block by block, rather than with all its weights in memory."""
    (*lead, queries, features), (*others, keys, _), (*values, _, width) = query, key, value
    if min(features, width) == 0 or (prefers_numpy() and queries * keys < SHORT_FOR_NUMPY):
        return False
    # Values with leading dimensions of their own share weights, which would be made, and dropped, anew for each here.
    if not lead == others == values:
        lead = np.broadcast_shapes(lead, others)
        if np.broadcast_shapes(lead, values) != lead:
            return False
    return math.prod(lead) * queries * keys * features > SMALL and compiles()


def forward(query, key, value, mask, causal, scale, p, seed, out):
    """Write ``dropout(softmax(scale * query @ key^T + mask)) @ value`` to ``out``; 0 for a query that may attend to no key.

    Args:
        query: (batch, heads, queries, features).
        key: (batch, heads, keys, features).
        value: (batch, heads, keys, width).
        mask: bool, True where a query may attend; or of the dtype of the query, to be added; or None. It broadcasts to
            (batch, heads, queries, keys), and is read by stride.
        causal: whether query ``i`` may attend to keys ``0 .. i`` alone.
        scale: factor of the products of queries and keys.
        p, seed: the probability of dropping a weight, and which ones: those that ``dropout`` drops of an array of all weights.
        out: (batch, heads, queries, width).

    Returns:
        what backward needs: of each query's scores the maximum, and the inverse of the sum of exp(score - maximum); of a short
        sequence, these exponentials besides.
    """
    batches, heads, queries, _ = query.shape
    weights = key.shape[2] if queries * key.shape[2] <= SHORT and max(queries, key.shape[2]) <= QUERIES else 0
    kept = np.empty((1, 1, 1, batches * heads * queries * (2 + weights)), query.dtype)
    operands = (*map(with_neighbours, (query, key, value)), out, kept)
    run(_forward_of(query.dtype), operands, mask, causal, scale, p, seed)
    return kept


def backward(g, query, key, value, mask, causal, scale, p, seed, out, kept, g_query, g_key, g_value):
    """Write the gradients by query, key and value, given ``g``, that of ``out``; ``kept`` is what :func:`forward` returned."""
    if causal:  # which cuts blocks short, so that none of them reaches all the keys
        g_key[...] = 0
        g_value[...] = 0
    # Threads share the keys of a head where there are few heads, so many in any case: it decides the bits of the result.
    splits = min(-(-SHARES // (query.shape[0] * query.shape[1])), -(-key.shape[2] // KEYS))
    sums = g_query[None] if splits == 1 else np.zeros((splits, *query.shape), query.dtype)
    operands = (*map(with_neighbours, (query, key, value)), out, kept)
    gradients = with_neighbours(g), sums[0], g_key, g_value
    run(_backward_of(query.dtype), operands, mask, causal, scale, p, seed, gradients, splits, sums.strides[0])
    if splits > 1:
        np.sum(sums, axis=0, out=g_query)


@core
def _scores_of(like, task, scores, batch, head, top, left):
    """Make scores of the products of a block's queries, from ``top`` on, and keys, from ``left`` on."""
    added = at(task.added, batch, head, top) + left * scores.itemsize if task.added[0] else 0
    allowed = at(task.allowed, batch, head, top) + left if task.allowed[0] else 0
    scale = type(like)(task.scale if task.scale_first else 1)
    reach = top + 1 - left if task.causal else scores.shape[1]
    if added or allowed or scale != 1 or reach < scores.shape[1]:
        hide(scores, scale, added, task.added[3], allowed, task.allowed[3], reach)


@core
def _product(like, function, job, a, b, c, rows, depth, cols, accumulate):
    """``c = a @ b``, or ``c += a @ b``; operands are given as in ``product``, which makes it unless the rows are few."""
    item = sizes(like)[0]
    if rows > FEW_ROWS or a[2] != item:
        product(like, function, job, a, b, c, rows, depth, cols, accumulate)
    elif b[2] == item:
        with_columns(like, a, b, c, rows, depth, cols, accumulate)
    else:
        with_rows(like, a, (b[0], b[2]), c, rows, depth, cols)


@core
def _forward(like, task, part, parts):
    """The share of one thread: some of the blocks of queries of all heads."""
    queries, keys, width, heads = task.queries, task.keys, task.width, task.heads
    dtype, item = type(like), sizes(like)[0]
    scale = dtype(1 if task.scale_first else task.scale)
    random_key, threshold, keep = key_of(task.seed, np.uint64(0)), np.uint32(task.threshold), dtype(task.keep)
    function, job = task.function, task.jobs + part * task.job_step
    buffer, factor_buffer = np.empty(min(QUERIES, queries) * min(KEYS, keys), dtype), np.empty(QUERIES, dtype)
    blocks = -(-queries // QUERIES)
    for number in range(part, task.batches * heads * blocks, parts):  # by turns, since later queries see more under causal
        matrix, block = divmod(number, blocks)
        batch, head = divmod(matrix, heads)
        if task.weights:
            fetch_head(task, number + parts, item, False)
        top = block * QUERIES
        rows = min(QUERIES, queries - top)
        tops = array_at(like, at(task.top, batch, head, top), rows)
        totals = array_at(like, at(task.inverse, batch, head, top), rows)
        tops[:] = -np.inf
        totals[:] = 0
        factors = factor_buffer[:rows]
        q = at(task.query, batch, head, top), task.query[3], item
        out = at(task.out, batch, head, top), task.out[3], item
        seen = min(keys, top + rows) if task.causal else keys
        for left in range(0, seen, KEYS):
            n = min(KEYS, seen - left)
            scores = dropped = buffer[: rows * n].reshape(rows, n)
            if task.weights:  # made where they are kept; then all queries and keys are one block
                scores = array_at(like, task.weights + matrix * rows * n * item, rows * n).reshape(rows, n)
            s = address(scores), n * item, item
            k = at(task.key, batch, head, left), item, task.key[3]  # transposed
            v = at(task.value, batch, head, left), task.value[3], item
            _product(like, function, job, q, k, s, rows, task.features, n, False)
            _scores_of(like, task, scores, batch, head, top, left)
            weigh(scores, scale, tops, totals, factors)
            if keep != 1:
                if task.weights:
                    copy(scores, dropped)
                    s = address(dropped), n * item, item
                drop(dropped, random_key, (matrix * queries + top) * keys + left, keys, threshold, keep)
            if left:
                _multiply_rows(like, out, rows, width, factors)
            _product(like, function, job, s, v, out, rows, n, width, left > 0)
        for i in range(rows):
            tops[i] = like if tops[i] == -np.inf else tops[i]
            totals[i] = like if totals[i] == 0 else 1 / totals[i]
        _multiply_rows(like, out, rows, width, totals)


@core
def _multiply_rows(like, matrix, rows, cols, factors):
    """Multiply each row of a matrix, given by its address and steps, by a factor."""
    for i in range(rows):
        factor = factors[i]
        if factor != 1:
            row = array_at(like, matrix[0] + i * matrix[1], cols)
            for j in range(cols):
                row[j] *= factor


@core
def _backward(like, task, part, parts):
    """The share of one thread: some of the heads, or of each head some of the blocks of keys."""
    queries, keys, features, width, heads = task.queries, task.keys, task.features, task.width, task.heads
    dtype, item = type(like), sizes(like)[0]
    scale = dtype(task.scale)
    factor = dtype(1) if task.scale_first else scale
    random_key, threshold, keep = key_of(task.seed, np.uint64(0)), np.uint32(task.threshold), dtype(task.keep)
    function, job = task.function, task.jobs + part * task.job_step
    size = min(QUERIES, queries) * min(KEYS, keys)
    buffer, slope_buffer, dots = np.empty(size, dtype), np.empty(size, dtype), np.empty(queries, dtype)
    for number in range(part, task.batches * heads * task.splits, parts):
        matrix, split = divmod(number, task.splits)
        batch, head = divmod(matrix, heads)
        if task.weights:
            fetch_head(task, number + parts, item, True)
        for i in range(queries):
            g, out = at(task.g, batch, head, i), at(task.out, batch, head, i)
            dots[i] = dot(array_at(like, g, width), array_at(like, out, width))
        for left in range(split * KEYS, keys, task.splits * KEYS):
            k, v = at(task.key, batch, head, left), at(task.value, batch, head, left)
            g_key = at(task.g_key, batch, head, left), task.g_key[3], item
            g_value = at(task.g_value, batch, head, left), task.g_value[3], item
            for top in range(left if task.causal else 0, queries, QUERIES):
                rows = min(QUERIES, queries - top)
                n = min(KEYS, (min(keys, top + rows) if task.causal else keys) - left)
                scores, slopes = buffer[: rows * n].reshape(rows, n), slope_buffer[: rows * n].reshape(rows, n)
                w, s = address(scores), address(slopes)
                q = at(task.query, batch, head, top), task.query[3], item
                g = at(task.g, batch, head, top), task.g[3], item
                g_query = at(task.g_query, batch, head, top) + split * task.split_step, task.g_query[3], item
                tops = array_at(like, at(task.top, batch, head, top), rows)
                inverses = array_at(like, at(task.inverse, batch, head, top), rows)
                _product(like, function, job, g, (v, item, task.value[3]), (s, n * item, item), rows, width, n, False)
                if task.weights:
                    kept = array_at(like, task.weights + matrix * rows * n * item, rows * n).reshape(rows, n)
                    copy(kept, scores)
                    divide(scores, inverses)
                else:
                    _product(like, function, job, q, (k, item, task.key[3]), (w, n * item, item), rows, features, n, False)
                    _scores_of(like, task, scores, batch, head, top, left)
                    weigh_again(scores, factor, tops, inverses)
                if keep == 1:
                    slope(scores, slopes, dots[top:], scale)
                else:
                    drawn = (matrix * queries + top) * keys + left
                    drop_and_slope(scores, slopes, dots[top:], scale, random_key, drawn, keys, threshold, keep)
                more = top > 0 or task.causal != 0
                _product(like, function, job, (w, item, n * item), g, g_value, n, rows, width, more)
                _product(like, function, job, (s, item, n * item), q, g_key, n, rows, features, more)
                _product(like, function, job, (s, n * item, item), (k, task.key[3], item), g_query, rows, n, features, left > 0)


# Each part of a task, as one function per direction and dtype that ``compiled_launch`` can call.


def _forward_float32(part, parts, task):
    _forward(np.float32(0), carray(task, 1)[0], part, parts)


def _forward_float64(part, parts, task):
    _forward(np.float64(0), carray(task, 1)[0], part, parts)


def _backward_float32(part, parts, task):
    _backward(np.float32(0), carray(task, 1)[0], part, parts)


def _backward_float64(part, parts, task):
    _backward(np.float64(0), carray(task, 1)[0], part, parts)


@functools.cache
def _forward_of(dtype):
    return _compiled(_forward_float32 if dtype == np.float32 else _forward_float64).address


@functools.cache
def _backward_of(dtype):
    return _compiled(_backward_float32 if dtype == np.float32 else _backward_float64).address


def _compiled(function):
    signature = types.void(types.intp, types.intp, types.CPointer(numba.from_dtype(TASK)))
    return cfunc(signature, cache=True, error_model="numpy")(function)
