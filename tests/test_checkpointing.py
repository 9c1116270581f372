"""checkpoint: the same gradients as without it, from nothing kept but the inputs."""

import gc
import weakref

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import GraphError, UsageError
from minigrad.nn import functional as F


def tensors(rng, *shapes):
    return [mg.tensor(rng.standard_normal(s), requires_grad=True) for s in shapes]


def gradients(compute, leaves):
    """d(sum of squares of what ``compute`` returns)/d(each leaf), and the values."""
    for t in leaves:
        t.grad = None
    value = compute()
    parts = value if isinstance(value, tuple) else (value,)
    total = sum((p * p).sum() for p in parts)
    total.backward()
    return [p.tolist() for p in parts], [None if t.grad is None else t.grad.tolist() for t in leaves]


def assert_alike(plain, checkpointed, leaves):
    values, grads = gradients(plain, leaves)
    again_values, again_grads = gradients(checkpointed, leaves)
    assert again_values == values
    for a, b in zip(grads, again_grads):
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_allclose(b, a, rtol=1e-13)


def test_arguments_and_closure(rng):
    x, w = tensors(rng, (2, 3), (3, 3))

    def f(t):
        return mg.tanh(t @ w) @ w

    assert_alike(lambda: f(x), lambda: mg.checkpoint(f, x), [x, w])
    assert_alike(lambda: f(x * 2), lambda: mg.checkpoint(f, x * 2), [x, w])


def test_results_of_earlier_operations_in_the_closure(rng):
    x, w = tensors(rng, (2, 3), (3, 3))

    def run(call):
        h = mg.tanh(w)  # reached by closure, and what is behind it reached directly too
        y = call(lambda t: (t @ h) * w.sum() + h.sum(), x)
        return y * h.sum()

    assert_alike(lambda: run(lambda f, *a: f(*a)), lambda: run(mg.checkpoint), [x, w])


def test_hooks_and_retained_gradients_run_once(rng):
    x, w = tensors(rng, (2, 3), (3,))

    def run(call):
        calls = []
        x.grad = w.grad = None
        h = w * 2
        h.retain_grad()
        handles = [t.register_hook(lambda g, k=k: calls.append(k) or g * k) for k, t in ((10, x), (11, w), (12, h))]
        call(lambda t: t * h + w, x).sum().backward()
        for handle in handles:
            handle.remove()
        return sorted(calls), x.grad.tolist(), w.grad.tolist(), h.grad.tolist()

    plain = run(lambda f, *a: f(*a))
    assert run(mg.checkpoint) == plain and plain[0] == [10, 11, 12]


def test_tuples(rng):
    x, y = tensors(rng, (2, 3), (3,))

    def f(a, b):
        return a * b, b.sum(), (a + b)[:0]

    assert_alike(lambda: f(x, y), lambda: mg.checkpoint(f, x, y), [x, y])
    (only,) = mg.checkpoint(lambda a: (a * 2,), y)
    assert only.shape == (3,)
    assert isinstance(mg.checkpoint(lambda a: [a, a], y), tuple)


def test_one_of_several_results(rng):
    (x,) = tensors(rng, (3,))
    first, second = mg.checkpoint(lambda a: (a * a, a * 3), x)
    second.sum().backward()
    assert x.grad.tolist() == [3, 3, 3]
    del first


def test_nested(rng):
    x, w = tensors(rng, (2, 3), (3, 3))

    def inner(t):
        return mg.tanh(t @ w)

    def outer(t):
        return mg.checkpoint(inner, mg.checkpoint(inner, t) * 2) + t

    assert_alike(lambda: inner(inner(x) * 2) + x, lambda: mg.checkpoint(outer, x), [x, w])


def test_a_chain_of_checkpoints(rng):
    x, w = tensors(rng, (2, 3), (3, 3))

    def chain(call):
        y = x
        for _ in range(20):
            y = call(lambda t: mg.tanh(t @ w), y)
        return y

    assert_alike(lambda: chain(lambda f, *a: f(*a)), lambda: chain(mg.checkpoint), [x, w])


def test_returning_what_came_in(rng):
    x, w = tensors(rng, (3,), (3,))
    assert_alike(lambda: x * 1, lambda: mg.checkpoint(lambda a: a, x), [x])
    assert_alike(lambda: x * 2, lambda: mg.checkpoint(lambda a: a, x * 2), [x])
    assert_alike(lambda: (x * 1, w * 1), lambda: mg.checkpoint(lambda a: (a, w), x), [x, w])


def test_keyword_and_other_arguments(rng):
    x, w = tensors(rng, (3,), (3,))

    def f(a, n, *, weight, flag=False):
        return a * n * weight if flag else a

    result = mg.checkpoint(f, x, 3, weight=w, flag=True)
    result.sum().backward()
    np.testing.assert_allclose(w.grad.numpy(), 3 * x.numpy())


def test_integer_arguments(rng):
    (table,) = tensors(rng, (4, 2))
    ids = mg.tensor([1, 1, 3])
    mg.checkpoint(lambda t, i: t[i], table, ids).sum().backward()
    assert table.grad.tolist() == [[0, 0], [2, 2], [0, 0], [1, 1]]


def test_dropout_is_drawn_alike():
    x = mg.ones(1000, dtype="float64", requires_grad=True)
    mg.manual_seed(1)
    y = mg.checkpoint(lambda t: F.dropout(t, 0.5) * F.dropout(t, 0.5), x)
    after_forward = mg.rand(3).tolist()
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * y.numpy())
    mg.manual_seed(1)
    plain = F.dropout(x, 0.5) * F.dropout(x, 0.5)
    assert plain.tolist() == y.tolist() and mg.rand(3).tolist() == after_forward
    drawn = mg.rand(3).tolist()
    mg.manual_seed(1)
    mg.checkpoint(lambda t: F.dropout(t, 0.5) * F.dropout(t, 0.5), x)
    mg.rand(3)
    assert mg.rand(3).tolist() == drawn, "the backward pass leaves the generator where it was"


def test_grad_and_higher_derivatives(rng):
    x, w = tensors(rng, (3,), (3,))

    def f(t):
        return mg.sin(t * w) * t

    for create_graph in (False, True):
        plain = mg.grad(f(x).sum(), [x, w], create_graph=create_graph)
        again = mg.grad(mg.checkpoint(f, x).sum(), [x, w], create_graph=create_graph)
        for a, b in zip(plain, again):
            np.testing.assert_allclose(b.numpy(), a.numpy(), rtol=1e-13)
    third, third_again = (
        mg.grad(sum((h * h).sum() for h in mg.grad((g[0] * g[0]).sum() + g[1].sum(), [x, w], create_graph=True)), [x, w])
        for g in (plain, again)
    )
    for a, b in zip(third, third_again):
        np.testing.assert_allclose(b.numpy(), a.numpy(), rtol=1e-12)
    assert mg.gradcheck(lambda a, b: mg.checkpoint(lambda t: mg.sin(t * b), a), (x, w))
    assert mg.gradgradcheck(lambda a, b: mg.checkpoint(lambda t: mg.sin(t * b), a), (x, w))


def test_without_gradients():
    x = mg.ones(3)
    assert not mg.checkpoint(lambda t: t * 2, x).requires_grad
    a, b = mg.checkpoint(lambda t: (t * 2, t), x)
    assert b is x and a.tolist() == [2, 2, 2]
    w = mg.ones(3, requires_grad=True)
    with mg.no_grad():
        assert not mg.checkpoint(lambda t: t * w, x).requires_grad


def test_only_what_is_reached_gets_a_gradient(rng):
    x, w = tensors(rng, (3,), (3,))
    mg.checkpoint(lambda a, b: b * 2, x, w).sum().backward()
    assert x.grad is None and w.grad.tolist() == [2, 2, 2]


def test_second_backward(rng):
    (x,) = tensors(rng, (3,))
    y = mg.checkpoint(lambda t: t * t, x).sum()
    y.backward(retain_graph=True)
    y.backward()
    np.testing.assert_allclose(x.grad.numpy(), 4 * x.numpy())
    with pytest.raises(GraphError, match="retain_graph=True"):
        y.backward()


def test_earlier_graph_survives(rng):
    (x,) = tensors(rng, (3,))
    h = mg.exp(x)
    mg.grad(mg.checkpoint(lambda t: t * h, x).sum(), h)
    h.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.exp(x.numpy()))


def test_nothing_of_the_inside_is_kept(rng):
    (x,) = tensors(rng, (1000,))
    inside = []

    def f(t):
        h = mg.exp(t)
        inside.append(weakref.ref(h._data))
        return h * h

    gc.disable()
    try:
        y = mg.checkpoint(f, x)
        assert inside[0]() is None
        y.sum().backward()
        assert len(inside) == 2 and inside[1]() is None
        node = weakref.ref(y.grad_fn)
        del y
        assert node() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("which", ["argument", "closure"])
def test_writes_before_the_second_run_are_found_out(which, rng):
    x, w = tensors(rng, (3,), (3,))
    y = mg.checkpoint(lambda t: t * w, x).sum()
    with mg.no_grad():
        (x if which == "argument" else w).add_(1)
    with pytest.raises(GraphError, match=r"checkpoint needs .* changed in place"):
        y.backward()


def test_a_function_that_changes_its_mind(rng):
    (x,) = tensors(rng, (3,))
    sizes = iter([3, 2])
    y = mg.checkpoint(lambda t: t[: next(sizes)] * 2, x).sum()
    with pytest.raises(GraphError, match="second run gave 2 elements"):
        y.backward()


@pytest.mark.parametrize("value", [None, 1.0, (), [1.0], {"a": 1}])
def test_other_results_are_refused(value, rng):
    with pytest.raises(UsageError, match="a Tensor or a tuple of Tensors"):
        mg.checkpoint(lambda t: value, *tensors(rng, (3,)))


def test_results_of_two_dtypes_are_refused(rng):
    with pytest.raises(UsageError, match="one dtype"):
        mg.checkpoint(lambda t: (t * 2, t.argmax()), *tensors(rng, (3,)))


def test_an_error_inside_comes_through(rng):
    (x,) = tensors(rng, (3,))
    state = mg.get_rng_state()
    with pytest.raises(KeyError):
        mg.checkpoint(lambda t: {}["missing"], x)
    assert mg.is_grad_enabled() and mg.get_rng_state() == state
