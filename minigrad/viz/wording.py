"""Names, numbers and shapes as graphs show them: short, and escaped so that any text can be a name."""

from __future__ import annotations

import math
import re
from html import escape

_NAME, _TOOLTIP = 44, 8000  # characters of a name that a label shows, and of the text that a pointer brings up


def clean(text: object) -> str:
    """Text without what XML cannot hold: control characters and halves of surrogate pairs."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in str(text))


def shortened(text: object, longest: int = _NAME) -> str:
    """Text in one line of at most ``longest`` characters: its beginning and, behind an ellipsis, its end."""
    line = clean(text).replace("\n", "⏎")
    if len(line) <= longest:
        return line
    tail = longest // 3
    return f"{line[: longest - 1 - tail]}…{line[-tail:]}"


def words(text: object, longest: int = _NAME) -> str:
    """Text for an HTML-like label."""
    # Graphviz puts the name of a node for \N, even if it is written in entities: a space without width keeps the two apart.
    return escape(re.sub(r"\\(?=[A-Za-z])", "\\\\\u200b", shortened(text, longest)))


def quoted(text: object) -> str:
    """Text for an attribute between quotes, where a newline starts a new line."""
    cut = clean(text)
    cut = cut if len(cut) <= _TOOLTIP else cut[: _TOOLTIP - 1] + "…"
    # Graphviz reads entities in quoted text, so an ampersand is one too. A backslash begins an escape even there, twice over.
    cut = (
        cut.replace("&", "&amp;").replace("\\", "&#92;" * 4).replace('"', "&quot;").replace("<", "&lt;").replace("\n", "&#10;")
    )
    return f'"{cut}"'


def number(value: float) -> str:
    """Three digits, with a power of ten where there would be many zeros."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    if 0.001 <= abs(value) < 10_000:
        return f"{value:.3g}"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def between(values: list[float]) -> str:
    """One number, or the range of several."""
    low, high = number(min(values)), number(max(values))
    return low if low == high else f"{low} … {high}"


def dims(shape: tuple) -> str:
    """A shape as pictures show it: 8×20×128, or "scalar"."""
    return "×".join(map(str, shape)) or "scalar"
