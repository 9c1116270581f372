"""NumPy's functions on tensors, tensors among arrays, and tensors as arrays."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import DTypeError
from minigrad.ops.numpy_protocol import FUNCTIONS, UFUNCS
from tests.ops.against_torch import table

rng = np.random.default_rng(4)
X = rng.standard_normal((2, 3)).astype(np.float32)

#: In each, t is a tensor; the oracle is NumPy's own answer for the array in its place. ``a`` is an array in both.
AS_NUMPY = """
np.exp(t)
np.sqrt(np.abs(t))
np.log1p(np.square(t))
np.maximum(t, 0)
np.minimum(a, t)
np.arctan2(t, a)
np.remainder(t, 0.5)
np.floor_divide(t, 0.5)
np.invert(t > 0)
np.bitwise_and(t > 0, t < 1)
np.logical_not(t > 0)
np.isnan(t)
np.positive(t)
np.sum(t)
np.sum(t, axis=1)
np.sum(t, axis=1, keepdims=True)
np.sum(t, 1)
np.sum(t, axis=())
np.mean(t, axis=0)
np.max(t)
np.amax(t, axis=1)
np.amin(t, axis=0)
np.var(t)
np.std(t, ddof=1)
np.prod(t, axis=1)
np.cumsum(t)
np.cumsum(t, axis=1)
np.argmax(t, axis=1)
np.argmin(t)
np.any(t > 0, axis=0)
np.all(t > 0)
np.linalg.norm(t)
np.linalg.norm(t, axis=1)
np.linalg.norm(t[0], 1)
np.where(a > 0, t, 0.0)
np.where(t > 0, a, t)
np.clip(t, -1, 1)
np.clip(t, a_min=0, a_max=None)
np.round(t, 2)
np.reshape(t, (3, 2))
np.reshape(t, -1)
np.ravel(t)
np.transpose(t)
np.transpose(t, (1, 0))
np.swapaxes(t, 0, 1)
np.moveaxis(t, 0, 1)
np.expand_dims(t, (0, 2))
np.squeeze(t[None])
np.squeeze(t[None], axis=0)
np.broadcast_to(t, (4, 2, 3))
np.concatenate([t, t])
np.concatenate([a, t], axis=1)
np.concatenate([t, t], axis=None)
np.stack([t, a], axis=1)
np.flip(t)
np.flip(t, 0)
np.flip(t, axis=(0, 1))
np.roll(t, 1)
np.roll(t, 1, axis=0)
np.tile(t, 2)
np.tile(t, (2, 1))
np.repeat(t, 2)
np.repeat(t, 2, axis=1)
np.tril(t)
np.triu(t, k=1)
np.diagonal(t)
np.trace(t)
np.sort(t, axis=0)
np.argsort(t)
np.dot(t, a.T)
np.outer(t[0], a[1])
np.einsum('ij,kj->ik', a, t)
np.copy(t)
np.ones_like(t)
np.zeros_like(t)
np.full_like(t, 2)
a * t
t * a
a + t
a - t
t - a
a / t
a ** 2 * t
a @ t.T
t @ a.T
a == t
a < t
a != t
a >= t
"""


@pytest.mark.parametrize("expression", table(AS_NUMPY))
def test_as_numpy(expression):
    expected = eval(expression, {"np": np, "t": X, "a": X[::-1].copy()})
    result = eval(expression, {"np": np, "t": mg.tensor(X, requires_grad=True), "a": X[::-1].copy()})
    assert isinstance(result, mg.Tensor)
    assert (result.shape, result.dtype) == (np.shape(expected), np.asarray(expected).dtype)
    np.testing.assert_allclose(result.detach().numpy(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "function",
    [
        lambda x, a: a * x,
        lambda x, a: a @ x.T,
        lambda x, a: np.exp(x) / a,
        lambda x, a: np.concatenate([a, x * x]),
        lambda x, a: np.sum(x * x, axis=1),
        lambda x, a: np.where(a > 0, x * x, a),
        lambda x, a: np.linalg.norm(x, axis=0),
        lambda x, a: np.einsum("ij,ij->i", x, x),
    ],
)
def test_derivatives_flow(function):
    a = X[::-1].astype(np.float64)
    x = mg.tensor(X.astype(np.float64), requires_grad=True)
    assert mg.gradcheck(lambda x: function(x, a), x)
    assert mg.gradgradcheck(lambda x: function(x, a), x)


@pytest.mark.parametrize("scalar", [2, 2.5, np.float64(2.0), np.float32(2.0), np.int64(2), np.array(2.0)])
def test_scalars_do_not_widen(scalar):
    x = mg.tensor([1.0, 2.0])
    for result in (scalar * x, x * scalar, x + scalar, scalar - x, x / scalar, scalar / x, x**scalar):
        assert isinstance(result, mg.Tensor) and result.dtype == np.float32
    y = mg.tensor([1.0, 2.0], requires_grad=True)
    (scalar * y).sum().backward()
    assert y.grad.dtype == np.float32


def test_broadcasting_between_arrays_and_tensors():
    x = mg.ones(3, 1, requires_grad=True)
    y = np.ones((2, 3, 4), np.float32) * x
    assert y.shape == (2, 3, 4)
    y.sum().backward()
    assert x.grad.tolist() == [[8.0]] * 3


def test_tensors_as_arrays():
    x = mg.tensor(X)
    assert np.shares_memory(np.asarray(x), x.numpy())
    assert not np.shares_memory(np.array(x), x.numpy())
    assert np.asarray(x, dtype=np.float64).dtype == np.float64
    assert np.asarray([x, x]).shape == (2, 2, 3)
    assert float(x.sum()) == pytest.approx(X.sum())
    assert np.float64(mg.tensor(2.5)) == 2.5
    np.testing.assert_array_equal(x, X)
    np.testing.assert_allclose(x, mg.tensor(X))
    assert (np.shape(x), np.ndim(x), np.size(x), np.size(x, 1)) == ((2, 3), 2, 6, 3)
    assert np.array_equal(x, X) and np.allclose(x, X) and np.isclose(x, X).all()


def test_arrays_are_indexed_by_integer_tensors():
    assert X[mg.tensor(1)].tolist() == X[1].tolist()
    assert list(range(5))[mg.tensor(2)] == 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: np.sinh(t), r"numpy\.sinh is not an operation on tensors"),
        (lambda t: np.median(t), r"numpy\.median is not an operation on tensors.*x\.numpy\(\)"),
        (lambda t: np.linalg.inv(t), r"numpy\.linalg\.inv is not"),
        (lambda t: np.add.reduce(t), r"numpy\.add\.reduce is not"),
        (lambda t: np.exp(t, dtype=np.float64), "with dtype"),
        (lambda t: np.add(t, t, out=np.zeros((2, 3))), "array = "),
        (lambda t: np.zeros((2, 3)).__iadd__(t), "array = "),
        (lambda t: np.sum(t, dtype=np.float64), "does not take these arguments.*dtype"),
        (lambda t: np.dot(np.ones((2, 2, 2)), t), "at most 2"),
        (lambda t: np.linalg.norm(t, 2), "singular value"),
        (lambda t: np.linalg.norm(t, 1), "vectors only"),
    ],
)
def test_what_minigrad_does_not_record_is_refused(call, message):
    with pytest.raises(DTypeError, match=message):
        call(mg.tensor(X, requires_grad=True))


def test_every_entry_of_the_tables_is_callable():
    assert all(isinstance(u, np.ufunc) and callable(f) for u, f in UFUNCS.items())
    assert all(callable(n) and callable(f) for n, f in FUNCTIONS.items())
