import numpy as np
import pytest

from minigrad.kernels import word2vec_rows as kernel
from minigrad.kernels.jit import core


@core
def dots(rows, at, m, others, targets, n, scores):
    kernel.dots(rows, at, m, others, targets, n, scores)


@core
def update(old, old_at, rows, at, m, others, targets, n, slopes):
    kernel.update(old, old_at, rows, at, m, others, targets, n, slopes)


@core
def lone_dots(row, others, targets, n, scores):
    kernel.lone_dots(row, others, targets, n, scores)


@core
def lone_update(row, error, others, targets, n, slopes):
    kernel.lone_update(row, error, others, targets, n, slopes)


@core
def sum_rows(rows, at, m, factor, total):
    kernel.sum_rows(rows, at, m, factor, total)


@core
def add_row(rows, at, m, row):
    kernel.add_row(rows, at, m, row)


@core
def fetch(rows, at, first, m):
    kernel.fetch(rows, at, first, m)


@pytest.fixture(params=[np.float32, np.float64])
def made(request, rng):
    dtype = request.param
    width, columns = kernel.group(np.dtype(dtype).itemsize), kernel.padded(100, np.dtype(dtype).itemsize)
    rows, others = (rng.standard_normal((n, columns)).astype(dtype) for n in (50, 60))
    return rows, others, width


def close(got, expected):
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


SHAPES = [(m, n) for m in (1, 2, 3, 6, 7) for n in (1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 19)]


@pytest.mark.parametrize("compute", [dots, kernel._plain_dots])
def test_dots_are_those_of_a_matrix_product(made, rng, compute):
    rows, others, width = made
    for m, n in SHAPES if compute is dots else SHAPES[::9]:
        at, targets = rng.integers(0, 50, 10), rng.integers(0, 60, 20)
        scores = np.full((10, -(-n // width) * width), np.nan, rows.dtype)
        compute(rows, at, m, others, targets, n, scores)
        close(scores[:m, :n], rows[at[:m]] @ others[targets[:n]].T)
        assert np.isnan(scores[m:]).all()


@pytest.mark.parametrize("compute", [update, kernel._plain_update])
def test_update_adds_both_gradients(made, rng, compute):
    rows, others, width = made
    for m, n in SHAPES if compute is update else SHAPES[::9]:
        at = rng.integers(0, 50, 10)  # rows may repeat, and targets within a group
        targets = rng.integers(0, 60, 20) if n <= width else rng.permutation(60)[:20]
        slopes = rng.standard_normal((10, -(-n // width) * width)).astype(rows.dtype)
        old, order = rows[at], np.arange(10)
        got, expected = (rows.copy(), others.copy()), (rows.copy(), others.copy())
        compute(old, order, got[0], at, m, got[1], targets, n, slopes)
        kernel.update(old, order, expected[0], at, m, expected[1], targets, n, slopes)  # as its Python text says
        close(got[0], expected[0])
        close(got[1], expected[1])


def test_update_reads_rows_before_it_changes_them(made, rng):
    rows, others, width = made
    at, targets, n = rng.permutation(50)[:6], rng.permutation(60)[:width], width
    slopes = rng.standard_normal((6, width)).astype(rows.dtype)
    got, expected = (rows.copy(), others.copy()), (rows.copy(), others.copy())
    update(got[0], at, got[0], at, 6, got[1], targets, n, slopes)
    kernel.update(rows, at, expected[0], at, 6, expected[1], targets, n, slopes)
    close(got[0], expected[0])
    close(got[1], expected[1])


@pytest.mark.parametrize("plain", [False, True])
def test_sums_and_additions_of_rows(made, rng, plain):
    rows = made[0]
    add, sum_up = (kernel._plain_add_row, kernel._plain_sum_rows) if plain else (add_row, sum_rows)
    for m in (*range(1, 10), 16, 19):
        at = rng.integers(0, 50, 20)
        total = np.full((1, rows.shape[1]), np.nan, rows.dtype)
        sum_up(rows, at, m, rows.dtype.type(0.5), total)
        close(total[0], 0.5 * rows[at[:m]].sum(0))
        got, expected = rows.copy(), rows.copy()
        np.add.at(expected, at[:m], total[0])
        add(got, at, m, total)
        close(got, expected)


@pytest.mark.parametrize("plain", [False, True])
def test_one_row_against_its_targets(made, rng, plain):
    rows, others, _ = made
    width = kernel.lone_group(rows.itemsize)
    dots_of, change = (kernel._plain_lone_dots, kernel._plain_lone_update) if plain else (lone_dots, lone_update)
    for n in (*range(1, 10), 16, 19):
        # A target may repeat within a group.
        targets = rng.integers(0, 60, 20) if n <= width else rng.permutation(60)[:20]
        row, error = rows[:1].copy(), np.full_like(rows[:1], np.nan)
        scores = np.full((1, -(-n // width) * width), np.nan, rows.dtype)
        dots_of(row, others, targets, n, scores)
        close(scores[0, :n], others[targets[:n]] @ row[0])
        slopes = rng.standard_normal(scores.shape).astype(rows.dtype)
        got, expected, wanted = others.copy(), others.copy(), np.empty_like(error)
        change(row, error, got, targets, n, slopes)
        kernel.lone_update(row, wanted, expected, targets, n, slopes)  # as its Python text says
        close(error, wanted)
        close(got, expected)


def test_fetching_changes_nothing(made):
    rows = made[0]
    before = rows.copy()
    fetch(rows, np.arange(50), 3, 5)
    np.testing.assert_array_equal(rows, before)


def test_padded_rows_fill_cache_lines():
    assert [kernel.padded(size, 4) for size in (1, 16, 17, 100)] == [16, 16, 32, 112]
    assert [kernel.padded(size, 8) for size in (1, 8, 9, 100)] == [8, 8, 16, 104]
