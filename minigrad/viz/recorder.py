"""The observer that fills a :class:`~minigrad.viz.record.Record` while a program runs."""

from __future__ import annotations

import contextlib
import math
import os
import sys
import weakref
from typing import Any

import numpy as np

from ..autograd import _place, reachable
from ..errors import UsageError
from ..observer import Observer
from ..primitive import Node, state
from ..tensor import Tensor, raw
from .record import Record
from .rules import describe
from .scopes import Scopes, start_tracing, stop_tracing
from .statistics import SAMPLES, cosine, size_of, summary

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_NUMPY = os.path.dirname(os.path.abspath(np.__file__)) + os.sep
_HELD = 256 << 20  # bytes of contributions that wait for their sum, so that their angle to it can be taken


class record(Observer):
    """Context manager: write down what happens on the tape inside, for pictures of it.

        with viz.record(model) as record:
            loss = model(x)
            loss.backward()
        record.save("step.json")

    Whatever this thread does inside is recorded: forward passes, with or without gradients, any number of backward passes,
    second-order ones. No tensor is kept alive by it. See :mod:`minigrad.viz.record` for the form.

    Args:
        model: a module, or a dict of modules by name: their parts and parameters then have the names that they have in its
            ``state_dict``. Modules that are not part of it, or all of them where it is left out, are named after their class.
        values: take the statistics of every value; without them recording costs least.
        gradients: take those of every gradient and of every contribution to one.
        samples: how many values of each array are kept, evenly spaced; at most 64.
        lines: look up the line of the user's code that ran each operation.
    """

    def __init__(self, model=None, *, values: bool = True, gradients: bool = True, samples: int = SAMPLES, lines: bool = True):
        if isinstance(samples, bool) or not isinstance(samples, int) or not 0 <= samples <= SAMPLES:
            raise UsageError(f"a record keeps from 0 to {SAMPLES} samples of an array: got {samples!r}")
        self.values, self.gradients, self.samples, self.lines = values, gradients, samples, lines
        self.record = Record()
        self.scopes = Scopes(model, weakref.ref, self._name_input)
        self.record.modules, self.record.calls = self.scopes.modules, self.scopes.calls
        self._numbers: dict[int, tuple] = {}  # id of a Node, Tensor or array -> (weak reference, number of its node)
        self.record._numbers = self._numbers
        self._names: dict[int, tuple] = {}  # id of an input -> (weak reference, name)
        self._edge_of: dict[tuple[int, int], dict] = {}  # (number of the consumer, argument position) -> edge
        self._depth = 0  # of nested backward passes
        self._waiting: dict[int, list] = {}  # number of a node -> (edge, contribution) that have arrived so far
        self._held = 0

    def __enter__(self) -> Record:
        if self in state.observers:
            raise UsageError("this record() is open already: make another one for another record")
        state.observers = (*state.observers, self)
        start_tracing()
        return self.record

    def __exit__(self, *exc_info):
        state.observers = tuple(o for o in state.observers if o is not self)
        stop_tracing()
        self.scopes.stack.clear()
        self._waiting.clear()
        self._held = 0

    def take(self, tensor: Tensor) -> int:
        """Add what is behind a tensor, as far as the tape knows it, without having watched; the number of its node."""
        return self._earlier(tensor._node)

    # -- forward --------------------------------------------------------------------------------------------------------

    def on_forward(self, primitive, args, result) -> None:
        operations = self.record.operations
        if primitive.name not in operations:
            operations[primitive.name] = describe(primitive)
        taped = result._node
        attributes, sources = {}, []
        for position, a in enumerate(args):
            if isinstance(a, Tensor) or (isinstance(a, np.ndarray) and a.ndim):
                sources.append((position, self._source(a)))
            elif a is not None:
                attributes[str(primitive.argument(position))] = _shown(a)
        node = self._new("operation", result._data, op=primitive.name)
        if self.scopes.stack:
            self._place_in_module(node)
        if self.lines:
            node["line"] = _users_line()
        if taped is None:
            node["taped"] = False
        else:
            node["saved"] = _saved(taped)
            self._remember(taped, node["id"])
        if attributes:
            node["attributes"] = attributes
        for position, source in sources:
            carries = taped is not None and taped.edges[position] is not None
            self._connect(source, node, str(primitive.argument(position)), position, carries)
        self._remember(result, node["id"])
        self._remember(result._data, node["id"])

    def _new(self, kind: str, value, **fields) -> dict[str, Any]:
        node: dict[str, Any] = {
            "id": len(self.record.nodes),
            "kind": kind,
            "op": None,
            "name": None,
            "module": None,
            "call": None,
            "scope": None,
            "shape": list(np.shape(value)),
            "dtype": str(getattr(value, "dtype", "")),
            "line": None,
            "taped": True,
            "value": None,
            "grad": None,
            "saved": [],
        }
        node.update(fields)
        if self._depth:
            node["during"] = len(self.record.passes) - 1
        if self.values and not isinstance(value, Node):
            node["value"] = summary(value, self.samples)
        self.record.nodes.append(node)
        return node

    def _remember(self, thing, number: int) -> None:
        with contextlib.suppress(TypeError):  # a NumPy scalar has no weak references
            self._numbers[id(thing)] = weakref.ref(thing), number

    def _number(self, thing) -> int | None:
        return self.record._number(thing)

    def _source(self, a) -> int:
        """The number of the node that an argument came from; a new one where it was not seen before."""
        array = raw(a)
        place = _place(a) if isinstance(a, Tensor) and a._requires_grad else a
        number = self._number(place)
        if number is None and place is not a and isinstance(place, Node):
            return self._earlier(place)
        if number is None and not (isinstance(a, Tensor) and a._requires_grad):
            number = self._number(array)  # a detached tensor, or an array that is a tensor's
        if number is None and isinstance(a, np.ndarray) and a.dtype.kind in "iu":
            number = self._copied_input(a)
        if number is None:
            number = self._leaf(a, array)["id"]
            self._remember(a, number)
            if not (isinstance(a, Tensor) and a._requires_grad):
                self._remember(array, number)
        return number

    def _copied_input(self, array: np.ndarray) -> int | None:
        """The node of an argument, such as token numbers, that an operation was given a copy of."""
        for reference, _ in self._names.values():
            known = reference()
            if isinstance(known, np.ndarray) and known.shape == array.shape and np.array_equal(known, array):
                return self._source(known) if known is not array else None
        return None

    def _leaf(self, a, array) -> dict[str, Any]:
        known = self.scopes.names.get(id(a))
        fields: dict[str, Any] = {}
        if known is not None and known[0]() is a:
            kind = "parameter" if known[2] else "constant"
            fields["name"], fields["aliases"] = known[1][0], known[1][1:]
        elif type(a).__name__ == "Parameter":
            kind = "parameter"
        else:
            inside = bool(self.scopes.stack) and not (isinstance(a, Tensor) and a._requires_grad)
            kind = "input" if isinstance(a, Tensor) and not inside else "constant"
            for thing in (a, array):
                named = self._names.get(id(thing))
                if named is not None and named[0]() is thing:
                    kind, fields["name"] = "input", named[1]
        fields["taped"] = isinstance(a, Tensor) and a._requires_grad
        return self._new(kind, array, **fields)

    def _earlier(self, node: Node) -> int:
        """The number of an operation; it and all behind it are taken from the tape if they ran before the record began."""
        if self._number(node) is None:
            for older in reversed(reachable([node])):
                if self._number(older) is None:
                    self._unseen(older)
        return self._number(node)  # pyright: ignore[reportReturnType]

    def _unseen(self, node: Node) -> None:
        """What the tape knows of an operation that was not observed: neither its value nor what required no gradient."""
        checkpoint = node.name == "checkpoint"  # never observed, for it is no function of its arguments
        sources = []
        for position, edge in enumerate(node.edges):
            if edge is not None:
                number = self._number(edge)
                sources.append((position, self._source(edge) if number is None else number))
        made = self._new("operation", node, op=node.name, shape=list(node.shape), dtype=str(node.dtype), earlier=not checkpoint)
        self.record.operations.setdefault(node.name, describe(node.primitive))
        if checkpoint and self.scopes.stack:
            self._place_in_module(made)
        if node.saved is not None:
            made["saved"] = _saved(node)
        self._remember(node, made["id"])
        for position, number in sources:
            self._connect(number, made, str(node.primitive.argument(position)), position, True)

    def _place_in_module(self, node: dict) -> None:
        scope = self.scopes.stack[-1]
        call = self.scopes.calls[scope]
        node["module"], node["call"], node["scope"] = call["module"], call["call"], scope

    def _connect(self, source: int, node: dict, argument: str, position: int, carries: bool) -> None:
        edge = {"source": source, "target": node["id"], "argument": argument, "gradient": carries, "contribution": None}
        self.record.edges.append(edge)
        self._edge_of[node["id"], position] = edge

    def _name_input(self, thing, name: str) -> None:
        if self._number(thing) is None:
            self._names[id(thing)] = weakref.ref(thing), name

    # -- backward -------------------------------------------------------------------------------------------------------

    def on_pass(self, roots) -> None:
        self._depth += 1
        if self._depth > 1:
            return
        numbers = [self._earlier(place) if isinstance(place, Node) else self._source(place) for place, _ in roots]
        seeds = [summary(raw(g), self.samples) for _, g in roots]
        self.record.passes.append({"roots": numbers, "seeds": seeds, "finished": False, "leaves": []})

    def on_pass_end(self, results) -> None:
        self._depth -= 1
        if self._depth:
            return
        current = self.record.passes[-1]
        current["finished"] = results is not None
        for place, g in (results or {}).items():
            number = self._number(place)
            if number is None:
                continue
            self._arrived(number, raw(g))
            if not isinstance(place, Node):
                grad = self.record.nodes[number]["grad"] or {}
                current["leaves"].append({"node": number, **{k: grad[k] for k in ("norm", "nan", "inf", "zero") if k in grad}})
        self._waiting.clear()
        self._held = 0

    def on_backward(self, node, g, gradients) -> None:
        number = self._earlier(node)
        g = raw(g)
        nested = self._depth > 1
        length = self._arrived(number, g, nested)
        step = {"node": number, "pass": len(self.record.passes) - 1, "arguments": []}
        if nested:
            step["nested"] = True
        for position, gradient in gradients:
            if gradient is None:
                continue
            step["arguments"].append(str(node.primitive.argument(position)))
            if self.gradients:
                self._contributed(self._edge_of[number, position], raw(gradient), length, step["pass"], nested)
        self.record.backward.append(step)

    def _contributed(self, edge: dict, array, length: float | None, pass_: int, nested: bool) -> None:
        contribution = {**size_of(array), "gain": None, "cosine": None, "pass": pass_}
        if length and math.isfinite(length) and not contribution["nan"] + contribution["inf"]:
            contribution["gain"] = contribution["norm"] / length
        edge["contribution"] = contribution
        size = getattr(array, "nbytes", 0)
        if not nested and self._held + size <= _HELD:
            self._held += size
            self._waiting.setdefault(edge["source"], []).append((contribution, array))

    def _arrived(self, number: int, g, nested: bool = False) -> float | None:
        """Note the whole gradient of a node; its norm."""
        if not self.gradients:
            return None
        grad = {**summary(g, self.samples), "pass": len(self.record.passes) - 1}
        self.record.nodes[number]["grad"] = grad
        addends = () if nested else self._waiting.pop(number, ())
        for contribution, array in addends:
            self._held -= getattr(array, "nbytes", 0)
            if len(addends) > 1:
                contribution["cosine"] = cosine(array, g)
        return None if grad["nan"] + grad["inf"] else grad["norm"]


def _saved(node: Node) -> list[dict[str, Any]]:
    """The arrays that the backward pass of ``node`` will want again."""
    found = [*zip(node.plan.names, node.saved)]
    if node.extra is not None and "args" in node.extra:
        names = node.primitive.argnames
        found += [(name, a) for name, a in zip(names, node.extra["args"]) if name not in node.plan.names]
    result = []
    for name, value in found:
        parts = value if isinstance(value, (tuple, list)) and name in ("kept", "out") else [value]
        for i, part in enumerate(parts):
            if isinstance(part, np.ndarray):
                label = name if parts[0] is value else f"{name}[{i}]"
                result.append({"name": label, "shape": list(part.shape), "dtype": str(part.dtype), "bytes": part.nbytes})
    return result


def _shown(value) -> str:
    text = repr(value.item() if isinstance(value, (np.generic, np.ndarray)) and not np.ndim(value) else value)
    return text if len(text) <= 80 else text[:79] + "…"


_ours: dict[str, bool] = {}  # by the name of a code object's file


def _users_line() -> dict[str, Any] | None:
    """Where the user's code is: the innermost line outside this package and NumPy; its text is looked up later."""
    frame = sys._getframe(1)
    while frame is not None:
        path = frame.f_code.co_filename
        ours = _ours.get(path)
        if ours is None:
            ours = _ours[path] = os.path.abspath(path).startswith((_PACKAGE, _NUMPY))
        if not ours:
            return {"file": path, "number": frame.f_lineno, "code": None}
        frame = frame.f_back
    return None
