"""What the tests of pictures share."""

import importlib.util
import shutil

import pytest

HAS_DOT = shutil.which("dot") is not None
HAS_WHEEL = importlib.util.find_spec("pygraphviz") is not None


@pytest.fixture
def graphviz():
    """Skip where nothing can lay a graph out."""
    if not (HAS_DOT or HAS_WHEEL):
        pytest.skip("neither the program dot nor the package pygraphviz is here")


@pytest.fixture(params=["dot", "pygraphviz"])
def renderer(request, monkeypatch):
    """Each of the ways to draw, with the other one gone."""
    if request.param == "dot":
        if not HAS_DOT:
            pytest.skip("the program dot is not here")
        monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None)
    else:
        if not HAS_WHEEL:
            pytest.skip("the package pygraphviz is not here")
        monkeypatch.setenv("PATH", "")
    return request.param


@pytest.fixture
def no_graphviz(monkeypatch):
    """A machine without Graphviz."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None)
