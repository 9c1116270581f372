"""Every fused primitive against its reference: values, gradients, second derivatives, and what it makes of NaN and infinity."""

import numpy as np
import pytest

import minigrad as mg
import minigrad.nn.functional
from minigrad.gradcheck import gradcheck, gradgradcheck
from minigrad.primitive import Fused
from tests.ops.fused_samples import SAMPLES

FUSED = {name: p for name, p in mg.REGISTRY.items() if isinstance(p, Fused) and p.__module__.startswith("minigrad.")}
CASES = [
    pytest.param(FUSED[name], sample, id=f"{name}-{i}") for name in FUSED for i, sample in enumerate(SAMPLES.get(name, ()))
]
# Finite differences neither suit the row of padding, whose gradient is 0 by decree, nor thousands of inputs.
DIFFERENTIABLE = [case for case in CASES if case.id not in ("embedding-1", "embedding-2", "relu-1")]
TOLERANCE = {"float32": {"rtol": 2e-4, "atol": 2e-5}, "float64": {"rtol": 1e-9, "atol": 1e-11}}


def arguments(operation, sample, dtype, spoil=()):
    """The arguments of a sample, its differentiable ones as tensors; ``spoil`` goes into the first of these."""
    rng = np.random.default_rng(5)
    args = list(sample(lambda *shape: rng.standard_normal(shape).astype(dtype)))
    positions = [i for i, name in enumerate(operation.argnames) if name in operation.differentiable and args[i] is not None]
    if args[positions[0]].size >= len(spoil):
        args[positions[0]].reshape(-1)[: len(spoil)] = spoil
    for i in positions:
        args[i] = mg.tensor(args[i], requires_grad=True)
    return args, [args[i] for i in positions]


def value_and_gradients(function, args, inputs):
    out = function(*args)
    rng = np.random.default_rng(6)
    g = mg.tensor(rng.standard_normal(out.shape).astype(out.dtype))
    return out.numpy(), [x.numpy() for x in mg.grad(out, inputs, g)]


def test_every_fused_primitive_has_samples():
    assert set(FUSED) == set(SAMPLES)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("operation, sample", CASES)
def test_it_agrees_with_its_reference(operation, sample, dtype):
    args, inputs = arguments(operation, sample, dtype)
    value, gradients = value_and_gradients(operation, args, inputs)
    expected_value, expected_gradients = value_and_gradients(operation.reference, args, inputs)
    assert value.dtype == dtype
    np.testing.assert_allclose(value, expected_value, **TOLERANCE[dtype])
    for x, gradient, expected in zip(inputs, gradients, expected_gradients):
        assert gradient.shape == x.shape
        assert gradient.dtype == dtype
        np.testing.assert_allclose(gradient, expected, **TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("operation, sample", CASES)
@pytest.mark.parametrize("spoil", [(np.nan,), (np.inf, -np.inf)], ids=["nan", "inf"])
def test_it_hides_no_nan_and_no_infinity(operation, sample, dtype, spoil):
    """Values are those of the reference; a gradient may be NaN in more places of a spoiled row, but never in fewer."""
    args, inputs = arguments(operation, sample, dtype, spoil)
    with np.errstate(all="ignore"):
        value, gradients = value_and_gradients(operation, args, inputs)
        expected_value, expected_gradients = value_and_gradients(operation.reference, args, inputs)
    np.testing.assert_allclose(value, expected_value, **TOLERANCE[dtype])
    for gradient, expected in zip(gradients, expected_gradients):
        finite = np.isfinite(gradient)
        np.testing.assert_allclose(gradient[finite], expected[finite], **TOLERANCE[dtype])


@pytest.mark.parametrize("operation, sample", DIFFERENTIABLE)
def test_finite_differences_confirm_its_gradients(operation, sample):
    args, inputs = arguments(operation, sample, "float64")
    assert gradcheck(with_inputs(operation, args), inputs)


@pytest.mark.parametrize("operation, sample", DIFFERENTIABLE)
def test_finite_differences_confirm_its_second_derivatives(operation, sample):
    args, inputs = arguments(operation, sample, "float64")
    assert gradgradcheck(with_inputs(operation, args), inputs)


def with_inputs(operation, args):
    """``operation`` as a function of its differentiable arguments alone."""
    places = [i for i, a in enumerate(args) if isinstance(a, mg.Tensor)]

    def function(*inputs):
        replaced = dict(zip(places, inputs))
        return operation(*(replaced.get(i, a) for i, a in enumerate(args)))

    return function


@pytest.mark.parametrize("operation, sample", CASES)
def test_each_argument_gets_its_gradient_alone_too(operation, sample):
    """The backward function leaves out what is not wanted; what it gives must not depend on that."""
    args, inputs = arguments(operation, sample, "float64")
    _, together = value_and_gradients(operation, args, inputs)
    for i, x in enumerate(inputs):
        alone = [a.detach() if isinstance(a, mg.Tensor) and a is not x else a for a in args]
        _, (gradient,) = value_and_gradients(operation, alone, [x])
        np.testing.assert_array_equal(gradient, together[i])


@pytest.mark.parametrize("operation, sample", CASES)
def test_memory_layout_does_not_matter(operation, sample):
    """Transposed inputs and a broadcast, read-only upstream gradient give what contiguous ones give."""
    args, inputs = arguments(operation, sample, "float64")
    value = operation(*args)
    expected = mg.grad(value.sum(), inputs)
    strided = [mg.tensor(x.numpy().T, requires_grad=True) for x in inputs]
    replaced = dict(zip(map(id, inputs), strided))
    out = operation(*(replaced[id(a)].T if id(a) in replaced else a for a in args))
    np.testing.assert_allclose(out.numpy(), value.numpy(), rtol=1e-12)
    for x, g in zip(mg.grad(out.sum(), strided), expected):
        np.testing.assert_allclose(x.numpy().T, g.numpy(), rtol=1e-9, atol=1e-12)
