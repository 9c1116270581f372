"""Soft attention for recurrent decoders: three scores of how well a state of the decoder and a place of the source match.

All three turn scores into weights by a softmax over the positions that are no padding, and give the weighted mean of the
memory, the *context*: ``c = sum_s softmax_s(score(h, m_s)) m_s``. They differ in the score alone.
"""

from __future__ import annotations

import numpy as np

from ..errors import DTypeError, ShapeError, UsageError
from ..ops.attention import attention_weights, masked_softmax, scaled_dot_product_attention
from ..ops.layout import floating, one_dtype
from ..tensor import Tensor, raw
from . import init
from .linear import Linear, new_parameter
from .module import Module


class SoftAttention(Module):
    """What the three kinds share; see :class:`DotAttention`, :class:`GeneralAttention` and :class:`AdditiveAttention`.

    Args:
        query_size: features of a decoder's state ``h``.
        memory_size: features of a position ``m_s`` of what the encoder read.
        dtype: of the parameters; float32 where left out.

    Raises:
        UsageError: for sizes that are not positive, or that this kind of score cannot match.
    """

    def __init__(self, query_size: int, memory_size: int):
        super().__init__()
        if query_size <= 0 or memory_size <= 0:
            raise UsageError(f"query_size and memory_size are positive: got {query_size} and {memory_size}")
        self.query_size = query_size
        self.memory_size = memory_size

    def keys(self, memory: Tensor) -> Tensor:
        """What the scores need of ``memory`` (batch, source, memory_size), once for all queries: (batch, source, features)."""
        raise NotImplementedError

    def _attend(self, query: Tensor, keys: Tensor, memory: Tensor, allowed) -> Tensor:
        """The contexts; a product of queries and keys needs no weights in memory."""
        return scaled_dot_product_attention(query, keys, memory, allowed, scale=1.0)

    def _weights(self, query: Tensor, keys: Tensor, allowed) -> Tensor:
        return attention_weights(query, keys, allowed, scale=1.0)

    def forward(
        self, query: Tensor, memory: Tensor, padding=None, *, keys: Tensor | None = None, need_weights: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Attend from each query to its own sentence of the memory.

        Args:
            query: (batch, time, query_size), or (batch, query_size) for one step.
            memory: (batch, source, memory_size).
            padding: (batch, source), bool: True where the memory is padding, which gets the weight 0 whatever it holds.
            keys: what :meth:`keys` made of ``memory``, where that was asked before.
            need_weights: whether to return the weights, which is slower.

        Returns:
            the contexts, shaped as the queries with memory_size features, and the weights (batch, time, source), or
            (batch, source) for one step, or None. A sentence that is all padding gives the weights 0 and the context 0.

        Raises:
            ShapeError: if the shapes do not fit.
            DTypeError: if the dtypes differ, or ``padding`` is not bool.
        """
        one_step = query.ndim == 2
        q, allowed = self._checked(query.unsqueeze(1) if one_step else query, memory, padding)
        keys = self.keys(memory) if keys is None else keys
        if need_weights:
            weights = self._weights(q, keys, allowed)
            context = weights @ memory
        else:
            weights, context = None, self._attend(q, keys, memory, allowed)
        if one_step:
            return context.squeeze(1), None if weights is None else weights.squeeze(1)
        return context, weights

    def _checked(self, query: Tensor, memory: Tensor, padding):
        name = type(self).__name__
        query = floating(query, name)
        one_dtype(name, query, memory=memory)
        fits = query.ndim == memory.ndim == 3 and query.shape[0] == memory.shape[0]
        if not fits or query.shape[2] != self.query_size or memory.shape[2] != self.memory_size:
            raise ShapeError(
                f"this {name} takes a query (batch, time, {self.query_size}) and a memory (batch, source, {self.memory_size}): "
                f"got {query.shape} and {memory.shape}"
            )
        if padding is None:
            return query, None
        mask = np.asarray(raw(padding))
        if mask.dtype != np.bool_:
            raise DTypeError(f"{name} takes a padding of bool, True where the memory is padding: got {mask.dtype}")
        if mask.shape != memory.shape[:2]:
            raise ShapeError(f"{name} takes a padding (batch, source), here {memory.shape[:2]}: got {mask.shape}")
        return query, ~mask[:, None] if mask.any() else None

    def extra_repr(self) -> str:
        return f"{self.query_size}, {self.memory_size}"


class DotAttention(SoftAttention):
    """``score(h, m) = h . m``: no parameters, and so state and memory have one size.

    Source: Luong, Pham and Manning, "Effective Approaches to Attention-based Neural Machine Translation", 2015, equation 8,
    "dot".
    """

    def __init__(self, query_size: int, memory_size: int):
        super().__init__(query_size, memory_size)
        if query_size != memory_size:
            raise UsageError(
                f"a dot product needs queries and memory of one size: got {query_size} and {memory_size}; take GeneralAttention"
            )

    def keys(self, memory: Tensor) -> Tensor:
        return memory


class GeneralAttention(SoftAttention):
    """``score(h, m) = h . W m``, with ``key.weight`` ``W`` (query_size, memory_size).

    Source: Luong, Pham and Manning, "Effective Approaches to Attention-based Neural Machine Translation", 2015, equation 8,
    "general".
    """

    def __init__(self, query_size: int, memory_size: int, *, dtype=None):
        super().__init__(query_size, memory_size)
        self.key = Linear(memory_size, query_size, bias=False, dtype=dtype)

    def keys(self, memory: Tensor) -> Tensor:
        return self.key(memory)


class AdditiveAttention(SoftAttention):
    """``score(h, m) = v . tanh(W h + U m)``: a network with one hidden layer of ``attention_size`` features.

    ``query.weight`` is ``W`` (attention_size, query_size), ``key.weight`` is ``U`` (attention_size, memory_size), and
    ``score_weight`` is ``v`` (attention_size), uniform in (-1/sqrt(attention_size), 1/sqrt(attention_size)) at first. Its
    hidden layer has batch x time x source x attention_size numbers, so it takes more time and memory than the products.

    Source: Bahdanau, Cho and Bengio, "Neural Machine Translation by Jointly Learning to Align and Translate", 2015,
    appendix A.1.2.
    """

    def __init__(self, query_size: int, memory_size: int, attention_size: int | None = None, *, dtype=None):
        super().__init__(query_size, memory_size)
        size = query_size if attention_size is None else attention_size
        if size <= 0:
            raise UsageError(f"attention_size is positive: got {size}")
        self.attention_size = size
        self.query = Linear(query_size, size, bias=False, dtype=dtype)
        self.key = Linear(memory_size, size, bias=False, dtype=dtype)
        self.score_weight = new_parameter(size, dtype=dtype)
        init.uniform_(self.score_weight, -(size**-0.5), size**-0.5)

    def keys(self, memory: Tensor) -> Tensor:
        return self.key(memory)

    def _weights(self, query: Tensor, keys: Tensor, allowed) -> Tensor:
        hidden = (self.query(query).unsqueeze(2) + keys.unsqueeze(1)).tanh()  # (batch, time, source, attention_size)
        return masked_softmax(hidden @ self.score_weight, allowed)

    def _attend(self, query: Tensor, keys: Tensor, memory: Tensor, allowed) -> Tensor:
        return self._weights(query, keys, allowed) @ memory

    def extra_repr(self) -> str:
        return f"{self.query_size}, {self.memory_size}, attention_size={self.attention_size}"
