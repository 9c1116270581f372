"""Memory: gradients share none, graphs are freed by reference counting, and nothing is kept longer than needed."""

import gc
import tracemalloc
import weakref

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import GraphError


def leaf(*values, dtype="float64"):
    return mg.tensor(values if len(values) > 1 else values[0], dtype=dtype, requires_grad=True)


def shares(a, b) -> bool:
    return np.shares_memory(np.asarray(a._data), np.asarray(b._data))


# -- memory is never shared ---------------------------------------------------------------------------------------------


def test_gradients_of_a_sum_are_separate():
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    (a + b).sum().backward()
    assert not shares(a.grad, b.grad)
    a.grad += 1
    assert b.grad.tolist() == [1, 1]


@pytest.mark.parametrize("create_graph", [False, True])
def test_gradient_argument_stays_the_users(create_graph):
    a, b, seed = leaf(1.0, 2.0), leaf(3.0, 4.0), mg.tensor([5.0, 6.0], dtype="float64")
    y = a + b
    y.retain_grad()
    y.backward(seed, create_graph=create_graph)
    everything = [a.grad, b.grad, y.grad, seed]
    assert not any(shares(p, q) for i, p in enumerate(everything) for q in everything[:i])
    assert len({id(t) for t in everything}) == 4
    found = mg.grad(a + b, [a, b], seed, create_graph=create_graph)
    assert not shares(*found) and not shares(found[0], seed) and not shares(found[1], seed)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.reshape(4),
        lambda x: x.T,
        lambda x: x[:, 1:],
        lambda x: x.expand(3, 2, 2),
        lambda x: x.flip(0),
        lambda x: x.clone(),
        lambda x: mg.cat([x, x]),
        lambda x: x + x.T,
        lambda x: x.to("float32"),
    ],
)
def test_gradients_through_views_own_their_memory(function):
    x = mg.tensor(np.ones((2, 2)), requires_grad=True)
    y = function(x)
    seed = mg.ones(*y.shape, dtype=y.dtype)
    y.retain_grad()
    y.backward(seed)
    assert not shares(x.grad, seed) and not shares(x.grad, y.grad) and not shares(x.grad, x)
    assert x.grad._data.flags.writeable and x.grad.is_contiguous()
    x.grad.zero_()
    assert seed.tolist() == np.ones(y.shape).tolist()


def test_what_hooks_see_and_return_is_copied():
    constant, seen = mg.tensor([7.0, 8.0], dtype="float64"), []
    x = leaf(1.0, 2.0)
    x.register_hook(lambda g: constant)
    x.register_hook(seen.append)
    (x * 2).sum().backward()
    x.grad += 1
    assert constant.tolist() == [7, 8] and seen[0].tolist() == [7, 8] and x.grad.tolist() == [8, 9]
    z = leaf(1.0, 2.0)
    z.register_hook(lambda g: seen.append(g) or g)
    (z * 2).sum().backward()
    z.grad += 1
    assert seen[-1].tolist() == [2, 2]


def test_a_gradient_nobody_else_holds_is_not_copied(monkeypatch):
    x = mg.tensor(np.ones(4), requires_grad=True)
    made = []
    tanh = mg.REGISTRY["tanh"]
    monkeypatch.setattr(tanh, "rule_of", {"x": (lambda g: made.append(id(r := g * 2)) or r, ())})
    monkeypatch.setattr(tanh, "plans", {})
    mg.tanh(x).sum().backward()
    assert made == [id(x.grad._data)]


def test_a_sum_of_gradients_is_taken_in_place_where_nobody_else_sees_it(monkeypatch):
    x = mg.tensor(np.ones(4), requires_grad=True)
    made = []
    monkeypatch.setattr(mg.REGISTRY["tanh"], "rule_of", {"x": (lambda g: made.append(id(r := g * 2)) or r, ())})
    monkeypatch.setattr(mg.REGISTRY["tanh"], "plans", {})
    (x * 3 + mg.tanh(x)).sum().backward()  # tanh, the later operation, sends its gradient first
    assert made == [id(x.grad._data)] and x.grad.tolist() == [5] * 4


@pytest.mark.parametrize("lend", [lambda array: array, lambda array: array[:]])
def test_a_sum_of_gradients_leaves_alone_what_others_see(lend, monkeypatch):
    constant = np.full(4, 7.0)  # a rule that gives what it does not own
    x = mg.tensor(np.ones(4), requires_grad=True)
    monkeypatch.setattr(mg.REGISTRY["tanh"], "rule_of", {"x": (lambda g: lend(constant), ())})
    monkeypatch.setattr(mg.REGISTRY["tanh"], "plans", {})
    (x * 3 + mg.tanh(x)).sum().backward()
    assert constant.tolist() == [7] * 4 and x.grad.tolist() == [10] * 4


def test_a_sum_of_gradients_leaves_alone_where_it_came_from():
    seed, x = mg.tensor(np.ones(4)), mg.tensor(np.ones(4), requires_grad=True)
    y = x * 1
    y.retain_grad()
    (y * 2 + y).backward(seed)
    assert seed.tolist() == [1] * 4 and y.grad.tolist() == x.grad.tolist() == [3] * 4


# -- freeing and keeping ------------------------------------------------------------------------------------------------


def test_second_backward():
    x = leaf(3.0)
    y = x * x
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.item() == 12
    with pytest.raises(GraphError, match="retain_graph=True"):
        y.backward()
    assert x.grad.item() == 12


def test_second_backward_through_a_shared_part():
    x = leaf(3.0)
    shared = x * x
    (shared * 1).backward()
    with pytest.raises(GraphError, match="what mul saved"):
        (shared * 2).backward()


def test_saved_values_go_with_the_first_backward():
    x = mg.tensor(np.ones(1000), requires_grad=True)
    inner = mg.exp(x)
    saved = weakref.ref(inner._data)
    y = inner.sum()
    del inner
    assert saved() is not None
    y.backward()
    assert saved() is None


def test_only_what_rules_read_is_saved():
    x = mg.tensor(np.ones(1000), requires_grad=True)
    inner = x * 2  # read by no rule: the gradient of + is 1
    array = weakref.ref(inner._data)
    y = inner + 1
    del inner
    assert array() is None and y.requires_grad


@pytest.mark.parametrize(
    "operation",
    [mg.relu, lambda x: mg.nn.functional.dropout(x, 0.5), lambda x: mg.softmax(x, 0), lambda x: mg.log_softmax(x, 0)],
)
def test_what_only_a_reference_would_read_is_not_saved(operation):
    x = mg.tensor(np.linspace(-1, 1, 50), requires_grad=True)
    inner = x * 2
    array = weakref.ref(inner._data)
    y = operation(inner)
    del inner
    assert array() is None
    (first,) = mg.grad((y**3).sum(), x, create_graph=True)
    (second,) = mg.grad(first.sum(), x)
    assert second.numpy().any()


@pytest.fixture
def collector_off():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def _graph(x):
    y = mg.tanh(x * x + 1.0)
    z = mg.softmax(mg.cat([y, y[:1]]) @ mg.ones(3, 3, dtype=x.dtype), -1)
    return z, [weakref.ref(t) for t in (y, z)] + [weakref.ref(t.grad_fn) for t in (y, z)]


@pytest.mark.parametrize("backward", [None, {}, {"retain_graph": True}, {"create_graph": True}])
def test_graphs_are_freed_by_reference_counting(backward, collector_off):
    x = mg.tensor(np.ones((2, 3)), requires_grad=True)
    z, alive = _graph(x)
    if backward is not None:
        z.sum().backward(**backward)
        x.grad = None
    del z
    assert [r() for r in alive] == [None] * len(alive)


def test_graphs_of_second_derivatives_are_freed(collector_off):
    x = mg.tensor(np.ones((2, 3)), requires_grad=True)
    z, alive = _graph(x)
    (g,) = mg.grad(z.sum(), x, create_graph=True)
    (h,) = mg.grad((g * g).sum(), x)
    alive += [weakref.ref(g), weakref.ref(g.grad_fn), weakref.ref(h)]
    del z, g, h
    assert [r() for r in alive] == [None] * len(alive)


def test_graphs_are_freed_after_an_error_in_backward(collector_off):
    x = mg.tensor(np.ones((2, 3)), requires_grad=True)
    z, alive = _graph(x)

    def refuse(g):
        raise KeyError("no")

    x2 = z * 2
    z.register_hook(refuse)
    with pytest.raises(KeyError):
        x2.sum().backward()
    del z, x2
    assert [r() for r in alive] == [None] * len(alive)


def test_graphs_with_hooks_and_retained_gradients_are_freed(collector_off):
    x = mg.tensor(np.ones((2, 3)), requires_grad=True)
    z, alive = _graph(x)
    z.retain_grad()
    z.register_hook(lambda g: None)
    z.sum().backward()
    del z
    assert [r() for r in alive] == [None] * len(alive)


def test_memory_does_not_grow_with_steps(collector_off):
    x = mg.tensor(np.ones((64, 64), np.float32), requires_grad=True)  # 16 KiB, so 200 of them could not hide

    def step(i):
        y = mg.tanh(x @ x * 0.1).sum()
        if i % 3:  # some graphs are never walked
            y.backward()
        with mg.no_grad():
            x.sub_(x * 0.001)
        x.data[0, 0] = 1.0
        x.grad = None

    for i in range(20):
        step(i)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for i in range(200):
        step(i)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 100_000
