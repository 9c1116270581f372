"""Attention block by block as an operation: against its reference and PyTorch, its memory, and where it takes over."""

import tracemalloc

import numpy as np
import pytest

import minigrad as mg
import minigrad.nn.functional as F
from minigrad import kernels
from minigrad.errors import GraphError
from minigrad.gradcheck import gradcheck, gradgradcheck
from minigrad.ops.attention import attention
from minigrad.ops.heads import attend, attention_of_heads
from tests.ops.fused_samples import SAMPLES
from tests.ops.test_neural_fused import TOLERANCE, arguments, value_and_gradients, with_inputs

pytestmark = pytest.mark.skipif(not kernels.matmul.compiles(), reason="needs the compiled kernels, so the JIT and a known CPU")
CASES = [
    pytest.param(operation, sample, id=f"{operation.name}-{i}")
    for operation in (attention, attention_of_heads)
    for i, sample in enumerate(SAMPLES[operation.name])
]


@pytest.fixture
def always_in_blocks(monkeypatch):
    for limit in ("SHORT_FOR_NUMPY", "SMALL"):
        monkeypatch.setattr(kernels.attention, limit, 0)


@pytest.mark.usefixtures("always_in_blocks")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("spoil", [(), (np.nan,), (np.inf, -np.inf)], ids=["plain", "nan", "inf"])
@pytest.mark.parametrize("operation, sample", CASES)
def test_it_agrees_with_its_reference(operation, sample, spoil, dtype):
    args, inputs = arguments(operation, sample, dtype, spoil)
    with np.errstate(all="ignore"):
        value, gradients = value_and_gradients(operation, args, inputs)
        expected_value, expected_gradients = value_and_gradients(operation.reference, args, inputs)
    np.testing.assert_allclose(value, expected_value, **TOLERANCE[dtype])
    for gradient, expected in zip(gradients, expected_gradients):
        assert gradient.dtype == dtype
        finite = np.isfinite(gradient)
        assert spoil or finite.all()
        np.testing.assert_allclose(gradient[finite], expected[finite], **TOLERANCE[dtype])


@pytest.mark.usefixtures("always_in_blocks")
@pytest.mark.parametrize("operation, sample", CASES)
def test_finite_differences_confirm_both_derivatives(operation, sample):
    args, inputs = arguments(operation, sample, "float64")
    assert gradcheck(with_inputs(operation, args), inputs)
    assert gradgradcheck(with_inputs(operation, args), inputs)


@pytest.mark.usefixtures("always_in_blocks")
@pytest.mark.parametrize("lead", [(), (3,), (2, 1, 3, 2)])
def test_leading_dimensions_broadcast(lead):
    rng = np.random.default_rng(2)
    shapes = (*lead, 5, 4), (*lead[1:], 7, 4), (7, 3)
    inputs = [mg.tensor(rng.standard_normal(shape), requires_grad=True) for shape in shapes]
    for mask in (None, rng.random((5, 7)) < 0.7, rng.standard_normal((*lead, 5, 7))):
        args = [*inputs, mask, False, 0.5, 0.2, 7]
        value, gradients = value_and_gradients(attention, args, inputs)
        expected_value, expected_gradients = value_and_gradients(attention.reference, args, inputs)
        np.testing.assert_allclose(value, expected_value, rtol=1e-10)
        for gradient, expected in zip(gradients, expected_gradients):
            assert gradient.shape == expected.shape
            np.testing.assert_allclose(gradient, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("causal", [False, True])
def test_long_sequences_match_torch(causal):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(3)
    queries, keys = (1300, 1300) if causal else (900, 1300)
    arrays = [rng.standard_normal((1, 2, n, 32)).astype("float32") for n in (queries, keys, keys)]
    ours, theirs = [mg.tensor(x, requires_grad=True) for x in arrays], [torch.tensor(x, requires_grad=True) for x in arrays]
    assert kernels.attention.pays(*(x.shape for x in ours))
    out = F.scaled_dot_product_attention(*ours, is_causal=causal)
    expected = torch.nn.functional.scaled_dot_product_attention(*theirs, is_causal=causal)
    np.testing.assert_allclose(out.detach().numpy(), expected.detach().numpy(), rtol=1e-4, atol=1e-5)
    g = rng.standard_normal(out.shape).astype("float32")
    out.backward(mg.tensor(g))
    expected.backward(torch.tensor(g))
    for a, b in zip(ours, theirs):
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-3, atol=1e-5)


def test_both_ways_of_one_seed_drop_the_same_weights(monkeypatch):
    rng = np.random.default_rng(4)
    x = mg.tensor(rng.standard_normal((2, 800, 3 * 12)), requires_grad=True)
    padding = np.arange(800) < np.array([800, 650])[:, None, None, None]
    results = []
    for small in (kernels.attention.SMALL, 2**40):
        monkeypatch.setattr(kernels.attention, "SMALL", small)
        mg.manual_seed(6)
        out = attend(x, None, 3, True, padding, True, 0.2)
        results.append((out.numpy(), *(g.numpy() for g in mg.grad(out.square().sum(), [x]))))
    for in_blocks, at_once in zip(*results):
        np.testing.assert_allclose(in_blocks, at_once, rtol=1e-9, atol=1e-11)


def peak(length, run) -> int:
    rng = np.random.default_rng(5)
    x = mg.tensor(rng.standard_normal((1, length, 3 * 4 * 16)).astype("float32"), requires_grad=True)
    run(x)
    x.grad = None
    tracemalloc.start()
    try:
        run(x)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def through_heads(x):
    attend(x, None, 4, True, None, True, 0.1).sum().backward()


def through_the_function(x):
    query, key, value = x.reshape(1, -1, 3, 4, 16).permute(2, 0, 3, 1, 4)
    F.scaled_dot_product_attention(query, key, value).sum().backward()


@pytest.mark.parametrize("run", [through_heads, through_the_function])
def test_memory_grows_linearly_with_the_length(run):
    short, long = peak(1024, run), peak(2048, run)
    assert long < 2.2 * short
    assert long < 2048 * 2048 * 4 * 4 / 10  # a tenth of the weights of the four heads, in bytes


def test_writing_to_the_result_before_backward_is_noticed():
    """Backward reads the output, so changing it must raise rather than give a wrong gradient."""
    x = mg.tensor(np.ones((1, 4, 600, 8), "float32"), requires_grad=True)
    out = F.scaled_dot_product_attention(x, x, x)
    out.data[0, 0] = 5
    with pytest.raises(GraphError, match="attention"):
        out.sum().backward()
