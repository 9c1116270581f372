"""DOT text as a picture, by whatever Graphviz there is: the program ``dot``, or the libraries inside the ``pygraphviz`` wheel.

Both run in a process of their own, which is ended when it takes too long: the layout of a large graph can take forever.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable

from ..errors import MinigradError

FORMATS = ("svg", "png", "pdf")
LIMIT = 20.0  # seconds
ADVICE = "pip install 'minigrad[viz]' brings Graphviz along (or install the program dot from graphviz.org)"

_DPI = 144  # of PNG: sharp on today's screens
_LARGE, _LARGE_DPI = 200_000, 80  # characters of a source whose picture would have too many pixels otherwise
_CHILD = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); import pygraphviz; "
    "graph = pygraphviz.AGraph(string=sys.stdin.buffer.read().decode()); "
    "sys.stdout.buffer.write(graph.draw(format=sys.argv[2], prog='dot', args=sys.argv[3]))"
)


class NoRenderer(MinigradError, RuntimeError):
    """There is no Graphviz here; the message says how to get it."""


class TooSlow(MinigradError, TimeoutError):
    """The layout did not end in time."""


class RenderError(MinigradError, RuntimeError):
    """Graphviz could not draw the graph; the message has its own words."""


def renderers(dpi: int = _DPI) -> dict[str, Callable[[str], list[str]]]:
    """What can draw here, by name, the best first: each gives the command for a format."""
    found: dict[str, Callable[[str], list[str]]] = {}
    if (dot := shutil.which("dot")) is not None:
        found["dot"] = lambda kind: [dot, f"-T{kind}", *_options(kind, dpi)]
    if importlib.util.find_spec("pygraphviz") is not None:
        found["pygraphviz"] = lambda kind: [
            sys.executable, "-c", _CHILD, json.dumps(sys.path), kind, " ".join(_options(kind, dpi)),
        ]  # fmt: skip
    return found


def _options(kind: str, dpi: int) -> list[str]:
    return [f"-Gdpi={dpi}"] if kind == "png" else []


def render(source: str, kind: str, limit: float = LIMIT) -> bytes:
    """The picture that DOT text describes.

    Args:
        kind: "svg", "png" or "pdf".
        limit: seconds that the layout may take.

    Raises:
        NoRenderer: if there is no Graphviz.
        TooSlow: if it took longer.
        RenderError: if no Graphviz that is here could draw it.
    """
    commands = renderers(_DPI if len(source) < _LARGE else _LARGE_DPI)
    if not commands:
        raise NoRenderer(f"drawing this graph needs Graphviz, and there is none: {ADVICE}")
    failures = []
    for name, command in commands.items():
        try:
            done = subprocess.run(command(kind), input=source.encode("utf-8", "replace"), capture_output=True, timeout=limit)
        except subprocess.TimeoutExpired:
            raise TooSlow(f"Graphviz did not lay this graph out within {limit:g} seconds: draw less of it") from None
        except OSError as error:
            failures.append(f"{name}: {error.strerror or error}")
            continue
        if done.returncode == 0 and done.stdout:
            return _for_pages(done.stdout) if kind == "svg" else done.stdout
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        failures.append(f"{name}: {said[-1][:200] if said else f'exit status {done.returncode}'}")
    raise RenderError(f"Graphviz could not draw this graph ({'; '.join(failures)}); save it as .dot to look at it")


def _for_pages(svg: bytes) -> bytes:
    """The SVG element alone, as it can stand in a page; it shrinks with the page rather than being cut off."""
    text = svg.decode("utf-8")
    text = text[text.index("<svg") :]
    return re.sub(r"<svg ", '<svg style="max-width:100%;height:auto" ', text, count=1).encode("utf-8")
