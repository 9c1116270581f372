"""The matrix product, from three loops to the speed of the machine.

``C[i, j] += A[i, k] * B[k, j]`` in three plain loops does less than a hundredth of what a core can do. Four steps, each of
which removes one obstacle, lead from there to most of it.

1. *Registers.* Every multiply-add of the plain loops loads three numbers and stores one. Instead, a tile of C, 12 rows by two
   vectors with AVX-512, stays in registers while ``k`` runs: one step loads 12 numbers of A and two vectors of B, and does
   24 vector multiply-adds, which take longer than the loads. That is ``tile`` in `microkernel.py`; the rest only feeds it.
2. *Packing.* ``tile`` loads whole vectors of B. ``pack`` in `gemm.py` copies B into panels for it: the two vectors of row
   ``k``, then those of row ``k + 1``, padded with zeros at the edge of the matrix. Whether B came transposed matters only here,
   so ``x @ w.T`` copies nothing else. A is read number by number, which any two strides allow. (A copy must pay: for a few rows
   of A, B is read where it lies, or changes places with A if it is transposed.)
3. *Caches.* A panel of B must stay in the first-level cache while the rows of A pass, and a block of A in the second level
   while the panels pass. So ``k`` advances in blocks of ``DEPTH_BLOCK``, and rows and columns in blocks of their own.
4. *Threads.* C is cut into a few rectangles per thread, or a batch into runs of matrices. A thread that is done with one takes
   the next; but for the number of that, threads share nothing, not even a packed panel, so none waits for another.

`tools/bench/groups/lesson_steps.py` takes these steps one at a time, in functions of a few lines, and ``python -m tools.bench
lesson`` measures them. GFLOP/s of float32 on one thread of an AMD EPYC (Zen 5, AVX-512), for matrices of n x n:

    ======================================================  ========  ========
    step                                                    n = 1024  n = 4096
    ======================================================  ========  ========
    three loops in Python (n = 64)                             0.009
    the same, compiled                                          0.50
    ``j`` innermost, so that the compiler uses vectors            55        12
    1. a tile of C in registers                                  233       131
    2. B packed                                                  268       218
    3. blocks for the caches                                     255       236
    this kernel                                                  259       233
    4. on two threads                                            500       420
    NumPy's BLAS                                                 126       127
    limit: multiply-adds that wait for nothing                   289       289
    ======================================================  ========  ========

On this CPU the second-level cache, of 1 MB, is so quick that blocks matter only for matrices far larger than it.

Each element of C is one chain of fused multiply-adds in ascending ``k``. It starts from zero, or from an element of ``start``:
a bias, a residual, or C itself to accumulate, which so cost no pass of their own. Neither blocks nor threads change the chain,
so any number of threads gives the same bits.

The method is that of Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication", ACM TOMS 34(3), 2008.

``choose`` alone decides between these kernels and NumPy's BLAS; the environment variable ``MINIGRAD_MATMUL`` (numba, blas or
auto), read at import, overrides it.
"""

import math
import os

import numba
import numpy as np

from minigrad.errors import UsageError
from minigrad.kernels.gemm import DTYPES, gemm
from minigrad.kernels.microkernel import vector_bytes
from minigrad.kernels.vector_product import add_product

SMALL = 4 * 64**3  # multiply-adds times bytes of an element, up to which NumPy is preferred
FEW_ROWS = 32  # those of a row of tiles, or two
LARGE = 2**15  # elements of a matrix whose copying shows
SHARED = 9216  # elements of a matrix, above which OpenBLAS shares its product with a vector among threads

_mode = "auto"
_at_once = SMALL  # what is no larger goes to NumPy before anything else is asked


def compiles() -> bool:
    """Whether this CPU is one that :func:`lend` can serve, and Numba compiles at all."""
    return not numba.config.DISABLE_JIT and vector_bytes() > 0  # type: ignore[attr-defined]


def _use(mode: str) -> None:
    """Sets who computes: ``numba``, ``blas`` or ``auto``."""
    global _mode, _at_once
    if mode not in ("numba", "blas", "auto"):
        raise UsageError(f"MINIGRAD_MATMUL must be numba, blas or auto: got {mode!r}; unset it for auto")
    if not compiles():
        mode = "blas"
    elif mode == "auto" and vector_bytes() < 32:
        mode = "blas"  # with vectors of 128 bits the BLAS already reaches the rate of the machine
    _mode, _at_once = mode, 0 if mode == "numba" else SMALL


_use(os.environ.get("MINIGRAD_MATMUL", "auto"))


def prefers_numpy() -> bool:
    """Whether products go to NumPy's BLAS, whatever their shape."""
    return _mode == "blas"


def choose(matrices: int, rows: int, depth: int, cols: int, itemsize: int = 4) -> bool:
    """Whether the kernels compute ``matrices`` products (rows, depth) @ (depth, cols), or NumPy's BLAS does.

    Measured on AVX-512 and AVX2: up to 64 x 64 x 64 multiply-adds of float32, and half as many of float64, the BLAS wins by its
    smaller overhead, and it stays on the calling thread, so its threads never compete with Numba's for the cores. A matrix
    times a vector is as fast as memory delivers the matrix, and packing would only add to that; a row times a matrix is not
    packed, but only among many is the BLAS slower (a single one is not asked about here, see `vector_product.py`).
    """
    work = matrices * rows * depth * cols
    if _mode != "auto" or work == 0:
        return _mode == "numba" and work > 0
    return work * itemsize > _at_once and cols > 1 and (rows > 1 or matrices > 1)


def matmul(a: np.ndarray, b: np.ndarray, out: np.ndarray | None = None, start: np.ndarray | None = None) -> np.ndarray:
    """The matrix product ``a @ b``, as ``np.matmul`` defines it for one, two and more dimensions, or ``start + a @ b``.

    float32 and float64 take the faster of the kernels here and NumPy's BLAS, every other dtype goes to ``np.matmul``.
    Transposed operands are read where they lie.

    Args:
        a: ``(..., rows, depth)`` or ``(depth,)``.
        b: ``(..., depth, cols)`` or ``(depth,)``; leading dimensions broadcast.
        out: receives the result, as in ``np.matmul``.
        start: added to the product; it broadcasts to the result. A bias ``(cols,)``, a residual, or ``out``, to accumulate.

    Raises:
        ValueError: the shapes do not fit each other, ``out`` or ``start``.
    """
    if out is None:  # what NumPy does best goes there before anything else is asked
        if a.ndim == 2 == b.ndim:
            if a.nbytes * b.shape[1] <= _at_once and (len(a) > 1 or b.size <= SHARED):
                product = a.dot(b)  # np.matmul would cost another 0.3 us
                if start is not None:
                    product += start
                return product
        elif start is None and _at_once:
            if a.ndim * b.ndim in (1, 2):  # a vector, and another or a matrix
                return a.dot(b)
            if a.ndim > 1 < b.ndim and a.nbytes * b.shape[-1] <= _at_once >= b.nbytes * a.shape[-2]:
                return np.matmul(a, b)
    dtype = a.dtype
    if dtype not in DTYPES or b.dtype != dtype or not a.ndim or not b.ndim:
        return _numpy(a, b, out, start)
    if a.ndim == 2 == b.ndim:
        left, right, lead, shape = a, b, (), (a.shape[0], b.shape[1])
    else:
        left, right, lead, shape = _matrices(a, b)
    rows, depth = left.shape[-2:]
    cols = right.shape[-1]
    one_row = rows == 1 and not lead and right.size > SHARED and depth == right.shape[0] and cols > 1 and _mode != "blas"
    if one_row and (out is None or _takes(out, shape, dtype, 2)):
        return _one_row(left, right, shape, out, start)
    if depth != right.shape[-2] or not choose(math.prod(lead), rows, depth, cols, dtype.itemsize):
        return _numpy(a, b, out, start)

    if out is None:
        out = np.empty(shape, dtype)
    elif not _takes(out, shape, dtype, len(lead) + 2) or np.may_share_memory(out, a) or np.may_share_memory(out, b):
        return _numpy(a, b, out, start)
    if rows <= FEW_ROWS and not lead and right.strides[0] == right.itemsize and right.size > LARGE:
        return _few_rows(left, right, out, start)
    if len(lead) > 2:
        outer, inner = math.prod(lead[:-1]), lead[-1]
        left = np.broadcast_to(left, (*lead, rows, depth)).reshape(outer, inner, rows, depth)
        right = np.broadcast_to(right, (*lead, depth, cols)).reshape(outer, inner, depth, cols)
        target = out.reshape(outer, inner, rows, cols)
    else:
        target = _four(out if out.ndim == len(lead) + 2 else out.reshape(*lead, rows, cols))
    if start is not None:
        start = target if start is out else _first(start, out, target)
    gemm(dtype)(_readable(left), _readable(right), start, target)
    return out


def _matrices(a, b):
    """Both operands as matrices or batches of them, the shape of the batch, and that of the result."""
    left = a if a.ndim > 1 else a[None]
    right = b if b.ndim > 1 else b[:, None]
    lead = left.shape[:-2]
    if lead != right.shape[:-2]:
        lead = np.broadcast_shapes(lead, right.shape[:-2])
    shape = lead + left.shape[-2 : -1 if a.ndim > 1 else -2] + (right.shape[-1:] if b.ndim > 1 else ())
    if lead and right.ndim == 2 and left.flags.c_contiguous:
        left, lead = left.reshape(-1, left.shape[-1]), ()  # a batch times one matrix is one taller product
    return left, right, lead, shape


def _one_row(left, right, shape, out, start):
    """The product of a row and a matrix, see `vector_product.py`."""
    product = np.zeros(shape, left.dtype)
    if start is not None:
        product += start
    add_product(np.ascontiguousarray(left[0]), right if right.flags.forc else np.ascontiguousarray(right), product.reshape(-1))
    if out is None:
        return product
    out[...] = product
    return out


def _few_rows(left, right, out, start):
    """The product as the transpose of ``right.T @ left.T``, for a few rows times a large transposed matrix.

    They would not repay the copy that puts its columns side by side. As rows of the other factor, those are read as they lie.
    """
    product = np.empty((right.shape[1], left.shape[0]), out.dtype)
    gemm(out.dtype)(_readable(right.T), _readable(left.T), None, _four(product))
    product = product.T.reshape(out.shape)
    if start is None:
        out[...] = product
    else:
        np.add(product, start, out=out)
    return out


def _numpy(a, b, out, start):
    if start is None:
        return np.matmul(a, b, out=out)
    product = np.matmul(a, b)
    return np.add(product, start, out=product if out is None and product.ndim else out)


def _first(start, out, target):
    """``start`` as the kernel reads it: of four dimensions, the last of them whole and its elements neighbours."""
    if start.dtype != out.dtype or np.may_share_memory(start, out):
        start = start.astype(out.dtype)  # which also copies: the kernel would overwrite what it has yet to read
    if start.ndim == 1 and start.shape == target.shape[-1:] and start.strides[0] == start.itemsize:
        return start[None, None, None]  # a bias: one row for all
    if start.shape == target.shape[2:] and start.strides[1] == start.itemsize:
        return start[None, None]
    return np.ascontiguousarray(np.broadcast_to(start, out.shape)).reshape(target.shape)


def _takes(out, shape, dtype, ndim) -> bool:
    """Whether the kernel can write here: contiguous arrays, and matrices or batches of ``ndim`` whose rows are contiguous."""
    rows_fit = out.flags.c_contiguous or (out.ndim == ndim <= 4 and out.strides[-1] == out.itemsize)
    return out.shape == shape and out.dtype == dtype and rows_fit and out.flags.writeable


def _readable(x):
    """``x`` in four dimensions; a copy only where neither rows nor columns hold neighbours in memory."""
    if x.itemsize in x.strides[-2:] or 1 in x.shape[-2:]:
        return _four(x)
    return _four(np.ascontiguousarray(x))


def _four(x):
    return x[None, None] if x.ndim == 2 else x if x.ndim == 4 else x[None]
