"""Random numbers: the same from the same seed, of the right shapes and dtypes, and from the right distributions."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import DTypeError, ShapeError, UsageError
from tests.ops.against_torch import BUILTIN, table, torch


@pytest.fixture(autouse=True)
def seeded():
    state = mg.get_rng_state()
    mg.manual_seed(1234)
    yield
    mg.set_rng_state(state)


def _draws():
    return [
        mg.rand(3),
        mg.randn(2, 2, dtype="float64"),
        mg.randint(100, (5,)),
        mg.randperm(10),
        mg.bernoulli(mg.full((8,), 0.5)),
        mg.multinomial(mg.ones(5), 3),
        mg.multinomial(mg.ones(2, 5), 3, replacement=True),
        mg.empty(3).uniform_(),
        mg.empty(3).normal_(),
    ]


def test_the_same_seed_gives_the_same_numbers():
    first = [t.tolist() for t in _draws()]
    mg.manual_seed(1234)
    assert [t.tolist() for t in _draws()] == first
    mg.manual_seed(1235)
    assert [t.tolist() for t in _draws()] != first


def test_the_state_can_be_put_back():
    mg.rand(5)
    state = mg.get_rng_state()
    first = mg.randn(4).tolist()
    assert mg.randn(4).tolist() != first
    mg.set_rng_state(state)
    assert mg.randn(4).tolist() == first


FORMS = """
lib.randint_like(i, high=3)
lib.bernoulli(lib.ones(2, 3))
lib.rand(2, 3)
lib.rand((2, 3))
lib.rand(size=(2, 3))
lib.rand(())
lib.rand(0)
lib.rand(2, dtype=lib.float64)
lib.rand(2, dtype=lib.float16)
lib.rand(2, requires_grad=True)
lib.randn(2, 3)
lib.randn([2, 3])
lib.randn(size=(2, 3))
lib.randn(2, dtype=lib.float64)
lib.randn(2, dtype=lib.float16)
lib.randint(10, (2, 3))
lib.randint(5, 10, (2, 3))
lib.randint(0, 10, size=(2,))
lib.randint(10, size=(2,))
lib.randint(high=10, size=(2,))
lib.randint(low=3, high=10, size=(2,))
lib.randint(0, 10, (2,), dtype=lib.int32)
lib.randint(0, 10, (2,), dtype=lib.float32)
lib.randint(10, ())
lib.randperm(5)
lib.randperm(0)
lib.randperm(5, dtype=lib.int32)
lib.rand_like(x)
lib.randn_like(x)
lib.randn_like(x, dtype=lib.float64)
lib.randn_like(i, dtype=lib.float32)
lib.randint_like(x, 10)
lib.randint_like(x, 3, 10)
lib.randint_like(i, low=3, high=10)
lib.bernoulli(x)
lib.bernoulli(x.double())
lib.bernoulli(x, 0.25)
lib.bernoulli(x, p=0.25)
lib.multinomial(x[0], 3)
lib.multinomial(x, num_samples=2, replacement=True)
x.multinomial(2)
x.double().multinomial(20, True)
"""

BOTH_RAISE = """
lib.randint(2.5, (2,))
lib.rand_like([1.0])
lib.multinomial(lib.ones(3), 1.5)
lib.rand(-1)
lib.rand(2.0)
lib.randint(10, 5, (2,))
lib.randint(10)
lib.randint(0, (2,))
lib.randperm(-1)
lib.randperm(5.0)
lib.bernoulli(x + 2)
lib.bernoulli(x - 2)
lib.bernoulli(x * float("nan"))
lib.bernoulli(x, p=1.5)
x.multinomial(20)
x.multinomial(0)
x.multinomial(-1)
(-x).multinomial(1)
(x * 0).multinomial(1)
(x * float("inf")).multinomial(1)
(x * float("nan")).multinomial(1)
lib.ones(2, 2, 2).multinomial(1)
lib.tensor(1.0).multinomial(1)
i.multinomial(1)
"""


def _evaluate(lib, expression):
    x = lib.tensor([[0.25, 0.5, 0.25], [1.0, 0.5, 0.125]])
    return eval(expression, {"lib": lib, "x": x, "i": lib.ones(2, 3, dtype=lib.int64)})


@pytest.mark.parametrize("expression", table(FORMS))
def test_shapes_and_dtypes_as_torch(expression):
    theirs, ours = _evaluate(torch(), expression), _evaluate(mg, expression)
    assert ours.shape == tuple(theirs.shape)
    assert ours.dtype == theirs.detach().numpy().dtype
    assert ours.requires_grad == theirs.requires_grad


@pytest.mark.parametrize("expression", table(BOTH_RAISE))
def test_raises_where_torch_does(expression):
    with pytest.raises(BUILTIN) as theirs:
        _evaluate(torch(), expression)
    builtin = next(c for c in BUILTIN if isinstance(theirs.value, c))
    with pytest.raises(mg.errors.MinigradError) as ours:
        _evaluate(mg, expression)
    assert isinstance(ours.value, builtin)


def test_floating_point_only():
    with pytest.raises(DTypeError, match="use randint"):
        mg.rand(2, dtype="int64")
    with pytest.raises(DTypeError, match="use randint"):
        mg.randn_like(mg.arange(3))


@pytest.mark.parametrize("seed", [-1, 1.5, "a", True])
def test_seeds_are_integers_from_0(seed):
    with pytest.raises(UsageError, match="a seed is"):
        mg.manual_seed(seed)


# -- distributions: with 40,000 draws the bounds are some five standard errors ------------------------------------------

COUNT = 40_000


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_uniform(dtype):
    x = mg.rand(COUNT, dtype=dtype).numpy()
    assert x.min() >= 0 and x.max() < 1
    assert abs(x.mean() - 1 / 2) < 0.008 and abs(x.var() - 1 / 12) < 0.003
    y = mg.empty(COUNT, dtype=dtype).uniform_(-2, 4).numpy()
    assert y.min() >= -2 and y.max() < 4 and abs(y.mean() - 1) < 0.05


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normal(dtype):
    x = mg.randn(COUNT, dtype=dtype).numpy()
    assert abs(x.mean()) < 0.025 and abs(x.var() - 1) < 0.04
    assert abs((x**3).mean()) < 0.07 and abs((x**4).mean() - 3) < 0.3
    y = mg.empty(COUNT, dtype=dtype).normal_(3, 2).numpy()
    assert abs(y.mean() - 3) < 0.05 and abs(y.std() - 2) < 0.05


def test_integers():
    x = mg.randint(-2, 3, (COUNT,)).numpy()
    values, counts = np.unique(x, return_counts=True)
    assert values.tolist() == [-2, -1, 0, 1, 2]
    assert np.abs(counts / COUNT - 0.2).max() < 0.01


def test_permutations():
    assert sorted(mg.randperm(1000).tolist()) == list(range(1000))
    firsts = [mg.randperm(4)[0].item() for _ in range(2000)]
    assert np.abs(np.bincount(firsts) / 2000 - 0.25).max() < 0.05


def test_coins():
    p = mg.tensor([0.0, 0.2, 0.9, 1.0])
    x = mg.bernoulli(p.expand(COUNT, 4)).numpy()
    assert set(np.unique(x)) == {0.0, 1.0}
    assert np.abs(x.mean(0) - p.numpy()).max() < 0.011
    assert x[:, 0].max() == 0 and x[:, 3].min() == 1


def test_multinomial_with_replacement():
    weights = mg.tensor([[1.0, 0.0, 3.0, 4.0], [0.0, 5.0, 0.0, 0.0]])
    x = mg.multinomial(weights, COUNT, replacement=True).numpy()
    np.testing.assert_allclose(np.bincount(x[0], minlength=4) / COUNT, [0.125, 0, 0.375, 0.5], atol=0.013)
    assert (x[1] == 1).all()


def test_multinomial_without_replacement():
    weights = np.array([0.1, 0.2, 0.3, 0.4, 0.0])
    pairs = mg.multinomial(mg.tensor(np.tile(weights, (COUNT, 1))), 2).numpy()
    assert (pairs[:, 0] != pairs[:, 1]).all() and pairs.max() == 3
    found = np.zeros((5, 5))
    np.add.at(found, (pairs[:, 0], pairs[:, 1]), 1 / COUNT)
    # The second draw comes from what the first left: P(i, j) = w_i w_j / (1 - w_i).
    expected = weights[:, None] * weights / (1 - weights[:, None]) * (1 - np.eye(5))
    np.testing.assert_allclose(found, expected, atol=0.012)


def test_multinomial_draws_every_category_once():
    assert sorted(mg.multinomial(mg.tensor([5.0, 1e-30, 1.0]), 3).tolist()) == [0, 1, 2]
    with pytest.raises(UsageError, match="got 3 draws from 2"):
        mg.multinomial(mg.tensor([1.0, 0.0, 1.0]), 3)
    with pytest.raises(ShapeError, match=r"got shape \(1, 1, 2\)"):
        mg.multinomial(mg.ones(1, 1, 2), 1)
