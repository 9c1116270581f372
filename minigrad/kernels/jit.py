"""How the row-wise kernels are compiled, and when they are shared among threads.

A kernel is a *core*, a plain loop over a range of rows, and a thin *driver*, a ``prange`` over such ranges. Small inputs call
the core at once: entering a parallel region costs some microseconds, and compiling the driver three times what the core does.

Numba's cache on disk notices when the file that defines a kernel changes, but not when one does from which it took functions:
``forget_stale_kernels`` does.
"""

import functools
from pathlib import Path

import numba
import numpy as np

from minigrad.kernels.threads import get_num_threads

SAFE_MATH = {"contract", "reassoc", "nsz"}
"""Lets LLVM sum in vector lanes and fuse multiply-adds; unlike ``fastmath=True``, NaN and infinity keep their meaning."""

PRANGE_ONLY = {
    "prange": True,
    "comprehension": False,
    "fusion": False,
    "inplace_binop": False,
    "numpy": False,
    "reduction": False,
    "setitem": False,
    "stencil": False,
}
"""``parallel=`` without the passes that look for implicit parallelism: they find nothing here and double compilation."""

core = numba.njit(cache=True, error_model="numpy", fastmath=False)
"""Decorator of a serial loop over a range of rows or elements, whose arithmetic keeps its order.

``fastmath=False`` is said aloud: without it, a function called from a summing core takes over the flags of its caller.
"""

summing_core = numba.njit(cache=True, error_model="numpy", fastmath=SAFE_MATH)
"""Decorator of a core that sums along its inner loop, which vector lanes can share only if the sum may be reordered."""

driver = numba.njit(cache=True, error_model="numpy", parallel=PRANGE_ONLY)  # pyright: ignore[reportArgumentType]
"""Decorator of a ``prange`` over calls of a core."""

if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
    core = summing_core = driver = np.errstate(all="ignore")  # kernels read as plain Python are as silent as compiled ones


#: The files of this folder from which others take what they compile.
SHARED = (
    "attention_task",
    "bias",
    "decimal",
    "dropout",
    "few_rows",
    "gemm",
    "jit",
    "matmul",
    "microkernel",
    "panels",
    "recurrent_cells",
    "recurrent_walk",
    "scores",
    "softmax",
    "threads",
    "vector_product",
    "vectormath",
    "word2vec_lanes",
    "word2vec_rows",
)


def forget_stale_kernels(folder: Path) -> None:
    """Remove the compiled kernels in the cache of ``folder`` that are older than the newest shared file of this one."""
    try:
        newest = max(Path(__file__).with_name(f"{name}.py").stat().st_mtime for name in SHARED)
        for index in (folder / "__pycache__").glob("*.nbi"):  # without its index, Numba compiles a kernel anew
            if index.stat().st_mtime < newest:
                index.unlink()
    except OSError:  # nothing cached here, or nothing that we may remove
        return


forget_stale_kernels(Path(__file__).parent)


def chunk_count(work: int, per_chunk: int) -> int:
    """Return into how many ranges to split ``work`` elements: one while that is below ``per_chunk``, else one a thread."""
    return 1 if work < per_chunk else min(get_num_threads(), work // per_chunk + 1)


@functools.lru_cache(maxsize=64)
def constant(n: int, value: float, dtype) -> np.ndarray:
    """``n`` times one value, for kernels to read where an optional operand is left out. Made once: never write to it."""
    return np.full(n, value, dtype)
