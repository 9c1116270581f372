"""Pictures of attention: what each position looks at, head by head."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..errors import ShapeError, UsageError
from ..tensor import Tensor, raw
from .style import LIGHT, Picture, Theme, canvas, heat, literal, theme_of

_WIDTH = 8.6  # inches: what a page or a notebook shows unscaled
_MOST_HEADS, _MOST_STEPS = 16, 6
_LETTER = 0.085  # inches: the mean width of a character of a token
_LONGEST = 14  # characters of a token; what is longer ends in an ellipsis


class _Scale(NamedTuple):
    """What a colour means: from 0 to ``top``, or from ``-top`` to ``top``."""

    label: str
    signed: bool
    top: float


class _Panel(NamedTuple):
    """One matrix of the picture: ``values`` and ``masked`` (queries, keys)."""

    values: np.ndarray
    masked: np.ndarray
    scale: _Scale
    title: str


class _Sheet(NamedTuple):
    """The whole: rows of panels, a name for each row where it has one, and the tokens beside and below."""

    rows: list[list[_Panel]]
    names: list[str]
    queries: list[str]
    keys: list[str]


def attention(
    weights: Any,
    queries: Sequence[str] | None = None,
    keys: Sequence[str] | None = None,
    grad: Any = None,
    mask: Any = None,
    *,
    heads: Sequence[str] | None = None,
    title: str = "",
    theme: Theme | str = LIGHT,
) -> Picture:
    """Draw attention weights: a panel for each head, a row for each query, a column for each key.

    Args:
        weights: (queries, keys), or (heads, queries, keys). A list of such arrays, or a dict of them by training step, becomes
            a film strip: a row of panels for each head, from left to right over training.
        queries: the tokens that look. Their numbers where left out.
        keys: the tokens looked at; as ``queries`` where left out and equally many.
        grad: the gradient of the loss by the weights, shaped as they are. It stands beside them, and their product as well: to
            first order, by how much the loss would fall if that weight became 0.
        mask: (queries, keys), (heads, queries, keys) or (keys), True where a query may **not** attend: such cells are hatched.
        heads: a name for each head.
        title: text above the picture.
        theme: "light" or "dark".

    Raises:
        ShapeError: where the shapes do not belong together.
        MissingExtraError: without matplotlib.
    """
    theme = theme_of(theme)
    film = _film(weights)
    values = np.stack(list(film.values()))  # (steps, heads, queries, keys)
    count, rows, columns = values.shape[1:]
    if keys is None and rows == columns:
        keys = queries
    queries, keys = _tokens("queries", queries, rows), _tokens("keys", keys, columns)
    masked = _mask(mask, values.shape[1:])
    names = [str(name) for name in heads] if heads is not None else [f"head {i + 1}" for i in range(count)]
    if len(names) != count:
        raise ShapeError(f"each head has one name: got {len(names)} names for {count} heads")
    text = _summary(values[-1], queries, keys, names, len(film))
    shown = range(min(count, _MOST_HEADS))
    row_names = [names[h] if count > 1 or heads else "" for h in shown]
    if count > _MOST_HEADS:
        title = f"{title or 'attention'} (the first {_MOST_HEADS} of {count} heads)"
    if len(film) > 1:
        if grad is not None:
            raise UsageError("a film over training shows weights alone: got grad too; draw one step with its gradient")
        steps = list(film)
        kept = np.unique(np.linspace(0, len(steps) - 1, min(len(steps), _MOST_STEPS)).round().astype(int))
        scale = _scale("attention weight", False, values[kept])
        labels = {i: f"step {steps[i]:,}" if isinstance(steps[i], int) else literal(steps[i]) for i in kept}
        panels = [[_Panel(values[i, h], masked[h], scale, labels[i] if h == 0 else "") for i in kept] for h in shown]
        sheet = _Sheet(panels, row_names, queries, keys)
        return _draw(sheet, _panel_width(sheet, len(kept)), title or "attention over training", theme, text)
    if grad is not None:
        slope = _by_head(grad)
        if slope.shape != values.shape[1:]:
            raise ShapeError(f"the gradient is shaped as the weights, {values.shape[1:]}: got {slope.shape}")
        three = {"weight": values[0], "gradient": slope, "weight × gradient": values[0] * slope}
        units = "attention weight", "∂ loss / ∂ weight", "weight × ∂ loss / ∂ weight"
        scales = [_scale(unit, i > 0, array) for i, (unit, array) in enumerate(zip(units, three.values()))]
        panels = [
            [_Panel(array[h], masked[h], scale, name if h == 0 else "") for scale, (name, array) in zip(scales, three.items())]
            for h in shown
        ]
        sheet = _Sheet(panels, row_names, queries, keys)
        return _draw(sheet, _panel_width(sheet, 3), title or "attention and its gradient", theme, text)
    scale = _scale("attention weight", False, values[0])
    flat = [_Panel(values[0, h], masked[h], scale, literal(names[h]) if count > 1 or heads else "") for h in shown]
    sheet = _Sheet([flat], [""], queries, keys)
    wide = _panel_width(sheet, 1)
    most = max(1, min(len(flat), 4, int((_WIDTH - 1.2 - _room(queries)) / (wide + 0.1))))
    across = math.ceil(len(flat) / math.ceil(len(flat) / most))  # rows of equally many
    panels = [flat[i : i + across] for i in range(0, len(flat), across)]
    return _draw(sheet._replace(rows=panels, names=[""] * len(panels)), wide, title or "attention", theme, text)


# -- drawing ------------------------------------------------------------------------------------------------------------


def _panel_width(sheet: _Sheet, across: int) -> float:
    """Inches: room for every key's token, as far as ``across`` panels fit side by side."""
    widest = (_WIDTH - 1.2 - _room(sheet.queries)) / across - 0.1
    return min(max(0.19 * len(sheet.keys), 1.25), max(widest, 0.9), 5.5)


def _room(tokens: Sequence[str]) -> float:
    """Inches that the longest token takes."""
    return 0.15 + _LETTER * min(max(map(len, tokens), default=1), _LONGEST)


def _draw(sheet: _Sheet, wide: float, title: str, theme: Theme, text: str) -> Picture:
    rows = sheet.rows
    down, across = len(rows), max(map(len, rows))
    scales = list(dict.fromkeys(panel.scale for row in rows for panel in row))
    high = min(max(wide * len(sheet.queries) / len(sheet.keys), 0.19 * len(sheet.queries), 0.8), 5.5)
    titles = sum(any(panel.title for panel in row) for row in rows)
    width = 0.75 + _room(sheet.queries) + across * (wide + 0.1) + (0.8 if len(scales) == 1 else 0.1)
    height = 0.85 + _room(sheet.keys) + down * (high + 0.12) + 0.25 * titles + (0.0 if len(scales) == 1 else 0.75)
    with canvas(max(width, 4.0), height, theme) as figure:
        grid = figure.subplots(down, across, squeeze=False)
        images: dict[_Scale, Any] = {}
        for i, row in enumerate(rows):
            for j, axes in enumerate(grid[i]):
                if j >= len(row):
                    axes.remove()
                    continue
                panel = row[j]
                colors = theme.diverging if panel.scale.signed else theme.sequential
                low = -panel.scale.top if panel.scale.signed else 0.0
                images[panel.scale] = heat(axes, panel.values, colors, low, panel.scale.top)
                _hatch(axes, panel.masked, theme)
                axes.set_title(panel.title)
                _write_tokens(axes, sheet, wide, high, left=j == 0, below=i == down - 1 or j >= len(rows[i + 1]))
                if j == 0 and sheet.names[i]:
                    axes.set_ylabel(literal(sheet.names[i]))
        _color_bars(figure, grid, images)
        figure.suptitle(literal(title, 100))
        figure.supxlabel("keys: what is looked at" + ("   (hatched: masked)" if _any_masked(rows) else ""), fontsize=10)
        figure.supylabel("queries: what looks", fontsize=10)
    return Picture(figure, text, theme)


def _color_bars(figure: Any, grid: np.ndarray, images: dict[_Scale, Any]) -> None:
    """One beside all panels, or one below each column."""
    for j, (scale, image) in enumerate(images.items()):
        if len(images) == 1:
            beside = [axes for axes in grid.ravel() if axes.figure is not None]
            bar = figure.colorbar(image, ax=beside, label=scale.label, fraction=0.05, aspect=22, pad=0.015)
        else:
            bar = figure.colorbar(image, ax=list(grid[:, j]), label=scale.label, location="bottom", aspect=16, pad=0.02)
        bar.outline.set_visible(False)
        bar.ax.locator_params(nbins=4)


def _write_tokens(axes: Any, sheet: _Sheet, wide: float, high: float, *, left: bool, below: bool) -> None:
    """Tokens along the edges of the whole, every other or fewer where there are more than fit."""
    axes.tick_params(length=0)
    for axis, tokens, inches, wanted in ((axes.xaxis, sheet.keys, wide, below), (axes.yaxis, sheet.queries, high, left)):
        every = math.ceil(0.125 * len(tokens) / inches)
        places = range(0, len(tokens), every)
        labels = [literal(tokens[i], _LONGEST) if wanted else "" for i in places]
        upright = axis is axes.xaxis and max(map(len, labels)) > 2
        axis.set_ticks(places, labels, fontsize=8.5, rotation=90 if upright else 0)


def _hatch(axes: Any, masked: np.ndarray, theme: Theme) -> None:
    """Cells that hold no weight because none was allowed."""
    if masked.any():
        from matplotlib.collections import PatchCollection
        from matplotlib.patches import Rectangle

        cells = [Rectangle((float(column) - 0.5, float(row) - 0.5), 1, 1) for row, column in np.argwhere(masked)]
        axes.add_collection(
            PatchCollection(cells, facecolor=theme.background, edgecolor=theme.faint, linewidth=0, hatch="/////"), autolim=False
        )


def _any_masked(rows: list[list[_Panel]]) -> bool:
    return any(panel.masked.any() for row in rows for panel in row)


# -- what comes in ------------------------------------------------------------------------------------------------------


def _film(weights: Any) -> dict[Any, np.ndarray]:
    """Arrays (heads, queries, keys) by training step; one alone has the step 0."""
    if isinstance(weights, Mapping):
        film = {step: _by_head(array) for step, array in weights.items()}
    elif isinstance(weights, (list, tuple)) and weights and isinstance(weights[0], (np.ndarray, Tensor)):
        film = {i: _by_head(array) for i, array in enumerate(weights)}
    else:
        film = {0: _by_head(weights)}
    shapes = {array.shape for array in film.values()}
    if len(shapes) != 1:
        raise ShapeError(f"a film shows one sentence over training, so all its steps have one shape: got {sorted(shapes)}")
    return film


def _by_head(weights: Any) -> np.ndarray:
    """(heads, queries, keys) float64; with NaN for what is not finite."""
    array = np.asarray(raw(weights), np.float64)
    if array.ndim not in (2, 3) or not array.size:
        advice = f"; choose one sentence of the batch, as in weights[0] of shape {array.shape[1:]}" if array.ndim == 4 else ""
        raise ShapeError(f"attention weights are (queries, keys) or (heads, queries, keys): got {array.shape}{advice}")
    array = array[None] if array.ndim == 2 else array
    return np.where(np.isfinite(array), array, np.nan)


def _tokens(what: str, tokens: Sequence[str] | None, count: int) -> list[str]:
    if tokens is None:
        return [str(i) for i in range(count)]
    tokens = [str(token) for token in tokens]
    if len(tokens) != count:
        raise ShapeError(f"each of the {what} has one token: got {len(tokens)} tokens for {count} {what} of the weights")
    return tokens


def _mask(mask: Any, shape: tuple[int, ...]) -> np.ndarray:
    if mask is None:
        return np.zeros(shape, np.bool_)
    array = np.asarray(raw(mask))
    if array.dtype != np.bool_ or array.shape not in (shape, shape[1:], shape[2:]):
        raise ShapeError(
            f"the mask is bool, True where a query may not attend, with the shape {shape[1:]}, {shape} or {shape[2:]} here: "
            f"got {array.dtype} of shape {array.shape}"
        )
    return np.broadcast_to(array, shape)


def _scale(label: str, signed: bool, values: np.ndarray) -> _Scale:
    finite = np.abs(values[np.isfinite(values)])
    return _Scale(label, signed, float(finite.max()) if finite.size and finite.max() > 0 else 1.0)


def _summary(values: np.ndarray, queries: list[str], keys: list[str], names: list[str], steps: int) -> str:
    """In words: the size, and of each head how much it spreads and what it looks at most."""
    parts = [f"attention of {len(names)} head{'s' * (len(names) > 1)}, {len(queries)} queries to {len(keys)} keys"]
    if steps > 1:
        parts[0] += f", at {steps} steps of training; at the last"
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = -np.nansum(values * np.log(values), axis=-1).mean(-1)
    for name, matrix, entropy in zip(names[:4], values, spread):
        if np.isfinite(matrix).any():
            row, column = np.unravel_index(np.nanargmax(matrix), matrix.shape)
            parts.append(
                f"{name}: {queries[row]} looks most at {keys[column]} ({matrix[row, column]:.2f}), entropy {entropy:.2f} nats"
            )
    return "; ".join(parts)
