"""Pairs of neighbouring words in a stream of word numbers: counted, and joined into new words.

A pair is one integer, first word and second; a hash table with linear probing holds pairs and a value for each.
"""

from typing import Any, NamedTuple

import numpy as np

from minigrad.kernels.jit import core

_FACTOR, _SHIFT = np.uint64(0x9E3779B97F4A7C15), np.uint64(32)  # Fibonacci hashing: Knuth, volume 3, section 6.4
FREE = -1


class PairTable(NamedTuple):
    """A hash table: ``pairs`` and ``values``, ``(a power of 2,)`` int64 both, and ``size``, ``(1,)``, the pairs it holds."""

    pairs: Any
    values: Any
    size: Any


def new_pair_table(slots: int) -> PairTable:
    """An empty table of ``slots`` slots, a power of 2, which had better not be filled by more than half."""
    return PairTable(np.full(slots, FREE, np.int64), np.zeros(slots, np.int64), np.zeros(1, np.int64))


def count_pairs(stream, table: PairTable, start: int) -> int:
    """Count the pairs of neighbours in a stream from ``start`` on; ends of sentences and unknown words stand between.

    Returns:
        where it stopped: at the stream's end, or where the table was half full.
    """
    with np.errstate(over="ignore"):
        return _count_pairs(stream, *table, start)


def fill(table: PairTable, pairs, values) -> None:
    """Add pairs that are not in the table, with their values."""
    with np.errstate(over="ignore"):
        _fill(*table, pairs, values)


def join_pairs(stream, table: PairTable, out) -> int:
    """Replace each pair that the table holds by its value, from left to right; returns the length of the new stream."""
    with np.errstate(over="ignore"):
        return _join_pairs(stream, *table, out)


@core
def _slot(pairs, pair):
    """Where a pair is, or would be."""
    mask = pairs.size - 1
    mixed = np.uint64(pair) * _FACTOR
    slot = np.int64((mixed >> _SHIFT) & np.uint64(mask))
    while pairs[slot] != FREE and pairs[slot] != pair:
        slot = (slot + 1) & mask
    return slot


@core
def _count_pairs(stream, pairs, values, size, start):
    for i in range(start, stream.size - 1):
        if stream[i] < 0 or stream[i + 1] < 0:
            continue
        pair = (np.int64(stream[i]) << 32) | np.int64(stream[i + 1])
        slot = _slot(pairs, pair)
        if pairs[slot] == FREE:
            if 2 * size[0] >= pairs.size:
                return i
            pairs[slot] = pair
            size[0] += 1
        values[slot] += 1
    return stream.size


@core
def _fill(pairs, values, size, new, new_values):
    for k in range(new.size):
        slot = _slot(pairs, new[k])
        pairs[slot] = new[k]
        values[slot] = new_values[k]
    size[0] += new.size


@core
def _join_pairs(stream, pairs, values, size, out):
    n = i = 0
    while i < stream.size:
        if i + 1 < stream.size and stream[i] >= 0 and stream[i + 1] >= 0:
            slot = _slot(pairs, (np.int64(stream[i]) << 32) | np.int64(stream[i + 1]))
            if pairs[slot] != FREE:
                out[n] = values[slot]
                n += 1
                i += 2
                continue
        out[n] = stream[i]
        n += 1
        i += 1
    return n
