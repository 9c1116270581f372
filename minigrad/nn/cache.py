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


def _check_rows(kept: np.ndarray, rows: int) -> None:
    if len(kept) != rows:
        raise ShapeError(f"the cache holds {len(kept)} rows, and the query has {rows}: call cache.select(rows) first")


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
        if buffer is not None:
            _check_rows(buffer, rows)
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
            self._keys, self._values = self._keys.take(rows, 0), self._values.take(rows, 0)


class MemoryCache:
    """The keys and values of a memory that stays the same, such as an encoder's output, and its mask."""

    def __init__(self):
        self._kept: list[np.ndarray] = []  # keys and values (rows, heads, positions, features), and a mask if there is one
        self._sources = np.zeros(0, np.int64)  # for each row, which row of the first memory it shows

    @property
    def filled(self) -> bool:
        """Whether it holds a memory."""
        return bool(self._kept)

    def fill(self, keys: Tensor, values: Tensor, mask) -> None:
        """Keep these keys and values ``(rows, heads, positions, features)``, and a mask.

        The mask is as ``scaled_dot_product_attention`` takes it, with rows in its first dimension, or None.
        """
        self._kept = [_values(keys), _values(values)] + ([] if mask is None else [np.asarray(mask)])
        self._sources = np.arange(len(keys))

    def read(self, rows: int) -> tuple[Tensor, Tensor, np.ndarray | None]:
        """The keys, the values and the mask.

        Raises:
            ShapeError: if they are not for this number of rows.
        """
        keys, values, *mask = self._kept
        _check_rows(keys, rows)
        return wrap(keys), wrap(values), mask[0] if mask else None

    def select(self, rows) -> None:
        """Keep the given rows, in their order; some may be left out and others repeated."""
        if self.filled:
            before, self._sources = self._sources, self._sources[np.asarray(rows)]
            # Beams of one sentence that change places all see the same memory, and nothing has to be copied.
            if not np.array_equal(before, self._sources):
                self._kept = [array[np.asarray(rows)] for array in self._kept]


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
