"""jacobian, hessian, vjp, jvp: closed forms, and torch.autograd.functional where torch is there."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import DTypeError, GraphError, ShapeError


def arrays(rng, *shapes):
    return [rng.standard_normal(s) for s in shapes]


def to_list(value):
    """Nested tuples of arrays, whichever library made them."""
    return tuple(to_list(v) for v in value) if isinstance(value, (tuple, list)) else np.asarray(value.detach().numpy())


def assert_same(ours, theirs):
    if isinstance(theirs, tuple):
        assert isinstance(ours, tuple) and len(ours) == len(theirs)
        for a, b in zip(ours, theirs):
            assert_same(a, b)
    else:
        assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)


def one(lib):
    return lambda x: lib.tanh(x @ x.T) * 2


def two_in(lib):
    return lambda x, y: lib.exp(x * 0.1) @ y


def two_out(lib):
    return lambda x: (lib.sin(x).sum(0), (x * x).sum(), x[0] * 3)


def unused(lib):
    return lambda x, y: x * 2


def constant(lib):
    return lambda x: lib.ones(3, dtype=lib.float64)


def scalar(lib):
    return lambda x: (lib.sin(x) * x.sum()).sum()


def scalar_of_two(lib):
    return lambda x, y: (lib.exp(x * 0.1) * y.sum()).sum() * lib.tanh(y).sum()


def linear(lib):
    return lambda x: x.sum() * 3


FUNCTIONS = [(one, [(2, 3)]), (two_in, [(2, 3), (3, 2)]), (two_out, [(2, 3)]), (unused, [(2,), (3,)]), (constant, [(2,)])]
SCALARS = [(scalar, [(2, 3)]), (scalar_of_two, [(2, 2), (3,)]), (linear, [(4,)])]


def both(function, shapes, rng):
    torch = pytest.importorskip("torch")
    values = arrays(rng, *shapes)

    def single(made):
        return made[0] if len(made) == 1 else tuple(made)

    ours, theirs = (single([lib.tensor(v) for v in values]) for lib in (mg, torch))
    return function(mg), ours, function(torch), theirs, torch.autograd.functional


@pytest.mark.parametrize(("function", "shapes"), FUNCTIONS)
def test_jacobian_as_torch(function, shapes, rng):
    f, x, tf, tx, functional = both(function, shapes, rng)
    assert_same(to_list(mg.jacobian(f, x)), to_list(functional.jacobian(tf, tx)))


@pytest.mark.parametrize(("function", "shapes"), SCALARS)
def test_hessian_as_torch(function, shapes, rng):
    f, x, tf, tx, functional = both(function, shapes, rng)
    assert_same(to_list(mg.hessian(f, x)), to_list(functional.hessian(tf, tx)))


@pytest.mark.parametrize(("function", "shapes"), FUNCTIONS + SCALARS)
@pytest.mark.parametrize("which", ["vjp", "jvp"])
def test_products_as_torch(function, shapes, which, rng):
    f, x, tf, tx, functional = both(function, shapes, rng)
    like = f(*x) if isinstance(x, tuple) and which == "vjp" else f(x) if which == "vjp" else x
    values = [rng.standard_normal(t.shape) for t in (like if isinstance(like, tuple) else (like,))]
    torch = pytest.importorskip("torch")
    v, tv = ([lib.tensor(value) for value in values] for lib in (mg, torch))
    v, tv = (tuple(v), tuple(tv)) if isinstance(like, tuple) else (v[0], tv[0])
    assert_same(to_list(getattr(mg, which)(f, x, v)), to_list(getattr(functional, which)(tf, tx, tv)))


def test_jacobian_of_a_matrix_product(rng):
    a, x = arrays(rng, (3, 4), (4,))
    np.testing.assert_allclose(mg.jacobian(lambda t: mg.tensor(a) @ t, mg.tensor(x)).numpy(), a)


def test_hessian_of_a_quadratic_form(rng):
    a = rng.standard_normal((3, 3))
    h = mg.hessian(lambda t: t @ mg.tensor(a) @ t, mg.tensor(rng.standard_normal(3)))
    np.testing.assert_allclose(h.numpy(), a + a.T)


def test_products_agree_with_the_jacobian(rng):
    x, v, u = (mg.tensor(a) for a in arrays(rng, (2, 3), (2, 3), (2, 2)))
    f = one(mg)
    j = mg.jacobian(f, x).numpy()
    np.testing.assert_allclose(mg.jvp(f, x, v)[1].numpy(), np.tensordot(j, v.numpy(), 2), rtol=1e-10)
    np.testing.assert_allclose(mg.vjp(f, x, u)[1].numpy(), np.tensordot(u.numpy(), j, 2), rtol=1e-10)


def test_the_vector_may_be_left_out_for_one_element():
    x = mg.tensor(2.0, dtype="float64")
    value, slope = mg.vjp(lambda t: t**3, x)
    assert (value.item(), slope.item()) == (8, 12)
    value, tangent = mg.jvp(lambda t: t**3, x)
    assert (value.item(), tangent.item()) == (8, 12)


def test_create_graph_differentiates_again(rng):
    x = mg.tensor(rng.standard_normal(3), requires_grad=True)
    for inside in (mg.enable_grad, mg.no_grad):
        with inside():
            j = mg.jacobian(lambda t: t**3, x, create_graph=True)
            _, p = mg.vjp(lambda t: (t**3, t), x, (mg.ones(3, dtype="float64"),) * 2, create_graph=True)
            _, q = mg.jvp(lambda t: t**3, x, mg.ones(3, dtype="float64"), create_graph=True)
            h = mg.hessian(lambda t: (t**3).sum(), x, create_graph=True)
        for result, factor in ((j, 6), (p, 6), (q, 6)):
            (g,) = mg.grad(result.sum(), x)
            np.testing.assert_allclose(g.numpy(), factor * x.numpy())
        np.testing.assert_allclose(mg.grad(h.sum(), x)[0].numpy(), np.full(3, 6.0))


def test_results_are_not_recorded_otherwise():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    everything = [
        mg.jacobian(lambda t: t * t, x),
        mg.hessian(lambda t: (t * t).sum(), x),
        *mg.vjp(lambda t: t * t, x, mg.ones(2)),
        *mg.jvp(lambda t: t * t, x, mg.ones(2)),
    ]
    assert not any(t.requires_grad for t in everything) and x.grad is None


def test_inputs_need_not_require_gradients_and_keep_their_dtype():
    x = mg.tensor([1.0, 2.0])
    for result in (mg.jacobian(lambda t: t * t, x), mg.hessian(lambda t: (t * t).sum(), x)):
        assert result.dtype == np.float32
    assert not x.requires_grad


def test_empty_and_scalar_shapes():
    assert mg.jacobian(lambda t: t * 2, mg.zeros(0)).shape == (0, 0)
    assert mg.jacobian(lambda t: t * 2, mg.tensor(1.0)).shape == ()
    assert mg.hessian(lambda t: t**3, mg.tensor(2.0)).item() == 12


def test_through_fused_operations(rng):
    x = mg.tensor(rng.standard_normal(4))
    s = mg.softmax(x, 0).numpy()
    np.testing.assert_allclose(mg.jacobian(lambda t: mg.softmax(t, 0), x).numpy(), np.diag(s) - np.outer(s, s), atol=1e-12)
    np.testing.assert_allclose(mg.hessian(lambda t: mg.logsumexp(t, 0), x).numpy(), np.diag(s) - np.outer(s, s), atol=1e-12)


def test_bad_input():
    with pytest.raises(DTypeError, match="got ndarray"):
        mg.jacobian(lambda t: t, np.zeros(3))
    with pytest.raises(DTypeError, match=r"\.float\(\)"):
        mg.jacobian(lambda t: t, mg.tensor([1, 2]))
    with pytest.raises(DTypeError, match="output 0 is a Tensor"):
        mg.jacobian(lambda t: 1.0, mg.tensor([1.0]))
    with pytest.raises(ShapeError, match=r"one number: got \(2,\)"):
        mg.hessian(lambda t: t * 2, mg.tensor([1.0, 2.0]))
    with pytest.raises(ShapeError, match="shapes of the outputs"):
        mg.vjp(lambda t: t * 2, mg.tensor([1.0, 2.0]), mg.ones(3))
    with pytest.raises(ShapeError, match="shapes of the inputs"):
        mg.jvp(lambda t: t * 2, mg.tensor([1.0, 2.0]), mg.ones(3))
    with pytest.raises(GraphError, match="v may be left out"):
        mg.vjp(lambda t: t * 2, mg.tensor([1.0, 2.0]))
