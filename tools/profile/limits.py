"""What the machine can do at most: multiply-adds in a second, and bytes to and from memory."""

import time
from collections.abc import Callable

import numba
import numpy as np
from numba import njit, prange

from minigrad.kernels.microkernel import address, tile, tile_shape, vector_bytes

_DEPTH = 200_000  # multiply-adds of each lane in one call of the tile
_TRIAD = 16 << 20  # elements of each array: 64 MB of float32, beyond every cache
_TRIES = 7


def peak_flops() -> float:
    """The most float32 operations a second that this many threads can do; NaN where the CPU has no vectors we know."""
    if not vector_bytes():
        return float("nan")
    work, operations = multiply_adds(numba.get_num_threads())
    return operations / _best(work)


def multiply_adds(threads: int) -> tuple[Callable[[], None], float]:
    """Work for so many threads that nothing but the multiply-add units can hold up, and how many operations it does.

    The tile of the matrix product runs with steps of 0: it reads the same few numbers again and again. A multiply-add counts as
    two operations.
    """
    rows, cols, _ = tile_shape(4)
    numbers, sums = np.zeros(cols, np.float32), np.zeros((threads, rows, cols), np.float32)
    return lambda: _tiles(numbers, sums, rows, cols), 2.0 * threads * rows * cols * _DEPTH


def bandwidth() -> float:
    """The most bytes a second that this many threads can read and write, by ``a = b + s c`` (the triad of McCalpin 1995)."""
    a, b, c = (np.ones(_TRIAD, np.float32) for _ in range(3))
    return 3.0 * a.nbytes / _best(lambda: _triad(a, b, c, np.float32(0.5)))


def _best(work) -> float:
    """Seconds of the fastest of several runs; the first, which compiles, does not count."""
    work()
    times = []
    for _ in range(_TRIES):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


@njit(parallel=True, error_model="numpy")
def _tiles(numbers, sums, rows, cols):
    for part in prange(len(sums)):
        here = address(numbers)
        tile(np.float32(0), here, 0, 0, here, 0, 0, 0, address(sums[part]), 4 * cols, _DEPTH, rows, cols)


@njit(parallel=True, error_model="numpy")
def _triad(a, b, c, s):
    for i in prange(a.size):
        a[i] = b[i] + s * c[i]
