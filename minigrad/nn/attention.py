"""Multi-head attention, with the weights laid out and named as in ``torch.nn.MultiheadAttention``."""

from __future__ import annotations

import numpy as np

from ..errors import DTypeError, ShapeError, UsageError
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
        self._check(query, key, value)
        past = 0
        if isinstance(cache, MemoryCache) and cache.keys is not None and cache.values is not None:
            (q,), k, v, mask = self._heads(self._projected(query, 0), 1), cache.keys, cache.values, cache.mask
        else:
            q, k, v = self._project(query, key, value)
            if isinstance(cache, AttentionCache):
                past = cache.length
                k, v = cache.append(k, v)
            mask = merged_masks(attn_mask, key_padding_mask, (*q.shape[:3], k.shape[2]), q.dtype)
            if isinstance(cache, MemoryCache):
                if attn_mask is not None:
                    raise UsageError("with a MemoryCache only a key_padding_mask is kept: got an attn_mask; leave one out")
                cache.fill(k, v, mask)
        if is_causal and past:
            mask, is_causal = causal_after(past, mask, q.shape[2]), False
        dropout = self.dropout if self.training else 0.0
        weights = None
        if need_weights:
            weights = F.attention_weights(q, k, mask, dropout, is_causal)
            result = weights @ v
            weights = weights.mean(1) if average_attn_weights else weights
        else:
            result = F.scaled_dot_product_attention(q, k, v, mask, dropout, is_causal)
        result = result.permute((0, 2, 1, 3) if self.batch_first else (2, 0, 1, 3)).reshape(query.shape)
        return self.out_proj(result), weights

    def _check(self, query: Tensor, key: Tensor, value: Tensor) -> None:
        layout = "(batch, time, features)" if self.batch_first else "(time, batch, features)"
        shapes = query.shape, key.shape, value.shape
        if any(len(s) != 3 for s in shapes):
            raise ShapeError(f"attention takes query, key and value of one layout, {layout}: got {shapes}")
        features = self.embed_dim, self.kdim, self.vdim
        if tuple(s[2] for s in shapes) != features:
            raise ShapeError(f"this attention takes query, key and value with {features} features: got shapes {shapes}")
        batch = 0 if self.batch_first else 1
        if shapes[0][batch] != shapes[1][batch] or shapes[1][:2] != shapes[2][:2]:
            raise ShapeError(
                f"attention needs one batch size, and key and value of one length: got {shapes} as {layout}; "
                f"batch_first is {self.batch_first}"
            )

    def _project(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of each head, in as few matrix products as there are different inputs."""
        if key is not value or self.in_proj_weight is None:
            return tuple(self._heads(self._projected(x, i), 1)[0] for i, x in enumerate((query, key, value)))
        if query is key:
            return self._heads(F.linear(query, self.in_proj_weight, self.in_proj_bias), 3)
        (q,) = self._heads(self._projected(query, 0), 1)
        e = self.embed_dim
        bias = None if self.in_proj_bias is None else self.in_proj_bias[e:]
        k, v = self._heads(F.linear(key, self.in_proj_weight[e:], bias), 2)
        return q, k, v

    def _projected(self, x: Tensor, which: int) -> Tensor:
        """The linear projection of the query (0), the key (1) or the value (2)."""
        part = slice(which * self.embed_dim, (which + 1) * self.embed_dim)
        if self.in_proj_weight is not None:
            weight = self.in_proj_weight[part]
        else:
            weight = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)[which]
        return F.linear(x, weight, None if self.in_proj_bias is None else self.in_proj_bias[part])

    def _heads(self, x: Tensor, count: int) -> tuple[Tensor, ...]:
        """``count`` projections side by side in the last dimension, as views (batch, heads, time, head_dim) of the memory."""
        split = x.reshape(*x.shape[:2], count, self.num_heads, self.head_dim)
        parts = split.permute((2, 0, 3, 1, 4) if self.batch_first else (2, 1, 3, 0, 4))
        return tuple(parts[i] for i in range(count))

    def extra_repr(self) -> str:
        return f"{self.embed_dim}, num_heads={self.num_heads}, dropout={self.dropout}, batch_first={self.batch_first}"


MultiHeadAttention = MultiheadAttention


def _batched(query: Tensor, key: Tensor, value: Tensor, dim: int):
    """The three with a batch of one; those that were the same tensor still are."""
    q = query.unsqueeze(dim)
    k = q if key is query else key.unsqueeze(dim)
    return q, k, k if value is key else value.unsqueeze(dim)


def _checked_mask(mask, name: str, shapes: list[tuple]) -> np.ndarray | Tensor:
    values = np.asarray(raw(mask))
    if values.dtype.kind not in "bf":
        raise DTypeError(f"{name} is bool (True: may not attend) or floating (added to the scores): got dtype {values.dtype}")
    if values.shape not in shapes:
        raise ShapeError(f"{name} has the shape {' or '.join(map(str, shapes))} here: got {values.shape}")
    return mask if isinstance(mask, Tensor) and mask.requires_grad else values


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
