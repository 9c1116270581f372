"""The picture of the loss: well-formed whatever the values are, and with axes that people can read."""

import math
import random
import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minigrad.errors import UsageError
from minigrad.training import curves

SVG = "{http://www.w3.org/2000/svg}"


def parse(text):
    """Well-formed XML without a coordinate that is not a number."""
    root = ET.fromstring(text)
    assert not re.search(r'="[^"]*\b(nan|inf|None)\b', text)
    return root


def texts(root):
    return [element.text for element in root.iter(f"{SVG}text")]


def training(count):
    return [{"step": step, "loss": 2 + 5 / (1 + step), "lr": 1e-3} for step in range(1, count + 1)]


def test_a_whole_run():
    validation = [{"step": 10 * i, "valid_loss": 3 - i / 5, "bleu": 5.0 * i, "exact_match": 2.0 * i} for i in range(1, 6)]
    root = parse(curves.draw(training(50) + validation, title="run"))
    labels = texts(root)
    for label in ("run", "training loss", "validation loss, best 2", "BLEU, best 25", "exact match, best 10", "learning rate"):
        assert label in labels
    assert "loss (nats per token)" in labels and "score (%)" in labels and "step (updates of the weights)" in labels
    assert [c.get("class") for c in root.iter(f"{SVG}circle")].count(None) == 15


def test_titles_are_escaped():
    root = parse(curves.draw(training(3), title='<en→de> & "tiny"'))
    assert '<en→de> & "tiny"' in texts(root)


@pytest.mark.parametrize("metrics", [[], [{"step": 1}], [{"step": 1, "loss": None}], [{"step": 1, "loss": math.nan}]])
def test_nothing_to_draw(metrics):
    assert "nothing recorded yet" in texts(parse(curves.draw(metrics)))
    parse(curves.draw(metrics, log_scale=True))


@pytest.mark.parametrize("log_scale", [False, True])
@pytest.mark.parametrize("value", [3.2, 0.0, -1.0, 1e-30, 1e30])
def test_one_point(value, log_scale):
    root = parse(curves.draw([{"step": 7, "loss": value, "valid_loss": value, "bleu": 100.0}], log_scale=log_scale))
    circles = [circle.get("class") for circle in root.iter(f"{SVG}circle")]
    assert circles.count(None) == (1 if log_scale and value <= 0 else 3)
    assert circles.count("best") == (1 if log_scale and value <= 0 else 2)


number = st.none() | st.floats(width=32) | st.integers(-3, 3) | st.just("text")
line = st.fixed_dictionaries(
    {"step": st.integers(0, 10**9)}, optional={"loss": number, "valid_loss": number, "bleu": number, "lr": number}
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(metrics=st.lists(line, max_size=12), log_scale=st.booleans())
def test_any_values_give_a_picture(metrics, log_scale):
    parse(curves.draw(metrics, log_scale=log_scale))


def test_many_points_make_a_small_file():
    text = curves.draw(training(30_000))
    assert len(text) < 100_000
    parse(text)


def test_a_gap_lifts_the_pen():
    metrics = [{"step": step, "loss": None if step == 3 else 1.0} for step in range(1, 26)]
    paths = [path.get("d") for path in parse(curves.draw(metrics)).iter(f"{SVG}path") if path.get("class") in ("line", "raw")]
    assert [path.count("M") for path in paths] == [2, 2]


def test_thinning_keeps_the_outline_and_the_gaps():
    rng = random.Random(0)
    points = [(step, rng.random()) for step in range(10_000)]
    points[1234], points[5678], points[9000] = (1234, 50.0), (5678, -50.0), (9000, math.nan)
    thinned = curves.thin(points, 200)
    assert len(thinned) <= 202
    steps = [step for step, _ in thinned]
    assert steps == sorted(steps)
    assert {(1234, 50.0), (5678, -50.0)} <= set(thinned)
    assert any(math.isnan(value) for _, value in thinned)
    assert curves.thin(points[:100], 200) == points[:100]


def test_smoothing():
    constant = [(step, 2.5) for step in range(50)]
    assert [value for _, value in curves.smooth(constant, 10)] == pytest.approx([2.5] * 50)
    straight = [(step, float(step)) for step in range(101)]
    assert curves.smooth(straight, 5)[50][1] == pytest.approx(50), "it looks both ways, so it does not lag"
    spike = [(step, 100.0 if step == 20 else 1.0) for step in range(50)]
    assert [value for _, value in curves.smooth(spike, 5)] == pytest.approx([1.0] * 50)
    gap = [(0, 1.0), (1, math.nan), (2, 1.0)]
    assert [math.isnan(value) for _, value in curves.smooth(gap, 5)] == [False, True, False]


def test_smoothing_is_its_formula():
    rng = random.Random(1)
    points = [(step, rng.random()) for step in range(30)]
    medians = [sorted(value for _, value in points[step - 2 : step + 3])[2] for step in range(2, 28)]
    medians = (
        [value for _, value in curves.smooth(points, 1)][:2] + medians + [value for _, value in curves.smooth(points, 1)][28:]
    )
    decay = 1 - 1 / 7
    for n, (_, value) in enumerate(curves.smooth(points, 7)):
        weights = [decay ** abs(n - k) for k in range(30)]
        assert value == pytest.approx(sum(w * m for w, m in zip(weights, medians)) / sum(weights))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(low=st.floats(-1e12, 1e12), width=st.floats(1e-3, 1e12), count=st.integers(2, 10))
def test_ticks_are_round_and_inside(low, width, count):
    high = low + width
    if not high - low > 1e-6 * abs(low):  # no room for digits
        return
    values = curves.ticks(low, high, count)
    assert 1 <= len(values) <= 2 * count + 1
    assert all(low - 1e-6 * width <= value <= high + 1e-6 * width for value in values)


def test_ticks():
    assert curves.ticks(0, 8000, 8) == [1000 * i for i in range(9)]
    assert curves.ticks(1.7, 4.2, 5) == [2, 2.5, 3, 3.5, 4]
    assert curves.ticks(0, 1e-3, 2) == [0, 5e-4, 1e-3]
    assert curves.ticks(0.3, 30, log=True) == pytest.approx([0.5, 1, 2, 5, 10, 20])
    assert curves.ticks(1e-6, 1e3, log=True) == pytest.approx([10.0**i for i in range(-6, 4)])
    assert curves.ticks(2.1, 2.9, log=True) == pytest.approx([2.2, 2.4, 2.6, 2.8])
    with pytest.raises(UsageError, match="the lower first: got 3 and 3"):
        curves.ticks(3, 3)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (2000, "2,000"),
        (1.5, "1.5"),
        (0.0005, "0.0005"),
        (2.5e-5, "2.5e-5"),
        (3e7, "3e7"),
        (-0.25, "-0.25"),
        (100, "100"),
    ],
)
def test_tick_labels(value, text):
    assert curves.format_tick(value) == text


def test_a_single_score_is_named():
    assert "BLEU, best 4" in texts(parse(curves.draw([{"step": 1, "bleu": 4.0}, {"step": 2, "bleu": 3.0}])))
    assert texts(parse(curves.draw([{"step": 1, "lr": 3.0}]))).count("learning rate") == 1


@pytest.mark.parametrize("log_scale", [False, True])
@pytest.mark.parametrize("value", [1.0, 1e-20, 3e15])
def test_values_that_differ_by_rounding_alone(value, log_scale):
    metrics = [{"step": 1, "loss": value}, {"step": 2, "loss": math.nextafter(value, math.inf)}]
    parse(curves.draw(metrics, log_scale=log_scale))


def test_scores_have_no_axis_below_zero():
    picture = curves.draw([{"step": step, "bleu": 0.0} for step in (1, 2)])
    assert ">-0." not in picture and ">0.4<" in picture
    assert ">1.5<" not in picture, "there is no half a step"


def test_axes_can_have_other_names():
    picture = curves.draw([{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0}], step="words < read", loss="nats & pairs")
    assert "words &lt; read" in picture and "nats &amp; pairs" in picture


def test_sections_have_axes_of_their_own():
    line = curves.Series("a", "#000", [(1, 2.0), (3, 4.0)])
    long = curves.Series("b", "#000", [(0, 1.0), (900, 1e-9)])
    reaching = curves.Panel("y", 100, [line], reach=(-50.0, 50.0))
    root = ET.fromstring(
        curves.figure([("first", [reaching]), ("none", []), ("second", [curves.Panel("z", 100, [long], log=True)])])
    )
    texts = [element.text for element in root.iter(f"{SVG}text")]
    assert "first" in texts and "second" in texts and "none" not in texts
    assert "-50" in texts and "50" in texts and "800" in texts
    places = [float(e.get("y", "0")) for e in root.iter(f"{SVG}text") if e.text in ("first", "second")]
    assert 0 < places[0] < places[1] < float(root.get("height", "0"))


def test_many_decades_have_a_few_ticks():
    found = curves.ticks(1e-20, 1.0, 4, log=True)
    assert 4 <= len(found) <= 9 and all(math.log10(value) == pytest.approx(round(math.log10(value))) for value in found)
