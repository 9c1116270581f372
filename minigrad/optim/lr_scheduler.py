"""Learning-rate schedules: they set ``group["lr"]`` of an optimizer's parameter groups as training goes on.

As in PyTorch, making a schedule sets the learning rate of the first update, and each ``step()``, called after
``optimizer.step()``, that of the next one. What ``step()`` counts, ``last_epoch``, may be epochs or updates, as the caller
likes; the warm-up schedules are meant to count updates.

Schedules of the first kind multiply the present learning rate, so that several of them on one optimizer combine: StepLR,
MultiStepLR, ExponentialLR, CosineAnnealingLR, ReduceLROnPlateau. Those of the second kind compute it from ``last_epoch``
and the initial learning rate alone: LambdaLR, LinearWarmup, InverseSquareRootLR, NoamLR.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..errors import DTypeError, StateError, UsageError
from .optimizer import Optimizer


class LRScheduler:
    """The base of schedules; a subclass defines :meth:`get_lr`.

    Args:
        optimizer: whose learning rates to set. Each group's present ``lr`` is kept as its ``initial_lr``.
        last_epoch: -1 to begin; to continue without a saved state, the index of the last epoch done. The groups must then have
            their ``initial_lr``, which an optimizer's ``state_dict`` includes.

    Raises:
        DTypeError: ``optimizer`` is none.
        StateError: continuing, a group has no ``initial_lr``.
    """

    starting = False  # True while the schedule is being made

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1):
        if not isinstance(optimizer, Optimizer):
            raise DTypeError(f"a schedule needs an optimizer of minigrad.optim: got a {type(optimizer).__name__}")
        self.optimizer = optimizer
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise StateError(
                    f"a schedule that continues from step {last_epoch} needs each group's initial_lr: group {i} has none; "
                    "load the optimizer's state first, or begin with last_epoch=-1"
                )
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._last_lr: list[float] = []
        self.starting = True
        self.step()
        del self.starting

    def get_lr(self) -> list[float]:
        """The learning rate of each group at ``last_epoch``; while ``starting``, a multiplying schedule leaves it as it is."""
        raise NotImplementedError(f"{type(self).__name__} does not define get_lr()")

    def get_last_lr(self) -> list[float]:
        """The learning rate of each group that the last ``step()`` set."""
        return self._last_lr

    def step(self) -> None:
        """Count one more epoch or update and set the learning rates; call it after ``optimizer.step()``."""
        self.last_epoch += 1
        values, groups = self.get_lr(), self.optimizer.param_groups
        if len(values) != len(groups):
            raise UsageError(
                f"a schedule sets the parameter groups it was made for: it has {len(values)} learning rates for {len(groups)} "
                "groups; add groups first, then make the schedule"
            )
        for group, lr in zip(groups, values):
            group["lr"] = lr
        self._last_lr = self._present()

    def _present(self) -> list[float]:
        return [group["lr"] for group in self.optimizer.param_groups]

    def _multiplied(self, factor: float) -> list[float]:
        """The present learning rates times ``factor``, which does not count while the schedule is being made."""
        return self._present() if self.starting else [lr * factor for lr in self._present()]

    def state_dict(self) -> dict[str, Any]:
        """The schedule's position and settings, without functions, which a file cannot hold."""
        return {key: value for key, value in vars(self).items() if key != "optimizer" and not _holds_functions(value)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from :meth:`state_dict`. The learning rates themselves come back with the optimizer's state.

        Raises:
            StateError: the state of another kind of schedule, or for another number of groups.
        """
        expected = self.state_dict()
        missing, unexpected = sorted(expected.keys() - state_dict.keys()), sorted(state_dict.keys() - expected.keys())
        if missing or unexpected:
            raise StateError(
                f"{type(self).__name__} loads the state of its own kind: missing {missing}, unexpected {unexpected}; "
                "make the schedule that the state was taken from"
            )
        groups = len(self.optimizer.param_groups)
        if len(state_dict["_last_lr"]) != groups:
            raise StateError(f"the state is for {len(state_dict['_last_lr'])} parameter groups, the optimizer has {groups}")
        vars(self).update({key: list(value) if isinstance(value, list) else value for key, value in state_dict.items()})


def _holds_functions(value) -> bool:
    return callable(value) or (isinstance(value, (list, tuple)) and any(map(callable, value)))


def _require(holds: bool, rule: str, got) -> None:
    if not holds:
        raise UsageError(f"{rule}: got {got!r}")


class StepLR(LRScheduler):
    """Multiplies the learning rate by ``gamma`` every ``step_size`` epochs."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1):
        _require(step_size > 0, "step_size is at least 1", step_size)
        self.step_size = step_size
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        return self._multiplied(1.0 if self.last_epoch % self.step_size else self.gamma)


class MultiStepLR(LRScheduler):
    """Multiplies the learning rate by ``gamma`` at each of ``milestones``, epochs in any order (n times if named n times)."""

    def __init__(self, optimizer: Optimizer, milestones, gamma: float = 0.1, last_epoch: int = -1):
        self.milestones = sorted(milestones)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        return self._multiplied(self.gamma ** self.milestones.count(self.last_epoch))


class ExponentialLR(LRScheduler):
    """Multiplies the learning rate by ``gamma`` every epoch."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1):
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        return self._multiplied(self.gamma)


class CosineAnnealingLR(LRScheduler):
    """Half a cosine wave from the initial learning rate to ``eta_min`` in ``T_max`` epochs, and back, and so on.

    ``lr = eta_min + (initial_lr - eta_min) * (1 + cos(pi * epoch / T_max)) / 2``, computed from the present learning rate as
    Loshchilov and Hutter, ICLR 2017, equation 5, without restarts.
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1):
        _require(T_max > 0, "T_max is at least 1", T_max)
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        if self.starting:
            return self._present()
        if (self.last_epoch - 1 - self.T_max) % (2 * self.T_max) == 0:  # leaving eta_min, whence no ratio leads away
            rise = (1 - math.cos(math.pi / self.T_max)) / 2
            return [lr + (base - self.eta_min) * rise for lr, base in zip(self._present(), self.base_lrs)]
        now, before = (1 + math.cos(math.pi * epoch / self.T_max) for epoch in (self.last_epoch, self.last_epoch - 1))
        return [now / before * (lr - self.eta_min) + self.eta_min for lr in self._present()]


class LambdaLR(LRScheduler):
    """``lr = initial_lr * lr_lambda(epoch)``.

    Args:
        lr_lambda: a function of the epoch, or one for each parameter group. ``state_dict`` leaves it out.
    """

    def __init__(self, optimizer: Optimizer, lr_lambda: Callable | list[Callable], last_epoch: int = -1):
        groups = len(optimizer.param_groups)
        self.lr_lambdas = list(lr_lambda) if isinstance(lr_lambda, (list, tuple)) else [lr_lambda] * groups
        _require(len(self.lr_lambdas) == groups, f"lr_lambda is one function, or {groups}, one a group", len(self.lr_lambdas))
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        return [base * function(self.last_epoch) for base, function in zip(self.base_lrs, self.lr_lambdas)]


class LinearWarmup(LRScheduler):
    """A straight line up to the initial learning rate, which then stays, or falls on another straight line to 0.

    ::

        lr = initial_lr * (start_factor + (1 - start_factor) * step / warmup)     up to step = warmup
        lr = initial_lr * (total - step) / (total - warmup)                       from there to step = total, if given

    Args:
        warmup: the number of updates until the full learning rate.
        total: the number of updates until 0; None to stay.
        start_factor: where to begin, as a fraction; with 0 the first update changes nothing but the optimizer's state.
    """

    def __init__(
        self, optimizer: Optimizer, warmup: int, total: int | None = None, start_factor: float = 0.0, last_epoch: int = -1
    ):
        _require(warmup >= 0, "warmup is a number of updates, at least 0", warmup)
        _require(total is None or total > warmup, f"total is None or more than warmup, {warmup}", total)
        _require(0 <= start_factor <= 1, "start_factor is a fraction from 0 to 1", start_factor)
        self.warmup = warmup
        self.total = total
        self.start_factor = start_factor
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        step = self.last_epoch
        if step < self.warmup:
            factor = self.start_factor + (1 - self.start_factor) * step / self.warmup
        elif self.total is None:
            factor = 1.0
        else:
            factor = max(0.0, (self.total - step) / (self.total - self.warmup))
        return [base * factor for base in self.base_lrs]


class InverseSquareRootLR(LRScheduler):
    """A straight line up to the initial learning rate, which then falls with the square root of the number of updates.

    ::

        lr = warmup_init_lr + (initial_lr - warmup_init_lr) * step / warmup     up to step = warmup
        lr = initial_lr * sqrt(warmup / step)                                   from there on

    The shape of :class:`NoamLR`, with the peak as the setting, as fairseq's ``inverse_sqrt`` has it.

    Args:
        warmup: the number of updates until the full learning rate.
        warmup_init_lr: the learning rate of the first update.
    """

    def __init__(self, optimizer: Optimizer, warmup: int, warmup_init_lr: float = 0.0, last_epoch: int = -1):
        _require(warmup > 0, "warmup is a number of updates, at least 1", warmup)
        self.warmup = warmup
        self.warmup_init_lr = warmup_init_lr
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        step, start = self.last_epoch, self.warmup_init_lr
        if step < self.warmup:
            return [start + (base - start) * step / self.warmup for base in self.base_lrs]
        return [base * math.sqrt(self.warmup / step) for base in self.base_lrs]


class NoamLR(LRScheduler):
    """``lr = factor * d_model^-0.5 * min(step^-0.5, step * warmup^-1.5)`` for update number ``step`` = 1, 2, ...

    The same for every group, whatever its initial learning rate. Source: Vaswani et al. 2017, section 5.3, equation 3, where
    ``factor`` is 1.

    Args:
        d_model: the model's width.
        warmup: the number of updates during which the learning rate rises.
        factor: multiplies all.
    """

    def __init__(self, optimizer: Optimizer, d_model: int, warmup: int = 4000, factor: float = 1.0, last_epoch: int = -1):
        _require(d_model > 0, "d_model is at least 1", d_model)
        _require(warmup > 0, "warmup is a number of updates, at least 1", warmup)
        self.d_model = d_model
        self.warmup = warmup
        self.factor = factor
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        step = self.last_epoch + 1
        lr = self.factor * self.d_model**-0.5 * min(step**-0.5, step * self.warmup**-1.5)
        return [lr] * len(self.base_lrs)


class ReduceLROnPlateau(LRScheduler):
    """Multiplies the learning rate by ``factor`` when a metric has not improved for more than ``patience`` epochs.

    Args:
        mode: "min" if the metric, such as a loss, should fall; "max" if it should rise.
        factor: below 1.
        patience: how many epochs without improvement to bear.
        threshold: by how much a new best must beat the old: "rel", a fraction of the old, or "abs", a difference.
        threshold_mode: "rel" or "abs".
        cooldown: after a reduction, how many epochs pass before bad ones count again.
        min_lr: a lower bound, or a list of them, one for each group.
        eps: smaller changes of the learning rate are not made.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | list[float] = 0,
        eps: float = 1e-8,
    ):
        _require(mode in ("min", "max"), 'mode is "min" or "max"', mode)
        _require(threshold_mode in ("rel", "abs"), 'threshold_mode is "rel" or "abs"', threshold_mode)
        _require(factor < 1, "factor is below 1", factor)
        self.mode = mode
        self.factor = factor
        self.patience = patience
        self.threshold = threshold
        self.threshold_mode = threshold_mode
        self.cooldown = cooldown
        self.eps = eps
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = 0
        self.cooldown_counter = 0
        super().__init__(optimizer)
        groups = len(optimizer.param_groups)
        self.min_lrs = list(min_lr) if isinstance(min_lr, (list, tuple)) else [min_lr] * groups
        _require(len(self.min_lrs) == groups, f"min_lr is one number, or {groups}, one a group", self.min_lrs)

    def get_lr(self):
        return self._present()

    def step(self, metrics=None) -> None:
        """Count one more epoch, whose metric was ``metrics``: a number or a tensor of one element."""
        if self.starting:
            return super().step()
        if metrics is None:
            raise UsageError("ReduceLROnPlateau.step() takes the epoch's metric: got none; pass the validation loss")
        value = float(metrics)
        self.last_epoch += 1
        if self._improves(value):
            self.best = value
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0
        self._last_lr = self._present()

    def _improves(self, value: float) -> bool:
        sign = 1 if self.mode == "max" else -1
        if self.threshold_mode == "rel":
            bar = self.best * (1 + sign * self.threshold)
        else:
            bar = self.best + sign * self.threshold
        return sign * value > sign * bar

    def _reduce(self) -> None:
        for group, lowest in zip(self.optimizer.param_groups, self.min_lrs, strict=True):
            lr = max(group["lr"] * self.factor, lowest)
            if group["lr"] - lr > self.eps:
                group["lr"] = lr
