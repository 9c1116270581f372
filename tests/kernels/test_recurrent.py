"""Recurrent layers through time: schedules, both ways of walking them, bits and threads, NaN, and long or odd shapes."""

import numpy as np
import pytest

from minigrad.kernels import recurrent, recurrent_walk
from minigrad.kernels.gemm import DEPTH_BLOCK
from minigrad.kernels.matmul import compiles
from minigrad.kernels.microkernel import tile_shape
from minigrad.kernels.panels import packed
from minigrad.kernels.recurrent_walk import schedule_of
from minigrad.kernels.threads import get_num_threads, set_num_threads

CELLS = {"lstm": recurrent.LSTM, "gru": recurrent.GRU, "tanh": recurrent.TANH, "relu": recurrent.RELU}
DTYPES = [np.float32, np.float64]
ALL = (True,) * 7


def operands(cell, sizes, features=3, hidden=5, dtype=np.float64, seed=0):
    """x, h0, c0, weights and biases, and the gradient by the output."""
    rng = np.random.default_rng(seed)
    rows, batch, n = sum(sizes), sizes[0], cell.gates * hidden
    lstm = cell is recurrent.LSTM
    shapes = [(rows, features), (batch, hidden), (batch, hidden), (n, features), (n, hidden), (n,), (n,)]
    arrays = [(rng.standard_normal(s) / np.sqrt(s[-1] if len(s) > 1 else 1)).astype(dtype) for s in shapes]
    if not lstm:
        arrays[2] = None
    return arrays, rng.standard_normal((rows + batch * lstm, hidden)).astype(dtype)


def run(cell, arrays, g, sizes, reverse=False, flow=False):
    """The output, the seven gradients, and the flow."""
    sizes = np.array(sizes)
    out, kept = recurrent.forward(cell, *arrays, sizes, reverse)
    norms = np.full(len(arrays[0]) if flow else 0, np.nan, out.dtype)
    gradients = recurrent.backward(cell, g, *arrays[:5], sizes, out, kept, ALL, norms)
    return [out, *gradients, norms]


def by_formula(cell, arrays, sizes, reverse=False):
    """The output alone, one sequence after the other, in float64."""
    x, h0, c0, weight_ih, weight_hh, bias_ih, bias_hh = (None if a is None else a.astype(np.float64) for a in arrays)
    starts = np.cumsum(sizes) - sizes
    out, cells = np.empty((len(x), h0.shape[1])), []

    def sigmoid(z):
        return 1 / (1 + np.exp(-z))

    for b in range(sizes[0]):
        rows = [start + b for start, size in zip(starts, sizes) if b < size]
        h, c = h0[b], None if c0 is None else c0[b]
        for row in reversed(rows) if reverse else rows:
            a, s = weight_ih @ x[row] + bias_ih, weight_hh @ h + bias_hh
            if cell is recurrent.LSTM:
                i, f, g, o = np.split(a + s, 4)
                c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
                h = sigmoid(o) * np.tanh(c)
            elif cell is recurrent.GRU:
                (r, z, n), (hr, hz, hn) = np.split(a, 3), np.split(s, 3)
                n = np.tanh(n + sigmoid(r + hr) * hn)
                h = (1 - sigmoid(z + hz)) * n + sigmoid(z + hz) * h
            else:
                h = np.tanh(a + s) if cell is recurrent.TANH else np.maximum(a + s, 0)
            out[row] = h
        cells.append(c)
    return out if c0 is None else np.concatenate([out, cells])


def same(found, expected, **tolerance):
    for a, b in zip(found, expected, strict=True):
        if a is not None:
            np.testing.assert_allclose(a, b, **tolerance)


def same_bits(found, expected):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.fixture
def step_by_step(monkeypatch):
    """Walk as where the BLAS is preferred."""
    return lambda: monkeypatch.setattr(recurrent_walk, "prefers_numpy", lambda: True)


needs_compiler = pytest.mark.skipif(not compiles(), reason="needs the compiled kernels, so the JIT and a known CPU")


# -- schedules ----------------------------------------------------------------------------------------------------------


def test_a_schedule_forwards():
    assert schedule_of(np.array([3, 2, 2, 1]), False).tolist() == [[0, 0, 3, -1], [3, 0, 2, 0], [5, 0, 2, 3], [7, 0, 1, 5]]


def test_a_schedule_backwards_begins_each_sequence_at_its_own_end():
    assert schedule_of(np.array([3, 2, 2, 1]), True).tolist() == [
        *[[7, 0, 1, -1], [5, 0, 1, 7], [6, 1, 1, -1], [3, 0, 2, 5], [0, 0, 2, 3], [2, 2, 1, -1]]
    ]


def test_the_rows_of_the_last_states():
    sizes = np.array([3, 2, 2, 1])
    assert recurrent.last_rows(sizes, False).tolist() == [7, 6, 2]
    assert recurrent.last_rows(sizes, True).tolist() == [0, 1, 2]


@pytest.mark.parametrize("parts", [1, 2, 3, 7])
@pytest.mark.parametrize("sizes", [(7, 7, 7), (7, 5, 1, 1, 1, 1), (9,)])
def test_threads_share_the_sequences(sizes, parts):
    schedule = schedule_of(np.array(sizes), False)
    borders = recurrent_walk._shares(schedule, sizes[0], parts)
    assert borders[0] == 0 and borders[-1] == sizes[0] and len(borders) == parts + 1
    assert (np.diff(borders) >= 0).all()


# -- values -------------------------------------------------------------------------------------------------------------

SHAPES = [([2, 2, 2, 2], 3, 5), ([4, 3, 3, 1, 1], 2, 17), ([1], 3, 4), ([3], 1, 1), ([1] * 6, 40, 33), ([13] * 4, 20, 64)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", CELLS)
def test_the_output_is_that_of_the_formula(name, shape, reverse, dtype):
    sizes, features, hidden = shape
    arrays, _ = operands(CELLS[name], sizes, features, hidden, dtype)
    out, _ = recurrent.forward(CELLS[name], *arrays, np.array(sizes), reverse)
    assert out.dtype == dtype
    expected = by_formula(CELLS[name], arrays, np.array(sizes), reverse)
    np.testing.assert_allclose(out, expected, rtol=0, atol=30 * np.finfo(dtype).eps)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_finite_differences_confirm_every_gradient(name, reverse):
    sizes = [3, 2, 1]
    arrays, g = operands(CELLS[name], sizes, 2, 3)
    gradients = run(CELLS[name], arrays, g, sizes, reverse)[1:8]
    for array, gradient in zip(arrays, gradients):
        if array is None:
            assert gradient is None
            continue
        for index in np.ndindex(array.shape):
            before = array[index]
            sides = []
            for step in (1e-6, -1e-6):
                array[index] = before + step
                sides.append((recurrent.forward(CELLS[name], *arrays, np.array(sizes), reverse)[0] * g).sum())
            array[index] = before
            assert gradient[index] == pytest.approx((sides[0] - sides[1]) / 2e-6, rel=1e-6, abs=1e-8)


@needs_compiler
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_both_ways_of_walking_agree(name, reverse, dtype, step_by_step):
    for sizes, hidden in (([5, 5, 5, 5], 33), ([30, 29, 17, 2, 1], 70)):
        arrays, g = operands(CELLS[name], sizes, 8, hidden, dtype)
        compiled = run(CELLS[name], arrays, g, sizes, reverse, flow=True)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(recurrent_walk, "prefers_numpy", lambda: True)
            stepwise = run(CELLS[name], arrays, g, sizes, reverse, flow=True)
        eps = np.finfo(dtype).eps
        same(stepwise, compiled, rtol=100 * eps, atol=200 * eps)


@pytest.mark.parametrize("name", CELLS)
def test_only_what_is_needed_is_computed(name):
    sizes = [3, 2, 1]
    arrays, g = operands(CELLS[name], sizes)
    expected = run(CELLS[name], arrays, g, sizes)[1:8]
    out, kept = recurrent.forward(CELLS[name], *arrays, np.array(sizes), False)
    none = recurrent.backward(CELLS[name], g, *arrays[:5], np.array(sizes), out, kept, (False,) * 7, np.empty(0))
    same_bits(none[1:3], expected[1:3])  # the walk gives these anyway
    assert all(gradient is None for gradient in (none[0], *none[3:]))


@pytest.mark.parametrize("name", CELLS)
def test_backward_changes_nothing_it_reads(name):
    sizes = [3, 3, 1, 1]
    arrays, g = operands(CELLS[name], sizes)
    out, kept = recurrent.forward(CELLS[name], *arrays, np.array(sizes), False)
    first, second = (
        recurrent.backward(CELLS[name], g, *arrays[:5], np.array(sizes), out, kept, ALL, np.empty(0)) for _ in range(2)
    )
    same_bits(first, second)


@pytest.mark.parametrize("name", CELLS)
def test_a_sequence_goes_its_way_alone(name):
    """The bits of a sequence depend neither on the others nor on their lengths."""
    sizes = [4, 3, 3, 1]
    arrays, _ = operands(CELLS[name], sizes, dtype=np.float32)
    out, _ = recurrent.forward(CELLS[name], *arrays, np.array(sizes), False)
    rows = np.array([1, 5, 8])  # of the second sequence
    alone = [arrays[0][rows], arrays[1][1:2], None if arrays[2] is None else arrays[2][1:2], *arrays[3:]]
    single, _ = recurrent.forward(CELLS[name], *alone, np.array([1, 1, 1]), False)
    np.testing.assert_allclose(single[:3], out[rows], rtol=1e-6)


@needs_compiler
@pytest.mark.parametrize("name", CELLS)
def test_any_number_of_threads_gives_the_same_bits(name):
    sizes = [40, 40, 31, 30, 7]
    arrays, g = operands(CELLS[name], sizes, 50, 60, np.float32)
    before = get_num_threads()
    results = []
    try:
        for threads in range(1, before + 1):
            set_num_threads(threads)
            results.append(run(CELLS[name], arrays, g, sizes, flow=True))
    finally:
        set_num_threads(before)
    for other in results[1:]:
        same_bits(other, results[0])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("name", CELLS)
def test_nan_and_infinity_go_on_through_time(name, bad):
    sizes = [3, 3, 3, 3]
    arrays, g = operands(CELLS[name], sizes)
    arrays[0][4] = bad  # the second step of the second sequence
    with np.errstate(all="ignore"):
        results = run(CELLS[name], arrays, g, sizes)
        expected = by_formula(CELLS[name], arrays, np.array(sizes))
    np.testing.assert_allclose(results[0], expected, rtol=1e-12, atol=1e-12)
    if np.isnan(bad):
        out = results[0][:12].reshape(4, 3, -1)
        assert np.isnan(out[1:, 1]).all() and np.isfinite(out[:, [0, 2]]).all() and np.isfinite(out[0]).all()
        gx = results[1].reshape(4, 3, -1)
        assert np.isfinite(gx[:, [0, 2]]).all()
        assert np.isnan(gx[:, 1]).all() or name == "relu"  # whose slope is 1 there, as in PyTorch
        assert np.isnan(results[4]).any()


def test_a_thousand_steps():
    sizes = [1] * 1000
    arrays, g = operands(recurrent.GRU, sizes, 3, 4, np.float32)
    out, *gradients, flow = run(recurrent.GRU, arrays, g, sizes, flow=True)
    np.testing.assert_allclose(out, by_formula(recurrent.GRU, arrays, np.array(sizes)), atol=1e-4)
    assert all(np.isfinite(x).all() for x in (flow, *gradients) if x is not None)


# -- packed products ----------------------------------------------------------------------------------------------------


@needs_compiler
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (256, 64), (257, 65), (600, 530), (1, 40), (40, 1)])
def test_a_panel_holds_the_vectors_of_a_row_of_b_side_by_side(shape, transposed, dtype):
    depth, cols = shape
    b = np.arange(1, depth * cols + 1, dtype=dtype)
    b = b.reshape(cols, depth).T if transposed else b.reshape(depth, cols)
    width = tile_shape(b.itemsize)[1]
    panels = packed(b)
    position = 0
    for top in range(0, depth, DEPTH_BLOCK):
        block = b[top : top + DEPTH_BLOCK]
        for left in range(0, cols, width):
            columns = block[:, left : left + width]
            panel = panels[position : position + len(block) * width].reshape(len(block), width)
            np.testing.assert_array_equal(panel[:, : columns.shape[1]], columns)
            position += panel.size
