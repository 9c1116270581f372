"""Points of a plane: principal components by their definition, t-SNE where scikit-learn is."""

import sys

import numpy as np
import pytest

from minigrad.errors import DataError, MissingExtraError, ShapeError, UsageError
from minigrad.word2vec.projection import pca, project


def test_principal_components_are_eigenvectors_of_the_covariance(rng):
    vectors = rng.standard_normal((50, 6)) @ rng.standard_normal((6, 6)) + 3
    points, shares = pca(vectors, components=3)
    values, axes = np.linalg.eigh(np.cov(vectors.T))
    np.testing.assert_allclose(shares, values[:-4:-1] / values.sum())
    expected = (vectors - vectors.mean(0)) @ axes[:, :-4:-1]
    np.testing.assert_allclose(np.abs(points), np.abs(expected), atol=1e-10)


def test_the_sign_does_not_depend_on_the_order_of_the_points(rng):
    vectors = rng.standard_normal((20, 5)) * [5, 3, 1, 1, 1]
    order = rng.permutation(20)
    np.testing.assert_allclose(pca(vectors[order])[0], pca(vectors)[0][order], atol=1e-10)


def test_fewer_dimensions_than_a_plane():
    points, shares = pca([[1], [2], [6]])
    np.testing.assert_allclose(points, [[-2, 0], [-1, 0], [3, 0]])
    np.testing.assert_allclose(shares, [1, 0])
    np.testing.assert_array_equal(pca(np.ones((3, 4)))[1], [0, 0])


def test_axes_say_how_much_they_show(rng):
    projection = project(np.array([[3, 0, 0], [-3, 0, 0], [0, 1, 0], [0, -1, 0]]))
    assert projection.axes == ("component 1: 90 % of the variance", "component 2: 10 % of the variance")
    assert projection.points.shape == (4, 2)


def test_bad_input(rng):
    for wrong in (np.zeros((1, 3)), np.zeros(3), np.zeros((3, 0))):
        with pytest.raises(ShapeError, match="at least two vectors, one a row"):
            project(wrong)
    with pytest.raises(DataError, match="got NaN or infinity"):
        project(np.array([[1, 2], [np.nan, 1]]))
    with pytest.raises(UsageError, match="one of pca, tsne: got 'umap'"):
        project(np.eye(3), "umap")


def test_tsne_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'minigrad\[viz\]', or choose pca"):
        project(np.eye(6), "tsne")


def test_tsne_keeps_groups_apart(rng):
    pytest.importorskip("sklearn")
    centres = np.repeat(np.eye(3) * 20, 15, axis=0)
    vectors = centres + rng.standard_normal(centres.shape)
    points = project(vectors, "tsne", seed=1).points
    np.testing.assert_array_equal(points, project(vectors, "tsne", seed=1).points)
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
    nearest = (distances + np.diag(np.full(45, np.inf))).argmin(1)
    np.testing.assert_array_equal(nearest // 15, np.arange(45) // 15)
    with pytest.raises(UsageError, match="4 points have none"):
        project(np.eye(4), "tsne")
