"""The checker itself: it must catch a rule that is wrong by a thousandth, and pass what is right."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import DTypeError, GraphError

pytestmark = pytest.mark.usefixtures("own_primitives")


def leaf(*values, dtype="float64"):
    return mg.tensor(values if len(values) > 1 else values[0], dtype=dtype, requires_grad=True)


def scaled_rule(factor):
    @mg.primitive(r"\sin x")
    def wrong_sine(x):
        return np.sin(x)

    wrong_sine.vjp(x=lambda g, x: factor * g * np.cos(x))
    return wrong_sine


@pytest.mark.parametrize("factor", [1.001, 0.999, -1.0, 0.0, 2.0])
def test_a_wrong_rule_fails(factor, rng):
    x = mg.tensor(rng.standard_normal((2, 3)), requires_grad=True)
    with pytest.raises(GraphError, match=r"not the slope: d\(output 0 element 0\)/d\(input 0 element 0\)"):
        mg.gradcheck(scaled_rule(factor), x)
    assert mg.gradcheck(scaled_rule(factor), x, raise_exception=False) is False
    assert mg.gradcheck(scaled_rule(1.0), x) is True


def test_one_wrong_element_fails(rng):
    @mg.primitive("x")
    def odd(x):
        return x * 1.0

    odd.vjp(x=lambda g: g * np.array([1.0, 1.0, 1.001]))
    with pytest.raises(GraphError, match=r"element 2.* 1 of 9 entries"):
        mg.gradcheck(odd, leaf(1.0, 2.0, 3.0))


def test_a_rule_right_once_but_not_twice():
    @mg.primitive(r"x^3")
    def cubed(x):
        return x**3

    frozen = np.array([1.0, 2.0])
    cubed.vjp(x=lambda g, x: g * 3 * (np.asarray(x) ** 2 if isinstance(x, mg.Tensor) else x**2))
    x = mg.tensor(frozen, requires_grad=True)
    assert mg.gradcheck(cubed, x)
    with pytest.raises(GraphError, match="not the slope"):
        mg.gradgradcheck(cubed, x)
    assert mg.gradgradcheck(cubed, x, raise_exception=False) is False


@pytest.mark.parametrize("factor", [1.001, 0.999])
def test_second_derivatives_wrong_by_a_thousandth(factor):
    @mg.primitive(r"\sin x")
    def inner(x):
        return np.cos(x)

    inner.vjp(x=lambda g, x: -factor * g * np.sin(x))

    @mg.primitive(r"\sin x")
    def outer(x):
        return np.sin(x)

    outer.vjp(x=lambda g, x: g * inner.on(x))
    x = leaf(0.5, 1.0)
    assert mg.gradcheck(outer, x)
    assert mg.gradgradcheck(outer, x, raise_exception=False) is False


def test_several_inputs_and_outputs(rng):
    a, b = (mg.tensor(rng.standard_normal(s), requires_grad=True) for s in ((2, 3), (3,)))
    fixed = mg.tensor([2.0], dtype="float32")
    assert mg.gradcheck(lambda a, b, c: (a * b, (a + b).sum(), c), (a, b, fixed))
    assert mg.gradgradcheck(lambda a, b, c: (a * b * b, mg.exp(a + b).sum(), mg.argmax(a)), (a, b, fixed))


def test_one_tensor_twice_and_by_another_way():
    x = leaf(1.0, 2.0)
    assert mg.gradcheck(lambda a, b: a * b, (x, x))
    assert mg.gradcheck(lambda a: a * x, x), "the function reaches the input by its closure too"
    assert x.tolist() == [1, 2] and x.grad is None


def test_the_input_is_put_back_when_the_function_fails():
    x = leaf(1.0, 2.0)

    def fails(a):
        if a[0].item() != 1:
            raise KeyError
        return a * 1

    with pytest.raises(KeyError):
        mg.gradcheck(fails, x)
    assert x.tolist() == [1, 2]


@pytest.mark.parametrize("check", [mg.gradcheck, mg.gradgradcheck])
def test_inputs_that_are_refused(check):
    with pytest.raises(DTypeError, match=r"input 1 is float32; use \.double\(\)"):
        check(lambda a, b: a * b, (leaf(1.0), leaf(1.0, dtype="float32")))
    with pytest.raises(GraphError, match="requires_grad=True"):
        check(lambda a: a * 2, mg.tensor(1.0, dtype="float64"))


def test_nothing_to_check():
    with pytest.raises(GraphError, match="floating-point result"):
        mg.gradcheck(lambda a: mg.argmax(a), leaf(1.0, 2.0))


def test_a_detached_result_is_caught():
    with pytest.raises(GraphError, match="is 0 by the rule"):
        mg.gradcheck(lambda a: a.detach() * 2, leaf(1.0))
    assert mg.gradcheck(lambda a: mg.zeros(2, dtype="float64"), leaf(1.0))


def test_empty_inputs():
    x = mg.tensor(np.zeros((0, 3)), requires_grad=True)
    assert mg.gradcheck(lambda a: a * 2, x) and mg.gradcheck(lambda a: a.sum(), x)


def test_inside_no_grad():
    with mg.no_grad():
        assert mg.gradcheck(mg.tanh, leaf(0.5, 1.0)) and mg.gradgradcheck(mg.tanh, leaf(0.5, 1.0))


def test_nan_does_not_pass():
    with pytest.raises(GraphError):
        mg.gradcheck(lambda a: a * np.nan, leaf(1.0))
