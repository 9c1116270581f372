import numba
import numpy as np
import pytest

from minigrad.kernels import norm

SHAPES = [(1, 1), (3, 5), (2, 33), (130, 7), (70, 64)]
EPS = 1e-5


def draw(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    rows, features = shape
    x, g = rng.standard_normal((2, rows, features)).astype(dtype)
    weight, bias = rng.standard_normal((2, features)).astype(dtype)
    return x, g, weight, bias


def layer_norm_reference(x, weight, bias):
    x = x.astype(np.float64)
    centred = x - x.mean(1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(1, keepdims=True) + EPS) * weight + bias


def rms_norm_reference(x, weight):
    x = x.astype(np.float64)
    return x / np.sqrt((x**2).mean(1, keepdims=True) + EPS) * weight


def numeric_gradient(f, x, g, step=1e-6):
    """Central differences of ``sum(g * f(x))``, in place and back."""
    gradient = np.empty_like(x)
    for i in np.ndindex(x.shape):
        kept = x[i]
        x[i] = kept + step
        above = (g * f()).sum()
        x[i] = kept - step
        gradient[i] = (above - (g * f()).sum()) / (2 * step)
        x[i] = kept
    return gradient


def tolerance(dtype):
    return {"rtol": 1e-5, "atol": 2e-6} if dtype == np.float32 else {"rtol": 1e-11, "atol": 1e-12}


@pytest.fixture(params=["float32", "float64", "float32 parallel"])
def dtype(request, monkeypatch):
    """Each dtype along the serial path; float32 also along the parallel one, here forced upon small shapes."""
    name, _, parallel = request.param.partition(" ")
    if parallel:
        monkeypatch.setattr(norm, "PER_CHUNK", 1)
    return np.dtype(name).type


@pytest.mark.parametrize("shape", SHAPES)
def test_layer_norm_agrees_with_its_formula(shape, dtype):
    x, _, weight, bias = draw(shape, dtype)
    out, mean, rstd = norm.layer_norm(x, weight, bias, EPS)
    assert out.dtype == rstd.dtype == dtype
    assert mean.dtype == np.float64
    np.testing.assert_allclose(out, layer_norm_reference(x, weight, bias), **tolerance(dtype))
    np.testing.assert_allclose(mean, x.astype(np.float64).mean(1), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(rstd, 1 / np.sqrt(x.astype(np.float64).var(1) + EPS), **tolerance(dtype))


@pytest.mark.parametrize("shape", SHAPES)
def test_rms_norm_agrees_with_its_formula(shape, dtype):
    x, _, weight, _ = draw(shape, dtype)
    out, rrms = norm.rms_norm(x, weight, EPS)
    assert out.dtype == rrms.dtype == dtype
    np.testing.assert_allclose(out, rms_norm_reference(x, weight), **tolerance(dtype))


def test_no_weight_means_ones_and_no_bias_zeros():
    x, g, _, _ = draw((4, 6), np.float32)
    ones, zeros = np.ones(6, np.float32), np.zeros(6, np.float32)
    bare, affine = norm.layer_norm(x, None, None, EPS), norm.layer_norm(x, ones, zeros, EPS)
    np.testing.assert_array_equal(bare[0], affine[0])
    for a, b in zip(norm.layer_norm_backward(g, x, *bare[1:], None), norm.layer_norm_backward(g, x, *bare[1:], ones)):
        np.testing.assert_array_equal(a, b)
    bare, affine = norm.rms_norm(x, None, EPS), norm.rms_norm(x, ones, EPS)
    np.testing.assert_array_equal(bare[0], affine[0])
    for a, b in zip(norm.rms_norm_backward(g, x, bare[1], None), norm.rms_norm_backward(g, x, bare[1], ones)):
        np.testing.assert_array_equal(a, b)


def test_layer_norm_backward_agrees_with_finite_differences():
    x, g, weight, bias = draw((70, 3), np.float64)
    _, mean, rstd = norm.layer_norm(x, weight, bias, EPS)
    gradients = norm.layer_norm_backward(g, x, mean, rstd, weight)
    for gradient, argument in zip(gradients, (x, weight, bias)):
        expected = numeric_gradient(lambda: layer_norm_reference(x, weight, bias), argument, g)
        np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-6)


def test_rms_norm_backward_agrees_with_finite_differences():
    x, g, weight, _ = draw((70, 3), np.float64)
    _, rrms = norm.rms_norm(x, weight, EPS)
    for gradient, argument in zip(norm.rms_norm_backward(g, x, rrms, weight), (x, weight)):
        expected = numeric_gradient(lambda: rms_norm_reference(x, weight), argument, g)
        np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-6)


def test_float32_gradients_agree_with_float64():
    x, g, weight, bias = draw((300, 40), np.float32)
    single = norm.layer_norm_backward(g, x, *norm.layer_norm(x, weight, bias, EPS)[1:], weight)
    single += norm.rms_norm_backward(g, x, norm.rms_norm(x, weight, EPS)[1], weight)
    x, g, weight, bias = (a.astype(np.float64) for a in (x, g, weight, bias))
    double = norm.layer_norm_backward(g, x, *norm.layer_norm(x, weight, bias, EPS)[1:], weight)
    double += norm.rms_norm_backward(g, x, norm.rms_norm(x, weight, EPS)[1], weight)
    for a, b in zip(single, double):
        assert a.dtype == np.float32
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("level", [1e2, 1e4, 1e6])
def test_noise_upon_a_large_mean_keeps_its_digits(level):
    rng = np.random.default_rng(1)
    x = (level + rng.standard_normal((4, 500)) * level * 1e-4).astype(np.float32)
    g, weight = rng.standard_normal((4, 500)).astype(np.float32), np.ones(500, np.float32)
    out, mean, rstd = norm.layer_norm(x, weight, None, EPS)
    np.testing.assert_allclose(out, layer_norm_reference(x, 1, 0), rtol=1e-5, atol=1e-5)
    wide = x.astype(np.float64)
    expected = norm.layer_norm_backward(g.astype(np.float64), wide, *norm.layer_norm(wide, None, None, EPS)[1:], None)
    gradients = norm.layer_norm_backward(g, x, mean, rstd, weight)
    np.testing.assert_allclose(gradients[0] / rstd.max(), expected[0] / rstd.max(), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(gradients[1], expected[1], rtol=1e-5, atol=1e-5)


def test_a_constant_row_gives_the_bias():
    x = np.full((2, 9), 1e4 + 1 / 3, np.float32)
    bias = np.arange(9, dtype=np.float32)
    out, mean, rstd = norm.layer_norm(x, None, bias, EPS)
    np.testing.assert_array_equal(out, [bias, bias])
    gx, _, _ = norm.layer_norm_backward(np.ones_like(x), x, mean, rstd, None)
    np.testing.assert_allclose(gx, 0, atol=1e-4)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_spoil_their_own_row_only(bad):
    x, g, weight, bias = draw((3, 40), np.float32)
    clean = norm.layer_norm(x, weight, bias, EPS)[0]
    x[1, 17] = bad
    with np.errstate(all="ignore"):
        out, mean, rstd = norm.layer_norm(x, weight, bias, EPS)
        gx, gweight, _ = norm.layer_norm_backward(g, x, mean, rstd, weight)
        rms = norm.rms_norm(x, weight, EPS)[0]
    assert np.isnan(out[1]).all()
    assert np.isnan(gx[1]).all()
    assert np.isnan(gweight).all()
    assert np.isnan(rms[1, 17])
    np.testing.assert_array_equal(out[[0, 2]], clean[[0, 2]])
    assert np.isfinite(gx[[0, 2]]).all()


def test_the_bits_do_not_depend_on_the_number_of_threads(monkeypatch):
    x, g, weight, bias = draw((200, 16), np.float32)

    def everything():
        out, mean, rstd = norm.layer_norm(x, weight, bias, EPS)
        rms, rrms = norm.rms_norm(x, weight, EPS)
        backward = norm.layer_norm_backward(g, x, mean, rstd, weight) + norm.rms_norm_backward(g, x, rrms, weight)
        return out, mean, rstd, rms, rrms, *backward

    monkeypatch.setattr(norm, "PER_CHUNK", 1)
    threads = numba.get_num_threads()
    many = everything()
    numba.set_num_threads(1)
    try:
        one = everything()
    finally:
        numba.set_num_threads(threads)
    for a, b in zip(many, one):
        np.testing.assert_array_equal(a, b)


def test_no_rows():
    x = np.empty((0, 4), np.float32)
    out, mean, rstd = norm.layer_norm(x, None, None, EPS)
    gx, gweight, gbias = norm.layer_norm_backward(x, x, mean, rstd, None)
    assert out.shape == gx.shape == (0, 4)
    np.testing.assert_array_equal([gweight, gbias], np.zeros((2, 4)))
    np.testing.assert_array_equal(norm.rms_norm_backward(x, x, norm.rms_norm(x, None, EPS)[1], None)[1], np.zeros(4))


def test_torch_agrees(dtype):
    torch = pytest.importorskip("torch")
    x, g, weight, bias = draw((70, 24), dtype)
    tx, tweight, tbias = (torch.tensor(a, requires_grad=True) for a in (x, weight, bias))
    theirs = torch.nn.functional.layer_norm(tx, (24,), tweight, tbias, EPS)
    out, mean, rstd = norm.layer_norm(x, weight, bias, EPS)
    np.testing.assert_allclose(out, theirs.detach(), **tolerance(dtype))
    for a, b in zip(
        norm.layer_norm_backward(g, x, mean, rstd, weight),
        torch.autograd.grad(theirs, (tx, tweight, tbias), torch.tensor(g)),
    ):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    if not hasattr(torch.nn.functional, "rms_norm"):  # since torch 2.4
        return
    theirs = torch.nn.functional.rms_norm(tx, (24,), tweight, EPS)
    out, rrms = norm.rms_norm(x, weight, EPS)
    np.testing.assert_allclose(out, theirs.detach(), **tolerance(dtype))
    theirs = torch.autograd.grad(theirs, (tx, tweight), torch.tensor(g))
    for a, b in zip(norm.rms_norm_backward(g, x, rrms, weight), theirs):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
