"""The Transformer's layers, with arguments, defaults and weights as in ``torch.nn``.

Source: Vaswani et al., "Attention Is All You Need", 2017, section 3.1. There each part's output is normalised after it is added
to its input (``norm_first=False``); normalising the input instead trains without warm-up and to greater depth (Xiong et al.,
"On Layer Normalization in the Transformer Architecture", ICML 2020).

Masks follow :class:`MultiheadAttention`: True means may **not** attend. The layers ask for no attention weights, which is
faster; a forward pre-hook ``with_kwargs`` on a :class:`MultiheadAttention` can set ``need_weights``, and a forward hook then
sees them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np

from ..errors import ShapeError, UsageError
from ..tensor import Tensor, wrap
from . import functional as F
from . import init
from .attention import MultiheadAttention
from .cache import DecoderCache, LayerCache
from .containers import ModuleList
from .dropout import Dropout, relu_then, residual
from .linear import Linear
from .module import Module
from .normalization import LayerNorm


def _activation(activation: str | Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    if callable(activation):
        return activation
    if activation not in ("relu", "gelu"):
        raise UsageError(f"the activation is 'relu', 'gelu' or a function: got {activation!r}")
    return F.relu if activation == "relu" else F.gelu


def _activated(x: Tensor, activation: Callable[[Tensor], Tensor], dropout: Module) -> Tensor:
    """``dropout(activation(x))``."""
    return relu_then(dropout, x) if activation is F.relu else dropout(activation(x))


class TransformerEncoderLayer(Module):
    """Self-attention, then a two-layer network at each position; each is added to its input, and normalised.

    Args:
        d_model: features of the input and the output.
        nhead: attention heads.
        dim_feedforward: features between the two layers of the network.
        dropout: the probability of dropping, of attention weights, of the network's hidden features, and of what is added.
        activation: "relu", "gelu" or a function.
        layer_norm_eps: the ``eps`` of the normalisations.
        batch_first: whether tensors are ``(batch, time, features)`` rather than ``(time, batch, features)``.
        norm_first: normalise what goes into each part, rather than the sum after it.
        bias: whether the linear layers and the normalisations have one.
        dtype: of the parameters; float32 where left out.
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[[Tensor], Tensor] = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        *,
        dtype=None,
    ):
        super().__init__()
        self.self_attn = MultiheadAttention(d_model, nhead, dropout, bias, batch_first=batch_first, dtype=dtype)
        self.linear1 = Linear(d_model, dim_feedforward, bias, dtype=dtype)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, dtype=dtype)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, layer_norm_eps, bias=bias, dtype=dtype)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, bias=bias, dtype=dtype)
        self.dropout1 = Dropout(dropout)
        self.dropout2 = Dropout(dropout)
        self.activation = _activation(activation)

    def forward(self, src: Tensor, src_mask=None, src_key_padding_mask=None, is_causal: bool = False) -> Tensor:
        """The layer's output, shaped as ``src``; the arguments are those of :meth:`TransformerEncoder.forward`."""
        x = src
        if self.norm_first:
            x = residual(x, self._attend(self.norm1(x), src_mask, src_key_padding_mask, is_causal), self.dropout1)
            return residual(x, self._feed_forward(self.norm2(x)), self.dropout2)
        x = self.norm1(residual(x, self._attend(x, src_mask, src_key_padding_mask, is_causal), self.dropout1))
        return self.norm2(residual(x, self._feed_forward(x), self.dropout2))

    def _attend(self, x: Tensor, mask, padding, is_causal: bool) -> Tensor:
        attended, _ = self.self_attn(x, x, x, key_padding_mask=padding, need_weights=False, attn_mask=mask, is_causal=is_causal)
        return attended

    def _feed_forward(self, x: Tensor) -> Tensor:
        return self.linear2(_activated(self.linear1(x), self.activation, self.dropout))


class TransformerDecoderLayer(Module):
    """Self-attention, attention to the memory, then a two-layer network; each is added to its input, and normalised.

    The arguments are those of :class:`TransformerEncoderLayer`.
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[[Tensor], Tensor] = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        *,
        dtype=None,
    ):
        super().__init__()
        self.self_attn = MultiheadAttention(d_model, nhead, dropout, bias, batch_first=batch_first, dtype=dtype)
        self.multihead_attn = MultiheadAttention(d_model, nhead, dropout, bias, batch_first=batch_first, dtype=dtype)
        self.linear1 = Linear(d_model, dim_feedforward, bias, dtype=dtype)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, dtype=dtype)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, layer_norm_eps, bias=bias, dtype=dtype)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, bias=bias, dtype=dtype)
        self.norm3 = LayerNorm(d_model, layer_norm_eps, bias=bias, dtype=dtype)
        self.dropout1 = Dropout(dropout)
        self.dropout2 = Dropout(dropout)
        self.dropout3 = Dropout(dropout)
        self.activation = _activation(activation)

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask=None,
        memory_mask=None,
        tgt_key_padding_mask=None,
        memory_key_padding_mask=None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
        cache: LayerCache | None = None,
    ) -> Tensor:
        """The layer's output, shaped as ``tgt``; the arguments are those of :meth:`TransformerDecoder.forward`."""
        own = tgt_mask, tgt_key_padding_mask, tgt_is_causal, cache and cache.self_attention
        other = memory, memory_mask, memory_key_padding_mask, memory_is_causal, cache and cache.memory
        x = tgt
        if self.norm_first:
            x = residual(x, self._attend(self.norm1(x), *own), self.dropout1)
            x = residual(x, self._attend_to_memory(self.norm2(x), *other), self.dropout2)
            return residual(x, self._feed_forward(self.norm3(x)), self.dropout3)
        x = self.norm1(residual(x, self._attend(x, *own), self.dropout1))
        x = self.norm2(residual(x, self._attend_to_memory(x, *other), self.dropout2))
        return self.norm3(residual(x, self._feed_forward(x), self.dropout3))

    def _attend(self, x: Tensor, mask, padding, is_causal: bool, cache) -> Tensor:
        attended, _ = self.self_attn(
            x, x, x, key_padding_mask=padding, need_weights=False, attn_mask=mask, is_causal=is_causal, cache=cache
        )
        return attended

    def _attend_to_memory(self, x: Tensor, memory: Tensor, mask, padding, is_causal: bool, cache) -> Tensor:
        attended, _ = self.multihead_attn(
            x, memory, memory, key_padding_mask=padding, need_weights=False, attn_mask=mask, is_causal=is_causal, cache=cache
        )
        return attended

    def _feed_forward(self, x: Tensor) -> Tensor:
        return self.linear2(_activated(self.linear1(x), self.activation, self.dropout))


def _copies(layer: Module, count: int) -> ModuleList:
    return ModuleList(copy.deepcopy(layer) for _ in range(count))


class TransformerEncoder(Module):
    """Encoder layers one after the other.

    Args:
        encoder_layer: the layer; ``num_layers`` copies of it are made, which start with **the same** weights, as in PyTorch
            (:class:`Transformer` draws them anew).
        num_layers: how many.
        norm: a normalisation of the result, usual with ``norm_first``, or None.
    """

    def __init__(self, encoder_layer: TransformerEncoderLayer, num_layers: int, norm: Module | None = None):
        super().__init__()
        self.layers = _copies(encoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm

    def forward(self, src: Tensor, mask=None, src_key_padding_mask=None, is_causal: bool | None = None) -> Tensor:
        """Encode ``src``.

        Args:
            src: (time, batch, d_model), or (batch, time, d_model) with ``batch_first``, or (time, d_model).
            mask: (time, time) or (batch * nhead, time, time); see :meth:`MultiheadAttention.forward`.
            src_key_padding_mask: (batch, time), True at padding.
            is_causal: besides, position i may attend to positions 0 .. i alone.
        """
        for layer in self.layers:
            src = layer(src, mask, src_key_padding_mask, bool(is_causal))
        return src if self.norm is None else self.norm(src)


class TransformerDecoder(Module):
    """Decoder layers one after the other.

    Args:
        decoder_layer: the layer; ``num_layers`` copies of it are made, which start with **the same** weights, as in PyTorch
            (:class:`Transformer` draws them anew).
        num_layers: how many.
        norm: a normalisation of the result, usual with ``norm_first``, or None.
    """

    def __init__(self, decoder_layer: TransformerDecoderLayer, num_layers: int, norm: Module | None = None):
        super().__init__()
        self.layers = _copies(decoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask=None,
        memory_mask=None,
        tgt_key_padding_mask=None,
        memory_key_padding_mask=None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
        cache: DecoderCache | None = None,
    ) -> Tensor:
        """Decode ``tgt`` in view of ``memory``.

        Args:
            tgt: (time, batch, d_model), or (batch, time, d_model) with ``batch_first``, or (time, d_model).
            memory: the encoder's output, likewise, of any length.
            tgt_mask, memory_mask: (time, time) and (time, memory time); see :meth:`MultiheadAttention.forward`.
            tgt_key_padding_mask, memory_key_padding_mask: (batch, time) and (batch, memory time), True at padding.
            tgt_is_causal: besides, position i may attend to positions 0 .. i alone. Without this or a ``tgt_mask`` a decoder
                sees the future, as in PyTorch.
            cache: from :meth:`new_cache`, to decode step by step: ``tgt`` holds the new positions only, which are always
                causal, and the memory and its mask are read at the first step alone. Under ``no_grad()`` only.
        """
        causal = bool(tgt_is_causal) or cache is not None
        for i, layer in enumerate(self.layers):
            tgt = layer(
                tgt,
                memory,
                tgt_mask,
                memory_mask,
                tgt_key_padding_mask,
                memory_key_padding_mask,
                causal,
                memory_is_causal,
                cache and cache.layers[i],
            )
        return tgt if self.norm is None else self.norm(tgt)

    def new_cache(self) -> DecoderCache:
        """An empty cache, with which to decode from the first position."""
        return DecoderCache(self.num_layers)


class Transformer(Module):
    """An encoder and a decoder.

    Args:
        d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias, dtype: as for
            :class:`TransformerEncoderLayer`; ``d_model`` is 512 and ``nhead`` 8 where left out.
        num_encoder_layers, num_decoder_layers: how many of each.
        custom_encoder, custom_decoder: modules to use in their place, or None.

    Initialisation: every matrix Xavier-uniform.
    """

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[[Tensor], Tensor] = F.relu,
        custom_encoder: Module | None = None,
        custom_decoder: Module | None = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        *,
        dtype=None,
    ):
        super().__init__()
        shape = d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias

        def norm() -> LayerNorm:
            return LayerNorm(d_model, layer_norm_eps, bias=bias, dtype=dtype)

        self.encoder = custom_encoder or TransformerEncoder(
            TransformerEncoderLayer(*shape, dtype=dtype), num_encoder_layers, norm()
        )
        self.decoder = custom_decoder or TransformerDecoder(
            TransformerDecoderLayer(*shape, dtype=dtype), num_decoder_layers, norm()
        )
        self.d_model = d_model
        self.nhead = nhead
        self.batch_first = batch_first
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw every matrix anew."""
        for parameter in self.parameters():
            if parameter.ndim > 1:
                init.xavier_uniform_(parameter)

    def forward(
        self,
        src: Tensor,
        tgt: Tensor,
        src_mask=None,
        tgt_mask=None,
        memory_mask=None,
        src_key_padding_mask=None,
        tgt_key_padding_mask=None,
        memory_key_padding_mask=None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """Encode ``src`` and decode ``tgt``; see :meth:`TransformerEncoder.forward` and :meth:`TransformerDecoder.forward`.

        Neither future nor padding is masked unless the arguments say so, as in PyTorch.
        """
        batch = 0 if self.batch_first else 1
        if src.shape[-1] != self.d_model or tgt.shape[-1] != self.d_model:
            raise ShapeError(f"src and tgt have d_model={self.d_model} features: got shapes {src.shape} and {tgt.shape}")
        if src.ndim == tgt.ndim == 3 and src.shape[batch] != tgt.shape[batch]:
            raise ShapeError(
                f"src and tgt have one batch size: got shapes {src.shape} and {tgt.shape} with batch_first={self.batch_first}"
            )
        memory = self.encoder(src, mask=src_mask, src_key_padding_mask=src_key_padding_mask, is_causal=src_is_causal)
        return self.decoder(
            tgt,
            memory,
            tgt_mask=tgt_mask,
            memory_mask=memory_mask,
            tgt_key_padding_mask=tgt_key_padding_mask,
            memory_key_padding_mask=memory_key_padding_mask,
            tgt_is_causal=tgt_is_causal,
            memory_is_causal=memory_is_causal,
        )

    @staticmethod
    def generate_square_subsequent_mask(sz: int, dtype=None) -> Tensor:
        """A causal mask as floats: 0 on and below the diagonal of (sz, sz), -inf above."""
        return wrap(np.triu(np.full((sz, sz), -np.inf, np.dtype(dtype or np.float32)), 1))
