"""Panels for many products with one matrix: packed once, where the product itself would pack it anew each time."""

import functools

import numba
import numpy as np
from numba import njit, types  # pyright: ignore[reportPrivateImportUsage]

from minigrad.kernels.gemm import DEPTH_BLOCK, SLACK, pack, whole
from minigrad.kernels.microkernel import address, sizes, tile_shape


def packed(b: np.ndarray) -> np.ndarray:
    """A contiguous matrix, or the transpose of one, in panels for many products: of each ``DEPTH_BLOCK`` rows, all columns."""
    depth, cols = b.shape
    tile_cols = tile_shape(b.itemsize)[1]
    panels = np.empty(-(-cols // tile_cols) * tile_cols * depth + SLACK, b.dtype)
    _packer(b.dtype)(b, panels)
    return panels


def _pack_blocks(b, panels):
    like = panels[0]
    item, _, tile_cols, _ = sizes(like)
    depth, cols = b.shape
    row, col = b.strides
    if cols == 1:  # the step to a second column, which may be anything, tells pack which step is that of neighbours
        col = item
    for k in range(0, depth, DEPTH_BLOCK):
        target = address(panels) + k * whole(cols, tile_cols) * item
        pack(like, address(b) + k * row, col, row, cols, min(DEPTH_BLOCK, depth - k), target, tile_cols)


@functools.cache
def _packer(dtype):
    element = numba.from_dtype(dtype)
    signature = types.void(types.Array(element, 2, "A", readonly=True), types.Array(element, 1, "C"))
    return njit(signature, cache=True, error_model="numpy")(_pack_blocks)
