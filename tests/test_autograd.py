"""The tape: values of gradients, grad(), derivatives of derivatives, and what is refused."""

import weakref

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import DTypeError, GraphError, ShapeError, UsageError


def leaf(*values, dtype="float64"):
    return mg.tensor(values if len(values) > 1 else values[0], dtype=dtype, requires_grad=True)


def shares(a, b) -> bool:
    return np.shares_memory(np.asarray(a._data), np.asarray(b._data))


# -- values -------------------------------------------------------------------------------------------------------------


def test_chain_rule_by_hand():
    x, y = leaf(2.0), leaf(3.0)
    z = (x * y + mg.sin(x)) * y
    z.backward()
    assert x.grad.item() == pytest.approx((3 + np.cos(2)) * 3)
    assert y.grad.item() == pytest.approx(2 * 2 * 3 + np.sin(2))


def test_tied_use_adds_up():
    x = leaf(1.0, 2.0)
    total = x
    for _ in range(9):
        total = total + x
    total.sum().backward()
    assert x.grad.tolist() == [10, 10]


def test_x_plus_x():
    x = leaf(1.0, 2.0)
    (x + x).sum().backward()
    assert x.grad.tolist() == [2, 2]


@pytest.mark.parametrize(
    ("a", "b"), [((2, 3, 4), (3, 1)), ((3, 1), (1, 4)), ((1,), (2, 3)), ((), (2, 2)), ((2, 1, 3), (4, 1)), ((0, 3), (1, 3))]
)
def test_broadcast_gradients(a, b, rng):
    x, y = (mg.tensor(rng.random(s), requires_grad=True) for s in (a, b))
    weight = rng.random(np.broadcast_shapes(a, b))
    (x * y * weight).sum().backward()
    for one, other in ((x, y), (y, x)):
        full = weight * other.numpy()
        lead = full.ndim - one.ndim
        axes = (*range(lead), *(i + lead for i, n in enumerate(one.shape) if n == 1))
        assert one.grad.shape == one.shape
        np.testing.assert_allclose(one.grad.numpy(), full.sum(axes).reshape(one.shape))


def test_backward_from_a_result_of_many_elements():
    x = leaf(1.0, 2.0)
    y = x * x
    with pytest.raises(ShapeError, match=r"reduce it with \.sum\(\)"):
        y.backward()
    with pytest.raises(ShapeError, match=r"shape \(2,\): got \(3,\)"):
        y.backward(mg.ones(3))
    with pytest.raises(DTypeError, match="got list"):
        y.backward([1, 1])
    y.backward(mg.tensor([1.0, 10.0]))
    assert x.grad.tolist() == [2, 40]


def test_gradient_argument_takes_arrays_and_other_dtypes():
    x = leaf(1.0, 2.0, dtype="float32")
    (x * 2).backward(np.array([1, 2]))
    assert x.grad.tolist() == [2, 4] and x.grad.dtype == np.float32


def test_backward_of_several_results():
    x = leaf(1.0, 2.0)
    y = x * 3
    mg.backward([y.sum(), y.prod()])
    assert x.grad.tolist() == [3 + 18, 3 + 9]
    x.grad = None
    y = x * 3
    mg.backward([y, y], [mg.ones(2), mg.ones(2)])
    assert x.grad.tolist() == [6, 6]
    with pytest.raises(UsageError, match="2 outputs and 1 gradients"):
        mg.backward([x * 1, x * 1], [mg.ones(2)])


def test_backward_of_a_leaf():
    x = leaf(3.0)
    x.backward()
    x.backward()
    assert x.grad.item() == 2


def test_only_leaves_collect():
    x = leaf(1.0)
    y = x * 2
    (y * 3).backward()
    assert y.grad is None and x.grad.item() == 6


def test_same_operations_same_bits(rng):
    values = rng.standard_normal((20, 20))

    def gradient():
        mg.manual_seed(3)
        x = mg.tensor(values, dtype="float32", requires_grad=True)
        y = mg.tanh(x @ x) * mg.randn(20, 20)
        (y / y.std()).sum().backward()
        return x.grad.numpy().tobytes()

    assert gradient() == gradient()


def test_grad_accumulates_until_set_to_none():
    x = leaf(1.0, 2.0)
    for count in (1, 2, 3):
        (x * 2).sum().backward()
        assert x.grad.tolist() == [2 * count, 2 * count]
    x.grad = None
    (x * 2).sum().backward()
    assert x.grad.tolist() == [2, 2]


def test_no_gradient_where_nothing_flows():
    x, y = leaf(1.0), leaf(2.0)
    (x * 2 + y.detach()).backward()
    assert y.grad is None


def test_nothing_recorded():
    with pytest.raises(GraphError, match="requires_grad=True"):
        (mg.tensor(1.0) * 2).backward()
    x = leaf(1.0)
    with mg.no_grad():
        y = x * 2
    with pytest.raises(GraphError, match=r"outside no_grad\(\)"):
        y.backward()


# -- size ---------------------------------------------------------------------------------------------------------------


def test_a_chain_of_100_000_operations():
    x = leaf(1.0)
    y = x
    for _ in range(100_000):
        y = y + 0.5
    y.backward()
    assert x.grad.item() == 1 and y.item() == 50_001


def test_a_long_chain_dropped_without_backward():
    x = leaf(1.0)
    y = x
    for _ in range(100_000):
        y = mg.sin(y)
    alive = weakref.ref(y.grad_fn)
    del y
    assert alive() is None


def test_a_long_chain_recorded_in_backward():
    x = leaf(0.5)
    y = x
    for _ in range(2_000):
        y = y * 1.0
    (g,) = mg.grad(y, x, create_graph=True)
    assert g.item() == 1


def test_a_diamond_takes_linear_time():
    calls = 0

    def count(g):
        nonlocal calls
        calls += 1

    x = leaf(1.0)
    y = x
    for _ in range(60):
        y = y + y
        y.register_hook(count)
    y.backward()
    assert x.grad.item() == 2.0**60 and calls == 60


# -- grad() -------------------------------------------------------------------------------------------------------------


def test_grad_leaves_grad_alone():
    x, y = leaf(2.0), leaf(3.0)
    gx, gy = mg.grad(x * y, [x, y])
    assert (gx.item(), gy.item()) == (3, 2) and x.grad is None and y.grad is None


def test_grad_of_results_and_leaves_on_the_way():
    x = leaf(2.0)
    y = x * x
    z = y * x
    gz, gy, gx = mg.grad(z, (z, y, x))
    assert (gz.item(), gy.item(), gx.item()) == (1, 2, 12)


def test_grad_runs_only_the_rules_on_the_way():
    x, w = leaf(2.0), leaf(3.0)
    calls = []
    side = w * w
    side.register_hook(calls.append)
    mg.grad(x * side, x)
    assert calls == [], "nothing behind an operand that was not asked for"


def test_grad_with_several_outputs():
    x = leaf(1.0, 2.0)
    a, b = x * 2, (x * x).sum()
    (g,) = mg.grad([a, b], x, [mg.ones(2), None])
    assert g.tolist() == [4, 6]
    with pytest.raises(UsageError, match="2 outputs and 1 gradients"):
        mg.grad([x * 1, x * 2], x, mg.ones(2))


def test_grad_of_unused_inputs():
    x, y = leaf(1.0), leaf(2.0)
    with pytest.raises(GraphError, match=r"input 1 .*allow_unused=True"):
        mg.grad(x * 2, [x, y])
    assert mg.grad(x * 2, [x, y], allow_unused=True)[1] is None


def test_grad_refuses_what_cannot_be_differentiated():
    x = leaf(1.0)
    with pytest.raises(GraphError, match="input 0"):
        mg.grad(x * 2, mg.tensor(1.0))
    with pytest.raises(GraphError, match="output 0"):
        mg.grad(mg.tensor(1.0), x)


def test_grad_frees_unless_retained():
    x = leaf(2.0)
    y = x * x
    mg.grad(y, x, retain_graph=True)
    mg.grad(y, x)
    with pytest.raises(GraphError, match="retain_graph"):
        mg.grad(y, x)


def test_grad_with_one_input_twice():
    x = leaf(2.0)
    for create_graph in (False, True):
        a, b = mg.grad(x * x, [x, x], create_graph=create_graph)
        assert a.item() == b.item() == 4 and a is not b and not shares(a, b)


# -- higher derivatives -------------------------------------------------------------------------------------------------


def test_derivatives_of_high_order():
    x = leaf(0.7)
    y, signs = mg.sin(x), [np.cos, lambda v: -np.sin(v), lambda v: -np.cos(v), np.sin]
    for order in range(8):
        (y,) = mg.grad(y, x, create_graph=True)
        assert y.item() == pytest.approx(signs[order % 4](0.7))


def test_backward_through_a_gradient():
    x = leaf(3.0)
    (g,) = mg.grad(x**3, x, create_graph=True)
    (g * g).backward()
    assert x.grad.item() == pytest.approx(2 * 27 * 18)


def test_create_graph_accumulates_with_history():
    x = leaf(3.0)
    (x**3).backward(create_graph=True)
    (x**2).backward(create_graph=True)
    assert x.grad.item() == pytest.approx(33) and x.grad.requires_grad
    (h,) = mg.grad(x.grad, x)
    assert h.item() == pytest.approx(20)
    (x * 1.0).backward()
    assert x.grad.item() == pytest.approx(34) and not x.grad.requires_grad


def test_gradient_with_respect_to_the_seed():
    x, v = leaf(1.0, 2.0), leaf(3.0, 4.0)
    (g,) = mg.grad(x * x, x, v, create_graph=True)
    (h,) = mg.grad(g.sum(), v)
    assert h.tolist() == [2, 4]


def test_no_tape_inside_an_ordinary_backward():
    seen = []
    x = leaf(1.0)
    x.register_hook(lambda g: seen.append((g * 2).requires_grad or mg.is_grad_enabled()))
    (x * x).backward()
    assert seen == [False] and x.grad.requires_grad is False


def test_mixed_dtypes_have_second_derivatives():
    a, b = leaf(2.0, dtype="float32"), leaf(3.0, dtype="float64")
    (g,) = mg.grad((a * b) ** 3, a, create_graph=True)
    (h,) = mg.grad(g, b)
    assert g.dtype == np.float32 and h.dtype == np.float64
    assert h.item() == pytest.approx(9 * 4 * 9)
