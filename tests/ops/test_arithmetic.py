"""Arithmetic, comparison and selection between tensors, against PyTorch and finite differences."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

import minigrad as mg
from minigrad.errors import DTypeError, MinigradError, ShapeError, UsageError
from minigrad.gradcheck import gradcheck, gradgradcheck
from tests.ops.against_torch import assert_both_raise, assert_same, table

rng = np.random.default_rng(0)
EDGES = np.array([0.0, -0.0, 1.0, -1.0, 2.5, np.inf, -np.inf, np.nan], np.float32)
ARRAYS = {
    "x": rng.standard_normal((2, 3, 4)).astype(np.float32),
    "y": rng.standard_normal((2, 3, 4)).astype(np.float32),
    "p": rng.uniform(0.5, 2, (3, 4)).astype(np.float32),
    "v": rng.standard_normal(4).astype(np.float32),
    "c": rng.standard_normal((3, 1)).astype(np.float32),
    "s": np.array(1.5, np.float32),
    "e": np.zeros((0, 4), np.float32),
    "d": rng.standard_normal((3, 4)),
    "i": np.array([[7, -7, 5, 0], [1, 2, 3, 4], [-5, 6, -9, 8]]),
    "j": np.array([2, -2, 3, -3]),
    "b": np.array([True, False, True, False]),
    "edges": EDGES[:, None],
    "others": EDGES[None],
    "tied": np.array([1, 2, 2, 3, 1], np.float32),
    "ties": np.array([2, 2, 1, 3, 1], np.float32),
}

SAME = table("""
x.remainder(2)
lib.atan2(v, lib.tensor([True, False, True, True]))
x + y
x + v
v + x
x - c
x * s
s * s
x / p
x + e.sum()
e * v
e + e
c * v
x + d
d - i
i + j
i * b
i / j
b / b
x + 2
2 - x
2.5 * i
3 / p
-x
-i
+x
abs(i)
lib.add(x, v)
lib.add(x, v, alpha=2)
lib.add(x, 3, alpha=0.5)
x.add(other=v, alpha=-1)
lib.sub(x, v, alpha=2)
x.sub(1, alpha=3)
lib.mul(x, v)
lib.div(x, p)
x.div(p, rounding_mode=None)
lib.div(i, j, rounding_mode="floor")
lib.div(i, j, rounding_mode="trunc")
i.div(2, rounding_mode="trunc")
i // j
i // 2
2 // j
i // 2.5
i % j
i % 3
7 % j
d % 0.7
d % d.abs()
lib.remainder(d, -0.7)
x % v
p ** 2
p ** 3
p ** 2.5
p ** -1
p ** 0
p ** v
2 ** x
v ** i
i ** 2
2 ** p
s ** 2
lib.pow(p, 0.5)
p.pow(exponent=1.5)
lib.square(x)
lib.square(i)
lib.square(b)
lib.neg(x)
lib.maximum(x, v)
lib.minimum(x, v)
x.maximum(y)
lib.maximum(i, j)
lib.minimum(i, p)
lib.maximum(tied, ties)
lib.minimum(tied, ties)
lib.maximum(edges, others)
lib.minimum(edges, others)
lib.atan2(x, y)
lib.atan2(y, x)
lib.atan2(i, j)
lib.where(x > 0, x, y)
lib.where(v > 0, x, 0.0)
lib.where(v > 0, 1, 2)
lib.where(v > 0, 1, 2.5)
lib.where(v > 0, i, 2.5)
lib.where(b, c, v)
lib.where(b, d, v)
lib.where(b, s, v)
lib.where(x > 0)
x.where(x > 0, y)
x == y
i == j
i != j
x < v
x <= 0
0 > x
x >= x
lib.eq(i, 2)
lib.ne(b, j)
lib.lt(edges, others)
lib.le(edges, others)
lib.gt(edges, others)
lib.ge(edges, others)
lib.eq(edges, others)
lib.ne(edges, others)
lib.logical_and(i, b)
lib.logical_or(v, b)
lib.logical_xor(i, j)
lib.logical_not(i)
x.logical_not()
b & (j > 0)
b | (j > 0)
b ^ (j > 0)
b & True
i & j
i | 3
i ^ j
~b
~i
lib.bitwise_and(i, 3)
x.to(lib.float64)
d.to(lib.float32)
d.float()
x.double()
i.float()
x.long()
x.int()
i.bool()
x.to(dtype=lib.float64)
d.type_as(x)
""")


@pytest.mark.parametrize("expression", SAME)
def test_as_torch(expression):
    assert_same(expression, ARRAYS)


UNRECORDED = table("""
lib.zeros(0, dtype=lib.int64) // 0
lib.where(b, i, np.float64(2))
lib.div(x, p, rounding_mode="floor")
lib.div(x, p, rounding_mode="trunc")
lib.div(edges, others, rounding_mode="trunc")
d // 0.3
2.5 // p
e // v
5 % d
edges / others
others ** edges
edges ** 2
edges ** 3
edges ** 0.5
edges ** -1
edges ** 0
2 ** edges
lib.atan2(edges, others)
lib.remainder(edges, 2)
""")


@pytest.mark.parametrize("expression", UNRECORDED)
def test_values_as_torch(expression):
    assert_same(expression, ARRAYS, grad=False)


@pytest.mark.parametrize(
    "expression", ["edges / 3", "3 / edges", "edges ** 2", "edges ** 3", "edges ** 1", "edges ** 0", "2 ** edges"]
)
def test_gradients_at_infinities_and_nan_as_torch(expression):
    assert_same(expression, {"edges": EDGES})


REFUSED = table("""
lib.add(x, "a")
lib.add(i, j, alpha=1.5)
lib.where(b, v)
lib.where(b, "a", v)
x + lib.zeros(3)
x * lib.zeros(2, 3)
x == lib.zeros(3)
x / lib.zeros(3)
x // lib.zeros(3)
lib.maximum(x, lib.zeros(3))
lib.where(b, x, lib.zeros(3))
lib.where(i, x, x)
x + "text"
x * None
x < "text"
x - b
b - 1
1 - b
i - True
-b
i // 0
i % 0
i ** -1
lib.div(i, 0, rounding_mode="trunc")
lib.div(x, v, rounding_mode="up")
~x
""")


@pytest.mark.parametrize("expression", REFUSED)
def test_refused_as_by_torch(expression):
    assert_both_raise(expression, ARRAYS)


@pytest.mark.parametrize("expression", ["b ** b", "b // b", "b % b", "x & 1", "x | b", "i & 1.5", "lib.neg(b)"])
def test_refused_for_their_dtype(expression):
    with pytest.raises(DTypeError):
        eval(expression, {"lib": mg, **{name: mg.tensor(a) for name, a in ARRAYS.items()}})


def test_messages_say_what_to_do():
    x = mg.ones(3)
    with pytest.raises(ShapeError, match=r"add needs shapes that are equal.*\(3,\) \(4,\)"):
        x + mg.ones(4)
    with pytest.raises(DTypeError, match="mul takes tensors, arrays and numbers: got a str"):
        x * "2"
    with pytest.raises(DTypeError, match=r"convert the base with .float\(\)"):
        mg.tensor([2]) ** -1
    with pytest.raises(DTypeError, match="out of bounds for int32"):
        mg.tensor([1], dtype=mg.int32) + 2**40
    with pytest.raises(UsageError, match="divisor without zeros"):
        mg.tensor([1]) // 0
    with pytest.raises(DTypeError, match="add needs a tensor among its operands: got 1, 2"):
        mg.add(1, 2)


DIFFERENTIABLE = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: mg.sub(a, b, alpha=3),
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "pow": lambda a, b: a**b,
    "maximum": mg.maximum,
    "minimum": mg.minimum,
    "atan2": mg.atan2,
    "where": lambda a, b: mg.where(mg.tensor([True, False, True]), a, b),
    "remainder": mg.remainder,
}
ALONE = {
    "neg": lambda a: -a,
    "square": mg.square,
    "a**3": lambda a: a**3,
    "a**-0.5": lambda a: a**-0.5,
    "2**a": lambda a: 2**a,
    "1/a": lambda a: 1 / a,
    "1-a": lambda a: 1 - a,
    "a*a": lambda a: a * a,
}


def positive(*shape, seed=0):
    return mg.tensor(np.random.default_rng(seed).uniform(0.6, 1.9, shape), requires_grad=True)


@pytest.mark.parametrize("shapes", [((2, 3), (2, 3)), ((2, 3), (3,)), ((3,), (2, 1)), ((), (3,)), ((2, 3), ())], ids=str)
@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_slopes(name, shapes):
    inputs = [positive(*shape, seed=seed) for seed, shape in enumerate(shapes)]
    assert gradcheck(DIFFERENTIABLE[name], inputs)
    assert gradgradcheck(DIFFERENTIABLE[name], inputs)


@pytest.mark.parametrize("name", ALONE)
def test_slopes_with_numbers(name):
    assert gradcheck(ALONE[name], positive(2, 3))
    assert gradgradcheck(ALONE[name], positive(2, 3))


@settings(max_examples=60, deadline=None)
@given(mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=4), st.sampled_from(["add", "mul", "div", "maximum"]))
def test_broadcasting(shapes, name):
    """Values are NumPy's; a gradient has its operand's shape, and is the sum over the copies that broadcasting made."""
    arrays = [np.asarray(np.random.default_rng(k).uniform(1, 2, shape)) for k, shape in enumerate(shapes.input_shapes)]
    tensors = [mg.tensor(a, requires_grad=True) for a in arrays]
    function = {"add": np.add, "mul": np.multiply, "div": np.true_divide, "maximum": np.maximum}[name]
    result = getattr(mg, name)(*tensors)
    assert result.shape == shapes.result_shape
    np.testing.assert_array_equal(result.detach(), function(*arrays))
    result.sum().backward()
    spread = [mg.tensor(np.broadcast_to(a, result.shape), requires_grad=True) for a in arrays]
    getattr(mg, name)(*spread).sum().backward()
    for t, s in zip(tensors, spread):
        lead = tuple(range(s.ndim - t.ndim))
        stretched = tuple(k for k in range(t.ndim) if t.shape[k] == 1)
        expected = s.grad.numpy().sum(lead).sum(stretched, keepdims=True)
        np.testing.assert_allclose(t.grad, expected.reshape(t.shape), rtol=1e-12)


class TestSubgradients:
    """Where a function has no slope, the one that is documented."""

    def slope(self, function, *values):
        tensors = [mg.tensor(float(v), requires_grad=True) for v in values]
        function(*tensors).backward()
        return [t.grad.item() for t in tensors]

    def test_ties_are_halved(self):
        assert self.slope(mg.maximum, 2, 2) == [0.5, 0.5]
        assert self.slope(mg.minimum, 2, 2) == [0.5, 0.5]

    def test_power_of_zero(self):
        assert self.slope(lambda a: a**0, 0) == [0]
        assert self.slope(lambda a: a**1, 0) == [1]
        assert self.slope(lambda a: a**2, 0) == [0]
        assert self.slope(lambda a: a**0.5, 0) == [np.inf]
        assert self.slope(mg.pow, 0, 0) == [0, 0]
        assert self.slope(mg.pow, 0, 2) == [0, 0]
        assert self.slope(lambda b: 0**b, 1) == [0]

    def test_angle_at_the_origin(self):
        assert self.slope(mg.atan2, 0, 0) == [0, 0]

    def test_an_infinite_gradient_stops_where_it_should(self):
        a, b = mg.tensor([1.0, 5.0], requires_grad=True), mg.tensor([2.0, 2.0], requires_grad=True)
        for function in (mg.maximum, mg.minimum, lambda a, b: mg.where(a > b, a, b)):
            a.grad = b.grad = None
            function(a, b).backward(mg.full((2,), np.inf))
            assert np.isfinite(a.grad.numpy()).sum() == np.isfinite(b.grad.numpy()).sum() == 1
            assert not np.isnan(a.grad.numpy()).any()


def test_where_hides_a_branch():
    """The unchosen branch contributes nothing, unless its own slope is infinite: then guard its input, as everywhere."""
    x = mg.tensor([0.0, 4.0], requires_grad=True)
    safe = mg.where(x > 0, x, 1.0)
    mg.where(x > 0, mg.log(safe), 0.0).sum().backward()
    assert x.grad.tolist() == [0, 0.25]


def test_rules_do_not_widen():
    """float32 in, float32 all the way: rules that compute in float64 would be half as fast."""
    for function in [*DIFFERENTIABLE.values(), *ALONE.values()]:
        count = 2 if function in DIFFERENTIABLE.values() else 1
        tensors = [mg.tensor([1.5, 2.5, 0.5], requires_grad=True) for _ in range(count)]
        node = function(*tensors).grad_fn
        for _, gradient in node.primitive.gradients(node, np.ones(3, np.float32)):
            assert gradient.dtype == np.float32, node.name


def test_arrays_on_either_side():
    a, x = np.array([1.0, 2.0], np.float32), mg.tensor([3.0, 4.0], requires_grad=True)
    for result in (a * x, x * a, np.multiply(a, x), np.float32(2) * x, a + x, a - x, a / x, a**x):
        assert isinstance(result, mg.Tensor) and result.requires_grad
    assert isinstance(a == x, mg.Tensor) and isinstance(a < x, mg.Tensor)


def test_comparisons_are_not_recorded():
    x = mg.tensor([1.0], requires_grad=True)
    for result in (x == 1, x < 2, x.logical_not(), x // 1, mg.div(x, 2, rounding_mode="trunc")):
        assert not result.requires_grad


def test_every_error_is_ours():
    x = mg.ones(2)
    for function in (mg.eq, mg.lt, mg.add, mg.floor_divide, mg.bitwise_and, mg.maximum):
        with pytest.raises(MinigradError):
            function(x.long(), mg.ones(3).long())
