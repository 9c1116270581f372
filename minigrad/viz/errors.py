"""A picture of errors: in which sentences a model goes wrong, which words it takes for which, and where in the sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..errors import DataError, ShapeError
from ..tensor import raw
from .style import LIGHT, Picture, Theme, canvas, contrast, literal, theme_of

Pair = tuple[str | None, str | None]  # a token of the reference and one of the hypothesis that stand for each other

_CONFUSIONS, _POSITIONS = 10, 40  # as many are shown
_CELL, _LETTER = 0.64, 0.073  # inches: a token of nine characters, and the mean width of one
_NOTHING = "∅"


class _Strip(NamedTuple):
    """One sentence: its number, its aligned tokens, and how many of them are wrong, missing or added."""

    number: int
    pairs: list[Pair]
    wrong: int


def errors(
    references: Sequence[str | Sequence[str]],
    hypotheses: Sequence[str | Sequence[str]],
    *,
    sources: Sequence[str] | None = None,
    losses: Sequence[Any] | None = None,
    worst: int = 8,
    title: str = "",
    theme: Theme | str = LIGHT,
) -> Picture:
    """Draw where a translator errs.

    Each hypothesis is aligned with its reference by as few changes as possible. Above stand the sentences with the most errors,
    token by token: the reference, and below it in the same cell what was written instead. Below stand the most frequent
    confusions, and the share of errors by position in the reference.

    Args:
        references: what was to be written, as texts, which are split at spaces, or as lists of tokens.
        hypotheses: what was written, likewise.
        sources: a text beside each sentence; its number where left out.
        losses: for each sentence the losses of its reference's tokens (tokens,) in nats; more, as of the end, are ignored. They
            colour the cells in place of the kind of error.
        worst: how many sentences to show.
        title: text above the picture.
        theme: "light" or "dark".

    Raises:
        DataError: no sentences.
        ShapeError: lists of different lengths, or fewer losses than tokens.
        MissingExtraError: without matplotlib.
    """
    theme = theme_of(theme)
    wanted = [_split(text) for text in references]
    written = [_split(text) for text in hypotheses]
    if not wanted or not any(wanted):
        raise DataError("a picture of errors needs sentences: got none, or empty ones alone")
    for name, given in (("hypotheses", written), ("sources", sources), ("losses", losses)):
        if given is not None and len(given) != len(wanted):
            raise ShapeError(f"each reference has one of the {name}: got {len(given)} {name} for {len(wanted)} references")
    strips = [_strip(i, align(r, h)) for i, (r, h) in enumerate(zip(wanted, written))]
    cells = None if losses is None else [_losses(i, values, len(wanted[i])) for i, values in enumerate(losses)]
    shown = sorted(strips, key=lambda strip: -strip.wrong)[:worst]
    confused = Counter(pair for strip in strips for pair in strip.pairs if pair[0] != pair[1])
    share, _ = by_position([strip.pairs for strip in strips])
    tokens = sum(map(len, wanted))
    wrong = sum(strip.wrong for strip in strips)
    with canvas(8.6, 1.15 + 0.4 * len(shown) + 3.4, theme) as figure:
        above, below = figure.subfigures(2, 1, height_ratios=[0.4 * len(shown) + 0.95, 3.2])
        _draw_strips(above, shown, sources, cells, theme)
        left, right = below.subplots(1, 2)
        _draw_confusions(left, confused.most_common(_CONFUSIONS), theme)
        right.bar(np.arange(1, len(share) + 1), 100 * share, color=theme.color(0), width=0.85)
        right.set(title="errors by position", xlabel="position in the reference", ylabel="wrong or missing (% of tokens)")
        right.set_ylim(0, max(5.0, min(100.0, 115 * float(share.max()))))
        right.xaxis.get_major_locator().set_params(integer=True)
        right.grid(axis="x", visible=False)
        figure.suptitle(literal(title or f"{wrong:,} errors in {tokens:,} tokens of {len(wanted):,} sentences", 90))
    most = "; ".join(f"{r or _NOTHING} → {h or _NOTHING} {n} times" for (r, h), n in confused.most_common(5))
    right_ones = sum(not strip.wrong for strip in strips)
    text = f"{wrong:,} errors in {tokens:,} tokens; {right_ones:,} of {len(wanted):,} sentences without one"
    return Picture(figure, f"{text}; most confused: {most}" if most else text, theme)


def align(reference: Sequence[str], hypothesis: Sequence[str]) -> list[Pair]:
    """Both in one row with the fewest changes: (token, token), (token, None) for one missing, (None, token) for one added.

    Source: Wagner and Fischer 1974, "The String-to-String Correction Problem".
    """
    rows, columns = len(reference) + 1, len(hypothesis) + 1
    cost = [[0] * columns for _ in range(rows)]
    cost[0] = list(range(columns))
    for i in range(1, rows):
        cost[i][0] = i
        for j in range(1, columns):
            change = cost[i - 1][j - 1] + (reference[i - 1] != hypothesis[j - 1])
            cost[i][j] = min(change, cost[i - 1][j] + 1, cost[i][j - 1] + 1)
    pairs: list[Pair] = []
    i, j = rows - 1, columns - 1
    while i or j:
        if i and j and cost[i][j] == cost[i - 1][j - 1] + (reference[i - 1] != hypothesis[j - 1]):
            i, j = i - 1, j - 1
            pairs.append((reference[i], hypothesis[j]))
        elif i and cost[i][j] == cost[i - 1][j] + 1:
            i -= 1
            pairs.append((reference[i], None))
        else:
            j -= 1
            pairs.append((None, hypothesis[j]))
    return pairs[::-1]


def by_position(aligned: Sequence[Sequence[Pair]]) -> tuple[np.ndarray, np.ndarray]:
    """For each position of the references, up to the 40th: the share of tokens that are wrong or missing, and their number."""
    wrong, count = np.zeros(_POSITIONS), np.zeros(_POSITIONS)
    for pairs in aligned:
        kept = [pair for pair in pairs if pair[0] is not None][:_POSITIONS]
        for position, (reference, hypothesis) in enumerate(kept):
            wrong[position] += reference != hypothesis
            count[position] += 1
    reached = int(np.count_nonzero(count))
    return wrong[:reached] / count[:reached], count[:reached].astype(np.int64)


# -- drawing ------------------------------------------------------------------------------------------------------------


def _draw_strips(figure: Any, shown: list[_Strip], sources, cells, theme: Theme) -> None:
    from matplotlib.patches import Rectangle

    axes = figure.subplots()
    colors = {"wrong": theme.color(1), "missing": theme.color(3), "added": theme.color(4)}
    top = max((float(np.nanmax(cells[s.number], initial=0)) for s in shown), default=0) or 1.0 if cells else 1.0
    names = [f"sentence {s.number + 1}" if sources is None else literal(sources[s.number], 26) for s in shown]
    room = int((8.3 - _LETTER * max(map(len, names)) - (0.9 if cells else 0)) / _CELL)
    columns = min(max(len(strip.pairs) for strip in shown), room)
    for row, strip in enumerate(shown):
        first = _window(strip.pairs, room)
        place = sum(reference is not None for reference, _ in strip.pairs[:first])  # in the reference
        for column, (reference, hypothesis) in enumerate(strip.pairs[first : first + room]):
            kind = "missing" if hypothesis is None else "added" if reference is None else "wrong"
            differs = reference != hypothesis
            face, ink = theme.background, theme.faint
            if cells and reference is not None:
                face = _hex(theme.sequential(min(1.0, cells[strip.number][place] / top)))
                ink = max((theme.ink, theme.background), key=lambda color: contrast(face, color))
            elif differs:
                face = _hex(_mixed(colors[kind], theme.background))
                ink = theme.ink
            axes.add_patch(Rectangle((column + 0.03, row + 0.04), 0.94, 0.92, facecolor=face, edgecolor="none"))
            lines = [_word(reference), _word(hypothesis)] if differs else [_word(reference)]
            for line, word in enumerate(lines):
                height = row + (0.3 + 0.42 * line if differs else 0.5)
                weight = "bold" if differs and line else "normal"
                axes.text(column + 0.5, height, word, fontsize=8, ha="center", va="center", color=ink, fontweight=weight)
            place += reference is not None
        if first + room < len(strip.pairs):
            axes.text(room + 0.1, row + 0.5, "…", color=theme.faint)
    axes.set_yticks(np.arange(len(shown)) + 0.5, names, fontsize=8.5)
    axes.set(xlim=(0, columns + 0.3), ylim=(len(shown), 0), xticks=[], title="the sentences with the most errors")
    axes.tick_params(length=0)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    if cells:
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import Normalize

        scale = ScalarMappable(Normalize(0, top), theme.sequential)
        bar = figure.colorbar(scale, ax=axes, label="loss (nats)", aspect=14, pad=0.01, fraction=0.04)
        bar.outline.set_visible(False)
        return
    legend = {"wrong": "wrong: above wanted, below written", "missing": "missing", "added": "added"}
    patches = [Rectangle((0, 0), 1, 1, facecolor=_hex(_mixed(colors[kind], theme.background))) for kind in colors]
    axes.legend(
        patches,
        [legend[kind] for kind in colors],
        loc="lower right",
        bbox_to_anchor=(1, 1),
        ncols=3,
        handlelength=1,
        borderpad=0,
    )


def _draw_confusions(axes: Any, confused: list[tuple[Pair, int]], theme: Theme) -> None:
    axes.set_title("most confused: wanted → written")
    if not confused:
        axes.text(0.5, 0.5, "no errors", ha="center", va="center", transform=axes.transAxes)
        axes.set(xticks=[], yticks=[])
        return
    names = [f"{_word(reference)} → {_word(hypothesis)}" for (reference, hypothesis), _ in confused]
    counts = [count for _, count in confused]
    axes.barh(range(len(names)), counts, color=theme.color(1), height=0.75)
    for place, count in enumerate(counts):
        axes.text(count, place, f" {count:,}", va="center", fontsize=8.5)
    axes.set_yticks(range(len(names)), names, fontsize=8.5)
    axes.set(ylim=(max(len(names), 5) - 0.5, -0.5), xlim=(0, 1.12 * max(counts)), xlabel=f"how often ({_NOTHING}: no token)")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)


def _window(pairs: list[Pair], room: int) -> int:
    """Where to begin so that the first error is among the tokens shown."""
    first = next((i for i, (reference, hypothesis) in enumerate(pairs) if reference != hypothesis), 0)
    return 0 if first < room - 2 else max(0, min(first - 3, len(pairs) - room))


def _word(token: str | None) -> str:
    return _NOTHING if token is None else literal(token, 9) or "␣"


def _mixed(color: str, background: str, share: float = 0.35) -> np.ndarray:
    both = [np.array([int(c[i : i + 2], 16) for i in (1, 3, 5)]) / 255 for c in (color, background)]
    return share * both[0] + (1 - share) * both[1]


def _hex(rgb: Any) -> str:
    return "#" + "".join(f"{round(255 * float(part)):02x}" for part in rgb[:3])


# -- what comes in ------------------------------------------------------------------------------------------------------


def _split(text: str | Sequence[str]) -> list[str]:
    return text.split() if isinstance(text, str) else [str(token) for token in text]


def _strip(number: int, pairs: list[Pair]) -> _Strip:
    return _Strip(number, pairs, sum(reference != hypothesis for reference, hypothesis in pairs))


def _losses(number: int, values: Any, tokens: int) -> np.ndarray:
    values = np.asarray(raw(values), np.float64).ravel()
    if len(values) < tokens:
        raise ShapeError(f"each token of a reference has a loss: got {len(values)} for the {tokens} of sentence {number + 1}")
    return values[:tokens]
