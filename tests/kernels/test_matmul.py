"""The matrix product. Operands of small integers make every sum exact, so results must equal NumPy's to the last bit."""

import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minigrad.errors import UsageError
from minigrad.kernels import gemm
from minigrad.kernels import matmul as module
from minigrad.kernels.matmul import choose, matmul
from minigrad.kernels.microkernel import tile_shape, vector_bytes
from minigrad.kernels.threads import get_num_threads, set_num_threads

compiled = pytest.mark.skipif(
    bool(numba.config.DISABLE_JIT) or vector_bytes() == 0, reason="needs the compiled kernel, so the JIT and a known CPU"
)
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True, scope="module")
def numba_mode():
    """Sends every product through the kernel, also those that would go to the BLAS for speed."""
    before = module._mode
    module._use("numba")
    yield
    module._use(before)


def integers(shape, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).integers(-8, 9, shape).astype(dtype)


def in_a_new_process(code, **environment):
    command, environment = [sys.executable, "-c", code], {**os.environ, **environment}
    return subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout.split()


def check(a, b):
    expected = np.matmul(a.astype(np.int64), b.astype(np.int64))
    result = matmul(a, b)
    assert result.dtype == a.dtype
    assert result.shape == expected.shape
    np.testing.assert_array_equal(result, expected)


# One element, one tile with and without its edges, several tiles, and more than one block in depth, columns and rows.
SHAPES = [(1, 1, 1), (3, 1, 2), (5, 7, 9), (12, 16, 32), (13, 17, 33), (24, 31, 48), (70, 300, 77), (7, 9, 1100), (800, 5, 40)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("transpose_b", [False, True])
@pytest.mark.parametrize("transpose_a", [False, True])
@pytest.mark.parametrize("rows, depth, cols", SHAPES)
def test_matrices(rows, depth, cols, transpose_a, transpose_b, dtype):
    a = integers((depth, rows), 1, dtype).T if transpose_a else integers((rows, depth), 1, dtype)
    b = integers((cols, depth), 2, dtype).T if transpose_b else integers((depth, cols), 2, dtype)
    check(a, b)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_tile_edge(dtype):
    tile_rows, tile_cols, _ = tile_shape(np.dtype(dtype).itemsize) if vector_bytes() else (4, 8, 0)
    a, b = integers((tile_rows + 1, 3), 1, dtype), integers((3, tile_cols + 1), 2, dtype)
    for rows in range(1, tile_rows + 2):
        for cols in range(1, tile_cols + 2):
            check(a[:rows], b[:, :cols])


def test_rows_on_one_cache_set_are_packed():
    check(integers((30, 1024), 1), integers((1024, 600), 2))


def test_error_bound():
    """Of a sum of n products, in any order: n eps |a| @ |b|. Higham, Accuracy and Stability of Numerical Algorithms, 3.1."""
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((100, 700), np.float32), rng.standard_normal((700, 90), np.float32)
    exact = a.astype(np.float64) @ b
    bound = 700 * np.finfo(np.float32).eps * (np.abs(a).astype(np.float64) @ np.abs(b))
    assert (np.abs(matmul(a, b) - exact) <= bound).all()


@pytest.mark.parametrize(
    "left, right",
    [
        ((4, 5, 6), (4, 6, 7)),
        ((2, 3, 5, 6), (2, 3, 6, 7)),
        ((2, 1, 5, 6), (1, 3, 6, 7)),
        ((3, 5, 6), (2, 1, 6, 7)),
        ((5, 6), (3, 6, 7)),
        ((3, 5, 6), (6, 7)),
        ((2, 3, 5, 6), (6, 7)),
        ((2, 1, 3, 5, 6), (4, 1, 6, 7)),
        ((6,), (6,)),
        ((6,), (6, 7)),
        ((5, 6), (6,)),
        ((6,), (3, 6, 7)),
        ((2, 3, 5, 6), (6,)),
        ((700,), (700, 90)),
        ((90, 700), (700,)),
    ],
)
def test_dimensions_and_broadcasting(left, right):
    check(integers(left, 1), integers(right, 2))


def test_attention_views():
    """(batch, time, heads, features) seen as (batch, heads, time, features), and transposed again."""
    query, key = integers((3, 11, 2, 32), 1).transpose(0, 2, 1, 3), integers((3, 17, 2, 32), 2).transpose(0, 2, 1, 3)
    check(query, key.swapaxes(-1, -2))
    weights = integers((3, 2, 11, 17), 3)
    check(weights, key)
    check(weights.swapaxes(-1, -2), query)


@st.composite
def operands(draw):
    """Two matrices, or batches of them, seen through transposes, steps, reversals and broadcasts."""
    rows, depth, cols = (draw(st.integers(1, 40)) for _ in range(3))
    lead = draw(st.lists(st.integers(1, 3), max_size=3))

    def view(shape, seed):
        kept = draw(st.integers(0, len(lead)))
        batch = tuple(n if draw(st.booleans()) else 1 for n in lead[len(lead) - kept :])
        if draw(st.booleans()):
            x = integers((*batch, *shape[::-1]), seed).swapaxes(-1, -2)
        else:
            x = integers((*batch, *shape), seed)
        how = draw(st.sampled_from(["plain", "step", "reversed rows", "reversed columns", "repeated row"]))
        if how == "step":
            x = np.repeat(np.repeat(x, 2, -1), 3, -2)[..., ::3, ::2]
        elif how == "reversed rows":
            x = x[..., ::-1, :]
        elif how == "reversed columns":
            x = x[..., ::-1]
        elif how == "repeated row":
            x = np.broadcast_to(x[..., :1, :], x.shape)
        return x

    return view((rows, depth), 1), view((depth, cols), 2)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(operands())
def test_any_strides(pair):
    check(*pair)


def test_operands_may_be_read_only_and_unaligned():
    a, b = integers((20, 30), 1), integers((30, 40), 2)
    a.flags.writeable = False
    raw = np.zeros(b.nbytes + 1, np.uint8)
    unaligned = raw[1:].view(np.float32).reshape(b.shape)
    unaligned[...] = b
    assert not unaligned.flags.aligned
    np.testing.assert_array_equal(matmul(a, unaligned), np.matmul(a, b))


@pytest.mark.parametrize(
    "left, right", [((0, 4), (4, 5)), ((3, 0), (0, 5)), ((3, 4), (4, 0)), ((0, 3, 4), (4, 5)), ((2, 3, 0), (2, 0, 5))]
)
@pytest.mark.parametrize("mode", ["numba", "auto"])
def test_empty_operands(left, right, mode):
    module._use(mode)
    try:
        check(np.ones(left, np.float32), np.ones(right, np.float32))
    finally:
        module._use("numba")


@pytest.mark.parametrize("depth", [9, 300])
def test_nan_and_infinity_stay_in_their_row_and_column(depth):
    a, b = integers((30, depth), 1), integers((depth, 50), 2)
    a[3, 5], a[7, 1], b[2, 11], b[0, 20] = np.nan, np.inf, -np.inf, np.nan
    with np.errstate(invalid="ignore"):
        expected, result = np.matmul(a, b), matmul(a, b)
    np.testing.assert_array_equal(result, expected)
    assert np.isnan(expected[3]).all() and not np.isnan(expected[4, 0])


def test_zero_times_infinity_is_nan():
    a, b = np.zeros((20, 20), np.float32), np.full((20, 20), np.inf, np.float32)
    with np.errstate(invalid="ignore"):
        assert np.isnan(matmul(a, b)).all()


class TestOut:
    def test_is_filled_and_returned(self):
        a, b = integers((20, 30), 1), integers((30, 40), 2)
        out = np.full((20, 40), np.nan, np.float32)
        assert matmul(a, b, out) is out
        np.testing.assert_array_equal(out, np.matmul(a, b))

    @pytest.mark.parametrize("depth", [30, 600])
    @pytest.mark.parametrize("batch", [(), (4,), (2, 1, 3)])
    def test_accumulates(self, batch, depth):
        a, b, start = integers((*batch, 20, depth), 1), integers((*batch, depth, 45), 2), integers((*batch, 20, 45), 3)
        out = start.copy()
        assert matmul(a, b, out=out, start=out) is out
        np.testing.assert_array_equal(out, start + np.matmul(a, b))

    @pytest.mark.parametrize("accumulate", [False, True])
    @pytest.mark.parametrize("view", [np.s_[:, 5:45], np.s_[::2, 5:45], np.s_[:, ::2], np.s_[::-1, 3:]])
    def test_may_be_a_view(self, view, accumulate):
        around = integers((40, 90), 3)
        expected = around.copy()
        out = around[view]
        a, b = integers((out.shape[0], 30), 1), integers((30, out.shape[1]), 2)
        expected[view] = np.matmul(a, b) + (expected[view] if accumulate else 0)
        matmul(a, b, out, start=out if accumulate else None)
        np.testing.assert_array_equal(around, expected)

    def test_may_be_an_operand(self):
        a, b = integers((30, 30), 1), integers((30, 30), 2)
        expected = np.matmul(a, b)
        np.testing.assert_array_equal(matmul(a, b, out=a), expected)

    def test_of_a_wider_dtype_is_cast_to(self):
        a, b = integers((20, 30), 1), integers((30, 40), 2)
        out = np.empty((20, 40), np.float64)
        np.testing.assert_array_equal(matmul(a, b, out), np.matmul(a, b))

    def test_of_another_shape_is_refused(self):
        with pytest.raises(ValueError, match="mismatch"):
            matmul(integers((20, 30)), integers((30, 40)), np.empty((20, 41), np.float32))

    def test_read_only_is_refused(self):
        out = np.zeros((20, 40), np.float32)
        out.flags.writeable = False
        with pytest.raises(ValueError, match="read-only"):
            matmul(integers((20, 30)), integers((30, 40)), out)


class TestStart:
    """``start + a @ b``."""

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    @pytest.mark.parametrize("depth", [9, 600])
    @pytest.mark.parametrize("shape", [(45,), (1, 45), (50, 45), (50, 1), (1, 1), ()])
    def test_broadcasts_as_in_addition(self, shape, depth, dtype):
        a, b, start = integers((50, depth), 1, dtype), integers((depth, 45), 2, dtype), integers(shape, 3, dtype)
        result = matmul(a, b, start=start)
        assert result.dtype == dtype
        np.testing.assert_array_equal(result, np.matmul(a, b) + start)
        np.testing.assert_array_equal(start, integers(shape, 3, dtype))

    @pytest.mark.parametrize(
        "view", [np.s_[:, 5:50], np.s_[::2, 5:50], np.s_[:, ::2], np.s_[::-1, :45], np.s_[:1, :45], np.s_[3, 4:49]]
    )
    def test_may_be_a_view(self, view):
        around = integers((100, 90), 3)
        start = around[view]
        a, b = integers((50 if len(start) != 100 else 100, 30), 1), integers((30, 45), 2)
        np.testing.assert_array_equal(matmul(a, b, start=start), np.matmul(a, b) + start)

    @pytest.mark.parametrize(
        "left, right, shape",
        [
            ((3, 20, 30), (3, 30, 40), (40,)),
            ((3, 20, 30), (3, 30, 40), (3, 1, 40)),
            ((3, 20, 30), (3, 30, 40), (20, 40)),
            ((3, 20, 30), (30, 40), (3, 20, 40)),
            ((3, 20, 30), (30, 40), (40,)),
            ((2, 1, 3, 20, 30), (4, 1, 30, 40), (3, 20, 40)),
            ((30,), (30, 40), (40,)),
            ((20, 30), (30,), (20,)),
            ((20, 30), (30,), (1,)),
            ((30,), (30,), ()),
        ],
    )
    def test_of_batches_and_vectors(self, left, right, shape):
        a, b, start = integers(left, 1), integers(right, 2), integers(shape, 3)
        np.testing.assert_array_equal(matmul(a, b, start=start), np.matmul(a, b) + start)

    def test_into_an_array(self):
        a, b, bias, out = integers((50, 30), 1), integers((30, 45), 2), integers(45, 3), np.empty((50, 45), np.float32)
        assert matmul(a, b, out=out, start=bias) is out
        np.testing.assert_array_equal(out, np.matmul(a, b) + bias)

    @pytest.mark.parametrize("shift", [0, 1])
    def test_may_share_memory_with_the_result(self, shift):
        a, b, around = integers((50, 30), 1), integers((30, 45), 2), integers((51, 45), 3)
        out, start = around[:50], around[shift : shift + 50]
        expected = np.matmul(a, b) + start
        matmul(a, b, out=out, start=start)
        np.testing.assert_array_equal(out, expected)

    def test_of_another_dtype_takes_that_of_the_product(self):
        a, b, start = integers((50, 30), 1), integers((30, 45), 2), integers(45, 3, np.float64)
        result = matmul(a, b, start=start)
        assert result.dtype == np.float32
        np.testing.assert_array_equal(result, np.matmul(a, b) + start)

    @pytest.mark.parametrize("mode", ["numba", "auto"])
    @pytest.mark.parametrize("shape", [(44,), (2, 45), (51, 45), (1, 50, 46)])
    def test_of_another_shape_is_refused(self, shape, mode):
        module._use(mode)
        try:
            with pytest.raises(ValueError):
                matmul(integers((50, 30)), integers((30, 45)), start=integers(shape))
        finally:
            module._use("numba")

    def test_nan_and_infinity_stay_in_their_column(self):
        bias = integers(45, 3)
        bias[3], bias[40] = np.nan, -np.inf
        a, b = integers((50, 30), 1), integers((30, 45), 2)
        np.testing.assert_array_equal(matmul(a, b, start=bias), np.matmul(a, b) + bias)

    def test_without_depth(self):
        np.testing.assert_array_equal(matmul(integers((4, 0)), integers((0, 5)), start=integers(5, 3)), [integers(5, 3)] * 4)

    def test_in_numpy(self):
        """What goes to the BLAS, and dtypes that there is no kernel for."""
        module._use("blas")
        try:
            for dtype in (np.float32, np.int64):
                a, b, bias = integers((50, 30), 1, dtype), integers((30, 45), 2, dtype), integers(45, 3, dtype)
                out = np.empty((50, 45), dtype)
                assert matmul(a, b, out=out, start=bias) is out
                np.testing.assert_array_equal(out, np.matmul(a, b) + bias)
                np.testing.assert_array_equal(matmul(a, b, start=bias), out)
        finally:
            module._use("numba")


@pytest.mark.parametrize("started", [False, True])
@pytest.mark.parametrize("rows", [1, 2, 16, 32, 33])
def test_few_rows_times_a_large_transposed_matrix(rows, started):
    a, b = integers((rows, 300), 1), integers((400, 300), 2).T
    start = integers(400, 3) if started else None
    expected = np.matmul(a, b) + (0 if start is None else start)
    np.testing.assert_array_equal(matmul(a, b, start=start), expected)
    np.testing.assert_array_equal(matmul(a[None], b, start=start), expected[None])
    out = np.full((rows, 500), np.nan, np.float32)
    matmul(a, b, out=out[:, 50:450], start=start)
    np.testing.assert_array_equal(out[:, 50:450], expected)
    assert np.isnan(out[:, :50]).all() and np.isnan(out[:, 450:]).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rows", [1, 13, 50, 100])
@pytest.mark.parametrize("cols", [32, 64, 50])
def test_nothing_around_the_operands_is_read_or_written(rows, cols, dtype):
    """B is packed, or read where it lies: by the number of rows, and whether its own are whole vectors."""
    around_a, around_b, around_c = (np.full((170, 170), np.nan, dtype) for _ in range(3))
    a, b, c = around_a[3 : 3 + rows, 5:155], around_b[7:157, 2 : 2 + cols], around_c[4 : 4 + rows, 9 : 9 + cols]
    a[...], b[...], bias = integers(a.shape, 1, dtype), integers(b.shape, 2, dtype), integers(cols, 3, dtype)
    matmul(a, b, out=c, start=bias)
    np.testing.assert_array_equal(c, np.matmul(a, b) + bias)
    c[...] = np.nan
    assert np.isnan(around_c).all()


@pytest.mark.parametrize("left, right", [((3, 4), (5, 6)), ((2, 3, 4), (3, 4, 5)), ((3,), (4,)), ((3, 4), ()), ((), (3,))])
@pytest.mark.parametrize("mode", ["numba", "auto"])
def test_shapes_that_do_not_fit_are_refused(left, right, mode):
    module._use(mode)
    try:
        with pytest.raises(ValueError):
            matmul(np.ones(left, np.float32), np.ones(right, np.float32))
    finally:
        module._use("numba")


@pytest.mark.parametrize(
    "a, b",
    [(np.int64, np.int64), (np.float16, np.float16), (np.complex64, np.complex64), (np.float32, np.float64), (bool, bool)],
)
def test_other_dtypes_follow_numpy(a, b):
    x, y = integers((20, 30), 1).astype(a), integers((30, 40), 2).astype(b)
    result = matmul(x, y)
    assert result.dtype == np.matmul(x, y).dtype
    np.testing.assert_array_equal(result, np.matmul(x, y))


def test_swapped_bytes_follow_numpy():
    a, b = integers((20, 30), 1), integers((30, 40), 2)
    np.testing.assert_array_equal(matmul(a.astype(">f4"), b), np.matmul(a, b))


@compiled
@pytest.mark.parametrize("left, right", [((200, 700), (700, 90)), ((90, 700), (700, 600)), ((5, 70, 90), (5, 90, 80))])
def test_any_number_of_threads_gives_the_same_bits(left, right):
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal(left, np.float32), rng.standard_normal(right, np.float32)
    before = get_num_threads()
    results = [matmul(a, b)]
    try:
        for count in range(1, before + 1):
            set_num_threads(count)
            results.append(matmul(a, b))
    finally:
        set_num_threads(before)
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


@compiled
@pytest.mark.parametrize("threads", range(1, 9))
@pytest.mark.parametrize("rows, cols, matrices", [(100, 100, 1), (13, 700, 1), (3000, 40, 1), (64, 64, 3), (70, 33, 40)])
def test_the_parts_cover_each_matrix(threads, rows, cols, matrices):
    """Run one after another, the parts of any number of threads make up the product."""
    a, b = integers((1, matrices, rows, 64), 1), integers((1, matrices, 64, cols), 2)
    out = np.full((1, matrices, rows, cols), np.nan, np.float32)
    kernel = gemm.gemm(np.dtype(np.float32))
    scratch = gemm._lines(threads, gemm._SCRATCH, out.dtype)
    job = np.zeros(1, gemm.JOB)
    job["scratch"], job["scratch_step"] = scratch.ctypes.data, scratch.strides[0]
    kernel._start(kernel._function, job.ctypes.data, a, b, out, False, out, threads)
    share = kernel._part.ctypes
    for part in range(threads):
        share(part, threads, job.ctypes.data_as(share.argtypes[2]))
    np.testing.assert_array_equal(out, np.matmul(a, b))


class TestChoice:
    @pytest.fixture(autouse=True)
    def restore(self):
        yield
        module._use("numba")

    @compiled
    @pytest.mark.skipif(vector_bytes() == 16, reason="auto is the BLAS with vectors of 128 bits")
    def test_auto_keeps_small_products_and_vectors_in_the_blas(self):
        module._use("auto")
        assert not choose(1, 64, 64, 64)
        assert choose(1, 65, 64, 64)
        assert choose(1, 52, 52, 52, 8) and not choose(1, 50, 50, 50, 8)
        assert not choose(1, 1, 512, 1024) and not choose(1, 1024, 512, 1)
        assert choose(100, 1, 64, 64) and not choose(100, 64, 64, 1)
        assert choose(100, 30, 32, 30)
        assert not choose(100, 30, 0, 30)

    @compiled
    def test_can_be_overridden(self):
        module._use("numba")
        assert choose(1, 2, 2, 2)
        module._use("blas")
        assert not choose(1, 1000, 1000, 1000)

    @pytest.mark.parametrize("mode", ["blas", "auto"])
    def test_does_not_change_the_product(self, mode):
        module._use(mode)
        check(integers((5, 6), 1), integers((6, 7), 2))
        check(integers((90, 80), 1), integers((70, 80), 2).T)
        check(integers((40, 30, 32), 1), integers((40, 20, 32), 2).swapaxes(1, 2))

    def test_a_bad_override_is_refused_with_the_good_ones(self):
        with pytest.raises(UsageError, match="numba, blas or auto: got 'mkl'"):
            module._use("mkl")

    def test_the_environment_overrides(self):
        code = "from minigrad.kernels import matmul; print(matmul._mode)"
        environment = {**os.environ, "MINIGRAD_MATMUL": "blas"}
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == "blas"


@compiled
def test_the_next_process_finds_the_compiled_kernel():
    matmul(integers((5, 6)), integers((6, 7)))
    code = """if True:
        import numpy as np
        from minigrad.kernels.gemm import gemm
        kernel = gemm(np.dtype(np.float32))
        print(kernel._part.cache_hits, *(sum(f.stats.cache_misses.values()) for f in (kernel._start, kernel._launch)))
    """
    assert in_a_new_process(code) == ["1", "0", "0"]
