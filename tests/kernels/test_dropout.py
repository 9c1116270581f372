import numba
import numpy as np
import pytest

from minigrad.kernels import dropout as kernel
from minigrad.kernels.dropout import add_dropout, dropout, dropout_backward, relu_dropout

N = 40_000


def kept(p, seed, offset, n=N):
    """The mask as 0.0 and 1.0."""
    return (dropout(np.ones(n, np.float32), p, seed, offset) != 0).astype(np.float64)


def correlation_in_sigmas(a, b, p):
    """The sample covariance of two masks, in units of the deviation it has if they are independent."""
    q = 1 - p
    return ((a - q) * (b - q)).mean() / (p * q) * np.sqrt(a.size)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_values_are_dropped_or_scaled(p, dtype):
    x = np.random.default_rng(0).standard_normal(1000).astype(dtype)
    out = dropout(x, p, 1, 2)
    assert out.dtype == dtype
    mask = out != 0
    np.testing.assert_array_equal(out[mask], (x * dtype(1 / (1 - p) if p < 1 else 0))[mask])
    assert mask.all() if p == 0 else not mask.any() if p == 1 else 0 < mask.sum() < x.size


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("p", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("n", [0, 3, 5000])
def test_one_pass_is_two_passes(n, p, dtype, monkeypatch):
    monkeypatch.setattr(kernel, "PER_CHUNK", 1000)
    x, base = np.random.default_rng(0).standard_normal((2, n)).astype(dtype)
    x[:2] = np.nan
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(relu_dropout(x, p, 3, 4), dropout(np.maximum(x, 0), p, 3, 4))
        np.testing.assert_array_equal(add_dropout(base, x, p, 3, 4), base + dropout(x, p, 3, 4))


@pytest.mark.parametrize("n", [0, 1, 2, 511, 512, 513, 1500])
def test_a_shorter_array_has_the_beginning_of_the_mask(n):
    np.testing.assert_array_equal(kept(0.3, 5, 6, n), kept(0.3, 5, 6, 2000)[:n])


def test_backward_draws_the_same_mask():
    x, g = np.random.default_rng(0).standard_normal((2, 5000)).astype(np.float32)
    out, gx = dropout(x, 0.4, 11, 3), dropout_backward(g, 0.4, 11, 3)
    np.testing.assert_array_equal(out == 0, gx == 0)
    np.testing.assert_array_equal(gx, np.where(out != 0, g * np.float32(1 / 0.6), 0))


def test_the_mask_does_not_depend_on_the_number_of_threads(monkeypatch):
    x = np.random.default_rng(0).standard_normal(5000).astype(np.float32)
    serial = dropout(x, 0.3, 7, 8)
    monkeypatch.setattr(kernel, "PER_CHUNK", 1)
    np.testing.assert_array_equal(dropout(x, 0.3, 7, 8), serial)
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        np.testing.assert_array_equal(dropout(x, 0.3, 7, 8), serial)
    finally:
        numba.set_num_threads(threads)


def test_a_dropped_nan_or_infinity_is_zero_and_a_kept_one_stays():
    mask = kept(0.5, 1, 1, 2000) != 0
    for bad in (np.nan, np.inf, -np.inf):
        out = dropout(np.full(2000, bad, np.float32), 0.5, 1, 1)
        np.testing.assert_array_equal(out, np.where(mask, np.float32(bad), np.float32(0)))


@pytest.mark.parametrize("p", [0.01, 0.1, 0.5, 0.9])
def test_mean_and_variance(p):
    for seed in range(5):
        mask = kept(p, seed, 0)
        assert abs(mask.mean() - (1 - p)) < 4 * np.sqrt(p * (1 - p) / N)
    ones = dropout(np.ones(N), p, 0, 1)
    assert abs(ones.mean() - 1) < 4 * np.sqrt(p / (1 - p) / N)
    assert abs(ones.var() - p / (1 - p)) < 0.1 * p / (1 - p)


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_neighbours_are_independent(p):
    mask = kept(p, 3, 4)
    for lag in (1, 2, 3, 4, 8, 64, 512, 1024):
        assert abs(correlation_in_sigmas(mask[lag:], mask[:-lag], p)) < 4, lag


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_neighbouring_seeds_and_offsets_are_independent(p):
    mask = kept(p, 0, 0)
    others = [(1, 0), (2, 0), (-1, 0), (2**32, 0), (2**63, 0), (0, 1), (0, 2), (0, 2**32), (1, 1)]
    for seed, offset in others:
        other = kept(p, seed, offset)
        for lag in (0, 1, 2):
            assert abs(correlation_in_sigmas(mask[lag:], other[: N - lag], p)) < 4, (seed, offset, lag)


def test_seed_and_offset_do_not_trade_places():
    assert (kept(0.5, 3, 5) != kept(0.5, 5, 3)).any()
    assert (kept(0.5, 3, 5) != kept(0.5, 4, 4)).any()


def test_patterns_of_eight_are_equally_likely():
    """Pearson's chi-squared over the 256 patterns of eight neighbours, 255 degrees of freedom."""
    patterns = kept(0.5, 9, 9, 8 * 8192).reshape(-1, 8) @ 2 ** np.arange(8)
    counts = np.bincount(patterns.astype(np.int64), minlength=256)
    statistic = ((counts - 32) ** 2 / 32).sum()
    assert abs(statistic - 255) < 4 * np.sqrt(2 * 255)


def test_seeds_are_taken_modulo_two_to_the_64():
    np.testing.assert_array_equal(kept(0.5, -1, -2, 100), kept(0.5, 2**64 - 1, 2**64 - 2, 100))
    np.testing.assert_array_equal(kept(0.5, np.int64(3), np.int64(-4), 100), kept(0.5, 3, -4, 100))


def test_words_are_those_of_the_published_generator():
    """The first three outputs of splitmix64 from the state 1234567."""
    with np.errstate(over="ignore"):
        words = [int(kernel.mix(np.uint64(1234567) + np.uint64(k) * kernel.GAMMA)) for k in (1, 2, 3)]
    assert words == [6457827717110365317, 3203168211198807973, 9817491932198370423]
