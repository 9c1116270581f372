"""Schedules against PyTorch's where it has them, against their closed forms elsewhere."""

import json
import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import optim
from minigrad.errors import DTypeError, StateError, UsageError
from minigrad.optim import lr_scheduler

STEPS = 100
RATES = [0.5, 0.03]


def groups(library):
    return [{"params": [library.zeros(1, requires_grad=True)], "lr": lr} for lr in RATES]


def optimizer():
    return optim.SGD(groups(mg), lr=1.0)


def rates(schedule, steps=STEPS, metrics=None):
    """The learning rates of the groups at each of the first ``steps`` updates."""
    seen = []
    for i in range(steps):
        seen.append([group["lr"] for group in schedule.optimizer.param_groups])
        assert schedule.get_last_lr() == seen[-1]
        schedule.optimizer.step()
        schedule.step(*([] if metrics is None else [metrics[i]]))
    return np.array(seen)


def plateau_metrics():
    rng = np.random.default_rng(3)
    return [float(x) for x in np.repeat([3.0, 2.0, 1.5, 1.5, 1.49999], 20) + 0.01 * rng.standard_normal(STEPS)]


IN_TORCH = [
    ("StepLR", {"step_size": 7}),
    ("StepLR", {"step_size": 1, "gamma": 0.97}),
    ("MultiStepLR", {"milestones": [30, 10, 30, 80], "gamma": 0.5}),
    ("ExponentialLR", {"gamma": 0.95}),
    ("LambdaLR", {"lr_lambda": lambda epoch: 0.95**epoch}),
    ("LambdaLR", {"lr_lambda": [lambda epoch: 1 / (1 + epoch), lambda epoch: epoch * 0.1]}),
    ("CosineAnnealingLR", {"T_max": 99}),
    ("CosineAnnealingLR", {"T_max": 9, "eta_min": 0.001}),
    ("CosineAnnealingLR", {"T_max": 1}),
]
PLATEAU = [
    {"patience": 3},
    {"patience": 2, "mode": "max", "factor": 0.5},
    {"patience": 2, "threshold": 0.01, "threshold_mode": "abs", "cooldown": 4},
    {"patience": 0, "min_lr": [0.1, 0.001], "factor": 0.7, "mode": "max", "threshold_mode": "abs"},
    {"patience": 0, "min_lr": 1e-3, "eps": 0.01},
]


@pytest.mark.parametrize(("name", "options"), IN_TORCH)
def test_as_torch(name, options):
    torch = pytest.importorskip("torch")
    theirs = getattr(torch.optim.lr_scheduler, name)(torch.optim.SGD(groups(torch)), **options)
    ours = getattr(lr_scheduler, name)(optimizer(), **options)
    np.testing.assert_allclose(rates(ours), rates(theirs), rtol=1e-12, atol=1e-17)


@pytest.mark.parametrize("options", PLATEAU)
def test_plateau_as_torch(options):
    torch = pytest.importorskip("torch")
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(torch.optim.SGD(groups(torch)), **options)
    ours = lr_scheduler.ReduceLROnPlateau(optimizer(), **options)
    metrics = plateau_metrics()
    metrics[50] = math.nan
    np.testing.assert_array_equal(rates(ours, metrics=metrics), rates(theirs, metrics=metrics))


def test_plateau_takes_a_tensor():
    schedule = lr_scheduler.ReduceLROnPlateau(optimizer(), patience=0)
    schedule.step(mg.tensor(1.0))
    schedule.step(mg.tensor(1.0))
    assert schedule.get_last_lr() == pytest.approx([0.05, 0.003])


@pytest.mark.parametrize("start", [0.25, 1.0])
def test_constant_warmup_as_linear_lr_of_torch(start):
    torch = pytest.importorskip("torch")
    theirs = torch.optim.lr_scheduler.LinearLR(torch.optim.SGD(groups(torch)), start_factor=start, total_iters=30)
    ours = lr_scheduler.LinearWarmup(optimizer(), 30, start_factor=start)
    np.testing.assert_allclose(rates(ours), rates(theirs), rtol=1e-12)


def test_linear_warmup_and_decay():
    step = np.arange(STEPS)
    factor = np.where(step < 20, step / 20, np.maximum(0, (80 - step) / 60))
    found = rates(lr_scheduler.LinearWarmup(optimizer(), 20, 80))
    np.testing.assert_allclose(found, factor[:, None] * RATES, rtol=1e-12)
    assert rates(lr_scheduler.LinearWarmup(optimizer(), 0, 80), 1).tolist() == [RATES]


def test_inverse_square_root():
    step = np.arange(STEPS)[:, None]
    base, start = np.array(RATES), 0.001
    expected = np.where(step < 25, start + (base - start) * step / 25, base * np.sqrt(25 / np.maximum(step, 1)))
    np.testing.assert_allclose(rates(lr_scheduler.InverseSquareRootLR(optimizer(), 25, start)), expected, rtol=1e-12)


def test_noam():
    step = np.arange(1, STEPS + 1)
    expected = 2 * 512**-0.5 * np.minimum(step**-0.5, step * 40**-1.5)
    found = rates(lr_scheduler.NoamLR(optimizer(), 512, 40, factor=2))
    np.testing.assert_allclose(found, np.stack([expected, expected], 1), rtol=1e-12)
    assert found[:, 0].argmax() == 39  # the peak is at update number `warmup`


def chain(library, make):
    schedules = [library.StepLR(make, 5, 0.5), library.ExponentialLR(make, 0.99), library.CosineAnnealingLR(make, 40)]
    seen = []
    for _ in range(STEPS):
        make.step()
        for schedule in schedules:
            schedule.step()
        seen.append([group["lr"] for group in make.param_groups])
    return np.array(seen)


def test_schedules_combine_as_in_torch():
    torch = pytest.importorskip("torch")
    theirs = chain(torch.optim.lr_scheduler, torch.optim.SGD(groups(torch)))
    np.testing.assert_allclose(chain(lr_scheduler, optimizer()), theirs, rtol=1e-10, atol=1e-17)


EVERY = [
    *[(name, options) for name, options in IN_TORCH],
    ("ReduceLROnPlateau", PLATEAU[2]),
    ("LinearWarmup", {"warmup": 20, "total": 80}),
    ("InverseSquareRootLR", {"warmup": 25}),
    ("NoamLR", {"d_model": 64, "warmup": 10}),
]


@pytest.mark.parametrize(("name", "options"), EVERY)
def test_resume_is_exact(name, options):
    """Schedule and optimizer saved half-way (through JSON) and loaded into new ones."""
    kind = getattr(lr_scheduler, name)
    metrics = plateau_metrics() if name == "ReduceLROnPlateau" else None
    through = rates(kind(optimizer(), **options), metrics=metrics)
    first = kind(optimizer(), **options)
    rates(first, 37, metrics)
    saved = json.loads(json.dumps([first.optimizer.state_dict(), first.state_dict()]))
    second = kind(optimizer(), **options)
    second.optimizer.load_state_dict(saved[0])
    second.load_state_dict(saved[1])
    assert second.last_epoch == first.last_epoch == 37
    assert np.array_equal(rates(second, STEPS - 37, metrics and metrics[37:]), through[37:])


@pytest.mark.parametrize(("name", "options"), [pair for pair in IN_TORCH if pair[1].get("step_size") != 1])
def test_last_epoch_as_in_torch(name, options):
    """Continuing without the schedule's state, from the optimizer's alone.

    One case is left out: if the epoch to come is a multiple of StepLR's step_size, PyTorch multiplies once too often.
    """
    torch = pytest.importorskip("torch")

    def continued(library, make):
        kind = getattr(library, name)
        first = kind(make(), **options)
        rates(first, 12)
        second = make()
        second.load_state_dict(first.optimizer.state_dict())
        return rates(kind(second, **options, last_epoch=first.last_epoch), 30)

    theirs = continued(torch.optim.lr_scheduler, lambda: torch.optim.SGD(groups(torch)))
    np.testing.assert_allclose(continued(lr_scheduler, optimizer), theirs, rtol=1e-12, atol=1e-17)


class TestErrors:
    def test_continuing_needs_the_initial_rates(self):
        with pytest.raises(StateError, match="initial_lr: group 0 has none"):
            lr_scheduler.StepLR(optimizer(), 5, last_epoch=3)

    def test_no_optimizer(self):
        with pytest.raises(DTypeError, match="needs an optimizer"):
            lr_scheduler.StepLR("adam", 5)  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("name", "options"),
        [
            ("StepLR", {"step_size": 0}),
            ("CosineAnnealingLR", {"T_max": 0}),
            ("LambdaLR", {"lr_lambda": [abs]}),
            ("LinearWarmup", {"warmup": -1}),
            ("LinearWarmup", {"warmup": 10, "total": 10}),
            ("LinearWarmup", {"warmup": 10, "start_factor": 2}),
            ("InverseSquareRootLR", {"warmup": 0}),
            ("NoamLR", {"d_model": 0}),
            ("NoamLR", {"d_model": 8, "warmup": 0}),
            ("ReduceLROnPlateau", {"mode": "up"}),
            ("ReduceLROnPlateau", {"factor": 1.0}),
            ("ReduceLROnPlateau", {"threshold_mode": "percent"}),
            ("ReduceLROnPlateau", {"min_lr": [0.1]}),
        ],
    )
    def test_arguments(self, name, options):
        with pytest.raises(UsageError):
            getattr(lr_scheduler, name)(optimizer(), **options)

    def test_plateau_without_a_metric(self):
        with pytest.raises(UsageError, match="takes the epoch's metric"):
            lr_scheduler.ReduceLROnPlateau(optimizer()).step()

    def test_a_group_added_later(self):
        schedule = lr_scheduler.NoamLR(optimizer(), 8)
        schedule.optimizer.add_param_group({"params": mg.zeros(1)})
        with pytest.raises(UsageError, match="2 learning rates for 3 groups"):
            schedule.step()

    def test_a_state_of_another_kind(self):
        with pytest.raises(StateError, match=r"missing \['d_model'.*unexpected \['gamma'"):
            lr_scheduler.NoamLR(optimizer(), 8).load_state_dict(lr_scheduler.ExponentialLR(optimizer(), 0.9).state_dict())

    def test_a_state_for_other_groups(self):
        single = lr_scheduler.ExponentialLR(optim.SGD([mg.zeros(1)]), 0.9)
        with pytest.raises(StateError, match="1 parameter groups, the optimizer has 2"):
            lr_scheduler.ExponentialLR(optimizer(), 0.9).load_state_dict(single.state_dict())
