"""Products of a handful of rows against NumPy: every rest after whole vectors and groups, strides, and memory left alone."""

import numpy as np
import pytest
from numba import njit

from minigrad.kernels.few_rows import with_columns, with_rows
from minigrad.kernels.matmul import compiles
from minigrad.kernels.microkernel import address

pytestmark = pytest.mark.skipif(not compiles(), reason="needs the compiled kernels, so the JIT and a known CPU")
SIZES = [1, 2, 7, 8, 15, 16, 17, 31, 33, 48, 64, 65, 100]


@njit
def by_rows(like, a, b, c):
    rows, depth = a.shape
    at_a, at_b, at_c = (address(a), a.strides[0], 0), (address(b), b.strides[0], 0), (address(c), c.strides[0], 0)
    with_rows(like, at_a, at_b, at_c, rows, depth, b.shape[0])


@njit
def by_columns(like, a, b, c, accumulate):
    rows, depth = a.shape
    at_a, at_b, at_c = (address(a), a.strides[0], 0), (address(b), b.strides[0], 0), (address(c), c.strides[0], 0)
    with_columns(like, at_a, at_b, at_c, rows, depth, b.shape[1], accumulate)


def part_of(rng, rows, cols, dtype):
    """A matrix whose rows lie apart, and the array around it."""
    whole = rng.standard_normal((rows, cols + 3)).astype(dtype)
    return whole[:, :cols], whole


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("depth", SIZES)
def test_products(depth, dtype):
    rng = np.random.default_rng(depth)
    tolerance = 20 * np.finfo(dtype).eps * depth**0.5
    for n in SIZES:
        a, _ = part_of(rng, 2, depth, dtype)
        b, _ = part_of(rng, n, depth, dtype)
        c, around = part_of(rng, 2, n, dtype)
        margin = around[:, n:].copy()
        by_rows(dtype(0), a, b, c)
        np.testing.assert_allclose(c, a @ b.T, atol=tolerance)
        np.testing.assert_array_equal(around[:, n:], margin)
        b, _ = part_of(rng, depth, n, dtype)
        for accumulate in (False, True):
            expected = a @ b + (c if accumulate else 0)
            by_columns(dtype(0), a, b, c, accumulate)
            np.testing.assert_allclose(c, expected, atol=tolerance)
            np.testing.assert_array_equal(around[:, n:], margin)


def test_what_is_behind_a_row_is_not_read_as_a_number():
    """NaN beyond the last column, and in rows beyond the last, must not reach the result."""
    a, b, c = np.ones((1, 5), np.float32), np.full((4, 9), np.nan, np.float32), np.empty((1, 3), np.float32)
    b[:3, :5] = 1
    by_rows(np.float32(0), a, b[:3, :5], c)
    np.testing.assert_array_equal(c, [[5, 5, 5]])
    b[:, :3] = 1
    by_columns(np.float32(0), a[:, :4], b[:, :3], c, False)
    np.testing.assert_array_equal(c, [[4, 4, 4]])
