"""Primitives: what a user may define, what is refused, and the derivatives of every plain primitive there is."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import GraphError, ShapeError, UsageError
from minigrad.primitive import REGISTRY, Fused

pytestmark = pytest.mark.usefixtures("own_primitives")


def leaf(*values, dtype="float64"):
    return mg.tensor(values if len(values) > 1 else values[0], dtype=dtype, requires_grad=True)


# -- one's own ----------------------------------------------------------------------------------------------------------


def make_hypotenuse():
    @mg.primitive(r"\sqrt{a^2 + b^2}", promote="float")
    def hypotenuse(a, b):
        """The long side."""
        return np.sqrt(a * a + b * b)

    hypotenuse.vjp(a=lambda g, a, out: g * a / out, b=lambda g, b, out: g * b / out)
    return hypotenuse


def test_own_primitive_to_every_order():
    hypotenuse = make_hypotenuse()
    a, b = leaf(3.0, 1.0), leaf(4.0)
    y = hypotenuse(a, b)
    np.testing.assert_allclose(y.numpy(), [5, np.sqrt(17)])
    assert y.grad_fn.name == "hypotenuse" and REGISTRY["hypotenuse"] is hypotenuse
    assert hypotenuse.__doc__ == "The long side." and "hypotenuse" in repr(hypotenuse)
    assert mg.gradcheck(hypotenuse, (a, b)) and mg.gradgradcheck(hypotenuse, (a, b))


def test_own_primitive_follows_promotion():
    hypotenuse = make_hypotenuse()
    assert hypotenuse(mg.tensor([3]), 4).dtype == np.float32
    assert hypotenuse(mg.tensor([3.0]), np.array([4.0])).dtype == np.float64
    assert hypotenuse(np.array([3.0]), 4.0).tolist() == [5]


def test_rules_run_only_for_arguments_that_need_them():
    calls = []

    @mg.primitive("a b")
    def product(a, b):
        return a * b

    product.vjp(a=lambda g, b: calls.append("a") or g * b, b=lambda g, a: calls.append("b") or g * a)
    product(leaf(2.0), mg.tensor(3.0, dtype="float64")).backward()
    product(mg.tensor(3.0, dtype="float64"), leaf(2.0)).backward()
    assert calls == ["a", "b"]


def test_rules_may_read_shapes_without_keeping_arrays():
    import weakref

    @mg.primitive(r"\sum x")
    def total(x):
        return np.asarray(x.sum())

    total.vjp(x=lambda g, x_shape: np.broadcast_to(g, x_shape))
    x = mg.tensor(np.ones((2, 3)), requires_grad=True)
    inner = x * 2
    array = weakref.ref(inner._data)
    y = total(inner)
    del inner
    assert array() is None
    y.backward()
    assert x.grad.tolist() == [[2, 2, 2]] * 2


def test_rule_may_answer_none():
    @mg.primitive("x")
    def opaque(x):
        return np.array(x)

    opaque.vjp(x=lambda g: None)
    x = leaf(1.0)
    opaque(x).backward()
    assert x.grad is None


def test_constants_of_any_kind_are_arguments():
    @mg.primitive("x")
    def picked(x, table, key):
        return x * table[key]

    picked.vjp(x=lambda g, table, key: g * table[key])
    x = leaf(2.0)
    picked(x, {"k": 3.0}, "k").backward()
    assert x.grad.item() == 3
    assert mg.gradcheck(lambda t: picked(t, {"k": 3.0}, "k"), leaf(2.0))


@pytest.mark.parametrize("through", [lambda x: x, lambda x: x + 1, lambda x: x.reshape(2)])
@pytest.mark.parametrize("given", ["argument", "constant", "g"])
def test_what_a_rule_returns_is_never_shared(through, given):
    constant = np.array([5.0, 6.0])

    @mg.primitive("x w")
    def odd(x, w):
        return x * w

    rules = {"argument": lambda g, w: w, "constant": lambda g: constant, "g": lambda g: g}
    odd.vjp(x=rules[given])
    x, w, seed = leaf(1.0, 2.0), mg.tensor([3.0, 4.0], dtype="float64"), mg.tensor([7.0, 8.0], dtype="float64")
    odd(through(x), w).backward(seed)
    expected = {"argument": [3, 4], "constant": [5, 6], "g": [7, 8]}[given]
    assert x.grad.tolist() == expected
    x.grad += 100
    assert (w.tolist(), constant.tolist(), seed.tolist()) == ([3, 4], [5, 6], [7, 8])


# -- what is refused ----------------------------------------------------------------------------------------------------


def test_missing_rule_names_primitive_and_argument():
    @mg.primitive("a b")
    def half_done(a, b):
        return a * b

    half_done.vjp(a=lambda g, b: g * b)
    half_done(leaf(1.0), mg.tensor(1.0)).backward()
    with pytest.raises(GraphError, match="half_done has no gradient rule for its argument 'b'"):
        half_done(mg.tensor(1.0), leaf(1.0))
    with mg.no_grad():
        half_done(mg.tensor(1.0), leaf(1.0))


def make_fused_product():
    @mg.fused("a b", reference=lambda a, b: a * b)
    def product(a, b):
        return a * b, None

    @product.backward("a", "b")
    def _(g, a, b):
        return g * b, g * a

    return product


def test_plain_rules_of_a_fused_primitive_give_second_derivatives():
    product, x, y = make_fused_product(), leaf(1.0, 2.0), leaf(3.0, 4.0)
    assert product(x, y).grad_fn.extra["args"]
    product.vjp(a=lambda g, b: g * b, b=lambda g, a: g * a)
    product.reference = None  # no longer asked
    assert product(x, y).grad_fn.extra is None
    assert mg.gradgradcheck(product, (x, y))


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"a": lambda g, b: g * b}, "product needs a rule for each of .*: got none for b"),
        ({"a": lambda g, out: g * out, "b": lambda g, a: g * a}, "reads only what its backward reads: got 'out'"),
    ],
)
def test_plain_rules_of_a_fused_primitive_that_cannot_be(rules, message):
    with pytest.raises(UsageError, match=message):
        make_fused_product().vjp(**rules)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"c": lambda g: g}, "odd has no argument 'c'"),
        ({"a": lambda a: a}, "odd takes the upstream gradient g first"),
        ({"a": lambda: 0}, "odd takes the upstream gradient g first"),
        ({"a": lambda g, nothing: g}, "odd reads 'nothing'"),
        ({"a": lambda g, needs: g}, "odd reads 'needs'"),
        ({"a": lambda g, kept: g}, "odd reads 'kept'"),
    ],
)
def test_rules_that_cannot_be(rule, message):
    @mg.primitive("a")
    def odd(a, b):
        return a + b

    with pytest.raises(UsageError, match=message):
        odd.vjp(**rule)


@pytest.mark.parametrize("shape", [(3,), (1,), (), (3, 2), (2, 3)])
def test_gradients_of_a_wrong_shape(shape):
    @mg.primitive("x")
    def odd(x):
        return x * 1.0

    odd.vjp(x=lambda g: np.ones(shape))
    x = leaf(1.0, 2.0)
    if shape == (3, 2):  # summed like any broadcast gradient
        odd(x).sum().backward()
        assert x.grad.tolist() == [3, 3]
        return
    for point in (x, x * 2):
        with pytest.raises(ShapeError, match=r"odd for its argument 'x'.*\(2,\).*got"):
            odd(point).sum().backward()


def test_gradients_that_are_no_arrays():
    @mg.primitive("x")
    def odd(x):
        return x * 1.0

    odd.vjp(x=lambda g: 1.0)
    with pytest.raises(UsageError, match="odd for its argument 'x' returns an array or None: got float"):
        odd(leaf(1.0)).backward()


@pytest.mark.parametrize("value", [1.0, [1.0], None, "tensor"])
def test_functions_that_give_no_array(value):
    @mg.primitive("x")
    def odd(x):
        return mg.exp(x) if value == "tensor" else value

    odd.vjp(x=lambda g: g)
    with pytest.raises(UsageError, match="odd is a function from arrays to an array"):
        odd(leaf(1.0))


def test_mistakes_inside_the_function_are_not_hidden():
    @mg.primitive("x", promote=True)
    def odd(x):
        return np.tahn(x)

    with pytest.raises(AttributeError, match="tahn"):
        odd(leaf(1.0))


def test_too_few_arguments():
    @mg.primitive("x")
    def scaled(x, factor=2.0):
        return x * factor

    scaled.vjp(x=lambda g, factor: g * factor)
    with pytest.raises(UsageError, match="scaled takes its arguments in full"):
        scaled(leaf(1.0))


# -- every primitive ----------------------------------------------------------------------------------------------------

INDEX = np.array([[0, 2], [1, 1]])
ROWS = np.array([2, 0, 2])


def distinct(*shape):
    """Values with gaps between them, so that differences cross no kink."""
    size = int(np.prod(shape))
    return np.random.default_rng(5).permutation(np.linspace(-2, 2, size) + 0.01).reshape(shape)


#: For each plain primitive, arguments as functions of a source of normal numbers. Arrays of floats are differentiated by.
SAMPLES = {
    "abs": [lambda n: (distinct(2, 3),)],
    "add": [lambda n: (n(2, 3), n(3)), lambda n: (n(2, 1), 2.5)],
    "amax": [lambda n: (distinct(2, 3), (1,), False), lambda n: (distinct(2, 3, 2), (0, 2), True)],
    "amin": [lambda n: (distinct(2, 3), (1,), False), lambda n: (distinct(2, 3), (0, 1), False)],
    "atan2": [lambda n: (n(2, 3), 1 + n(3) ** 2)],
    "binary_cross_entropy": [lambda n: (0.5 + 0.4 * np.tanh(n(6)), 0.5 + 0.4 * np.tanh(n(6)))],
    "cat": [lambda n: (n(2, 2), n(2, 3), 1)],
    "clamp": [
        lambda n: (distinct(8), -1.0, 1.0),
        lambda n: (distinct(8), None, 0.5),
        lambda n: (distinct(8), -1.5 + 0 * n(1), 1 + 0 * n(8)),
    ],
    "clamped_log": [lambda n: (0.5 + n(2, 3) ** 2,)],
    "clear": [lambda n: (n(3, 4), INDEX)],
    "clone": [lambda n: (n(2, 3),)],
    "contiguous": [lambda n: (n(3, 2).T,)],
    "cos": [lambda n: (n(2, 3),)],
    "cumsum": [lambda n: (n(2, 3), 1), lambda n: (n(2, 3), 0)],
    "diagonal": [lambda n: (n(3, 4), 1, 0, 1), lambda n: (n(2, 3, 3), 0, 2, 1)],
    "diagonal_embed": [lambda n: (n(3), 1, 0, 1, (3, 4))],
    "div": [lambda n: (n(2, 3), 1 + n(3) ** 2), lambda n: (2.0, 1 + n(3) ** 2)],
    "elu": [lambda n: (distinct(6), 1.5)],
    "erf": [lambda n: (n(2, 3),)],
    "euclidean_norm": [lambda n: (n(2, 3), (1,), False), lambda n: (n(2, 3), (0, 1), True)],
    "exp": [lambda n: (n(2, 3),)],
    "expand": [lambda n: (n(3, 1), (2, 3, 4))],
    "expm1": [lambda n: (n(2, 3),)],
    "flip": [lambda n: (n(2, 3), (0,)), lambda n: (n(2, 3), (0, 1))],
    "floor": [lambda n: (distinct(6),)],
    "gather_rows": [lambda n: (n(4, 2), np.array([2, 0])), lambda n: (n(4), np.array([[2, 0], [1, 3]]))],
    "getitem": [lambda n: (n(3, 4), INDEX), lambda n: (n(3, 4), (slice(1, None), None, slice(None, None, -2)))],
    "identity": [lambda n: (n(2, 3),)],
    "leaky_relu": [lambda n: (distinct(6), 0.1)],
    "log": [lambda n: (0.5 + n(2, 3) ** 2,)],
    "log1p": [lambda n: (n(2, 3) ** 2,)],
    "log2": [lambda n: (0.5 + n(2, 3) ** 2,)],
    "logsumexp": [lambda n: (n(2, 3), (1,), False), lambda n: (n(2, 3), (0, 1), True)],
    "matmul": [
        lambda n: (n(2, 3), n(3, 2)),
        lambda n: (n(2, 1, 2, 3), n(2, 3, 2)),
        lambda n: (n(3), n(3)),
        lambda n: (n(2, 2, 3), n(3)),
        lambda n: (n(3), n(2, 3, 2)),
    ],
    "maximum": [lambda n: (distinct(6), 0.3 + 0 * n(1))],
    "minimum": [lambda n: (distinct(6), 0.3 + 0 * n(1))],
    "mul": [lambda n: (n(2, 3), n(3)), lambda n: (n(2, 1), n(3))],
    "neg": [lambda n: (n(2, 3),)],
    "pad": [lambda n: (n(2, 3), ((1, 0), (0, 2)), 0.5)],
    "permute": [lambda n: (n(2, 3, 2), (2, 0, 1))],
    "place_rows": [lambda n: (n(2, 3), np.array([2, 0]), 4, 1.5), lambda n: (n(2, 2), np.array([[2, 0], [1, 3]]), 5, 0.0)],
    "pow": [lambda n: (0.5 + n(2, 3) ** 2, n(3)), lambda n: (n(4), 3.0), lambda n: (n(4), 2)],
    "power_norm": [lambda n: (distinct(2, 3), 3.0, (1,), False), lambda n: (distinct(2, 3), 1.5, (0, 1), True)],
    "prod": [lambda n: (n(2, 3), 1, False), lambda n: (np.array([[0.0, 2, 3], [0, 0, 4]]), 1, True)],
    "put": [lambda n: (n(2, 2, 4), INDEX, (3, 4)), lambda n: (n(2, 4), slice(1, None), (3, 4))],
    "reciprocal": [lambda n: (1 + n(2, 3) ** 2,)],
    "remainder": [lambda n: (distinct(6), 1.7 + 0 * n(1))],
    "repeat": [lambda n: (n(2, 3), (2, 1, 2))],
    "reshape": [lambda n: (n(2, 3), (3, 2))],
    "roll": [lambda n: (n(2, 3), (1,), (1,)), lambda n: (n(2, 3), (2,), None)],
    "round": [lambda n: (distinct(6), 0)],
    "rsqrt": [lambda n: (0.5 + n(2, 3) ** 2,)],
    "scatter_add": [lambda n: (n(3, 2), n(3, 2), INDEX, 0)],
    "setitem": [lambda n: (n(3, 4), n(4), np.array([2, 0])), lambda n: (n(3, 4), n(1), (slice(None), 1))],
    "sigmoid": [lambda n: (n(2, 3),)],
    "sign": [lambda n: (distinct(6),)],
    "sin": [lambda n: (n(2, 3),)],
    "sqrt": [lambda n: (0.5 + n(2, 3) ** 2,)],
    "square": [lambda n: (n(2, 3),)],
    "stack": [lambda n: (n(2, 3), n(2, 3), 1)],
    "sub": [lambda n: (n(2, 3), n(3))],
    "mean": [lambda n: (n(2, 3), (1,), False), lambda n: (n(2, 3, 2), (0, 2), True), lambda n: (n(2, 3), (0, 1), False)],
    "sum": [lambda n: (n(2, 3), (1,), False), lambda n: (n(2, 3, 2), (0, 2), True), lambda n: (n(2, 3), (), False)],
    "tan": [lambda n: (0.5 * n(2, 3),)],
    "tanh": [lambda n: (n(2, 3),)],
    "to": [lambda n: (n(2, 3), np.dtype("float64"))],
    "tril": [lambda n: (n(3, 3), 0), lambda n: (n(2, 3, 4), -1)],
    "triu": [lambda n: (n(3, 3), 1)],
    "var": [lambda n: (n(2, 4), (1,), 1, False), lambda n: (n(2, 4), (0, 1), 0, True)],
    "where": [lambda n: (np.array([True, False, True]), n(2, 3), n(3))],
}

#: Operations on any number of tensors are a family of primitives under one name.
FAMILIES = {"cat": lambda a, b, axis: mg.cat([a, b], axis), "stack": lambda a, b, axis: mg.stack([a, b], axis)}

PLAIN = sorted({*FAMILIES, *(name for name, p in REGISTRY.items() if not isinstance(p, Fused) and p.argnames)})
CASES = [(name, k) for name in PLAIN for k in range(len(SAMPLES.get(name, ())))]


def test_every_plain_primitive_has_samples():
    missing = [name for name in PLAIN if name not in SAMPLES]
    assert not missing, f"put sample arguments into SAMPLES for {missing}"


def test_every_rule_is_sampled():
    without = {name: set(REGISTRY[name].rule_of) for name, _ in CASES if name not in FAMILIES}
    for name, k in CASES:
        if name in without:
            args = SAMPLES[name][k](_normal())
            without[name] -= {REGISTRY[name].argument(i) for i, a in enumerate(args) if _differentiable(a)}
    assert not {name: rules for name, rules in without.items() if rules}


def _normal():
    rng = np.random.default_rng(11)
    return lambda *shape: np.asarray(rng.standard_normal(shape))


def _differentiable(a) -> bool:
    return isinstance(a, np.ndarray) and a.dtype.kind == "f"


def _call(name, k, dtype):
    """The primitive as a function of its differentiable arguments, and those as leaves."""
    args = list(SAMPLES[name][k](_normal()))
    operation = FAMILIES.get(name) or REGISTRY[name]
    places = [i for i, a in enumerate(args) if _differentiable(a)]

    def function(*values):
        full = list(args)
        for i, value in zip(places, values):
            full[i] = value
        return operation(*full)

    return function, [mg.tensor(args[i], dtype=dtype, requires_grad=True) for i in places]


@pytest.mark.parametrize(("name", "k"), CASES)
def test_first_and_second_derivatives(name, k):
    function, leaves = _call(name, k, "float64")
    assert mg.gradcheck(function, leaves)
    assert mg.gradgradcheck(function, leaves)


@pytest.mark.parametrize(("name", "k"), [c for c in CASES if c[0] != "to"])
def test_float32_stays_float32(name, k):
    function, leaves = _call(name, k, "float32")
    y = function(*leaves)
    assert y.dtype == np.float32
    found = mg.grad(y, leaves, mg.ones(*y.shape), create_graph=True, allow_unused=True)
    for g, x in zip(found, leaves):
        assert g.dtype == np.float32 and g.shape == x.shape


@pytest.mark.parametrize(("name", "k"), CASES)
def test_forward_and_rules_write_to_none_of_their_arguments(name, k):
    function, leaves = _call(name, k, "float64")
    before = [x.tolist() for x in leaves]
    y = function(*leaves)
    seed = mg.ones(*y.shape, dtype="float64")
    y.backward(seed)
    assert [x.tolist() for x in leaves] == before and seed.tolist() == np.ones(y.shape).tolist()
