"""The course of the learning rate."""

import math

import numpy as np
import pytest

from minigrad.training import schedules


@pytest.mark.parametrize("name", schedules.NAMES)
def test_every_schedule_warms_up_to_1_and_never_rises_after(name):
    factors = [schedules.factor(name, 10, 100)(step) for step in range(100)]
    assert factors[0] == pytest.approx(0.1) and factors[9] == pytest.approx(1.0)
    steps = np.diff(factors)
    assert (steps[:9] > 0).all() and (steps[10:] <= 0).all() and factors[-1] > 0


def test_what_they_end_with():
    last = {name: schedules.factor(name, 10, 100)(99) for name in schedules.NAMES}
    assert last["linear"] == 0.02 and last["constant"] == 1.0
    assert last["inverse-sqrt"] == pytest.approx(math.sqrt(0.1))
    assert 0 < last["cosine"] < 0.001
