"""A row times a matrix against NumPy, in float64: every rest after whole vectors and streams, both layouts, any threads."""

import numpy as np
import pytest

from minigrad.kernels import matmul as product
from minigrad.kernels.matmul import compiles
from minigrad.kernels.threads import get_num_threads, set_num_threads
from minigrad.kernels.vector_product import PER_CHUNK, STREAMS, add_product

pytestmark = pytest.mark.skipif(not compiles(), reason="needs the compiled kernels, so the JIT and a known CPU")
LAYOUTS = {"rows together": lambda m: m, "columns together": lambda m: np.asfortranarray(m)}


def operands(depth, cols, dtype, layout):
    rng = np.random.default_rng(depth * 1000 + cols)
    x, start = rng.standard_normal(depth).astype(dtype), rng.standard_normal(cols).astype(dtype)
    return x, LAYOUTS[layout](rng.standard_normal((depth, cols)).astype(dtype)), start


def close(got, x, matrix, start):
    exact = start + x.astype(np.float64) @ matrix.astype(np.float64)
    tolerance = 4 * np.finfo(got.dtype).eps * (np.abs(start) + np.abs(x).astype(np.float64) @ np.abs(matrix))
    assert np.all(np.abs(got - exact) <= tolerance)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("depth", [1, 3, STREAMS - 1, STREAMS, STREAMS + 1, 5 * STREAMS + 7])
def test_adds_the_product(depth, dtype, layout):
    for cols in (1, 2, 7, 8, 9, 31, 32, 33, 100):
        x, matrix, start = operands(depth, cols, dtype, layout)
        out = start.copy()
        add_product(x, matrix, out)
        close(out, x, matrix, start)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_number_of_threads_gives_the_same_bits(layout):
    x, matrix, start = operands(301, 3 * PER_CHUNK // 301, np.float32, layout)
    results, before = [], get_num_threads()
    try:
        for threads in range(1, before + 1):
            set_num_threads(threads)
            out = start.copy()
            add_product(x, matrix, out)
            results.append(out)
    finally:
        set_num_threads(before)
    close(results[0], x, matrix, start)
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", ["new", "out", "bias", "accumulate"])
def test_the_matrix_product_takes_it_for_one_row(kind, layout, monkeypatch):
    x, matrix, start = operands(128, 200, np.float32, layout)
    monkeypatch.setattr(product, "_numpy", lambda *_: pytest.fail("the BLAS was asked"))
    out = None if kind in ("new", "bias") else start[None].copy()
    begin = {"new": None, "out": None, "bias": start, "accumulate": out}[kind]
    got = product.matmul(x[None], matrix, out, begin)
    assert got.shape == (1, 200) and (out is None or got is out)
    close(got[0], x, matrix, start if begin is not None else np.zeros_like(start))


def test_every_other_layout():
    x, matrix, start = operands(128, 200, np.float32, "rows together")
    apart = np.repeat(np.repeat(matrix, 2, axis=0), 2, axis=1)[::2, ::2]
    close(product.matmul(np.repeat(x, 3)[None, ::3], apart)[0], x, matrix, np.zeros_like(start))
    with pytest.raises(ValueError, match=r"mismatch|broadcast|shape"):
        product.matmul(x[None], matrix, np.empty((2, 200), np.float32))
    with pytest.raises(ValueError, match=r"mismatch|broadcast|shape"):
        product.matmul(x[None, :-1], matrix)
