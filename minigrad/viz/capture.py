"""Attention weights and their gradients, as they really were in a forward and a backward pass."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..errors import UsageError
from ..nn import Module, MultiheadAttention
from ..nn.attention import merged_masks
from ..tensor import Tensor, raw

_SIGNATURE = inspect.signature(MultiheadAttention.forward)


class Attended:
    """One call of one attention layer.

    Attributes:
        name: of the layer in the model, such as ``decoder.layers.0.multihead_attn``.
        weights: (batch, heads, queries, keys); in training they are those after dropout.
        masked: (batch, heads, queries, keys) bool, True where a query may not attend; None where a cache kept the mask.
    """

    def __init__(self, name: str, weights: Tensor, masked: np.ndarray | None):
        self.name, self.weights, self.masked = name, raw(weights), masked
        self._tensor: Tensor | None = weights
        self._grad: np.ndarray | None = None

    @property
    def grad(self) -> np.ndarray | None:
        """The gradient of the loss by each weight, shaped as ``weights``; None before ``backward()`` has passed by."""
        if self._tensor is not None and self._tensor.grad is not None:
            return raw(self._tensor.grad)
        return self._grad

    def close(self) -> None:
        """Keep the gradient, and let go of the graph."""
        self._grad, self._tensor = self.grad, None

    def __repr__(self) -> str:
        return (
            f"Attended({self.name!r}, weights {self.weights.shape}, {'no gradient' if self.grad is None else 'with gradient'})"
        )


@contextmanager
def capture_attention(model: Module) -> Iterator[list[Attended]]:
    """See what every :class:`~minigrad.nn.MultiheadAttention` of a model attends to inside the block.

    ::

        with viz.capture_attention(model) as seen:
            loss, _ = model.loss(batch)
            loss.backward()
        last = seen[-1]
        viz.attention(last.weights[0], target, source, grad=last.grad[0], mask=last.masked[0])

    Attention as it is computed otherwise keeps no weights: here each layer goes the longer way that does, with the same results
    up to rounding. What the layer returns is what its caller asked for. ``backward()`` belongs inside the block too.

    Returns:
        a list that grows with each call of a layer, in their order.
    """
    seen: list[Attended] = []
    handles = []
    for name, module in model.named_modules():
        if isinstance(module, MultiheadAttention):
            watch = _Watch(name, seen)
            handles.append(module.register_forward_pre_hook(watch.before, with_kwargs=True))
            handles.append(module.register_forward_hook(watch.after, with_kwargs=True))
    if not handles:
        raise UsageError(
            f"capture_attention looks into nn.MultiheadAttention, and {type(model).__name__} has none: "
            "draw weights of another kind with viz.attention"
        )
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
        for call in seen:
            call.close()


class _Watch:
    """The hooks of one layer."""

    def __init__(self, name: str, seen: list[Attended]):
        self.name, self.seen = name, seen
        self.asked: list[tuple[bool, bool]] = []  # of calls that are under way: whether for weights, and for their mean

    def before(self, module: MultiheadAttention, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        given = _SIGNATURE.bind(module, *args, **kwargs)
        given.apply_defaults()
        options = dict(list(given.arguments.items())[1:])
        self.asked.append((options["need_weights"], options["average_attn_weights"]))
        return (), {**options, "need_weights": True, "average_attn_weights": False}

    def after(self, module: MultiheadAttention, args: tuple, options: dict[str, Any], result: tuple) -> tuple:
        out, weights = result
        wanted, mean = self.asked.pop()
        batched = weights if weights.ndim == 4 else weights.unsqueeze(0)
        if batched.requires_grad:
            batched.retain_grad()
        self.seen.append(Attended(self.name, batched, _masked(options, batched)))
        if not wanted:
            return out, None
        return out, weights.mean(-3) if mean else weights


def _masked(options: dict[str, Any], weights: Tensor) -> np.ndarray | None:
    """Where the arguments of a call forbid to attend, (batch, heads, queries, keys)."""
    if options["cache"] is not None:
        return None
    padding = options["key_padding_mask"]
    if padding is not None and raw(padding).ndim == 1:  # a call without a batch
        padding = raw(padding)[None]
    masked = np.zeros(weights.shape, np.bool_)
    mask = merged_masks(options["attn_mask"], padding, weights.shape, weights.dtype)
    if mask is not None:
        mask = raw(mask)
        masked |= ~mask if mask.dtype == np.bool_ else np.isneginf(mask)
    if options["is_causal"]:
        masked |= ~np.tri(*weights.shape[-2:], dtype=np.bool_)
    return masked
