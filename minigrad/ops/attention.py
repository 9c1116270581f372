"""Scaled dot-product attention as one operation, and the masked softmax inside it as another.

One kernel goes from the scores to the result block by block, in memory that grows linearly with the length: it keeps the
weights of short sequences for backward, and makes those of longer ones again. See :mod:`minigrad.kernels.attention`, whose
``pays`` decides; a small attention, or one where that kernel cannot be compiled, is composed of products and a softmax.

Source: Vaswani et al., "Attention Is All You Need", 2017, section 3.2.1.
"""

from __future__ import annotations

import math

import numpy as np

from .. import kernels
from ..errors import DTypeError, ShapeError
from ..primitive import fused
from ..tensor import Tensor, raw
from .arithmetic import select
from .dropout import draw_seed, drop, dropped, probability
from .elementwise import exp
from .layout import floating, one_dtype, ready
from .linalg import matmul
from .reduction import amax
from .reduction import sum as sum_
from .shaping import matrix_transpose

# -- softmax under a mask -----------------------------------------------------------------------------------------------


def _masked_softmax_reference(scores, mask, causal, scale):
    scores = scores * scale
    if mask is not None:
        scores = select(mask, scores, -math.inf) if raw(mask).dtype == np.bool_ else scores + mask
    if causal:
        scores = select(np.tri(*scores.shape[-2:], dtype=np.bool_), scores, -math.inf)
    top = raw(amax(scores, -1, True))
    weights = exp(scores - np.where(top == -np.inf, 0, top))
    total = sum_(weights, -1, True)
    return weights / select(raw(total) == 0, 1.0, total)


def weights_of(scores, mask, causal, scale):
    """The masked softmax of ``scores``, written over them."""
    softmax = kernels.softmax.masked_softmax
    if mask is None or mask.dtype == np.bool_:
        return softmax(scores, mask, scale, causal, out=scores)
    scores *= scores.dtype.type(scale)
    scores += mask
    return softmax(scores, None, 1.0, causal, out=scores)


def scores_gradient(g, weights, scale):
    """The gradient by the scores, written over ``g``, that of the weights."""
    if g.size:
        rows = g.reshape(-1, g.shape[-1])
        kernels.softmax.softmax_backward(rows, weights.reshape(rows.shape), scale, out=rows)
    return g


@fused(r"\mathrm{softmax}(s x + m)", reference=_masked_softmax_reference, name="masked_softmax")
def softmax_under_mask(scores, mask, causal, scale):
    """The softmax over the keys that each query may attend to; 0 for the others, and for a query that may attend to none."""
    return weights_of(np.array(scores, order="C"), mask, causal, scale), None


@softmax_under_mask.backward("scores")
def _(g, out, scale):
    return (scores_gradient(np.array(g, order="C"), out, scale),)


softmax_under_mask.vjp(scores=lambda g, out, scale: scale * out * (g - np.sum(g * out, -1, keepdims=True)))


# -- attention ----------------------------------------------------------------------------------------------------------


def _reference(query, key, value, mask, causal, scale, p, seed):
    weights = _masked_softmax_reference(matmul(query, matrix_transpose(key)), mask, causal, scale)
    return matmul(dropped.reference(weights, p, seed) if p else weights, value)


def in_blocks(query, key, value) -> bool:
    """Whether attention of these operands goes block by block, and keeps no weights."""
    return kernels.attention.pays(query.shape, key.shape, value.shape)


def _lead(query, key) -> tuple[int, ...]:
    """The leading dimensions of the weights."""
    one, other = query.shape[:-2], key.shape[:-2]
    return one if one == other else np.broadcast_shapes(one, other)


def _in_four(x, lead):
    """``x``, whose leading dimensions broadcast to ``lead``, as (batch, heads, time, features)."""
    if x.ndim == 4 and x.shape[:2] == lead:
        return x
    x = x if x.shape[:-2] == lead else np.broadcast_to(x, (*lead, *x.shape[-2:]))
    return x.reshape(math.prod(lead[:-1]), math.prod(lead[-1:]), *x.shape[-2:])


def _mask_in_four(mask, lead, query, key):
    if mask is None or len(lead) < 3:
        return mask
    return _in_four(np.broadcast_to(mask, (*lead, query.shape[-2], key.shape[-2])), lead)


@fused(r"\mathrm{softmax}\left(\frac{Q K^{\mathsf{T}}}{\sqrt{d}} + M\right) V", reference=_reference, name="attention")
def attention(query, key, value, mask, causal, scale, p, seed):
    """Every query's mean of the values, weighted by the softmax of its products with the keys."""
    if in_blocks(query, key, value):
        lead = _lead(query, key)
        out = np.empty((*lead, query.shape[-2], value.shape[-1]), query.dtype)
        operands = [_in_four(x, lead) for x in (query, key, value)]
        options = _mask_in_four(mask, lead, query, key), causal, scale, p, seed
        return out, kernels.attention.forward(*operands, *options, _in_four(out, lead))
    scores = ready(kernels.matmul.matmul(query, key.swapaxes(-1, -2)))
    weights = weights_of(scores, mask, causal, scale)
    return kernels.matmul.matmul(drop(weights, p, seed) if p else weights, value), weights


@attention.backward("query", "key", "value")
def _(g, query, key, value, mask, causal, scale, p, seed, out, kept, needs):
    if in_blocks(query, key, value):
        lead = out.shape[:-2]
        gradients = [np.empty((*lead, *x.shape[-2:]), x.dtype) for x in (query, key, value)]
        operands = [_in_four(x, lead) for x in (g, query, key, value)]
        options = _mask_in_four(mask, lead, query, key), causal, scale, p, seed
        kernels.attention.backward(*operands, *options, _in_four(out, lead), kept, *(_in_four(x, lead) for x in gradients))
        return gradients
    gquery = gkey = gvalue = None
    if needs[2]:
        gvalue = kernels.matmul.matmul((drop(kept, p, seed) if p else kept).swapaxes(-1, -2), g)
    if needs[0] or needs[1]:
        gweights = ready(kernels.matmul.matmul(g, value.swapaxes(-1, -2)))
        gscores = scores_gradient(drop(gweights, p, seed) if p else gweights, kept, scale)
        gquery = kernels.matmul.matmul(gscores, key) if needs[0] else None
        gkey = kernels.matmul.matmul(gscores.swapaxes(-1, -2), query) if needs[1] else None
    return gquery, gkey, gvalue


# -- what users call ----------------------------------------------------------------------------------------------------


def _checked_mask(mask, dtype, shape, name: str):
    """The mask as a tensor or array that broadcasts to ``shape``."""
    if mask is None:
        return None
    values = np.asarray(raw(mask))
    if values.dtype != np.bool_ and values.dtype != dtype:
        raise DTypeError(f"{name} needs a mask of bool (True: may attend) or {dtype} (added to the scores): got {values.dtype}")
    if values.ndim > len(shape) or any(n not in (1, m) for n, m in zip(values.shape[::-1], shape[::-1])):
        raise ShapeError(f"{name} needs a mask that broadcasts to the scores (.., queries, keys) {shape}: got {values.shape}")
    return mask if isinstance(mask, Tensor) and mask.requires_grad else values


def _scale_of(scale, features: int) -> float:
    if scale is not None:
        return float(scale)
    return 1 / math.sqrt(features) if features else 1.0


def masked_softmax(input, mask=None, is_causal: bool = False, scale: float = 1.0) -> Tensor:
    """``softmax(scale * input + mask)`` over the last dimension; a row that may attend to nothing gets 0 everywhere.

    Args:
        input: scores, (.., queries, keys).
        mask: bool, True where a query may attend to a key; or of the dtype of ``input``, to be added; or None. It broadcasts
            to the shape of ``input``. What a masked score holds does not matter, be it NaN.
        is_causal: besides, query i may attend to keys 0 .. i alone.
        scale: factor of the scores.
    """
    x = floating(input, "masked_softmax")
    if x.ndim < 2:
        raise ShapeError(f"masked_softmax needs scores (.., queries, keys): got shape {x.shape}")
    mask = _checked_mask(mask, x.dtype, x.shape, "masked_softmax")
    if isinstance(mask, Tensor):  # a mask that learns: only the composition has its gradient
        return _masked_softmax_reference(x, mask, is_causal, scale)
    return softmax_under_mask(x, mask, bool(is_causal), float(scale))


def _checked(query, key, value):
    name = "scaled_dot_product_attention"
    q = floating(query, name)
    one_dtype(name, q, key=key, value=value)
    shapes = q.shape, key.shape, value.shape
    if min(map(len, shapes)) < 2 or q.shape[-1] != key.shape[-1] or key.shape[-2] != value.shape[-2]:
        raise ShapeError(
            f"{name} needs a query (.., queries, features), a key (.., keys, features) and a value (.., keys, value_features): "
            f"got {shapes[0]}, {shapes[1]} and {shapes[2]}"
        )
    try:
        lead = _lead(q, key)
        if value.shape[:-2] != lead:
            np.broadcast_shapes(lead, value.shape[:-2])
    except ValueError:
        got = ", ".join(str(shape[:-2]) for shape in shapes)
        raise ShapeError(f"{name} broadcasts the leading dimensions (batch, heads): {got} do not fit") from None
    return q, (*lead, q.shape[-2], key.shape[-2])


def attention_weights(
    query, key, attn_mask=None, dropout_p: float = 0.0, is_causal: bool = False, scale: float | None = None
) -> Tensor:
    """The weights by which :func:`scaled_dot_product_attention` averages the values: (.., queries, keys), after dropout.

    ``attention_weights(q, k, ..) @ v`` is its result, computed with the weights in sight.
    """
    q, shape = _checked(query, key, key)
    p = probability(dropout_p, "attention_weights")
    mask = _checked_mask(attn_mask, q.dtype, shape, "attention_weights")
    scores = matmul(q, matrix_transpose(key))
    weights = masked_softmax(scores, mask, is_causal, _scale_of(scale, q.shape[-1]))
    return dropped(weights, p, draw_seed()) if p else weights


def scaled_dot_product_attention(
    query,
    key,
    value,
    attn_mask=None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """``softmax(scale * query @ key.T + mask) @ value``: for each query a mean of the values, weighted by how its keys match.

    Args:
        query: (batch, heads, queries, features), or with other leading dimensions.
        key: (batch, heads, keys, features).
        value: (batch, heads, keys, value_features).
        attn_mask: bool, True where a query may attend to a key; or of the query's dtype, to be added to the scores; or None.
            It broadcasts to (batch, heads, queries, keys).
        dropout_p: the probability of dropping each weight; as in PyTorch it applies whenever it is given, so pass 0 outside
            training.
        is_causal: query i may attend to keys 0 .. i alone. Unlike in PyTorch it combines with ``attn_mask``.
        scale: factor of the scores, 1 / sqrt(features) if left out.
        enable_gqa: let several heads of the query share one of the keys and values: there, heads may be a divisor of the
            query's (Ainslie et al., "GQA", 2023).

    Returns:
        (batch, heads, queries, value_features). A query that may attend to no key gets 0, and sends back no gradient.

    Raises:
        ShapeError: if the shapes do not fit.
        DTypeError: if the dtypes differ.
        UsageError: if ``dropout_p`` is outside [0, 1].
    """
    if enable_gqa:
        key, value = (_shared_heads(x, query.shape[-3]) for x in (key, value))
    q, shape = _checked(query, key, value)
    p = probability(dropout_p, "scaled_dot_product_attention")
    mask = _checked_mask(attn_mask, q.dtype, shape, "scaled_dot_product_attention")
    run = _reference if isinstance(mask, Tensor) else attention  # a mask that learns: only the composition has its gradient
    return run(q, key, value, mask, bool(is_causal), _scale_of(scale, q.shape[-1]), p, draw_seed() if p else 0)


def _shared_heads(x: Tensor, heads: int) -> Tensor:
    if heads % x.shape[-3]:
        raise ShapeError(
            f"enable_gqa needs query heads that are a multiple of those of key and value: got {heads}, {x.shape[-3]}"
        )
    return x.repeat_interleave(heads // x.shape[-3], -3)
