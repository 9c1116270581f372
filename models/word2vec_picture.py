"""The picture of a lesson: where words are before training and after it, side by side, with the ways that they went."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import numpy as np

from minigrad.training.curves import format_tick, ticks

_SIZE, _LEFT, _GAP, _TOP, _BOTTOM = 380, 56, 46, 58, 44  # pixels
_WIDTH, _HEIGHT = _LEFT + 2 * _SIZE + _GAP + 20, _TOP + _SIZE + _BOTTOM
_COLORS = ("#0072b2", "#009e73", "#7f7f7f", "#d55e00", "#cc79a7", "#a87b00", "#56b4e9")  # Okabe and Ito 2008
_STYLE = (
    "text{font:12px system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif;fill:#444}"
    ".title{font-size:15px;font-weight:600;fill:#222}.grid{stroke:#e6e6e6}.axis{stroke:#999;fill:none}"
    ".word{font-size:13px}.way{fill:none;stroke-width:1.5;opacity:.45}"
)


class Panel(NamedTuple):
    """Words as points: ``points`` (words, 2), and where they came from, ``ways`` (times, words, 2)."""

    title: str
    points: np.ndarray
    words: Sequence[str]
    ways: np.ndarray | None = None


def before_and_after(panels: Sequence[Panel], title: str, axes: str) -> str:
    """The text of an SVG file: two panels on one scale, one unit equally long on both axes, which ``axes`` explains."""
    every = np.concatenate([panel.points for panel in panels] + [p.ways.reshape(-1, 2) for p in panels if p.ways is not None])
    middle = (every.min(0) + every.max(0)) / 2
    reach = 0.58 * float((every.max(0) - every.min(0)).max()) or 1.0  # half a side, with room for labels
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/><text class="title" x="{_LEFT}" y="24">{escape(title)}</text>',
    ]
    for number, panel in enumerate(panels):
        left = _LEFT + number * (_SIZE + _GAP)
        parts += _draw(panel, left, middle, reach)
        parts.append(f'<text x="{left + _SIZE / 2:.0f}" y="{_HEIGHT - 10}" text-anchor="middle">{escape(axes)}</text>')
    return "\n".join([*parts, "</svg>\n"])


def _draw(panel: Panel, left: int, middle: np.ndarray, reach: float) -> list[str]:
    def pixels(points: np.ndarray) -> np.ndarray:
        scaled = (points - middle) / reach * [1, -1]
        return np.array([left, _TOP]) + _SIZE / 2 * (1 + scaled)

    parts = [f'<text x="{left}" y="{_TOP - 10}">{escape(panel.title)}</text>']
    for value in ticks(middle[0] - reach, middle[0] + reach):
        at = f"{pixels(np.array([value, 0]))[0]:.1f}"
        parts.append(f'<path class="grid" d="M{at} {_TOP}v{_SIZE}"/>')
        parts.append(f'<text x="{at}" y="{_TOP + _SIZE + 16}" text-anchor="middle">{format_tick(value)}</text>')
    for value in ticks(middle[1] - reach, middle[1] + reach):
        at = f"{pixels(np.array([0, value]))[1]:.1f}"
        parts.append(f'<path class="grid" d="M{left} {at}h{_SIZE}"/>')
        parts.append(f'<text x="{left - 6}" y="{at}" dy="4" text-anchor="end">{format_tick(value)}</text>')
    parts.append(f'<path class="axis" d="M{left} {_TOP}v{_SIZE}h{_SIZE}"/>')
    colors = [_COLORS[i % len(_COLORS)] for i in range(len(panel.words))]
    if panel.ways is not None:
        for i, color in enumerate(colors):
            way = "L".join(f"{x:.1f} {y:.1f}" for x, y in pixels(panel.ways[:, i]))
            parts.append(f'<path class="way" stroke="{color}" d="M{way}"/>')
    places = pixels(panel.points)
    for (x, y), color in zip(places, colors):
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{color}"/>')
    for word, (x, _), height, color in zip(panel.words, places, _heights(places), colors):
        right = x > left + 0.7 * _SIZE
        anchor = f'x="{x - 9:.1f}" text-anchor="end"' if right else f'x="{x + 9:.1f}"'
        parts.append(f'<text class="word" {anchor} y="{height:.1f}" dy="4" style="fill:{color}">{escape(word)}</text>')
    return parts


def _heights(places: np.ndarray) -> np.ndarray:
    """Where labels stand: at the height of their points, but moved down where they would cover the one above."""
    heights = places[:, 1].copy()
    done: list[int] = []
    for i in np.argsort(places[:, 1], kind="stable"):
        for j in done:
            if abs(places[i, 0] - places[j, 0]) < 80 and heights[i] < heights[j] + 15:
                heights[i] = heights[j] + 15
        done.append(i)
    return heights
