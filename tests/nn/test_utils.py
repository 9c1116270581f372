"""Clipping, and parameters as one vector."""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.errors import AnomalyError, GraphError, ShapeError, UsageError
from minigrad.nn.utils import (
    clip_grad_norm_,
    clip_grad_value_,
    get_total_norm,
    parameters_to_vector,
    vector_to_parameters,
)


def parameters(dtype, *gradients):
    result = []
    for g in gradients:
        p = nn.Parameter(mg.tensor(np.zeros_like(g), dtype=dtype))
        p.grad = mg.tensor(g, dtype=dtype)
        result.append(p)
    return result


def gradients(seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape) for shape in ((3, 4), (7,), (), (2, 1, 5), (0, 3))]


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("norm_type", [1, 2.0, 3.5, math.inf])
@pytest.mark.parametrize("max_norm", [0.5, 100.0])
def test_clip_grad_norm_against_torch(dtype, norm_type, max_norm):
    torch = pytest.importorskip("torch")
    ours = parameters(dtype, *gradients())
    theirs = []
    for p in ours:
        theirs.append(torch.zeros(p.shape, dtype=torch.float64, requires_grad=True))
        theirs[-1].grad = torch.tensor(p.grad.numpy().astype(np.float64))
    ours.append(nn.Parameter(mg.ones(2)))  # without a gradient
    total = clip_grad_norm_(iter(ours), max_norm, norm_type)
    with_torch = torch.nn.utils.clip_grad_norm_([t for t in theirs if t.numel() or norm_type != math.inf], max_norm, norm_type)
    assert total.item() == pytest.approx(with_torch.item(), rel=1e-6)
    tolerance = {"float16": 2e-3, "float32": 1e-6, "float64": 1e-12}[dtype]
    for p, q in zip(ours, theirs):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=tolerance, atol=tolerance)
        assert p.grad.dtype == dtype


def test_small_gradients_stay_as_they_are():
    (p,) = parameters("float32", np.array([3.0, 4.0]))
    assert clip_grad_norm_(p, 5.1).item() == 5
    assert p.grad.tolist() == [3, 4]
    assert clip_grad_norm_([], 1.0).item() == 0


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_bad_gradients(bad):
    p, q = parameters("float32", np.array([3.0, bad]), np.array([4.0]))
    with pytest.raises(AnomalyError, match=f"the norm of the gradients is {bad}"):
        clip_grad_norm_([p, q], 1.0, error_if_nonfinite=True)
    assert q.grad.tolist() == [4]
    assert not math.isfinite(clip_grad_norm_([p, q], 1.0).item())
    assert math.isnan(p.grad.numpy()[1])
    assert q.grad.numpy()[0] == 0 or math.isnan(bad)


def test_strided_gradients():
    p = nn.Parameter(mg.zeros(3, 2))
    p.grad = mg.tensor(np.arange(6.0, dtype=np.float32).reshape(2, 3)).T
    total = clip_grad_norm_(p, 1.0).item()
    assert total == pytest.approx(math.sqrt(55))
    np.testing.assert_allclose(p.grad.numpy(), np.arange(6).reshape(2, 3).T / total, rtol=1e-5)


def test_clip_grad_value():
    p, q = parameters("float32", np.array([-3.0, 0.5, 2.0]), np.array(9.0))
    clip_grad_value_([p, q], 1.0)
    assert p.grad.tolist() == [-1, 0.5, 1] and q.grad.tolist() == 1
    clip_grad_value_(p, 0.25)
    assert p.grad.tolist() == [-0.25, 0.25, 0.25]


def test_clipping_is_noticed_by_the_tape():
    (p,) = parameters("float32", np.array([3.0, 4.0]))
    x = mg.ones(2, requires_grad=True)
    loss = (x * p.grad).sum()
    clip_grad_norm_(p, 1.0)
    with pytest.raises(GraphError):
        loss.backward()


def test_total_norm():
    assert get_total_norm([mg.tensor([3.0]), mg.tensor([4.0])]).item() == 5
    with pytest.raises(UsageError, match="positive: got 0"):
        get_total_norm([mg.ones(1)], 0)


def test_parameters_as_a_vector():
    net = nn.Linear(2, 3)
    vector = parameters_to_vector(net.parameters())
    assert vector.shape == (9,)
    (vector * mg.arange(9).float()).sum().backward()
    assert net.bias.grad.tolist() == [6, 7, 8]
    vector_to_parameters(mg.arange(9).float(), net.parameters())
    assert net.weight.tolist() == [[0, 1], [2, 3], [4, 5]] and net.bias.tolist() == [6, 7, 8]
    with pytest.raises(ShapeError, match="9 numbers"):
        vector_to_parameters(mg.ones(8), net.parameters())
    assert net.bias.tolist() == [6, 7, 8]
