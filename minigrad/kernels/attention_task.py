"""How the arrays and options of an attention reach its compiled functions: as one record in memory."""

import functools
from typing import Any

import numba
import numpy as np
from numba import njit, types  # pyright: ignore[reportPrivateImportUsage]

from minigrad.kernels.dropout import MASK64
from minigrad.kernels.gemm import JOB, SINGLE_THREAD, compiled_launch, lend
from minigrad.kernels.jit import core
from minigrad.kernels.microkernel import address, prefetch
from minigrad.kernels.threads import get_num_threads

LINE = 64  # bytes that a cache fetches at once

# An array is four numbers: its address, and the steps in bytes from one batch, head and row to the next; 0 where there is none.
# The last line: the memory of splits, and what ``product`` needs.
TASK = np.dtype(
    [(name, np.int64, 4) for name in ("query", "key", "value", "out", "top", "inverse", "allowed", "added")]
    + [(name, np.int64, 4) for name in ("g", "g_query", "g_key", "g_value")]
    + [
        (name, np.int64)
        for name in ("batches", "heads", "queries", "keys", "features", "width", "causal", "scale_first", "weights")
    ]
    + [("scale", np.float64), ("threshold", np.int64), ("keep", np.float64), ("seed", np.uint64)]
    + [(name, np.int64) for name in ("splits", "split_step", "function", "jobs", "job_step")]
)


def run(compiled, arrays, mask, causal, scale, p, seed, gradients=None, splits=1, split_step=0) -> None:
    """Call the compiled function of an address for each part of the work, each on its own thread.

    Args:
        arrays: query, key, value, output, and what forward keeps.
        mask, causal, scale, p, seed: as in ``forward`` of `attention.py`.
        gradients: in backward, those by the output, the query, the key and the value.
        splits, split_step: how many sums the gradient by the query has, and the bytes from one to the next.
    """
    query, key, _, out, _ = arrays
    dtype = query.dtype
    describe, task, place, allowed, added = _task(dtype)
    if mask is not None:
        mask = mask[(None,) * (4 - mask.ndim)]
        whole_rows = np.broadcast_to(mask, (*mask.shape[:3], key.shape[2]))
        if mask.dtype == np.bool_:
            allowed = with_neighbours(whole_rows)
        else:
            added = with_neighbours(whole_rows)
    threshold = round(p * 2**32)
    # Where all are dropped, the few beyond a threshold that fits 32 bits are multiplied by 0.
    dropout = min(threshold, 2**32 - 1), 1 / (1 - p) if threshold < 2**32 else 0.0, seed & MASK64
    lock, function, jobs = lend(dtype)
    parts = 1 if query.nbytes * key.shape[2] <= SINGLE_THREAD else get_num_threads()
    with lock:
        all_arrays = *arrays, *(gradients or (out,) * 4), allowed, added
        describe(task, *all_arrays, causal, scale, *dropout, splits, split_step, function, jobs)
        compiled_launch()(compiled, place, parts)


def with_neighbours(x):
    """``x``, or a copy if the elements of its rows are no neighbours in memory."""
    return x if x.strides[-1] == x.itemsize or x.shape[-1] == 1 else np.ascontiguousarray(x)


@functools.cache
def _task(dtype) -> tuple[Any, ...]:
    """The compiled ``_describe``, a record for it to write, its address, and masks that say there is none."""
    element, integer = numba.from_dtype(dtype), types.intp
    array = types.Array(element, 4, "A", readonly=True, aligned=False)  # which every layout converts to
    mask = types.Array(types.boolean, 4, "A", readonly=True, aligned=False)
    task, jobs = types.Array(numba.from_dtype(TASK), 1, "C"), types.Array(numba.from_dtype(JOB), 1, "C")
    numbers = types.boolean, types.float64, integer, types.float64, types.uint64, integer, integer, integer
    describe = njit(types.void(task, *[array] * 9, mask, array, *numbers, jobs), cache=True, error_model="numpy")(_describe)
    record = np.zeros(1, TASK)
    return describe, record, record.ctypes.data, np.empty((0,) * 4, np.bool_), np.empty((0,) * 4, dtype)


@core
def _place(field, array):
    field[0] = address(array) if array.size else 0
    for i in range(3):
        field[i + 1] = 0 if array.shape[i] == 1 else array.strides[i]


def _describe(
    tasks, query, key, value, out, kept, g, g_query, g_key, g_value,
    allowed, added, causal, scale, threshold, keep, seed, splits, split_step, function, jobs,
):  # fmt: skip
    """Write the record of one attention."""
    task = tasks[0]
    _place(task.query, query)
    _place(task.key, key)
    _place(task.value, value)
    _place(task.out, out)
    _place(task.g, g)
    _place(task.g_query, g_query)
    _place(task.g_key, g_key)
    _place(task.g_value, g_value)
    _place(task.allowed, allowed)
    _place(task.added, added)
    task.batches, task.heads, task.queries, task.features = query.shape
    task.keys, task.width = value.shape[2:]
    item, rows = query.itemsize, task.batches * task.heads * task.queries
    for place in (task.top, task.inverse):
        place[0], place[1], place[2], place[3] = address(kept), task.heads * task.queries * item, task.queries * item, item
    task.inverse[0] += rows * item
    task.weights = address(kept) + 2 * rows * item if kept.size > 2 * rows else 0
    task.causal = causal
    task.scale = scale
    # exp((x - max) * scale) spares the products a pass of their own, if a positive factor is all that they need.
    task.scale_first = added.size > 0 or not scale > 0
    task.threshold, task.keep, task.seed = threshold, keep, seed
    task.splits, task.split_step = splits, split_step
    task.function, task.jobs, task.job_step = function, address(jobs), jobs.strides[0]


@core
def at(array, batch, head, row):
    """The address of a row."""
    return array[0] + batch * array[1] + head * array[2] + row * array[3]


@core
def fetch_head(task, number, item, back):
    """Ask for what the head of a number reads and writes, while another is computed: a short one waits longer than it takes."""
    if number >= task.batches * task.heads:
        return
    batch, head = divmod(number, task.heads)
    features, width = task.features * item, task.width * item
    _fetch(task.query, batch, head, task.queries, features)
    _fetch(task.key, batch, head, task.keys, features)
    _fetch(task.value, batch, head, task.keys, width)
    _fetch(task.out, batch, head, task.queries, width)
    if back:
        _fetch(task.g, batch, head, task.queries, width)
        _fetch(task.g_query, batch, head, task.queries, features)
        _fetch(task.g_key, batch, head, task.keys, features)
        _fetch(task.g_value, batch, head, task.keys, width)


@core
def _fetch(array, batch, head, rows, size):
    start = at(array, batch, head, 0)
    for i in range(rows):
        for line in range(0, size, LINE):
            prefetch(start + i * array[3] + line)
