"""How the pictures look, and the picture itself: shown by notebooks, saved as SVG, PNG or PDF.

::

    with canvas(8, 4, theme) as figure:     # a matplotlib Figure of 8 x 4 inches, dressed
        axes = figure.subplots()
        axes.plot(steps, losses)
        axes.set(xlabel="step", ylabel="loss (nats)")
    return Picture(figure, "what it shows, in words", theme)

matplotlib reads its settings from one table of the process. Here they change only while a picture is drawn or written, under a
lock, and are as before afterwards; pyplot, with its list of open figures, is never used.
"""

from __future__ import annotations

import io
import os
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import MissingExtraError, UsageError
from ..formats import atomic

FORMATS = ("svg", "png", "pdf")
_DPI = 144  # of PNG: two pixels for each at 72 an inch, sharp on today's screens

# Fonts for what DejaVu Sans, which matplotlib brings, has no glyphs for; those that are installed are asked in this order.
_MORE_FONTS = (
    "Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans SC", "Noto Sans JP", "Source Han Sans", "WenQuanYi Zen Hei",
    "Hiragino Sans", "PingFang SC", "Yu Gothic", "Microsoft YaHei", "Malgun Gothic", "Noto Sans Devanagari", "Noto Sans Arabic",
    "Noto Emoji", "Symbola", "Segoe UI Symbol",
)  # fmt: skip


class Theme(NamedTuple):
    """The colours of a picture.

    Attributes:
        background, ink, faint, grid: of the paper, of text, of what is secondary, of lines to read values by.
        series: of lines and groups, distinct for colour-blind readers and at least 3 : 1 against the background.
        ramp: from nothing (nearly the background) to most, for values from 0 up; lightness changes in one direction.
        split: from most negative over nothing to most positive.
    """

    name: str
    background: str
    ink: str
    faint: str
    grid: str
    series: tuple[str, ...]
    ramp: tuple[str, ...]
    split: tuple[str, ...]

    @property
    def sequential(self) -> Any:
        """The ramp as a matplotlib colour map."""
        return _colormap(f"minigrad-{self.name}-sequential", ramp(self.ramp), self.grid)

    @property
    def diverging(self) -> Any:
        """The split as a matplotlib colour map; its middle is for 0."""
        return _colormap(f"minigrad-{self.name}-diverging", split(self.split), self.grid)

    def color(self, number: int) -> str:
        """The colour of series ``number``; after the last it begins anew."""
        return self.series[number % len(self.series)]


# The series begin with four of Okabe and Ito 2008, "Color Universal Design". Three more were searched for, so that the nearest
# two of all, seen by the colour-blind reader for whom they are nearest, lie as far apart as can be.
LIGHT = Theme(
    "light", "#ffffff", "#222222", "#666666", "#e4e4e4",
    ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#9d82eb", "#3e0526", "#666761"),
    ("#f4f8fb", "#a9d3ea", "#4a9fd0", "#0b62a4", "#08244d"),
    ("#6b2a00", "#d55e00", "#f4b183", "#f7f7f7", "#8fc3e4", "#0072b2", "#04345c"),
)  # fmt: skip
DARK = Theme(
    "dark", "#16181d", "#e6e6e6", "#a0a4ab", "#33373f",
    ("#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#e9dd38", "#e96500", "#bebebe"),
    ("#1d2129", "#1f4678", "#2b83b8", "#7cc8d0", "#fdf3b4"),
    ("#ffd9b0", "#ef8a3c", "#8a4310", "#1d2129", "#115487", "#3f9fdc", "#c4e6ff"),
)  # fmt: skip
THEMES = {theme.name: theme for theme in (LIGHT, DARK)}

_lock = threading.RLock()


def theme_of(theme: Theme | str) -> Theme:
    """The theme of that name, "light" or "dark"; a Theme is one already."""
    if isinstance(theme, Theme):
        return theme
    if theme not in THEMES:
        raise UsageError(f"the theme is {' or '.join(map(repr, THEMES))}, or a Theme: got {theme!r}")
    return THEMES[theme]


@contextmanager
def canvas(width: float, height: float, theme: Theme | str = LIGHT, *, layout: bool = True) -> Iterator[Any]:
    """A figure of that many inches to draw on inside the block.

    What stands on it is laid out so that nothing overlaps; with ``layout=False`` axes stay where ``figure.add_axes`` puts them.

    Raises MissingExtraError without matplotlib.
    """
    with _settings(theme_of(theme)):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=(width, height), layout="constrained" if layout else None)
        FigureCanvasAgg(figure)
        yield figure
        engine = figure.get_layout_engine()
        if engine is not None:
            engine.execute(figure)
        figure.set_layout_engine("none")  # laid out once, and then the same in every format


class Picture:
    """A finished drawing.

    Args:
        figure: of matplotlib.
        text: what the picture shows, in words: for terminals, and for readers who cannot see it.
        theme: the one it was drawn with.
    """

    def __init__(self, figure: Any, text: str, theme: Theme | str = LIGHT) -> None:
        self.figure, self.theme = figure, theme_of(theme)
        self.text = _printable(text[:5000])

    def save(self, path: str | os.PathLike) -> Path:
        """Write the picture, in the format that the name ends in, and return where. The same picture gives the same bytes.

        Raises UsageError for other endings, CheckpointError where the file cannot be written.
        """
        path = Path(path)
        kind = path.suffix[1:].lower()
        if kind not in FORMATS:
            raise UsageError(f"a picture is saved as .{', .'.join(FORMATS)}: got {path.name!r}; end the name in one of them")
        data = self.render(kind)
        with atomic.replacing(path) as file:
            file.write(data)
        return path

    def render(self, kind: str) -> bytes:
        """The content of a file of that kind: "svg", "png" or "pdf"."""
        if kind not in FORMATS:
            raise UsageError(f"a picture is rendered as {', '.join(FORMATS)}: got {kind!r}")
        dates = {"svg": {"Date": None, "Description": self.text}, "pdf": {"CreationDate": None}}
        file = io.BytesIO()
        with _settings(self.theme):
            self._sharp("none" if kind == "svg" else "nearest")
            self.figure.savefig(file, format=kind, dpi=_DPI, metadata=dates.get(kind))
        return file.getvalue()

    def _sharp(self, how: str) -> None:
        """Cells with sharp edges: SVG holds them one by one and says so, elsewhere they are enlarged here."""
        for axes in self.figure.axes:
            for image in axes.images:
                image.set_interpolation(how)

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, Any]:
        """What Jupyter shows: the best of these that it can."""
        makers = {
            "image/svg+xml": lambda: self.render("svg").decode(),
            "image/png": lambda: self.render("png"),
            "text/plain": lambda: repr(self),
        }
        wanted = [kind for kind in makers if (not include or kind in include) and kind not in (exclude or ())]
        return {kind: makers[kind]() for kind in wanted}

    def __repr__(self) -> str:
        return f"Picture: {self.text}"


def literal(text: object, longest: int = 24) -> str:
    """Text that matplotlib draws as it is: in one line, shortened, without control characters; no dollar begins a formula.

    Spaces at its ends, which tell tokens apart, can be seen.
    """
    text = str(text)
    inner = text.strip(" ")
    start = len(text) - len(text.lstrip(" "))
    text = "␣" * start + inner + "␣" * (len(text) - start - len(inner))
    cut = text if len(text) <= longest else text[: longest - 1] + "…"
    return _printable(cut.replace("\n", "⏎")).replace("$", r"\$")


def _printable(text: str) -> str:
    """Without control characters and lone surrogates, which no XML file may contain."""
    return "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text)


def heat(axes: Any, values: np.ndarray, colors: Any, low: float, high: float) -> Any:
    """Draw a matrix, row 0 on top, one cell a value; NaN stays empty. Returns the image, for a colour bar."""
    image = axes.imshow(values, cmap=colors, vmin=low, vmax=high, interpolation="none", aspect="auto")
    axes.grid(False)
    return image


@contextmanager
def _settings(theme: Theme) -> Iterator[None]:
    """matplotlib's own defaults and ours, whatever the user has set; put back afterwards."""
    try:
        import matplotlib
    except ImportError:
        raise MissingExtraError("pictures need matplotlib: pip install 'minigrad[viz]'") from None
    defaults = {key: value for key, value in matplotlib.rcParamsDefault.items() if not key.startswith("backend")}
    with _lock, warnings.catch_warnings(), matplotlib.rc_context():
        # A glyph that no installed font has is drawn as an empty box: a pity, but no reason to fail where warnings are errors.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")
        warnings.filterwarnings("ignore", message=r"Matplotlib currently does not support .* natively")
        warnings.filterwarnings("ignore", category=matplotlib.MatplotlibDeprecationWarning)
        for key, value in (*defaults.items(), *_rules(theme).items()):
            matplotlib.rcParams[key] = value  # pyright: ignore[reportArgumentType]
        yield


def _rules(theme: Theme) -> dict[str, Any]:
    from cycler import cycler  # a part of matplotlib

    return {
        "font.family": ["sans-serif"], "font.sans-serif": ["DejaVu Sans", *_installed_fonts()], "font.size": 10,
        "axes.titlesize": 10.5, "axes.labelsize": 10, "xtick.labelsize": 9, "ytick.labelsize": 9, "legend.fontsize": 9,
        "figure.titlesize": 12, "figure.titleweight": "bold", "axes.titlelocation": "left",
        "figure.facecolor": theme.background, "savefig.facecolor": theme.background, "axes.facecolor": theme.background,
        "text.color": theme.ink, "axes.labelcolor": theme.ink, "axes.titlecolor": theme.ink, "axes.edgecolor": theme.faint,
        "xtick.color": theme.faint, "ytick.color": theme.faint, "xtick.labelcolor": theme.ink, "ytick.labelcolor": theme.ink,
        "axes.grid": True, "grid.color": theme.grid, "grid.linewidth": 0.8, "axes.axisbelow": True,
        "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.8, "lines.linewidth": 1.8,
        "axes.prop_cycle": cycler(color=theme.series), "legend.facecolor": theme.background, "legend.edgecolor": "none",
        "legend.framealpha": 0.85, "hatch.linewidth": 0.6,
        "hatch.color": theme.faint, "figure.constrained_layout.w_pad": 0.06, "figure.constrained_layout.h_pad": 0.06,
        "svg.fonttype": "none", "svg.hashsalt": "minigrad", "pdf.fonttype": 42, "axes.unicode_minus": True,
        "patch.edgecolor": theme.background, "figure.max_open_warning": 0,
    }  # fmt: skip


def _installed_fonts() -> list[str]:
    from matplotlib.font_manager import fontManager

    present = {font.name for font in fontManager.ttflist}
    return [name for name in _MORE_FONTS if name in present]


# -- colour maps --------------------------------------------------------------------------------------------------------


def ramp(anchors: Sequence[str], count: int = 257) -> np.ndarray:
    """``count`` colours (count, 3) along the way through ``anchors``, each as far from the last to the eye as to the next.

    The way is straight in Oklab, where equal lengths are equal differences, nearly. Source: Ottosson 2020, "A perceptual color
    space for image processing".
    """
    points = oklab(np.array([_rgb(anchor) for anchor in anchors]))
    lengths = np.linalg.norm(np.diff(points, axis=0), axis=1)
    at = np.concatenate([[0.0], np.cumsum(lengths)])
    where = np.linspace(0, at[-1], count)
    return _srgb(np.stack([np.interp(where, at, points[:, i]) for i in range(3)], axis=1))


def split(anchors: Sequence[str], count: int = 257) -> np.ndarray:
    """``count`` colours (count, 3), an odd number: a ramp up to the middle one of ``anchors``, and one from there on."""
    middle, half = len(anchors) // 2, count // 2 + 1
    return np.concatenate([ramp(anchors[: middle + 1], half), ramp(anchors[middle:], half)[1:]])


def oklab(rgb: np.ndarray) -> np.ndarray:
    """Colours (.., 3) from sRGB, 0 to 1, to Oklab: lightness, green to red, blue to yellow."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return np.cbrt(linear @ _TO_CONES.T) @ _TO_LAB.T


def _srgb(lab: np.ndarray) -> np.ndarray:
    linear = np.clip((lab @ np.linalg.inv(_TO_LAB).T) ** 3 @ np.linalg.inv(_TO_CONES).T, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


_TO_CONES = np.array([
    [0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
    [0.0883024619, 0.2817188376, 0.6299787005],
])  # fmt: skip
_TO_LAB = np.array([
    [0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099],
    [0.0259040371, 0.7827717662, -0.8086757660],
])  # fmt: skip


def _rgb(color: str) -> list[float]:
    return [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]


def contrast(one: str, other: str) -> float:
    """The contrast of two colours as the Web Content Accessibility Guidelines define it, from 1 to 21."""
    shares = np.array([0.2126, 0.7152, 0.0722])

    def luminance(color: str) -> float:
        rgb = np.array(_rgb(color))
        return float(np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) @ shares)

    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


def _colormap(name: str, colors: np.ndarray, empty: str) -> Any:
    from matplotlib.colors import ListedColormap

    return ListedColormap(colors, name).with_extremes(bad=empty)
