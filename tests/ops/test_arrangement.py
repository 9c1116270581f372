"""Elements turned, moved, repeated and read off diagonals, against PyTorch, finite differences and NumPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from tests.ops.against_torch import assert_both_raise, assert_same, table

rng = np.random.default_rng(0)
ARRAYS = {
    "x": rng.standard_normal((2, 3, 4)).astype(np.float32),
    "m": rng.standard_normal((3, 4)).astype(np.float32),
    "v": rng.standard_normal(4).astype(np.float32),
    "s": np.array(3, np.float32),
    "e": np.zeros((2, 0, 3), np.float32),
    "i": np.arange(6).reshape(2, 3),
    "b": np.array([[True, False, True], [False, True, True]]),
    "d": rng.standard_normal((2, 3, 4)),
}

SAME = """
lib.flip(x, [0])
lib.flip(x, dims=(0, 2))
x.flip(0, 1)
x.flip((0, -1))
x.flip(())
s.flip(0)
e.flip(1)
lib.roll(x, 1)
lib.roll(x, 1, 0)
lib.roll(x, shifts=(1, 2), dims=(0, -1))
x.roll(-5, 1)
x.roll((1, 1), (0, 0))
e.roll(1, 1)
s.roll(1)
lib.tile(x, (2,))
x.tile(2, 1)
x.tile((2, 1, 1, 2))
lib.tile(x, dims=(2, 1))
x.tile(0)
x.repeat(1, 2, 3)
x.repeat((2, 1, 1, 1))
x.repeat(1, 1, 1)
x.repeat(0, 1, 1)
x.repeat(repeats=(1, 1, 2))
s.repeat(3)
s.repeat(2, 2)
e.repeat(1, 2, 3)
d.repeat(2, 1, 1)
lib.repeat_interleave(v, 2)
m.repeat_interleave(2, 1)
m.repeat_interleave(2)
m.repeat_interleave(lib.tensor([1, 2, 0]), 0)
m.repeat_interleave(2, dim=-1)
lib.tril(m)
lib.tril(x, -1)
lib.triu(x, diagonal=1)
x.tril(diagonal=1)
i.triu(1)
b.tril()
e.tril()
lib.diagonal(m)
m.diagonal()
x.diagonal(1, 0, 2)
x.diagonal(offset=-1, dim1=-2, dim2=-1)
m.diagonal(10)
i.diagonal()
"""

BOTH_RAISE = """
lib.triu(lib.ones(2, 2), "a")
lib.tril(lib.ones(2, 2), 1.5)
lib.flip([1, 2], (0,))
x.flip(0, 0)
x.flip(5)
x.roll((1, 2), 0)
x.roll((1, 2))
x.roll(1, 5)
s.roll(1, 0)
x.repeat(2)
x.repeat(-1, 1, 1)
m.repeat_interleave(-1)
m.repeat_interleave(lib.tensor([1, 2]), 0)
v.tril()
m.diagonal(0, 0, 0)
v.diagonal()
"""


@pytest.mark.parametrize("expression", table(SAME))
def test_same_as_torch(expression):
    assert_same(expression, ARRAYS)


@pytest.mark.parametrize("expression", table(BOTH_RAISE))
def test_raises_where_torch_does(expression):
    assert_both_raise(expression, ARRAYS)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.flip(0, 2),
        lambda x: x.roll((1, 2), (0, 2)),
        lambda x: x.roll(5),
        lambda x: x.repeat(2, 1, 2),
        lambda x: x.tile(2, 1, 1, 2),
        lambda x: x.tril(-1),
        lambda x: x.diagonal(1, 0, 2),
        lambda x: x.repeat_interleave(mg.tensor([2, 0, 1]), 1),
    ],
)
def test_first_and_second_derivatives(function):
    x = mg.tensor(ARRAYS["d"], requires_grad=True)
    assert mg.gradcheck(lambda x: function(x * x), x)  # a square makes the second derivative depend on x
    assert mg.gradgradcheck(lambda x: function(x * x), x)


shapes = st.lists(st.integers(0, 4), min_size=0, max_size=4).map(tuple)


@settings(max_examples=50, deadline=None)
@given(shapes, st.data())
def test_repeating_gathers_the_gradients_of_all_copies(shape, data):
    counts = tuple(data.draw(st.lists(st.integers(0, 3), min_size=len(shape), max_size=len(shape) + 2)))
    x = mg.tensor(np.ones(shape), requires_grad=True)
    y = x.repeat(counts)
    np.testing.assert_array_equal(y.detach().numpy(), np.tile(np.ones(shape), counts))
    y.backward(mg.ones(y.shape, dtype="float64"))
    np.testing.assert_array_equal(x.grad.numpy(), np.full(shape, np.prod(counts)))


@pytest.mark.parametrize("make", [lambda x: x.flip(0), lambda x: x.repeat(1, 1), lambda x: x.roll(0), lambda x: mg.cat([x])])
def test_copies_do_not_share_memory(make):
    x = mg.tensor([[1.0, 2.0]])
    make(x).zero_()
    assert x.tolist() == [[1.0, 2.0]]
