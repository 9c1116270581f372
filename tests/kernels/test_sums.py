"""Sums along rows against NumPy's in float64, however long the rows and however many threads share them."""

import numpy as np
import pytest

from minigrad.kernels.sums import sum_along_rows


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 1), (3, 0), (0, 3), (7, 33), (2, 90_000), (60_000, 3)])
def test_values(shape, dtype):
    x = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    sums = sum_along_rows(x)
    assert sums.dtype == dtype
    np.testing.assert_allclose(sums, x.sum(axis=1, dtype=np.float64), rtol=4 * np.finfo(dtype).eps, atol=1e-12)


def test_nan_and_infinity_show():
    x = np.array([[np.nan, 1], [np.inf, 1], [np.inf, -np.inf], [1, 2]], np.float32)
    np.testing.assert_array_equal(sum_along_rows(x), np.array([np.nan, np.inf, np.nan, 3], np.float32))


def test_digits_of_long_rows():
    assert sum_along_rows(np.full((1, 200_000), 0.1, np.float32))[0] == pytest.approx(20_000, rel=1e-6)
