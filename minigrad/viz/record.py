"""The record: what happened on the tape, as data. Every picture reads only this.

    with viz.record(model) as record:
        loss = model(x)
        loss.backward()
    record.save("step.json")
    record = viz.Record.load("step.json")

The file is strict JSON, UTF-8, of the form ``minigrad.graph/1``. NaN and infinities, which JSON cannot write, are the texts
"NaN", "Infinity" and "-Infinity". Its fields, which are also the attributes of :class:`Record`:

``nodes``: one per operation that ran, per parameter, and per array that came in, in the order in which they were first seen.
    ``id``: its place in the list. ``kind``: "operation", "parameter", "input" (a tensor that came in, or an argument of the
    outermost module), or "constant" (a buffer, or an array made on the way). ``op``: the operation's name in ``operations``.
    ``name``: the parameter's path or the input's name. ``aliases``: the other paths of a tied parameter. ``module``,
    ``call``, ``scope``: the path of the module whose code ran it, which call of that module it was, from 0, and that call's
    place in ``calls``. ``shape``, ``dtype``. ``line``: where the user's code was: ``file``, ``number``, ``code``. ``taped``:
    whether gradients flow through it (False in no_grad). ``value`` and ``grad``: statistics, see below, or null. ``saved``:
    the arrays kept for the backward pass, each with ``name``, ``shape``, ``dtype`` and ``bytes``; several nodes may keep the
    same memory. ``attributes``: the arguments that are no arrays, as text. ``earlier``: true where it ran before the record
    began, so that its value is unknown. ``during``: the backward pass in which it ran: second derivatives, or the second run
    of a checkpoint.
``edges``: one per use of a node by another, ordered by the consumer.
    ``source``, ``target``: ids. ``argument``: its name there. ``gradient``: whether gradients flow back along it.
    ``contribution``: what the use sent back in the last pass that went over it, or null: ``norm``, ``nan``, ``inf`` and
    ``zero`` as in the statistics; ``gain``, the norm over that of the gradient that came to the consumer; ``cosine``, of the
    angle to the sum of all uses' contributions, null where there is one use; ``pass``. The contributions of all uses of a
    tensor, each as the tape adds it (broadcast dimensions summed, in the tensor's dtype), make up its gradient, except that
    hooks may then change that; a contribution whose pass is the consumer's ``during`` belongs to the inside of an operation
    that ran once more, and counts only there.
``backward``: the steps of all backward passes, in order. ``node``: whose rules ran. ``pass``. ``arguments``: those that got a
    gradient, in order; the rules' formulas and operands are in ``operations``. ``nested``: true inside such a second run.
``passes``: one per call of backward() or grad().
    ``roots``: where it began. ``seeds``: statistics of the gradients it began with. ``finished``: false if it failed.
    ``leaves``: ``norm``, ``nan``, ``inf`` and ``zero`` of the gradient that it gave to each leaf ``node``; in a leaf's
    ``grad`` is that of the last pass, not what has been accumulated.
``operations``: by name.
    ``formula`` (LaTeX), ``summary``, ``arguments``, ``fused`` (one kernel hides several steps), ``rules``: for each argument
    ``formula``, the line of Python that gives its gradient, and ``reads``, what that needs besides the upstream gradient g.
``modules``: by path: ``path``, ``type``, ``parameters`` (how many numbers, its parts included), ``calls``, ``options``.
``calls``: in order: ``module``, ``call`` (its number among that module's), ``parent`` (the index of the call around it, or
    null).
``series``: by name, over training steps: ``steps``, ``values``, ``unit``.

Statistics are ``count``, ``mean``, ``std``, ``min``, ``max``, ``norm``, ``nan``, ``inf``, ``zero``, ``samples``: see
:func:`minigrad.viz.statistics.summary`; in ``grad`` also ``pass``.
"""

from __future__ import annotations

import json
import linecache
import math
import os
from typing import Any

from ..errors import DataError, UsageError
from ..tensor import Tensor

FORMAT = "minigrad.graph/1"
_DIGITS = 9  # of numbers in a file: enough for every float32
_FIELDS = {
    "nodes": list, "edges": list, "backward": list, "passes": list, "operations": dict, "modules": dict, "calls": list,
    "series": dict,
}  # fmt: skip
_KINDS = ("operation", "parameter", "input", "constant")
_NUMBERS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class Record:
    """What one :class:`~minigrad.viz.record` saw; the module's docstring describes every attribute."""

    def __init__(self):
        self.nodes: list[dict[str, Any]] = []
        self.edges: list[dict[str, Any]] = []
        self.backward: list[dict[str, Any]] = []
        self.passes: list[dict[str, Any]] = []
        self.operations: dict[str, dict[str, Any]] = {}
        self.modules: dict[str, dict[str, Any]] = {}
        self.calls: list[dict[str, Any]] = []
        self.series: dict[str, dict[str, Any]] = {}
        self._numbers: dict[int, tuple] = {}  # the recorder's: id of a Node, Tensor or array -> (weak reference, node id)

    def __repr__(self) -> str:
        passes = f"{len(self.passes)} backward pass{'es' * (len(self.passes) > 1)}" if self.passes else "no backward pass"
        return f"<Record of {len(self.nodes):,} nodes, {len(self.edges):,} edges, {passes}>"

    @property
    def has_backward(self) -> bool:
        """Whether a backward pass was recorded to its end: without one, no gradient is known."""
        return any(p["finished"] for p in self.passes)

    # -- reading --------------------------------------------------------------------------------------------------------

    def node(self, which) -> dict[str, Any]:
        """The node of a tensor that was seen and still exists, of a parameter's or input's name, or with an id.

        Raises:
            UsageError: if there is none.
        """
        if isinstance(which, Tensor):
            number = self._number(which if which._node is None else which._node)
            if number is None:
                raise UsageError(
                    "this tensor is not in the record: it must have been used or made while the record was open, "
                    "and be used with the record itself rather than with one that was loaded from a file"
                )
            return self.nodes[number]
        if isinstance(which, str):
            for node in self.nodes:
                if node["name"] == which or which in node.get("aliases", ()):
                    return node
            names = [n["name"] for n in self.nodes if n["name"]]
            raise UsageError(f"the record has no parameter or input {which!r}: it has {', '.join(names[:20]) or 'none'}")
        if isinstance(which, bool) or not isinstance(which, int) or not 0 <= which < len(self.nodes):
            raise UsageError(f"a node is named by a tensor, a name or an id below {len(self.nodes)}: got {which!r}")
        return self.nodes[which]

    def uses(self, which) -> list[dict[str, Any]]:
        """The edges along which a node's value is used, in order."""
        number = self.node(which)["id"]
        return [edge for edge in self.edges if edge["source"] == number]

    def inputs(self, which) -> list[dict[str, Any]]:
        """The edges along which a node gets its arguments, in order."""
        number = self.node(which)["id"]
        return [edge for edge in self.edges if edge["target"] == number]

    def _number(self, thing) -> int | None:
        known = self._numbers.get(id(thing))
        return known[1] if known is not None and known[0]() is thing else None

    # -- over training steps --------------------------------------------------------------------------------------------

    def log(self, name: str, step: int, value: float, unit: str = "") -> None:
        """Append ``value`` at a training step to the series ``name``."""
        series = self.series.setdefault(name, {"steps": [], "values": [], "unit": unit})
        series["steps"].append(int(step))
        series["values"].append(float(value))

    # -- files ----------------------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """The record as the JSON file holds it: numbers rounded to nine digits, NaN and infinities as text."""
        self._find_code()
        return {"format": FORMAT, **{name: _encoded(getattr(self, name)) for name in _FIELDS}}

    def save(self, path) -> None:
        """Write the record to a file, which is replaced as a whole or not at all."""
        from ..formats.atomic import write_text

        write_text(path, json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False, separators=(",", ":")))

    @classmethod
    def from_dict(cls, data) -> Record:
        """The record that :meth:`to_dict` gave.

        Raises:
            DataError: naming the first thing that is not as the form says.
        """
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            got = data.get("format") if isinstance(data, dict) else type(data).__name__
            raise DataError(
                f"a record is a JSON object whose format is {FORMAT!r}: got {got!r:.60}; write it with record.save()"
            )
        result = cls()
        for name, kind in _FIELDS.items():
            if not isinstance(data.get(name), kind):
                what = "an object" if kind is dict else "a list"
                raise DataError(f"a record's {name!r} is {what}: got {type(data.get(name)).__name__}")
            setattr(result, name, data[name])
        result._check()
        return result

    @classmethod
    def load(cls, path) -> Record:
        """The record in a file.

        Raises:
            DataError: if the file cannot be read or is no record, saying where.
        """
        try:
            with open(path, encoding="utf-8") as file:
                data = json.load(file, parse_constant=_refuse)
        except OSError as error:
            raise DataError(f"cannot read the record {os.fspath(path)}: {error.strerror or error}") from None
        except (ValueError, RecursionError) as error:
            raise DataError(f"{os.fspath(path)} is no record: {error}") from None
        return cls.from_dict(data)

    def _check(self) -> None:
        count = len(self.nodes)
        for i, node in enumerate(self.nodes):
            where = f"node {i}"
            _require(isinstance(node, dict), where, "an object", node)
            _require(node.get("id") == i, where, f"numbered by its place: id {i}", node.get("id"))
            _require(node.get("kind") in _KINDS, where, f"of a kind among {', '.join(_KINDS)}", node.get("kind"))
            if node["kind"] == "operation":
                known = isinstance(node.get("op"), str) and node["op"] in self.operations
                _require(known, where, "an operation listed in operations", node.get("op"))
            for field in ("name", "module"):
                _require(
                    isinstance(node.setdefault(field, None), (str, type(None))), where, f"with a text as {field}", node[field]
                )
            shape = node.get("shape")
            whole = isinstance(shape, list) and all(_is_count(n) for n in shape)
            _require(whole, where, "of a shape that lists whole numbers", shape)
            scope = node.setdefault("scope", None)
            inside = scope is None or (_is_count(scope) and scope < len(self.calls))
            _require(inside, where, f"in one of the {len(self.calls)} calls", scope)
            for field, default in (("call", None), ("line", None), ("taped", True), ("saved", []), ("dtype", "")):
                node.setdefault(field, default)
            for field in ("value", "grad"):
                _decode_statistics(node.setdefault(field, None), f"the {field} of {where}")
        for i, edge in enumerate(self.edges):
            where = f"edge {i}"
            _require(isinstance(edge, dict), where, "an object", edge)
            for end in ("source", "target"):
                known = _is_count(edge.get(end)) and edge[end] < count
                _require(known, where, f"between two of the {count} nodes", edge.get(end))
            _require(isinstance(edge.get("argument"), str), where, "at an argument", edge.get("argument"))
            edge.setdefault("gradient", True)
            _decode_statistics(edge.setdefault("contribution", None), f"the contribution of {where}")
        for i, step in enumerate(self.backward):
            known = isinstance(step, dict) and _is_count(step.get("node")) and step["node"] < count
            _require(known, f"backward step {i}", f"at one of the {count} nodes", step)
        for i, call in enumerate(self.calls):
            known = isinstance(call, dict) and isinstance(call.get("module"), str) and call["module"] in self.modules
            _require(known, f"call {i}", "of a module listed in modules", call)
            parent = call.get("parent")
            _require(parent is None or (_is_count(parent) and parent < i), f"call {i}", "inside an earlier call", parent)
        for i, one in enumerate(self.passes):
            roots = one.get("roots") if isinstance(one, dict) else None
            known = isinstance(roots, list) and all(_is_count(r) and r < count for r in roots)
            _require(known, f"pass {i}", f"from roots among the {count} nodes", roots)
            one.setdefault("finished", True)
            one.setdefault("leaves", [])
            for what in (*one.setdefault("seeds", []), *one["leaves"]):
                _decode_statistics(what, f"a statistic of pass {i}")
        for name, series in self.series.items():
            same = isinstance(series, dict) and isinstance(series.get("steps"), list) and isinstance(series.get("values"), list)
            same = same and len(series["steps"]) == len(series["values"])
            _require(same, f"series {name!r}", "of as many values as steps", series)
            series["values"] = [_decoded(v, f"series {name!r}") for v in series["values"]]

    def _find_code(self) -> None:
        """Fill in the text of each line, and shorten the names of files: paths below the working directory, or bare names."""
        here = os.getcwd() + os.sep
        for node in self.nodes:
            line = node["line"]
            if line is not None and line["code"] is None:
                line["code"] = linecache.getline(line["file"], line["number"]).strip()
                path = os.path.abspath(line["file"])
                line["file"] = path.removeprefix(here) if path.startswith(here) else os.path.basename(line["file"])


def _is_count(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _require(holds: bool, where: str, rule: str, got) -> None:
    if not holds:
        raise DataError(f"{where} of a record must be {rule}: got {got!r:.60}")


def _refuse(text: str):
    raise ValueError(f"JSON has no {text}; write it as the text {text!r}")


def _encoded(value):
    """A copy of ``value`` with numbers rounded, and those that JSON cannot write as text."""
    if isinstance(value, float):
        if not math.isfinite(value):
            return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        return float(f"{value:.{_DIGITS}g}")
    if isinstance(value, dict):
        return {key: _encoded(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_encoded(v) for v in value]
    return value


def _decoded(value, where: str) -> float | None:
    if isinstance(value, str):
        if value in _NUMBERS:
            return _NUMBERS[value]
    elif value is None or (isinstance(value, (int, float))):
        return value
    raise DataError(
        f"{where} in a record must be a number, null, or one of {', '.join(map(repr, _NUMBERS))}: got {value!r:.60}"
    )


def _decode_statistics(statistics, where: str) -> None:
    """Turn texts such as "NaN" back into numbers, in place."""
    if statistics is None:
        return
    _require(isinstance(statistics, dict), where, "an object or null", statistics)
    for key, value in statistics.items():
        if key == "samples":
            _require(isinstance(value, list), where, "with a list of samples", value)
            statistics[key] = [_decoded(v, where) for v in value]
        else:
            statistics[key] = _decoded(value, where)
