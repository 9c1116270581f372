"""Attention of many heads as one operation, on projections as a linear layer leaves them: side by side in the last dimension.

It computes what :mod:`.attention` does, but nothing is copied to split the heads or to join them, forward or backward: each
matrix product reads and writes its head where it lies.
"""

from __future__ import annotations

import math

import numpy as np

from .. import kernels
from ..primitive import fused
from ..tensor import Tensor
from .attention import attention, in_blocks, scores_gradient, weights_of
from .dropout import draw_seed, drop
from .layout import ready


def _permuted(x, order):
    """The dimensions of a Tensor or an array in another order."""
    return x.permute(order) if isinstance(x, Tensor) else x.transpose(order)


def heads_of(x, count: int, heads: int, batch_first: bool):
    """The ``count`` projections side by side in ``x``, as views (batch, heads, time, features per head) of its memory."""
    split = x.reshape(*x.shape[:2], count, heads, x.shape[2] // (count * heads))
    parts = _permuted(split, (2, 0, 3, 1, 4) if batch_first else (2, 1, 3, 0, 4))
    return [parts[i] for i in range(count)]


def joined(x, batch_first: bool):
    """The way back for one projection: (batch, heads, time, features per head) as (batch, time, features)."""
    x = _permuted(x, (0, 2, 1, 3) if batch_first else (2, 0, 1, 3))
    return x.reshape(*x.shape[:2], x.shape[2] * x.shape[3])


def parts_of(x, y, heads: int, batch_first: bool):
    """Queries, keys and values of each head."""
    if y is None:
        return heads_of(x, 3, heads, batch_first)
    return heads_of(x, 1, heads, batch_first) + heads_of(y, 2, heads, batch_first)


def _reference(x, y, heads, batch_first, mask, causal, scale, p, seed):
    query, key, value = parts_of(x, y, heads, batch_first)
    return joined(attention.reference(query, key, value, mask, causal, scale, p, seed), batch_first)


@fused(
    r"\mathrm{softmax}\left(\frac{Q_h K_h^{\mathsf{T}}}{\sqrt{d}} + M\right) V_h",
    reference=_reference,
    name="attention_of_heads",
)
def attention_of_heads(x, y, heads, batch_first, mask, causal, scale, p, seed):
    """Each head's attention, side by side. ``x`` holds queries, keys and values; or queries only, and ``y`` the rest."""
    query, key, value = parts_of(x, y, heads, batch_first)
    out = np.empty((*x.shape[:2], x.shape[2] // (3 if y is None else 1)), x.dtype)
    (each,) = heads_of(out, 1, heads, batch_first)
    if in_blocks(query, key, value):
        return out, kernels.attention.forward(query, key, value, mask, causal, scale, p, seed, each)
    weights = weights_of(ready(kernels.matmul.matmul(query, key.swapaxes(-1, -2))), mask, causal, scale)
    kernels.matmul.matmul(drop(weights, p, seed) if p else weights, value, out=each)
    return out, weights


@attention_of_heads.backward("x", "y")
def _(g, x, y, heads, batch_first, mask, causal, scale, p, seed, out, kept):
    query, key, value = parts_of(x, y, heads, batch_first)
    (g,) = heads_of(ready(g), 1, heads, batch_first)
    gx, gy = np.empty(x.shape, x.dtype), None if y is None else np.empty(y.shape, y.dtype)
    gquery, gkey, gvalue = parts_of(gx, gy, heads, batch_first)
    if in_blocks(query, key, value):
        (out,) = heads_of(out, 1, heads, batch_first)
        options = mask, causal, scale, p, seed
        kernels.attention.backward(g, query, key, value, *options, out, kept, gquery, gkey, gvalue)
        return gx, gy
    kernels.matmul.matmul((drop(kept, p, seed) if p else kept).swapaxes(-1, -2), g, out=gvalue)
    gweights = ready(kernels.matmul.matmul(g, value.swapaxes(-1, -2)))
    gscores = scores_gradient(drop(gweights, p, seed) if p else gweights, kept, scale)
    kernels.matmul.matmul(gscores, key, out=gquery)
    kernels.matmul.matmul(gscores.swapaxes(-1, -2), query, out=gkey)
    return gx, gy


def attend(x: Tensor, y: Tensor | None, heads: int, batch_first: bool, mask, causal: bool, dropout: float) -> Tensor:
    """Multi-head attention between its input projections and its output projection.

    Args:
        x: queries, keys and values side by side, (batch, time, 3 * features); or the queries (batch, time, features) alone.
        y: in that case keys and values side by side, (batch, keys, 2 * features).
        heads: how many; each takes its own ``features / heads`` of the features.
        batch_first: False if the first two dimensions of ``x``, ``y`` and the result are exchanged.
        mask, causal: as ``attn_mask`` and ``is_causal`` of :func:`~.attention.scaled_dot_product_attention`.
        dropout: the probability of dropping each weight.

    Returns:
        (batch, time, features), the heads' results side by side.
    """
    scale = 1 / math.sqrt(x.shape[2] // (3 if y is None else 1) // heads)
    return attention_of_heads(x, y, heads, batch_first, mask, causal, scale, dropout, draw_seed() if dropout else 0)
