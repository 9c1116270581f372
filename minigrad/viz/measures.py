"""Numbers that say how a layer fares: norms, how much of an activation is saturated or dead, how sharp attention is."""

from __future__ import annotations

import math

import numpy as np

SATURATED = 0.975  # |tanh|, and |2 sigmoid - 1|: beyond it the slope is below 5 % of its greatest value
_SAMPLE = 1 << 16  # values at most from which a mean and a standard deviation are taken
_QUERIES = 256  # rows of attention weights at most from which an entropy is taken


def norm(values) -> float:
    """The Euclidean norm, right for numbers so small or large that their squares are not float32 numbers."""
    flat = np.asarray(values).reshape(-1)
    if not flat.size:
        return 0.0
    with np.errstate(all="ignore"):
        squares = float(np.dot(flat, flat)) if flat.dtype.kind == "f" else math.nan
        if 1e-24 < squares < 1e30:
            return math.sqrt(squares)
        largest = float(np.max(np.abs(flat)))
        if largest == 0 or not math.isfinite(largest):
            return largest
        scaled = flat.astype(np.float64) / largest
        return largest * math.sqrt(float(np.dot(scaled, scaled)))


def distance(after, before, room=None) -> float:
    """The norm of ``after - before``; ``room``, an array of the same shape and dtype, saves an allocation."""
    with np.errstate(all="ignore"):
        return norm(np.subtract(after, before, out=room))


def spread(values) -> tuple[float, float]:
    """Mean and standard deviation, of evenly chosen rows where there are very many values."""
    values = np.asarray(values)
    rows = values.reshape(-1, values.shape[-1]) if values.ndim > 1 else values.reshape(-1, 1)
    rows = rows[:: max(1, rows.size // _SAMPLE)]
    if not rows.size:
        return 0.0, 0.0
    with np.errstate(all="ignore"):
        flat = rows.reshape(-1)
        mean = float(np.add.reduce(flat, dtype=np.float64)) / flat.size
        return mean, norm(flat - flat.dtype.type(mean)) / math.sqrt(flat.size)


def saturated(values, centre: float, scale: float) -> float:
    """The share of ``values`` at the flat ends: |value - centre| beyond 97.5 % of ``scale``; NaN counts as not."""
    rows = np.asarray(values)
    rows = rows.reshape(-1, rows.shape[-1]) if rows.ndim > 1 else rows.reshape(-1, 1)
    rows = rows[:: max(1, rows.size // _SAMPLE)]
    if not rows.size:
        return 0.0
    with np.errstate(all="ignore"):
        return float(np.mean(np.abs(rows - rows.dtype.type(centre)) > SATURATED * scale))


def alive(values) -> np.ndarray:
    """Which units, along the last dimension, are different from 0 anywhere in the batch: a bool array (units,).

    Rows are looked at in growing blocks, until every unit has been seen alive.
    """
    values = np.asarray(values)
    rows = values.reshape(-1, values.shape[-1]) if values.ndim else values.reshape(1, 1)
    found = np.zeros(rows.shape[1], bool)
    start, size = 0, 64
    while start < len(rows) and not found.all():
        found |= (rows[start : start + size] != 0).any(0)
        start, size = start + size, 2 * size
    return found


def sharpness(weights, mask=None, causal: bool = False) -> float | None:
    """The mean entropy of rows of weights that sum to 1, over that of even weights: 1 is even, 0 is all on one.

    Args:
        weights: (.., queries, keys).
        mask, causal: as for :func:`minigrad.nn.functional.masked_softmax`: what was not allowed is no choice.

    Returns:
        None where no row had a choice.
    """
    weights = np.asarray(weights)
    allowed = np.ones(weights.shape, bool)
    if mask is not None:
        allowed &= np.broadcast_to(mask if mask.dtype == np.bool_ else np.isfinite(mask), weights.shape)
    if causal:
        allowed &= np.tri(*weights.shape[-2:], dtype=bool)
    rows, allowed = (x.reshape(-1, weights.shape[-1]) for x in (weights, allowed))
    step = max(1, len(rows) // _QUERIES)
    return _relative_entropy(rows[::step], allowed[::step])


def attention_sharpness(query, key, mask, causal: bool, scale: float) -> float | None:
    """The same for the attention weights of queries over keys, of some queries of the first, a middle and the last sequence."""
    query, key = np.asarray(query), np.asarray(key)
    if query.shape[:-2] != key.shape[:-2]:
        lead = np.broadcast_shapes(query.shape[:-2], key.shape[:-2])
        query, key = (np.broadcast_to(x, (*lead, *x.shape[-2:])) for x in (query, key))
    lead = query.shape[:-2]
    queries, keys = query.shape[-2], key.shape[-2]
    query, key = (x.reshape(-1, *x.shape[-2:]) for x in (query, key))
    if not len(query) or not queries or not keys:
        return None
    mask = None if mask is None else np.broadcast_to(mask, (*lead, queries, keys)).reshape(-1, queries, keys)
    step = max(1, len(query) // 8)
    per = np.unique(np.linspace(0, queries - 1, min(queries, _QUERIES // 8)).astype(int))
    rows, allowed = [], []
    with np.errstate(all="ignore"):
        for i in range(step // 2, len(query), step):
            scores = (query[i, per] @ key[i].T).astype(np.float64) * scale
            open_ = np.ones(scores.shape, bool)
            if mask is not None:
                if mask.dtype == np.bool_:
                    open_ &= mask[i, per]
                else:
                    scores = scores + mask[i, per]
                    open_ &= np.isfinite(scores)
            if causal:
                open_ &= np.arange(keys)[None] <= per[:, None]
            scores = np.where(open_, scores, -np.inf)
            top = scores.max(1, keepdims=True)
            weights = np.exp(scores - np.where(np.isfinite(top), top, 0))
            rows.append(weights / np.maximum(weights.sum(1, keepdims=True), 1e-300))
            allowed.append(open_)
    return _relative_entropy(np.concatenate(rows), np.concatenate(allowed))


def _relative_entropy(weights, allowed) -> float | None:
    with np.errstate(all="ignore"):
        weights = np.asarray(weights, np.float64)
        choices = allowed.sum(1)
        entropy = -np.where(weights > 0, weights * np.log(np.where(weights > 0, weights, 1.0)), 0.0).sum(1)
        counted = choices >= 2
        if not counted.any():
            return None
        return float(np.mean(entropy[counted] / np.log(choices[counted])))
