"""An array in a few numbers, cheap enough to be taken of every value and gradient of a training step."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

SAMPLES = 64  # as many values of an array are kept, evenly spaced
_CHUNK = 1 << 15  # numbers looked at in one go: in float64 they stay in the cache


def summary(array, samples: int = SAMPLES) -> dict[str, Any]:
    """Count, mean, standard deviation, extremes and norm of ``array``, and up to ``samples`` of its values.

    The numbers are computed in float64 over the finite elements; ``nan``, ``inf`` and ``zero`` count the others, and those that
    are exactly 0. The standard deviation is that of a population. Without any finite element, ``mean``, ``std``, ``min`` and
    ``max`` are None, and the norm 0.
    """
    given = np.asarray(array).reshape(-1)
    count = given.size
    flat = given.astype(np.float64) if count <= _CHUNK else given  # once, rather than for each of the sums
    finite, nan, inf, length = flat, 0, 0, norm(flat)
    if not math.isfinite(length):
        good = np.isfinite(flat)
        finite = flat[good]
        length = norm(finite)
        nan = int(np.isnan(flat).sum())
        inf = count - finite.size - nan
    result: dict[str, Any] = {"count": count}
    if finite.size == 1:
        mean = float(finite[0])
        result.update(mean=mean, std=0.0, min=mean, max=mean)
    elif finite.size:
        mean = sum(float(chunk.sum()) for chunk in _chunks(finite)) / finite.size
        squares = sum(float(centred.dot(centred)) for chunk in _chunks(finite) for centred in (chunk - mean,))
        std = math.sqrt(squares / finite.size)
        result.update(mean=mean, std=std, min=float(finite.min()), max=float(finite.max()))
    else:
        result.update(mean=None, std=None, min=None, max=None)
    result.update(norm=length, nan=nan, inf=inf, zero=count - int(np.count_nonzero(flat)))
    if samples:
        places = slice(None) if count <= samples else np.linspace(0, count - 1, samples).astype(np.intp)
        result["samples"] = given[places].tolist()
    return result


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
