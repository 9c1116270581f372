"""The loss curves of a run as an SVG picture, written by hand: any browser shows it, and nothing needs to be installed.

The panels share the axis of steps: losses (training, smoothed, over its faint raw values; validation as points); scores in
per cent, if there are any; the learning rate, small, if there is one. Values that are missing, NaN or infinite leave a gap.
"""

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

from minigrad.errors import UsageError

_WIDTH, _LEFT, _RIGHT, _TOP, _GAP, _BOTTOM = 820, 78, 24, 52, 34, 50  # pixels
_BETWEEN = 30  # pixels between sections, for the legend of the next
_POINTS = 1000  # more points than pixels only make the file large
# Blue, orange, green, purple: distinct for colour-blind readers too (Okabe and Ito 2008).
_TRAIN, _VALID, _LR = "#0072b2", "#d55e00", "#7f7f7f"
_SCORES = {"bleu": ("BLEU", "#009e73"), "chrf": ("chrF", "#cc79a7"), "exact_match": ("exact match", "#a87b00")}
_STYLE = (
    "text{font:12px system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif;fill:#444}"
    ".title{font-size:15px;font-weight:600;fill:#222}.grid{stroke:#e6e6e6}.axis{stroke:#999}"
    ".line{fill:none;stroke-width:2;stroke-linejoin:round}.raw{fill:none;stroke-width:1;opacity:.25}"
)

Points = Sequence[tuple[float, float]]  # (step, value), by ascending step; a value of NaN is a gap


class Series(NamedTuple):
    """One line of a panel."""

    label: str
    color: str
    points: Points
    raw: Points = ()  # drawn faintly behind
    dots: bool = False
    best: str = ""  # "min" or "max": ring the best point, and name its value in the legend

    @property
    def best_point(self) -> tuple[float, float] | None:
        """(step, value) of the best point, if one is to be marked."""
        points = [point for point in self.points if math.isfinite(point[1])]
        if not self.best or not points:
            return None
        return (min if self.best == "min" else max)(points, key=lambda point: point[1])


class Panel(NamedTuple):
    """One rectangle of the picture with its own vertical axis."""

    label: str
    height: int
    series: list[Series]
    log: bool = False
    floor: float = -math.inf  # the axis goes below this for values alone, not for room
    reach: tuple[float, ...] = ()  # what the axis covers besides the values, so that panels can be compared


def draw(
    metrics: Iterable[Mapping[str, Any]],
    *,
    title: str = "",
    log_scale: bool = False,
    step: str = "step (updates of the weights)",
    loss: str = "loss (nats per token)",
) -> str:
    """Draw the curves of a run.

    Args:
        metrics: objects such as ``{"step": 100, "loss": 3.2, "lr": 1e-3}`` and ``{"step": 500, "valid_loss": 3, "bleu": 31}``,
            as the lines of ``metrics.jsonl``; losses in nats per token, bleu, chrf and exact_match from 0 to 100.
        title: text above the picture.
        log_scale: losses on a logarithmic axis.
        step, loss: what the axes are.

    Returns:
        The text of an SVG file. Without any value it says that there is nothing to draw yet.
    """
    lines = sorted(metrics, key=lambda line: line["step"])
    return figure([(step, panels(lines, log_scale, loss))], title=title, kind="loss curves")


def figure(sections: Sequence[tuple[str, Sequence[Panel]]], *, title: str = "", kind: str = "curves") -> str:
    """Panels one below the other, as the text of an SVG file.

    Args:
        sections: (name, panels): the panels of a section share their horizontal axis, which has this name.
        title: text above the picture.
        kind: what it is called where there is no title.
    """
    sections = [(name, shown) for name, shown in sections if shown]
    height, tops = _TOP, []
    for _, shown in sections:
        tops.append(height)
        height += sum(panel.height + _GAP for panel in shown) - _GAP + _BOTTOM + _BETWEEN
    height = height - _BETWEEN if sections else 120
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}">',
        f"<title>{escape(title or kind)}</title><style>{_STYLE}</style>",
        f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>',
        f'<text class="title" x="{_LEFT}" y="28">{escape(title)}</text>',
    ]
    if not sections:
        parts.append(f'<text x="{_LEFT}" y="70">nothing recorded yet</text>')
    for (name, shown), top in zip(sections, tops):
        steps = [step for panel in shown for series in panel.series for step, _ in series.points]
        x = _Scale(min(steps), max(steps), _LEFT, _WIDTH - _RIGHT, pad=0)
        for panel in shown:
            parts += _draw_panel(panel, x, top, last=panel is shown[-1])
            top += panel.height + _GAP
        middle = (_LEFT + _WIDTH - _RIGHT) / 2
        parts.append(f'<text x="{middle:.0f}" y="{top - _GAP + _BOTTOM - 12}" text-anchor="middle">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>\n"])


def smooth(points: Points, span: float) -> Points:
    """The course of noisy values: the median of 5 neighbours, so that a lone spike has no say, then a weighted mean around it.

    The mean looks both ways and so does not lag behind a falling loss as a running mean does. Gaps stay gaps.

    s_n = sum_k d^|n-k| m_k / sum_k d^|n-k| with the medians m and d = 1 - 1/span.
    """
    finite = [value for _, value in points if math.isfinite(value)]
    medians = [statistics.median(finite[max(0, i - 2) : i + 3]) for i in range(len(finite))]
    decay = 1 - 1 / max(span, 1)
    ahead = list(_decayed_sums(medians, decay))
    back = list(_decayed_sums(medians[::-1], decay))[::-1]
    means = iter([(a + b - m) / (v + w - 1) for (a, v), (b, w), m in zip(ahead, back, medians)])  # m is in both sums
    return [(step, next(means) if math.isfinite(value) else math.nan) for step, value in points]


def thin(points: Points, limit: int = _POINTS) -> Points:
    """At most about ``limit`` points with the same outline: of each group the lowest, the highest and one gap, in order."""
    if len(points) <= limit:
        return points
    size = math.ceil(2 * len(points) / limit)
    kept = []
    for start in range(0, len(points), size):
        group = range(start, min(start + size, len(points)))
        finite = [i for i in group if math.isfinite(points[i][1])]
        chosen = set() if not finite else {min(finite, key=lambda i: points[i][1]), max(finite, key=lambda i: points[i][1])}
        if len(finite) < len(group):
            chosen.add(next(i for i in group if not math.isfinite(points[i][1])))
        kept += [points[i] for i in sorted(chosen)]
    return kept


def ticks(low: float, high: float, count: int = 5, log: bool = False) -> list[float]:
    """About ``count`` round numbers from ``low`` to ``high``: 1, 2 or 5 times a power of ten."""
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UsageError(f"an axis needs two finite ends, the lower first: got {low} and {high}")
    if log and low > 0:
        exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        factors = (1, 2, 5) if len(exponents) <= 4 else (1,)
        exponents = exponents[:: -(-len(exponents) // (2 * count))]  # of a range of many decades not every one
        values = [factor * 10.0**exponent for exponent in exponents for factor in factors]
        values = [value for value in values if low <= value <= high]
        if len(values) >= 3:  # a range within a factor of two or so has round numbers on the linear grid only
            return values
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * min((1, 2, 5, 10), key=lambda factor: abs(math.log(factor * power / rough)))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(i * step, 12) if abs(step) > 1e-9 else i * step for i in range(first, last + 1)]


def format_tick(value: float) -> str:
    """``2000`` becomes ``2,000``, ``0.000025`` becomes ``2.5e-5``, ``1.5`` stays."""
    if value and (abs(value) < 1e-4 or abs(value) >= 1e7):
        mantissa, exponent = f"{value:.3e}".split("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return f"{value:,.6f}".rstrip("0").rstrip(".")


def _decayed_sums(values: Sequence[float], decay: float) -> Iterator[tuple[float, float]]:
    """For each value: the sum of those up to it, each ``decay`` times as heavy as the next, and the sum of their weights."""
    total = weight = 0.0
    for value in values:
        total, weight = decay * total + value, decay * weight + 1
        yield total, weight


class _Scale:
    """Maps values to pixels, linearly or by the logarithm."""

    def __init__(
        self,
        low: float,
        high: float,
        start: float,
        stop: float,
        *,
        pad: float = 0.06,
        log: bool = False,
        floor: float = -math.inf,
    ) -> None:
        self.log = log
        low, high = self._forward(low), self._forward(high)
        negligible = 1e-9 * (1 if log else max(abs(low), abs(high)))  # rounding errors are not worth an axis
        if high - low > negligible:
            margin = pad * (high - low)
        else:  # one value alone stands in the middle
            margin = 0.5 * abs(high) or 0.5
        self._low, self._high = max(low - margin, min(low, floor)), high + margin
        self._start, self._stop = start, stop
        self.low, self.high = (10**self._low, 10**self._high) if log else (self._low, self._high)

    def _forward(self, value: float) -> float:
        return math.log10(value) if self.log else value

    def __call__(self, value: float) -> float:
        share = (self._forward(value) - self._low) / (self._high - self._low)
        return self._start + share * (self._stop - self._start)


def panels(lines: Sequence[Mapping[str, Any]], log_scale: bool = False, loss: str = "loss (nats per token)") -> list[Panel]:
    """What there is to draw of lines in the order of their steps: losses, scores and the learning rate, as far as recorded."""

    def series(key: str, label: str, color: str, smoothed: bool = False, **more: Any) -> list[Series]:
        points = [(line["step"], _number(line[key])) for line in lines if key in line]
        if log_scale and key in ("loss", "valid_loss"):  # no logarithm of 0 or less: such a value becomes a gap
            points = [(step, value if value > 0 else math.nan) for step, value in points]
        if not any(math.isfinite(value) for _, value in points):
            return []
        if smoothed and len(points) >= 20:  # fewer values have a course of their own, which a median of 5 would hide
            return [Series(label, color, thin(smooth(points, len(points) / 120)), raw=thin(points), **more)]
        return [Series(label, color, thin(points), **more)]

    losses = series("loss", "training loss", _TRAIN, smoothed=True)
    losses += series("valid_loss", "validation loss", _VALID, dots=True, best="min")
    scores = [s for key, (label, color) in _SCORES.items() for s in series(key, label, color, dots=True, best="max")]
    rates = series("lr", "learning rate", _LR)
    every = [
        Panel(loss, 280, losses, log=log_scale),
        Panel("score (%)", 160, scores, floor=0.0),
        Panel("learning rate", 70, rates),
    ]
    return [panel for panel in every if panel.series]


def _draw_panel(panel: Panel, x: _Scale, top: int, last: bool) -> list[str]:
    bottom, right = top + panel.height, _WIDTH - _RIGHT
    values = [value for series in panel.series for _, value in series.points if math.isfinite(value)]
    values += panel.reach
    raw = sorted(value for series in panel.series for _, value in series.raw if math.isfinite(value))
    if raw:  # the raw values may leave the frame: a single spike must not flatten everything else
        values += [raw[len(raw) // 100], raw[-1 - len(raw) // 100]]
    y = _Scale(min(values), max(values), bottom, top, log=panel.log, floor=panel.floor)
    parts = []
    for value in ticks(y.low, y.high, max(2, panel.height // 45), log=panel.log):
        at = f"{y(value):.1f}"
        parts.append(f'<path class="grid" d="M{_LEFT} {at}H{right}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{at}" dy="4" text-anchor="end">{format_tick(value)}</text>')
    for value in filter(float.is_integer, map(float, ticks(x.low, x.high, 8))):  # there is no half a step
        at = f"{x(value):.1f}"
        parts.append(f'<path class="grid" d="M{at} {top}V{bottom}"/>')
        if last:
            parts.append(f'<text x="{at}" y="{bottom + 18}" text-anchor="middle">{format_tick(value)}</text>')
    parts.append(f'<path class="axis" fill="none" d="M{_LEFT} {top}V{bottom}H{right}"/>')
    # An inner <svg> cuts off what leaves the frame, without an id that could clash with another picture on the same page.
    inner = f'x="{_LEFT}" y="{top}" width="{right - _LEFT}" height="{panel.height}"'
    parts.append(f'<svg {inner} viewBox="{_LEFT} {top} {right - _LEFT} {panel.height}">')
    parts += [f'<path class="raw" stroke="{s.color}" d="{_path(s.raw, x, y)}"/>' for s in panel.series if s.raw]
    parts += [f'<path class="line" stroke="{s.color}" d="{_path(s.points, x, y)}"/>' for s in panel.series]
    parts.append("</svg>")
    for series in panel.series:
        parts += _draw_dots(series, x, y)
    middle = (top + bottom) / 2
    parts.append(f'<text transform="translate(16 {middle:.0f}) rotate(-90)" text-anchor="middle">{escape(panel.label)}</text>')
    if [series.label for series in panel.series] != [panel.label]:  # otherwise the axis says it all
        parts += _draw_legend(panel, top)
    return parts


def _draw_dots(series: Series, x: _Scale, y: _Scale) -> list[str]:
    points = [(step, value) for step, value in series.points if math.isfinite(value)]
    parts = []
    if len(points) == 1 or (series.dots and len(points) <= 100):  # a path of one point would be invisible
        for step, value in points:
            note = f"<title>{escape(series.label)} {value:.4g} at step {step:,}</title>"
            parts.append(f'<circle cx="{x(step):.1f}" cy="{y(value):.1f}" r="3.2" fill="{series.color}">{note}</circle>')
    if (best := series.best_point) is not None:
        at = f'cx="{x(best[0]):.1f}" cy="{y(best[1]):.1f}"'
        parts.append(f'<circle class="best" {at} r="6.5" fill="none" stroke="{series.color}" stroke-width="1.5"/>')
    return parts


def _draw_legend(panel: Panel, top: int) -> list[str]:
    parts = []
    at = float(_WIDTH - _RIGHT)
    for series in reversed(panel.series):  # from the right, above the frame
        label = series.label if series.best_point is None else f"{series.label}, best {series.best_point[1]:.4g}"
        at -= 6.8 * len(label) + 40
        parts.append(f'<path stroke="{series.color}" stroke-width="3" d="M{at:.0f} {top - 10}h18"/>')
        parts.append(f'<text x="{at + 24:.0f}" y="{top - 6}">{escape(label)}</text>')
    return parts


def _path(points: Points, x: _Scale, y: _Scale) -> str:
    """The ``d`` of a path; a value that is not finite lifts the pen."""
    commands, pen = [], "M"
    for step, value in points:
        if math.isfinite(value):
            commands.append(f"{pen}{x(step):.1f} {y(value):.1f}")
            pen = "L"
        else:
            pen = "M"
    return "".join(commands)


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else math.nan
