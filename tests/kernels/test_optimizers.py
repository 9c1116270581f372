import numba
import numpy as np
import pytest

from minigrad.kernels import optimizers
from minigrad.kernels.optimizers import adagrad, adam, rmsprop, scale_, sgd, squared_norm

N, STEPS = 100, 6


@pytest.fixture(params=["float32", "float64", "float32 parallel"])
def dtype(request, monkeypatch):
    """Each dtype along the serial path; float32 also along the parallel one, here forced upon small shapes."""
    name, _, parallel = request.param.partition(" ")
    if parallel:
        monkeypatch.setattr(optimizers, "PER_CHUNK", 1)
    return np.dtype(name).type


def draw(dtype, n=N):
    rng = np.random.default_rng(0)
    return rng.standard_normal(n).astype(dtype), rng.standard_normal((STEPS, n)).astype(dtype)


def against_torch(torch, name, options, update, dtype):
    """Run ``update(param, grad, step)`` and the torch optimizer ``name`` on the same gradients."""
    param, grads = draw(dtype)
    theirs = torch.nn.Parameter(torch.tensor(param))
    optimizer = getattr(torch.optim, name)([theirs], **options)
    for step, grad in enumerate(grads, 1):
        update(param, grad, step)
        theirs.grad = torch.tensor(grad)
        optimizer.step()
    assert param.dtype == dtype
    tolerance = {"rtol": 1e-5, "atol": 2e-6} if dtype == np.float32 else {"rtol": 1e-12, "atol": 1e-13}
    np.testing.assert_allclose(param, theirs.detach().numpy(), **tolerance)


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize(
    "options", [{}, {"momentum": 0.9}, {"momentum": 0.9, "dampening": 0.5}, {"momentum": 0.9, "nesterov": True}], ids=str
)
def test_sgd(options, weight_decay, dtype):
    torch = pytest.importorskip("torch")
    options = {"lr": 0.1, "weight_decay": weight_decay, **options}
    buffer = np.zeros(N, dtype) if "momentum" in options else None
    against_torch(torch, "SGD", options, lambda p, g, step: sgd(p, g, buffer, first=step == 1, **options), dtype)


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("amsgrad", [False, True])
@pytest.mark.parametrize("name", ["Adam", "AdamW"])
def test_adam(name, amsgrad, weight_decay, dtype):
    torch = pytest.importorskip("torch")
    options = {"lr": 0.01, "eps": 1e-6, "weight_decay": weight_decay}
    average, square = np.zeros((2, N), dtype)
    largest = np.zeros(N, dtype) if amsgrad else None

    def update(param, grad, step):
        decoupled = name == "AdamW"
        adam(param, grad, average, square, largest, step, beta1=0.8, beta2=0.95, decoupled=decoupled, **options)

    against_torch(torch, name, {"betas": (0.8, 0.95), "amsgrad": amsgrad, **options}, update, dtype)


@pytest.mark.parametrize("options", [{}, {"lr_decay": 0.1, "weight_decay": 0.1, "eps": 1e-3}], ids=str)
def test_adagrad(options, dtype):
    torch = pytest.importorskip("torch")
    options = {"lr": 0.1, **options}
    state_sum = np.full(N, 0.5, dtype)
    update = lambda param, grad, step: adagrad(param, grad, state_sum, step, **options)
    against_torch(torch, "Adagrad", {"initial_accumulator_value": 0.5, **options}, update, dtype)


@pytest.mark.parametrize("centered", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_rmsprop(weight_decay, momentum, centered, dtype):
    torch = pytest.importorskip("torch")
    options = {"lr": 0.01, "alpha": 0.9, "eps": 1e-6, "weight_decay": weight_decay, "momentum": momentum}
    square, mean, buffer = np.zeros((3, N), dtype)
    mean, buffer = mean if centered else None, buffer if momentum else None
    update = lambda param, grad, step: rmsprop(param, grad, square, mean, buffer, **options)
    against_torch(torch, "RMSprop", {"centered": centered, **options}, update, dtype)


def test_the_first_step_of_adam_is_the_learning_rate_times_the_sign():
    param, grads = draw(np.float64)
    before = param.copy()
    adam(param, grads[0], np.zeros(N), np.zeros(N), None, step=1, lr=0.01, beta1=0.9, beta2=0.999, eps=0.0)
    np.testing.assert_allclose(param, before - 0.01 * np.sign(grads[0]), rtol=1e-12)


def test_adamw_with_no_gradient_shrinks_by_the_decay_alone():
    param, _ = draw(np.float64)
    before, zeros = param.copy(), np.zeros(N)
    options = {"lr": 0.1, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.5, "decoupled": True}
    adam(param, zeros, zeros.copy(), zeros.copy(), None, step=1, **options)
    np.testing.assert_allclose(param, before * 0.95, rtol=1e-15)


def test_centred_rmsprop_survives_a_variance_that_rounding_made_negative():
    param, grad = np.zeros(N, np.float32), np.linspace(0.1, 7, N, dtype=np.float32)
    square, mean = np.zeros((2, N), np.float32)
    for _ in range(300):  # with a constant gradient the centred variance tends to 0
        rmsprop(param, grad, square, mean, None, lr=1e-3, alpha=0.5)
    assert np.isfinite(param).all()


def test_no_weight_decay_leaves_infinite_parameters_alone():
    param = np.array([-np.inf, 1], np.float32)
    state = np.zeros((2, 2), np.float32)
    adam(param, np.ones(2, np.float32), *state, None, step=1, lr=0.5, beta1=0.9, beta2=0.999, eps=0.0)
    np.testing.assert_allclose(param, [-np.inf, 0.5], rtol=1e-6)
    assert np.isfinite(state).all()


def test_nan_and_infinite_gradients_show_in_the_parameter():
    def updated(update):
        param, grad = np.ones(40, np.float32), np.ones(40, np.float32)
        grad[20:22] = np.nan, np.inf
        with np.errstate(all="ignore"):
            update(param, grad, *np.zeros((3, 40), np.float32))
        return np.isfinite(param)

    expected = np.ones(40, bool)
    expected[20:22] = False
    rates = {"step": 1, "lr": 0.1, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8}
    np.testing.assert_array_equal(updated(lambda p, g, a, b, c: sgd(p, g, a, 0.1, 0.9)), expected)
    np.testing.assert_array_equal(updated(lambda p, g, a, b, c: adam(p, g, a, b, None, **rates)), expected)
    np.testing.assert_array_equal(updated(lambda p, g, a, b, c: adam(p, g, a, b, c, **rates)), expected)
    np.testing.assert_array_equal(updated(lambda p, g, a, b, c: adagrad(p, g, a, 1, 0.1)), expected)
    np.testing.assert_array_equal(updated(lambda p, g, a, b, c: rmsprop(p, g, a, b, c, 0.1)), expected)


def test_amsgrad_keeps_a_nan_maximum():
    param, state = np.ones(2, np.float32), np.zeros((3, 2), np.float32)
    rates = {"lr": 0.1, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8}
    adam(param, np.array([np.nan, 1], np.float32), *state, step=1, **rates)
    assert np.isnan(state[2, 0])
    state[:2] = 0
    adam(param, np.ones(2, np.float32), *state, step=2, **rates)
    np.testing.assert_array_equal(np.isnan(state[2]), [True, False])


@pytest.mark.parametrize("n", [0, 1, 1000, 2 * optimizers.BLOCK + 5])
def test_squared_norm(n, dtype):
    x = np.random.default_rng(0).standard_normal(n).astype(dtype)
    total = squared_norm(x)
    assert isinstance(total, float)
    np.testing.assert_allclose(total, (x.astype(np.float64) ** 2).sum(), rtol=1e-12)


def test_squared_norm_neither_overflows_nor_hides_nan():
    assert squared_norm(np.full(4, 1e30, np.float32)) == pytest.approx(4e60)
    assert squared_norm(np.array([1, np.inf, 2], np.float32)) == np.inf
    assert np.isnan(squared_norm(np.array([1, np.inf, np.nan] + [0] * 50, np.float32)))


def test_the_norm_does_not_depend_on_the_number_of_threads(monkeypatch):
    monkeypatch.setattr(optimizers, "PER_CHUNK", 1)
    x = np.random.default_rng(0).standard_normal(2 * optimizers.BLOCK).astype(np.float32)
    many = squared_norm(x)
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        assert squared_norm(x) == many
    finally:
        numba.set_num_threads(threads)


def test_scale(dtype):
    x = np.array([1, -2, np.inf, np.nan], dtype)
    scale_(x, 0.3)
    np.testing.assert_array_equal(x, np.array([1, -2, np.inf, np.nan], dtype) * dtype(0.3))
