"""The compiled part of the matrix product: its blocks, its panels and its threads. `matmul.py` explains them, and calls them.

Kernels that need products of blocks of their own use :func:`lend` and :func:`product`, or the innermost steps themselves:
``pack`` here, ``tile`` in `microkernel.py`.

The name is that of the BLAS: GEneral Matrix Multiply.
"""

import functools
import threading

import numba
import numpy as np
from numba import carray, cfunc, njit, prange, types  # pyright: ignore[reportPrivateImportUsage]

from minigrad.kernels.jit import PRANGE_ONLY, core
from minigrad.kernels.microkernel import (
    address,
    call,
    copy_lanes,
    fetch_add,
    first_cache_ways,
    pointer,
    prefetch,
    sizes,
    tile,
    transpose_lanes,
    vector_bytes,
)
from minigrad.kernels.threads import get_num_threads

# A panel of B, 32 KB of float32, stays in the first-level cache, and DEPTH_BLOCK x ROW_BLOCK of A in the second: 384 KB of it,
# or 192 KB, as CPUs with vectors of 256 bits often have 512 KB there or less. Measured on Zen 5 and Zen 3.
DEPTH_BLOCK, ROW_BLOCK, COLUMN_BLOCK = (256, 384, 512) if vector_bytes() == 64 else (512, 96, 1024)
LITTLE_DEPTH = 8  # up to which writing C is most of the work, and goes fastest by whole rows
WAYS = first_cache_ways()
STRIP = 16  # rows of B that the processor fetches ahead of their use, where two to four rows of A use each only once
FEW = 5  # rows of tiles that do not repay a packed copy of B
SINGLE_THREAD = 4 * 96**3  # multiply-adds times bytes of an element, up to which a second thread costs more than it brings

WAIT = 0.1  # of a rectangle: by how much of its time the slower of two threads is behind at the end; a guess

SLACK = 1024  # elements behind the last panel, which the last whole vectors may overwrite
_SCRATCH = (COLUMN_BLOCK + ROW_BLOCK) * DEPTH_BLOCK + 2 * SLACK  # elements for the panels of one thread

# What the compiled functions need to know of a product. Steps are in bytes, from one index to the next; a batch has two
# dimensions, outer and inner.
JOB = np.dtype(
    [
        (name, np.int64)
        for name in (  # noqa: SIM905  # a list of 32 literals reads worse
            "a a_outer a_inner a_row a_col b b_outer b_inner b_row b_col start start_outer start_inner start_row "
            "c c_outer c_inner c_row outer inner rows cols depth pack_a pack_b packed_b row_parts col_parts "
            "scratch scratch_step grain next"
        ).split()
    ]
)
_job_type = numba.from_dtype(JOB)
_NEXT = JOB.fields["next"][1]  # type: ignore[index]
_OPTIONS = {"cache": True, "error_model": "numpy"}  # and never nogil: the GIL keeps other Python threads out of the pool


@core
def pack(like, source, step, k_step, count, depth, target, width):
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
def whole(count, width):
    """``count``, rounded up to whole panels."""
    return -(-count // width) * width


@core
def _rectangle(like, job, a, b, start, c, rows, cols, b_panels, a_panels):
    """One rectangle of C, ``c = start + a @ b``, block by block."""
    item, tile_rows, tile_cols, _ = sizes(like)
    start_row, c_row = job.start_row, job.c_row
    depth_block = DEPTH_BLOCK if job.pack_b or job.packed_b or rows > tile_rows // 3 else STRIP
    for k in range(0, job.depth, depth_block):
        depth = min(depth_block, job.depth - k)
        if k:
            start, start_row = c, c_row
        for left in range(0, cols, COLUMN_BLOCK):
            width = min(COLUMN_BLOCK, cols - left)
            panels, panel_step, column_step = b + k * job.b_row + left * job.b_col, job.b_row, item
            if job.pack_b:
                pack(like, panels, job.b_col, job.b_row, width, depth, b_panels, tile_cols)
                panels, panel_step, column_step = b_panels, tile_cols * item, depth * item
            elif job.packed_b:  # see panels.py
                panels = b + (k * whole(cols, tile_cols) + left * depth) * item
                panel_step, column_step = tile_cols * item, depth * item
            row_block = tile_rows if depth <= LITTLE_DEPTH else ROW_BLOCK
            for top in range(0, rows, row_block):
                height = min(row_block, rows - top)
                block, row_step, k_step = a + top * job.a_row + k * job.a_col, job.a_row, job.a_col
                tile_step = tile_rows * row_step
                if job.pack_a:
                    pack(like, block, row_step, k_step, height, depth, a_panels, tile_rows)
                    block, row_step, k_step, tile_step = a_panels, item, tile_rows * item, tile_rows * depth * item
                for j in range(0, width, tile_cols):
                    panel = panels + j * column_step
                    some = min(tile_cols, width - j)
                    for i in range(0, height, tile_rows):
                        here = block + i // tile_rows * tile_step
                        there = c + (top + i) * c_row + (left + j) * item
                        first = start + (top + i) * start_row + (left + j) * item if start else 0
                        many = min(tile_rows, height - i)
                        for below in range(tile_rows, 2 * tile_rows):
                            prefetch(there + below * c_row)  # what the next tile reads and writes
                        tile(like, here, row_step, k_step, panel, panel_step, first, start_row, there, c_row, depth, many, some)


@core
def _part(like, part, parts, job):
    """What one thread does: some of the rectangles of some of the matrices. Of 0 parts, one whole matrix, without ado.

    It begins with the first, second, .. ``grain`` of them, and takes the next as long as there are any, so that no thread waits
    for one that has more to do, or that another process holds up.
    """
    next_place = address(job) + _NEXT
    job = job[0]
    item, tile_rows, tile_cols, _ = sizes(like)
    row_tiles = -(-job.rows // tile_rows)
    col_tiles = -(-job.cols // tile_cols)
    rectangles = job.row_parts * job.col_parts
    b_panels = job.scratch + part * job.scratch_step
    a_panels = b_panels + (COLUMN_BLOCK * DEPTH_BLOCK + SLACK) * item
    first, total, grain = 0, 1, 1
    if parts:
        total, grain = job.outer * job.inner * rectangles, job.grain
        first = part * grain
    number = first
    while number < total:
        a, b, start, c = job.a, job.b, job.start, job.c
        top, left, bottom, right = 0, 0, job.rows, job.cols
        if parts:
            matrix, rectangle = divmod(number, rectangles)
            outer, inner = divmod(matrix, job.inner)
            row_part, col_part = divmod(rectangle, job.col_parts)
            top = row_tiles * row_part // job.row_parts * tile_rows
            left = col_tiles * col_part // job.col_parts * tile_cols
            bottom = min(job.rows, row_tiles * (row_part + 1) // job.row_parts * tile_rows)
            right = min(job.cols, col_tiles * (col_part + 1) // job.col_parts * tile_cols)
            a += outer * job.a_outer + inner * job.a_inner + top * job.a_row
            b += outer * job.b_outer + inner * job.b_inner + left * job.b_col
            c += outer * job.c_outer + inner * job.c_inner + top * job.c_row + left * item
            if start:
                start += outer * job.start_outer + inner * job.start_inner + top * job.start_row + left * item
        _rectangle(like, job, a, b, start, c, bottom - top, right - left, b_panels, a_panels)
        number += 1
        if number == first + grain:
            first = number = fetch_add(next_place, grain) if parts else total


def _part_float32(part, parts, job):
    _part(np.float32(0), part, parts, carray(job, 1))


def _part_float64(part, parts, job):
    _part(np.float64(0), part, parts, carray(job, 1))


_PARTS = {np.dtype(np.float32): _part_float32, np.dtype(np.float64): _part_float64}
DTYPES = frozenset(_PARTS)


def _start(function, place, a, b, start, started, c, threads):
    """Writes the job of ``c = start + a @ b``, arrays (outer, inner, rows, cols), for so many threads; does it if that is one.

    Dimensions of size 1 broadcast. ``start`` is read only where ``started`` says so.
    """
    item, tile_rows, tile_cols, lanes = sizes(a.dtype.type(0))
    job = carray(pointer(place), 1, JOB)[0]
    job.a, job.b, job.c = address(a), address(b), address(c)
    job.a_outer, job.a_inner, job.a_row, job.a_col = a.strides
    job.b_outer, job.b_inner, job.b_row, job.b_col = b.strides
    job.c_outer, job.c_inner, job.c_row, _ = c.strides
    job.outer, job.inner, job.rows, job.cols = c.shape
    job.depth = a.shape[3]
    job.start = address(start) if started else 0
    job.start_outer, job.start_inner, job.start_row, _ = start.strides
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
    if job.rows == 1:  # the step to a second row, which may be anything, tells pack which step is that of neighbours
        job.a_row = item
    if job.cols == 1:
        job.b_col = item

    matrices, row_tiles, col_tiles = job.outer * job.inner, -(-job.rows // tile_rows), -(-job.cols // tile_cols)
    job.row_parts = job.col_parts = 1
    job.grain = max(1, matrices // (8 * threads))
    if matrices < 4 * threads:
        # Every matrix is cut into rectangles, one or a few per thread. The squarest ones need the least reading and packing;
        # the more there are, the less a thread waits for another at the end.
        least, wait = np.inf, WAIT if threads > 1 else 0.0
        for share in (1, 2, 4):
            parts = share * threads
            for row_parts in range(1, parts + 1):
                if parts % row_parts == 0:
                    rows, cols = -(-row_tiles // row_parts) * tile_rows, -(-col_tiles // (parts // row_parts)) * tile_cols
                    cost = (share + wait) * (rows * cols + 16 * (rows + cols))
                    if cost < least:
                        least, job.row_parts, job.col_parts = cost, row_parts, parts // row_parts
        job.grain = 1
    job.next = threads * job.grain

    # Rows a multiple of 4096 bytes apart share one set of the first-level cache. Where that has fewer places than a tile has
    # rows, and with this many columns, a packed copy, free of the conflict, is worth its few percent.
    # A transposed A is packed where tiles have few rows, for then each of its cache lines serves several of them.
    if job.a_row != item or job.a_col == item:
        job.pack_a = tile_rows > WAYS and job.a_row % 4096 == 0 and job.cols >= 16 * tile_cols
    else:
        job.pack_a = lanes * item == 32 and job.cols >= 4 * tile_cols
    # For a few rows of tiles B is not worth a copy, if ``tile`` can read whole vectors where they lie.
    job.pack_b = job.b_col != item or job.cols % lanes != 0 or row_tiles > FEW * job.row_parts
    if threads == 1:
        call(function, 0, 1, place)


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
        signature = types.void(integer, integer, source, source, source, types.boolean, target, integer)
        self._start = njit(signature, **_OPTIONS)(_start)
        self._part = cfunc(types.void(integer, integer, types.CPointer(_job_type)), **_OPTIONS)(_PARTS[dtype])
        self._function = self._part.address
        self._launch = compiled_launch()
        self._scratch = _lines(numba.config.NUMBA_NUM_THREADS, _SCRATCH, dtype)  # type: ignore[attr-defined]
        self._job = np.zeros(1, JOB)
        self._job["scratch"], self._job["scratch_step"] = self._scratch.ctypes.data, self._scratch.strides[0]
        self._place = self._job.ctypes.data
        self._lock = threading.Lock()  # one job and one set of panels
        jobs = np.zeros(len(self._scratch), JOB)  # of products on one thread each
        jobs["scratch"] = self._scratch.ctypes.data + np.arange(len(jobs)) * self._scratch.strides[0]
        self.lent = self._lock, self._function, jobs

    def __call__(self, a, b, start, c):
        """``c = start + a @ b`` for arrays (outer, inner, rows, cols). Those of size 1 broadcast; ``start`` may be None."""
        threads = 1 if c.nbytes * a.shape[3] <= SINGLE_THREAD else get_num_threads()
        with self._lock:
            if start is None:
                self._start(self._function, self._place, a, b, c, False, c, threads)
            else:
                self._start(self._function, self._place, a, b, start, True, c, threads)
            if threads > 1:
                self._launch(self._function, self._place, threads)


@core
def product(like, function, job, a, b, c, rows, depth, cols, accumulate):
    """For kernels that work block by block: ``c (+)= a @ b``, on the thread that calls it.

    ``a``, ``b`` and ``c`` are tuples (address, step to the next row, step to the next column) in bytes, with neighbours along
    the rows of ``c``, and along the rows or the columns of ``b``. ``function`` and ``job`` are what :func:`lend` returned, the
    latter for one thread; ``like`` is a number of the dtype.
    """
    item, tile_rows, _, lanes = sizes(like)
    fields = carray(pointer(job), 1, JOB)[0]
    # A block is in the second-level cache, so a copy takes longer to repay than in ``_start``.
    fields.pack_b = b[2] != item or cols % lanes != 0 or rows > 16 * tile_rows
    _block(fields, a, b, c, rows, depth, cols, accumulate)
    call(function, 0, 0, job)


@core
def packed_product(function, job, a, panels, c, rows, depth, cols, accumulate):
    """As :func:`product`, but ``panels`` is the address of what :func:`minigrad.kernels.panels.packed` made of the matrix b."""
    fields = carray(pointer(job), 1, JOB)[0]
    fields.pack_b, fields.packed_b = 0, 1
    fields.pack_a = a[1] % 4096 == 0 and cols >= 1024  # as in _start; measured, for few rows
    _block(fields, a, (panels, 0, 0), c, rows, depth, cols, accumulate)
    call(function, 0, 0, job)
    fields.packed_b = fields.pack_a = 0


@core
def _block(fields, a, b, c, rows, depth, cols, accumulate):
    fields.a, fields.a_row, fields.a_col = a
    fields.b, fields.b_row, fields.b_col = b
    fields.c, fields.c_row, _ = c
    fields.rows, fields.depth, fields.cols = rows, depth, cols
    fields.start, fields.start_row = fields.c if accumulate else 0, fields.c_row


def lend(dtype):
    """``(lock, function, jobs)`` for kernels that call :func:`product`: they hold the lock, and give each thread a job."""
    return gemm(dtype).lent


@functools.cache
def gemm(dtype) -> _Kernel:
    """The product of arrays of one dtype, float32 or float64."""
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
