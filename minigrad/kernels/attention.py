"""Attention block by block, in memory that grows linearly with the sequence length.

The scores of all queries and keys are never there at once. A thread takes a block of queries past all blocks of keys, and the
scores of the two, 192 KB of float32, stay in its second-level cache from the product that makes them to the one that uses them.
Three ideas make that possible:

1. *A softmax that goes on.* The maximum m of a query's scores so far, the sum of exp(score - m), and the sum of the values
   weighted by exp(score - m) are all that the next block needs to know: where it raises m to m', both sums are first multiplied
   by exp(m - m'). The one is divided by the other at the very end.
2. *Recomputation.* Backward makes the scores again by the same product, and the weights from them. So forward keeps two numbers
   a query: m, and 1 / sum. (One would do, m + log(sum); but that rounds where m is large.)
3. *A sum over the keys without the keys.* The gradient by the score of a key is w (dw - D), where w is its weight, dw the
   gradient by that, and D the sum of w dw over the keys. As dw = g . v, D is g . output: it is there before the first block.

What may not be attended to has the score -inf and so the weight 0; under ``causal``, blocks above the diagonal are skipped.

Arrays are (batch, heads, time, features), float32 or float64, read and written by stride; of those written, features must be
neighbours. Whatever the number of threads, forward gives the same bits. In backward, threads may share the keys of a head, each
with a sum of its own for the gradient by the queries; there the same number of threads gives the same bits.

Sources: Rabe and Staats, "Self-attention Does Not Need O(n^2) Memory", 2021; Dao et al., "FlashAttention", NeurIPS 2022,
algorithms 1 and 4; for the first idea Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018.
"""

import functools
import math

import numba
import numpy as np
from numba import carray, cfunc, types  # pyright: ignore[reportPrivateImportUsage]

from minigrad.kernels.dropout import MASK64, draw, key_of
from minigrad.kernels.gemm import SINGLE_THREAD, compiled_launch, lend, product
from minigrad.kernels.jit import core, summing_core
from minigrad.kernels.matmul import compiles, prefers_numpy
from minigrad.kernels.microkernel import address, pointer, sizes
from minigrad.kernels.threads import get_num_threads
from minigrad.kernels.vectormath import exp_negative, row_max

QUERIES, KEYS = 192, 256  # of a block; half or twice as many are as fast

# Measured: below these it is quicker to keep the weights than to make them again.
FEWEST = 16  # queries, or keys; with fewer the weights are no longer than the values anyway
SHORT = 80 * 80  # queries times keys
SHORT_FOR_NUMPY = 1024 * 1024  # where NumPy's products are preferred to those here, which then serve to save memory alone
SMALL = 2**20  # weights of all heads


def pays(query: tuple, key: tuple, value: tuple) -> bool:
    """Whether attention of operands of these shapes goes block by block, rather than with all its weights in memory."""
    queries, keys = query[-2], key[-2]
    if min(queries, keys) < FEWEST or queries * keys < (SHORT_FOR_NUMPY if prefers_numpy() else SHORT):
        return False
    # Values with leading dimensions of their own share weights, which would be made, and dropped, anew for each here.
    lead = np.broadcast_shapes(query[:-2], key[:-2])
    shared = np.broadcast_shapes(lead, value[:-2]) != lead
    large = math.prod(lead) * queries * keys >= SMALL
    return large and not shared and query[-1] > 0 and value[-1] > 0 and compiles()


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
        (2, batch, heads, queries): of each query's scores the maximum, and the inverse of the sum of exp(score - maximum).
    """
    kept = np.empty((2, *query.shape[:3]), query.dtype)
    _run(_forward_of, _arrays(query, key, value, mask, out, kept), causal, scale, p, seed)
    return kept


def backward(g, query, key, value, mask, causal, scale, p, seed, out, kept, g_query, g_key, g_value):
    """Write the gradients by query, key and value, given ``g``, that of ``out``; ``kept`` is what :func:`forward` returned."""
    if causal:  # which cuts blocks short, so that none of them reaches all the keys
        g_key[...] = 0
        g_value[...] = 0
    # Threads share the keys of a head where there are too few heads to occupy them.
    threads, matrices = get_num_threads(), query.shape[0] * query.shape[1]
    splits = 1 if matrices >= 4 * threads else min(threads, -(-key.shape[2] // KEYS))
    sums = g_query[None] if splits == 1 else np.zeros((splits, *query.shape), query.dtype)
    arrays = _arrays(query, key, value, mask, out, kept)
    arrays.update(g=_with_neighbours(g), g_query=sums[0], g_key=g_key, g_value=g_value)
    _run(_backward_of, arrays, causal, scale, p, seed, splits, sums.strides[0])
    if splits > 1:
        np.sum(sums, axis=0, out=g_query)


def _arrays(query, key, value, mask, out, kept) -> dict:
    """The arrays that both directions read, by the names of their fields in a task."""
    arrays = {"query": query, "key": key, "value": value}
    if mask is not None:
        whole_rows = _with_neighbours(np.broadcast_to(mask, (*mask.shape[:-1], key.shape[2])))
        arrays["allowed" if mask.dtype == np.bool_ else "added"] = np.broadcast_to(whole_rows, (*query.shape[:3], key.shape[2]))
    arrays = {name: _with_neighbours(x) for name, x in arrays.items()}
    return arrays | {"out": out, "top": kept[0, ..., None], "inverse": kept[1, ..., None]}


def _with_neighbours(x):
    """``x``, or a copy if the elements of its rows are no neighbours in memory."""
    return x if x.strides[-1] == x.itemsize or x.shape[-1] == 1 else np.ascontiguousarray(x)


# What the compiled functions need to know. An array is four numbers: its address, and the steps in bytes from one batch, head
# and row to the next; 0 where there is none. The last line: the memory of splits, and what ``product`` needs.
_TASK = np.dtype(
    [(name, np.int64, 4) for name in ("query", "key", "value", "out", "top", "inverse", "allowed", "added")]
    + [(name, np.int64, 4) for name in ("g", "g_query", "g_key", "g_value")]
    + [(name, np.int64) for name in ("batches", "heads", "queries", "keys", "features", "width", "causal", "scale_first")]
    + [("scale", np.float64), ("threshold", np.int64), ("keep", np.float64), ("seed", np.uint64)]
    + [(name, np.int64) for name in ("splits", "split_step", "function", "jobs", "job_step")]
)


def _run(compiled, arrays: dict, causal, scale, p, seed, splits=1, split_step=0) -> None:
    query = arrays["query"]
    batches, heads, queries, features = query.shape
    keys, width = arrays["value"].shape[2:]
    threshold = round(p * 2**32)
    lock, function, jobs = lend(query.dtype)
    fields = {
        "batches": batches,
        "heads": heads,
        "queries": queries,
        "keys": keys,
        "features": features,
        "width": width,
        "causal": causal,
        "scale": scale,
        # exp((x - max) * scale) spares the products a pass of their own, if a positive factor is all that they need.
        "scale_first": "added" in arrays or not scale > 0,
        # Where all are dropped, the few beyond a threshold that fits 32 bits are multiplied by 0.
        "threshold": min(threshold, 2**32 - 1),
        "keep": 1 / (1 - p) if threshold < 2**32 else 0,
        "seed": seed & MASK64,
        "splits": splits,
        "split_step": split_step,
        "function": function,
        "jobs": jobs.ctypes.data,
        "job_step": jobs.itemsize,
        **{name: (x.ctypes.data, *x.strides[:3]) for name, x in arrays.items()},
    }
    task = np.zeros(1, _TASK)
    for name, value in fields.items():
        task[name] = value
    parts = 1 if query.nbytes * keys <= SINGLE_THREAD else get_num_threads()
    with lock:
        compiled_launch()(compiled(query.dtype).address, task.ctypes.data, parts)


@core
def _at(array, batch, head, row):
    return array[0] + batch * array[1] + head * array[2] + row * array[3]


@core
def _array(like, address, size):
    return carray(pointer(address), (size,), type(like))


@core
def _hide(task, scores, batch, head, top, left):
    """Make scores of the products of a block's queries, from ``top`` on, and keys, from ``left`` on."""
    rows, n = scores.shape
    zero = scores.dtype.type(0)
    minus_inf, scale = scores.dtype.type(-np.inf), scores.dtype.type(task.scale)
    scale_first, allowed, added, causal = task.scale_first, task.allowed, task.added, task.causal
    for i in range(rows):
        if scale_first:
            for j in range(n):
                scores[i, j] *= scale
        if added[0]:
            mask = _array(zero, _at(added, batch, head, top + i) + left * scores.itemsize, n)
            for j in range(n):
                scores[i, j] += mask[j]
        if allowed[0]:
            may = carray(pointer(_at(allowed, batch, head, top + i) + left), (n,), np.bool_)
            for j in range(n):
                scores[i, j] = scores[i, j] if may[j] else minus_inf
        if causal:
            for j in range(max(0, top + i + 1 - left), n):
                scores[i, j] = minus_inf


@core
def _drop(weights, random_key, number, row_step, threshold, keep):
    """Drop weights as ``dropout`` does with an array where their numbers are ``number``, ``number + 1`` and so on, by rows."""
    rows, n = weights.shape
    words = np.empty(KEYS // 2 + 1, np.uint64)
    halves = words.view(np.uint32)
    zero = weights.dtype.type(0)
    for i in range(rows):
        first = number + i * row_step
        draw(words[: n // 2 + 1], random_key, np.uint64(first // 2))
        decisions = halves[first % 2 :]
        for j in range(n):
            weights[i, j] = weights[i, j] * keep if decisions[j] >= threshold else zero


@summing_core
def _weigh(scores, scale, tops, totals, sums):
    """Replace scores by exp(score - top), and take the maxima, totals and weighted sums so far up to this block."""
    n, width = scores.shape[1], sums.shape[1]
    minus_inf, zero = scores.dtype.type(-np.inf), scores.dtype.type(0)
    for i in range(scores.shape[0]):
        before, top = tops[i], row_max(scores, i)
        top = top if top > before else before
        tops[i] = top
        shift = zero if top == minus_inf else top  # exp(-inf - 0) is 0, exp(-inf + inf) would be NaN
        total = zero
        for j in range(n):
            weight = exp_negative((scores[i, j] - shift) * scale)
            scores[i, j] = weight
            total += weight
        factor = exp_negative((before - shift) * scale)
        totals[i] = totals[i] * factor + total
        if factor != 1:
            for j in range(width):
                sums[i, j] *= factor


@core
def _forward(like, task, part, parts):
    """The share of one thread: some of the blocks of queries of all heads."""
    queries, keys, width, heads = task.queries, task.keys, task.width, task.heads
    dtype, item = type(like), sizes(like)[0]
    scale = dtype(1 if task.scale_first else task.scale)
    random_key, threshold, keep = key_of(task.seed, np.uint64(0)), np.uint32(task.threshold), dtype(task.keep)
    function, job = task.function, task.jobs + part * task.job_step
    buffer, sums = np.empty(QUERIES * KEYS, dtype), np.empty((QUERIES, width), dtype)
    blocks = -(-queries // QUERIES)
    for number in range(part, task.batches * heads * blocks, parts):  # by turns, since later queries see more under causal
        matrix, block = divmod(number, blocks)
        batch, head = divmod(matrix, heads)
        top = block * QUERIES
        rows = min(QUERIES, queries - top)
        tops = _array(like, _at(task.top, batch, head, top), rows)
        totals = _array(like, _at(task.inverse, batch, head, top), rows)
        tops[:] = -np.inf
        totals[:] = 0
        sums[:] = 0
        q = _at(task.query, batch, head, top), task.query[3], item
        seen = min(keys, top + rows) if task.causal else keys
        for left in range(0, seen, KEYS):
            n = min(KEYS, seen - left)
            scores = buffer[: rows * n].reshape(rows, n)
            s = address(scores), n * item, item
            k = _at(task.key, batch, head, left), item, task.key[3]  # transposed
            v = _at(task.value, batch, head, left), task.value[3], item
            product(function, job, q, k, s, rows, task.features, n, False)
            _hide(task, scores, batch, head, top, left)
            _weigh(scores, scale, tops, totals, sums)
            if keep != 1:
                _drop(scores, random_key, (matrix * queries + top) * keys + left, keys, threshold, keep)
            product(function, job, s, v, (address(sums), width * item, item), rows, n, width, True)
        for i in range(rows):
            tops[i] = like if tops[i] == -np.inf else tops[i]
            totals[i] = like if totals[i] == 0 else 1 / totals[i]
            out = _array(like, _at(task.out, batch, head, top + i), width)
            for j in range(width):
                out[j] = sums[i, j] * totals[i]


@core
def _weigh_again(scores, slopes, tops, inverses, dots, factor, scale):
    """Replace scores by their weights in forward, and ``slopes``, gradients by the weights, by those by the products."""
    for i in range(scores.shape[0]):
        top, inverse, dot = tops[i], inverses[i], dots[i]
        for j in range(scores.shape[1]):
            weight = exp_negative((scores[i, j] - top) * factor) * inverse
            scores[i, j] = weight
            slopes[i, j] = weight * (slopes[i, j] - dot) * scale


@summing_core
def _dot(x, y):
    total = x.dtype.type(0)
    for j in range(x.size):
        total += x[j] * y[j]
    return total


@core
def _backward(like, task, part, parts):
    """The share of one thread: some of the heads, or of each head some of the blocks of keys."""
    queries, keys, features, width, heads = task.queries, task.keys, task.features, task.width, task.heads
    dtype, item = type(like), sizes(like)[0]
    scale = dtype(task.scale)
    factor = dtype(1) if task.scale_first else scale
    random_key, threshold, keep = key_of(task.seed, np.uint64(0)), np.uint32(task.threshold), dtype(task.keep)
    function, job = task.function, task.jobs + part * task.job_step
    buffer, slope_buffer, dots = np.empty(QUERIES * KEYS, dtype), np.empty(QUERIES * KEYS, dtype), np.empty(queries, dtype)
    for number in range(part, task.batches * heads * task.splits, parts):
        matrix, split = divmod(number, task.splits)
        batch, head = divmod(matrix, heads)
        for i in range(queries):
            g, out = _at(task.g, batch, head, i), _at(task.out, batch, head, i)
            dots[i] = _dot(_array(like, g, width), _array(like, out, width))
        for left in range(split * KEYS, keys, task.splits * KEYS):
            k, v = _at(task.key, batch, head, left), _at(task.value, batch, head, left)
            g_key = _at(task.g_key, batch, head, left), task.g_key[3], item
            g_value = _at(task.g_value, batch, head, left), task.g_value[3], item
            for top in range(left if task.causal else 0, queries, QUERIES):
                rows = min(QUERIES, queries - top)
                n = min(KEYS, (min(keys, top + rows) if task.causal else keys) - left)
                scores, slopes = buffer[: rows * n].reshape(rows, n), slope_buffer[: rows * n].reshape(rows, n)
                w, s = address(scores), address(slopes)
                q = _at(task.query, batch, head, top), task.query[3], item
                g = _at(task.g, batch, head, top), task.g[3], item
                g_query = _at(task.g_query, batch, head, top) + split * task.split_step, task.g_query[3], item
                tops = _array(like, _at(task.top, batch, head, top), rows)
                inverses = _array(like, _at(task.inverse, batch, head, top), rows)
                product(function, job, q, (k, item, task.key[3]), (w, n * item, item), rows, features, n, False)
                product(function, job, g, (v, item, task.value[3]), (s, n * item, item), rows, width, n, False)
                _hide(task, scores, batch, head, top, left)
                drawn = (matrix * queries + top) * keys + left
                if keep != 1:
                    _drop(slopes, random_key, drawn, keys, threshold, keep)
                _weigh_again(scores, slopes, tops, inverses, dots[top:], factor, scale)
                if keep != 1:
                    _drop(scores, random_key, drawn, keys, threshold, keep)
                more = top > 0 or task.causal != 0
                product(function, job, (w, item, n * item), g, g_value, n, rows, width, more)
                product(function, job, (s, item, n * item), q, g_key, n, rows, features, more)
                product(function, job, (s, n * item, item), (k, task.key[3], item), g_query, rows, n, features, left > 0)


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
    return _compiled(_forward_float32 if dtype == np.float32 else _forward_float64)


@functools.cache
def _backward_of(dtype):
    return _compiled(_backward_float32 if dtype == np.float32 else _backward_float64)


def _compiled(function):
    signature = types.void(types.intp, types.intp, types.CPointer(numba.from_dtype(_TASK)))
    return cfunc(signature, cache=True, error_model="numpy")(function)
