"""Rows of a table picked by number: how words become vectors."""

from __future__ import annotations

import numpy as np

from .. import kernels
from ..errors import DimensionError, DTypeError, ShapeError
from ..primitive import Part, fused
from ..tensor import Tensor, raw
from .arithmetic import select
from .indexing import getitem
from .layout import floating, ready


def _reference(weight, ids, padding_idx):
    rows = getitem(weight, ids)
    if padding_idx is None:
        return rows
    return select((ids == padding_idx)[..., None], rows.detach(), rows)


@fused(r"W_{i}", reference=_reference, name="embedding")
def rows_of(weight, ids, padding_idx):
    """The rows of the table that the ids name."""
    rows = kernels.embedding.gather(ready(weight), ids.reshape(-1))
    return rows.reshape(*ids.shape, weight.shape[1]), None


@rows_of.backward("weight")
def _(g, weight_shape, ids, padding_idx):
    rows, flat = ready(g).reshape(ids.size, weight_shape[1]), ids.reshape(-1)
    skip = -1 if padding_idx is None else padding_idx

    def add_to(table):
        target = table if table.flags.c_contiguous else np.zeros(weight_shape, table.dtype)
        kernels.embedding.scatter_add(rows, flat, target, skip)
        if target is not table:
            table += target

    return (Part(add_to, weight_shape, g.dtype),)


def checked_ids(ids, count: int, name: str) -> np.ndarray:
    """``ids`` as contiguous int64, each a row of a table of ``count`` rows.

    Raises:
        DTypeError: if they are not integers.
        DimensionError: if one is outside the table.
    """
    array = np.asarray(raw(ids))
    if array.dtype.kind not in "iu":
        raise DTypeError(f"{name} needs integer ids: got dtype {array.dtype}; use .long() if these are ids")
    if array.size:
        low, high = array.min(), array.max()
        if low < 0 or high >= count:
            bad = low if low < 0 else high
            raise DimensionError(
                f"{name} needs ids from 0 to {count - 1} for a table of {count} rows: got {bad}; "
                "make the table as large as the vocabulary, or map unknown ids to the unknown word first"
            )
    return ready(array.astype(np.int64, copy=False))


def embedding(input, weight, padding_idx: int | None = None) -> Tensor:
    """The rows of ``weight`` that ``input`` names.

    Args:
        input: integer ids of any shape (..).
        weight: the table, (rows, features).
        padding_idx: a row whose gradient stays 0; negative numbers count from the end.

    Returns:
        (.., features). An id that occurs several times collects the gradients of all its places.

    Raises:
        DTypeError: if the ids are not integers.
        DimensionError: if an id, or ``padding_idx``, is outside the table.
        ShapeError: if ``weight`` is not a matrix.
    """
    table = floating(weight, "embedding")
    if table.ndim != 2:
        raise ShapeError(f"embedding needs a weight of shape (rows, features): got {table.shape}")
    count = table.shape[0]
    if padding_idx is not None:
        if not -count <= padding_idx < count:
            raise DimensionError(f"padding_idx names a row of the table, from {-count} to {count - 1}: got {padding_idx}")
        padding_idx %= count
    return rows_of(table, checked_ids(input, count, "embedding"), padding_idx)
