"""Several tensors as one and one as several, against PyTorch, finite differences and NumPy."""

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
    "s": np.array(3, np.float32),
    "nothing": np.zeros(0, np.float32),
    "e": np.zeros((2, 0, 3), np.float32),
    "i": np.arange(6).reshape(2, 3),
    "b": np.array([[True, False, True], [False, True, True]]),
    "d": rng.standard_normal((2, 3, 4)),
}

SAME = """
lib.cat([i, nothing.detach()])
lib.cat([nothing.detach(), i], 1)
x.split(split_size=2, dim=1)
x.split(split_size=[1, 2], dim=1)
lib.cat([x, x])
lib.cat((x, x), 1)
lib.cat((x, 2 * x), dim=-1)
lib.cat((x, x), axis=-1)
lib.cat(tensors=(x, x, x), dim=-1)
lib.cat([nothing, m])
lib.cat([m, nothing])
lib.cat([nothing, nothing])
lib.cat([nothing, x], 2)
lib.cat([nothing])
lib.cat([i, i.double()])
lib.cat([i, b])
lib.cat([i, i.float()])
lib.cat([d, x])
lib.cat([b, b])
lib.cat([m[:0], m])
lib.cat([e, e], 1)
lib.concat([x, x], dim=1)
lib.concatenate([x, x], axis=1)
lib.stack([x, x])
lib.stack([x, 2 * x], 1)
lib.stack([x, x], -1)
lib.stack([x, x], 3)
lib.stack([s, s])
lib.stack([s, s], -1)
lib.stack([nothing, nothing])
lib.stack([i, i.float()])
lib.stack(tensors=[x, x], dim=1)
lib.stack([x, x], axis=1)
lib.split(x, 2, 1)
lib.split(x, 2)
x.split(1)
x.split(3, dim=2)
x.split([1, 3], 2)
x.split((1, 3), -1)
x.split(10, 1)
e.split(2, 1)
e.split([0], 1)
e.split(0, 1)
lib.split(tensor=x, split_size_or_sections=2, dim=1)
lib.chunk(x, 2)
lib.chunk(x, 2, 1)
x.chunk(5, 2)
x.chunk(3, dim=-1)
x.chunk(chunks=2, dim=1)
e.chunk(3, 1)
x.unbind()
x.unbind(1)
lib.unbind(x, dim=-1)
e.unbind(1)
lib.narrow(x, 1, 1, 2)
x.narrow(-1, 0, 0)
x.narrow(1, -2, 2)
"""

BOTH_RAISE = """
lib.cat("a")
lib.cat(None)
lib.cat([x, "a"])
lib.cat([x, None])
lib.cat([x, 2.0])
lib.stack([x, None])
x.split(1.5)
x.split("a")
x.chunk(1.5)
x.chunk("a")
lib.cat([x, m])
lib.cat([x, x], 3)
lib.cat([])
lib.cat([s, s])
lib.cat([m, m[:, :2]], 0)
lib.cat(x)
lib.stack([x, x], 4)
lib.stack([x, m])
lib.stack([])
lib.stack([s, s], 1)
x.split([1, 2], 2)
x.split([5, -1], 2)
x.split(0)
x.split(-1)
x.split(2, 5)
s.split(1)
x.chunk(0)
s.chunk(2)
s.unbind()
x.narrow(1, 2, 2)
x.narrow(1, 0, -1)
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
        lambda x: mg.cat([x, x * 2, x[:1]]),
        lambda x: mg.stack([x, x], 1),
        lambda x: x.split([1, 3], 2),
        lambda x: x.unbind(1),
    ],
)
def test_first_and_second_derivatives(function):
    x = mg.tensor(ARRAYS["d"], requires_grad=True)
    assert mg.gradcheck(lambda x: function(x * x), x)  # a square makes the second derivative depend on x
    assert mg.gradgradcheck(lambda x: function(x * x), x)


shapes = st.lists(st.integers(0, 4), min_size=0, max_size=4).map(tuple)


@settings(max_examples=50, deadline=None)
@given(shapes.filter(len), st.data())
def test_parts_joined_again_are_the_whole(shape, data):
    dim = data.draw(st.integers(-len(shape), len(shape) - 1))
    x = mg.tensor(np.arange(np.prod(shape), dtype=np.float64).reshape(shape), requires_grad=True)
    parts = (
        x.chunk(data.draw(st.integers(1, 5)), dim) if data.draw(st.booleans()) else x.split(data.draw(st.integers(1, 5)), dim)
    )
    whole = mg.cat(parts, dim)
    np.testing.assert_array_equal(whole.detach().numpy(), x.detach().numpy())
    whole.backward(mg.tensor(2 * x.detach().numpy()))
    np.testing.assert_array_equal(x.grad.numpy(), 2 * x.detach().numpy())
    if shape[dim]:
        np.testing.assert_array_equal(mg.stack(x.unbind(dim), dim).detach().numpy(), x.detach().numpy())


def test_views_of_one_tensor_get_gradients_of_their_own():
    a, b = mg.ones(2, 3, requires_grad=True), mg.ones(2, 3, requires_grad=True)
    mg.cat([a, b]).sum().backward()
    a.grad.zero_()
    assert b.grad.tolist() == [[1.0] * 3] * 2


def test_a_long_list_is_joined_and_parted():
    pieces = [mg.tensor([float(i)], requires_grad=True) for i in range(300)]
    mg.cat(pieces).backward(mg.arange(300).float())
    assert [p.grad.item() for p in pieces] == list(range(300))
