"""The lesson: every step computes the product, and its measuring names each. No speed is tested."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.kernels import gemm, matmul
from tools.bench.groups import lesson, lesson_steps
from tools.bench.measure import Result

PLAIN = [lesson_steps.three_loops, lesson_steps.three_loops_compiled, lesson_steps.along_rows]
TILED = [lesson_steps.in_registers, lesson_steps.packed, lesson_steps.in_cache]
needs_vectors = pytest.mark.skipif(not matmul.compiles(), reason="needs vectors that this CPU or mode lacks")


@pytest.mark.parametrize("step", [*PLAIN, *(pytest.param(step, marks=needs_vectors) for step in TILED)])
@pytest.mark.parametrize("shape", [(1, 1, 1), (13, 7, 33), (12, 5, 32), (5, 40, 70), (25, 9, 31)])
def test_every_step_is_the_product(step, shape, rng):
    rows, depth, cols = shape
    a, b = rng.standard_normal((rows, depth), np.float32), rng.standard_normal((depth, cols), np.float32)
    c = np.full((rows, cols), np.nan, np.float32)
    step(a, b, c)
    np.testing.assert_allclose(c, np.matmul(a, b), rtol=1e-5, atol=1e-5)


@needs_vectors
def test_blocks_meet_at_their_edges(rng):
    shape = gemm.ROW_BLOCK + 13, gemm.DEPTH_BLOCK + 3, gemm.COLUMN_BLOCK + 37
    a, b = rng.standard_normal(shape[:2], np.float32), rng.standard_normal(shape[1:], np.float32)
    c = np.full((shape[0], shape[2]), np.nan, np.float32)
    lesson_steps.in_cache(a, b, c)
    np.testing.assert_allclose(c, np.matmul(a, b), rtol=1e-4, atol=1e-4)


@needs_vectors
def test_steps_are_measured_in_order_and_enter_no_mean(monkeypatch):
    monkeypatch.setattr(lesson, "SIZE", 16)
    monkeypatch.setattr(lesson, "LARGE", 40)
    monkeypatch.setattr(lesson.threads, "get_num_threads", lambda: 1)
    found = list(lesson.contests({"minigrad": mg, "numpy": np}))
    tiled = ["+ a tile of C in registers", "+ B packed", "+ blocks for the caches", "the kernel, threads: 1"]
    assert [contest.name for contest in found] == [
        "three loops in Python, n = 64",
        "the same, compiled, n = 16",
        "+ along rows, n = 16",
        *(f"{name}, n = {size}" for size in (16, 40) for name in tiled),
        "limit: multiply-adds alone, threads: 1",
    ]
    assert {contest.section for contest in found} == {None}
    assert [set(contest.sides) for contest in found] == [{"minigrad", "numpy"}] * 11 + [{"minigrad"}]
    for contest in found[1:-1]:
        contest.sides["minigrad"]()


def test_without_vectors_the_lesson_ends_with_what_any_cpu_can(monkeypatch):
    monkeypatch.setattr(matmul, "compiles", lambda: False)
    assert len(list(lesson.contests({"minigrad": mg}))) == 3


def test_shares_are_of_the_limit_of_one_thread():
    results = [
        Result("lesson", name, amount, "GFLOP", {"minigrad": [1.0]})
        for name, amount in (("first", 25.0), (f"{lesson._LIMIT}, threads: 1", 100.0), (f"{lesson._LIMIT}, threads: 2", 200.0))
    ]
    assert lesson.remarks(results) == [f"{'first':40}     25.0 % of the limit of one thread"]
    assert lesson.remarks(results[:1]) == []
