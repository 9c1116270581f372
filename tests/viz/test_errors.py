"""The picture of errors: alignment by the definition of edit distance, counts by hand."""

import itertools

import numpy as np
import pytest

from minigrad import viz
from minigrad.errors import DataError, ShapeError
from minigrad.viz.errors import align, by_position

pytest.importorskip("matplotlib", reason="pictures are drawn by matplotlib, the extra viz")

REFERENCES = ["the cat sat", "a dog ran far", "the cat sat"]
HYPOTHESES = ["the mat sat", "dog ran far away", "the cat sat"]


def distance(a, b):
    """The least number of changes, by trying every common subsequence of positions."""
    best = len(a) + len(b)
    for size in range(min(len(a), len(b)) + 1):
        for i in itertools.combinations(range(len(a)), size):
            for j in itertools.combinations(range(len(b)), size):
                wrong = sum(a[x] != b[y] for x, y in zip(i, j))
                best = min(best, wrong + len(a) + len(b) - 2 * size)
    return best


def test_an_alignment_holds_both_sides_with_the_fewest_changes(rng):
    for _ in range(30):
        a, b = ("".join(rng.choice(list("xyz"), rng.integers(0, 5))) for _ in range(2))
        pairs = align(a, b)
        assert "".join(r for r, _ in pairs if r is not None) == a
        assert "".join(h for _, h in pairs if h is not None) == b
        assert sum(r != h for r, h in pairs) == distance(a, b)


def test_errors_by_position():
    share, count = by_position([align(r.split(), h.split()) for r, h in zip(REFERENCES, HYPOTHESES)])
    np.testing.assert_allclose(share, [1 / 3, 1 / 3, 0, 0])  # "a" is missing; "cat" became "mat"
    assert count.tolist() == [3, 3, 3, 1]


def test_the_picture_counts():
    picture = viz.errors(REFERENCES, HYPOTHESES, sources=["eins", "zwei", "drei"])
    strips, confusions, positions = picture.figure.axes
    assert picture.figure.get_suptitle() == "3 errors in 10 tokens of 3 sentences"
    assert [text.get_text() for text in strips.get_yticklabels()] == ["zwei", "eins", "drei"]  # the most errors first
    assert {"cat", "mat", "∅", "away"} <= {text.get_text() for text in strips.texts}
    names = [text.get_text() for text in confusions.get_yticklabels()]
    assert sorted(names) == sorted(["cat → mat", "a → ∅", "∅ → away"])
    assert [bar.get_width() for bar in confusions.patches] == [1, 1, 1]
    np.testing.assert_allclose([bar.get_height() for bar in positions.patches], [100 / 3, 100 / 3, 0, 0])
    assert "1 of 3 sentences without one" in repr(picture)


def test_losses_colour_the_cells():
    picture = viz.errors(REFERENCES[:1], HYPOTHESES[:1], losses=[[0.0, 2.0, 1.0, 9.0]], theme="dark")  # 9: of the end
    cells = picture.figure.axes[0].patches
    expected = [viz.DARK.sequential(share) for share in (0.0, 1.0, 0.5)]
    for cell, color in zip(cells, expected, strict=True):
        np.testing.assert_allclose(cell.get_facecolor(), color, atol=1 / 255)


def test_no_errors_and_hostile_tokens():
    same = ["$a$ <script> " + "x" * 10_000 + " 日本"]
    picture = viz.errors(same, same)
    assert "no errors" in {text.get_text() for text in picture.figure.axes[1].texts}
    assert picture.render("svg")


def test_what_does_not_fit_is_said_in_a_sentence():
    with pytest.raises(DataError, match="needs sentences"):
        viz.errors([], [])
    with pytest.raises(ShapeError, match="got 1 hypotheses for 2 references"):
        viz.errors(["a", "b"], ["a"])
    with pytest.raises(ShapeError, match="got 1 for the 2 of sentence 1"):
        viz.errors(["a b"], ["a b"], losses=[[1.0]])
