"""Pictures of embeddings: principal components by their definition, neighbours by the cosine, one projection in a film."""

import itertools

import numpy as np
import pytest

import minigrad as mg
from minigrad import viz
from minigrad.errors import DataError, ShapeError, UnknownWordError, UsageError
from minigrad.viz.embedding import nearest
from minigrad.word2vec.projection import pca, principal

pytest.importorskip("matplotlib", reason="pictures are drawn by matplotlib, the extra viz")

WORDS = ["king", "queen", "man", "woman", "$dollar$", "<b>", "日本", "x" * 100]


def offsets(picture):
    """The points of each panel that has some."""
    return [np.asarray(axes.collections[0].get_offsets()) for axes in picture.figure.axes if axes.collections]


def texts(picture):
    return [text.get_text() for axes in picture.figure.axes for text in axes.texts]


@pytest.fixture
def matrix(rng):
    return rng.standard_normal((8, 5)) * [4, 2, 1, 1, 1] + 3


@pytest.fixture
def picture(matrix):
    return viz.embedding(mg.tensor(matrix, dtype=mg.float64), WORDS, groups=list("aabbccdd"), near=["king"], neighbours=2)


def test_points_are_the_principal_components(picture, matrix):
    (points,) = offsets(picture)
    centred = matrix - matrix.mean(0)
    left, values, _ = np.linalg.svd(centred)
    np.testing.assert_allclose(np.abs(points), np.abs(left[:, :2] * values[:2]), atol=1e-9)
    shares = values**2 / (values**2).sum()
    axes = picture.figure.axes[0]
    assert axes.get_xlabel() == f"component 1: {100 * shares[0]:.0f} % of the variance"
    assert axes.get_ylabel() == f"component 2: {100 * shares[1]:.0f} % of the variance"
    wide, high = picture.figure.get_size_inches() * [axes.get_position().width, axes.get_position().height]
    assert np.ptp(axes.get_xlim()) / wide == pytest.approx(np.ptp(axes.get_ylim()) / high)  # one unit is equally long
    mean, directions, _ = principal(matrix)
    np.testing.assert_allclose((matrix - mean) @ directions.T, pca(matrix)[0])


def test_words_groups_and_neighbours_are_named(picture, matrix):
    assert {"king", "queen", r"\$dollar\$", "<b>", "日本", "x" * 19 + "…"} <= set(texts(picture))
    (legend,) = picture.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b", "c", "d"]
    colors = picture.figure.axes[0].collections[0].get_facecolors()
    assert len({tuple(color) for color in colors}) == 4 and tuple(colors[0]) == tuple(colors[1])
    unit = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    cosines = unit @ unit[0]
    order = [i for i in np.argsort(-cosines) if i != 0][:2]
    assert [i for i, _ in nearest(matrix, 0, 2)] == order
    bars = picture.figure.axes[1].patches
    np.testing.assert_allclose([bar.get_width() for bar in bars], cosines[order])
    assert f"nearest to king: {WORDS[order[0]]} ({cosines[order[0]]:.2f})" in repr(picture)


def test_labels_do_not_cover_each_other(picture):
    axes = picture.figure.axes[0]
    picture.render("png")
    boxes = [text.get_window_extent() for text in axes.texts if text.get_text().isascii()]
    assert len(boxes) >= 5
    for a, b in itertools.combinations(boxes, 2):
        assert min(a.x1, b.x1) - max(a.x0, b.x0) < 6 or min(a.y1, b.y1) - max(a.y0, b.y0) < 6  # pixels at 72 an inch


def test_a_film_has_one_projection(rng):
    film = {100 * i: rng.standard_normal((6, 4)) * (1 + i) for i in range(4)}
    picture = viz.embedding(film, list("abcdef"), theme="dark")
    mean, directions, _ = principal(film[300])
    for points, matrix in zip(offsets(picture), film.values(), strict=True):
        np.testing.assert_allclose(points, (matrix - mean) @ directions.T)
    frames = picture.figure.axes
    assert [axes.get_title(loc="left") for axes in frames] == ["step 0", "step 100", "step 200", "step 300"]
    assert len({(axes.get_xlim(), axes.get_ylim()) for axes in frames}) == 1
    last = frames[-1].lines[0].get_xydata()  # the way of the first word
    np.testing.assert_allclose(last, [((m - mean) @ directions.T)[0] for m in film.values()])


def test_directions_alone(rng):
    matrix = rng.standard_normal((6, 3)) * rng.uniform(1, 9, (6, 1))
    (points,) = offsets(viz.embedding(matrix, near=(), unit=True))
    np.testing.assert_allclose(points, pca(matrix / np.linalg.norm(matrix, axis=1, keepdims=True))[0])


def test_what_does_not_fit_is_said_in_a_sentence(matrix):
    with pytest.raises(ShapeError, match="got 2 words for a matrix of shape"):
        viz.embedding(matrix, ["a", "b"])
    with pytest.raises(ShapeError, match="got 1 groups"):
        viz.embedding(matrix, WORDS, groups=["a"])
    with pytest.raises(ShapeError, match="at least two vectors"):
        viz.embedding(np.zeros(4))
    with pytest.raises(ShapeError, match="one shape"):
        viz.embedding([matrix, matrix[:3]])
    with pytest.raises(DataError, match="finite vectors"):
        viz.embedding(np.full((3, 3), np.nan))
    with pytest.raises(UnknownWordError, match="'prince' is none of the 8 words"):
        viz.embedding(matrix, WORDS, near=["prince"])
    with pytest.raises(UsageError, match="at most 4 words"):
        viz.embedding(matrix, WORDS, near=WORDS)
    with pytest.raises(UsageError, match="5,000 words at most: got 5,001"):
        viz.embedding(np.zeros((5001, 2)))
    with pytest.raises(UsageError, match="choose pca"):
        viz.embedding([matrix, matrix], method="tsne")
