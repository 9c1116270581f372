"""What a single recorded pass says: the ailments that one forward and backward pass can show."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from .ailments import AILMENTS
from .measures import SATURATED
from .record import Record
from .symptoms import Symptom, initial_loss

_CENTRES = {"tanh": (0.0, 1.0), "sigmoid": (0.5, 0.5)}
_LEAST = 16  # values from which a share of them says something


def examine(record: Record) -> Iterator[Symptom]:
    """The symptoms of a record that :func:`minigrad.viz.record` made."""
    yield from _not_finite(record)
    yield from _activations(record)
    yield from _initial(record)
    if record.has_backward:
        yield from _unused(record)
        yield from _by_depth(record)


def _where(node: dict[str, Any]) -> str:
    return f"{node['module'] or '(model)'}/{node['op']}" if node["kind"] == "operation" else node["name"] or node["kind"]


def _line(node: dict[str, Any]) -> str:
    line = node.get("line")
    if not line:
        return ""
    code = line.get("code")
    return f"{line['file']}:{line['number']}" + (f" ({code})" if code else "")


def _broken(statistics: dict | None) -> int:
    return int((statistics.get("nan") or 0) + (statistics.get("inf") or 0)) if statistics else 0


def _not_finite(record: Record) -> Iterator[Symptom]:
    """The first operation that made a NaN or an infinity of what was finite; else the first gradient that was broken."""
    for node in record.nodes:
        if _broken(node["value"]) and node["kind"] == "operation":
            sources = [record.nodes[edge["source"]] for edge in record.inputs(node["id"])]
            culprit = next((s for s in sources if _broken(s["value"]) and s["kind"] != "operation"), node)
            yield Symptom("not finite", _where(culprit), 0, _broken(culprit["value"]), 0, None, _line(node), "in a value")
            return
    for step in record.backward:
        node = record.nodes[step["node"]]
        for edge in record.inputs(node["id"]):
            if _broken(edge["contribution"]):
                count = _broken(edge["contribution"])
                yield Symptom(
                    "not finite", _where(node), 0, count, 0, None, _line(node), f"in the gradient of {edge['argument']}"
                )
                return


def _activations(record: Record) -> Iterator[Symptom]:
    outputs = {edge["source"] for edge in record.edges}
    for node in record.nodes:
        value = node["value"]
        if node["kind"] != "operation" or not value or value["count"] < _LEAST or node["id"] not in outputs:
            continue
        if node["op"] == "relu" and value["zero"] >= 0.99 * value["count"]:
            share = value["zero"] / value["count"]
            note = "of a single pass: the share of zeros among all values"
            yield Symptom("dead units", _where(node), 0, share, AILMENTS["dead units"].threshold, None, _line(node), note)
        if node["op"] in _CENTRES and len(value["samples"]) >= _LEAST and not _answers(record, node):
            centre, scale = _CENTRES[node["op"]]
            flat = [v for v in value["samples"] if v is not None and abs(v - centre) > SATURATED * scale]
            share, threshold = len(flat) / len(value["samples"]), AILMENTS["saturated"].threshold
            if share > threshold:
                yield Symptom("saturated", _where(node), 0, share, threshold, None, _line(node), "of sampled values")


def _answers(record: Record, node: dict[str, Any]) -> bool:
    """Whether no parameter comes in behind ``node``: then it is what the model answers, and may be certain."""
    behind, waiting = {node["id"]}, [node["id"]]
    targets: dict[int, list[int]] = {}
    for edge in record.edges:
        targets.setdefault(edge["source"], []).append(edge["target"])
    while waiting:
        for target in targets.get(waiting.pop(), ()):
            if target not in behind:
                behind.add(target)
                waiting.append(target)
    return not any(
        e["target"] in behind - {node["id"]} and record.nodes[e["source"]]["kind"] == "parameter" for e in record.edges
    )


def _initial(record: Record) -> Iterator[Symptom]:
    for node in record.nodes:
        if node.get("op") != "cross_entropy" or node["shape"] or not node["value"]:
            continue
        attributes = node.get("attributes") or {}
        logits = next((record.nodes[e["source"]] for e in record.inputs(node["id"]) if e["argument"] == "logits"), None)
        if logits is None or len(logits["shape"]) != 2 or "mean" not in str(attributes.get("reduction")):
            continue
        classes = logits["shape"][1]
        found = classes > 1 and initial_loss(node["value"]["mean"], math.log(classes), _line(node), classes)
        if found and found.value > 1:  # a later step's loss is lower, and rightly so
            yield found._replace(step=0)
        return


def _unused(record: Record) -> Iterator[Symptom]:
    reached = {leaf["node"] for one in record.passes for leaf in one["leaves"]}
    lost = [n["name"] for n in record.nodes if n["kind"] == "parameter" and n["taped"] and n["id"] not in reached]
    if lost:
        note = f"also {', '.join(lost[1:4])}{f' and {len(lost) - 4} more' if len(lost) > 4 else ''}" if lost[1:] else ""
        yield Symptom("unused parameter", lost[0], 0, 1, 1, None, "", note)


def _by_depth(record: Record) -> Iterator[Symptom]:
    """Gradients of weight matrices, in the order in which they were used."""
    first: dict[int, int] = {}
    for edge in record.edges:
        first.setdefault(edge["source"], edge["target"])
    layers = []
    for node in record.nodes:
        used = first.get(node["id"])
        if node["kind"] == "parameter" and len(node["shape"]) > 1 and node["grad"] and used is not None:
            if record.nodes[used].get("op") == "embedding" or not math.isfinite(node["grad"]["norm"] or 0.0):
                continue
            layers.append((used, (node["grad"]["norm"] or 0.0) / math.sqrt(math.prod(node["shape"]) or 1), node))
    layers.sort(key=lambda layer: layer[0])
    for ailment, pick, worse in (("vanishing gradient", max, min), ("exploding gradient", min, max)):
        ratios = []
        for i, (used, value, node) in enumerate(layers):
            later = [v for u, v, _ in layers[i + 1 :] if u > used and v > 0]
            if later:
                ratios.append((value / pick(later), node["name"] or "a parameter"))
        threshold = AILMENTS[ailment].threshold
        if ratios:
            value, name = worse(ratios)
            if value < threshold if pick is max else value > threshold:
                yield Symptom(ailment, name, 0, value, threshold)
