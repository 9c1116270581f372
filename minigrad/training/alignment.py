"""Where a translator looked as it wrote, as an SVG picture, written by hand: any browser shows it without anything installed.

A row for each written word, a column for each word of the source; the darker a cell, the more the decoder looked there. A row
sums to 1.
"""

from collections.abc import Sequence
from html import escape

import numpy as np

from minigrad.errors import ShapeError

_CELL, _CHARACTER, _FEW = 40, 7.2, 400  # pixels, pixels, cells whose numbers can still be read
_LIGHT, _DARK = np.array([247, 251, 255]), np.array([8, 48, 107])  # from almost white to dark blue: dark in black and white too
_STYLE = (
    "text{font:12px system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif;fill:#222}"
    ".title{font-size:15px;font-weight:600}.axis{fill:#666}.number{font-size:11px;text-anchor:middle}"
)


def draw(weights: np.ndarray, source: Sequence[str], written: Sequence[str], title: str = "Where the decoder looked") -> str:
    """The text of an SVG file.

    Args:
        weights: (written, source), each from 0 to 1.
        source, written: the words, as many as there are columns and rows.

    Raises:
        ShapeError: if there is not one row and one column for each word.
    """
    rows, columns = len(written), len(source)
    if np.shape(weights) != (rows, columns) or not rows * columns:
        raise ShapeError(
            f"the picture has a row for each written word and a column for each source word, {rows} and {columns}: "
            f"got weights of shape {np.shape(weights)}"
        )
    left = 44 + _CHARACTER * max(map(_length, written))
    top = 74 + _CHARACTER * 0.75 * max(map(_length, source))  # the words above stand at an angle
    right, bottom = left + columns * _CELL, top + rows * _CELL
    width, height = max(right + 130, 330), max(bottom, top + 150) + 24
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style>",
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="#fff"/>',
        f'<text class="title" x="16" y="26">{escape(title)}</text>',
        f'<text class="axis" x="{left:.0f}" y="50">source words</text>',
        f'<text class="axis" transform="translate(20 {(top + bottom) / 2:.0f}) rotate(-90)" text-anchor="middle">'
        "written words</text>",
    ]
    for column, word in enumerate(source):
        at = f"translate({left + (column + 0.5) * _CELL:.1f} {top - 8:.1f}) rotate(-40)"
        parts.append(f'<text class="source" transform="{at}">{_shown(word)}</text>')
    for row, word in enumerate(written):
        at = f'x="{left - 8:.1f}" y="{top + (row + 0.5) * _CELL + 4:.1f}"'
        parts.append(f'<text class="written" {at} text-anchor="end">{_shown(word)}</text>')
    numbered = rows * columns <= _FEW
    for row in range(rows):
        for column in range(columns):
            parts += _cell(left + column * _CELL, top + row * _CELL, float(weights[row, column]), numbered)
    return "\n".join([*parts, *_colour_bar(right + 34, top), "</svg>\n"])


def _cell(x: float, y: float, weight: float, numbered: bool) -> list[str]:
    parts = [f'<rect class="cell" x="{x:.1f}" y="{y:.1f}" width="{_CELL}" height="{_CELL}" fill="{_colour(weight)}"/>']
    if numbered and weight >= 0.005:  # what would read 0.00 is left out
        ink = "#fff" if weight > 0.5 else "#222"
        at = f'x="{x + _CELL / 2:.1f}" y="{y + _CELL / 2 + 4:.1f}"'
        parts.append(f'<text class="number" {at} style="fill:{ink}">{weight:.2f}</text>')
    return parts


def _colour_bar(x: float, top: float) -> list[str]:
    """Weights from 1 down to 0, with what they are."""
    steps, height = 50, 120
    parts = [
        f'<rect x="{x:.1f}" y="{top + i * height / steps:.2f}" width="14" height="{height / steps + 0.3:.2f}" '
        f'fill="{_colour(1 - (i + 0.5) / steps)}"/>'
        for i in range(steps)
    ]
    for value in (0.0, 0.5, 1.0):
        parts.append(f'<text x="{x + 20:.1f}" y="{top + (1 - value) * height + 4:.1f}">{value:.1f}</text>')
    at = f"translate({x + 58:.1f} {top + height / 2:.1f}) rotate(-90)"
    return [*parts, f'<text class="axis" transform="{at}" text-anchor="middle">weight (a row sums to 1)</text>']


def _colour(weight: float) -> str:
    red, green, blue = np.rint(_LIGHT + (_DARK - _LIGHT) * min(max(weight, 0.0), 1.0)).astype(int)
    return f"#{red:02x}{green:02x}{blue:02x}"


def _shown(word: str) -> str:
    """A token as one reads it: a space within it is a mark, since at its edge it would not be seen."""
    return escape(word.strip(" ▁") or "␣")


def _length(word: str) -> int:
    return len(word.strip(" ▁")) or 1
