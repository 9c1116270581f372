"""The matrix product, from three loops to the speed of the machine.

``C[i, j] += A[i, k] * B[k, j]`` in three plain loops reaches about one hundredth of what a core can do. Four steps, each of
which removes one obstacle, lead from there to nearly all of it:

1. *Registers.* Every multiply-add of the plain loop loads three numbers and stores one. A tile of C, here 12 rows by two
   vectors, stays in registers while ``k`` runs: one step loads 12 numbers of A and two vectors of B, and does 24 vector
   multiply-adds, more than the loads cost. That is ``tile`` in `microkernel.py`; all the rest only feeds it.
2. *Packing.* ``tile`` wants B as a panel: the two vectors of row k, then those of row k + 1, and so on. ``_pack`` copies B into
   that order, and A into panels of 12 rows likewise where that pays. Whether an operand came transposed matters only
   there, so ``x.T @ g`` and ``x @ w.T`` need no copy of their own.
3. *Caches.* A panel of B must stay in the first-level cache while all the rows of A pass, and a block of A in the second level
   while all the panels pass. So ``k`` goes in steps of ``DEPTH_BLOCK`` and the rows in steps of ``ROW_BLOCK``.
4. *Threads.* C is cut into one rectangle per thread. They share nothing, not even a packed panel, and so never wait.

The sum in an element of C runs over ``k`` in ascending order as one chain of fused multiply-adds. Neither blocks nor threads
change it: the result has the same bits for any number of threads.

The method is that of Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication", ACM TOMS 34(3), 2008.

One function, ``choose``, decides between these kernels and NumPy's BLAS. ``MINIGRAD_MATMUL`` (numba, blas, auto) overrides it.
"""

import functools
import math

import numba
import numpy as np
from numba import carray, cfunc, njit, prange, types

from minigrad.errors import UsageError
from minigrad.kernels import threads  # noqa: F401  # reads MINIGRAD_NUM_THREADS
from minigrad.kernels.microkernel import address, call, copy_lanes, sizes, tile, tile_shape, transpose_lanes, vector_bytes

DEPTH_BLOCK = 256
ROW_BLOCK = 384
COLUMN_BLOCK = 512
_SLACK = 1024  # elements behind the last panel that whole vectors may overwrite
_SCRATCH = (COLUMN_BLOCK + ROW_BLOCK) * DEPTH_BLOCK + 2 * _SLACK  # elements per thread

# What one product needs to know, as the kernel reads it. Steps are in bytes, from one index to the next.
_JOB = np.dtype(
    [
        (name, np.int64)
        for name in (
            "a a_outer a_inner a_row a_col b b_outer b_inner b_row b_col c c_outer c_inner c_row "
            "outer inner rows cols depth add pack_a row_parts col_parts scratch scratch_step"
        ).split()
    ]
)
_job_type = numba.from_dtype(_JOB)
_PARALLEL = 64**3
_PACKING = 0.5
_OPTIONS = {"cache": True, "error_model": "numpy"}


@njit(**_OPTIONS)
def _pack(like, source, step, k_step, count, depth, target, width):
    """Copies ``count`` rows of A, or columns of B, into panels of ``width``: all of them for one k, then for the next k.

    One of the two steps is that of neighbours in memory. Stores are whole vectors and may run over the end of a row of the
    panel, into lanes that a later store fills: hence vectors from last to first, and room to spare behind the last panel.
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
                    here = source + (start + v) * step + k * item
                    transpose_lanes(like, here, step, some - v, depth - k, panel + (k * width + v) * item, width * item)


@njit(**_OPTIONS)
def _rectangle(like, job, a, b, c, rows, cols, b_panels, a_panels):
    """``c (+)= a @ b`` for ``rows`` x ``cols`` elements of C, in blocks that the caches hold."""
    item, tile_rows, tile_cols, _ = sizes(like)
    for k in range(0, job.depth, DEPTH_BLOCK):
        depth = min(DEPTH_BLOCK, job.depth - k)
        add = job.add != 0 or k > 0
        for left in range(0, cols, COLUMN_BLOCK):
            width = min(COLUMN_BLOCK, cols - left)
            _pack(like, b + k * job.b_row + left * job.b_col, job.b_col, job.b_row, width, depth, b_panels, tile_cols)
            for top in range(0, rows, ROW_BLOCK):
                height = min(ROW_BLOCK, rows - top)
                block, row_step, k_step = a + top * job.a_row + k * job.a_col, job.a_row, job.a_col
                panel_step = tile_rows * row_step
                if job.pack_a:
                    _pack(like, block, row_step, k_step, height, depth, a_panels, tile_rows)
                    block, row_step, k_step, panel_step = a_panels, item, tile_rows * item, tile_rows * depth * item
                for j in range(0, width, tile_cols):
                    panel = b_panels + j * depth * item
                    corner = c + top * job.c_row + (left + j) * item
                    for i in range(0, height, tile_rows):
                        tile(
                            like,
                            block + i // tile_rows * panel_step,
                            row_step,
                            k_step,
                            panel,
                            tile_cols * item,
                            corner + i * job.c_row,
                            job.c_row,
                            depth,
                            min(tile_rows, height - i),
                            min(tile_cols, width - j),
                            add,
                        )


@njit(**_OPTIONS)
def _part(like, part, parts, job):
    """The share of one thread: some of the rectangles of some of the matrices of a batch."""
    item, tile_rows, tile_cols, _ = sizes(like)
    row_tiles = -(-job.rows // tile_rows)
    col_tiles = -(-job.cols // tile_cols)
    pieces = job.outer * job.inner * job.row_parts * job.col_parts
    b_panels = job.scratch + part * job.scratch_step
    a_panels = b_panels + (COLUMN_BLOCK * DEPTH_BLOCK + _SLACK) * item
    for piece in range(pieces * part // parts, pieces * (part + 1) // parts):
        matrix, piece = divmod(piece, job.row_parts * job.col_parts)
        outer, inner = divmod(matrix, job.inner)
        row_part, col_part = divmod(piece, job.col_parts)
        top = row_tiles * row_part // job.row_parts * tile_rows
        left = col_tiles * col_part // job.col_parts * tile_cols
        bottom = min(job.rows, row_tiles * (row_part + 1) // job.row_parts * tile_rows)
        right = min(job.cols, col_tiles * (col_part + 1) // job.col_parts * tile_cols)
        a = job.a + outer * job.a_outer + inner * job.a_inner + top * job.a_row
        b = job.b + outer * job.b_outer + inner * job.b_inner + left * job.b_col
        c = job.c + outer * job.c_outer + inner * job.c_inner + top * job.c_row + left * item
        _rectangle(like, job, a, b, c, bottom - top, right - left, b_panels, a_panels)


def _part_float32(part, parts, job):
    _part(np.float32(0), part, parts, carray(job, 1)[0])


def _part_float64(part, parts, job):
    _part(np.float64(0), part, parts, carray(job, 1)[0])


def _launch(function, job, parts):
    """Runs ``parts`` calls of a function, on as many threads."""
    if parts == 1:
        call(function, 0, 1, job)
    else:
        for part in prange(parts):
            call(function, part, parts, job)


def _describe(jobs, a, b, c, add, scratch, tile_shape, threads):
    """Writes the job of ``c (+)= a @ b`` on arrays (outer, inner, rows, cols), and returns how many threads it deserves.

    A batch dimension of size 1 is broadcast: its step is 0.
    """
    job = jobs[0]
    item, tile_rows, tile_cols = a.itemsize, tile_shape[0], tile_shape[1]
    job.a, job.b, job.c, job.scratch = address(a), address(b), address(c), address(scratch)
    job.scratch_step = scratch.strides[0]
    job.a_outer, job.a_inner, job.a_row, job.a_col = a.strides
    job.b_outer, job.b_inner, job.b_row, job.b_col = b.strides
    job.c_outer, job.c_inner, job.c_row, _ = c.strides
    job.outer, job.inner, job.rows, job.cols = c.shape
    job.depth = a.shape[3]
    if a.shape[0] == 1:
        job.a_outer = 0
    if a.shape[1] == 1:
        job.a_inner = 0
    if b.shape[0] == 1:
        job.b_outer = 0
    if b.shape[1] == 1:
        job.b_inner = 0
    if job.rows == 1:
        job.a_row = item
    if job.cols == 1:
        job.b_col = item
    job.add = add
    matrices = job.outer * job.inner
    if matrices * job.rows * job.cols * job.depth < _PARALLEL:
        threads = 1
    job.row_parts = job.col_parts = 1
    if matrices < 4 * threads:
        row_tiles, col_tiles = -(-job.rows // tile_rows), -(-job.cols // tile_cols)
        least = np.inf
        for row_parts in range(1, threads + 1):
            if threads % row_parts == 0:
                rows, cols = -(-row_tiles // row_parts) * tile_rows, -(-col_tiles // (threads // row_parts)) * tile_cols
                cost = rows * cols / 32 + _PACKING * (rows + cols)
                if cost < least:
                    least, job.row_parts, job.col_parts = cost, row_parts, threads // row_parts
    job.pack_a = job.cols >= 16 * tile_cols and job.a_row % 4096 == 0
    return threads


_PRANGE_ONLY = dict.fromkeys(("comprehension", "reduction", "inplace_binop", "setitem", "numpy", "stencil", "fusion"), False)


class _Kernel:
    """The compiled product of one dtype, with its scratch memory."""

    def __init__(self, dtype, part):
        kind = numba.from_dtype(dtype)
        source, target = types.Array(kind, 4, "A", readonly=True), types.Array(kind, 4, "A")
        scratch = types.Array(kind, 2, "C")
        integer = types.intp
        signature = types.intp(types.Array(_job_type, 1, "C"), source, source, target, types.boolean, scratch, types.UniTuple(integer, 2), integer)
        self.describe = njit([signature], **_OPTIONS)(_describe)
        self.part = cfunc(types.void(integer, integer, types.CPointer(_job_type)), **_OPTIONS)(part).address
        self.launch = _compiled_launch()
        self.scratch = _aligned(numba.config.NUMBA_NUM_THREADS, _SCRATCH, dtype)
        self.job = np.zeros(1, _JOB)
        self.tile_shape = tile_shape(dtype.itemsize)[:2]
        self.job_address = self.job.ctypes.data

    def __call__(self, a, b, c, add):
        """``c (+)= a @ b`` for arrays of four dimensions."""
        parts = self.describe(self.job, a, b, c, add, self.scratch, self.tile_shape, numba.get_num_threads())
        self.launch(self.part, self.job_address, parts)


@functools.cache
def _compiled_launch():
    return njit([types.void(types.intp, types.intp, types.intp)], parallel=_PRANGE_ONLY, **_OPTIONS)(_launch)


@functools.cache
def _kernel(dtype):
    return _Kernel(dtype, _part_float32 if dtype == np.float32 else _part_float64)


def _aligned(rows, cols, dtype):
    """An uninitialised matrix whose rows start at cache lines; ``cols`` must be a multiple of 16."""
    raw = np.empty(rows * cols * dtype.itemsize + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + rows * cols * dtype.itemsize].view(dtype).reshape(rows, cols)


def choose(matrices, rows, depth, cols):
    return True


def _blas(a, b, out, accumulate):
    if not accumulate:
        return np.matmul(a, b, out=out)
    out += np.matmul(a, b)
    return out


def matmul(a, b, out=None, accumulate=False):
    """``np.matmul`` of two arrays."""
    if out is None and a.ndim == 2 == b.ndim and a.size * b.shape[1] <= _small:
        return a.dot(b)
    if accumulate and out is None:
        raise UsageError("accumulate=True adds into an array: pass out=")
    dtype = a.dtype
    if dtype not in _FLOATS or b.dtype != dtype or not a.ndim or not b.ndim:
        return _blas(a, b, out, accumulate)
    left, right = a, b
    if a.ndim == 1:
        left = a[None]
    if b.ndim == 1:
        right = b[:, None]
    rows, depth = left.shape[-2:]
    cols = right.shape[-1]
    if right.shape[-2] != depth:
        return np.matmul(a, b)  # which raises
    if left.ndim == 2 == right.ndim:
        lead = ()
    elif left.shape[:-2] == right.shape[:-2]:
        lead = left.shape[:-2]
    else:
        lead = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    matrices = math.prod(lead)
    if not (matrices and rows and cols and depth and choose(matrices, rows, depth, cols)):
        return _blas(a, b, out, accumulate)
    if len(lead) > 2:
        left = np.broadcast_to(left, lead + left.shape[-2:]).reshape(-1, *lead[-1:], rows, depth)
        right = np.broadcast_to(right, lead + right.shape[-2:]).reshape(-1, *lead[-1:], depth, cols)
    full = (*lead, rows, cols)
    shape = full[: len(lead)] + full[len(lead) :][(a.ndim == 1) : 2 - (b.ndim == 1)]
    target = None
    if out is None:
        out = target = np.empty(shape, dtype)
    elif out.shape != shape or out.dtype != dtype:
        return _blas(a, b, out, accumulate)
    elif out.flags.c_contiguous and not np.may_share_memory(out, a) and not np.may_share_memory(out, b):
        target = out
    else:
        return _blas(a, b, out, accumulate)
    _kernel(dtype)(_matrices(_readable(left)), _matrices(_readable(right)), _matrices(target.reshape(*lead[:-2], -1, *lead[-1:], rows, cols) if len(lead) > 2 else target.reshape(full)), accumulate)
    return out


def _readable(x):
    item = x.itemsize
    if item in x.strides[-2:] or 1 in x.shape[-2:]:
        return x
    return np.ascontiguousarray(x)


def _matrices(x):
    """A view of four dimensions."""
    return x if x.ndim == 4 else x[None] if x.ndim == 3 else x[None, None]

_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
_small = 64**3
