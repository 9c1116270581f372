"""The accuracy that each docstring states, measured over the whole range; special values; the maximum of a row."""

import math

import numba
import numpy as np
import pytest

from minigrad.kernels import vectormath

PLAIN_PYTHON = numba.config.DISABLE_JIT
DTYPES = [np.float32, np.float64]
# The flags of the kernels that call these functions, which must not reach into them.
CALLER = {"error_model": "numpy", "fastmath": {"contract", "reassoc", "nsz"}}


def on_array(function, x):
    @numba.njit(**CALLER)
    def loop(x, out):
        for i in range(x.size):
            out[i] = function(x[i])

    out = np.empty_like(x)
    with np.errstate(all="ignore"):  # for kernels run as plain Python
        loop(x, out)
    return out


def samples(dtype):
    """Numbers of every sign and exponent, and many of the range where the functions are neither 0 nor flat."""
    random = np.random.default_rng(0)
    few = 300 if PLAIN_PYTHON else 100_000
    bits, count = (np.uint32, 2**32) if dtype == np.float32 else (np.uint64, 2**64)
    everywhere = (np.arange(few, dtype=bits) * bits(count // few)).view(dtype)
    everywhere = everywhere[~np.isnan(everywhere)]
    wide = 110 if dtype == np.float32 else 750
    dense = [random.uniform(-wide, wide, few), random.uniform(-6, 6, few), random.standard_normal(few)]
    return np.concatenate([everywhere, np.concatenate(dense).astype(dtype)])


def ulps(value, exact, dtype):
    """The error in units of the last place; 0 where both are the same infinity."""
    with np.errstate(all="ignore"):
        rounded = exact.astype(dtype)
        error = np.abs(value - exact) / np.spacing(np.abs(rounded)).astype(exact.dtype)
    return np.where(np.isinf(rounded), np.where(value == rounded, 0, np.inf), error).astype(float)


def exact_sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


EXACT = {
    "exp": (np.exp, 1.1),
    "exp_negative": (np.exp, 1.1),
    "expm1": (np.expm1, 3),
    "sigmoid": (exact_sigmoid, 2.5),
    "tanh": (np.tanh, 3),
    "softplus": (lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))), 3),
    "erf": (lambda x: np.vectorize(math.erf, otypes=[x.dtype])(x), 1.5),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", EXACT)
def test_accuracy(name, dtype):
    exact, limit = EXACT[name]
    wider = np.float64 if dtype == np.float32 else np.longdouble
    if name == "erf" or np.finfo(wider).eps == np.finfo(dtype).eps:
        limit += 1 if dtype == np.float64 else 0  # what the oracle itself may be wrong by
    x = samples(dtype)
    x = x[x <= {"exp_negative": 80, "expm1": 88}.get(name, np.inf)]
    with np.errstate(all="ignore"):
        expected = exact(x.astype(wider))
    error = ulps(on_array(getattr(vectormath, name), x), expected, dtype)
    if name in ("exp_negative", "sigmoid"):
        error[np.abs(expected) < np.finfo(dtype).tiny * 1.5] = 0  # what is or becomes 0: see the next test
    worst = error.argmax()
    assert error[worst] <= (limit + 2 if PLAIN_PYTHON else limit), f"at {x[worst]!r}"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["exp_negative", "sigmoid"])
def test_denormal_results_become_zero(name, dtype):
    smallest = np.log(np.finfo(dtype).tiny)
    x = np.array([smallest + 0.5, smallest - 0.5, 2 * smallest, -np.finfo(dtype).max], dtype)
    y = on_array(getattr(vectormath, name), x)
    assert y[0] == pytest.approx(math.exp(x[0]), rel=1e-6)
    assert y[1:].tolist() == [0, 0, 0]


def phi(x):
    return np.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def exact_normal_cdf(x):
    return np.vectorize(math.erfc, otypes=[float])(-x / math.sqrt(2)) / 2


@pytest.mark.parametrize(
    ("name", "exact", "limit"),
    [("normal_cdf", exact_normal_cdf, 2.5e-7), ("gelu_slope", lambda x: exact_normal_cdf(x) + x * phi(x), 5e-7)],
)
def test_normal_distribution_in_float32(name, exact, limit):
    x = np.concatenate([samples(np.float32), np.linspace(-7, 7, 50_001, dtype=np.float32)])
    x = x[np.isfinite(x)]
    y = on_array(getattr(vectormath, name), x)
    with np.errstate(all="ignore"):
        expected = np.where(np.abs(x) > 40, x > 0, exact(np.clip(x, -40, 40).astype(float)))
    assert np.abs(y - expected).max() <= limit
    if not PLAIN_PYTHON:
        assert set(y[x < -6]) == {0}
        assert set(y[x > 6]) == {1}


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_slope_of_gelu_at_infinity_is_that_of_the_formula(dtype):
    x = np.array([-np.inf, np.inf, np.nan], dtype)
    assert np.isnan(on_array(vectormath.gelu_slope, x)).all()


def test_normal_distribution_in_float64():
    x = samples(np.float64)
    x = x[np.abs(x) < 37]  # beyond, the tail is denormal
    cdf, slope = on_array(vectormath.normal_cdf, x), on_array(vectormath.gelu_slope, x)
    exact = exact_normal_cdf(x)
    assert (ulps(cdf, exact, np.float64) <= 8 * (8 + x * x / 2)).all()  # the oracle errs more than what it checks
    np.testing.assert_allclose(slope, exact + x * phi(x), rtol=0, atol=1e-15)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("name", "at_minus_inf", "at_zero", "at_inf"),
    [
        ("exp", 0, 1, np.inf),
        ("normal_cdf", 0, 0.5, 1),
        ("sigmoid", 0, 0.5, 1),
        ("tanh", -1, 0, 1),
        ("softplus", 0, math.log(2), np.inf),
        ("erf", -1, 0, 1),
    ],
)
def test_special_values(name, at_minus_inf, at_zero, at_inf, dtype):
    x = np.array([-np.inf, 0.0, -0.0, np.inf, np.nan, -np.nan], dtype)
    y = on_array(getattr(vectormath, name), x)
    np.testing.assert_array_equal(y, np.array([at_minus_inf, at_zero, at_zero, at_inf, np.nan, np.nan], dtype))
    if at_zero == 0:
        assert np.signbit(y).tolist()[1:3] == [False, True]


@pytest.mark.parametrize("dtype", DTYPES)
def test_exp_at_the_ends_of_its_range(dtype):
    info = np.finfo(dtype)
    largest, smallest = np.log(info.max), np.log(float(info.smallest_subnormal))
    x = np.array([np.nextafter(largest, dtype(0)), 1.0001 * largest, smallest, smallest - 1], dtype)
    y = on_array(vectormath.exp, x)
    assert 0.99 * info.max < y[0] <= info.max
    assert y[1] == np.inf
    assert y[2] == info.smallest_subnormal
    assert y[3] == 0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("length", [1, 2, 15, 16, 17, 100, 1000])
def test_row_max(length, dtype):
    @numba.njit(**CALLER)
    def row_max(x, i):
        return vectormath.row_max(x, i)

    random = np.random.default_rng(length)
    for x in (
        random.standard_normal((3, length)),
        -np.exp(random.uniform(-80, 80, (3, length))),
        np.full((3, length), -np.inf),
        np.where(random.random((3, length)) < 0.1, np.inf, -1),
        np.where(random.random((3, length)) < 0.5, 0.0, -1e-40),
    ):
        x = x.astype(dtype)
        assert [row_max(x, i) for i in range(3)] == x.max(axis=1).tolist()
    x[1, length // 2] = np.nan
    assert np.isnan(row_max(x, 1))
    assert row_max(np.empty((1, 0), dtype), 0) == -np.inf
