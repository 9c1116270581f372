import numba
import numpy as np
import pytest

from minigrad.kernels import embedding
from minigrad.kernels.embedding import gather, scatter_add


@pytest.fixture(params=["float32", "float64", "float32 parallel"])
def dtype(request, monkeypatch):
    """Each dtype along the serial path; float32 also along the parallel one, here forced upon small shapes."""
    name, _, parallel = request.param.partition(" ")
    if parallel:
        monkeypatch.setattr(embedding, "PER_CHUNK", 1)
    return np.dtype(name).type


def draw(dtype, vocabulary=50, features=37, n=200):
    rng = np.random.default_rng(0)
    ids = rng.integers(0, vocabulary, n)
    return rng.standard_normal((vocabulary, features)).astype(dtype), ids, rng.standard_normal((n, features)).astype(dtype)


def test_gather_picks_rows(dtype):
    table, ids, _ = draw(dtype)
    rows = gather(table, ids)
    assert rows.dtype == dtype
    np.testing.assert_array_equal(rows, table[ids])


@pytest.mark.parametrize("features", [3, 40])
def test_scatter_add_leaves_out_one_number(features, monkeypatch):
    monkeypatch.setattr(embedding, "PER_CHUNK", 1)
    rows, ids, table = np.ones((4, features)), np.array([2, 1, 2, 0]), np.zeros((3, features))
    scatter_add(rows, ids, table, skip=2)
    assert table[:, 0].tolist() == [1, 1, 0]


@pytest.mark.parametrize("features", [1, 16, 37, 64])
def test_scatter_add_accumulates_repeated_numbers(dtype, features):
    table, ids, rows = draw(dtype, features=features)
    expected = table.copy()
    np.add.at(expected, ids, rows)
    scatter_add(rows, ids, table)
    np.testing.assert_array_equal(table, expected)


def test_untouched_rows_stay(dtype):
    table, _, rows = draw(dtype)
    before = table.copy()
    scatter_add(rows[:2], np.array([3, 3]), table)
    assert (table[3] != before[3]).all()
    np.testing.assert_array_equal(np.delete(table, 3, 0), np.delete(before, 3, 0))


def test_the_bits_do_not_depend_on_the_number_of_threads(monkeypatch):
    monkeypatch.setattr(embedding, "PER_CHUNK", 1)
    table, ids, rows = draw(np.float32, vocabulary=3, features=64)
    many, one = table.copy(), table.copy()
    scatter_add(rows, ids, many)
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        scatter_add(rows, ids, one)
    finally:
        numba.set_num_threads(threads)
    np.testing.assert_array_equal(many, one)


def test_nothing_to_do(dtype):
    table, _, _ = draw(dtype)
    before = table.copy()
    none = np.empty(0, np.int64)
    assert gather(table, none).shape == (0, 37)
    scatter_add(np.empty((0, 37), np.float32), none, table)
    np.testing.assert_array_equal(table, before)


def test_nan_and_infinity_pass(dtype):
    table, ids, rows = draw(dtype)
    rows[ids == ids[0], :2] = np.nan, -np.inf
    scatter_add(rows, ids, table)
    assert np.isnan(table[ids[0], 0])
    assert table[ids[0], 1] == -np.inf
    assert np.isfinite(np.delete(table, ids[0], 0)).all()
    np.testing.assert_array_equal(gather(table, ids), table[ids])


def test_torch_agrees():
    torch = pytest.importorskip("torch")
    table, ids, rows = draw(np.float64)
    theirs = torch.tensor(table, requires_grad=True)
    out = torch.nn.functional.embedding(torch.tensor(ids), theirs)
    np.testing.assert_array_equal(gather(table, ids), out.detach())
    out.backward(torch.tensor(rows))
    gradient = np.zeros_like(table)
    scatter_add(rows, ids, gradient)
    np.testing.assert_allclose(gradient, theirs.grad, rtol=1e-12)
