"""What attention remembers between two steps of decoding, so that a new token costs one position and not the whole sentence.

One cache belongs to one attention layer: :class:`AttentionCache` to self-attention, whose keys and values grow with the output,
:class:`MemoryCache` to attention over a fixed memory. :class:`DecoderCache` holds both for every layer of a decoder. All of
them reorder their rows by ``select``, which is what beam search needs. They work outside the tape, under ``no_grad()``.
"""

from __future__ import annotations

import numpy as np

from ..errors import GraphError, ShapeError
from ..tensor import Tensor, wrap


def _values(tensor: Tensor) -> np.ndarray:
    if tensor.requires_grad:
        raise GraphError("a cache keeps values without their history, so no gradients could flow: decode inside no_grad()")
    return tensor._data


class AttentionCache:
    """The keys and values of every position so far, in buffers that double when they are full."""

    first_capacity = 16  # positions

    def __init__(self):
        self.length = 0  # positions so far
        self._keys: np.ndarray | None = None  # (rows, heads, capacity, features)
        self._values: np.ndarray | None = None

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Add the keys and values ``(rows, heads, new positions, features)``; returns those of all positions.

        Raises:
            ShapeError: if the number of rows is not that of the cache.
            GraphError: if they require gradients.
        """
        start, self.length = self.length, self.length + keys.shape[2]
        try:
            self._keys = self._extended(self._keys, _values(keys), start)
            self._values = self._extended(self._values, _values(values), start)
        except (GraphError, ShapeError):
            self.length = start
            raise
        return wrap(self._keys[:, :, : self.length]), wrap(self._values[:, :, : self.length])

    def _extended(self, buffer: np.ndarray | None, new: np.ndarray, start: int) -> np.ndarray:
        rows, heads, _, features = new.shape
        if buffer is not None and len(buffer) != rows:
            raise ShapeError(f"the cache holds {len(buffer)} rows, and the query has {rows}: call cache.select(rows) first")
        capacity = 0 if buffer is None else buffer.shape[2]
        if self.length > capacity:
            larger = np.empty((rows, heads, max(self.length, 2 * capacity, self.first_capacity), features), new.dtype)
            if buffer is not None:
                larger[:, :, :start] = buffer[:, :, :start]
            buffer = larger
        assert buffer is not None
        buffer[:, :, start : self.length] = new
        return buffer

    def select(self, rows) -> None:
        """Keep the given rows, in their order; some may be left out and others repeated."""
        if self._keys is not None and self._values is not None:
            self._keys, self._values = self._chosen(self._keys, rows), self._chosen(self._values, rows)

    def _chosen(self, buffer: np.ndarray, rows) -> np.ndarray:
        chosen = np.empty((len(rows), *buffer.shape[1:]), buffer.dtype)
        chosen[:, :, : self.length] = buffer[np.asarray(rows), :, : self.length]
        return chosen


class MemoryCache:
    """The keys and values of a memory that stays the same, such as an encoder's output, and its mask.

    Attributes:
        keys, values: ``(rows, heads, positions, features)``, or None before the first use.
        mask: what the queries may attend to, as :func:`~minigrad.nn.functional.scaled_dot_product_attention` takes it, or None.
    """

    def __init__(self):
        self.keys: Tensor | None = None
        self.values: Tensor | None = None
        self.mask: np.ndarray | None = None
        self._sources = np.zeros(0, np.int64)  # for each row, which row of the first memory it shows

    def fill(self, keys: Tensor, values: Tensor, mask) -> None:
        """Keep these keys and values, and a mask whose first dimension is that of the rows, or 1."""
        self.keys, self.values = wrap(_values(keys)), wrap(_values(values))
        self.mask = None if mask is None else np.asarray(mask)
        self._sources = np.arange(len(keys))

    def select(self, rows) -> None:
        """Keep the given rows, in their order; some may be left out and others repeated."""
        if self.keys is None or self.values is None:
            return
        rows = np.asarray(rows)
        before, self._sources = self._sources, self._sources[rows]
        if np.array_equal(before, self._sources):
            return  # beams of one sentence changed places, and they all see the same memory: nothing to copy
        self.keys, self.values = wrap(self.keys._data[rows]), wrap(self.values._data[rows])
        if self.mask is not None and len(self.mask) > 1:
            self.mask = self.mask[rows]


class LayerCache:
    """Both caches of one decoder layer."""

    def __init__(self):
        self.self_attention = AttentionCache()
        self.memory = MemoryCache()

    def select(self, rows) -> None:
        """Keep the given rows of both."""
        self.self_attention.select(rows)
        self.memory.select(rows)


class DecoderCache:
    """The caches of all layers of a decoder; ``decoder.new_cache()`` makes one.

    Args:
        num_layers: how many layers there are.
    """

    def __init__(self, num_layers: int):
        self.layers = [LayerCache() for _ in range(num_layers)]

    @property
    def length(self) -> int:
        """How many positions have been decoded: the offset of the next one."""
        return self.layers[0].self_attention.length if self.layers else 0

    def select(self, rows) -> None:
        """Keep the given rows of every layer, in their order; some may be left out and others repeated."""
        for layer in self.layers:
            layer.select(rows)
