"""New tensors, against PyTorch."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad.errors import DTypeError, MinigradError, ShapeError, UsageError
from tests.ops.against_torch import assert_both_raise, assert_same, table

ARRAYS = {
    "x": np.arange(6, dtype=np.float32).reshape(2, 3),
    "i": np.arange(3),
    "s": np.array(2.5, np.float32),
    "k": np.array(4),
    "b": np.array([True, False]),
}

SAME = table("""
lib.zeros(size=(2, 3))
lib.ones(size=(2,))
lib.empty(size=(2, 0))
lib.arange(3, dtype=float)
lib.zeros(2, dtype=float)
i.new_zeros(size=(2, 3))
x.new_ones((2,), dtype=lib.int64)
x.new_full((2, 3), 7)
lib.zeros(2, 3)
lib.zeros((2, 3))
lib.zeros([4])
lib.zeros(())
lib.zeros(0, 2)
lib.zeros(2, dtype=lib.float64)
lib.zeros(2, 3, dtype=lib.int64)
lib.ones(3)
lib.ones((2, 2), dtype=lib.bool)
lib.ones(i.shape)
lib.empty(0, 2)
lib.empty(2, 0, dtype=lib.int32)
lib.full((2, 3), 7)
lib.full((2,), 2.5)
lib.full((2,), True)
lib.full([2], 3, dtype=lib.float64)
lib.full((2,), 2.7, dtype=lib.int64)
lib.full((), 1.0)
lib.full(size=(2,), fill_value=1)
lib.full((2,), s.detach())
lib.full((2,), k)
lib.full((2,), inf)
lib.zeros_like(x)
lib.zeros_like(i)
lib.zeros_like(b, dtype=lib.float64)
lib.ones_like(x)
lib.ones_like(b)
lib.full_like(i, 2.5)
lib.full_like(x, 3)
lib.full_like(x, 3, dtype=lib.int64)
lib.empty_like(x[:0])
lib.arange(5)
lib.arange(5.0)
lib.arange(0)
lib.arange(2, 7)
lib.arange(1, 2, 0.3)
lib.arange(5, 1, -2)
lib.arange(5, 1, -0.5)
lib.arange(start=1, end=4, step=2)
lib.arange(end=4)
lib.arange(4, dtype=lib.float64)
lib.arange(0, 4, dtype=lib.int32)
lib.arange(k)
lib.arange(0, 1, 0.1)
lib.arange(-3, 3)
lib.linspace(0, 1, 5)
lib.linspace(0, 1, 1)
lib.linspace(0, 1, 0)
lib.linspace(1, -1, 4)
lib.linspace(0, 10, 6, dtype=lib.int64)
lib.linspace(start=0, end=1, steps=3, dtype=lib.float64)
lib.linspace(-1e3, 1e3, 101)
lib.eye(3)
lib.eye(2, 4)
lib.eye(3, 2, dtype=lib.int64)
lib.eye(0)
lib.eye(n=2, m=3)
lib.as_tensor([1, 2])
lib.as_tensor([1.5, 2])
lib.as_tensor([[True], [False]])
lib.as_tensor(i, dtype=lib.float32)
lib.as_tensor(2.5)
""")


@pytest.mark.parametrize("expression", SAME)
def test_as_torch(expression):
    assert_same(expression, ARRAYS, grad=False)


REFUSED = table("""
lib.full((2,), "a")
lib.full((2,), None)
lib.arange()
lib.arange("a")
lib.arange(nan)
lib.arange(inf)
lib.linspace(0, 1, 2.5)
lib.linspace("a", 1, 2)
lib.zeros_like([1, 2])
lib.ones_like(None)
lib.full_like(1, 2)
lib.zeros(-1)
lib.zeros(2.0)
lib.zeros("2")
lib.ones((2, -2))
lib.full((-1,), 2)
lib.arange(1, 5, 0)
lib.arange(5, 1)
lib.arange(1, 5, -1)
lib.linspace(0, 1, -1)
lib.eye(-1)
lib.eye(2, -3)
lib.ones(2, dtype=lib.int64, requires_grad=True)
lib.from_numpy([1, 2])
""")


@pytest.mark.parametrize("expression", REFUSED)
def test_refused_as_by_torch(expression):
    assert_both_raise(expression, ARRAYS)


def test_messages_say_what_to_do():
    with pytest.raises(ShapeError, match=r"sizes are not negative: got \(2, -1\)"):
        mg.zeros(2, -1)
    with pytest.raises(UsageError, match="a step that leads from start to end: got 5, 1, 1"):
        mg.arange(5, 1)
    with pytest.raises(DTypeError, match="arange needs an end"):
        mg.arange()
    with pytest.raises(DTypeError, match="from_numpy needs a numeric NumPy array: got list"):
        mg.from_numpy([1, 2])
    with pytest.raises(DTypeError, match=r"try minigrad\.float32"):
        mg.zeros(2, dtype="complex64")


@pytest.mark.parametrize("make", [mg.zeros, mg.ones, mg.empty])
def test_requires_grad(make):
    x = make(2, requires_grad=True)
    (x * 3).sum().backward()
    assert x.is_leaf and x.grad.tolist() == [3, 3]
    assert mg.zeros_like(x).requires_grad is False
    assert mg.ones_like(x, requires_grad=True).requires_grad


def test_from_numpy_shares_memory():
    array = np.zeros(3)
    shared = mg.from_numpy(array)
    array[0] = 5
    assert shared[0].item() == 5
    assert mg.tensor(array)[0].item() == 5
    array[0] = 6
    assert mg.as_tensor(array)[0].item() == 6
    assert mg.as_tensor(array, dtype=mg.float32).dtype == mg.float32
    assert mg.as_tensor(shared) is shared


def test_a_change_behind_the_tapes_back_is_found():
    array = np.ones(3)
    w = mg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    loss = (w * mg.from_numpy(array)).sum()
    array[0] = 5
    with pytest.raises(MinigradError, match="changed in place"):
        loss.backward()


@settings(max_examples=60, deadline=None)
@given(st.integers(-20, 20), st.integers(-20, 20), st.integers(-5, 5).filter(bool))
def test_arange_of_integers_is_range(start, end, step):
    if (end - start) * step >= 0:
        assert mg.arange(start, end, step).tolist() == list(range(start, end, step))
    else:
        with pytest.raises(UsageError):
            mg.arange(start, end, step)


@settings(max_examples=40, deadline=None)
@given(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3), st.integers(2, 50))
def test_linspace_keeps_its_ends(start, end, steps):
    points = mg.linspace(start, end, steps, dtype=mg.float64).tolist()
    assert (points[0], points[-1], len(points)) == (start, end, steps)
    assert points == sorted(points, reverse=end < start)
