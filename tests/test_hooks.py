"""Hooks on tensors, and gradients kept on the way."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import GraphError, ShapeError


def leaf(*values, dtype="float64"):
    return mg.tensor(values if len(values) > 1 else values[0], dtype=dtype, requires_grad=True)


def test_hooks_on_leaves_and_results():
    seen = []
    x = leaf(1.0, 2.0)
    y = x * 3
    x.register_hook(lambda g: seen.append(("x", g.tolist())))
    y.register_hook(lambda g: seen.append(("y", g.tolist())))
    (y * y).sum().backward()
    assert seen == [("y", [6, 12]), ("x", [18, 36])]


def test_hook_sees_the_whole_gradient_once():
    seen = []
    x = leaf(2.0)
    y = x * 1
    y.register_hook(lambda g: seen.append(g.item()))
    x.register_hook(lambda g: seen.append(g.item()))
    (y * y + y).backward()
    assert seen == [5, 5]


@pytest.mark.parametrize("create_graph", [False, True])
def test_hooks_replace_gradients_in_order(create_graph):
    x = leaf(1.0, 2.0)
    y = x * 3
    y.register_hook(lambda g: g * 10)
    y.register_hook(lambda g: g + 1)
    x.register_hook(lambda g: g * 100)
    y.sum().backward(create_graph=create_graph)
    assert x.grad.tolist() == [3300, 3300]


def test_hooks_are_removed():
    calls = []
    x = leaf(1.0)
    handle = x.register_hook(calls.append)
    (x * 1).backward()
    handle.remove()
    handle.remove()
    (x * 1).backward()
    assert len(calls) == 1
    y = x * 2
    with y.register_hook(calls.append):
        y.backward(retain_graph=True)
    y.backward()
    assert len(calls) == 2


def test_hook_takes_the_gradients_dtype():
    x = leaf(1.0, dtype="float32")
    x.register_hook(lambda g: g.double())
    (x * 1).backward()
    assert x.grad.dtype == np.float32


@pytest.mark.parametrize(("wrong", "got"), [(lambda g: 1.0, "float"), (lambda g: mg.ones(3), r"\(3,\)")])
def test_hooks_that_return_something_else(wrong, got):
    x = leaf(1.0, 2.0)
    y = x * 1
    y.register_hook(wrong)
    with pytest.raises(ShapeError, match=rf"hook returns None or a Tensor.*got {got}"):
        y.sum().backward()


def test_hooks_need_a_gradient_to_wait_for():
    with pytest.raises(GraphError, match="requires_grad=True"):
        mg.tensor(1.0).register_hook(print)


def test_retain_grad():
    x = leaf(1.0, 2.0)
    y = x * 3
    y.retain_grad()
    x.retain_grad()
    z = (y * y).sum()
    z.backward(retain_graph=True)
    assert y.grad.tolist() == [6, 12] and x.grad.tolist() == [18, 36]
    z.backward()
    assert y.grad.tolist() == [12, 24]
    with pytest.raises(GraphError, match="requires gradients"):
        mg.tensor(1.0).retain_grad()


def test_retain_grad_sees_what_hooks_made():
    x = leaf(1.0)
    y = x * 3
    y.retain_grad()
    y.register_hook(lambda g: g * 10)
    y.backward()
    assert y.grad.item() == 10 and x.grad.item() == 30
