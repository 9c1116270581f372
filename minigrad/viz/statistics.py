"""An array in a few numbers, cheap enough to be taken of every value and gradient of a training step."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

SAMPLES = 64  # as many values of an array are kept, evenly spaced
# Numbers looked at in one go: in float64 they stay in the cache, and BLAS does not wake its threads for so few.
_CHUNK = 1 << 13


def summary(array, samples: int = SAMPLES) -> dict[str, Any]:
    """Count, mean, standard deviation, extremes and norm of ``array``, and up to ``samples`` of its values.

    The numbers are computed in float64 over the finite elements; ``nan``, ``inf`` and ``zero`` count the others, and those that
    are exactly 0. The standard deviation is that of a population. Without any finite element, ``mean``, ``std``, ``min`` and
    ``max`` are None, and the norm 0.
    """
    given = np.asarray(array).reshape(-1)
    count = given.size
    finite, nan, inf, length = given, 0, 0, norm(given)
    if not math.isfinite(length):
        finite = given[np.isfinite(given)]
        length = norm(finite)
        nan = int(np.isnan(given).sum())
        inf = count - finite.size - nan
    mean, std, low, high = _moments(finite)
    result = {"count": count, "mean": mean, "std": std, "min": low, "max": high, "norm": length, "nan": nan, "inf": inf}
    result["zero"] = count - int(np.count_nonzero(given))
    if samples:
        places = slice(None) if count <= samples else np.linspace(0, count - 1, samples).astype(np.intp)
        result["samples"] = given[places].tolist()
    return result


def _moments(flat: np.ndarray) -> tuple:
    """Mean, standard deviation, least and greatest of finite numbers; four times None where there are none.

    In one pass: the means and squared deviations of the chunks are put together (Chan, Golub and LeVeque 1979).
    """
    if flat.size < 2:
        return (float(flat[0]), 0.0, float(flat[0]), float(flat[0])) if flat.size else (None,) * 4
    seen, mean, squares = 0, 0.0, 0.0
    low, high = math.inf, -math.inf
    for chunk in _chunks(flat):
        low, high = min(low, float(chunk.min())), max(high, float(chunk.max()))
        n, own = chunk.size, float(chunk.sum()) / chunk.size
        centred = chunk - own
        apart = own - mean
        squares += float(centred.dot(centred)) + apart * apart * seen * n / (seen + n)
        mean += apart * n / (seen + n)
        seen += n
    return mean, math.sqrt(squares / seen), low, high


def norm(array) -> float:
    """The Euclidean norm, summed in float64; NaN or infinite where an element is."""
    flat = np.asarray(array).reshape(-1)
    if flat.size == 1:
        return abs(float(flat[0]))
    squares = sum(float(chunk.dot(chunk)) for chunk in _chunks(flat))
    if squares == math.inf:  # of float64 numbers that are large, or infinite
        largest = float(np.abs(flat).max())
        return largest if not math.isfinite(largest) else largest * norm(flat / largest)
    return math.sqrt(squares)


def size_of(array) -> dict[str, Any]:
    """The part of :func:`summary` that a contribution to a gradient needs: norm, nan, inf, zero."""
    flat = np.asarray(array).reshape(-1)
    length, nan, inf = norm(flat), 0, 0
    if not math.isfinite(length):
        good = np.isfinite(flat)
        nan = int(np.isnan(flat).sum())
        inf = flat.size - int(good.sum()) - nan
        length = norm(flat[good])
    return {"norm": length, "nan": nan, "inf": inf, "zero": flat.size - int(np.count_nonzero(flat))}


def cosine(a, b) -> float | None:
    """The cosine of the angle between two arrays of one shape; None where either is zero or not finite."""
    a, b = np.asarray(a).reshape(-1), np.asarray(b).reshape(-1)
    lengths = norm(a) * norm(b)
    if not lengths or not math.isfinite(lengths):
        return None
    product = sum(float(x.dot(y)) for x, y in zip(_chunks(a), _chunks(b)))
    return max(-1.0, min(1.0, product / lengths))


def _chunks(flat: np.ndarray):
    for start in range(0, flat.size, _CHUNK):
        yield flat[start : start + _CHUNK].astype(np.float64, copy=False)
