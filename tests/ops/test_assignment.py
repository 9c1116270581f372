"""Item assignment: values and gradients against PyTorch and finite differences, and what does not fit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minigrad as mg
from minigrad.errors import DimensionError, DTypeError, ShapeError
from tests.ops.against_torch import torch


def _gradients(lib, values, index, value):
    """x[index] = value, in the middle of a graph: the result, and the gradients of x and value."""
    x = lib.tensor(values)
    x.requires_grad_()
    v = lib.tensor(value)
    v.requires_grad_()
    y = x * 2
    y[index] = v * v
    weights = lib.tensor(np.arange(1.0, y.numel() + 1, dtype=np.float32).reshape(values.shape))
    (y * y * weights).sum().backward()
    return [t.detach().numpy() for t in (y, x.grad, v.grad)]


@pytest.mark.parametrize(
    ("index", "shape"),
    [
        (0, (3, 4)),
        (0, (4,)),
        (0, ()),
        (0, (1, 1, 1, 4)),
        ((0, 1), (4,)),
        ((..., 0), (2, 3)),
        ((slice(None), slice(0, 2)), (2, 4)),
        ((slice(None), slice(0, 2)), (2, 1, 4)),
        ((slice(None), None, 0), (2, 1, 4)),
        ((slice(None), [0, 2]), (2, 2, 4)),
        ((slice(None), [0, 2], [1, 3]), (2, 2)),
        ((0, slice(None), [1, 3]), (3, 2)),
        ((0, slice(None), [1, 3]), (2,)),
        (([0, 1], slice(None), 1), (2, 3)),
        (([1, 0], slice(None), [2, 1]), (2, 3)),
        (-1, (3, 4)),
        (slice(0, 0), (4,)),
        (..., ()),
    ],
)
def test_assignment_as_torch(index, shape):
    local = np.random.default_rng(0)
    values = local.standard_normal((2, 3, 4)).astype(np.float32)
    value = local.standard_normal(shape).astype(np.float32)
    for ours, theirs in zip(_gradients(mg, values, index, value), _gradients(torch(), values, index, value)):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
        assert ours.shape == theirs.shape


@pytest.mark.parametrize("count", [1, 3])
def test_assignment_through_a_mask_as_torch(count):
    values = np.array([1.0, -2.0, 3.0, -4.0, -5.0], np.float32)
    mask = values < 0
    value = np.arange(1.0, count + 1, dtype=np.float32)
    ours = _gradients(mg, values, mg.tensor(mask), value)
    theirs = _gradients(torch(), values, torch().tensor(mask), value)
    for a, b in zip(ours, theirs):
        np.testing.assert_allclose(a, b)


def test_assignment_twice_to_one_element_leads_back_to_the_last_value():
    v = mg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = mg.zeros(2)
    y[[0, 0, 1]] = v
    assert y.tolist() == [2.0, 3.0]
    y.sum().backward()
    assert v.grad.tolist() == [0.0, 1.0, 1.0]


@pytest.mark.parametrize("index", [0, (slice(None), 1), [0, 0, 1], (0, slice(None), [1, 1]), np.array([True, False])])
def test_derivatives_of_assignment(index):
    local = np.random.default_rng(1)
    x = mg.tensor(local.standard_normal((2, 2, 3)), requires_grad=True)
    v = mg.tensor(local.standard_normal(x[index].shape), requires_grad=True)

    def function(x, v):
        y = x * x
        y[index] = v * v
        return y * y

    assert mg.gradcheck(function, [x, v])
    assert mg.gradgradcheck(function, [x, v])


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_what_was_replaced_has_no_gradient(data):
    shape = tuple(data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)))
    index = data.draw(st.one_of(hnp.basic_indices(shape), hnp.integer_array_indices(shape)))
    x = mg.tensor(np.ones(shape), requires_grad=True)
    y = x * 3
    y[index] = 7.0
    expected = np.full(shape, 3.0)
    expected[index] = 7.0
    np.testing.assert_array_equal(y.detach().numpy(), expected)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.where(expected == 7.0, 0.0, 3.0))


def test_a_buffer_is_filled_step_by_step():
    w = mg.tensor([2.0], requires_grad=True)
    steps = 50
    buffer = mg.zeros(steps, 1)
    h = mg.ones(1)
    for t in range(steps):
        h = mg.tanh(w * h)
        buffer[t] = h
    buffer.sum().backward()
    through_buffer = w.grad.clone()
    w.grad = None
    h, parts = mg.ones(1), []
    for _ in range(steps):
        h = mg.tanh(w * h)
        parts.append(h)
    mg.stack(parts).sum().backward()
    np.testing.assert_allclose(through_buffer.numpy(), w.grad.numpy(), rtol=1e-6)


def test_a_reshaped_result_is_written_to_again_and_again():
    x = mg.ones(6, requires_grad=True)
    y = (x + 1).reshape(2, 3)
    for i in range(3):
        y[0, i] = float(i)
    y.sum().backward()
    assert x.grad.tolist() == [0, 0, 0, 1, 1, 1]


def test_values_are_converted_to_the_dtype_of_the_tensor():
    x = mg.zeros(3, dtype="int64")
    x[0] = 1.7
    x[1] = True
    assert x.tolist() == [1, 1, 0]
    y = mg.zeros(2)
    v = mg.tensor([1.0, 2.0], dtype="float64", requires_grad=True)
    y[:] = v
    y.sum().backward()
    assert (y.dtype, v.grad.dtype) == (np.float32, np.float64)


def test_integers_never_require_gradients():
    x = mg.zeros(2, dtype="int64")
    x[0] = mg.tensor(3.0, requires_grad=True)
    assert not x.requires_grad and x.tolist() == [3, 0]


def test_assignment_that_does_not_fit():
    x = mg.zeros(2, 3)
    with pytest.raises(DimensionError, match="size 2"):
        x[5] = 1
    with pytest.raises(ShapeError, match=r"shape \(2,\) does not fit"):
        x[0] = mg.ones(2)
    with pytest.raises(ShapeError, match="does not fit"):
        x[mg.tensor([True, False])] = mg.ones(2, 2)
    with pytest.raises(DTypeError, match="got str"):
        x[0] = "a"
    assert x.tolist() == [[0.0] * 3] * 2
