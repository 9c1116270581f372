"""The kernels along an axis that is not the last give what those of rows give on transposed arrays."""

import numpy as np
import pytest

from minigrad.kernels import softmax as by_row
from minigrad.kernels import softmax_columns as by_column

SHAPES = [(1, 1, 1), (2, 5, 3), (3, 20, 33), (1, 7, 1100), (2, 3000, 19), (8, 40, 130)]  # the last is shared among threads


def normal(shape, dtype, seed=0):
    return (3 * np.random.default_rng(seed).standard_normal(shape)).astype(dtype)


def through_rows(kernel, *arrays):
    batch, n, columns = arrays[0].shape
    rows = [np.ascontiguousarray(x.swapaxes(1, 2)).reshape(-1, n) for x in arrays]
    return kernel(*rows).reshape(batch, columns, n).swapaxes(1, 2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_values_and_gradients(name, shape, dtype):
    x, g = normal(shape, dtype), normal(shape, dtype, seed=1)
    tolerance = {"rtol": 50 * np.finfo(dtype).eps, "atol": 500 * np.finfo(dtype).eps}
    y = getattr(by_column, name)(x)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, through_rows(getattr(by_row, name), x), **tolerance)
    backward = name + "_backward"
    found = getattr(by_column, backward)(g, y)
    np.testing.assert_allclose(found, through_rows(getattr(by_row, backward), g, y), **tolerance)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_nan_and_infinity(name):
    x = normal((1, 4, 20), np.float32)
    x[0, 1, 0], x[0, 2, 1], x[0, 3, 2], x[0, :, 3] = np.nan, np.inf, -np.inf, -np.inf
    with np.errstate(all="ignore"):
        expected = through_rows(getattr(by_row, name), x)
        found = getattr(by_column, name)(x)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert np.isnan(found[0, :, [0, 1, 3]]).all()
    assert not np.isnan(found[0, :, 2]).any()


def test_the_result_goes_where_it_is_wanted():
    x = normal((2, 5, 9), np.float32)
    out = np.empty_like(x)
    assert by_column.softmax(x, out=out) is out
    np.testing.assert_array_equal(out, by_column.softmax(x))
