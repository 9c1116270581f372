"""Multi-head attention, with the weights laid out and named as in ``torch.nn.MultiheadAttention``."""

from __future__ import annotations

import numpy as np

from ..errors import DTypeError, ShapeError, UsageError
from ..ops.heads import attend, heads_of, joined, parts_of
from ..tensor import Tensor, raw
from . import functional as F
from . import init
from .cache import AttentionCache, MemoryCache
from .linear import Linear, new_parameter
from .module import Module


class MultiheadAttention(Module):
    """Several attentions side by side, each in a subspace of its own, and a projection that joins them.

    ``softmax(Q_h K_h^T / sqrt(d)) V_h`` for each head ``h``, where ``Q_h``, ``K_h`` and ``V_h`` are linear in the query, the
    key and the value, and ``d = embed_dim / num_heads``.

    Args:
        embed_dim: features of the query and of the result.
        num_heads: a divisor of ``embed_dim``.
        dropout: the probability of dropping each attention weight in training.
        bias: whether the projections have one.
        kdim, vdim: features of the key and the value; ``embed_dim`` where left out.
        batch_first: whether tensors are ``(batch, time, features)`` rather than ``(time, batch, features)``.
        dtype: of the parameters; float32 where left out.

    Parameters:
        ``in_proj_weight (3 * embed_dim, embed_dim)`` stacks the projections of query, key and value, ``in_proj_bias`` likewise;
        with ``kdim`` or ``vdim`` they are ``q_proj_weight``, ``k_proj_weight`` and ``v_proj_weight``. ``out_proj`` is a
        :class:`Linear`.

    Initialisation: the weights of the input Xavier-uniform, as one matrix where they are one; ``out_proj.weight`` as in
    :class:`Linear`; biases 0.

    Source: Vaswani et al., "Attention Is All You Need", 2017, section 3.2.2.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        *,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        dtype=None,
    ):
        super().__init__()
        if embed_dim <= 0 or num_heads <= 0 or embed_dim % num_heads:
            raise UsageError(f"num_heads divides embed_dim, both positive: got embed_dim={embed_dim} and num_heads={num_heads}")
        if not 0 <= dropout <= 1:
            raise UsageError(f"the probability of dropping is between 0 and 1: got {dropout}")
        self.embed_dim = embed_dim
        self.num_heads = num_heads
        self.head_dim = embed_dim // num_heads
        self.dropout = dropout
        self.batch_first = batch_first
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        if self.kdim == self.vdim == embed_dim:
            self.in_proj_weight = new_parameter(3 * embed_dim, embed_dim, dtype=dtype)
        else:
            self.in_proj_weight = None
            self.q_proj_weight = new_parameter(embed_dim, embed_dim, dtype=dtype)
            self.k_proj_weight = new_parameter(embed_dim, self.kdim, dtype=dtype)
            self.v_proj_weight = new_parameter(embed_dim, self.vdim, dtype=dtype)
        self.in_proj_bias = new_parameter(3 * embed_dim, dtype=dtype) if bias else None
        self.out_proj = Linear(embed_dim, embed_dim, bias, dtype=dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights of the input anew, and set the biases to 0."""
        for name, weight in self.named_parameters(recurse=False):
            if name != "in_proj_bias":
                init.xavier_uniform_(weight)
        if self.in_proj_bias is not None and self.out_proj.bias is not None:
            init.zeros_(self.in_proj_bias)
            init.zeros_(self.out_proj.bias)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask=None,
        need_weights: bool = True,
        attn_mask=None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
        cache: AttentionCache | MemoryCache | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Attend from ``query`` to ``key`` and ``value``.

        In every mask True means: may **not** attend, as in ``torch.nn.MultiheadAttention`` (and unlike in
        ``scaled_dot_product_attention``). A query that may attend to no key gets the bias of ``out_proj``.

        Args:
            query: (queries, batch, embed_dim), or (batch, queries, embed_dim) with ``batch_first``, or (queries, embed_dim).
            key: the same with ``keys`` in place of ``queries``, and ``kdim`` features.
            value: the same with ``vdim`` features.
            key_padding_mask: (batch, keys), or (keys) without a batch: bool, or floats to be added to the scores.
            need_weights: whether to return the attention weights, which is slower.
            attn_mask: (queries, keys), or (batch * num_heads, queries, keys): bool, or floats to be added to the scores.
            average_attn_weights: return the mean of the heads' weights rather than each.
            is_causal: besides the masks, query i may attend to keys 0 .. i alone; no ``attn_mask`` is needed.
            cache: keys and values kept from call to call, for decoding without gradients. With an
                :class:`AttentionCache`, ``key`` and ``value`` are the new positions, appended to those in the cache, and
                masks cover the keys of all. With a :class:`MemoryCache`, the first call keeps the projected ``key`` and
                ``value`` and the mask; later calls read them there and ignore these arguments.

        Returns:
            the result, shaped as ``query``, and the weights: (batch, queries, keys), or (batch, num_heads, queries, keys) for
            each head, or None. In training they are those after dropout.

        Raises:
            ShapeError: if the shapes do not fit.
            DTypeError: if the dtypes do not.
        """
        if query.ndim == 2:
            batch = 0 if self.batch_first else 1
            query, key, value = _batched(query, key, value, batch)
            key_padding_mask = None if key_padding_mask is None else raw(key_padding_mask)[None]
            result, weights = self.forward(
                query, key, value, key_padding_mask, need_weights, attn_mask, average_attn_weights, is_causal, cache
            )
            return result.squeeze(batch), None if weights is None else weights.squeeze(0)
        dropout = self.dropout if self.training else 0.0
        plain = cache is None and not need_weights and not _learns(attn_mask) and not _learns(key_padding_mask)
        if plain and key is value and self.in_proj_weight is not None:
            self._check(query, key, value)
            mask = merged_masks(attn_mask, key_padding_mask, self._shape(query, key), query.dtype)
            x, y = self._packed(query, key)
            return self.out_proj(attend(x, y, self.num_heads, self.batch_first, mask, is_causal, dropout)), None
        q, k, v, mask, is_causal = self._operands(query, key, value, attn_mask, key_padding_mask, is_causal, cache)
        weights = None
        if need_weights:
            weights = F.attention_weights(q, k, mask, dropout, is_causal)
            result = weights @ v
            weights = weights.mean(1) if average_attn_weights else weights
        else:
            result = F.scaled_dot_product_attention(q, k, v, mask, dropout, is_causal)
        return self.out_proj(joined(result, self.batch_first)), weights

    def _operands(self, query: Tensor, key: Tensor, value: Tensor, attn_mask, key_padding_mask, is_causal: bool, cache):
        """Queries, keys and values of each head, what masks them, and whether the future is to be masked besides."""
        if isinstance(cache, MemoryCache) and cache.filled:
            self._check(query)
            q = self._projected(query, 0)
            return (q, *cache.read(len(q)), False)
        self._check(query, key, value)
        if key is value and self.in_proj_weight is not None:
            x, y = self._packed(query, key)
            q, k, v = parts_of(x, y, self.num_heads, self.batch_first)
        else:
            q, k, v = (self._projected(x, i) for i, x in enumerate((query, key, value)))
        past = 0
        if isinstance(cache, AttentionCache):
            past = cache.length
            k, v = cache.append(k, v)
        mask = merged_masks(attn_mask, key_padding_mask, (*q.shape[:3], k.shape[2]), q.dtype)
        if isinstance(cache, MemoryCache):
            if attn_mask is not None or is_causal:
                raise UsageError("a MemoryCache keeps a key_padding_mask alone: got an attn_mask or is_causal; leave that out")
            cache.fill(k, v, mask)
        if is_causal and past:
            return q, k, v, causal_after(past, mask, q.shape[2]), False
        return q, k, v, mask, is_causal

    def _check(self, *inputs: Tensor) -> None:
        """Raise unless the query, or query, key and value, fit this layer and each other."""
        layout = "(batch, time, features)" if self.batch_first else "(time, batch, features)"
        shapes = [x.shape for x in inputs]
        got = f"got {', '.join(map(str, shapes))}"
        if any(len(s) != 3 for s in shapes):
            raise ShapeError(f"attention takes query, key and value of one layout, {layout}: {got}")
        features = [self.embed_dim, self.kdim, self.vdim]
        if any(s[2] != n for s, n in zip(shapes, features)):
            raise ShapeError(f"this attention takes query, key and value with {features} features: {got}")
        batch = 0 if self.batch_first else 1
        if any(s[batch] != shapes[0][batch] for s in shapes) or any(s[:2] != shapes[1][:2] for s in shapes[2:]):
            raise ShapeError(
                f"attention needs one batch size, and key and value of one length: {got} as {layout}; "
                f"batch_first is {self.batch_first}"
            )

    def _shape(self, query: Tensor, key: Tensor) -> tuple[int, int, int, int]:
        """(batch, heads, queries, keys)."""
        batch, time = (0, 1) if self.batch_first else (1, 0)
        return query.shape[batch], self.num_heads, query.shape[time], key.shape[time]

    def _packed(self, query: Tensor, memory: Tensor) -> tuple[Tensor, Tensor | None]:
        """The projections side by side: all three in one product if query and memory are the same, else one of each."""
        weight, bias, e = self.in_proj_weight, self.in_proj_bias, self.embed_dim
        assert weight is not None
        if query is memory:
            return F.linear(query, weight, bias), None
        if bias is None:
            return F.linear(query, weight[:e]), F.linear(memory, weight[e:])
        return F.linear(query, weight[:e], bias[:e]), F.linear(memory, weight[e:], bias[e:])

    def _projected(self, x: Tensor, which: int) -> Tensor:
        """The projection of the query (0), the key (1) or the value (2), by heads."""
        part = slice(which * self.embed_dim, (which + 1) * self.embed_dim)
        if self.in_proj_weight is not None:
            weight = self.in_proj_weight[part]
        else:
            weight = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)[which]
        x = F.linear(x, weight, None if self.in_proj_bias is None else self.in_proj_bias[part])
        return heads_of(x, 1, self.num_heads, self.batch_first)[0]

    def extra_repr(self) -> str:
        return f"{self.embed_dim}, num_heads={self.num_heads}, dropout={self.dropout}, batch_first={self.batch_first}"


MultiHeadAttention = MultiheadAttention


def _batched(query: Tensor, key: Tensor, value: Tensor, dim: int):
    """The three with a batch of one; those that were the same tensor still are."""
    q = query.unsqueeze(dim)
    k = q if key is query else key.unsqueeze(dim)
    return q, k, k if value is key else value.unsqueeze(dim)


def _learns(mask) -> bool:
    return isinstance(mask, Tensor) and mask.requires_grad


def _checked_mask(mask, name: str, shapes: list[tuple]) -> np.ndarray | Tensor:
    values = np.asarray(raw(mask))
    if values.dtype.kind not in "bf":
        raise DTypeError(f"{name} is bool (True: may not attend) or floating (added to the scores): got dtype {values.dtype}")
    if values.shape not in shapes:
        raise ShapeError(f"{name} has the shape {' or '.join(map(str, shapes))} here: got {values.shape}")
    return mask if _learns(mask) else values


def merged_masks(attn_mask, key_padding_mask, shape: tuple[int, ...], dtype):
    """Both masks of attention as the one that ``scaled_dot_product_attention`` takes.

    Args:
        attn_mask: (queries, keys), or (batch * heads, queries, keys): bool, True where a query may not attend, or floats.
        key_padding_mask: (batch, keys), likewise.
        shape: (batch, heads, queries, keys).
        dtype: of the scores.

    Returns:
        None; or bool, True where a query may attend; or floats to add. It broadcasts to ``shape``.
    """
    batch, heads, queries, keys = shape
    masks = []
    if attn_mask is not None:
        mask = _checked_mask(attn_mask, "attn_mask", [(queries, keys), (batch * heads, queries, keys)])
        masks.append(mask.reshape(shape) if mask.ndim == 3 else mask)
    if key_padding_mask is not None:
        masks.append(_checked_mask(key_padding_mask, "key_padding_mask", [(batch, keys)]).reshape(batch, 1, 1, keys))
    if not masks:
        return None
    if all(mask.dtype == np.bool_ for mask in masks):
        return ~(masks[0] | masks[-1])
    floats = [np.where(m, -np.inf, 0.0).astype(dtype) if m.dtype == np.bool_ else m for m in masks]
    total = floats[0] if len(floats) == 1 else floats[0] + floats[1]
    return total if total.dtype == dtype else total.to(dtype) if isinstance(total, Tensor) else total.astype(dtype)


def causal_after(past: int, mask, queries: int):
    """``mask`` (as :func:`merged_masks` gives it) with the future masked besides; ``past`` keys precede the first query."""
    if queries == 1:
        return mask  # the last position may see everything before it
    allowed = np.tri(queries, past + queries, past, dtype=np.bool_)
    if mask is None:
        return allowed
    return mask & allowed if mask.dtype == np.bool_ else mask + np.where(allowed, 0.0, -np.inf).astype(mask.dtype)
