"""The matrix product, from three loops to the speed of the machine.

``C[i, j] += A[i, k] * B[k, j]`` in three plain loops does about one hundredth of what a core can do. Four steps, each of which
removes one obstacle, lead from there to nearly all of it.

1. *Registers.* Every multiply-add of the plain loops loads three numbers and stores one. Instead, a tile of C, 12 rows by two
   vectors with AVX-512, stays in registers while ``k`` runs: one step loads 12 numbers of A and two vectors of B, and does
   24 vector multiply-adds, which take longer than the loads. That is ``tile`` in `microkernel.py`; the rest only feeds it.
2. *Packing.* ``tile`` loads whole vectors of B. ``_pack`` copies B into panels for it: the two vectors of row ``k``, then those
   of row ``k + 1``, padded with zeros at the edge of the matrix. Whether B came transposed matters only here, so ``x @ w.T``
   copies nothing else. A is read number by number, which any two strides allow.
3. *Caches.* A panel of B must stay in the first-level cache while the rows of A pass, and a block of A in the second level
   while the panels pass. So ``k`` advances in blocks of ``DEPTH_BLOCK``, and rows and columns in blocks of their own.
4. *Threads.* C is cut into one rectangle per thread, or a batch into runs of matrices. Threads share nothing, not even a
   packed panel, so none waits for another.

Each element of C is one chain of fused multiply-adds in ascending ``k``. It starts from zero, or from an element of ``start``:
a bias, a residual, or C itself to accumulate, which so cost no pass of their own. Neither blocks nor threads change the chain,
so any number of threads gives the same bits.

The method is that of Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication", ACM TOMS 34(3), 2008.

``choose`` alone decides between these kernels and NumPy's BLAS; the environment variable ``MINIGRAD_MATMUL`` (numba, blas or
auto), read at import, overrides it.
"""

import functools
import math
import os
import threading

import numba
import numpy as np
from numba import carray, cfunc, njit, prange, types  # pyright: ignore[reportPrivateImportUsage]

from minigrad.errors import UsageError
from minigrad.kernels.jit import PRANGE_ONLY, core
from minigrad.kernels.microkernel import (
    address,
    call,
    copy_lanes,
    pointer,
    sizes,
    tile,
    tile_shape,
    transpose_lanes,
    vector_bytes,
)
from minigrad.kernels.threads import get_num_threads

DEPTH_BLOCK = 256  # a panel of B, 32 KB of float32 with AVX-512, in the first-level cache
ROW_BLOCK = 384  # with DEPTH_BLOCK, 384 KB of A in the second-level cache
COLUMN_BLOCK = 512
SINGLE_THREAD = 64**3  # multiply-adds below which a second thread costs more than it brings, here and in OpenBLAS alike

_SLACK = 1024  # elements behind the last panel, which the last whole vectors may overwrite
_SCRATCH = (COLUMN_BLOCK + ROW_BLOCK) * DEPTH_BLOCK + 2 * _SLACK  # elements for the panels of one thread

_mode = "auto"
_at_once = SINGLE_THREAD  # plain products of so few multiply-adds go to NumPy before anything else is asked


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
    _mode, _at_once = mode, -1 if mode == "numba" else SINGLE_THREAD


_use(os.environ.get("MINIGRAD_MATMUL", "auto"))


def prefers_numpy() -> bool:
    """Whether products go to NumPy's BLAS, whatever their shape."""
    return _mode == "blas"


def choose(matrices: int, rows: int, depth: int, cols: int) -> bool:
    """Whether the kernels of this file compute ``matrices`` products (rows, depth) @ (depth, cols), or NumPy's BLAS does.

    Measured on AVX-512 and AVX2: up to ``SINGLE_THREAD`` multiply-adds the BLAS wins by its smaller overhead, and it stays on
    the calling thread, so its threads never compete with Numba's for the cores. A single vector times a matrix is as
    fast as memory delivers the matrix, and packing would only add to that.
    """
    work = matrices * rows * depth * cols
    if _mode != "auto" or work == 0:
        return _mode == "numba" and work > 0
    return work > SINGLE_THREAD and (matrices > 1 or min(rows, cols) > 1)


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
    if out is None and start is None and a.ndim == 2 == b.ndim and a.size * b.shape[1] <= _at_once:
        return a.dot(b)  # np.matmul would cost another 0.3 us
    dtype = a.dtype
    if dtype not in _PARTS or b.dtype != dtype or not a.ndim or not b.ndim:
        return _numpy(a, b, out, start)

    left = a if a.ndim > 1 else a[None]
    right = b if b.ndim > 1 else b[:, None]
    lead = left.shape[:-2]
    if lead != right.shape[:-2]:
        lead = np.broadcast_shapes(lead, right.shape[:-2])
    shape = lead + left.shape[-2 : -1 if a.ndim > 1 else -2] + (right.shape[-1:] if b.ndim > 1 else ())
    if lead and right.ndim == 2 and left.flags.c_contiguous:
        left, lead = left.reshape(-1, left.shape[-1]), ()  # a batch times one matrix is one taller product
    rows, depth = left.shape[-2:]
    cols = right.shape[-1]
    if depth != right.shape[-2] or not choose(math.prod(lead), rows, depth, cols):
        return _numpy(a, b, out, start)

    if out is None:
        out = np.empty(shape, dtype)
    elif not _takes(out, shape, dtype, len(lead) + 2) or np.may_share_memory(out, a) or np.may_share_memory(out, b):
        return _numpy(a, b, out, start)
    outer, inner = math.prod(lead[:-1]), math.prod(lead[-1:])
    if len(lead) > 2:
        left = np.broadcast_to(left, (*lead, rows, depth)).reshape(outer, inner, rows, depth)
        right = np.broadcast_to(right, (*lead, depth, cols)).reshape(outer, inner, depth, cols)
    target = out.reshape(outer, inner, rows, cols) if out.flags.c_contiguous else _four(out)
    first = None
    if start is not None:
        first = target if start is out else _first(start, out, target)
    _kernel(dtype)(_readable(left), _readable(right), first, target)
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
    return _four(x if x.itemsize in x.strides[-2:] or 1 in x.shape[-2:] else np.ascontiguousarray(x))


def _four(x):
    return x if x.ndim == 4 else x[None] if x.ndim == 3 else x[None, None]


# What the compiled functions need to know of a product. Steps are in bytes, from one index to the next; a batch has two
# dimensions, outer and inner.
_JOB = np.dtype(
    [
        (name, np.int64)
        for name in (  # noqa: SIM905  # a list of 28 literals reads worse
            "a a_outer a_inner a_row a_col b b_outer b_inner b_row b_col start start_outer start_inner start_row "
            "c c_outer c_inner c_row outer inner rows cols depth pack_a row_parts col_parts scratch scratch_step"
        ).split()
    ]
)
_job_type = numba.from_dtype(_JOB)
_OPTIONS = {"cache": True, "error_model": "numpy"}  # and never nogil: the GIL keeps other Python threads out of the pool


@core
def _pack(like, source, step, k_step, count, depth, target, width):
    """Copies ``count`` columns of B, or rows of A, into panels ``width`` wide: those of one ``k``, then those of the next.

    ``step`` leads from one column to the next; it or ``k_step`` is that of neighbours. Stores are whole vectors, and what one
    writes beyond its columns a later one overwrites: hence the order from the last vector to the first.
    """
    item, _, _, lanes = sizes(like)
    for start in range(0, count, width):
        some = min(width, count - start)
        panel = target + start * depth * item
        last = (some - 1) // lanes * lanes
        if step == item:
            for k in range(depth):
                for v in range(last, -1, -lanes):
                    copy_lanes(like, source + (start + v) * item + k * k_step, some - v, panel + (k * width + v) * item)
        else:
            for k in range(0, depth, lanes):
                for v in range(last, -1, -lanes):
                    block = source + (start + v) * step + k * item
                    transpose_lanes(like, block, step, some - v, depth - k, panel + (k * width + v) * item, width * item)


@core
def _rectangle(like, job, a, b, start, c, rows, cols, b_panels, a_panels):
    """One rectangle of C, ``c = start + a @ b``, block by block."""
    item, tile_rows, tile_cols, _ = sizes(like)
    start_row = job.start_row
    for k in range(0, job.depth, DEPTH_BLOCK):
        depth = min(DEPTH_BLOCK, job.depth - k)
        if k:
            start, start_row = c, job.c_row
        for left in range(0, cols, COLUMN_BLOCK):
            width = min(COLUMN_BLOCK, cols - left)
            _pack(like, b + k * job.b_row + left * job.b_col, job.b_col, job.b_row, width, depth, b_panels, tile_cols)
            for top in range(0, rows, ROW_BLOCK):
                height = min(ROW_BLOCK, rows - top)
                block, row_step, k_step = a + top * job.a_row + k * job.a_col, job.a_row, job.a_col
                tile_step = tile_rows * row_step
                if job.pack_a:
                    _pack(like, block, row_step, k_step, height, depth, a_panels, tile_rows)
                    block, row_step, k_step, tile_step = a_panels, item, tile_rows * item, tile_rows * depth * item
                for j in range(0, width, tile_cols):
                    panel = b_panels + j * depth * item
                    some = min(tile_cols, width - j)
                    for i in range(0, height, tile_rows):
                        here, panel_step = block + i // tile_rows * tile_step, tile_cols * item
                        there = c + (top + i) * job.c_row + (left + j) * item
                        first = start + (top + i) * start_row + (left + j) * item if start else 0
                        many = min(tile_rows, height - i)
                        tile(
                            like,
                            here,
                            row_step,
                            k_step,
                            panel,
                            panel_step,
                            first,
                            start_row,
                            there,
                            job.c_row,
                            depth,
                            many,
                            some,
                        )


@core
def _part(like, part, parts, job):
    """The share of one thread: some of the rectangles of some of the matrices."""
    item, tile_rows, tile_cols, _ = sizes(like)
    row_tiles = -(-job.rows // tile_rows)
    col_tiles = -(-job.cols // tile_cols)
    rectangles = job.row_parts * job.col_parts
    total = job.outer * job.inner * rectangles
    b_panels = job.scratch + part * job.scratch_step
    a_panels = b_panels + (COLUMN_BLOCK * DEPTH_BLOCK + _SLACK) * item
    for number in range(total * part // parts, total * (part + 1) // parts):
        matrix, rectangle = divmod(number, rectangles)
        outer, inner = divmod(matrix, job.inner)
        row_part, col_part = divmod(rectangle, job.col_parts)
        top = row_tiles * row_part // job.row_parts * tile_rows
        left = col_tiles * col_part // job.col_parts * tile_cols
        bottom = min(job.rows, row_tiles * (row_part + 1) // job.row_parts * tile_rows)
        right = min(job.cols, col_tiles * (col_part + 1) // job.col_parts * tile_cols)
        a = job.a + outer * job.a_outer + inner * job.a_inner + top * job.a_row
        b = job.b + outer * job.b_outer + inner * job.b_inner + left * job.b_col
        c = job.c + outer * job.c_outer + inner * job.c_inner + top * job.c_row + left * item
        start = 0
        if job.start:
            start = job.start + outer * job.start_outer + inner * job.start_inner + top * job.start_row + left * item
        _rectangle(like, job, a, b, start, c, bottom - top, right - left, b_panels, a_panels)


def _part_float32(part, parts, job):
    _part(np.float32(0), part, parts, carray(job, 1)[0])


def _part_float64(part, parts, job):
    _part(np.float64(0), part, parts, carray(job, 1)[0])


_PARTS = {np.dtype(np.float32): _part_float32, np.dtype(np.float64): _part_float64}


def _describe(jobs, a, b, start, started, c, scratch, tile_rows, tile_cols, threads):
    """Writes the job of ``c = start + a @ b``, arrays (outer, inner, rows, cols), and returns how many threads it deserves.

    Dimensions of size 1 broadcast. ``start`` is read only where ``started`` says so.
    """
    job = jobs[0]
    job.a, job.b, job.c, job.scratch = address(a), address(b), address(c), address(scratch)
    job.a_outer, job.a_inner, job.a_row, job.a_col = a.strides
    job.b_outer, job.b_inner, job.b_row, job.b_col = b.strides
    job.c_outer, job.c_inner, job.c_row, _ = c.strides
    job.outer, job.inner, job.rows, job.cols = c.shape
    job.depth = a.shape[3]
    job.start = address(start) if started else 0
    job.start_outer, job.start_inner, job.start_row, _ = start.strides
    job.scratch_step = scratch.strides[0]
    if a.shape[0] == 1:
        job.a_outer = 0
    if a.shape[1] == 1:
        job.a_inner = 0
    if b.shape[0] == 1:
        job.b_outer = 0
    if b.shape[1] == 1:
        job.b_inner = 0
    if start.shape[0] == 1:
        job.start_outer = 0
    if start.shape[1] == 1:
        job.start_inner = 0
    if start.shape[2] == 1:
        job.start_row = 0
    if job.rows == 1:  # the step to a second row, which may be anything, tells _pack which step is that of neighbours
        job.a_row = a.itemsize
    if job.cols == 1:
        job.b_col = b.itemsize

    # Rows a multiple of 4096 bytes apart share one set of the first-level cache, which on some CPUs has 8 places for the 12
    # rows of a tile. With this many columns a packed copy, free of the conflict, costs a few percent at most.
    job.pack_a = job.a_row % 4096 == 0 and job.cols >= 16 * tile_cols

    matrices = job.outer * job.inner
    parts = 1 if matrices * job.rows * job.cols * job.depth <= SINGLE_THREAD else threads
    job.row_parts = job.col_parts = 1
    if matrices < 4 * parts:
        # Every matrix is cut into one rectangle per thread; the squarest ones need the least reading and packing.
        row_tiles, col_tiles = -(-job.rows // tile_rows), -(-job.cols // tile_cols)
        least = np.inf
        for row_parts in range(1, parts + 1):
            if parts % row_parts == 0:
                rows, cols = -(-row_tiles // row_parts) * tile_rows, -(-col_tiles // (parts // row_parts)) * tile_cols
                cost = rows * cols + 16 * (rows + cols)
                if cost < least:
                    least, job.row_parts, job.col_parts = cost, row_parts, parts // row_parts
    return parts


def _launch(function, job, parts):
    """Calls a compiled function for each part of a job, each on its own thread."""
    if parts == 1:
        call(function, 0, 1, job)
    else:
        for part in prange(parts):
            call(function, part, parts, job)


class _Kernel:
    """The compiled product of one dtype, with its memory for panels."""

    def __init__(self, dtype):
        element, integer = numba.from_dtype(dtype), types.intp
        source = types.Array(element, 4, "A", readonly=True, aligned=False)  # which every layout converts to
        target = types.Array(element, 4, "A", aligned=False)
        jobs, scratch = types.Array(_job_type, 1, "C"), types.Array(element, 2, "C")
        signature = integer(jobs, source, source, source, types.boolean, target, scratch, integer, integer, integer)
        self._describe = njit(signature, **_OPTIONS)(_describe)
        self._part = cfunc(types.void(integer, integer, types.CPointer(_job_type)), **_OPTIONS)(_PARTS[dtype])
        self._launch = compiled_launch()
        self._tile = tile_shape(dtype.itemsize)[:2]
        self._scratch = _lines(numba.config.NUMBA_NUM_THREADS, _SCRATCH, dtype)  # type: ignore[attr-defined]
        self._job = np.zeros(1, _JOB)
        self._job_address = self._job.ctypes.data
        self._lock = threading.Lock()  # one job and one set of panels
        jobs = np.zeros(len(self._scratch), _JOB)  # of products on one thread each
        for name in ("outer", "inner", "row_parts", "col_parts"):
            jobs[name] = 1
        jobs["scratch"] = self._scratch.ctypes.data + np.arange(len(jobs)) * self._scratch.strides[0]
        self.lent = self._lock, self._part.address, jobs

    def __call__(self, a, b, start, c):
        """``c = start + a @ b`` for arrays (outer, inner, rows, cols), of which those of size 1 broadcast; ``start`` may be None."""
        first = c if start is None else start
        with self._lock:
            parts = self._describe(self._job, a, b, first, start is not None, c, self._scratch, *self._tile, get_num_threads())
            self._launch(self._part.address, self._job_address, parts)


@core
def product(function, job, a, b, c, rows, depth, cols, accumulate):
    """For kernels that work block by block: ``c (+)= a @ b``, on the thread that calls it.

    ``a``, ``b`` and ``c`` are tuples (address, step to the next row, step to the next column) in bytes, with neighbours along
    the rows of ``c``, and along the rows or the columns of ``b``. ``function`` and ``job`` are what :func:`lend` returned, the
    latter for one thread.
    """
    fields = carray(pointer(job), 1, _JOB)[0]
    fields.a, fields.a_row, fields.a_col = a
    fields.b, fields.b_row, fields.b_col = b
    fields.c, fields.c_row, _ = c
    fields.rows, fields.depth, fields.cols = rows, depth, cols
    fields.start, fields.start_row = fields.c if accumulate else 0, fields.c_row
    call(function, 0, 1, job)


def lend(dtype):
    """``(lock, function, jobs)`` for kernels that call :func:`product`: they hold the lock, and give each thread a job."""
    return _kernel(dtype).lent


@functools.cache
def _kernel(dtype):
    return _Kernel(dtype)


@functools.cache
def compiled_launch():
    """Calls the compiled function at an address for each part of a job, given by its address, each on its own thread."""
    return njit(types.void(*[types.intp] * 3), parallel=PRANGE_ONLY, **_OPTIONS)(_launch)  # pyright: ignore


def _lines(rows, cols, dtype):
    """An uninitialised matrix whose rows start on cache lines, of 64 bytes."""
    size = rows * cols * dtype.itemsize
    raw = np.empty(size + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size].view(dtype).reshape(rows, cols)
