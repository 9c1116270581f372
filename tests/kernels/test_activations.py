"""Activations against their formulas in float64, finite differences and PyTorch; NaN, layouts, threads, the disk cache."""

import math
import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

from minigrad.kernels import activations

DTYPES = [np.float32, np.float64]
USES_OUTPUT = {"relu", "sigmoid", "tanh"}


def erf(x):
    return np.vectorize(math.erf, otypes=[float])(x)


FORMULAS = {
    "relu": lambda x: np.maximum(x, 0),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "silu": lambda x: x / (1 + np.exp(-x)),
    "gelu": lambda x: 0.5 * x * (1 + erf(x / np.sqrt(2))),
    "gelu_tanh": lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    "softplus": lambda x: np.log1p(np.exp(x)),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
    "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
}


def numbers(dtype, shape=(41, 17)):
    return (3 * np.random.default_rng(0).standard_normal(shape)).astype(dtype)


def gradient(name, g, x):
    backward = getattr(activations, name + "_backward")
    return backward(g, getattr(activations, name)(x) if name in USES_OUTPUT else x)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [*FORMULAS, "erf"])
def test_values(name, dtype):
    x = numbers(dtype)
    y = getattr(activations, name)(x)
    assert y.dtype == dtype
    expected = {**FORMULAS, "erf": erf}[name](x.astype(np.float64))
    np.testing.assert_allclose(y, expected, rtol=20 * np.finfo(dtype).eps, atol=8 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FORMULAS)
def test_gradients(name, dtype):
    x, g = numbers(dtype), numbers(dtype)[::-1].copy()
    formula, wide, step = FORMULAS[name], x.astype(np.float64), 1e-5
    slope = (formula(wide + step) - formula(wide - step)) / (2 * step)
    result = gradient(name, g, x)
    assert result.dtype == dtype
    np.testing.assert_allclose(result, g * slope, rtol=1e-5, atol=1e-5 if dtype == np.float32 else 1e-8)


@pytest.mark.parametrize("name", FORMULAS)
def test_same_as_torch(name):
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    theirs = {
        "gelu_tanh": lambda x: functional.gelu(x, approximate="tanh"),
        "softplus": lambda x: functional.softplus(x, beta=2.0, threshold=3.0),
    }.get(name) or getattr(functional, name)
    options = {"beta": 2.0, "threshold": 3.0} if name == "softplus" else {}
    x, g = numbers(np.float64), numbers(np.float64)[::-1].copy()
    leaf = torch.tensor(x, requires_grad=True)
    y = theirs(leaf)
    y.backward(torch.tensor(g))
    ours = getattr(activations, name)(x, **options)
    np.testing.assert_allclose(ours, y.detach().numpy(), rtol=1e-12, atol=1e-14)
    backward = getattr(activations, name + "_backward")
    result = backward(g, ours if name in USES_OUTPUT else x, **options)
    np.testing.assert_allclose(result, leaf.grad.numpy(), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FORMULAS)
def test_nan_gives_nan_and_large_numbers_do_not(name, dtype):
    x = np.array([np.nan, -np.nan, 1e4, -1e4, 0], dtype)
    y = getattr(activations, name)(x)
    assert np.isnan(y).tolist() == [True, True, False, False, False]
    assert np.isfinite(gradient(name, np.ones_like(x), x)[2:]).all()
    assert np.isnan(gradient(name, np.full_like(x, np.nan), x)[2])
    if name not in ("relu", "leaky_relu"):  # whose slope does not depend on how large its input is
        assert np.isnan(gradient(name, np.ones_like(x), x)[:2]).all()


def test_the_gradient_of_relu_at_zero_is_zero():
    x = np.array([0.0, -0.0, 1e-40, -1e-40], np.float32)
    assert gradient("relu", np.ones_like(x), x).tolist() == [0, 0, 1, 0]


def test_small_tails_of_gelu():
    x = np.array([-5.0, -8.0, -12.0])
    exact = [v * 0.5 * math.erfc(-v / math.sqrt(2)) for v in x]
    np.testing.assert_allclose(activations.gelu(x), exact, rtol=1e-13)
    np.testing.assert_allclose(activations.gelu(x.astype(np.float32)), exact, rtol=0, atol=1e-6)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (5,), (2, 3, 4)])
def test_shapes(shape):
    x = numbers(np.float32, shape) if shape else np.array(0.5, np.float32)
    for result in activations.gelu(x), activations.gelu_backward(x, x):
        assert result.shape == shape


def test_other_layouts():
    x = numbers(np.float32)
    frozen = x.copy()
    frozen.flags.writeable = False
    expected = activations.silu(x)
    for same in x.T.copy().T, np.repeat(x, 2, axis=1)[:, ::2], frozen:
        np.testing.assert_array_equal(activations.silu(same), expected)
        np.testing.assert_array_equal(activations.silu_backward(same, same), activations.silu_backward(x, x))


def test_out():
    x = numbers(np.float32)
    out = np.empty_like(x)
    assert activations.tanh(x, out=out) is out
    np.testing.assert_array_equal(out, activations.tanh(x))


def test_threads():
    x = numbers(np.float32, 40_000)
    parts = np.split(x, 4)
    np.testing.assert_allclose(activations.gelu(x), np.concatenate([activations.gelu(p) for p in parts]), rtol=1e-6)
    backward = activations.gelu_backward
    np.testing.assert_allclose(backward(x, x), np.concatenate([backward(p, p) for p in parts]), rtol=1e-6)
    np.testing.assert_array_equal(activations.gelu(x), activations.gelu(x))


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled")
def test_a_second_process_compiles_nothing(tmp_path):
    """The loops are closures, which Numba caches on disk only if what they close over looks the same in every process."""
    script = (
        "import numpy as np; from numba.core import event; from minigrad.kernels import activations;"
        "compiled = event.RecordingListener(); event.register('numba:compile', compiled);"
        "x = np.ones(40_000, np.float32); activations.softplus_backward(x, x); print(len(compiled.buffer))"
    )
    root = Path(__file__).parents[2]
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(root)}
    counts = [
        int(subprocess.run([sys.executable, "-c", script], env=environment, check=True, capture_output=True, text=True).stdout)
        for _ in range(2)
    ]
    assert counts[0] > 0
    assert counts[1] == 0
