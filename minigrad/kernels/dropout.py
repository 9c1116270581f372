"""Dropout whose mask is a function of a seed and an offset, so that backward draws it again instead of keeping it.

It also comes in one pass with what stands beside it in most models: the rectifier before it, or the residual addition after it.

The random word number ``k`` of a mask is SplitMix64 at position ``k``: ``mix(key + k * GAMMA)``, a bijection of 64 bits that
passes BigCrush, and of which any element can be had without its predecessors (Steele, Lea and Flood, "Fast Splittable
Pseudorandom Number Generators", OOPSLA 2014, figures 16 and 17; constants of the published ``splitmix64``). Each half of a
word decides one element. Dropout itself: Srivastava et al., "Dropout", JMLR 2014, in its inverted form.
"""

import numpy as np
from numba import prange

from minigrad.kernels.jit import chunk_count, core, driver

PER_CHUNK = 65_536  # elements below which a second thread does not pay
WORDS = 256  # random words drawn ahead of the elements they decide: both loops then run in vector lanes, inside the L1 cache
BLOCK = 2 * WORDS  # elements

MASK64 = (1 << 64) - 1
GAMMA, FACTOR_1, FACTOR_2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
SHIFT_1, SHIFT_2, SHIFT_3 = np.uint64(30), np.uint64(27), np.uint64(31)


def dropout(x, p: float, seed: int, offset: int):
    """Set each element to 0 with probability ``p`` and multiply the others by ``1 / (1 - p)``.

    A dropped element is exactly 0 even where ``x`` is NaN or infinite (PyTorch multiplies by 0 there, which gives NaN).

    Args:
        x: ``(n,)``, contiguous, float32 or float64.
        p: the probability of dropping, 0 to 1, rounded to a multiple of 2^-32.
        seed: the generator's seed, any integer, taken modulo 2^64.
        offset: the number of the mask under that seed, likewise; two offsets give unrelated masks.

    Returns:
        ``(n,)``, the same for the same seed and offset, whatever the number of threads.
    """
    return _run(x, None, False, p, seed, offset)


def relu_dropout(x, p: float, seed: int, offset: int):
    """Return ``dropout(relu(x))``, in one pass. Where it is positive, its gradient by ``x`` is ``1 / (1 - p)``, else 0."""
    return _run(x, None, True, p, seed, offset)


def add_dropout(x, branch, p: float, seed: int, offset: int):
    """Return ``x + dropout(branch)``, in one pass."""
    return _run(branch, x, False, p, seed, offset)


def _run(x, base, rectify, p, seed, offset):
    threshold = round(p * 2**32)
    if threshold == 2**32:
        return np.zeros_like(x) if base is None else base.copy()
    out = np.empty_like(x)
    scale = x.dtype.type(1 / (1 - p))
    blocks = -(-x.size // BLOCK)
    chunks = chunk_count(x.size, PER_CHUNK)
    words = np.uint64(int(seed) & MASK64), np.uint64(int(offset) & MASK64)
    with np.errstate(over="ignore"):  # only NumPy's scalars, in use when the JIT is off, warn of arithmetic modulo 2^64
        if chunks == 1:
            _dropout(x, base, rectify, np.uint32(threshold), scale, *words, out, 0, blocks)
        else:
            _dropout_chunks(x, base, rectify, np.uint32(threshold), scale, *words, out, chunks)
    return out


def dropout_backward(g, p: float, seed: int, offset: int):
    """Return the gradient of ``dropout`` by its input: ``g`` under the same mask and scale."""
    return dropout(g, p, seed, offset)


@core
def mix(z):
    z = (z ^ (z >> SHIFT_1)) * FACTOR_1
    z = (z ^ (z >> SHIFT_2)) * FACTOR_2
    return z ^ (z >> SHIFT_3)


@core
def key_of(seed, offset):
    """The position of the random word number 0 of a mask."""
    return mix(mix(seed) + offset * GAMMA)


@core
def draw(words, key, first):
    """Fill ``words`` with the random words of a mask from number ``first`` on."""
    start = key + first * GAMMA
    for k in range(words.size):
        words[k] = mix(start + np.uint64(k) * GAMMA)


@core
def _dropout(x, base, rectify, threshold, scale, seed, offset, out, start, stop):
    key = key_of(seed, offset)
    words = np.empty(WORDS, np.uint64)
    halves = words.view(np.uint32)
    zero = x.dtype.type(0)
    for block in range(start, stop):
        draw(words, key, np.uint64(block * WORDS))
        # slices, because an index that is a sum might be negative for all that Numba knows, and would not be vectorised
        source, target = x[block * BLOCK : (block + 1) * BLOCK], out[block * BLOCK : (block + 1) * BLOCK]
        before = source if base is None else base[block * BLOCK : (block + 1) * BLOCK]
        for i in range(source.size):
            value = source[i]
            if rectify:
                value = zero if value < zero else value  # the comparison is false for NaN, which so passes through
            value = value * scale if halves[i] >= threshold else zero
            target[i] = value if base is None else before[i] + value


@driver
def _dropout_chunks(x, base, rectify, threshold, scale, seed, offset, out, chunks):
    blocks = -(-x.size // BLOCK)
    for c in prange(chunks):
        _dropout(x, base, rectify, threshold, scale, seed, offset, out, c * blocks // chunks, (c + 1) * blocks // chunks)
