"""Statistics against NumPy in float64."""

import numpy as np
import pytest

from minigrad.viz.statistics import cosine, norm, size_of, summary


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int64", "bool"])
@pytest.mark.parametrize("shape", [(), (1,), (7, 5), (3, 40_000)])
def test_against_numpy(rng, dtype, shape):
    x = (rng.standard_normal(shape) * 3 + 1).astype(dtype)
    got, wide = summary(x), x.astype("float64")
    expected = {"count": x.size, "mean": wide.mean(), "std": wide.std(), "min": wide.min(), "max": wide.max()}
    expected |= {"norm": np.linalg.norm(wide), "nan": 0, "inf": 0, "zero": np.count_nonzero(wide == 0)}
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-12, atol=1e-12, err_msg=name)
    assert len(got["samples"]) == min(x.size, 64) and set(got["samples"]) <= set(x.reshape(-1).tolist())


def test_what_is_not_finite_is_counted_and_left_out():
    x = np.array([np.nan, np.inf, -np.inf, 3.0, -4.0, 0.0], "f")
    got = summary(x)
    assert (got["nan"], got["inf"], got["zero"], got["norm"], got["min"], got["max"]) == (1, 2, 1, 5, -4, 3)
    assert size_of(x) == {"norm": 5, "nan": 1, "inf": 2, "zero": 1} and np.isnan(norm(x))


@pytest.mark.parametrize("x", [np.zeros((0, 3), "f"), np.full(3, np.nan, "f")])
def test_nothing_finite(x):
    got = summary(x)
    assert got["mean"] is got["std"] is got["min"] is got["max"] is None and got["norm"] == 0 and got["nan"] == x.size


def test_numbers_whose_squares_overflow():
    assert norm(np.array([3e200, 4e200])) == pytest.approx(5e200)
    assert norm(np.array([3e30, 4e30], "f")) == pytest.approx(5e30, rel=1e-6)
    assert norm(np.array([1.0, -np.inf])) == np.inf


def test_strides_do_not_matter(rng):
    x = rng.standard_normal((30, 20)).astype("f")
    assert summary(x[::2, ::-3]) == summary(np.ascontiguousarray(x[::2, ::-3]))


def test_cosine(rng):
    a, b = rng.standard_normal((2, 40_000))
    assert cosine(a, b) == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b), abs=1e-12)
    assert cosine(a, a) == pytest.approx(1, abs=1e-12) and cosine(a, -a) == pytest.approx(-1, abs=1e-12)
    assert cosine(a, 0 * a) is None and cosine(a, a * np.nan) is None
