"""What attention does to a block of scores between the product that makes it and the one that uses it.

A block is ``(rows, n)``, a row for each query, contiguous, and in a cache all the while. So passes over it are cheap, and each
does one thing, in place: of loops so plain LLVM makes vectors that also serve rows of 16 scores. (Of a loop over two names that
might be one array it makes none.) The exponentials of all rows are one loop, because a short row would leave half of it to what
is left over after whole vectors.
"""

import numpy as np
from numba import carray  # pyright: ignore[reportPrivateImportUsage]

from minigrad.kernels.dropout import draw
from minigrad.kernels.jit import core, summing_core
from minigrad.kernels.microkernel import pointer
from minigrad.kernels.vectormath import exp_negative, row_max

MOST_KEYS = 256  # of a block


@core
def array_at(like, address, size):
    """The ``size`` numbers of the dtype of ``like`` from an address on."""
    return carray(pointer(address), (size,), type(like))


@core
def copy(scores, target):
    """Copy a block; a loop, as ``target[...] = scores`` takes Numba two seconds more to compile."""
    for i in range(scores.shape[0]):
        for j in range(scores.shape[1]):
            target[i, j] = scores[i, j]


@core
def hide(scores, scale, added, added_step, allowed, allowed_step, reach):
    """Make scores of products: times ``scale``, plus ``added``, and -inf where ``allowed`` is False.

    Args:
        added, allowed: the addresses of the first row of a mask to add, and of one of bool; 0 where there is none.
        added_step, allowed_step: bytes from one row to the next.
        reach: under ``causal``, the number of keys that the first query may attend to, each other query to one more; else n.
    """
    rows, n = scores.shape
    zero, minus_inf = scores.dtype.type(0), scores.dtype.type(-np.inf)
    for i in range(rows):
        if scale != 1:
            for j in range(n):
                scores[i, j] *= scale
        if added:
            mask = array_at(zero, added + i * added_step, n)
            for j in range(n):
                scores[i, j] += mask[j]
        if allowed:
            may = carray(pointer(allowed + i * allowed_step), (n,), np.bool_)
            for j in range(n):
                scores[i, j] = scores[i, j] if may[j] else minus_inf
        for j in range(max(0, reach + i), n):
            scores[i, j] = minus_inf


@core
def _rise(scores, tops, before):
    """Raise the maxima so far to those of this block, and keep in ``before`` what they were."""
    for i in range(scores.shape[0]):
        before[i], top = tops[i], row_max(scores, i)
        tops[i] = top if top > before[i] else before[i]


@core
def _subtract(scores, tops, factor):
    """``(score - top) * factor``; a row that holds -inf alone keeps it, where -inf - top would be NaN."""
    minus_inf, zero = scores.dtype.type(-np.inf), scores.dtype.type(0)
    for i in range(scores.shape[0]):
        top = zero if tops[i] == minus_inf else tops[i]
        for j in range(scores.shape[1]):
            scores[i, j] = (scores[i, j] - top) * factor


@core
def _exponentials(scores):
    flat = scores.reshape(scores.size)
    for j in range(flat.size):
        flat[j] = exp_negative(flat[j])


@summing_core
def _sum_rows(scores, totals):
    for i in range(scores.shape[0]):
        total = scores.dtype.type(0)
        for j in range(scores.shape[1]):
            total += scores[i, j]
        totals[i] += total


@core
def weigh(scores, scale, tops, totals, factors):
    """Replace scores by ``exp((score - top) * scale)``; take the maxima and totals so far up to this block.

    ``factors`` receives, for each row, what sums over earlier blocks must be multiplied by, for the maximum may have risen.
    """
    _rise(scores, tops, factors)
    for i in range(len(tops)):
        rise = factors[i] - tops[i]
        factors[i] = exp_negative(rise * scale if rise < 0 else scores.dtype.type(0))  # no rise if both are -inf
        totals[i] *= factors[i]
    _subtract(scores, tops, scale)
    _exponentials(scores)
    _sum_rows(scores, totals)


@core
def drop(weights, random_key, number, row_step, threshold, keep):
    """Drop weights as ``dropout`` does with an array where their numbers are ``number``, ``number + 1`` and so on, by rows."""
    rows, n = weights.shape
    words = np.empty(MOST_KEYS // 2 + 1, np.uint64)
    halves = words.view(np.uint32)
    zero = weights.dtype.type(0)
    for i in range(rows):
        first = number + i * row_step
        draw(words[: n // 2 + 1], random_key, np.uint64(first // 2))
        decisions = halves[first % 2 :]
        for j in range(n):
            weights[i, j] = weights[i, j] * keep if decisions[j] >= threshold else zero


@core
def weigh_again(scores, factor, tops, inverses):
    """Replace scores by the weights that :func:`weigh` gave them, divided by their total."""
    _subtract(scores, tops, factor)
    _exponentials(scores)
    divide(scores, inverses)


@core
def divide(weights, inverses):
    """Divide weights by the total of their row, of which the inverse is given."""
    for i in range(weights.shape[0]):
        inverse = inverses[i]
        for j in range(weights.shape[1]):
            weights[i, j] *= inverse


@summing_core
def dot(x, y):
    """The sum of the products of two rows."""
    total = x.dtype.type(0)
    for j in range(x.size):
        total += x[j] * y[j]
    return total


@core
def slope(weights, slopes, dots, scale):
    """Replace ``slopes``, gradients by the weights, by those by the products of queries and keys."""
    for i in range(weights.shape[0]):
        dot = dots[i]
        for j in range(weights.shape[1]):
            slopes[i, j] = weights[i, j] * (slopes[i, j] - dot) * scale


@core
def drop_and_slope(weights, slopes, dots, scale, random_key, number, row_step, threshold, keep):
    """:func:`drop` the gradients by the weights, make slopes of them, and :func:`drop` the weights, in one pass."""
    rows, n = weights.shape
    words = np.empty(MOST_KEYS // 2 + 1, np.uint64)
    halves = words.view(np.uint32)
    zero = weights.dtype.type(0)
    for i in range(rows):
        first = number + i * row_step
        draw(words[: n // 2 + 1], random_key, np.uint64(first // 2))
        decisions = halves[first % 2 :]
        dot = dots[i]
        for j in range(n):
            factor = keep if decisions[j] >= threshold else zero
            kept = slopes[i, j] * keep if decisions[j] >= threshold else zero
            slopes[i, j] = weights[i, j] * (kept - dot) * scale
            weights[i, j] *= factor
