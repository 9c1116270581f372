"""The same elements in another shape, against PyTorch, finite differences and NumPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad.errors import DTypeError, ShapeError, UsageError
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
x.view(size=(4, 6))
lib.reshape(x, (6, 4))
lib.reshape(x, (-1,))
lib.reshape(x, shape=(4, 6))
x.reshape(4, 6)
x.reshape([4, 6])
x.reshape(4, -1)
x.transpose(0, 1).reshape(-1)
e.reshape(-1)
e.reshape(3, 0)
e.reshape(0)
s.reshape(1)
s.reshape(())
s.reshape(1, 1)
d.reshape(24)
i.reshape(3, 2)
b.reshape(6)
x.view(6, 4)
x.view(-1)
x.view((2, -1))
m.view_as(x[0])
m.reshape_as(x[0])
lib.ravel(x)
x.ravel()
s.ravel()
x.flatten()
x.flatten(1)
x.flatten(0, 1)
x.flatten(start_dim=1, end_dim=-1)
s.flatten()
e.flatten(1)
lib.unflatten(x, 2, (2, 2))
x.unflatten(-1, (2, -1))
x.unflatten(dim=1, sizes=(3, 1))
e.unflatten(1, (0, 5))
x.transpose(0, 1)
x.transpose(-1, 0)
s.transpose(0, 0)
s.transpose(-1, 0)
lib.transpose(x, dim0=0, dim1=2)
lib.swapaxes(x, axis0=0, axis1=2)
x.swapaxes(0, -1)
x.permute(2, 0, 1)
x.permute((2, 0, 1))
x.permute(-1, 0, 1)
lib.permute(x, dims=(2, 0, 1))
s.permute(())
m.T
x.mT
m.t()
v.t()
s.t()
lib.t(m)
lib.movedim(x, 0, 2)
lib.moveaxis(x, (0, 1), (1, 2))
x.movedim((0, -1), (-1, 1))
x.movedim(-1, 0)
v.expand(3, 4)
v.expand(2, 3, -1)
v.expand(-1)
v.expand((2, 4))
v.expand(size=(2, 4))
s.expand(2, 3)
m.expand(2, -1, -1)
v.expand(0, 4)
x[:, :1].expand(2, 0, 4)
e.expand(2, 0, 3)
m.expand_as(x)
lib.broadcast_to(v, (2, 3, 4))
lib.broadcast_to(v, size=(2, 4))
v.broadcast_to((2, 4))
x.unsqueeze(0)
x.unsqueeze(-1)
x.unsqueeze(3)
x.unsqueeze(dim=1)
lib.unsqueeze(x, axis=1)
s.unsqueeze(0)
s.unsqueeze(-1)
x[:1].squeeze()
x[:1].squeeze(0)
x.squeeze(0)
x[:1, :1].squeeze((0, 1))
x[:1, :1].squeeze(dim=(0, 2))
s.squeeze()
s.squeeze(0)
s.squeeze(-1)
x.contiguous()
x.transpose(0, 1).contiguous()
x.clone()
s.clone()
x.size()[0]
x.size(-1)
"""

BOTH_RAISE = """
s.flatten(1)
s.flatten(0, -2)
lib.reshape([1, 2], (2, 1))
lib.transpose("a", 0, 1)
lib.unsqueeze(None, 0)
x.squeeze(True)
lib.reshape(x, (-1, 5))
x.reshape(-1, -1)
x.reshape(5)
e.reshape(0, -1)
x.flatten(2, 1)
x.flatten(0, 5)
x.unflatten(1, (2, 2))
x.transpose(0, 3)
x.permute(0, 0, 1)
x.permute(0, 1)
v.mT
x.t()
v.expand(-1, 4)
v.expand(5)
m.expand(4)
v.broadcast_to((2, 3))
x.unsqueeze(4)
x.unsqueeze(-5)
x.squeeze(5)
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
        lambda x: x.reshape(3, 8),
        lambda x: x.permute(2, 0, 1),
        lambda x: x[:1].expand(4, 3, 4),
        lambda x: x.transpose(0, 2).contiguous(),
    ],
)
def test_first_and_second_derivatives(function):
    x = mg.tensor(ARRAYS["d"], requires_grad=True)
    assert mg.gradcheck(lambda x: function(x * x), x)  # a square makes the second derivative depend on x
    assert mg.gradgradcheck(lambda x: function(x * x), x)


shapes = st.lists(st.integers(0, 4), min_size=0, max_size=4).map(tuple)


@settings(max_examples=50, deadline=None)
@given(shapes, st.randoms(use_true_random=False))
def test_permuting_back_is_the_identity(shape, random):
    order = list(range(len(shape)))
    random.shuffle(order)
    x = mg.tensor(np.arange(np.prod(shape), dtype=np.float64).reshape(shape))
    there = x.permute(order)
    assert there.shape == tuple(shape[i] for i in order)
    np.testing.assert_array_equal(there.permute(list(np.argsort(order))).numpy(), x.numpy())


@settings(max_examples=50, deadline=None)
@given(shapes, st.data())
def test_expand_sums_its_gradient_back(shape, data):
    narrow = tuple(1 if data.draw(st.booleans()) else n for n in shape)[data.draw(st.integers(0, len(shape))) :]
    x = mg.tensor(np.ones(narrow), requires_grad=True)
    y = x.expand(shape)
    y.backward(mg.ones(shape, dtype="float64"))
    assert x.grad.shape == narrow
    assert x.grad.sum().item() == np.prod(shape)


@pytest.mark.parametrize("make", [lambda x: x.reshape(-1), lambda x: x.T, lambda x: x.diagonal(), lambda x: x.unbind()[0]])
def test_views_share_memory(make):
    x = mg.ones(2, 2)
    make(x).zero_()
    assert (x == 0).any()


def test_view_takes_no_dtype():
    with pytest.raises(DTypeError, match=r"use \.to\(dtype\)"):
        mg.ones(2).view(mg.int32)


def test_view_copies_where_the_memory_does_not_allow_a_view():
    x = mg.tensor(ARRAYS["m"])
    np.testing.assert_array_equal(x.T.view(-1).numpy(), ARRAYS["m"].T.reshape(-1))


def test_errors_say_what_came_in():
    x = mg.ones(2, 3)
    with pytest.raises(ShapeError, match=r"cannot turn \(2, 3\) into \(4, 2\)"):
        x.reshape(4, 2)
    with pytest.raises(DTypeError, match="sizes are integers"):
        x.reshape(2.0, 3)
    with pytest.raises(UsageError, match="by position or by name"):
        mg.reshape(x, 6, shape=(6,))
    with pytest.raises(UsageError, match="as many destinations"):
        x.movedim((0, 1), 0)
    with pytest.raises(ShapeError, match=r"got \(2, 3\), \(2, 4\)"):
        mg.cat([x, mg.ones(2, 4)])
