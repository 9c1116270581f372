"""Functions of one element, against PyTorch, finite differences and Python's own arithmetic."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad.errors import DTypeError, ShapeError, UsageError
from minigrad.gradcheck import gradcheck, gradgradcheck
from tests.ops.against_torch import assert_both_raise, assert_same, table

rng = np.random.default_rng(0)
EDGES = np.array([0.0, 1.0, -1.0, 0.5, -2.5, 2.5, 3.5, 1e-20, 80.0, -80.0, 800.0, -800.0, 1e30, -1e30, np.inf, -np.inf, np.nan])
ARRAYS = {
    "x": rng.standard_normal((2, 3, 4)).astype(np.float32),
    "p": rng.uniform(0.1, 3, (3, 4)).astype(np.float32),
    "d": rng.uniform(0.1, 3, (3, 4)),
    "s": np.array(0.7, np.float32),
    "e": np.zeros((0, 4), np.float32),
    "i": np.array([0, 1, -1, 5, -7]),
    "n": np.array([1, 2, 3], np.int32),
    "b": np.array([True, False]),
    "v": rng.standard_normal(4).astype(np.float32),
    "mask": np.array([True, False, True, False]),
    "lo": np.array([-1, 0.5, 0, -2], np.float32),
    "hi": np.array([1, 0, 0.5, -1], np.float32),
    "steps": np.array([0.5, 1.5, 2.5, -0.5, -1.5, 1.2345, -1234.5], np.float32),
    "edges": EDGES,
    "small": EDGES.astype(np.float32),
}
EVERYWHERE = [
    "exp",
    "expm1",
    "abs",
    "sign",
    "sin",
    "cos",
    "tan",
    "tanh",
    "sigmoid",
    "erf",
    "floor",
    "round",
    "isnan",
    "isinf",
    "isfinite",
]
POSITIVE = ["log", "log1p", "log2", "sqrt", "rsqrt", "reciprocal"]


@pytest.mark.parametrize("name", EVERYWHERE + POSITIVE)
def test_as_torch(name):
    for operand in ("p", "d", "s", "e", "n"):
        assert_same(f"lib.{name}({operand})", ARRAYS)
        assert_same(f"{operand}.{name}()", ARRAYS)
    if name in EVERYWHERE:
        assert_same(f"lib.{name}(x)", ARRAYS)
    if name in EVERYWHERE and name not in ("abs", "floor", "round"):
        assert_same(f"lib.{name}(b)", ARRAYS)


@pytest.mark.parametrize("operand", ["edges", "small"])
@pytest.mark.parametrize("name", EVERYWHERE + POSITIVE)
def test_edges_as_torch(name, operand):
    """Values and gradients at 0, in the tails, at the infinities and NaN; where minigrad decides otherwise is tested below."""
    values = ARRAYS[operand]
    if name in ("sign", "abs"):
        values = values[~np.isnan(values)]
    if name == "sqrt":
        values = values[values != 0]
    if name in ("sin", "cos", "tan"):
        values = values[~(np.abs(values) > 1e5)]  # the reduction of such angles differs in the last digits
    assert_same(f"lib.{name}(edges)", {"edges": values})


CASES = table("""
lib.clip(x, min=0)
x.clip(-0.5, 0.5)
lib.round(steps)
lib.round(steps, decimals=2)
lib.round(steps, decimals=-2)
steps.round(decimals=1)
lib.round(i)
x.clamp(-0.5, 0.5)
lib.clamp(x, min=-0.5)
lib.clamp(x, max=0.5)
x.clamp(0.5, -0.5)
lib.clamp(x, lo, hi)
lib.clamp(x, min=lo)
lib.clamp(x, max=hi)
lib.clamp(v, lo, v)
lib.clamp(v, v, hi)
lib.clamp(v, v, v)
lib.clamp(small, -1, 2.5)
lib.clamp(small, max=0.5)
lib.clamp(small, small, small)
lib.clamp(v, nan, 1)
lib.clamp(i, 1, 3)
lib.clamp(i, min=0.5)
lib.clamp(d, min=1)
lib.clamp(n, max=i.sum())
v.masked_fill(mask, 0)
v.masked_fill(mask, -inf)
lib.masked_fill(x, mask, 2.5)
x.masked_fill(x > 0, s)
v.masked_fill(mask, d.sum())
x[:, :, :1].masked_fill(mask, 1)
i.masked_fill(i > 0, -1)
i.masked_fill(i > 0, 2.5)
b.masked_fill(b, False)
e.masked_fill(e > 0, 1)
""")


@pytest.mark.parametrize("expression", CASES)
def test_arguments_as_torch(expression):
    assert_same(expression, ARRAYS)


REFUSED = table("""
lib.clamp(x, "a")
lib.sign(2.0)
lib.floor([1.0])
lib.abs("a")
lib.erf(None)
lib.exp("a")
lib.isnan("a")
lib.isfinite([1.0])
lib.relu([1.0])
lib.masked_fill([1.0], mask, 0)
x.clamp()
v.masked_fill(mask.float(), 0)
v.masked_fill(mask, v)
i.masked_fill(i > 0, inf)
x.masked_fill(b, 0)
lib.clamp(x, lib.zeros(3))
""")


@pytest.mark.parametrize("expression", REFUSED)
def test_refused_as_by_torch(expression):
    assert_both_raise(expression, ARRAYS)


@pytest.mark.parametrize("name", ["abs", "floor", "round", "clamp"])
def test_refused_for_booleans(name):
    with pytest.raises(DTypeError, match=f"{name} needs numbers: got a bool tensor"):
        getattr(mg, name)(mg.tensor([True]), *([False, True] if name == "clamp" else []))


def test_messages_say_what_to_do():
    x = mg.ones(2)
    with pytest.raises(UsageError, match="min, max or both: got neither"):
        x.clamp()
    with pytest.raises(UsageError, match="bool mask: got dtype int64; compare"):
        x.masked_fill(mg.tensor([0, 1]), 0)
    with pytest.raises(ShapeError, match=r"one value: got shape \(2,\); use where"):
        x.masked_fill(x > 0, x)
    with pytest.raises(DTypeError, match="a value that int64 can hold: got inf"):
        x.long().masked_fill(x > 0, math.inf)


SMOOTH = [
    "exp",
    "expm1",
    "log",
    "log1p",
    "log2",
    "sqrt",
    "rsqrt",
    "reciprocal",
    "abs",
    "sin",
    "cos",
    "tan",
    "tanh",
    "sigmoid",
    "erf",
    "square",
    "neg",
]
FLAT = ["sign", "floor", "round"]


@pytest.mark.parametrize("shape", [(2, 3), ()], ids=str)
@pytest.mark.parametrize("name", SMOOTH + FLAT)
def test_slopes(name, shape):
    x = mg.tensor(np.random.default_rng(1).uniform(0.55, 1.35, shape), requires_grad=True)
    assert gradcheck(getattr(mg, name), x)
    assert gradgradcheck(getattr(mg, name), x)


@pytest.mark.parametrize("shapes", [((3, 4), (4,), ()), ((4,), (3, 1), (4,))], ids=str)
def test_slopes_of_clamp(shapes):
    inputs = [mg.tensor(np.random.default_rng(k).standard_normal(s), requires_grad=True) for k, s in enumerate(shapes)]
    for function, arguments in [
        (mg.clamp, inputs),
        (lambda x, low: mg.clamp(x, min=low), inputs[:2]),
        (lambda x, high: mg.clamp(x, max=high), inputs[:2]),
        (lambda x: mg.clamp(x, -0.3, 0.3), inputs[:1]),
    ]:
        assert gradcheck(function, arguments)
        assert gradgradcheck(function, arguments)


def test_slopes_of_masked_fill():
    x = mg.tensor(rng.standard_normal((2, 3)), requires_grad=True)
    value = mg.tensor(0.3, dtype=mg.float64, requires_grad=True)
    mask = mg.tensor([True, False, True])
    assert gradcheck(lambda x, value: mg.masked_fill(x, mask, value), [x, value])
    assert gradgradcheck(lambda x, value: mg.masked_fill(x, mask, value) ** 2, [x, value])


class TestSubgradients:
    """Where a function has no slope, the one that is documented."""

    def slope(self, function, value):
        x = mg.tensor(float(value), requires_grad=True)
        function(x).backward()
        return x.grad.item()

    def test_at_zero(self):
        assert self.slope(mg.abs, 0) == 0
        assert self.slope(mg.sqrt, 0) == 0
        assert self.slope(mg.sign, 0) == 0

    def test_norm_of_a_zero_vector_trains(self):
        x = mg.zeros(3, requires_grad=True)
        mg.sqrt((x * x).sum()).backward()
        assert x.grad.tolist() == [0, 0, 0]

    def test_on_the_bounds(self):
        assert self.slope(lambda x: x.clamp(0, 1), 0) == 1
        assert self.slope(lambda x: x.clamp(0, 1), 1) == 1
        assert self.slope(lambda x: x.clamp(0, 1), 1.5) == 0
        assert self.slope(lambda x: x.clamp(mg.tensor(0.0), mg.tensor(1.0)), 1) == 1

    def test_nan_stays_nan(self):
        assert math.isnan(mg.sign(mg.tensor(math.nan)).item())
        assert math.isnan(self.slope(mg.abs, math.nan))

    def test_steps_stop_even_an_infinite_gradient(self):
        for function in (mg.sign, mg.floor, mg.round):
            x = mg.tensor([0.3, 1.7], requires_grad=True)
            function(x).backward(mg.full((2,), math.inf))
            assert x.grad.tolist() == [0, 0]


@pytest.mark.parametrize("name", ["exp", "log", "sqrt", "sin", "cos", "tanh", "erf", "expm1", "log1p", "log2"])
@settings(max_examples=40, deadline=None)
@given(value=st.floats(1e-3, 20))
def test_as_python(name, value):
    assert getattr(mg, name)(mg.tensor(value, dtype=mg.float64)).item() == pytest.approx(getattr(math, name)(value), rel=1e-13)


@settings(max_examples=40, deadline=None)
@given(st.floats(-700, 700))
def test_sigmoid_keeps_its_digits_in_both_tails(value):
    up, down = mg.sigmoid(mg.tensor([value, -value], dtype=mg.float64)).tolist()
    assert up == pytest.approx(1 / (1 + math.exp(-value)) if value > -700 else math.exp(value), rel=1e-13)
    assert up + down == pytest.approx(1, rel=1e-15)


def test_silent():
    """IEEE 754 has a value for every case, and warnings are errors here."""
    x = mg.tensor([0.0, -1.0, 1e30, -1e30, math.inf, -math.inf, math.nan], requires_grad=True)
    for name in EVERYWHERE + POSITIVE:
        result = getattr(mg, name)(x)
        if result.requires_grad:
            result.sum().backward()


def test_rules_do_not_widen():
    x = mg.tensor([0.6, 1.3], requires_grad=True)
    for name in SMOOTH + FLAT:
        node = getattr(mg, name)(x).grad_fn
        for _, gradient in node.primitive.gradients(node, np.ones(2, np.float32)):
            assert gradient.dtype == np.float32, name
