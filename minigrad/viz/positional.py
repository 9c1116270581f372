"""A picture of positional encodings: how the vectors of positions tell where a token stands, and how far apart two are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..errors import DataError, ShapeError, UsageError
from ..nn import PositionalEncoding
from ..tensor import raw
from .style import LIGHT, Picture, Theme, canvas, heat, literal, theme_of

_HOLDS = 1e-4  # of the largest entry: rounding in float32 stays far below, anything that is no rotation far above


class Rotation(NamedTuple):
    """Whether a rotation leads from each position to the one ``shift`` further on.

    Attributes:
        shift: in positions.
        matrix: (dim, dim), the rotation R of the sinusoidal encoding with as many features, to which ``table[p + shift]`` is
            compared as ``R @ table[p]``.
        error: the largest absolute difference.
        holds: whether that is at most 1e-4 of the table's largest entry.
    """

    shift: int
    matrix: np.ndarray
    error: float
    holds: bool


def rotation_matrix(dim: int, shift: int) -> np.ndarray:
    """The matrix (dim, dim) that takes each sinusoidal encoding to that of ``shift`` positions further on.

    Each pair of a sine and a cosine of frequency w turns by the angle w * shift::

        [sin w(p + k)]   [ cos wk  sin wk ] [sin wp]
        [cos w(p + k)] = [-sin wk  cos wk ] [cos wp],     w = 10000^(-2i / dim)

    A last sine without a cosine, where ``dim`` is odd, has nothing to turn with: its row and column are 0.
    """
    matrix = np.zeros((dim, dim))
    for even in range(0, dim - 1, 2):
        angle = shift * 10000.0 ** (-even / dim)
        sine, cosine = np.sin(angle), np.cos(angle)
        matrix[even : even + 2, even : even + 2] = [[cosine, sine], [-sine, cosine]]
    return matrix


def check_rotation(pe: Any, shift: int = 1, positions: int = 64) -> Rotation:
    """Whether ``shift`` positions on is a rotation, and how far from one.

    Args:
        pe: (positions, dim), or a :class:`~minigrad.nn.PositionalEncoding`.
        shift: from 1; less than there are positions.
        positions: how many of a PositionalEncoding to look at.
    """
    table = _table(pe, positions)
    if not 1 <= shift < len(table):
        raise UsageError(f"the shift is a number from 1 to {len(table) - 1}, less than the positions: got {shift}")
    dim = table.shape[1]
    matrix = rotation_matrix(dim, shift)
    pairs = dim - dim % 2
    error = float(np.abs(table[shift:, :pairs] - (table[:-shift] @ matrix.T)[:, :pairs]).max()) if pairs else 0.0
    return Rotation(shift, matrix, error, error <= _HOLDS * float(np.abs(table).max()))


def positional(
    pe: Any,
    positions: int = 64,
    *,
    dims: Sequence[int] | None = None,
    chosen: Sequence[int] | None = None,
    shift: int = 3,
    title: str = "",
    theme: Theme | str = LIGHT,
) -> Picture:
    """Draw a positional encoding in eight panels.

    The table; the waves of some dimensions over the positions; some positions over the dimensions; the even and the odd
    dimensions by themselves, which are sines and cosines where the encoding is sinusoidal; the similarity (dot product) of any
    two positions, and the same by their distance, with how much it varies along the diagonals; and the rotation that shifts by
    ``shift`` positions, compared with what the table really holds. Learned encodings are drawn alike, and compared alike.

    Args:
        pe: (positions, dim), or a :class:`~minigrad.nn.PositionalEncoding`.
        positions: how many to draw, from 0 on; fewer where the table is shorter.
        dims: whose waves to draw; six spread over all where left out.
        chosen: the positions to draw over the dimensions; three where left out.
        shift: in positions.
        title: text above the picture.
        theme: "light" or "dark".

    Raises:
        ShapeError: for something other than a matrix with at least two positions and two dimensions.
        MissingExtraError: without matplotlib.
    """
    theme = theme_of(theme)
    table = _table(pe, positions)
    count, dim = table.shape
    learned = isinstance(pe, PositionalEncoding) and pe.learned
    dims = _some(dims, dim, "dims", np.minimum(dim - 1, np.linspace(0, dim * 0.6, 6).astype(int) // 2 * 2))
    chosen = _some(chosen, count, "chosen", np.array([1, count // 4, count - 1]))
    turned = check_rotation(table, min(shift, count - 1))
    similarity = table @ table.T
    spread = diagonal_spread(similarity)
    with canvas(8.6, 10.4, theme) as figure:
        (table_, waves), (halves, across), (alike, by_distance), (matrix, errors) = figure.subplots(4, 2)
        top = float(np.abs(table).max()) or 1.0
        image = heat(table_, table.T, theme.diverging, -top, top)
        _name(table_, "the table", "position", "dimension")
        _bar(figure, image, table_, "value")
        for number, i in enumerate(dims):
            waves.plot(table[:, i], label=f"dim {i}", color=theme.color(number), linewidth=1.4)
        _legend_beside(waves)
        _name(waves, "waves: dimensions over positions", "position", "value")
        _halves(figure, halves, table, top, theme, turned.holds)
        _across(across, table, chosen, theme, turned.holds)
        limit = float(np.abs(similarity).max()) or 1.0
        signed = similarity.min() < 0
        image = heat(alike, similarity, theme.diverging if signed else theme.sequential, -limit if signed else 0.0, limit)
        _name(alike, "similarity of two positions", "position", "position")
        _bar(figure, image, alike, "dot product")
        _by_distance(by_distance, similarity, spread, theme)
        image = heat(matrix, turned.matrix, theme.diverging, -1.0, 1.0)
        _name(matrix, f"the rotation R by {turned.shift} position{'s' * (turned.shift > 1)}", "dimension", "dimension")
        _bar(figure, image, matrix, "entry of R")
        _rotation_errors(errors, table, turned, theme)
        kind = "learned" if learned else "sinusoidal" if turned.holds else "given"
        figure.suptitle(literal(title or f"positional encoding, {kind}: {count} positions, {dim} dimensions", 100))
    verdict = "a rotation leads" if turned.holds else "no rotation of the sinusoidal kind leads"
    text = (
        f"positional encoding of {count} positions in {dim} dimensions; "
        f"similarity varies by at most {spread:.2g} along a diagonal; "
        f"{verdict} from each position to the one {turned.shift} further on: max error {turned.error:.2g}"
    )
    return Picture(figure, text, theme)


def diagonal_spread(matrix: np.ndarray) -> float:
    """The largest difference between two entries of one diagonal of a matrix: 0 where entries depend on i - j alone."""
    count = len(matrix)
    diagonals = (np.diagonal(matrix, offset) for offset in range(1 - count, count))
    return float(max(np.ptp(diagonal) for diagonal in diagonals))


# -- panels -------------------------------------------------------------------------------------------------------------


def _name(axes: Any, title: str, x: str, y: str) -> None:
    axes.set(title=title, xlabel=x, ylabel=y)
    for axis, name in ((axes.xaxis, x), (axes.yaxis, y)):
        if axis.get_scale() == "linear" and ("position" in name or "dimension" in name):
            axis.get_major_locator().set_params(integer=True)  # there is no half a position


def _bar(figure: Any, image: Any, axes: Any, label: str) -> None:
    bar = figure.colorbar(image, ax=axes, label=label, aspect=16, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.locator_params(nbins=5)


def _legend_beside(axes: Any) -> None:
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), handlelength=1.2, borderpad=0.2, handletextpad=0.5)
    axes.margins(x=0.01)


def _halves(figure: Any, axes: Any, table: np.ndarray, top: float, theme: Theme, waves: bool) -> None:
    """The even dimensions above, the odd ones below a line."""
    even, odd = table[:, 0::2].T, table[:, 1::2].T
    image = heat(axes, np.concatenate([even, odd]), theme.diverging, -top, top)
    axes.axhline(len(even) - 0.5, color=theme.ink, linewidth=1.2)
    places = [len(even) / 2 - 0.5, len(even) + len(odd) / 2 - 0.5]
    _name(axes, "even and odd dimensions" + (": sines and cosines" if waves else ""), "position", "dimension")
    axes.set_yticks(places, ("sines", "cosines") if waves else ("even", "odd"), rotation=90, va="center")
    axes.tick_params(axis="y", length=0)
    _bar(figure, image, axes, "value")


def _across(axes: Any, table: np.ndarray, chosen: list[int], theme: Theme, waves: bool) -> None:
    """Some positions; sines and cosines as two lines each, for one line would jump between them."""
    dims = np.arange(table.shape[1])
    for number, position in enumerate(chosen):
        color, label = theme.color(number), f"pos. {position}"
        if waves:
            axes.plot(dims[0::2], table[position, 0::2], color=color, linewidth=1.4, label=label)
            axes.plot(dims[1::2], table[position, 1::2], color=color, linewidth=1.4, linestyle=(0, (3, 1.5)))
        else:
            axes.plot(dims, table[position], color=color, linewidth=1.4, label=label)
    _legend_beside(axes)
    _name(axes, "positions over dimensions" + (" (cosines dashed)" if waves else ""), "dimension", "value")


def _by_distance(axes: Any, similarity: np.ndarray, spread: float, theme: Theme) -> None:
    """The mean of each diagonal, in the band of its least and its greatest entry."""
    count = len(similarity)
    diagonals = [np.diagonal(similarity, offset) for offset in range(count)]
    distance = np.arange(count)
    low, high = [d.min() for d in diagonals], [d.max() for d in diagonals]
    axes.fill_between(distance, low, high, color=theme.color(0), alpha=0.25, linewidth=0, label="least to greatest")
    axes.plot(distance, [d.mean() for d in diagonals], color=theme.color(0), label="mean of the diagonal")
    axes.legend(loc="upper right")
    relative = spread / (float(np.abs(similarity).max()) or 1.0)
    constant = "constant along diagonals" if relative <= _HOLDS else "not constant along diagonals"
    _name(axes, f"{constant}: ± {spread / 2:.1g}", "distance of two positions", "dot product")
    axes.margins(x=0.01)


def _rotation_errors(axes: Any, table: np.ndarray, turned: Rotation, theme: Theme) -> None:
    """How far the rotation by k misses, for every k, or for some of very many."""
    last = len(table) - 1
    shifts = sorted({turned.shift, *np.linspace(1, last, min(last, 64)).astype(int).tolist()})
    errors = [max(check_rotation(table, k, len(table)).error, 1e-18) for k in shifts]
    largest = float(np.abs(table).max()) or 1.0
    axes.plot(shifts, errors, color=theme.color(0), label="max |table[p + k] − R(k) table[p]|")
    axes.plot([turned.shift], [errors[shifts.index(turned.shift)]], "o", color=theme.color(1), label=f"k = {turned.shift}")
    axes.axhline(largest, color=theme.faint, linestyle="--", linewidth=1, label="largest entry of the table")
    axes.set_yscale("log")
    axes.set_ylim(min(min(errors) / 5, 1e-9 * largest), 10 * largest)
    axes.legend(loc="center" if turned.holds else "lower center")
    axes.margins(x=0.01)
    verdict = "holds" if turned.holds else "does not hold"
    _name(axes, f"R({turned.shift}) {verdict}: max error {turned.error:.2g}", "shift k (positions)", "error")


# -- what comes in ------------------------------------------------------------------------------------------------------


def _table(pe: Any, positions: int) -> np.ndarray:
    """(positions, dim) float64."""
    if isinstance(pe, PositionalEncoding):
        pe = pe.positions(0, min(positions, pe.max_len) if pe.learned else positions)
    table = np.asarray(raw(pe), np.float64)
    if table.ndim != 2 or min(table.shape) < 2:
        raise ShapeError(f"a positional encoding is (positions, dim), at least two of each: got {table.shape}")
    if not np.isfinite(table).all():
        raise DataError("a positional encoding has finite numbers: got NaN or infinity")
    return table[:positions]


def _some(given: Sequence[int] | None, count: int, name: str, default: np.ndarray) -> list[int]:
    chosen = list(dict.fromkeys(int(i) for i in (default if given is None else given)))
    wrong = [i for i in chosen if not 0 <= i < count]
    if wrong:
        raise UsageError(f"{name} are numbers from 0 to {count - 1} here: got {wrong[0]}")
    return chosen
