"""Cross-entropy against its formula in float64 and against PyTorch, forward and backward, with every option."""

import itertools

import numpy as np
import pytest

from minigrad.kernels import cross_entropy as kernels

IGNORE = -100
DTYPES = [np.float32, np.float64]
SHAPES = [(1, 1), (5, 3), (40, 33), (3, 6000), (1500, 40)]  # the last is shared among threads
OPTIONS = list(itertools.product([False, True], [0.0, 0.1, 1.0]))  # weighted, label smoothing


def problem(shape, dtype, weighted, seed=0):
    random = np.random.default_rng(seed)
    rows, classes = shape
    logits = (3 * random.standard_normal(shape)).astype(dtype)
    targets = random.integers(0, classes, rows)
    targets[1::4] = IGNORE
    weight = random.random(classes).astype(dtype) if weighted else None
    return logits, targets, weight


def reference(logits, targets, weight, smoothing):
    """The loss of each row in float64, and its gradient by that row."""
    x, classes = logits.astype(np.float64), logits.shape[1]
    w = np.ones(classes) if weight is None else weight.astype(np.float64)
    e = np.exp(x - x.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    goal = np.where(np.arange(classes) == targets[:, None], 1 - smoothing, 0) + smoothing / classes
    goal = np.where(targets[:, None] == IGNORE, 0, goal * w)
    return -(goal * np.log(p)).sum(axis=1), p * goal.sum(axis=1, keepdims=True) - goal


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("weighted", "smoothing"), OPTIONS)
@pytest.mark.parametrize("shape", SHAPES)
def test_value_and_gradient(shape, weighted, smoothing, dtype):
    logits, targets, weight = problem(shape, dtype, weighted)
    loss, lse, total = kernels.cross_entropy(logits, targets, weight, IGNORE, smoothing)
    expected, slope = reference(logits, targets, weight, smoothing)
    assert loss.dtype == dtype
    np.testing.assert_allclose(loss, expected, rtol=60 * np.finfo(dtype).eps, atol=30 * np.finfo(dtype).eps)
    counted = targets != IGNORE
    assert total == pytest.approx(counted.sum() if weight is None else weight[targets[counted]].sum(), rel=1e-5)

    scale = np.random.default_rng(1).standard_normal(shape[0]).astype(dtype)
    gradient = kernels.cross_entropy_backward(logits, lse, targets, scale, weight, IGNORE, smoothing)
    assert gradient.dtype == dtype
    np.testing.assert_allclose(gradient, slope * scale[:, None], rtol=60 * np.finfo(dtype).eps, atol=8 * np.finfo(dtype).eps)
    over = logits.copy()
    assert kernels.cross_entropy_backward(over, lse, targets, scale, weight, IGNORE, smoothing, out=over) is over
    np.testing.assert_array_equal(over, gradient)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("weighted", "smoothing"), OPTIONS)
@pytest.mark.parametrize("shape", SHAPES)
def test_value_and_gradient_at_once(shape, weighted, smoothing, dtype):
    logits, targets, weight = problem(shape, dtype, weighted)
    targets = np.maximum(targets, 0)
    expected, slope = reference(logits, targets, weight, smoothing)
    scale = np.random.default_rng(1).standard_normal(shape[0]).astype(dtype)
    loss = kernels.cross_entropy_and_gradient_(logits, targets, scale, weight, smoothing)
    assert loss.dtype == logits.dtype == dtype
    np.testing.assert_allclose(loss, expected, rtol=60 * np.finfo(dtype).eps, atol=30 * np.finfo(dtype).eps)
    np.testing.assert_allclose(logits, slope * scale[:, None], rtol=60 * np.finfo(dtype).eps, atol=8 * np.finfo(dtype).eps)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("spoil", [np.nan, np.inf, -np.inf])
def test_at_once_as_one_after_the_other_with_nan_and_infinity(spoil, smoothing):
    """Row 0 holds the value beside its target, row 1 at its target, row 2 nothing else, row 3 not at all."""
    logits, targets, _ = problem((4, 5), np.float64, False)
    targets[:] = 1
    logits[0, 3] = logits[1, 1] = spoil
    logits[2] = spoil
    loss, lse, _ = kernels.cross_entropy(logits, targets, None, IGNORE, smoothing)
    gradient = kernels.cross_entropy_backward(logits, lse, targets, np.ones(4), None, IGNORE, smoothing)
    np.testing.assert_allclose(kernels.cross_entropy_and_gradient_(logits, targets, np.ones(4), None, smoothing), loss)
    np.testing.assert_allclose(logits, gradient, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(("weighted", "smoothing"), OPTIONS)
@pytest.mark.parametrize("ignore_index", [IGNORE, 2])
def test_reductions_are_those_of_torch(ignore_index, weighted, smoothing, reduction):
    torch = pytest.importorskip("torch")
    logits, targets, weight = problem((30, 7), np.float64, weighted)
    targets[targets == IGNORE] = ignore_index
    leaf = torch.tensor(logits, requires_grad=True)
    theirs = torch.nn.functional.cross_entropy(
        leaf,
        torch.tensor(targets),
        weight=None if weight is None else torch.tensor(weight),
        ignore_index=ignore_index,
        label_smoothing=smoothing,
        reduction=reduction,
    )
    theirs.sum().backward()
    loss, lse, total = kernels.cross_entropy(logits, targets, weight, ignore_index, smoothing)
    ours = {"mean": loss.sum() / total, "sum": loss.sum(), "none": loss}[reduction]
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-12)
    scale = np.full(30, 1 / total if reduction == "mean" else 1.0)
    gradient = kernels.cross_entropy_backward(logits, lse, targets, scale, weight, ignore_index, smoothing)
    np.testing.assert_allclose(gradient, leaf.grad.numpy(), rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("weighted", [False, True])
def test_all_targets_ignored(weighted):
    logits, targets, weight = problem((6, 4), np.float32, weighted)
    targets[:] = IGNORE
    loss, lse, total = kernels.cross_entropy(logits, targets, weight, IGNORE, 0.1)
    assert total == 0
    assert not loss.any()
    gradient = kernels.cross_entropy_backward(logits, lse, targets, np.ones(6, np.float32), weight, IGNORE, 0.1)
    assert not gradient.any()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_ignored_row_counts_for_nothing_whatever_it_holds(bad):
    logits, targets, _ = problem((6, 4), np.float32, False)
    targets[2] = IGNORE
    logits[2] = bad
    loss, lse, _ = kernels.cross_entropy(logits, targets)
    gradient = kernels.cross_entropy_backward(logits, lse, targets, np.ones(6, np.float32))
    assert np.isfinite(loss).all()
    assert loss[2] == 0
    assert not gradient[2].any()


@pytest.mark.parametrize("sign", [1, -1])
def test_nan_stays_in_its_row(sign):
    logits, targets, _ = problem((40, 37), np.float32, False)
    targets[:] = np.arange(40) % 37
    logits[7, 30] = np.copysign(np.nan, sign)
    loss, lse, _ = kernels.cross_entropy(logits, targets)
    gradient = kernels.cross_entropy_backward(logits, lse, targets, np.ones(40, np.float32))
    assert np.isnan(loss).nonzero()[0].tolist() == [7]
    assert np.isnan(gradient[7]).all()
    assert np.isfinite(np.delete(gradient, 7, axis=0)).all()


def test_impossible_classes():
    logits = np.array([[0, -np.inf, 1], [0, -np.inf, 1]], np.float32)
    targets = np.array([2, 1])
    loss, lse, _ = kernels.cross_entropy(logits, targets)
    np.testing.assert_allclose(loss, [np.log1p(np.exp(-1)), np.inf], rtol=1e-6)
    p = 1 / (1 + np.exp(1))
    gradient = kernels.cross_entropy_backward(logits, lse, targets, np.ones(2, np.float32))
    np.testing.assert_allclose(gradient, [[p, 0, -p], [p, -1, 1 - p]], rtol=1e-6)


def test_a_large_offset_costs_no_digits():
    logits, targets, weight = problem((40, 50), np.float32, True)
    logits = np.round(logits * 256) / 256  # a spacing that 10^4 + x still holds
    results = []
    for x in logits, logits + np.float32(1e4):
        loss, lse, _ = kernels.cross_entropy(x, targets, weight, IGNORE, 0.1)
        scale = np.ones(40, np.float32)
        results.append((loss, kernels.cross_entropy_backward(x, lse, targets, scale, weight, IGNORE, 0.1)))
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_array_equal(results[0][1], results[1][1])


def test_no_rows():
    logits, targets = np.empty((0, 5), np.float32), np.empty(0, np.int64)
    loss, lse, total = kernels.cross_entropy(logits, targets)
    assert (loss.shape, total) == ((0,), 0.0)
    assert kernels.cross_entropy_backward(logits, lse, targets, np.empty(0, np.float32)).shape == (0, 5)
