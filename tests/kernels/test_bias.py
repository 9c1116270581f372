import numba
import numpy as np
import pytest

from minigrad.kernels import bias as kernel
from minigrad.kernels.bias import sum_rows

SHAPES = [(0, 3), (1, 1), (5, 7), (64, 3), (65, 3), (300, 33), (4200, 2), (6000, 3)]


@pytest.fixture(params=["float32", "float64", "float32 parallel"])
def dtype(request, monkeypatch):
    """Each dtype along the serial path; float32 also along the parallel one, here forced upon small shapes."""
    name, _, parallel = request.param.partition(" ")
    if parallel:
        monkeypatch.setattr(kernel, "PER_CHUNK", 1)
    return np.dtype(name).type


def draw(shape, dtype):
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("shape", SHAPES)
def test_sum_rows(shape, dtype):
    g = draw(shape, dtype)
    total = sum_rows(g)
    assert total.dtype == dtype
    assert total.shape == shape[1:]
    np.testing.assert_allclose(total, g.astype(np.float64).sum(0), rtol=1e-5, atol=100 * np.finfo(dtype).eps)


def test_many_equal_rows_do_not_drift():
    """200,000 times 0.1 is 20,000; a running sum in float32 gives 20,000 times 0.998."""
    np.testing.assert_allclose(sum_rows(np.full((200_000, 1), 0.1, np.float32)), 20_000, rtol=2e-7)


def test_sum_rows_leaves_its_argument_and_returns_an_array_of_its_own():
    g = draw((1, 4), np.float32)
    total = sum_rows(g)
    total += 1
    np.testing.assert_array_equal(g, draw((1, 4), np.float32))


def test_the_bits_do_not_depend_on_the_number_of_threads(monkeypatch):
    monkeypatch.setattr(kernel, "PER_CHUNK", 1)
    g = draw((1000, 20), np.float32)
    many = sum_rows(g)
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        np.testing.assert_array_equal(sum_rows(g), many)
    finally:
        numba.set_num_threads(threads)


def test_nan_and_infinity_pass(dtype):
    g = np.zeros((100, 40), dtype)
    g[50, 10:13] = np.nan, np.inf, -np.inf
    g[51, 13:15] = np.inf, -np.inf
    g[52, 13:15] = -np.inf, np.inf
    expected = np.zeros(40)
    expected[10:15] = np.nan, np.inf, -np.inf, np.nan, np.nan
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(sum_rows(g), expected)
