"""From three loops to the matrix product of `minigrad/kernels/matmul.py`: each step adds one idea to the step before.

Every function here writes ``a @ b`` to ``c``, for float32 matrices in C order. They are for reading, and for
``python -m tools.bench lesson``, which measures them; the kernel has what they leave out: every layout, batches, threads.

What to keep in mind while reading: the core of a CPU finishes two vector multiply-adds a cycle, 16 numbers wide each with
AVX-512. Memory is far slower, and so each step gets more arithmetic out of a number that was fetched.
"""

import numpy as np
from numba import njit

from minigrad.kernels.gemm import COLUMN_BLOCK, DEPTH_BLOCK, ROW_BLOCK, pack
from minigrad.kernels.microkernel import address, sizes, tile

_FLOAT32 = np.float32(0)  # tells `tile` and `pack` what they work on; its value is not read
_compiled = njit(error_model="numpy")


def three_loops(a, b, c):
    """The definition, in plain Python: each element of C is a row of A times a column of B."""
    rows, depth = a.shape
    cols = b.shape[1]
    for i in range(rows):
        for j in range(cols):
            c[i, j] = 0
            for k in range(depth):
                c[i, j] += a[i, k] * b[k, j]


three_loops_compiled = _compiled(three_loops)
"""Idea: a compiler. The same source as machine code; but down a column of B, each number lies in another cache line."""


@_compiled
def along_rows(a, b, c):
    """Idea: the order of the loops. ``j`` runs innermost, along rows of B and C, where neighbours fill a vector.

    The compiler does 16 columns in one instruction. Each multiply-add still loads a number of B and one of C and stores one.
    """
    rows, depth = a.shape
    cols = b.shape[1]
    for i in range(rows):
        for j in range(cols):
            c[i, j] = 0
        for k in range(depth):
            factor = a[i, k]
            for j in range(cols):
                c[i, j] += factor * b[k, j]


@_compiled
def in_registers(a, b, c):
    """Idea: registers. A tile of C, 12 rows by two vectors with AVX-512, stays in registers while ``k`` runs (see ``tile``).

    C is now stored once, and each vector of B that is loaded serves 12 rows. But the strip of B below a tile lies scattered, a
    piece of 128 bytes in each row: of every piece the CPU must find the page and the cache line anew.
    """
    item, tile_rows, tile_cols, _ = sizes(_FLOAT32)
    rows, depth = a.shape
    cols = b.shape[1]
    whole = cols // tile_cols * tile_cols
    for j in range(0, whole, tile_cols):
        for i in range(0, rows, tile_rows):
            here = address(a) + i * a.strides[0]
            strip = address(b) + j * item
            there = address(c) + i * c.strides[0] + j * item
            many = min(tile_rows, rows - i)
            tile(_FLOAT32, here, a.strides[0], item, strip, b.strides[0], 0, 0, there, c.strides[0], depth, many, tile_cols)
    # `tile` reads whole vectors, and in the last columns that would be beyond the end of B.
    along_rows(a, b[:, whole:], c[:, whole:])


@_compiled
def packed(a, b, c):
    """Idea: packing. The strip of B is copied into a panel without gaps, once, and read from there for all rows of A.

    Padding comes with the copy, so the last columns need no loop of their own. But a panel of 1024 rows has 128 KB: it does not
    stay in the first-level cache, and comes from the second for each tile.
    """
    item, tile_rows, tile_cols, _ = sizes(_FLOAT32)
    rows, depth = a.shape
    cols = b.shape[1]
    panel = np.empty(depth * tile_cols, np.float32)
    for j in range(0, cols, tile_cols):
        some = min(tile_cols, cols - j)
        pack(_FLOAT32, address(b) + j * item, item, b.strides[0], some, depth, address(panel), tile_cols)
        for i in range(0, rows, tile_rows):
            here = address(a) + i * a.strides[0]
            there = address(c) + i * c.strides[0] + j * item
            many = min(tile_rows, rows - i)
            row_step = tile_cols * item
            tile(_FLOAT32, here, a.strides[0], item, address(panel), row_step, 0, 0, there, c.strides[0], depth, many, some)


@_compiled
def in_cache(a, b, c):
    """Idea: blocks. ``k`` advances in blocks, so that a panel of B, 32 KB, stays in the first-level cache for many tiles.

    Each block adds to C. Rows and columns go in blocks too: the rows of A that pass, and the panels that wait, stay in the
    second level. What the kernel has besides: a packed copy of A where its rows would share a few places of the cache.
    """
    item, tile_rows, tile_cols, _ = sizes(_FLOAT32)
    rows, depth = a.shape
    cols = b.shape[1]
    panels = np.empty(DEPTH_BLOCK * COLUMN_BLOCK, np.float32)
    for k in range(0, depth, DEPTH_BLOCK):
        deep = min(DEPTH_BLOCK, depth - k)
        for left in range(0, cols, COLUMN_BLOCK):
            width = min(COLUMN_BLOCK, cols - left)
            block = address(b) + k * b.strides[0] + left * item
            pack(_FLOAT32, block, item, b.strides[0], width, deep, address(panels), tile_cols)
            for top in range(0, rows, ROW_BLOCK):
                bottom = min(top + ROW_BLOCK, rows)
                for j in range(0, width, tile_cols):
                    panel = address(panels) + j * deep * item
                    some = min(tile_cols, width - j)
                    for i in range(top, bottom, tile_rows):
                        here = address(a) + i * a.strides[0] + k * item
                        there = address(c) + i * c.strides[0] + (left + j) * item
                        many = min(tile_rows, bottom - i)
                        start = there if k else 0  # from zero, then from what C has so far
                        a_row, c_row = a.strides[0], c.strides[0]
                        tile(_FLOAT32, here, a_row, item, panel, tile_cols * item, start, c_row, there, c_row, deep, many, some)
