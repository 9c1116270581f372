"""Reductions, against PyTorch, finite differences and NumPy."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

import minigrad as mg
from minigrad.errors import DimensionError, DTypeError, UsageError
from minigrad.gradcheck import gradcheck, gradgradcheck
from tests.ops.against_torch import assert_both_raise, assert_same, table

rng = np.random.default_rng(0)
ARRAYS = {
    "x": rng.standard_normal((2, 3, 4)).astype(np.float32),
    "m": rng.standard_normal((3, 4)).astype(np.float32),
    "v": rng.standard_normal(5).astype(np.float32),
    "d": rng.standard_normal((3, 4)),
    "s": np.array(1.5, np.float32),
    "e": np.zeros((0, 3), np.float32),
    "i": rng.integers(-4, 5, (3, 4)),
    "n": rng.integers(-4, 5, (3, 4)).astype(np.int32),
    "b": rng.integers(0, 2, (3, 4)).astype(bool),
    "ties": np.array([[1, 3, 3, 2], [2, 2, 2, 2], [5, 1, 1, 5]], np.float32),
    "zeros": np.array([[2, 0, 3], [0, 4, 0], [1, 2, 3]], np.float32),
    "broken": np.array([[1, np.nan, 2], [np.inf, 1, 2], [-np.inf, np.inf, 0]], np.float32),
    "masked": np.array([[-np.inf, -np.inf], [-np.inf, 2], [np.inf, 1]], np.float32),
}

# {} is replaced by each of these, where the function takes them.
DIMS = ["", "0", "-1", "dim=1", "(0, 1)", "dim=(-1, 0)", "None", "dim=0, keepdim=True", "(0, 1), True", "axis=1, keepdims=True"]
ONE_DIM = ["0", "-1", "dim=1", "dim=0, keepdim=True", "-1, True", "axis=1"]

SAME = [
    *(f"lib.{name}({x}{dims and ', ' + dims})" for name in ["sum", "mean", "var", "std"] for x in "xmd" for dims in DIMS),
    *(f"lib.{name}({x}{dims and ', ' + dims})" for name in ["amax", "amin", "any", "all"] for x in "xm" for dims in DIMS[:6]),
    *(f"lib.{name}({x}, {dims})" for name in ["prod", "max", "min", "argmax", "argmin"] for x in "xmi" for dims in ONE_DIM),
    *(f"lib.{name}({x})" for name in ["prod", "max", "min", "argmax", "argmin", "any", "all", "amax"] for x in "xmvsi"),
    *(f"lib.logsumexp({x}, {dims})" for x in "xmdi" for dims in ["0", "-1", "(0, 1)", "dim=1, keepdim=True"]),
    *(f"lib.cumsum({x}, {dim})" for x in "xdinb" for dim in ["0", "-1", "dim=1"]),
    *(f"lib.norm(x, {p}, {dim})" for p in ["2", "1", "inf", "-inf", "3", "0.5", "1.5", "'fro'"] for dim in ["0", "(1, 2)"]),
    *table("""
lib.max(m, other=m * 2)
m.min(other=-m)
m.softmax(1, lib.float64)
lib.log_softmax(m, 0, lib.float64)
    sum(m)
    m.sum(1)
    m.sum(dim=0, dtype=lib.float64)
    lib.sum(i)
    i.sum(0, dtype=lib.float32)
    n.sum(1)
    b.sum()
    e.sum()
    e.sum(0)
    e.sum(1)
    s.sum()
    s.sum(0)
    s.sum(-1, keepdim=True)
    x.sum((2, 0))
    x.sum(())
    i.mean(dtype=lib.float32)
    m.mean(0, True)
    e.mean(0)
    e.mean()
    s.mean()
    m.var(unbiased=False)
    m.var(False)
    m.var(1, False)
    m.var(1, False, True)
    m.var(0, correction=0)
    m.std(0, correction=2)
    m.std(dim=1, unbiased=True, keepdim=True)
    v.var()
    e.var(0)
    e.std(0)
    e.var(1)
    lib.prod(zeros)
    lib.prod(zeros, 0)
    lib.prod(zeros, 1)
    lib.prod(e, 0)
    lib.prod(e, 1)
    lib.prod(n)
    lib.prod(b, 0)
    i.prod(dtype=lib.float64)
    s.prod(0)
    ties.amax(1)
    ties.amin(1, True)
    ties.amax()
    ties.max()
    ties.min()
    lib.max(ties, 1)
    lib.min(ties, 1)
    lib.max(ties, m)
    lib.min(m, ties)
    ties.max(0).values
    ties.max(0).indices
    ties.argmax(1)
    ties.argmin()
    ties.argmax(dim=None)
    ties.argmin(0, keepdim=True)
    lib.max(s, 0)
    b.max()
    i.amin(0)
    e.amax(1)
    broken.argmax(1)
    broken.argmin(1)
    broken.max(1).indices
    broken.any()
    i.all(1)
    b.any(0)
    e.all()
    e.any(1)
    s.any()
    lib.logsumexp(e, 0)
    lib.logsumexp(v * 1e4, 0)
    s.logsumexp(0)
    s.cumsum(0)
    e.cumsum(0)
    i.cumsum(1, dtype=lib.float32)
    x.norm()
    x.norm(p=2, dim=1)
    x.norm(dim=(0, 2), keepdim=True)
    m.norm(1)
    s.norm()
    e.norm()
    e.norm(dim=1)
    lib.norm(zeros, 3, 1)
    lib.norm(zeros, 1, 0)
    lib.norm(zeros * 0, 3)
    lib.norm(zeros * 0)
    m.norm(dtype=lib.float64)
    """),
]


@pytest.mark.parametrize("expression", SAME)
def test_as_torch(expression):
    assert_same(expression, ARRAYS)


UNRECORDED = table("""
lib.any(b, ())
lib.all(m, dim=())
broken.sum()
broken.sum(0)
broken.mean(1)
broken.var(1)
broken.prod(0)
broken.amax(1)
broken.amin(0)
broken.max()
broken.cumsum(1)
broken.norm(dim=1)
broken.norm(3, dim=1)
broken.logsumexp(0)
lib.logsumexp(masked, 1)
lib.norm(zeros, 0, 1)
""")


@pytest.mark.parametrize("expression", UNRECORDED)
def test_values_as_torch(expression):
    assert_same(expression, ARRAYS, grad=False)


REFUSED = table("""
lib.sum("a", 0)
lib.sum([1.0, 2.0], 0)
lib.mean(None)
x.sum(dim=True)
lib.prod(None, 0)
lib.argmax([1.0, 2.0], 0)
lib.logsumexp("a", 0)
lib.any([True])
x.sum(3)
x.sum(-4)
x.sum((0, 0))
x.sum((0, -3))
x.sum(1.0)
s.sum(1)
i.mean()
b.mean()
i.var()
i.std(0)
i.norm()
x.norm("nuclear")
x.prod(3)
x.max(3)
x.max((0, 1))
e.max()
e.max(0)
e.amax()
e.amax(0)
e.argmax()
e.argmin(0)
x.argmax(5)
x.argmax("0")
x.cumsum(3)
x.cumsum()
x.logsumexp()
x.logsumexp(7)
x.all(4)
""")


@pytest.mark.parametrize("expression", [e for e in REFUSED if e not in ("x.cumsum()", "x.logsumexp()")])
def test_refused_as_by_torch(expression):
    assert_both_raise(expression, ARRAYS)


def test_messages_say_what_to_do():
    x = mg.ones(2, 3)
    with pytest.raises(DimensionError, match="dim is between -2 and 1 for a tensor of 2 dimensions: got 2"):
        x.sum(2)
    with pytest.raises(DTypeError, match=r"mean needs a floating-point tensor: got dtype int64; use .float\(\) first"):
        x.long().mean()
    with pytest.raises(DimensionError, match=r"max needs at least one element: got shape \(0, 3\)"):
        mg.zeros(0, 3).max(0)
    with pytest.raises(UsageError, match="keepdim or keepdims, not both"):
        x.sum(0, keepdim=True, keepdims=True)


DIFFERENTIABLE = {
    "sum": lambda x: x.sum(1),
    "sum all": lambda x: x.sum(),
    "mean": lambda x: x.mean((0, 1), keepdim=True),
    "var": lambda x: x.var(1),
    "var all": lambda x: x.var(correction=0),
    "std": lambda x: x.std(0, keepdim=True),
    "prod": lambda x: x.prod(1),
    "prod all": lambda x: x.prod(),
    "amax": lambda x: x.amax(1),
    "amin all": lambda x: x.amin(),
    "max": lambda x: x.max(1).values,
    "min": lambda x: x.min(0, keepdim=True).values,
    "cumsum": lambda x: x.cumsum(1),
    "logsumexp": lambda x: x.logsumexp(1),
    "logsumexp all": lambda x: x.logsumexp((0, 1), keepdim=True),
    "norm": lambda x: x.norm(dim=1),
    "norm all": lambda x: x.norm(),
    "norm 1": lambda x: x.norm(1, dim=0),
    "norm 3": lambda x: x.norm(3, dim=1, keepdim=True),
    "norm inf": lambda x: x.norm(math.inf, dim=1),
}


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_slopes(name):
    x = mg.tensor(np.random.default_rng(2).permutation(12).reshape(3, 4) / 7 - 0.9, requires_grad=True)
    assert gradcheck(DIFFERENTIABLE[name], x)
    assert gradgradcheck(DIFFERENTIABLE[name], x)


@pytest.mark.parametrize("columns", [[1, 0, 2], [0, 3, 0], [0, 0, 0]], ids=str)
def test_slopes_of_products_with_zeros(columns):
    x = mg.tensor(np.array([columns], float), requires_grad=True)
    assert gradcheck(lambda x: x.prod(1), x)
    assert gradgradcheck(lambda x: x.prod(1), x)


class TestSubgradients:
    """Where a function has no slope, the one that is documented."""

    def slope(self, function, values):
        x = mg.tensor(values, dtype=mg.float32, requires_grad=True)
        function(x).backward()
        return x.grad.tolist()

    def test_ties_share(self):
        assert self.slope(mg.amax, [2, 1, 2, 2, 2]) == [0.25, 0, 0.25, 0.25, 0.25]
        assert self.slope(mg.min, [2, 1, 1]) == [0, 0.5, 0.5]

    def test_along_a_dim_the_first_takes_all(self):
        assert self.slope(lambda x: mg.max(x, 0).values, [1, 2, 2]) == [0, 1, 0]
        assert self.slope(lambda x: mg.min(x, 0).values, [1, 1, 2]) == [1, 0, 0]

    @pytest.mark.parametrize("p", [1, 1.5, 2, 3, math.inf])
    def test_norm_of_zero(self, p):
        assert self.slope(lambda x: x.norm(p), [0, 0]) == [0, 0]

    def test_deviation_of_equal_elements(self):
        assert self.slope(mg.std, [2, 2, 2]) == [0, 0, 0]

    def test_logsumexp_of_nothing(self):
        assert self.slope(lambda x: x.logsumexp(0), [-math.inf, -math.inf]) == [0, 0]

    def test_an_extreme_that_is_nan(self):
        assert np.isnan(self.slope(mg.amax, [1, math.nan])).all()


class TestDigits:
    """float32 sums of many elements, against the same in float64."""

    @pytest.mark.parametrize("shape, dim", [((400_000,), 0), ((200_000, 2), 0), ((2, 200_000), 1)], ids=str)
    @pytest.mark.parametrize("name", ["sum", "mean", "var", "cumsum"])
    def test_long_sums(self, name, shape, dim):
        values = (np.random.default_rng(0).uniform(0, 1, shape) + 0.1).astype(np.float32)
        found = getattr(mg, name)(mg.tensor(values), dim).numpy()
        exact = getattr(mg, name)(mg.tensor(values.astype(np.float64)), dim).numpy()
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, exact, rtol=1e-6)

    def test_variance_far_from_zero(self):
        values = np.float32([1e4 + 1, 1e4 + 2, 1e4 + 3])
        assert mg.tensor(values).var().item() == 1

    @pytest.mark.parametrize("count", [3, 7, 49, 1000])
    def test_the_mean_of_ones_is_one(self, count):
        assert mg.ones(count).mean().item() == 1
        assert mg.ones(count, dtype=mg.float64).mean().item() == 1


@settings(max_examples=60, deadline=None)
@given(array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4), st.data())
def test_any_dims(shape, data):
    """Over any set of dimensions, counted from either end: NumPy's values, and a gradient of ones from the sum."""
    dims = data.draw(st.sets(st.integers(0, len(shape) - 1)))
    given_dims = tuple(d - len(shape) if data.draw(st.booleans()) else d for d in dims)
    keep = data.draw(st.booleans())
    values = np.random.default_rng(0).standard_normal(shape)
    x = mg.tensor(values, requires_grad=True)
    axes = given_dims or None
    for name, theirs in [("sum", np.sum), ("mean", np.mean), ("amax", np.max), ("norm", None)]:
        if name == "norm":
            result, expected = x.norm(dim=axes, keepdim=keep), np.sqrt(np.sum(values**2, axis=axes, keepdims=keep))
        else:
            result, expected = getattr(x, name)(given_dims, keepdim=keep), theirs(values, axis=axes, keepdims=keep)
        assert result.shape == expected.shape
        np.testing.assert_allclose(result.detach(), expected, rtol=1e-12, atol=1e-12)
    x.sum(given_dims, keepdim=keep).sum().backward()
    assert np.array_equal(x.grad, np.ones(shape))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-50, 50), min_size=1, max_size=8), st.floats(-1000, 1000))
def test_logsumexp_moves_with_its_elements(values, shift):
    x = mg.tensor(values, dtype=mg.float64)
    assert (x + shift).logsumexp(0).item() == pytest.approx(x.logsumexp(0).item() + shift, abs=1e-9)


def test_rules_do_not_widen():
    x = mg.tensor(rng.standard_normal((3, 4)).astype(np.float32), requires_grad=True)
    for name, function in DIFFERENTIABLE.items():
        node = function(x).grad_fn
        for _, gradient in node.primitive.gradients(node, np.ones(node.shape, np.float32)):
            assert gradient.dtype == np.float32, name


def test_numpy_functions():
    x = mg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    assert np.sum(x, axis=0).tolist() == [4, 6]
    assert np.mean(x).requires_grad and np.max(x, axis=1).tolist() == [2, 4]
