"""What every test can count on, and what it must leave as it found it."""

import hypothesis
import numpy as np
import pytest

import minigrad as mg
from minigrad.primitive import REGISTRY, state


@pytest.fixture
def rng():
    """A generator of its own for each test, always from the same seed."""
    return np.random.default_rng(20170612)


@pytest.fixture(autouse=True)
def _same_random_numbers():
    mg.manual_seed(0)


@pytest.fixture(scope="session", autouse=True)
def _hypothesis_is_ready():
    """Its first example looks for its own generator among the objects of the garbage collector, and fails where these have been
    set aside (see minigrad/collector.py): let it be the first thing that happens."""
    hypothesis.given(hypothesis.strategies.none())(lambda nothing: None)()


@pytest.fixture(autouse=True)
def _switches_left_alone():
    """Fail a test that leaves the tape off, an observer behind, or NumPy's error handling changed."""
    before = state.recording, state.observers, np.geterr()
    yield
    after = state.recording, state.observers, np.geterr()
    state.recording, state.observers = before[:2]
    np.seterr(**before[2])
    assert after == before, "the test changed grad mode, observers or numpy.errstate and did not put them back"


@pytest.fixture
def own_primitives():
    """Primitives that a test defines are gone afterwards, so that tests walking the registry do not meet them."""
    before = dict(REGISTRY)
    yield
    REGISTRY.clear()
    REGISTRY.update(before)
