"""The output layer fused with its loss, against the two one after the other, against PyTorch, and what it keeps in memory.

Values, gradients and second derivatives of small samples, NaN and infinity included: see test_neural_fused.
"""

import itertools
import tracemalloc

import numpy as np
import pytest

import minigrad as mg
import minigrad.nn.functional as F
from minigrad.errors import DimensionError, DTypeError, ShapeError, UsageError
from minigrad.ops import linear_cross_entropy as module

TOLERANCE = {"float32": {"rtol": 1e-4, "atol": 1e-5}, "float64": {"rtol": 1e-10, "atol": 1e-12}}
OPTIONS = list(itertools.product(["mean", "sum", "none"], [False, True], [0.0, 0.1]))  # reduction, weighted, label smoothing


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 1)
    monkeypatch.setattr(module, "LEAST_ROWS", 4)


def problem(rng, dtype="float64", shape=(3, 7), features=5, classes=11, weighted=True):
    """Inputs, output layer and bias that want gradients; targets of which a third is ignored; class weights or None."""
    wanting = [rng.standard_normal((*shape, features)), rng.standard_normal((classes, features)), rng.standard_normal(classes)]
    targets = rng.integers(0, classes, shape)
    targets[rng.random(shape) < 1 / 3] = -100
    weight = mg.tensor(rng.random(classes), dtype=dtype) if weighted else None
    return [mg.tensor(a, dtype=dtype, requires_grad=True) for a in wanting], targets, weight


def one_after_the_other(x, layer, bias, targets, **options):
    rows = F.cross_entropy(F.linear(x, layer, bias).reshape(-1, len(layer)), targets.reshape(-1), **options)
    return rows.reshape(targets.shape) if rows.ndim else rows


def both(inputs, targets, **options):
    """Value and gradients of the fused operation and of its parts."""
    x, weight, bias = inputs
    results = []
    for value in (
        F.linear_cross_entropy(x, weight, targets, linear_bias=bias, **options),
        one_after_the_other(x, weight, bias, targets, **options),
    ):
        upstream = mg.tensor(np.random.default_rng(3).standard_normal(value.shape), dtype=value.dtype)
        results.append([value, *mg.grad(value, [i for i in inputs if i is not None], upstream)])
    return results


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("reduction", "weighted", "smoothing"), OPTIONS)
def test_it_is_the_linear_layer_and_the_loss(reduction, weighted, smoothing, dtype, rng, small_blocks):
    inputs, targets, weight = problem(rng, dtype, weighted=weighted)
    fused, parts = both(inputs, targets, weight=weight, reduction=reduction, label_smoothing=smoothing)
    for ours, expected in zip(fused, parts):
        assert ours.dtype == dtype and ours.shape == expected.shape
        np.testing.assert_allclose(ours.numpy(), expected.numpy(), **TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("reduction", "weighted", "smoothing"), OPTIONS)
def test_it_is_pytorchs(reduction, weighted, smoothing, dtype, rng, small_blocks):
    torch = pytest.importorskip("torch")
    inputs, targets, weight = problem(rng, dtype, shape=(21,), weighted=weighted)
    theirs = [torch.tensor(i.numpy(), requires_grad=True) for i in inputs]
    options = {"reduction": reduction, "label_smoothing": smoothing}
    expected = torch.nn.functional.cross_entropy(
        torch.nn.functional.linear(*theirs),
        torch.tensor(targets),
        weight=None if weight is None else torch.tensor(weight.numpy()),
        **options,
    )
    ours = F.linear_cross_entropy(*inputs[:2], targets, linear_bias=inputs[2], weight=weight, **options)
    np.testing.assert_allclose(ours.detach().numpy(), expected.detach().numpy(), **TOLERANCE[dtype])
    ours.sum().backward()
    expected.sum().backward()
    for x, y in zip(inputs, theirs):
        np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), **TOLERANCE[dtype])


def test_the_number_of_blocks_does_not_matter(rng, monkeypatch):
    inputs, targets, _ = problem(rng, shape=(150,))
    results = []
    for block in (1, 1000, 1 << 24):
        monkeypatch.setattr(module, "BLOCK", block)
        value = F.linear_cross_entropy(inputs[0], inputs[1], targets, linear_bias=inputs[2])
        results.append([value, *mg.grad(value, inputs)])
    for other in results[1:]:
        for a, b in zip(results[0], other):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12, atol=1e-15)


def test_ignored_rows_may_hold_anything(rng):
    (x, weight, bias), targets, _ = problem(rng)
    _, clean = both([x, weight, bias], targets, label_smoothing=0.1)
    x = x.detach().numpy().copy()
    x[targets == -100] = np.nan
    x = mg.tensor(x, requires_grad=True)
    value = F.linear_cross_entropy(x, weight, targets, linear_bias=bias, label_smoothing=0.1)
    value.backward(mg.tensor(np.random.default_rng(3).standard_normal(()), dtype="float64"))
    for ours, wanted in zip((value, x.grad, weight.grad, bias.grad), clean):
        np.testing.assert_array_equal(np.isfinite(ours.numpy()), True)
        np.testing.assert_allclose(ours.numpy(), wanted.numpy(), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_all_ignored_gives_zeros(reduction, rng):
    inputs, targets, _ = problem(rng)
    fused, _ = both(inputs, np.full_like(targets, -100), reduction=reduction)
    for found in fused:
        assert not found.numpy().any()


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_no_rows(reduction, rng):
    inputs, targets, _ = problem(rng, shape=(0,))
    fused, parts = both(inputs, targets, reduction=reduction)
    for ours, expected in zip(fused, parts):
        np.testing.assert_array_equal(ours.numpy(), expected.numpy())


def test_a_graph_may_be_used_twice(rng):
    inputs, targets, _ = problem(rng)
    value = F.linear_cross_entropy(inputs[0], inputs[1], targets, linear_bias=inputs[2])
    value.backward(retain_graph=True)
    once = [x.grad.numpy().copy() for x in inputs]
    value.backward()
    for x, first in zip(inputs, once):
        np.testing.assert_array_equal(x.grad.numpy(), 2 * first)


def test_second_derivatives_exist(rng):
    inputs, targets, _ = problem(rng, shape=(4,))
    assert mg.gradgradcheck(lambda x, w, b: F.linear_cross_entropy(x, w, targets, linear_bias=b, label_smoothing=0.1), inputs)


def test_gradients_are_computed_ahead_only_where_they_are_wanted(rng, monkeypatch):
    (x, weight, bias), targets, _ = problem(rng)
    asked = []
    gradients = module._Blocks.gradients
    monkeypatch.setattr(module._Blocks, "gradients", lambda *args: asked.append(args[-1]) or gradients(*args))
    with mg.no_grad():
        F.linear_cross_entropy(x, weight, targets, linear_bias=bias)
    F.linear_cross_entropy(x.detach(), weight.detach(), targets)
    assert asked == []
    F.linear_cross_entropy(x, weight.detach(), targets, linear_bias=bias).backward()
    assert asked == [(True, False, True)]


@pytest.mark.parametrize("reduction", ["sum", "none"])
def test_memory_does_not_hold_all_logits(reduction, rng):
    rows, classes = 2048, 4096
    x = mg.tensor(rng.standard_normal((rows, 8)), dtype="float32", requires_grad=True)
    weight = mg.tensor(rng.standard_normal((classes, 8)), dtype="float32", requires_grad=True)
    targets = rng.integers(0, classes, rows)
    F.linear_cross_entropy(x, weight, targets, reduction=reduction)  # what is loaded and kept once
    tracemalloc.start()
    F.linear_cross_entropy(x, weight, targets, reduction=reduction).sum().backward()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < module.BLOCK + 2**20 < rows * classes * 4


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"input": np.zeros((4, 4))}, ShapeError, "features"),
        ({"linear_weight": np.zeros(5)}, ShapeError, "classes, features"),
        ({"linear_bias": np.zeros(3)}, ShapeError, r"shape \(11,\)"),
        ({"weight": np.zeros(3)}, ShapeError, "one weight per class"),
        ({"target": np.zeros(3, int)}, ShapeError, "targets of shape"),
        ({"target": np.full(4, 11)}, DimensionError, "from 0 to 10"),
        ({"target": np.zeros(4)}, DTypeError, "integer targets"),
        ({"linear_weight": np.zeros((11, 5), np.float32)}, DTypeError, "one dtype"),
        ({"reduction": "average"}, UsageError, "reductions"),
        ({"label_smoothing": 1.5}, UsageError, "0 to 1"),
    ],
)
def test_errors_say_what_is_wrong(changes, error, said):
    arguments = {"input": np.zeros((4, 5)), "linear_weight": np.zeros((11, 5)), "target": np.zeros(4, int), **changes}
    arguments = {k: mg.tensor(v) if isinstance(v, np.ndarray) else v for k, v in arguments.items()}
    with pytest.raises(error, match=said):
        F.linear_cross_entropy(**arguments)
