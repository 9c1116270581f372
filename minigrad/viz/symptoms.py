"""What a monitor's series say: each function here looks for some of the ailments of :mod:`minigrad.viz.ailments`."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from .ailments import AILMENTS

Series = dict[str, dict[str, Any]]


class Symptom(NamedTuple):
    """A rule that spoke up.

    Attributes:
        ailment: its name.
        place: the parameter, module or operation.
        step: the first bad one.
        value: the worst number, and ``threshold``, what it should have kept to.
        until: the step in which it was over, or None.
        line: the user's source line, or "".
        note: what else to say.
    """

    ailment: str
    place: str
    step: int
    value: float
    threshold: float
    until: int | None = None
    line: str = ""
    note: str = ""


def streak(
    name: str, points: list[tuple[int, float]], below: bool = False, total: int | None = None
) -> tuple[int, float, int | None] | None:
    """When a rule speaks up on ``points``, pairs of step and value: (first bad step, worst value, step of its end or None).

    Args:
        name: the ailment, whose threshold, release and patience hold.
        below: whether values below the threshold are bad, rather than above.
        total: looks there were in all; with few, less patience is asked for.
    """
    rule = AILMENTS[name]
    sign = -1 if below else 1
    need = min(rule.patience, max(2, len(points) if total is None else total))
    run = 0
    first = worst = None
    for step, value in points:
        if math.isnan(value):
            continue
        if first is None or run < need:
            if sign * value > sign * rule.threshold or (value == rule.threshold == 1):
                if not run:
                    first, worst = step, value
                run += 1
                worst = max(worst or value, value) if sign > 0 else min(value if worst is None else worst, value)
            else:
                run, first = 0, None
        elif sign * value <= sign * rule.release and not value == rule.release == 1:
            return first, worst or 0.0, step
        else:
            worst = max(worst or value, value) if sign > 0 else min(value if worst is None else worst, value)
    return (first, worst or 0.0, None) if run >= need and first is not None else None


def points(series: Series, name: str, before: float = math.inf) -> list[tuple[int, float]]:
    """The finite values of a series, with their steps, up to where all went wrong."""
    found = series.get(name)
    if found is None:
        return []
    pairs = zip(found["steps"], found["values"])
    return [(s, v) for s, v in pairs if v is not None and math.isfinite(v) and s < before]


def _named(series: Series, kind: str) -> Iterator[tuple[str, dict]]:
    for name, values in series.items():
        if name.startswith(kind + "/"):
            yield name[len(kind) + 1 :], values


def first_broken(series: Series) -> tuple[int, list[tuple[str, str]]] | None:
    """The first step with something not finite, and what that was: (name, source line), operations first."""
    events = []
    for name, found in _named(series, "not finite"):
        if found["steps"]:
            rank = ("loss", "gradient", "weight").index(name.split(" ")[0]) if name.split(" ")[0] in _WHAT else -1
            events.append((found["steps"][0], rank, name, found.get("line", "")))
    if not events:
        return None
    step = min(e[0] for e in events)
    return step, [(name, line) for s, _, name, line in sorted(events) if s == step or (" in " in name and s == step + 1)]


_WHAT = ("loss", "gradient", "weight")


def not_finite(series: Series, end: float) -> Iterator[Symptom]:
    found = first_broken(series)
    if found is None:
        return
    step, what = found
    operation = next(((n, line) for n, line in what if n.split(" ")[0] not in _WHAT), None)
    names = [name for name, _ in what if operation is None or name != operation[0]]
    place = operation[0] if operation else names[0]
    more = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    note = f"not finite in this step: {more}" if names and more != place else ""
    if operation is None and not any(n.startswith("weight") for n, _ in what) and names[0].startswith("gradient"):
        note += "; the weights still were finite"
    count = series.get(f"not finite/{place}", {"values": [1]})["values"][0]
    line = operation[1] if operation else next((line for _, line in what if line), "")
    yield Symptom("not finite", place, step, count, 0, None, line, note)


def _matrices(series: Series, end: float) -> list[tuple[str, int, dict[int, float]]]:
    """(parameter, depth, gradient per weight by step) of the weight matrices, in order of depth; rows of a table are none."""
    found = []
    for name, values in _named(series, "gradient"):
        shape = values.get("shape", [])
        if len(shape) >= 2 and "Embedding" not in values.get("module", ""):
            size = math.sqrt(math.prod(shape) or 1)
            rms = {step: value / size for step, value in points(series, f"gradient/{name}", end)}
            found.append((name, values.get("depth", 0), rms))
    return sorted(found, key=lambda f: f[1])


def _by_depth(series: Series, end: float) -> Iterator[Symptom]:
    layers = _matrices(series, end)
    for ailment, below, pick in (("vanishing gradient", True, max), ("exploding gradient", False, min)):
        hits = []
        for i, (name, depth, values) in enumerate(layers):
            ratios = []
            for step, value in values.items():
                later = [v[step] for _, d, v in layers[i + 1 :] if d > depth and v.get(step, 0) > 0]
                if later:
                    ratios.append((step, value / pick(later)))
            spoken = streak(ailment, ratios, below)
            if spoken:
                hits.append((name, *spoken))
        if hits:
            name, step, value, until = (min if below else max)(hits, key=lambda h: h[2])
            rest = [h[0] for h in hits if h[0] != name]
            note = f"also {', '.join(rest[:3])}{f' and {len(rest) - 3} more' if len(rest) > 3 else ''}" if rest else ""
            yield Symptom(ailment, name, step, value, AILMENTS[ailment].threshold, until, "", note)


def _by_time(series: Series, end: float) -> Iterator[Symptom]:
    layers: dict[str, dict[int, str]] = {}
    for name, _ in _named(series, "time"):
        layer, _, lag = name.rpartition("/")
        layers.setdefault(layer, {})[int(lag)] = f"time/{name}"
    for layer, lags in layers.items():
        if max(lags) < 3 or 0 not in lags:
            continue
        near = dict(points(series, lags[0], end))
        ratios = []
        for step, value in sorted({s: (lag, v) for lag in sorted(lags) for s, v in points(series, lags[lag], end)}.items()):
            if near.get(step, 0) > 0:
                ratios.append((step, value[1] / near[step]))
        for ailment, below in (("gradient vanishing through time", True), ("gradient exploding through time", False)):
            spoken = streak(ailment, ratios, below)
            if spoken:
                note = f"over {max(lags)} steps"
                yield Symptom(
                    ailment, f"recurrent layer {layer}", *spoken[:2], AILMENTS[ailment].threshold, spoken[2], "", note
                )


def _growth(series: Series, end: float) -> Iterator[Symptom]:
    totals: dict[int, float] = {}
    if len(series.get("grad_norm", {"steps": []})["steps"]) > 1:
        totals = dict(points(series, "grad_norm", end))
    else:
        for name, _ in _named(series, "gradient"):
            for step, value in points(series, f"gradient/{name}", end):
                totals[step] = math.hypot(totals.get(step, 0.0), value)
    steps = sorted(totals)
    if len(steps) > 1:
        start = statistics.median([totals[s] for s in steps[:3]]) if len(steps) > 4 else totals[steps[0]]
        if start > 0:
            spoken = streak("growing gradient", [(s, totals[s] / start) for s in steps])
            if spoken:
                threshold = AILMENTS["growing gradient"].threshold
                yield Symptom("growing gradient", "all parameters together", *spoken[:2], threshold, spoken[2])
    owners = {name.rpartition(".")[0] for name, depth, _ in _matrices(series, end)}
    layers = sorted((v.get("depth", 0), name) for name, v in _named(series, "std") if name in owners)
    if len(layers) > 2:
        first, last = (dict(points(series, f"std/{layers[i][1]}", end)) for i in (0, -1))
        spoken = streak("exploding activation", [(s, last[s] / first[s]) for s in last if first.get(s, 0) > 0])
        if spoken:
            threshold = AILMENTS["exploding activation"].threshold
            yield Symptom("exploding activation", layers[-1][1], *spoken[:2], threshold, spoken[2])


def _shares(series: Series, end: float) -> Iterator[Symptom]:
    for kind, ailment in (("saturated", "saturated"), ("dead", "dead units")):
        for place, values in _named(series, kind):
            if kind == "saturated" and values.get("output"):
                continue  # what a model answers may well be certain
            spoken = streak(ailment, points(series, f"{kind}/{place}", end))
            if spoken:
                threshold = AILMENTS[ailment].threshold
                yield Symptom(ailment, place, *spoken[:2], threshold, spoken[2], values.get("line", ""))


def _attention(series: Series, end: float) -> Iterator[Symptom]:
    losses = points(series, "cross entropy", end) or points(series, "loss", end)
    for place, values in _named(series, "entropy"):
        if values.get("output") and "/softmax" in f"/{place}":
            continue  # the probabilities of the classes
        found = points(series, f"entropy/{place}", end)
        if losses and losses[0][1] > 0:
            level = dict(losses)
            early = [s for s, _ in found if level.get(s, math.inf) > losses[0][1] / 2]
            spoken = streak("collapsed attention", found, True)
            if spoken and spoken[0] not in early:
                continue  # a model that has learnt may be certain
        else:
            spoken = streak("collapsed attention", found, True)
        if spoken:
            threshold = AILMENTS["collapsed attention"].threshold
            yield Symptom("collapsed attention", place, *spoken[:2], threshold, spoken[2], values.get("line", ""))


def _unused(series: Series, end: float) -> Iterator[Symptom]:
    lost = []
    for name, _ in _named(series, "missing"):
        spoken = streak("unused parameter", points(series, f"missing/{name}", end))
        if spoken and f"gradient/{name}" not in series:
            lost.append((name, *spoken))
    outside = [name for name, _ in _named(series, "outside")]
    for ailment, names in (("unused parameter", [n for n, *_ in lost]), ("parameter outside the optimizer", outside)):
        if names:
            step = min(s for _, s, *_ in lost) if ailment == "unused parameter" else 1
            note = f"also {', '.join(names[1:4])}{f' and {len(names) - 4} more' if len(names) > 4 else ''}" if names[1:] else ""
            yield Symptom(ailment, names[0], step, 1, 1, None, "", note)
    spoken = streak("gradients not cleared", points(series, "carried", end))
    if spoken:
        yield Symptom("gradients not cleared", "all parameters together", *spoken[:2], 1, spoken[2])


def _updates(series: Series, end: float) -> Iterator[Symptom]:
    ratios: dict[int, list[float]] = {}
    for name, values in _named(series, "update"):
        if len(values.get("shape", [])) >= 2:
            for step, value in points(series, f"update/{name}", end + 1 if math.isfinite(end) else end):
                ratios.setdefault(step, []).append(value)
    medians = [(step, statistics.median(values)) for step, values in sorted(ratios.items())]
    if not medians:
        return
    place = "median of all weight matrices"
    spoken = streak("updates too large", medians)
    limit = AILMENTS["updates too large"].threshold
    giant = next((m for m in medians if m[1] > 10 * limit), None)
    if spoken is None and giant:  # a step that makes other weights of the weights needs no second one
        after = [m[0] for m in medians if m[0] > giant[0] and m[1] <= limit]
        spoken = giant[0], max(m[1] for m in medians), after[0] if after else None
    if spoken is None and math.isfinite(end) and medians[-1][1] > limit:
        spoken = medians[-1][0], medians[-1][1], None  # there was no time to be patient
    if spoken and spoken[2] is not None and (_grown(series) or not _learnt(series, end)):
        spoken = spoken[0], spoken[1], None  # smaller by now, because of what the weights have become
    if spoken:
        yield Symptom("updates too large", place, *spoken[:2], AILMENTS["updates too large"].threshold, spoken[2])
    spoken = streak("updates too small", medians, True)
    if spoken and spoken[0] == medians[0][0]:
        yield Symptom("updates too small", place, *spoken[:2], AILMENTS["updates too small"].threshold, spoken[2])


def _grown(series: Series) -> bool:
    """Whether half of the weight matrices have become three times as large, or more."""
    pairs = [points(series, f"weight/{name}") for name, v in _named(series, "weight") if len(v.get("shape", [])) >= 2]
    growth = [pair[-1][1] / pair[0][1] for pair in pairs if len(pair) > 1 and pair[0][1] > 0]
    return bool(growth) and statistics.median(growth) > 3


def _learnt(series: Series, end: float) -> bool:
    """Whether the loss has fallen by a tenth, and nothing broke."""
    losses = [value for _, value in points(series, "loss", end)]
    return math.isinf(end) and len(losses) > 1 and statistics.median(losses[-3:]) < 0.9 * losses[0]


def _initial(series: Series, end: float) -> Iterator[Symptom]:
    found = series.get("cross entropy")
    if not found or not found["steps"] or found["steps"][0] != 1 or found.get("classes", 0) < 2:
        return
    value, expected = found["values"][0], math.log(found["classes"])
    symptom = initial_loss(value, expected, found.get("line", ""), found["classes"])
    if symptom:
        yield symptom


def initial_loss(value: float | None, expected: float, line: str, classes: int) -> Symptom | None:
    """Whether the first step's loss is that of a model that knows nothing."""
    threshold = AILMENTS["initial loss"].threshold
    if (
        value is None
        or not math.isfinite(value)
        or (expected / threshold / 1.5 <= value <= max(threshold * expected, expected + 2))
    ):
        return None
    note = f"the loss was {value:.4g}, ln({classes:,}) is {expected:.4g}"
    if value < expected:
        note += "; so low before training: does the input contain the target, or was the model trained already?"
    return Symptom("initial loss", "cross-entropy", 1, value / expected, threshold, None, line, note)


CHECKS: tuple[Callable[[Series, float], Iterator[Symptom]], ...] = (
    not_finite, _unused, _initial, _updates, _by_depth, _by_time, _growth, _shares, _attention,
)  # fmt: skip
