"""Every optimizer with every combination of options walks as PyTorch's does; what all of them share is in test_optimizer.py."""

from itertools import product

import numpy as np
import pytest

import minigrad as mg
from minigrad import optim

STEPS = 20
SHAPES = [(3, 4), (5,), (), (2, 1, 3), (0, 2)]
OPTIONS = {
    "SGD": {"momentum": [0, 0.9], "dampening": [0, 0.3], "nesterov": [False, True]},
    "Adam": {"betas": [(0.9, 0.999), (0.7, 0.8)], "amsgrad": [False, True], "eps": [1e-8, 1e-2]},
    "AdamW": {"betas": [(0.9, 0.999), (0.7, 0.8)], "amsgrad": [False, True], "eps": [1e-8, 1e-2]},
    "Adagrad": {"lr_decay": [0, 0.1], "initial_accumulator_value": [0, 0.5], "eps": [1e-10, 1e-2]},
    "RMSprop": {"alpha": [0.99, 0.5], "momentum": [0, 0.9], "centered": [False, True]},
}
COMMON = {"weight_decay": [0, 0.1], "maximize": [False, True]}


def combinations():
    for name, own in OPTIONS.items():
        choices = {**own, **COMMON}
        for values in product(*choices.values()):
            options = dict(zip(choices, values))
            if not options.get("nesterov") or (options["momentum"] and not options["dampening"]):
                yield pytest.param(name, options, id=f"{name}-{'-'.join(map(str, values))}")


def draw(dtype):
    rng = np.random.default_rng(0)
    values = [rng.standard_normal(shape).astype(dtype) for shape in SHAPES]
    return values, [[rng.standard_normal(shape).astype(dtype) for shape in SHAPES] for _ in range(STEPS)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "options"), list(combinations()))
def test_trajectory(name, options, dtype):
    torch = pytest.importorskip("torch")
    values, gradients = draw(dtype)
    ours = [mg.tensor(v, requires_grad=True) for v in values]
    theirs = [torch.tensor(v, requires_grad=True) for v in values]
    optimizers = getattr(optim, name)(ours, lr=0.05, **options), getattr(torch.optim, name)(theirs, lr=0.05, **options)
    rtol, atol = (2e-5, 5e-6) if dtype == "float32" else (1e-11, 1e-12)
    for step in gradients:
        for p, q, g in zip(ours, theirs, step):
            p.grad, q.grad = mg.tensor(g), torch.tensor(g)
        for optimizer in optimizers:
            optimizer.step()
        for p, q in zip(ours, theirs):
            assert p.dtype == dtype
            np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol, atol)


@pytest.mark.parametrize("name", OPTIONS)
def test_defaults_are_those_of_torch(name):
    torch = pytest.importorskip("torch")
    theirs = getattr(torch.optim, name)([torch.zeros(1, requires_grad=True)]).defaults
    ours = getattr(optim, name)([mg.zeros(1, requires_grad=True)]).defaults
    assert ours == {option: theirs[option] for option in ours}


@pytest.mark.parametrize("name", OPTIONS)
def test_a_loss_falls(name):
    """The whole path, tape and optimizer: a line through points on a line."""
    x = mg.tensor(np.linspace(-1, 1, 32))
    slope, offset = mg.tensor(0.0, dtype=mg.float64, requires_grad=True), mg.tensor(0.0, dtype=mg.float64, requires_grad=True)
    optimizer = getattr(optim, name)([slope, offset], lr=0.1)
    losses = []
    for _ in range(100):
        optimizer.zero_grad()
        loss = ((slope * x + offset - (3 * x - 1)) ** 2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 3


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("SGD", {"lr": -1}),
        ("SGD", {"lr": float("nan")}),
        ("SGD", {"lr": "fast"}),
        ("SGD", {"momentum": -0.1}),
        ("SGD", {"weight_decay": -0.1}),
        ("SGD", {"nesterov": True}),
        ("SGD", {"nesterov": True, "momentum": 0.9, "dampening": 0.1}),
        ("Adam", {"betas": (1.0, 0.9)}),
        ("Adam", {"betas": (0.9, -0.1)}),
        ("Adam", {"betas": 0.9}),
        ("Adam", {"eps": -1}),
        ("AdamW", {"weight_decay": -1}),
        ("Adagrad", {"lr_decay": -1}),
        ("Adagrad", {"initial_accumulator_value": -1}),
        ("RMSprop", {"alpha": -1}),
        ("RMSprop", {"momentum": -1}),
    ],
    ids=str,
)
def test_options_outside_their_rules(name, options):
    with pytest.raises(mg.errors.UsageError, match=next(iter(options))):
        getattr(optim, name)([mg.zeros(1, requires_grad=True)], **options)
