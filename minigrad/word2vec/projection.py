"""From many dimensions to the two of a picture."""

from typing import NamedTuple

import numpy as np

from minigrad.errors import DataError, MissingExtraError, ShapeError, UsageError

METHODS = ("pca", "tsne")


class Projection(NamedTuple):
    """Points of a plane.

    Attributes:
        points: ``(n, 2)`` float64.
        axes: what the two coordinates are, as labels of axes; empty where they mean nothing.
    """

    points: np.ndarray
    axes: tuple[str, str]


def project(vectors: np.ndarray, method: str = "pca", *, seed: int = 0) -> Projection:
    """Place vectors ``(n, size)`` in the plane.

    Lengths count as directions do. Where the cosine is to tell what is near, give unit vectors.

    Args:
        method: ``pca`` keeps distances as far as a linear map can; ``tsne`` keeps neighbours together, at the price of what the
            distances between groups mean, and needs scikit-learn.
        seed: of the random numbers of t-SNE. PCA uses none.

    Raises:
        ShapeError: not a matrix of at least two vectors.
        DataError: NaN or infinity among the numbers.
        MissingExtraError: t-SNE without scikit-learn.
    """
    vectors = checked(vectors)
    if method == "pca":
        points, shares = pca(vectors)
        first, second = (f"component {i}: {100 * share:.0f} % of the variance" for i, share in enumerate(shares, 1))
        return Projection(points, (first, second))
    if method == "tsne":
        return Projection(tsne(vectors, seed), ("", ""))
    raise UsageError(f"the method of projection is one of {', '.join(METHODS)}: got {method!r}")


def checked(vectors: np.ndarray) -> np.ndarray:
    """Vectors (n, size) in float64, at least two and finite; else the error says what is wrong."""
    vectors = np.asarray(vectors, np.float64)
    if vectors.ndim != 2 or len(vectors) < 2 or not vectors.shape[1]:
        raise ShapeError(f"a picture needs at least two vectors, one a row: got an array of shape {vectors.shape}")
    if not np.isfinite(vectors).all():
        raise DataError("a picture needs finite vectors: got NaN or infinity; leave out such words, or train at a lower rate")
    return vectors


def pca(vectors: np.ndarray, components: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """The coordinates of vectors along their principal components, and the share of the variance of each.

    With the singular values of the centred matrix, X - mean = U S V^T, the coordinates are U S and the shares S^2 / sum S^2. A
    component is determined but for its sign: here its largest entry is positive. What the data lack in dimensions is 0.

    Returns:
        Arrays ``(n, components)`` and ``(components,)`` float64.
    """
    mean, directions, shares = principal(vectors, components)
    return (np.asarray(vectors, np.float64) - mean) @ directions.T, shares


def principal(vectors: np.ndarray, components: int = 2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The projection behind :func:`pca`, to be applied to other vectors too: ``(x - mean) @ directions.T``.

    Returns:
        The mean ``(size,)``, the directions ``(components, size)``, of length 1 or 0, and the shares ``(components,)``.
    """
    vectors = np.asarray(vectors, np.float64)
    mean = vectors.mean(axis=0)
    _, values, right = np.linalg.svd(vectors - mean, full_matrices=False)
    kept = min(components, len(values))
    largest = np.abs(right[:kept]).argmax(1)
    signs = np.where(right[np.arange(kept), largest] < 0, -1.0, 1.0)
    directions, shares = np.zeros((components, vectors.shape[1])), np.zeros(components)
    directions[:kept] = right[:kept] * signs[:, None]
    total = (values**2).sum()
    shares[:kept] = values[:kept] ** 2 / total if total > 0 else 0
    return mean, directions, shares


def tsne(vectors: np.ndarray, seed: int = 0) -> np.ndarray:
    """Stochastic neighbour embedding (van der Maaten and Hinton 2008, "Visualizing Data using t-SNE"), by scikit-learn.

    It starts from the principal components. The perplexity, about how many neighbours each point has, is 30, or less for few
    points. Returns ``(n, 2)``.
    """
    try:
        from sklearn.manifold import TSNE  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise MissingExtraError("t-SNE needs scikit-learn: pip install 'minigrad[viz]', or choose pca") from None
    if len(vectors) < 5:
        raise UsageError(f"t-SNE shows neighbourhoods, and {len(vectors)} points have none: choose pca, or more words")
    perplexity = min(30.0, (len(vectors) - 1) / 3)
    return TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(vectors).astype(np.float64)
