"""The losses of nn.functional: against PyTorch, finite differences, closed forms, and bad input."""

import numpy as np
import pytest

import minigrad as mg
import minigrad.nn.functional as F
from minigrad.errors import DimensionError, DTypeError, ShapeError, UsageError
from minigrad.gradcheck import gradcheck, gradgradcheck

TOLERANCE = {"float32": {"rtol": 2e-5, "atol": 2e-6}, "float64": {"rtol": 1e-11, "atol": 1e-13}}
REDUCTIONS = ["mean", "sum", "none"]


def normal(*shape, dtype="float64", seed=1):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def share(*shape, dtype="float64", seed=2):
    """Numbers between 0 and 1, with both ends among them."""
    values = np.random.default_rng(seed).random(shape)
    values.reshape(-1)[:2] = 0, 1
    return values.astype(dtype)


def like_torch(name, inputs, constants, options, dtype, rtol=0.0):
    """Value and gradients are those of torch; ``constants`` are tensors that get no gradient."""
    torch = pytest.importorskip("torch")
    ours = [mg.tensor(a, requires_grad=True) for a in inputs]
    theirs = [torch.tensor(a, requires_grad=True) for a in inputs]
    out = getattr(F, name)(*ours, **{k: mg.tensor(v) for k, v in constants.items()}, **options)
    expected = getattr(torch.nn.functional, name)(*theirs, **{k: torch.tensor(v) for k, v in constants.items()}, **options)
    np.testing.assert_allclose(out.numpy(), expected.detach().numpy(), **TOLERANCE[dtype])
    assert out.dtype == dtype
    g = normal(*expected.shape, dtype=dtype, seed=2)
    out.backward(mg.tensor(g))
    expected.backward(torch.tensor(g))
    for a, b in zip(ours, theirs):
        tolerance = TOLERANCE[dtype]
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), max(rtol, tolerance["rtol"]), tolerance["atol"])


@pytest.mark.filterwarnings("ignore:reduction:UserWarning")  # torch advises against the mean of kl_div
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(
    "name, options",
    [
        ("mse_loss", {}),
        ("l1_loss", {}),
        ("huber_loss", {}),
        ("huber_loss", {"delta": 0.3}),
        ("smooth_l1_loss", {}),
        ("smooth_l1_loss", {"beta": 0.4}),
        ("smooth_l1_loss", {"beta": 0.0}),
        ("kl_div", {"log_target": True}),
    ],
)
def test_regression_losses_match_torch(name, options, reduction, dtype):
    inputs = [normal(4, 3, dtype=dtype), normal(4, 3, dtype=dtype, seed=3)]
    like_torch(name, inputs, {}, {"reduction": reduction, **options}, dtype)


@pytest.mark.filterwarnings("ignore:reduction:UserWarning")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("reduction", [*REDUCTIONS, "batchmean"])
def test_kl_div_matches_torch(reduction, dtype):
    target = share(4, 3, dtype=dtype)
    like_torch("kl_div", [normal(4, 3, dtype=dtype)], {"target": target}, {"reduction": reduction}, dtype)


def test_kl_div_ends_where_the_target_is_nothing():
    x, y = mg.tensor([-np.inf, -1.0], requires_grad=True), mg.tensor([0.0, 1.0], requires_grad=True)
    loss = F.kl_div(x, y, reduction="sum")
    loss.backward()
    assert loss.item() == 1.0
    assert x.grad.tolist() == [0.0, -1.0]
    assert y.grad.tolist() == [0.0, 2.0]  # log y + 1 - x, and 0 where y is 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weighted", [False, True])
def test_binary_losses_match_torch(reduction, weighted, dtype):
    target = share(4, 3, dtype=dtype)
    weight = {"weight": share(4, 3, dtype=dtype, seed=4)} if weighted else {}
    ends = share(4, 3, dtype=dtype, seed=5)
    ends.reshape(-1)[:4] = 0, 1, 1, 0  # certainty, right and wrong
    # At the ends torch divides by 1e-12 rounded to float32, which is 1e-8 less than in float64.
    like_torch("binary_cross_entropy", [ends], {"target": target, **weight}, {"reduction": reduction}, dtype, rtol=1e-8)
    if weighted:
        weight["pos_weight"] = share(3, dtype=dtype, seed=6)
    logits = [5 * normal(4, 3, dtype=dtype), target]
    like_torch("binary_cross_entropy_with_logits", logits, weight, {"reduction": reduction}, dtype)


def test_binary_cross_entropy_of_large_logits_does_not_overflow():
    x = mg.tensor([1e4, -1e4, 1e4, -1e4], requires_grad=True)
    loss = F.binary_cross_entropy_with_logits(x, mg.tensor([1.0, 0.0, 0.0, 1.0]), reduction="none")
    loss.sum().backward()
    assert loss.tolist() == [0.0, 0.0, 1e4, 1e4]
    assert x.grad.tolist() == [0.0, 0.0, 1.0, -1.0]


@pytest.mark.parametrize(
    "function",
    [
        F.mse_loss,
        F.l1_loss,
        lambda x, y: F.huber_loss(x, y, delta=0.7),
        lambda x, y: F.smooth_l1_loss(x, y, beta=0.7),
        lambda x, y: F.kl_div(x, y.exp()),
        lambda x, y: F.binary_cross_entropy(x.sigmoid(), y.sigmoid()),
        lambda x, y: F.binary_cross_entropy_with_logits(x, y.sigmoid(), pos_weight=mg.tensor(3.0, dtype="float64")),
        lambda x, y: F.cross_entropy(x, F.softmax(y, 1), label_smoothing=0.1),
        lambda x, y: F.nll_loss(x * y, mg.tensor([0, 2, 1, 1])),
    ],
)
def test_finite_differences_confirm_first_and_second_derivatives(function):
    inputs = [mg.tensor(normal(4, 3, seed=i), requires_grad=True) for i in (1, 2)]
    assert gradcheck(function, inputs)
    assert gradgradcheck(lambda x, y: function(x * x * x, y), inputs)


def test_broadcasting_targets_are_met_with_a_warning():
    with pytest.warns(UserWarning, match=r"input of shape \(4, 1\) and a target of shape \(4,\)"):
        loss = F.mse_loss(mg.zeros(4, 1), mg.ones(4))
    assert loss.item() == 1.0


# -- cross-entropy ------------------------------------------------------------------------------------------------------

SHAPES = [((7, 5), (7,)), ((5,), ()), ((3, 5, 2, 4), (3, 2, 4))]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape, target_shape", SHAPES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_matches_torch(shape, target_shape, reduction, weighted, smoothing, dtype):
    target = np.random.default_rng(3).integers(1, 5, target_shape)
    if target.ndim:
        target.reshape(-1)[0] = 0  # ignored below
    constants = {"weight": share(5, dtype=dtype) + dtype_one(dtype)} if weighted else {}
    options = {"reduction": reduction, "ignore_index": 0}
    x = normal(*shape, dtype=dtype)
    like_torch("cross_entropy", [x], {"target": target, **constants}, {**options, "label_smoothing": smoothing}, dtype)
    if not smoothing:
        like_torch("nll_loss", [x], {"target": target, **constants}, options, dtype)


def dtype_one(dtype):
    return np.dtype(dtype).type(1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape, _", SHAPES)
def test_cross_entropy_against_a_distribution_matches_torch(shape, _, reduction, dtype):
    axis = 0 if len(shape) == 1 else 1
    target = F.softmax(mg.tensor(normal(*shape, dtype=dtype, seed=8)), axis).numpy()
    for constants, smoothing in (({}, 0.0), ({"weight": share(5, dtype=dtype)}, 0.2)):
        options = {"reduction": reduction, "label_smoothing": smoothing}
        like_torch("cross_entropy", [normal(*shape, dtype=dtype), target], constants, options, dtype)


@pytest.mark.parametrize("loss", [F.cross_entropy, lambda x, t: F.nll_loss(F.log_softmax(x, 1), t)])
def test_a_batch_whose_every_target_is_ignored_costs_nothing(loss):
    x = mg.tensor(normal(3, 4), requires_grad=True)
    value = loss(x, mg.tensor([-100, -100, -100]))
    value.backward()
    assert value.item() == 0.0
    assert x.grad.tolist() == mg.zeros(3, 4).tolist()


def test_ignored_rows_may_hold_anything():
    x = mg.tensor([[np.nan, np.inf, 0.0], [1.0, 2.0, 3.0]], requires_grad=True)
    value = F.cross_entropy(x, mg.tensor([-100, 2]))
    value.backward()
    assert value.item() == pytest.approx(np.log(np.exp([-2, -1, 0]).sum()), rel=1e-6)
    assert x.grad.tolist()[0] == [0.0, 0.0, 0.0]


def test_cross_entropy_keeps_the_digits_of_large_logits():
    x = mg.tensor([[1e4, 1e4 - 1, 1e4 - 2]])
    assert F.cross_entropy(x, mg.tensor([0])).item() == pytest.approx(np.log(1 + np.exp(-1) + np.exp(-2)), rel=1e-6)


def test_targets_of_any_integer_dtype_and_layout():
    x = mg.tensor(normal(4, 5))
    target = np.array([[1, 9], [4, 9], [0, 9], [2, 9]], np.int16)[:, 0]
    expected = F.cross_entropy(x, mg.tensor([1, 4, 0, 2]))
    assert F.cross_entropy(x, mg.tensor(target)).item() == expected.item()


@pytest.mark.parametrize("loss", [F.cross_entropy, F.nll_loss])
def test_targets_outside_the_classes_are_named(loss):
    for bad in (5, -1):
        with pytest.raises(DimensionError, match=f"targets from 0 to 4 for 5 classes, or ignore_index=-100: got {bad}; widen"):
            loss(mg.ones(3, 5), mg.tensor([0, bad, -100]))


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: F.cross_entropy(mg.ones(3, 5), mg.tensor([0, 1])), ShapeError, r"targets of shape \(3,\) .* got \(2,\)"),
        (lambda: F.cross_entropy(mg.ones(3, 5), mg.ones(3)), ShapeError, r"class probabilities, .* use .long\(\)"),
        (lambda: F.cross_entropy(mg.ones(3, 5), mg.tensor([True] * 3)), DTypeError, "integer targets here: got dtype bool"),
        (lambda: F.cross_entropy(mg.ones(3, 5), mg.tensor([0] * 3), mg.ones(4)), ShapeError, r"shape \(5,\): got \(4,\)"),
        (lambda: F.cross_entropy(mg.ones(3, 5), mg.tensor([0] * 3), label_smoothing=1.5), UsageError, "from 0 to 1: got 1.5"),
        (lambda: F.cross_entropy(mg.ones(3, 5), mg.tensor([0] * 3), reduction="avg"), UsageError, "'mean', 'sum': got 'avg'"),
        (lambda: F.cross_entropy(mg.tensor(1.0), mg.tensor(0)), ShapeError, "got a scalar"),
        (lambda: F.nll_loss(mg.ones(3, 5), mg.tensor([0, 1])), ShapeError, r"targets of shape \(3,\)"),
        (lambda: F.mse_loss(mg.ones(3), mg.ones(3), reduction="batchmean"), UsageError, "got 'batchmean'"),
        (lambda: F.huber_loss(mg.ones(3), mg.ones(3), delta=0.0), UsageError, "positive delta: got 0.0"),
        (lambda: F.smooth_l1_loss(mg.ones(3), mg.ones(3), beta=-1.0), UsageError, "from 0 upward: got -1.0"),
        (lambda: F.binary_cross_entropy(mg.ones(3), mg.ones(4)), ShapeError, r"one shape: got \(3,\) and \(4,\)"),
        (lambda: F.binary_cross_entropy(mg.tensor([1.5]), mg.ones(1)), UsageError, "from 0 to 1: got 1.5; apply sigmoid"),
        (lambda: F.binary_cross_entropy_with_logits(mg.ones(3), mg.ones(3, 1)), ShapeError, "one shape"),
    ],
)
def test_bad_input_is_explained(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "huber_loss", "smooth_l1_loss"])
def test_integer_targets_count_as_numbers(name):
    loss, x, target = getattr(F, name), mg.tensor([0.5, 2.0]), mg.tensor([1, 4])
    assert loss(x, target).item() == loss(x, target.float()).item()


@pytest.mark.parametrize("loss", [F.cross_entropy, F.nll_loss])
def test_what_follows_the_weight_comes_by_name(loss):
    """PyTorch has size_average there, which would be taken for the index to ignore."""
    with pytest.raises(TypeError, match="positional argument"):
        loss(mg.ones(2, 3), mg.tensor([0, 1]), None, None)


def test_targets_are_tensors():
    with pytest.raises(DTypeError, match="works on a tensor: got a str"):
        F.cross_entropy(mg.ones(2, 3), "a")
    with pytest.raises(DTypeError, match="works on a tensor: got a list"):
        F.mse_loss(mg.ones(2), [1.0, 2.0])
