"""``viz.graph``: the compute graph of a loss as a picture."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

from ..autograd import reachable
from ..errors import GraphError, UsageError
from ..formats import atomic
from ..tensor import Tensor
from .dot import Writer
from .record import Record
from .recorder import record as recorder
from .render import ADVICE, FORMATS, NoRenderer, TooSlow, render
from .statistics import summary
from .style import LIGHT, Theme, theme_of
from .view import View, default_roots
from .wording import number


class NoGraphvizWarning(UserWarning):
    """A picture was asked for where there is no Graphviz; the message says what was written instead."""


class Graph:
    """A compute graph, ready to be shown by a notebook or saved. Made by :func:`graph`.

    Attributes:
        record: the :class:`Record` that it shows.
        view: which boxes and arrows are drawn.
        source: the text in the DOT language.
    """

    def __init__(self, record: Record, roots: list[int], theme: Theme, title: str, limits: dict, look: dict, note: str):
        self.record, self.roots, self.theme, self.title = record, roots, theme, title
        self._limits, self._look, self._note, self._slow = limits, look, note, ""
        self._drawn: dict[str, bytes] = {}
        self.view = View(record, roots, **limits)

    @property
    def source(self) -> str:
        """The graph in the DOT language. Files of code are named from the working directory, as in the record's own file."""
        self.record._find_code()
        return Writer(self.view, self.theme, title=self.title, notes=self.notes, **self._look).text()

    def to_graphviz(self):
        """The graph as a ``graphviz.Source``, for programs that go on with that library (its ``pipe``, ``view``, engines)."""
        import graphviz

        return graphviz.Source(self.source)

    @property
    def notes(self) -> list[str]:
        """What the picture says about itself, line by line."""
        view = self.view
        nodes = self.record.nodes
        parameters = {i for i in view.kept if nodes[i]["kind"] == "parameter"}
        sizes = 0
        for i in parameters:
            size = 1
            for n in nodes[i]["shape"]:
                size *= n
            sizes += size
        parts = []
        for root in self.roots[:1]:
            value = nodes[root]["value"]
            if value and value["count"] == 1 and value["mean"] is not None:
                began = any(root in one["roots"] for one in self.record.passes)
                name = "loss" if began else nodes[root]["op"] or nodes[root]["name"] or "value"
                parts.append(f"{name} = {number(value['mean'])}")
        drawn = f" drawn as {len(view.boxes):,} boxes" if len(view.boxes) != view.total else ""
        parts.append(f"{view.total:,} nodes{drawn}")
        if parameters:
            parts.append(f"{sizes:,} parameters in {len(parameters):,} tensors")
        lines = [" · ".join(parts), self._gradient_note()]
        how = []
        if view.tree.repeats:
            how.append("what repeats is drawn once, with ×")
        if view.depth < view.deepest:
            why = (
                f", for more would not fit into {self._limits['max_nodes']:,} boxes"
                if view.over_limit and not self._slow
                else ""
            )
            how.append(f"modules are opened to depth {view.depth} of {view.deepest}{why}")
        if view.dropped:
            how.append(f"the oldest {view.dropped:,} nodes are left out")
        if self._slow:
            how.append(self._slow)
        if how:
            lines.append("; ".join(how))
        return lines

    def _gradient_note(self) -> str:
        if self._note:
            return self._note
        if not self.record.has_backward:
            return "made before backward(): there are no gradients yet"
        grads = [self.record.nodes[i]["grad"] for i in self.view.kept]
        passes = sorted({g["pass"] for g in grads if g})
        if not passes:
            return "the recorded backward passes did not reach this part, or gradients=False: no gradient is known"
        if len(self.record.passes) == 1:
            return "|∇|: norm of the gradient in the backward pass"
        return f"|∇|: norm of the gradient in backward pass {passes[-1] + 1} of {len(self.record.passes)}"

    # -- files and notebooks --------------------------------------------------------------------------------------------

    def render(self, kind: str) -> bytes:
        """The content of a file of that kind: "svg", "png" or "pdf".

        A graph whose layout takes longer than 20 seconds is drawn with one level of modules less, and says so.

        Raises:
            NoRenderer: where there is no Graphviz.
        """
        if kind not in FORMATS:
            raise UsageError(f"a graph is rendered as {', '.join(FORMATS)}: got {kind!r}")
        while kind not in self._drawn:
            try:
                self._drawn[kind] = render(self.source, kind)
            except TooSlow:
                if len(self.view.boxes) <= 2:
                    raise
                self._draw_less()
        return self._drawn[kind]

    def _draw_less(self) -> None:
        before = len(self.view.boxes)
        if self.view.depth:
            self._limits["depth"] = self.view.depth - 1
            self._slow = f"closed to depth {self.view.depth - 1}, for the layout of {before:,} boxes took too long"
        else:
            self._limits["max_nodes"] = before // 2
            self._slow = f"the layout of {before:,} boxes took too long"
        self.view = View(self.record, self.roots, **self._limits)
        self._drawn.clear()

    def save(self, path: str | os.PathLike) -> Path:
        """Write the graph in the format that the name ends in, and return where.

        ``.svg``, ``.png`` and ``.pdf`` are pictures; ``.dot`` is the source; ``.json`` the record. Where there is no Graphviz,
        the source is written in the picture's place under the ending ``.dot``, and a warning says how to get Graphviz.
        """
        path = Path(path)
        kind = path.suffix[1:].lower()
        if kind == "json":
            self.record.save(path)
        elif kind == "dot":
            atomic.write_text(path, self.source)
        elif kind in FORMATS:
            try:
                data = self.render(kind)
            except NoRenderer:
                path = path.with_suffix(".dot")
                atomic.write_text(path, self.source)
                warnings.warn(
                    f"there is no Graphviz here, so the graph was written as {path}: {ADVICE}", NoGraphvizWarning, stacklevel=2
                )
                return path
            with atomic.replacing(path) as file:
                file.write(data)
        else:
            raise UsageError(
                f"a graph is saved as .svg, .png, .pdf, .dot or .json: got {path.name!r}; end the name in one of them"
            )
        return path

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, Any]:
        """What Jupyter shows: the best of these that it can; the text alone where there is no Graphviz."""
        makers = {
            "image/svg+xml": lambda: self.render("svg").decode(),
            "image/png": lambda: self.render("png"),
            "text/plain": lambda: repr(self),
        }
        wanted = [kind for kind in makers if (not include or kind in include) and kind not in (exclude or ())]
        bundle = {}
        for kind in wanted:
            try:
                bundle[kind] = makers[kind]()
            except NoRenderer as error:
                bundle["text/plain"] = f"{self!r}\n{error}"
                break
        return bundle

    def __repr__(self) -> str:
        return "\n".join([f"Graph: {self.title}", *self.notes])


def graph(
    what,
    *,
    depth: int | None = None,
    max_nodes: int = 300,
    fold: bool = True,
    focus: str | None = None,
    show: str = "forward",
    values: bool = False,
    grads: bool = True,
    formulas: bool = False,
    constants: bool = False,
    theme: Theme | str = LIGHT,
    title: str | None = None,
    root=None,
    model=None,
) -> Graph:
    """The graph of what a loss was computed from.

    Args:
        what: a :class:`Record`, or a Tensor: then what the tape alone knows is drawn, without values and gradients inside.
        depth: how many levels of module calls are opened; None for as many as there is room for.
        max_nodes: how many boxes there may be: where there would be more, modules are closed, then the oldest are left out.
        fold: draw layers or time steps that repeat once, with their number.
        focus: the path of a module, such as "encoder.layers.0.self_attn", that is opened in full, and the others closed.
        show: "forward": arrows along the data, with shapes; "backward": along the gradients, with their norms.
        values: show mean and standard deviation of values.
        grads: show norms of gradients, and colour the arrows by gain: the norm of what a use sent back over the norm of what
            came to it.
        formulas: show what operations compute.
        constants: show arrays that are neither learned nor an input, such as masks.
        theme: "light", "dark", or a Theme.
        title: above the picture.
        root: where to begin, as :meth:`Record.node` takes it; otherwise the last backward pass does, or the last operation.
        model: for a Tensor: the module, or dict of modules, whose parameter names are wanted.

    Raises:
        UsageError: for options outside their rule, a focus that did not run, or a record without operations.
        GraphError: for a Tensor without a history.
    """
    for name, value, low in (("depth", depth, 0), ("max_nodes", max_nodes, 2)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < low):
            raise UsageError(f"{name} is a whole number from {low}: got {value!r}")
    if show not in ("forward", "backward"):
        raise UsageError(f"a graph shows 'forward' or 'backward': got {show!r}")
    note = ""
    if isinstance(what, Tensor):
        record, roots, note = _from_tape(what, model)
    elif isinstance(what, Record):
        record = what
        roots = default_roots(record) if root is None else [record.node(root)["id"]]
    else:
        raise UsageError(f"graph() draws a Tensor or a Record: got {type(what).__name__}")
    if title is None:
        title = _title(record)
    limits = {"depth": depth, "max_nodes": max_nodes, "fold": fold, "focus": focus, "constants": constants}
    look = {"show": show, "values": values, "grads": grads, "formulas": formulas}
    return Graph(record, roots, theme_of(theme), title, limits, look, note)


def _title(record: Record) -> str:
    outer = [record.modules[call["module"]] for call in record.calls if call["parent"] is None]
    if "" in record.modules:
        return record.modules[""]["type"]
    names = list(dict.fromkeys(entry["type"] for entry in outer))
    return ", ".join(names[:4]) + (" …" if len(names) > 4 else "") if names else "Compute graph"


def _from_tape(tensor: Tensor, model) -> tuple[Record, list[int], str]:
    """A record of what is behind a tensor, made from the tape alone."""
    if tensor._node is None:
        raise GraphError("this tensor has no history to draw: it is a leaf, or was computed inside no_grad()")
    watcher = recorder(model)
    root = watcher.take(tensor)
    made = watcher.record
    known = False
    for node in reachable([tensor._node]):
        for leaf in node.edges:
            if isinstance(leaf, Tensor) and leaf._grad is not None:
                made.node(leaf)["grad"] = {**summary(leaf._grad._data), "pass": 0}
                known = True
    if known:
        note = "drawn from the tape: |∇| is what .grad holds; with viz.record() around backward() every gradient is known"
    else:
        note = "drawn from the tape, before backward(): there are no gradients yet"
    return made, [root], note
