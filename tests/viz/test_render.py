"""Rendering: with the program, with the wheel, with neither."""

import re
import sys
import xml.dom.minidom

import pytest

from minigrad.viz import render as module
from minigrad.viz.render import NoRenderer, RenderError, TooSlow, render, renderers

SOURCE = 'digraph { graph [label=<<B>é</B> x<SUB>i</SUB>>] a -> b [label=<&#160;8×20>] a [tooltip="x&#10;y"] }'
MAGIC = {"svg": b"<svg", "png": b"\x89PNG", "pdf": b"%PDF"}


@pytest.mark.parametrize("kind", MAGIC)
def test_formats(renderer, kind):
    assert [*renderers()] == [renderer]
    assert render(SOURCE, kind).startswith(MAGIC[kind])


def test_svg_is_whole(renderer):
    svg = render(SOURCE, "svg").decode()
    element = xml.dom.minidom.parseString(svg).documentElement
    width, height = (float(re.match(r"([\d.]+)pt", element.getAttribute(side))[1]) for side in ("width", "height"))
    box = [float(x) for x in element.getAttribute("viewBox").split()]
    assert box[2] == pytest.approx(width, abs=1) and box[3] == pytest.approx(height, abs=1) and min(width, height) > 20
    assert "max-width:100%" in element.getAttribute("style") and "é" in svg and "8×20" in svg


def test_nothing_here(no_graphviz):
    with pytest.raises(NoRenderer, match=r"needs Graphviz.*pip install 'minigrad\[viz\]'"):
        render(SOURCE, "svg")


def test_a_layout_that_does_not_end(monkeypatch):
    sleeper = [sys.executable, "-c", "import time; time.sleep(60)"]
    monkeypatch.setattr(module, "renderers", lambda dpi: {"sleeper": lambda kind: sleeper})
    with pytest.raises(TooSlow, match=r"within 0\.2 seconds"):
        render(SOURCE, "svg", limit=0.2)


def test_what_graphviz_says_is_passed_on(renderer):
    with pytest.raises(RenderError, match=f"could not draw this graph .{renderer}: .*"):
        render("digraph { a -> ", "svg")


def test_the_second_way_is_tried_where_the_first_fails(monkeypatch):
    broken = [sys.executable, "-c", "raise SystemExit('no such format')"]
    works = [sys.executable, "-c", "print('<svg ></svg>')"]
    monkeypatch.setattr(module, "renderers", lambda dpi: {"a": lambda kind: broken, "b": lambda kind: works})
    assert render(SOURCE, "svg").startswith(b"<svg ")
    monkeypatch.setattr(module, "renderers", lambda dpi: {"a": lambda kind: broken, "b": lambda kind: ["/no/such/program"]})
    with pytest.raises(RenderError, match="a: no such format; b: No such file"):
        render(SOURCE, "svg")
