"""The picture of labelled points: valid SVG, true to scale, with labels that can be read."""

import itertools
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from minigrad.errors import ShapeError
from minigrad.word2vec import picture

SVG = "{http://www.w3.org/2000/svg}"


def dots(root):
    return [(float(c.get("cx")), float(c.get("cy"))) for c in root.iter(f"{SVG}circle") if c.find(f"{SVG}title") is not None]


def test_points_labels_and_tooltips(rng):
    words = [f"word{i}" for i in range(40)]
    points = rng.standard_normal((40, 2))
    root = ET.fromstring(picture.scatter(points, words, title="Words & more", axes=("left < right", "up")))
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert {"Words & more", "left < right", "up", *words} <= set(texts)
    assert set(words) <= {text.text for text in root.iter(f"{SVG}text") if text.get("class") != "halo"}  # above its halo
    assert [title.text for title in root.iter(f"{SVG}title")] == ["Words & more", *words]
    # The picture is the plane: scaled, moved and turned over, as the vertical axis of SVG goes down.
    got = np.array(dots(root)) * [1, -1]
    scale = np.ptp(got[:, 0]) / np.ptp(points[:, 0])
    np.testing.assert_allclose(got - got[0], (points - points[0]) * scale, atol=0.2)


def test_labels_do_not_overlap(rng):
    x, y = rng.uniform(100, 800, 150), rng.uniform(100, 600, 150)
    boxes = [box for box in picture.label_boxes(x, y, ["a label"] * 150, picture.Box(28, 56, 872, 636)) if box is not None]
    assert len(boxes) > 120
    for a, b in itertools.combinations(boxes, 2):
        assert a.right <= b.left or b.right <= a.left or a.bottom <= b.top or b.bottom <= a.top


def test_a_label_without_a_free_place_is_left_to_the_tooltip():
    points = np.random.default_rng(0).normal(0, 1e-3, (300, 2))
    points[0] = 1
    root = ET.fromstring(picture.scatter(points, ["word"] * 300))
    labels = [text for text in root.iter(f"{SVG}text") if text.text == "word"]
    assert 1 < len(labels) < 300 == len(dots(root))


def test_groups_have_colours_and_a_legend():
    root = ET.fromstring(picture.scatter(np.eye(3, 2), "abc", groups=["x", "y", "x"]))
    colors = [c.get("fill") for c in root.iter(f"{SVG}circle") if c.find(f"{SVG}title") is not None]
    assert colors[0] == colors[2] != colors[1]
    assert {"x", "y"} <= {text.text for text in root.iter(f"{SVG}text")}


@pytest.mark.parametrize(
    "points", [np.zeros((1, 2)), np.ones((3, 2)), np.array([[0.0, 5], [1e-30, 5]]), np.array([[1e30, 0], [-1e30, 0]])]
)
def test_degenerate_points_stay_in_the_picture(points):  # fmt: skip
    root = ET.fromstring(picture.scatter(points, ["w"] * len(points)))
    assert all(0 < x < picture._WIDTH and 0 < y < picture._HEIGHT for x, y in dots(root))


def test_any_text_is_a_label():
    words = ["<&>", "\x00\t\ud800", "x" * 100, "日本語", ""]
    root = ET.fromstring(picture.scatter(np.eye(5, 2), words))
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert {"<&>", "\ufffd\ufffd\ufffd", "x" * 23 + "…", "日本語"} <= set(texts)


def test_one_label_for_each_point():
    for labels, groups in ((["a"], None), (["a", "b"], ["x"]), ([], None)):
        with pytest.raises(ShapeError, match="one point, one label"):
            picture.scatter(np.zeros((2, 2)), labels, groups=groups)
