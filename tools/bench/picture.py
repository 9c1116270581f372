"""The ratios as an SVG picture of bars: any browser shows it, and nothing needs to be installed."""

from collections.abc import Sequence
from html import escape

from . import report
from .measure import Result

_LABELS, _WIDTH, _BAR, _GROUP, _TOP, _MARGIN = 330, 860, 16, 30, 64, 60  # pixels
_COLORS = {
    "numpy": "#0072b2",
    "torch": "#d55e00",
    "torch.compile": "#009e73",
    "gensim": "#cc79a7",
}  # distinct for colour-blind readers too (Okabe and Ito 2008)


def draw(results: Sequence[Result], caption: str) -> str:
    """Draw a bar for each contest and peer, as long as the ratio; the line at 1 is where both are equally fast.

    Args:
        results: those without a peer are left out.
        caption: what the figures depend on, in a few lines.

    Returns:
        The text of an SVG file.
    """
    compared = [result for result in results if result.peers]
    longest = max([1.5, *(result.ratio(peer) for result in compared for peer in result.peers)])
    scale = (_WIDTH - _LABELS - _MARGIN) / longest
    bars, texts, y, group = [], [], _TOP, ""
    for result in compared:
        if result.group != group:
            group = result.group
            texts.append(f'<text class="group" x="16" y="{y + 20}">{escape(group)}</text>')
            y += _GROUP
        texts.append(_text(_LABELS - 8, y + _BAR * (len(result.peers) + 1) / 2 - 3, result.name, "end"))
        for peer in result.peers:
            ratio = result.ratio(peer)
            bars.append(f'<rect x="{_LABELS}" y="{y}" width="{ratio * scale:.1f}" height="{_BAR - 3}" fill="{_COLORS[peer]}"/>')
            texts.append(_text(_LABELS + ratio * scale + 5, y + _BAR - 6, report.ratio(ratio), "start"))
            y += _BAR
        y += 6
    legend = "".join(
        f'<rect x="{_LABELS + 110 * i}" y="34" width="12" height="12" fill="{_COLORS[peer]}"/>'
        + _text(_LABELS + 110 * i + 18, 44, peer, "start")
        for i, peer in enumerate(sorted({peer for result in compared for peer in result.peers}))
    )
    equal, below = _LABELS + scale, caption.splitlines()
    height = y + 20 + 16 * len(below)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}">\n'
        "<style>text{font:12px system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif;fill:#444;"
        "paint-order:stroke;stroke:#fff;stroke-width:3px}"  # a figure stays readable on the line at 1
        ".group{font-weight:600;fill:#222}.title{font-size:15px;font-weight:600;fill:#222}</style>\n"
        '<rect width="100%" height="100%" fill="#fff"/>\n'
        f'<text class="title" x="16" y="24">What each peer takes / minigrad: longer is better for minigrad</text>\n{legend}\n'
        + "\n".join(bars)
        + f'\n<line x1="{equal:.1f}" x2="{equal:.1f}" y1="{_TOP - 6}" y2="{y}" stroke="#222" stroke-dasharray="3 3"/>\n'
        + "\n".join(texts)
        + "\n"
        + "\n".join(_text(16, y + 22 + 16 * i, text, "start") for i, text in enumerate(below))
        + "\n</svg>\n"
    )


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
