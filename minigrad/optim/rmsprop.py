"""RMSprop."""

from __future__ import annotations

from .. import kernels
from .optimizer import Optimizer, require_not_negative


class RMSprop(Optimizer):
    """RMSprop: gradients divided by their running root mean square (Hinton, Neural Networks for Machine Learning, lecture 6e).

    With ``g = grad + weight_decay * p``::

        s = alpha * s + (1 - alpha) * g^2
        a = alpha * a + (1 - alpha) * g                       centered (Graves, arXiv:1308.0850, section 4.2)
        d = g / (sqrt(s) + eps)         or, centered,         g / (sqrt(s - a^2) + eps)
        p -= lr * d                     or, with momentum,    b = momentum * b + d;  p -= lr * b

    Args:
        params: tensors or parameter groups, see :class:`Optimizer`.
        lr: the learning rate.
        alpha: how much of the running mean of squares to keep.
        eps: keeps the denominator away from 0.
        weight_decay: an L2 penalty's factor.
        momentum: how much of the last direction to keep.
        centered: divide by the running standard deviation instead.
        maximize: ascend instead.

    Raises:
        UsageError: an option outside its rule.
    """

    def __init__(
        self,
        params,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ):
        defaults = {
            "lr": lr,
            "alpha": alpha,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "centered": centered,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def check(self, options):
        require_not_negative(options, "lr", "alpha", "eps", "weight_decay", "momentum")

    def slots(self, group):
        slots = {"step": 0, "square_avg": 0.0}
        if group["momentum"]:
            slots["momentum_buffer"] = 0.0
        if group["centered"]:
            slots["grad_avg"] = 0.0
        return slots

    def update(self, param, grad, state, group, fresh):
        state["step"] += 1  # the formula does not need it; PyTorch's states have it
        kernels.optimizers.rmsprop(
            param,
            grad,
            state["square_avg"].reshape(-1),
            state["grad_avg"].reshape(-1) if group["centered"] else None,
            state["momentum_buffer"].reshape(-1) if group["momentum"] else None,
            group["lr"],
            group["alpha"],
            group["eps"],
            group["weight_decay"],
            group["momentum"],
        )
