"""The garbage collector passes over a large graph once, and still finds every cycle it is asked for."""

import gc
import weakref

import pytest

import minigrad as mg
from minigrad import collector

MANY = 12_000  # operations; more than the collector is spared


@pytest.fixture
def watch():
    """The package's watch, with nothing set aside before and after."""
    collector.watch.thaw()
    yield collector.watch
    collector.watch.thaw()
    assert gc.get_freeze_count() == 0


class Cycle:
    def __init__(self):
        self.me = self


def long_graph():
    """Made without a pass of the collector, which would begin to count anew."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        y = mg.tensor(1.0, requires_grad=True)
        for _ in range(MANY):
            y = y + 1.0
        return y
    finally:
        if enabled:
            gc.enable()


def full_pass_as_the_collector_makes_it(watch):
    """What the collector does of its own accord when a full pass is due, whenever that may be."""
    enabled, threshold = gc.isenabled(), gc.get_threshold()
    passes = watch.passes
    try:
        gc.enable()
        gc.set_threshold(1, 0, 0)
        keep = []
        while watch.passes == passes:
            keep.append([])
    finally:
        gc.set_threshold(*threshold)
        if not enabled:
            gc.disable()


def test_a_large_graph_is_set_aside_and_comes_back(watch):
    y = long_graph()
    full_pass_as_the_collector_makes_it(watch)
    assert watch.frozen and gc.get_freeze_count() > MANY
    y.backward()
    del y
    full_pass_as_the_collector_makes_it(watch)  # hardly anything was recorded since
    assert not watch.frozen and gc.get_freeze_count() == 0


def test_a_called_for_pass_finds_cycles_among_what_was_set_aside(watch):
    cycle = Cycle()
    gone = weakref.ref(cycle)
    y = long_graph()
    full_pass_as_the_collector_makes_it(watch)
    assert watch.frozen
    del cycle
    more = long_graph()  # so that the pass is not one before which hardly anything was recorded
    gc.collect()
    assert gone() is None
    del y, more


def test_every_tenth_pass_looks_at_everything(watch):
    cycle = Cycle()
    gone = weakref.ref(cycle)
    y = long_graph()
    full_pass_as_the_collector_makes_it(watch)
    del cycle
    for _ in range(collector._ALL_EVERY):
        assert watch.frozen
        y = long_graph()
        full_pass_as_the_collector_makes_it(watch)
        if gone() is None:
            break
    assert gone() is None
    del y


def test_small_graphs_and_other_peoples_choice_are_left_alone(watch):
    full_pass_as_the_collector_makes_it(watch)
    assert not watch.frozen
    gc.freeze()
    try:
        before = gc.get_freeze_count()
        y = long_graph()
        full_pass_as_the_collector_makes_it(watch)
        assert not watch.frozen and abs(gc.get_freeze_count() - before) < 1000
        del y
    finally:
        gc.unfreeze()
