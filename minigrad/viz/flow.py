"""Gradient flow as a picture: by depth, over training, through time, and what the updates make of it."""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np

from ..errors import DataError
from .ailments import AILMENTS
from .doctor import record_of
from .monitor import Monitor
from .record import Record
from .style import Picture, Theme, canvas, literal, theme_of

_HEALTHY = 1e-4, 1e-2  # of a step's change relative to the weights; the middle, 1e-3, is Karpathy's rule of thumb
_LABELS = 40  # names of layers that find room below each other
_FLOOR = 1e-30  # zeros stand here, at the lower edge of a log scale


def grad_flow(what: Monitor | Record | str | os.PathLike, *, theme: Theme | str = "light", title: str | None = None) -> Picture:
    """Draw how gradients flow through a model, and how that changes over training.

    Four panels: the gradients of the weight matrices by depth, with the zone where they vanish shaded; the same over training
    steps; each step's change relative to the weights, with the healthy band; and for recurrent models |dL/dh_t| through time,
    for others the share of saturated and dead units, or the loss.

    A gradient is shown *per weight*: its norm over the root of their number, so that small and large layers compare.

    Args:
        what: a :class:`Monitor`, its Record, the file of one, or a run directory.
        theme: "light" or "dark".
        title: above the picture.

    Raises:
        DataError: without a single look with gradients.
        MissingExtraError: without matplotlib.
    """
    series = record_of(what).series
    layers = _layers(series)
    if not layers:
        raise DataError(
            "there is no gradient to draw: call monitor.step(loss) at the end of each training step, give the Monitor the "
            "optimizer if gradients are cleared before that, and train at least one step"
        )
    theme = theme_of(theme)
    steps = sorted({step for _, values in layers for step in values})
    table = np.array([[values.get(step, math.nan) for step in steps] for _, values in layers])
    names = [name for name, _ in layers]
    tall = 7.2 + 0.12 * max(0, min(len(names), _LABELS) - 16)
    with canvas(12.5, tall, theme) as figure:
        figure.suptitle(literal(title or "Gradient flow", 80), x=0.01, ha="left")
        (depth, time), (updates, last) = figure.subplots(2, 2, gridspec_kw={"height_ratios": [tall - 3.2, 3.2]})
        _by_depth(depth, names, steps, table, theme)
        _over_time(figure, time, names, steps, table, theme)
        _updates(figure, updates, series, theme)
        shown = _through_time(last, series, theme) or _shares(last, series, theme) or _loss(last, series, theme)
    return Picture(figure, _in_words(names, steps, table, shown), theme)


def _layers(series: dict) -> list[tuple[str, dict[int, float]]]:
    """(parameter, gradient per weight by step), in order of depth: of the matrices, or of all where there is none."""
    found = []
    for name, values in series.items():
        if name.startswith("gradient/"):
            shape = values.get("shape", [])
            size = math.sqrt(math.prod(shape) or 1)
            rms = {s: v / size for s, v in zip(values["steps"], values["values"]) if v is not None and math.isfinite(v)}
            found.append((len(shape) >= 2, values.get("depth", 0), name.partition("/")[2], rms))
    matrices = [f for f in found if f[0]] or found
    return [(name, rms) for _, _, name, rms in sorted(matrices, key=lambda f: f[1])]


def _shade(theme: Theme) -> float:
    """How opaque a zone is: to be seen, with grid and lines still in front of it."""
    return 0.13 if theme.name == "light" else 0.22


def _thinned(count: int) -> list[int]:
    step = -(-count // _LABELS)
    return list(range(0, count, step))


def _short(name: str) -> str:
    """A parameter's path without what all of them say; of a long one the end, which tells it from its neighbours."""
    name = name.removesuffix("weight").rstrip("._").replace(".layers.", ".") or name
    return literal(name if len(name) <= 36 else "…" + name[-35:], 36)


def _by_depth(axes: Any, names: list[str], steps: list[int], table: np.ndarray, theme: Theme) -> None:
    places = np.arange(len(names))
    chosen = sorted({0, len(steps) // 2, len(steps) - 1})
    positive = np.where(table > 0, table, np.nan)
    low, high = _log_range(positive)
    for number, i in enumerate(chosen):
        column = np.maximum(np.nan_to_num(table[:, i], nan=_FLOOR), low)
        axes.plot(column, places, marker="o", markersize=4, color=theme.color(number), label=f"step {steps[i]:,}")
    if np.isfinite(positive[:, -1]).any():
        edge = AILMENTS["vanishing gradient"].threshold * np.nanmax(positive[:, -1])
        if edge > low:
            axes.axvspan(low, edge, color=theme.color(1), alpha=_shade(theme), lw=0, label="vanishing")
        edge = AILMENTS["exploding gradient"].threshold * np.nanmin(positive[:, -1])
        if edge < high and np.nanmin(positive[:, -1]) == positive[-1, -1]:  # growing towards the first layer
            axes.axvspan(edge, high, color=theme.color(3), alpha=_shade(theme), lw=0, label="exploding")
    axes.set(xscale="log", xlim=(low, high), ylim=(len(names) - 0.5, -0.5))
    axes.set(xlabel="gradient per weight (RMS)", title="By depth: first layer on top")
    shown = _thinned(len(names))
    axes.set_yticks(shown, [_short(names[i]) for i in shown], fontsize=9 if len(shown) <= 22 else 8)
    axes.legend(loc="best", fontsize=8)


def _log_range(values: np.ndarray) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 1e-8, 1.0
    low, high = math.floor(math.log10(finite.min()) - 0.3), math.ceil(math.log10(finite.max()) + 0.3)
    return 10.0 ** max(low, high - 24), 10.0**high


def _over_time(figure: Any, axes: Any, names: list[str], steps: list[int], table: np.ndarray, theme: Theme) -> None:
    low, high = _log_range(np.where(table > 0, table, np.nan))
    with np.errstate(all="ignore"):
        shown = np.log10(np.maximum(table, low))
    image = axes.imshow(
        shown, cmap=theme.sequential, vmin=math.log10(low), vmax=math.log10(high), aspect="auto", interpolation="none"
    )
    axes.grid(False)
    ticks = sorted({round(i * (len(steps) - 1) / 5) for i in range(6)})
    axes.set_xticks(ticks, [f"{steps[i]:,}" for i in ticks])
    axes.set_yticks([])
    axes.set(xlabel="training step", ylabel="layers, as on the left", title="The same layers over training")
    bar = figure.colorbar(image, ax=axes, pad=0.02)
    bar.set_label("gradient per weight (RMS)")
    powers = range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)
    powers = powers[:: max(1, -(-len(powers) // 7))]
    bar.set_ticks(list(powers), labels=[f"$10^{{{p}}}$" for p in powers])
    bar.outline.set_visible(False)


def _updates(figure: Any, axes: Any, series: dict, theme: Theme) -> None:
    found = [
        (values.get("depth", 0), values)
        for name, values in series.items()
        if name.startswith("update/") and len(values.get("shape", [])) >= 2
    ]
    found.sort(key=lambda f: f[0])
    axes.axhspan(*_HEALTHY, color=theme.color(2), alpha=_shade(theme), lw=0, label="healthy")
    limit = AILMENTS["updates too large"].threshold
    top = max([limit, *(v for _, values in found for v in values["values"] if v is not None and math.isfinite(v))]) * 3
    axes.axhspan(limit, max(top, 1), color=theme.color(1), alpha=_shade(theme), lw=0, label="too large")
    colors = theme.sequential(np.linspace(0.35, 1.0, max(2, len(found))))
    bottom = _HEALTHY[0] / 10
    for number, (_, values) in enumerate(found):
        heights = np.array([math.nan if v is None else v for v in values["values"]], float)
        with np.errstate(all="ignore"):
            heights[heights <= 0] = math.nan
            bottom = min(bottom, np.nanmin(heights)) if np.isfinite(heights).any() else bottom
        label = {0: "first layer", len(found) - 1: "last layer"}.get(number)
        marker = "o" if len(heights) == 1 else None
        axes.plot(values["steps"], heights, color=colors[number], lw=1.3, marker=marker, label=label)
    axes.set(yscale="log", ylim=(max(bottom / 2, 1e-12), top), xlabel="training step", ylabel="change / weights (norms)")
    axes.set_title("Each step's change, relative to the weights")
    axes.legend(loc="lower left", fontsize=8, ncols=2)


def _through_time(axes: Any, series: dict, theme: Theme) -> str | None:
    layers: dict[str, list[tuple[int, dict]]] = {}
    for name, values in series.items():
        if name.startswith("time/"):
            layer, _, lag = name.removeprefix("time/").rpartition("/")
            layers.setdefault(layer, []).append((int(lag), values))
    if not layers:
        return None
    heights, ends = [], []
    longest = max(lag for lags in layers.values() for lag, _ in lags)
    for number, (layer, lags) in enumerate(list(layers.items())[:4]):
        steps = sorted({step for _, values in lags for step in values["steps"]})
        for style, step in zip((":", "-"), dict.fromkeys((steps[0], steps[-1]))):
            pairs = [(-lag, dict(zip(values["steps"], values["values"])).get(step)) for lag, values in sorted(lags)]
            pairs = [(x, y) for x, y in pairs if y is not None and math.isfinite(y) and y > 0]
            if pairs:
                heights += [y for _, y in pairs]
                ends += [y for x, y in pairs if x == 0 and step == steps[-1]]
                axes.plot(*zip(*pairs), style, color=theme.color(number), label=literal(f"{layer}, step {step:,}", 32))
    if ends:  # where the doctor's rules speak up
        low = min(ends) * AILMENTS["gradient vanishing through time"].threshold
        high = max(ends) * AILMENTS["gradient exploding through time"].threshold
        if min(heights) < low:
            axes.axhspan(min(heights) / 3, low, color=theme.color(1), alpha=_shade(theme), lw=0, label="vanishing")
        if max(heights) > high:
            axes.axhspan(high, max(heights) * 3, color=theme.color(3), alpha=_shade(theme), lw=0, label="exploding")
    axes.set(yscale="log", xlabel="position, counted from the sequence's end", ylabel="|dL/dh|", xlim=(-longest - 0.5, 0.5))
    axes.set_title("Through time: the gradient of the hidden states")
    axes.legend(loc="best", fontsize=8)
    return f"the gradient through time, over {longest} steps"


def _shares(axes: Any, series: dict, theme: Theme) -> str | None:
    found = [(name, v) for name, v in series.items() if name.startswith(("saturated/", "dead/")) and v["steps"]]
    if not found:
        return None
    worst = sorted(found, key=lambda f: -max(v for v in f[1]["values"] if v is not None))[:5]
    for number, (name, values) in enumerate(worst):
        marker = "o" if len(values["steps"]) == 1 else None
        heights = [math.nan if v is None else 100 * v for v in values["values"]]
        axes.plot(values["steps"], heights, color=theme.color(number), marker=marker, label=literal(name, 40))
    limit = 100 * AILMENTS["dead units"].threshold
    axes.axhspan(limit, 102, color=theme.color(1), alpha=_shade(theme), lw=0)
    axes.set(
        ylim=(-2, 102), xlabel="training step", ylabel="share (%)", title="Dead and saturated units: the worst five places"
    )
    axes.legend(loc="center right", fontsize=8)
    return "the share of dead and saturated units"


def _loss(axes: Any, series: dict, theme: Theme) -> str | None:
    values = series.get("loss")
    axes.set(xlabel="training step", ylabel="loss", title="Loss")
    if not values:
        axes.text(0.5, 0.5, "no loss was given to monitor.step()", ha="center", transform=axes.transAxes, color=theme.faint)
        return None
    axes.plot(values["steps"], [math.nan if v is None else v for v in values["values"]], color=theme.color(0))
    return "the loss"


def _in_words(names: list[str], steps: list[int], table: np.ndarray, shown: str | None) -> str:
    last = table[:, -1]
    finite = last[np.isfinite(last) & (last > 0)]
    span = f"; in step {steps[-1]:,} per weight from {finite.min():.2g} to {finite.max():.2g}" if finite.size else ""
    count = "1 weight matrix" if len(names) == 1 else f"{len(names)} weight matrices"
    return f"gradient flow of {count} over {len(steps)} looks{span}" + (f"; with {shown}" if shown else "")
