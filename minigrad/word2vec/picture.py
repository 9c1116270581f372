"""Labelled points as an SVG picture, written by hand: any browser shows it, and nothing needs to be installed."""

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import numpy as np

from minigrad.errors import ShapeError

_WIDTH, _HEIGHT, _TOP, _SIDE, _BOTTOM = 900, 680, 56, 28, 44  # pixels
_FONT, _LETTER = 12, 7.0  # pixels: the size of a label, and the mean width of its characters
_LONGEST = 24  # characters of a label; what is longer ends in an ellipsis, and a tooltip shows all
# Distinct for colour-blind readers too (Okabe and Ito 2008).
_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#a87b00", "#56b4e9", "#7f7f7f")
_STYLE = (
    f"text{{font:{_FONT}px system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif;fill:#444}}"
    ".title{font-size:15px;font-weight:600;fill:#222}.frame{fill:none;stroke:#ccc}.lead{stroke:#bbb}"
    ".halo{stroke:#fff;stroke-width:3px}"
)


class Box(NamedTuple):
    """A rectangle on the picture: where its corners are."""

    left: float
    top: float
    right: float
    bottom: float


def scatter(
    points: np.ndarray,
    labels: Sequence[str],
    *,
    groups: Sequence[str] | None = None,
    title: str = "",
    axes: tuple[str, str] = ("", ""),
) -> str:
    """Draw labelled points.

    One unit is equally long on both axes, so that distances look as they are. A label stands where it covers the least: beside
    its point or a little further away, with a line to it. Where every place is taken it is left to the tooltip.

    Args:
        points: ``(n, 2)``, of any scale.
        labels: the text at each point; the earlier ones choose their places first.
        groups: a name for each point; those with the same name have one colour, and a legend tells which.
        title: text above the picture.
        axes: labels of the horizontal and the vertical axis.

    Returns:
        The text of an SVG file.
    """
    points = np.asarray(points, np.float64)
    if points.shape != (len(labels), 2) or (groups is not None and len(groups) != len(labels)) or not len(labels):
        raise ShapeError(
            f"a picture needs one point, one label and, if any, one group each: got points of shape {points.shape}, "
            f"{len(labels)} labels and {'no' if groups is None else len(groups)} groups"
        )
    x, y = _placed(points)
    names = list(dict.fromkeys(groups or []))
    colors = [_COLORS[names.index(group) % len(_COLORS)] for group in groups] if groups else [_COLORS[0]] * len(labels)
    shown = [label if len(label) <= _LONGEST else label[: _LONGEST - 1] + "…" for label in labels]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}">',
        f"<title>{_text(title or 'word vectors')}</title><style>{_STYLE}</style>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        f'<text class="title" x="{_SIDE}" y="26">{_text(title)}</text>',
        f'<path class="frame" d="M{_SIDE} {_TOP}H{_WIDTH - _SIDE}V{_HEIGHT - _BOTTOM}H{_SIDE}Z"/>',
        *_legend(names),
    ]
    boxes = label_boxes(x, y, shown, Box(_SIDE, _TOP, _WIDTH - _SIDE, _HEIGHT - _BOTTOM))
    for box, at_x, at_y in zip(boxes, x, y):
        if box is not None and (lead := _lead(box, at_x, at_y)):
            parts.append(lead)
    for label, color, at_x, at_y in zip(labels, colors, x, y):
        note = f"<title>{_text(label)}</title>"
        parts.append(f'<circle cx="{at_x:.1f}" cy="{at_y:.1f}" r="3.5" fill="{color}">{note}</circle>')
    for box, label in zip(boxes, shown):
        if box is not None:
            at = f'x="{box.left + 1:.1f}" y="{box.bottom - 3:.1f}"'
            # The halo is a text of its own: not every viewer knows paint-order, without which a halo would cover its text.
            parts.append(f'<text class="halo" aria-hidden="true" {at}>{_text(label)}</text><text {at}>{_text(label)}</text>')
    if any(axes):
        middle = (_TOP + _HEIGHT - _BOTTOM) / 2
        parts.append(f'<text x="{_WIDTH / 2:.0f}" y="{_HEIGHT - 16}" text-anchor="middle">{_text(axes[0])}</text>')
        parts.append(f'<text transform="translate(18 {middle:.0f}) rotate(-90)" text-anchor="middle">{_text(axes[1])}</text>')
    return "\n".join([*parts, "</svg>\n"])


def _placed(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels: the points in the middle of the frame, as large as they fit with room for labels."""
    low, high = points.min(0), points.max(0)
    room = np.array([_WIDTH - 2 * _SIDE - 120, _HEIGHT - _TOP - _BOTTOM - 50])
    extent = high - low
    scale = min((pixels / length for pixels, length in zip(room, extent) if length > 0), default=1.0)
    centre = np.array([_WIDTH / 2, (_TOP + _HEIGHT - _BOTTOM) / 2])
    pixels = (points - (low + high) / 2) * scale * [1, -1] + centre
    return pixels[:, 0], pixels[:, 1]


def label_boxes(x: np.ndarray, y: np.ndarray, labels: Sequence[str], frame: Box, most: int | None = None) -> list[Box | None]:
    """Where each label of 12 pixels stands: the first free one of the places around its point, the nearer ones first.

    Args:
        x, y: the points, ``(n,)`` pixels; y goes down.
        labels: the text at each point; the earlier ones choose first.
        frame: which no label leaves.
        most: how many labels get a place at all, the first ones; all where left out.

    Returns:
        A box for each of these labels, or None where every place is taken.
    """
    taken = np.empty((len(labels), 4))
    count = 0
    boxes: list[Box | None] = []
    for label, at_x, at_y in zip(labels[:most], x, y):
        chosen = None
        for box in _places(at_x, at_y, _LETTER * _columns(label) + 2):
            inside = box.left > frame.left and box.right < frame.right and box.top > frame.top and box.bottom < frame.bottom
            others = taken[:count]
            free = not (
                (others[:, 0] < box.right) & (others[:, 2] > box.left) & (others[:, 1] < box.bottom) & (others[:, 3] > box.top)
            ).any()
            dots = (x > box.left - 4) & (x < box.right + 4) & (y > box.top - 4) & (y < box.bottom + 4)
            if inside and free and not dots.any():
                chosen = box
                taken[count] = box
                count += 1
                break
        boxes.append(chosen)
    return boxes


def _places(x: float, y: float, width: float) -> list[Box]:
    """Boxes around a point: beside it, above and below, then all around at growing distance."""
    height = _FONT + 3.0
    boxes = [
        Box(x + 6, y - height / 2, x + 6 + width, y + height / 2),
        Box(x - 6 - width, y - height / 2, x - 6, y + height / 2),
        Box(x - width / 2, y - 5 - height, x + width / 2, y - 5),
        Box(x - width / 2, y + 5, x + width / 2, y + 5 + height),
    ]
    for radius in (14, 24, 36, 50):
        for step in range(12):
            angle = math.tau * step / 12
            centre_x = x + math.cos(angle) * (radius + width / 2)
            centre_y = y - math.sin(angle) * (radius + height / 2)
            boxes.append(Box(centre_x - width / 2, centre_y - height / 2, centre_x + width / 2, centre_y + height / 2))
    return boxes


def _lead(box: Box, x: float, y: float) -> str:
    """A line from a point to its label, unless they are side by side."""
    near_x, near_y = min(max(x, box.left), box.right), min(max(y, box.top), box.bottom)
    if math.hypot(near_x - x, near_y - y) < 10:
        return ""
    return f'<path class="lead" d="M{x:.1f} {y:.1f}L{near_x:.1f} {near_y:.1f}"/>'


def _legend(names: Sequence[str]) -> list[str]:
    parts, at = [], float(_SIDE)
    for number, name in enumerate(names):
        parts.append(f'<circle cx="{at + 5:.0f}" cy="43" r="4.5" fill="{_COLORS[number % len(_COLORS)]}"/>')
        parts.append(f'<text x="{at + 14:.0f}" y="47">{_text(name)}</text>')
        at += 32 + _LETTER * _columns(name)
    return parts


def _columns(text: str) -> float:
    """The width of a text in mean letters: those of Chinese, Japanese and Korean are nearly twice as wide."""
    return sum(1.8 if character >= "\u2e80" else 1 for character in text)


def _text(text: str) -> str:
    """Text as XML holds it: without control characters and lone surrogates, which no XML file may contain."""
    return escape("".join(c if c.isprintable() else "\ufffd" for c in text))
