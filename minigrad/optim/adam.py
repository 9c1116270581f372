"""Adam, and AdamW, which decays the weights apart from the gradient."""

from __future__ import annotations

from .. import kernels
from ..errors import UsageError
from .optimizer import Optimizer, require_not_negative


class Adam(Optimizer):
    """Adam: steps of about ``lr`` in every coordinate, whatever the gradient's scale (Kingma and Ba, ICLR 2015, algorithm 1).

    With ``g = grad + weight_decay * p`` and ``t`` the number of the step::

        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g^2
        p -= lr * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)

    Args:
        params: tensors or parameter groups, see :class:`Optimizer`.
        lr: the learning rate.
        betas: how much of the running means of gradient and squared gradient to keep.
        eps: keeps the denominator away from 0.
        weight_decay: an L2 penalty's factor.
        amsgrad: divide by the largest ``v`` so far (Reddi, Kale and Kumar, ICLR 2018).
        maximize: ascend instead.

    Raises:
        UsageError: an option outside its rule.
    """

    decoupled = False

    def __init__(
        self,
        params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ):
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def check(self, options):
        require_not_negative(options, "lr", "eps", "weight_decay")
        betas = options["betas"]
        if not isinstance(betas, (tuple, list)) or len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
            raise UsageError(f"betas are two numbers from 0 to below 1: got {betas!r}")

    def slots(self, group):
        slots = {"step": 0, "exp_avg": 0.0, "exp_avg_sq": 0.0}
        return {**slots, "max_exp_avg_sq": 0.0} if group["amsgrad"] else slots

    def update(self, param, grad, state, group, fresh):
        state["step"] += 1
        beta1, beta2 = group["betas"]
        kernels.optimizers.adam(
            param,
            grad,
            state["exp_avg"].reshape(-1),
            state["exp_avg_sq"].reshape(-1),
            state["max_exp_avg_sq"].reshape(-1) if group["amsgrad"] else None,
            state["step"],
            group["lr"],
            beta1,
            beta2,
            group["eps"],
            group["weight_decay"],
            self.decoupled,
        )


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter, ICLR 2019, algorithm 2): ``g = grad``, and each step begins with
    ``p *= 1 - lr * weight_decay``. Arguments as for :class:`Adam`, except for the decay's default."""

    decoupled = True

    def __init__(
        self,
        params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ):
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)
