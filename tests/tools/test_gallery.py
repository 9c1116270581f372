"""The gallery of the documentation: what it shows is there, small, and what the trainings give is real."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from tools import gallery


def test_the_page_and_the_pictures_belong_together():
    page = (gallery.ROOT / "gallery.md").read_text()
    shown = re.findall(r"\]\(gallery/([\w-]+\.svg)\)", page)
    files = sorted((gallery.ROOT / "gallery").iterdir())
    assert sorted(shown) == [path.name for path in files] and len(set(shown)) == len(shown) >= 15
    assert sum(path.stat().st_size for path in files) < 2_000_000
    for path in files:
        assert ET.parse(path).getroot().tag.endswith("svg")


def test_a_batch_is_to_be_written_backwards(rng):
    batch = gallery.batch_of(rng, 4, 5)
    assert np.array_equal(batch.source[:, :5], batch.target[:, 4::-1])
    assert np.array_equal(batch.target_input[:, 1:], batch.target[:, :-1])
    assert batch.target_tokens == 24


def test_words_used_alike_come_together():
    film, words, _ = gallery.cbow()
    before, after = film[0], film[120]

    def near(matrix, a, b):
        a, b = matrix[words.index(a)], matrix[words.index(b)]
        return a @ b / np.linalg.norm(a) / np.linalg.norm(b)

    assert near(after, "troll2", "gymkata") > max(0.7, near(before, "troll2", "gymkata"))
    assert list(film) == list(range(0, 121, 12))


def test_pictures_are_drawn_where_one_says(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib", reason="pictures are drawn by matplotlib, the extra viz")
    from minigrad import viz

    one = gallery.Entry("one", viz.attention(np.eye(2)), "Words.", "viz.attention(np.eye(2))")
    monkeypatch.setattr(gallery, "entries", lambda steps: iter([one]))
    assert gallery.main(["--out", str(tmp_path)]) == 0
    assert (tmp_path / "gallery" / "one.svg").exists()
    assert "viz.attention(np.eye(2))" in (tmp_path / "gallery.md").read_text()
