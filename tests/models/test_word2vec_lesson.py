"""The lesson: what it prints is true, and the words end up where they should."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from models import word2vec_lesson as lesson
from models.word2vec import main
from models.word2vec_picture import Panel, before_and_after


@pytest.mark.parametrize("seed", [10, 0, 1, 2])
def test_the_films_come_closer_whatever_the_first_weights(seed, capsys):
    ET.fromstring(lesson.next_word(seed))
    printed = capsys.readouterr().out
    course = re.findall(r"^ +(\d+) +([\d.]+) +([\d.]+)$", printed, re.MULTILINE)
    losses, distances = (np.array([float(line[i]) for line in course]) for i in (1, 2))
    assert len(course) == 8 and losses[-1] < 0.02
    assert (np.diff(losses) < 0).all() and (np.diff(distances) < 0).all()


def test_what_is_computed_by_hand_is_what_the_tape_finds(capsys):
    lesson.next_word()
    printed = capsys.readouterr().out
    assert float(re.search(r"The tape's gradients differ from these by (\S+) at most", printed)[1]) < 1e-6
    by_hand = re.search(r"sum of error \* u, (\(.*?\))", printed)[1]
    found = re.search(r"What the tape found.*?Troll2 +(\S+) +(\S+)", printed, re.DOTALL)
    assert by_hand == f"({found[1]:>7}, {found[2]:>7})"
    assert "is -> great (99%)" in printed


@pytest.mark.parametrize("kind", ["skipgram", "cbow"])
@pytest.mark.parametrize("loss", ["softmax", "ns", "hs"])
def test_each_model_with_each_loss(kind, loss, capsys):
    picture = lesson.word2vec(kind, loss)
    assert "troll2" in picture and ET.fromstring(picture) is not None
    printed = capsys.readouterr().out
    by_hand, found = (re.search(rf"{start}.*?(\(.*\))", printed)[1] for start in ("The gradient of h is", "The tape's for"))
    assert by_hand == found
    for pair in ("troll2   gymkata", "gymkata  troll2", "pasta    rice", "rice     pasta"):
        assert pair in printed


def test_the_tree_has_every_word_as_a_leaf():
    examples = lesson.Examples("skipgram", "hs")
    ways = {tuple(code[code >= 0]) for code in examples.codes}
    assert len(ways) == len(examples.words)
    assert sum(2.0 ** -len(way) for way in ways) == 1


def test_the_verb(tmp_path, capsys):
    assert main(["lesson", "--out", str(tmp_path / "a.svg")]) == 0
    assert main(["lesson", "--model", "cbow", "--out", str(tmp_path / "b.svg")]) == 0
    assert "CBOW" in (tmp_path / "b.svg").read_text() and "Negative sampling" in capsys.readouterr().out


def test_a_picture_has_one_scale_for_both_panels_and_escapes_words():
    points = np.array([[0.0, 0.0], [1.0, 2.0]])
    picture = before_and_after([Panel("before", points, ["<", "b"]), Panel("after", 2 * points, ["<", "b"])], "A & B", "x")
    circles = [
        (float(c.get("cx")), float(c.get("cy"))) for c in ET.fromstring(picture).iter("{http://www.w3.org/2000/svg}circle")
    ]
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = circles
    assert (x3 - x2, y3 - y2) == pytest.approx((2 * (x1 - x0), 2 * (y1 - y0)), abs=0.2)
    assert y0 - y1 == pytest.approx(2 * (x1 - x0), abs=0.2)
