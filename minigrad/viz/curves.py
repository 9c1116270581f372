"""The loss curves of a run, as a picture like the others: on light or dark, as SVG, PNG or PDF."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ..errors import DataError
from ..training.curves import Panel, format_tick, panels
from ..training.rundir import RunDirectory
from .style import LIGHT, Picture, Theme, canvas, literal, theme_of

_COLORS = {"training loss": 0, "validation loss": 1, "BLEU": 2, "chrF": 3, "exact match": 4, "learning rate": 6}


def curves(
    run: RunDirectory | str | os.PathLike | Iterable[Mapping[str, Any]],
    *,
    log_scale: bool = False,
    title: str = "",
    theme: Theme | str = LIGHT,
) -> Picture:
    """Draw the losses, scores and learning rate of a run over its steps.

    It shows what the run's own ``loss.svg`` does, which needs no matplotlib: the training loss smoothed over its faint values,
    the validation loss as points, a ring at the best.

    Args:
        run: a run directory or its path, or lines such as those of its ``metrics.jsonl``.
        log_scale: losses on a logarithmic axis.
        title: text above the picture.
        theme: "light" or "dark".

    Raises:
        DataError: nothing has been recorded.
        MissingExtraError: without matplotlib.
    """
    theme = theme_of(theme)
    if isinstance(run, (str, os.PathLike)):
        run = RunDirectory.open(run)
    if isinstance(run, RunDirectory):
        title = title or run.path.name
        run = run.metrics()
    lines = sorted(run, key=lambda line: line["step"])
    drawn = panels(lines, log_scale)
    if not drawn:
        raise DataError("loss curves need something recorded: got no losses, scores or rates; train some steps first")
    heights = [panel.height for panel in drawn]
    with canvas(8.6, (sum(heights) + 60 * len(heights) + 60) / 96, theme) as figure:
        every = figure.subplots(len(drawn), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
        for axes, panel in zip(every, drawn):
            _draw(axes, panel, theme)
        every[-1].set_xlabel("step (updates of the weights)")
        every[-1].xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        every[-1].xaxis.get_major_locator().set_params(integer=True)
        figure.align_ylabels()
        figure.suptitle(literal(title or "loss curves", 90))
    best = [
        f"best {s.label} {s.best_point[1]:.4g} at step {s.best_point[0]:,}" for p in drawn for s in p.series if s.best_point
    ]
    return Picture(figure, "; ".join(["curves of " + (title or "a run"), *best]), theme)


def _draw(axes: Any, panel: Panel, theme: Theme) -> None:
    every = []
    for series in panel.series:
        color = theme.color(_COLORS.get(series.label, 0))
        x, y = np.array(series.points, np.float64).T
        label = series.label if series.best_point is None else f"{series.label}, best {series.best_point[1]:.4g}"
        if series.raw:
            axes.plot(*np.array(series.raw, np.float64).T, color=color, alpha=0.3, linewidth=0.8)
        marked = len(x) == 1 or (series.dots and len(x) <= 100)
        axes.plot(x, y, color=color, label=label, marker="o" if marked else None, markersize=4)
        if series.best_point is not None:
            axes.plot(
                *series.best_point, "o", markersize=10, markerfacecolor="none", markeredgecolor=color, markeredgewidth=1.2
            )
        every.append(y)
    values = np.concatenate(every)
    values = values[np.isfinite(values)]
    if panel.log:
        axes.set_yscale("log")
    else:
        low, high = float(values.min()), float(values.max())
        margin = 0.07 * (high - low) or 0.5 * abs(high) or 0.5
        axes.set_ylim(max(low - margin, min(low, panel.floor)), high + margin)  # single spikes of the faint values may leave it
        axes.yaxis.set_major_formatter(lambda value, _: format_tick(round(value, 12)))
        axes.locator_params(axis="y", nbins=max(2, panel.height // 45))
    axes.margins(x=0.02)
    axes.set_ylabel(panel.label)
    if [series.label for series in panel.series] != [panel.label]:
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=len(panel.series), borderpad=0.1)
