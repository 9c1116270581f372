"""How the learning rate goes over a training: up while it warms up, then as the schedule's name says."""

from __future__ import annotations

import math
from collections.abc import Callable

NAMES = ("inverse-sqrt", "linear", "cosine", "constant")


def factor(name: str, warmup: int, steps: int) -> Callable[[int], float]:
    """What the learning rate of each step, from 0, is multiplied by; for ``LambdaLR``.

    Args:
        name: one of ``NAMES``: "inverse-sqrt" falls by the root of the step (Vaswani et al. 2017, section 5.3), "linear" to a
            fiftieth at the last step, "cosine" to 0 by half a wave, "constant" not at all.
        warmup: steps until the learning rate is reached.
        steps: of the whole training.
    """

    def at(step: int) -> float:
        rising = (step + 1) / warmup
        left = max(steps - step, 1) / max(steps - warmup, 1)
        falling = {
            "inverse-sqrt": math.sqrt(warmup / (step + 1)),
            "linear": max(left, 0.02),
            "cosine": 0.5 - 0.5 * math.cos(math.pi * min(left, 1.0)),
            "constant": 1.0,
        }[name]
        return min(rising, falling) if step < warmup else falling

    return at
