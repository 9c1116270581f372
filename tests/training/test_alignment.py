"""The picture of where a decoder looked."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from minigrad.errors import ShapeError
from minigrad.training import alignment

WEIGHTS = np.array([[0.9, 0.1, 0.0], [0.25, 0.75, 0.001]])


def cells(picture):
    return re.findall(r'class="cell"[^>]*fill="#(\w\w)\w+"', picture)


def test_the_picture_has_every_word_and_weight():
    picture = alignment.draw(WEIGHTS, ["let", "'s", "<go>"], ["vamos", " &"])
    ElementTree.fromstring(picture)
    assert re.findall(r'class="source"[^>]*>([^<]*)<', picture) == ["let", "&#x27;s", "&lt;go&gt;"]
    assert re.findall(r'class="written"[^>]*>([^<]*)<', picture) == ["vamos", "&amp;"]
    assert re.findall(r'class="number"[^>]*>([^<]*)<', picture) == ["0.90", "0.10", "0.25", "0.75"]  # 0.00 is left out
    assert "weight (a row sums to 1)" in picture


def test_a_larger_weight_is_darker():
    shades = [int(red, 16) for red in cells(alignment.draw(WEIGHTS, "abc", "xy"))]
    order = np.argsort(WEIGHTS.reshape(-1))
    assert (np.diff(np.array(shades)[order]) <= 0).all() and shades[0] < 50 < 200 < shades[2]


def test_many_weights_have_no_numbers_and_stay_inside_the_picture():
    words = [f"a long word {i}" for i in range(30)]
    picture = alignment.draw(np.full((30, 30), 1 / 30), words, words)
    assert len(cells(picture)) == 900 and 'class="number"' not in picture
    width, height = map(float, re.search(r'width="(\d+)" height="(\d+)"', picture).groups())
    found = re.findall(r'class="cell" x="([\d.]+)" y="([\d.]+)" width="(\d+)"', picture)
    assert max(float(x) + float(w) for x, _, w in found) < width - 90  # the colour bar stands beside
    assert max(float(y) + float(w) for _, y, w in found) < height


def test_weights_of_another_shape():
    with pytest.raises(ShapeError, match="2 and 3"):
        alignment.draw(WEIGHTS.T, "abc", "xy")
    with pytest.raises(ShapeError):
        alignment.draw(np.zeros((0, 3)), "abc", "")
