"""Initialisations have the moments and bounds that their formulas promise, and those of torch."""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.errors import GraphError, ShapeError, UsageError
from minigrad.nn import init


@pytest.fixture(autouse=True)
def _seed():
    mg.manual_seed(42)


def blank(*shape, dtype=None):
    return nn.Parameter(mg.full(shape, math.nan, dtype=dtype or mg.float32))


def test_constants():
    assert init.constant_(blank(2), 3).tolist() == [3, 3]
    assert init.ones_(blank(2)).tolist() == [1, 1] and init.zeros_(blank(2)).tolist() == [0, 0]
    assert init.eye_(blank(2, 3)).tolist() == [[1, 0, 0], [0, 1, 0]]


def test_in_place_on_parameters_without_a_trace():
    p = blank(2, 2)
    memory = p.numpy()
    assert init.uniform_(p) is p and p.is_leaf and p.requires_grad and np.shares_memory(p.numpy(), memory)
    loss = (p * p).sum()
    init.zeros_(p)
    with pytest.raises(GraphError):
        loss.backward()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_uniform_and_normal(dtype):
    x = init.uniform_(blank(200, 100, dtype=dtype), -2, 3).numpy().astype(np.float64)
    assert x.min() >= -2 and x.max() <= 3
    assert x.mean() == pytest.approx(0.5, abs=0.03) and x.std() == pytest.approx(5 / math.sqrt(12), rel=0.02)
    y = init.normal_(blank(200, 100, dtype=dtype), 1, 0.5).numpy().astype(np.float64)
    assert y.mean() == pytest.approx(1, abs=0.02) and y.std() == pytest.approx(0.5, rel=0.02)


def test_trunc_normal():
    x = init.trunc_normal_(blank(200, 100), 0, 1, -1, 2).numpy()
    assert x.min() >= -1 and x.max() <= 2
    # mean and deviation of the standard normal distribution between -1 and 2
    density, mass = (lambda t: math.exp(-t * t / 2) / math.sqrt(2 * math.pi)), 0.5 * (math.erf(2**0.5) + math.erf(0.5**0.5))
    mean = (density(-1) - density(2)) / mass
    assert x.mean() == pytest.approx(mean, abs=0.02)
    for bounds in ((2, 1), (5, 6), (-9, -8)):
        with pytest.raises(UsageError):
            init.trunc_normal_(blank(2), 0, 1, *bounds)


SCHEMES = [
    ("xavier_uniform_", {}),
    ("xavier_uniform_", {"gain": 2}),
    ("xavier_normal_", {}),
    ("kaiming_uniform_", {}),
    ("kaiming_uniform_", {"a": math.sqrt(5)}),
    ("kaiming_normal_", {"mode": "fan_out", "nonlinearity": "relu"}),
    ("kaiming_normal_", {"nonlinearity": "tanh"}),
]


@pytest.mark.parametrize(("name", "options"), SCHEMES)
@pytest.mark.parametrize("shape", [(100, 200), (50, 40, 5)])
def test_scales_are_torchs(name, options, shape):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    a = getattr(init, name)(blank(*shape), **options).numpy()
    b = getattr(torch.nn.init, name)(torch.empty(shape), **options).numpy()
    assert abs(a.mean()) < 0.01 and a.std() == pytest.approx(b.std(), rel=0.03)
    if "uniform" in name:
        assert np.abs(a).max() == pytest.approx(np.abs(b).max(), rel=0.01)


@pytest.mark.parametrize("shape", [(4, 9), (9, 4), (6, 6), (5, 2, 3)])
def test_orthogonal(shape):
    x = init.orthogonal_(blank(*shape, dtype=mg.float64), gain=3).numpy().reshape(shape[0], -1)
    gram = x @ x.T if x.shape[0] <= x.shape[1] else x.T @ x
    np.testing.assert_allclose(gram, 9 * np.eye(len(gram)), atol=1e-12)


def test_sparse():
    x = init.sparse_(blank(50, 20), 0.3, std=2).numpy()
    assert ((x == 0).sum(0) == 15).all() and x[x != 0].std() == pytest.approx(2, rel=0.1)


def test_gains_are_torchs():
    torch = pytest.importorskip("torch")
    for name in ("linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu"):
        assert init.calculate_gain(name) == pytest.approx(torch.nn.init.calculate_gain(name))
    assert init.calculate_gain("leaky_relu", 0.5) == pytest.approx(torch.nn.init.calculate_gain("leaky_relu", 0.5))


def test_errors():
    with pytest.raises(UsageError, match="got 'swish'"):
        init.calculate_gain("swish")
    with pytest.raises(UsageError, match="'fan_in' or 'fan_out': got 'fan'"):
        init.kaiming_normal_(blank(2, 2), mode="fan")
    for scheme in (init.xavier_uniform_, init.kaiming_normal_, init.orthogonal_, init.eye_):
        with pytest.raises(ShapeError):
            scheme(blank(3))
    with pytest.raises(ShapeError):
        init.sparse_(blank(2, 2, 2), 0.1)
