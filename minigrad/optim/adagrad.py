"""Adagrad."""

from __future__ import annotations

from .. import kernels
from .optimizer import Optimizer, require_not_negative


class Adagrad(Optimizer):
    """Adagrad: the more a coordinate has moved, the smaller its steps (Duchi, Hazan and Singer, JMLR 2011).

    With ``g = grad + weight_decay * p`` and ``t`` the number of the step::

        s += g^2
        p -= lr / (1 + (t - 1) * lr_decay) * g / (sqrt(s) + eps)

    Args:
        params: tensors or parameter groups, see :class:`Optimizer`.
        lr: the learning rate.
        lr_decay: how fast the learning rate falls.
        weight_decay: an L2 penalty's factor.
        initial_accumulator_value: ``s`` before the first step.
        eps: keeps the denominator away from 0.
        maximize: ascend instead.

    Raises:
        UsageError: an option outside its rule.
    """

    def __init__(
        self,
        params,
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
    ):
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "eps": eps,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def check(self, options):
        require_not_negative(options, "lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps")

    def slots(self, group):
        return {"step": 0, "sum": float(group["initial_accumulator_value"])}

    def update(self, param, grad, state, group, fresh):
        state["step"] += 1
        kernels.optimizers.adagrad(
            param,
            grad,
            state["sum"].reshape(-1),
            state["step"],
            group["lr"],
            group["lr_decay"],
            group["weight_decay"],
            group["eps"],
        )
