"""How pictures look: colours that can be told apart, files that repeat, and nothing left behind in matplotlib."""

import re
import subprocess
import sys
import threading
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from minigrad.errors import CheckpointError, MissingExtraError, UsageError
from minigrad.viz import style

matplotlib = pytest.importorskip("matplotlib", reason="pictures are drawn by matplotlib, the extra viz")

THEMES = [style.LIGHT, style.DARK]
HOSTILE = [
    "a $b$ c",
    '"quoted"',
    "it's",
    "<script>alert(1)</script>",
    "two\nlines",
    "\x00\x1b[31m",
    "\ud800",
    "😀",
    "日本語",
    "x" * 10_000,
]


def drawn(theme=style.LIGHT, title="a title"):
    with style.canvas(4, 3, theme) as figure:
        axes = figure.subplots()
        axes.plot([1, 2, 3], label=style.literal("a line"))
        style.heat(axes.inset_axes((0.6, 0.1, 0.3, 0.3)), np.eye(3), style.theme_of(theme).sequential, 0, 1)
        axes.legend()
        axes.set(xlabel="step", title=style.literal(title))
    return style.Picture(figure, "a rising line", theme)


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
def test_text_and_lines_stand_out_from_the_background(theme):
    assert style.contrast(theme.ink, theme.background) > 7  # WCAG 2.1, level AAA for text
    assert style.contrast(theme.faint, theme.background) > 4.5
    assert min(style.contrast(color, theme.background) for color in theme.series) > 3  # level AA for graphics


def test_contrast_as_the_guidelines_define_it():
    assert style.contrast("#000000", "#ffffff") == pytest.approx(21)
    assert style.contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)  # the guidelines' own example


# Machado, Oliveira and Fernandes 2009, "A Physiologically-based Model for Simulation of Color Vision Deficiency", severity 1.
BLINDNESS = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}  # fmt: skip


def seen(colors, blindness):
    """Colours as such a reader sees them, in Oklab."""
    rgb = np.array([[int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)] for color in colors])
    if blindness is not None:
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        linear = np.clip(linear @ np.array(BLINDNESS[blindness]).T, 0, 1)
        rgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return style.oklab(rgb)


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
@pytest.mark.parametrize("blindness", [None, *BLINDNESS])
def test_series_differ_for_every_reader(theme, blindness):
    lab = seen(theme.series, blindness)
    apart = [np.linalg.norm(lab[i] - lab[j]) for i in range(len(lab)) for j in range(i)]
    assert min(apart) > 0.07, (blindness, apart)  # between 3 and 4 times what is just told apart side by side, 0.02


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
def test_ramps_are_even_to_the_eye(theme):
    lab = style.oklab(style.ramp(theme.ramp))
    steps = np.linalg.norm(np.diff(lab, axis=0), axis=1)
    assert steps.max() / steps.min() < 1.1
    lightness = np.diff(lab[:, 0])
    assert (lightness < 0).all() or (lightness > 0).all()  # so that it is even in grey, and for every reader


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
def test_the_split_has_its_middle_at_0_and_two_sides_alike(theme):
    lab = style.oklab(style.split(theme.split))
    middle = len(lab) // 2
    np.testing.assert_allclose(lab[middle], seen([theme.split[len(theme.split) // 2]], None)[0], atol=1e-6)
    assert np.abs(lab[:, 0] - lab[::-1, 0]).max() < 0.08  # as light on one side as on the other
    away = np.diff(lab[middle:, 0])
    assert (away < 0).all() if theme is style.LIGHT else (away > 0).all()
    for blindness in BLINDNESS:
        ends = seen([theme.split[1], theme.split[-2]], blindness)
        assert np.linalg.norm(ends[0] - ends[1]) > 0.12


def test_oklab_of_known_colours():
    """The values of the definition's own table: white is (1, 0, 0), black 0, red as computed from the matrices."""
    white, black, red = style.oklab(np.array([[1, 1, 1], [0, 0, 0], [1, 0, 0]], float))
    np.testing.assert_allclose(white, [1, 0, 0], atol=1e-4)
    np.testing.assert_allclose(black, 0, atol=1e-12)
    np.testing.assert_allclose(red, [0.62796, 0.22486, 0.12585], atol=1e-4)
    colors = np.random.default_rng(0).uniform(0, 1, (20, 3))
    np.testing.assert_allclose(style._srgb(style.oklab(colors)), colors, atol=1e-9)


def test_the_same_picture_gives_the_same_bytes(tmp_path):
    picture, again = drawn(), drawn()
    for kind, start in {"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF"}.items():
        first = picture.save(tmp_path / f"a.{kind}").read_bytes()
        assert first == again.render(kind)
        assert kind != "svg" or first == picture.render(kind)
        assert first.startswith(start)


def test_an_svg_is_xml_with_text_that_can_be_searched():
    root = ET.fromstring(drawn().render("svg"))
    texts = {"".join(text.itertext()).strip() for text in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"a title", "a line", "step"} <= texts
    assert b"a rising line" in drawn().render("svg")  # the description


def test_a_dark_picture_is_dark():
    from matplotlib.image import imread

    pixels = {name: np.asarray(imread(_file(drawn(name).render("png"))))[2, 2, :3] for name in ("light", "dark")}
    assert pixels["light"].min() == 1.0
    assert pixels["dark"].max() < 0.15


def _file(data):
    import io

    return io.BytesIO(data)


def test_matplotlib_is_left_as_it_was():
    before = dict(matplotlib.rcParams)
    matplotlib.rcParams["font.size"] = 31
    matplotlib.rcParams["axes.facecolor"] = "red"
    try:
        picture = drawn("dark")
        picture.render("svg")
        assert matplotlib.rcParams["font.size"] == 31 and matplotlib.rcParams["axes.facecolor"] == "red"
        with pytest.raises(ZeroDivisionError), style.canvas(2, 2, "dark"):
            raise ZeroDivisionError
        assert matplotlib.rcParams["font.size"] == 31
        assert picture.render("svg") == drawn("dark").render("svg")  # what the user has set does not show
    finally:
        matplotlib.rcParams.update(before)
    assert picture.render("png") == drawn("dark").render("png")


def test_threads_draw_at_the_same_time():
    before, found = dict(matplotlib.rcParams), []
    expected = {name: drawn(name).render("svg") for name in ("light", "dark")}
    threads = [threading.Thread(target=lambda n=n: found.append((n, drawn(n).render("svg")))) for n in ("dark", "light")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 2 and all(svg == expected[name] for name, svg in found)
    assert dict(matplotlib.rcParams) == before


def test_any_text_is_drawn_as_it_is():
    with style.canvas(8, 4) as figure:
        axes = figure.subplots()
        axes.set_xticks(range(len(HOSTILE)), [style.literal(text) for text in HOSTILE], rotation=90)
        axes.plot([0, 9], [0, 1], label=style.literal("$x$ costs 5$"))
        axes.legend()
    picture = style.Picture(figure, "\n".join(HOSTILE))
    for kind in style.FORMATS:
        data = picture.render(kind)  # no warning of a missing glyph, which would be an error here
        assert len(data) > 1000
    root = ET.fromstring(picture.render("svg"))  # what is no XML fails
    assert not list(root.iter("{http://www.w3.org/2000/svg}script"))
    texts = {"".join(t.itertext()).strip() for t in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"a $b$ c", '"quoted"', "<script>alert(1)</script"[:23] + "…", "two⏎lines", "😀", "日本語", "$x$ costs 5$"} <= texts
    assert "x" * 23 + "…" in texts


def test_spaces_at_the_ends_of_a_token_can_be_seen():
    assert [style.literal(text) for text in (" 1", "1", "a b ", "  ", "")] == ["␣1", "1", "a b␣", "␣␣", ""]


def test_notebooks_show_the_best_they_can():
    picture = drawn()
    bundle = picture._repr_mimebundle_()
    assert list(bundle) == ["image/svg+xml", "image/png", "text/plain"]
    assert bundle["text/plain"] == repr(picture) == "Picture: a rising line"
    assert list(picture._repr_mimebundle_(include=["image/png"])) == ["image/png"]
    assert "image/svg+xml" not in picture._repr_mimebundle_(exclude=["image/svg+xml"])


def test_wrong_names_and_places(tmp_path):
    picture = drawn()
    with pytest.raises(UsageError, match=r"saved as \.svg, \.png, \.pdf: got 'a.gif'"):
        picture.save(tmp_path / "a.gif")
    with pytest.raises(UsageError, match="rendered as"):
        picture.render("gif")
    with pytest.raises(CheckpointError, match="cannot write"):
        picture.save(tmp_path / "nowhere" / "a.svg")
    with pytest.raises(UsageError, match="the theme is 'light' or 'dark'"):
        style.theme_of("pink")
    with pytest.raises(AttributeError, match="no attribute"):
        import minigrad.viz

        minigrad.viz.nothing_of_that_name  # noqa: B018


def test_without_matplotlib_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with (
        pytest.raises(MissingExtraError, match=r"^pictures need matplotlib: pip install 'minigrad\[viz\]'$"),
        style.canvas(1, 1),
    ):
        pass


def test_gathering_the_names_loads_no_matplotlib():
    code = (
        "import sys, minigrad.viz as viz; [getattr(viz, name) for name in viz.__all__]; "
        "import minigrad.viz.attention; assert callable(viz.attention); "
        "print('matplotlib' in sys.modules, set(viz.__all__) <= set(dir(viz)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert re.fullmatch(r"False True\n", out)
