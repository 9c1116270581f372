"""Stochastic gradient descent."""

from __future__ import annotations

from .. import kernels
from ..errors import UsageError
from .optimizer import Optimizer, require_not_negative


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum if wanted.

    With ``g = grad + weight_decay * p`` and ``b = momentum * b + (1 - dampening) * g``, where the first ``b`` is ``g``::

        p -= lr * g                      without momentum
        p -= lr * b                      with momentum
        p -= lr * (g + momentum * b)     nesterov

    Args:
        params: tensors or parameter groups, see :class:`Optimizer`.
        lr: the learning rate.
        momentum: how much of the last direction to keep.
        dampening: how much of a new gradient to leave out of the direction.
        weight_decay: an L2 penalty's factor.
        nesterov: look ahead by one momentum step (Sutskever et al., ICML 2013); needs momentum and no dampening.
        maximize: ascend instead.

    Raises:
        UsageError: an option outside its rule.
    """

    def __init__(
        self,
        params,
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ):
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def check(self, options):
        require_not_negative(options, "lr", "momentum", "weight_decay")
        momentum, dampening = options["momentum"], options["dampening"]
        if options["nesterov"] and (momentum == 0 or dampening != 0):
            raise UsageError(f"nesterov needs a momentum above 0 and no dampening: got {momentum} and {dampening}")

    def slots(self, group):
        return {"momentum_buffer": 0.0} if group["momentum"] else {}

    def update(self, param, grad, state, group, fresh):
        momentum = group["momentum"]
        buffer = state["momentum_buffer"].reshape(-1) if momentum else None
        kernels.optimizers.sgd(
            param, grad, buffer, group["lr"], momentum, group["dampening"], group["weight_decay"], group["nesterov"], fresh
        )
