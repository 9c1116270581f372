"""What each idea of the matrix product is worth: the steps of `lesson_steps.py`, the kernel, and the limit of the machine.

The ratios compare with NumPy's BLAS, which uses all threads; the steps use one. ``--threads 1`` gives the BLAS one as well.
Matrices of 1024 x 1024 show most; packing and blocks show their worth on those that fit into no cache.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from minigrad.kernels import matmul, threads
from tools.bench import report
from tools.bench.machine import on_threads
from tools.bench.measure import OURS, Contest, Libraries, Result, Work
from tools.profile.limits import multiply_adds

from . import lesson_steps as steps
from .matmul import product

TINY, SIZE, LARGE = 64, 1024, 4096
_LIMIT = "limit: multiply-adds alone"
_TILED = {
    "+ a tile of C in registers": steps.in_registers,
    "+ B packed": steps.packed,
    "+ blocks for the caches": steps.in_cache,
}


def contests(libraries: Libraries) -> Iterator[Contest]:
    """Square products of float32, one step after the other; plain Python on small ones, for 1024 would take minutes."""
    yield _contest("three loops in Python", steps.three_loops, libraries, TINY)
    yield _contest("the same, compiled", steps.three_loops_compiled, libraries, SIZE)
    yield _contest("+ along rows", steps.along_rows, libraries, SIZE)
    if not matmul.compiles():
        return  # the rest needs vectors that this CPU lacks
    for size in (SIZE, LARGE):
        for name, step in _TILED.items():
            yield _contest(name, step, libraries, size)
        for count in _thread_counts():
            yield _contest(f"the kernel, threads: {count}", _kernel, libraries, size, count)
    for count in _thread_counts():
        work, operations = multiply_adds(count)
        sides = {OURS: _on(count, work)}
        yield Contest(f"{_LIMIT}, threads: {count}", sides, 1e-9 * operations, "GFLOP", section=None)


def _contest(name: str, step: Callable, libraries: Libraries, size: int, count: int = 1) -> Contest:
    """One step against the libraries' own products."""
    a, b = np.random.default_rng(0).standard_normal((2, size, size), dtype=np.float32)
    c = np.empty_like(a)
    sides = {peer: product(peer, library, a, b) for peer, library in libraries.items()}
    sides[OURS] = _on(count, lambda: step(a, b, c))
    return Contest(f"{name}, n = {size}", sides, 2e-9 * size**3, "GFLOP", section=None)


def _kernel(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> None:
    matmul.matmul(a, b, out=c)


def _thread_counts() -> list[int]:
    return sorted({1, threads.get_num_threads()})


def _on(count: int, work: Work) -> Work:
    return on_threads(work, count, threads.get_num_threads, threads.set_num_threads)


def remarks(results: Sequence[Result]) -> list[str]:
    """How near each step comes to what one thread can do."""
    rates = {result.name: result.amount / result.median(OURS) for result in results}
    limit = next((rate for name, rate in rates.items() if name.startswith(_LIMIT)), None)
    if limit is None:
        return []
    steps_alone = {name: rate for name, rate in rates.items() if _LIMIT not in name}
    return [f"{name:40}{report.percent(rate / limit):>11} of the limit of one thread" for name, rate in steps_alone.items()]
