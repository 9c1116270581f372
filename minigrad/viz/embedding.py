"""Pictures of embeddings: which words lie close together, and how they came there."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..errors import ShapeError, UnknownWordError, UsageError
from ..tensor import Tensor, raw
from ..word2vec.picture import Box, label_boxes
from ..word2vec.projection import checked, principal, project
from .style import LIGHT, Picture, Theme, canvas, literal, theme_of

_WIDTH, _INCH = 8.6, 96.0  # inches of the whole, and pixels of one, as browsers count them
_MOST_WORDS, _MOST_LABELS, _MOST_FRAMES, _MOST_NEAR = 5000, 250, 6, 4
_FEW = 12  # words whose labels stand in every frame of a film; those of more words stand in the last
_LABEL_SIZE = 9.0  # points, 12 pixels: what label_boxes reckons with
_LONGEST = 20  # characters of a label


class _Map(NamedTuple):
    """Points and their words, in colours."""

    points: np.ndarray
    words: list[str]
    colors: list[str]


def embedding(
    matrix: Any,
    words: Sequence[str] | None = None,
    *,
    groups: Sequence[str] | None = None,
    near: Sequence[str] | None = None,
    neighbours: int = 5,
    method: str = "pca",
    unit: bool = False,
    seed: int = 0,
    title: str = "",
    theme: Theme | str = LIGHT,
) -> Picture:
    """Draw embeddings as points of a plane, with the nearest neighbours of some words in the whole space.

    One unit is equally long on both axes. A label stands where it covers the least; where no place is free, it is left out, and
    the earlier words choose first.

    Args:
        matrix: (words, size). A list of such matrices, or a dict of them by training step, becomes a film: small pictures with
            the same axes and **one** projection, that of the last matrix, so that what moves is words and not the axes.
        words: a text for each row; their numbers where left out.
        groups: a name for each row; rows of one group have one colour.
        near: the words whose neighbours are listed and joined by lines; the first three where left out, none for ``()``.
        neighbours: how many, by cosine similarity.
        method: "pca", or "tsne", which needs scikit-learn and has no axes that mean anything.
        unit: scale each vector to length 1 first, so that directions alone count.
        seed: of t-SNE.
        title: text above the picture.
        theme: "light" or "dark".

    Raises:
        ShapeError: where matrix, words and groups do not belong together.
        DataError: NaN or infinity among the numbers.
        MissingExtraError: without matplotlib, or t-SNE without scikit-learn.
    """
    theme = theme_of(theme)
    film = {step: _unit(array) if unit else array for step, array in _film(matrix).items()}
    last = list(film.values())[-1]
    if len(last) > _MOST_WORDS:
        raise UsageError(f"a picture has room for {_MOST_WORDS:,} words at most: got {len(last):,}; choose some of the rows")
    words = [str(i) for i in range(len(last))] if words is None else [str(word) for word in words]
    for name, given in (("word", words), ("group", groups)):
        if given is not None and len(given) != len(last):
            raise ShapeError(f"each row has one {name}: got {len(given)} {name}s for a matrix of shape {last.shape}")
    legend = list(dict.fromkeys(groups)) if groups is not None else []
    colors = [theme.color(legend.index(g)) for g in groups] if groups is not None else [theme.color(0)] * len(words)
    entries = [(literal(name), theme.color(i)) for i, name in enumerate(legend)]
    if len(film) > 1:
        if method != "pca":
            raise UsageError(
                f"a film needs one projection for all its steps, and {method!r} makes a new one for each: choose pca"
            )
        return _draw_film(film, words, colors, entries, title or "embeddings over training", theme)
    placed = project(last, method, seed=seed)
    axes = placed.axes if any(placed.axes) else ("t-SNE, first coordinate (no unit)", "t-SNE, second coordinate (no unit)")
    near = words[: min(3, len(words) // 3)] if near is None else [str(word) for word in near]
    if len(near) > _MOST_NEAR:
        raise UsageError(f"the neighbours of at most {_MOST_NEAR} words fit a picture: got {len(near)}; draw several pictures")
    lists = {word: nearest(last, _row(words, word), neighbours) for word in near}
    shown = _Map(placed.points, words, colors)
    return _draw(shown, lists, axes, entries, title or f"{len(words):,} embeddings of {last.shape[1]} numbers", theme)


def nearest(matrix: np.ndarray, row: int, count: int) -> list[tuple[int, float]]:
    """The ``count`` rows that point most nearly as ``row`` does: their numbers and cosine similarities, nearest first."""
    directions = _unit(np.asarray(matrix, np.float64))
    cosines = directions @ directions[row]
    order = np.argsort(-cosines, kind="stable")
    return [(int(i), float(cosines[i])) for i in order if i != row][:count]


# -- drawing ------------------------------------------------------------------------------------------------------------


def _draw(shown: _Map, lists: dict[str, list[tuple[int, float]]], names, entries, title: str, theme: Theme) -> Picture:
    wide = _WIDTH - 0.9 - (2.5 if lists else 0.0)
    high = 5.6
    with canvas(_WIDTH, high + 1.2 + 0.25 * bool(entries), theme, layout=False) as figure:
        axes = _place(figure, 0.75, 0.6, wide, high)
        _frame(axes, [shown.points], wide, high)
        for number, (word, found) in enumerate(lists.items()):
            at = shown.points[_row(shown.words, word)]
            color = _near_color(number, entries, theme)
            for other, _ in found:
                axes.plot(*zip(at, shown.points[other]), color=color, linewidth=1.1, alpha=0.7, zorder=1)
            axes.plot(*at, "o", markersize=11, markerfacecolor="none", markeredgecolor=color, markeredgewidth=1.4)
        _scatter(axes, shown, wide, high, theme)
        axes.set(xlabel=names[0], ylabel=names[1])
        if lists:
            _list(_place(figure, 0.75 + wide + 0.3, 0.6, 2.1, high), lists, shown.words, entries, theme)
        _legend(figure, entries)
        figure.suptitle(literal(title, 90))
    text = f"{len(shown.words):,} embeddings; {names[0]}, {names[1]}"
    for word, found in lists.items():
        text += f"; nearest to {word}: " + ", ".join(f"{shown.words[i]} ({cosine:.2f})" for i, cosine in found)
    return Picture(figure, text, theme)


def _draw_film(film: dict[Any, np.ndarray], words, colors, entries, title: str, theme: Theme) -> Picture:
    mean, directions, shares = principal(list(film.values())[-1])
    placed = {step: (array - mean) @ directions.T for step, array in film.items()}
    steps = list(film)
    kept = [steps[i] for i in np.unique(np.linspace(0, len(steps) - 1, min(len(steps), _MOST_FRAMES)).round().astype(int))]
    across = min(len(kept), 3)
    down = math.ceil(len(kept) / across)
    wide = (_WIDTH - 0.95) / across - 0.12
    high = wide
    legend = 0.25 * bool(entries)
    height = down * (high + 0.34) + 1.1 + legend
    with canvas(_WIDTH, height, theme, layout=False) as figure:
        for number, step in enumerate(kept):
            row, column = divmod(number, across)
            axes = _place(
                figure, 0.85 + column * (wide + 0.12), height - 0.75 - legend - high - row * (high + 0.34), wide, high
            )
            _frame(axes, list(placed.values()), wide, high)
            so_far = np.stack([placed[s] for s in steps[: steps.index(step) + 1]])
            for i, color in enumerate(colors):  # the ways that the words came
                axes.plot(so_far[:, i, 0], so_far[:, i, 1], color=color, linewidth=1, alpha=0.35, zorder=1)
            most = _MOST_LABELS if len(words) <= _FEW or step == kept[-1] else 0
            _scatter(axes, _Map(placed[step], words, colors), wide, high, theme, most, size=7.5)
            axes.set_title(f"step {step:,}" if isinstance(step, int) else literal(step))
            axes.tick_params(labelleft=column == 0, labelbottom=row == down - 1 or number + across >= len(kept))
        shares = [f"component {i}: {100 * share:.0f} % of the variance at the end" for i, share in enumerate(shares, 1)]
        figure.supxlabel(shares[0], fontsize=10)
        figure.supylabel(shares[1], fontsize=10)
        _legend(figure, entries)
        figure.suptitle(literal(title, 90))
    return Picture(figure, f"{len(words):,} embeddings at {len(film)} steps of training; {shares[0]}, {shares[1]}", theme)


def _place(figure: Any, left: float, bottom: float, wide: float, high: float) -> Any:
    """Axes at a place in inches, which the layout leaves alone: labels have been reckoned for this size."""
    width, height = figure.get_size_inches()
    return figure.add_axes((left / width, bottom / height, wide / width, high / height))


def _frame(axes: Any, every: list[np.ndarray], wide: float, high: float) -> None:
    """Limits in which all points fit with room for labels, one unit equally long on both axes."""
    points = np.concatenate(every)
    low, top = points.min(0), points.max(0)
    scale = max((top - low) / [max(wide - 1.2, 0.68 * wide), max(high - 0.7, 0.68 * high)])  # units an inch
    scale = scale if scale > 0 else 1.0
    middle, half = (low + top) / 2, scale * np.array([wide, high]) / 2
    axes.set(xlim=(middle[0] - half[0], middle[0] + half[0]), ylim=(middle[1] - half[1], middle[1] + half[1]))


def _scatter(
    axes: Any, shown: _Map, wide: float, high: float, theme: Theme, most: int = _MOST_LABELS, size: float = _LABEL_SIZE
) -> None:
    """Points, and labels where there is room."""
    axes.scatter(shown.points[:, 0], shown.points[:, 1], c=shown.colors, s=2.2 * size, linewidths=0, zorder=2)
    enlarged = _INCH * _LABEL_SIZE / size  # the places are reckoned for labels of 12 pixels
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    x = (shown.points[:, 0] - left) / (right - left) * wide * enlarged
    y = (top - shown.points[:, 1]) / (top - bottom) * high * enlarged
    labels = [literal(word, _LONGEST) for word in shown.words]
    for i, box in enumerate(label_boxes(x, y, labels, Box(0, 0, wide * enlarged, high * enlarged), most)):
        if box is None:
            continue
        near = min(max(x[i], box.left), box.right), min(max(y[i], box.top), box.bottom)
        if math.hypot(near[0] - x[i], near[1] - y[i]) > 10:
            line = [(u / enlarged / wide, 1 - v / enlarged / high) for u, v in ((x[i], y[i]), near)]
            axes.plot(*zip(*line), transform=axes.transAxes, color=theme.faint, linewidth=0.6, zorder=1)
        at = (box.left + box.right) / 2 / enlarged / wide, 1 - (box.top + box.bottom) / 2 / enlarged / high
        axes.text(*at, labels[i], transform=axes.transAxes, fontsize=size, ha="center", va="center", zorder=3)


def _list(axes: Any, lists: dict[str, list[tuple[int, float]]], words: list[str], entries, theme: Theme) -> None:
    """The neighbours as bars, below the word that they are near to."""
    row = 0.0
    cosines = [cosine for found in lists.values() for _, cosine in found]
    for number, (word, found) in enumerate(lists.items()):
        color = _near_color(number, entries, theme)
        axes.text(0, row, f"near {literal(word, 16)}", fontweight="bold", fontsize=9, color=color, va="center")
        for rank, (other, cosine) in enumerate(found, 1):
            place = row + rank
            axes.barh(place, cosine, height=0.78, color=color, alpha=0.3)
            axes.text(0.015, place, literal(words[other], 16), fontsize=9, va="center")
            axes.text(0.985, place, f"{cosine:.2f}", fontsize=9, va="center", ha="right")
        row += len(found) + 1.6
    axes.set(ylim=(max(row, 8) - 0.8, -0.8), xlim=(min(0.0, *cosines, 0.0), 1.0), xlabel="cosine similarity", yticks=[])
    axes.spines["left"].set_visible(min(cosines, default=0) >= 0)
    axes.grid(False)


def _near_color(number: int, entries: list[tuple[str, str]], theme: Theme) -> str:
    """Where the colours say what group a word is of, neighbours have none."""
    return theme.ink if entries else theme.color(number + 1)


def _legend(figure: Any, entries: list[tuple[str, str]]) -> None:
    if entries:
        from matplotlib.lines import Line2D

        dots = [Line2D([], [], marker="o", linestyle="", color=color) for _, color in entries]
        height = figure.get_size_inches()[1]
        figure.legend(
            dots, [name for name, _ in entries], loc="upper center", bbox_to_anchor=(0.5, 1 - 0.3 / height), ncols=len(entries),
            handletextpad=0.1, columnspacing=1.2,
        )  # fmt: skip


# -- what comes in ------------------------------------------------------------------------------------------------------


def _film(matrix: Any) -> dict[Any, np.ndarray]:
    """Matrices (words, size) float64 by training step; one alone has the step 0."""
    if isinstance(matrix, Mapping):
        film = {step: checked(np.asarray(raw(array))) for step, array in matrix.items()}
    elif isinstance(matrix, (list, tuple)) and matrix and isinstance(matrix[0], (np.ndarray, Tensor)) and matrix[0].ndim == 2:
        film = {i: checked(np.asarray(raw(array))) for i, array in enumerate(matrix)}
    else:
        film = {0: checked(np.asarray(raw(matrix)))}
    shapes = {array.shape for array in film.values()}
    if len(shapes) != 1:
        raise ShapeError(f"a film shows the same words over training, so all its matrices have one shape: got {sorted(shapes)}")
    return film


def _unit(matrix: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
    return matrix / np.where(lengths > 0, lengths, 1)


def _row(words: list[str], word: str) -> int:
    if word not in words:
        raise UnknownWordError(f"{word!r} is none of the {len(words):,} words of this picture; choose near= among them")
    return words.index(word)
