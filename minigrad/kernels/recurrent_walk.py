"""A recurrent network's way through time, and back.

The products with the recurrent weight are all that one step must wait for another with; those with the inputs are done before,
for all steps at once. The weight is packed once for all steps. Then each thread takes some of the sequences and walks through
time alone: their states stay in its cache, and no thread ever waits for another. Where the BLAS is preferred, and where packing
does not pay, for few steps or a single sequence, the calling thread takes one product and one call of the cell a step.

Sequences of different lengths lie *packed*: first the first steps of all, the longest sequence in front, then the second steps
of those that have one, and so on. So every row is a step of a sequence, and every step's rows continue the first rows of
the step before it. A *schedule*, made by :func:`schedule_of`, says which rows follow from which.

Each sequence walks alone, so its bits depend neither on the number of threads nor on the other sequences of the batch.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import carray, cfunc, types  # pyright: ignore[reportPrivateImportUsage]

from minigrad.kernels import recurrent_cells as cells
from minigrad.kernels.gemm import SINGLE_THREAD, compiled_launch, lend, packed_product
from minigrad.kernels.jit import core
from minigrad.kernels.matmul import compiles, matmul, prefers_numpy
from minigrad.kernels.microkernel import call, pointer
from minigrad.kernels.panels import packed
from minigrad.kernels.threads import get_num_threads

FEWEST = 5  # steps; below, packing costs more than it brings
ALONE = 1 << 20  # bytes of a weight, from which packing costs more than it brings to a single sequence of any length


class Cell(NamedTuple):
    """A kind of cell; see `recurrent_cells.py`.

    Attributes:
        slots: how many times as wide as the state a row of gates is.
        gates: how many gates take a product with the state.
        apart: whether the last of these products goes to a slot of its own, the last one, and the state has another way back.
        forward, backward: what happens in a step.
        number: tells the compiled versions apart.
    """

    slots: int
    gates: int
    apart: bool
    forward: Callable[..., Any]
    backward: Callable[..., Any]
    number: int


LSTM = Cell(4, 4, False, cells.lstm_forward, cells.lstm_backward, 0)
GRU = Cell(4, 3, True, cells.gru_forward, cells.gru_backward, 1)
TANH = Cell(1, 1, False, cells.tanh_forward, cells.tanh_backward, 2)
RELU = Cell(1, 1, False, cells.relu_forward, cells.relu_backward, 3)


def schedule_of(sizes: np.ndarray, reverse: bool) -> np.ndarray:
    """Which rows are computed when, and from which.

    Args:
        sizes: (steps,), how many sequences have each step, none of them more than the one before.
        reverse: whether time runs backwards, from each sequence's own last step.

    Returns:
        (pieces, 4), a piece being neighbouring rows of one step: the first row, the sequence that this belongs to, how many
        rows, and the first row a step earlier, or -1 where sequences begin. Not to be written to.
    """
    return _schedule_of(sizes.tobytes(), reverse)


@functools.lru_cache(64)
def _schedule_of(packed_sizes: bytes, reverse: bool) -> np.ndarray:
    sizes = np.frombuffer(packed_sizes, np.int64)
    order = slice(None, None, -1) if reverse else slice(None)
    rows = sizes[order]
    start = (np.cumsum(sizes) - sizes)[order]
    none = np.zeros_like(rows)
    known = np.minimum(rows, np.append(0, rows[:-1]))
    continued = np.stack([start, none, known, np.append(-1, start[:-1])], 1)
    begun = np.stack([start + known, known, rows - known, none - 1], 1)
    pieces = np.stack([continued, begun], 1).reshape(-1, 4)
    return pieces[pieces[:, 2] > 0]


def forward(cell: Cell, gates, weight, bias, schedule, h0, c0, state, out) -> None:
    """Walk through time: from the products with the inputs to all states.

    Args:
        gates: (rows, slots * hidden), in whose slots, but one that is kept apart, the products with the inputs are. They
            become the gates.
        weight: (gates * hidden, hidden), contiguous.
        bias: (slots * hidden).
        schedule: see :func:`schedule_of`.
        h0, c0: (sequences, hidden), the states at the beginning; ``c0`` is read for an LSTM alone, as ``state`` is written.
        state, out: (rows, hidden), filled with the cell state and the hidden state after every step.
    """
    if _compiled(schedule, weight, h0):
        arrays = {"gates": gates, "bias": bias, "h0": h0, "c0": c0, "state": state, "out": out}
        _run(cell, False, arrays, weight.T, schedule, len(h0))
        return
    n = out.shape[1]
    joint = (cell.gates - cell.apart) * n
    for row, sequence, count, previous in schedule.tolist():
        here = slice(row, row + count)
        before, state_before = _before(h0, c0, state, out, sequence, count, previous)
        _product(before, weight[:joint].T, gates[here, :joint], True)
        if cell.apart:
            _product(before, weight[joint:].T, gates[here, -n:], False)
        cell.forward(gates[here], bias, before, state_before, state[here], out[here])


def backward(cell: Cell, gates, weight, schedule, h0, c0, state, out, g, g_h0, g_c0, slopes, flow) -> None:
    """Walk back: from the gradient by all states to that by the sums in the gates, and by the states at the beginning.

    Args:
        gates, weight, schedule, h0, c0, state, out: as :func:`forward` left them.
        g: (rows, hidden), the gradient by ``out``.
        g_h0: (sequences, hidden), zeros that become the gradient by ``h0``.
        g_c0: (sequences, hidden), the gradient by the last cell states that becomes the one by the first.
        slopes: (rows, slots * hidden), filled.
        flow: (rows,), filled with the sum of squares of the whole gradient by each row of ``out``; or empty.
    """
    if _compiled(schedule, weight, h0):
        arrays = {"gates": gates, "h0": h0, "c0": c0, "state": state, "out": out}
        arrays.update(g=g, g_h0=g_h0, g_c0=g_c0, slopes=slopes, flow=flow)
        _run(cell, True, arrays, weight, schedule, len(h0))
        return
    n = out.shape[1]
    joint = (cell.gates - cell.apart) * n
    for row, sequence, count, previous in schedule[::-1].tolist():
        here, whose = slice(row, row + count), slice(sequence, sequence + count)
        before, state_before = _before(h0, c0, state, out, sequence, count, previous)
        arrays = gates[here], before, state_before, state[here], out[here], g[here], g_h0[whose], g_c0[whose], slopes[here]
        cell.backward(*arrays, flow[here])
        _product(slopes[here, :joint], weight[:joint], g_h0[whose], cell.apart)
        if cell.apart:
            _product(slopes[here, -n:], weight[joint:], g_h0[whose], True)


def _product(a, b, out, accumulate) -> None:
    with np.errstate(all="ignore"):
        matmul(a, b, out, out if accumulate else None)


def _before(h0, c0, state, out, sequence, count, previous):
    """The hidden and the cell states that a piece of the schedule begins with."""
    if previous < 0:
        return h0[sequence : sequence + count], c0[sequence : sequence + count]
    return out[previous : previous + count], state[previous : previous + count]


def _compiled(schedule, weight, h0) -> bool:
    pays = len(schedule) >= FEWEST and (len(h0) > 1 or weight.nbytes < ALONE)
    return pays and compiles() and not prefers_numpy()


# -- compiled -----------------------------------------------------------------------------------------------------------

# What the compiled functions need to know: addresses, counts, and what products need. Every array is an address and the bytes
# of a row. ``borders`` are the sequences at which the shares of the threads begin.
_TASK = np.dtype(
    [(name, np.int64) for name in ("gates", "bias", "h0", "c0", "state", "out")]
    + [(name, np.int64) for name in ("g", "g_h0", "g_c0", "slopes", "flow")]
    + [(name, np.int64) for name in ("joint_panels", "apart_panels", "schedule", "pieces", "borders")]
    + [(name, np.int64) for name in ("hidden", "slots", "gate_count", "apart", "item")]
    + [(name, np.int64) for name in ("function", "jobs", "job_step", "step", "step_size", "cell")]
)


@functools.cache
def _step_dtype(dtype):
    """What a compiled cell needs to know of its piece of the schedule: addresses and sizes; ``like`` tells it the dtype."""
    names = ["gates", "bias", "before", "state_before", "state", "out", "g", "g_state", "g_cell", "slopes", "flow"]
    return np.dtype([*((name, np.int64) for name in (*names, "hidden", "slots")), ("like", dtype)], align=True)


def _run(cell, back, arrays, b, schedule, sequences) -> None:
    """Walk with the weight ``b``, transposed on the way forward."""
    dtype, n = b.dtype, arrays["out"].shape[1]
    joint = (cell.gates - cell.apart) * n
    parts = get_num_threads() if len(arrays["out"]) * b.nbytes > SINGLE_THREAD else 1
    borders = _shares(schedule, sequences, min(parts, sequences))
    steps = np.zeros(len(borders) - 1, _step_dtype(dtype))
    steps["hidden"], steps["slots"] = n, cell.slots
    joint_panels = packed(b[:joint] if back else b[:, :joint])
    apart_panels = packed(b[joint:] if back else b[:, joint:]) if cell.apart else joint_panels
    lock, function, jobs = lend(dtype)
    fields = {name: _address(x) for name, x in arrays.items()} | {
        "joint_panels": _address(joint_panels),
        "apart_panels": _address(apart_panels),
        "schedule": _address(schedule),
        "pieces": len(schedule),
        "borders": _address(borders),
        "hidden": n,
        "slots": cell.slots,
        "gate_count": cell.gates,
        "apart": cell.apart,
        "item": dtype.itemsize,
        "function": function,
        "jobs": jobs.ctypes.data,
        "job_step": jobs.itemsize,
        "step": steps.ctypes.data,
        "step_size": steps.itemsize,
        "cell": _compiled_cell(cell.number, back, dtype).address,
    }
    task = np.array([tuple(fields.get(name, 0) for name in _TASK.names or ())], _TASK)
    with lock:
        compiled_launch()(_compiled_walk(back).address, task.ctypes.data, len(steps))


def _address(x) -> int:
    """Where an array of numbers begins; 0 for one without elements."""
    return x.__array_interface__["data"][0] if x.size else 0  # in half the time of x.ctypes.data, but slow for records


def _shares(schedule, sequences: int, parts: int) -> np.ndarray:
    """The sequences at which the shares of the threads begin, so that each has about as many rows."""
    if parts == 1:
        return np.array([0, sequences])
    lengths = np.zeros(sequences + 1, np.int64)
    np.add.at(lengths, schedule[:, 1], 1)
    np.add.at(lengths, schedule[:, 1] + schedule[:, 2], -1)
    rows = np.cumsum(np.cumsum(lengths))  # up to and with each sequence
    inner = [np.searchsorted(rows, rows[-1] * part / parts) + 1 for part in range(1, parts)]
    return np.array([0, *np.minimum(inner, sequences), sequences])


@core
def _piece(task, step, number, low, high):
    """Writes the addresses of a thread's share of a piece of the schedule, and returns its first row, sequence, and count."""
    row, sequence, count, previous = carray(pointer(task.schedule), (task.pieces, 4), np.int64)[number]
    first = max(sequence, low)
    count = min(sequence + count, high) - first
    row += first - sequence
    width = task.hidden * task.item
    if previous < 0:
        step.before, step.state_before = task.h0 + first * width, task.c0 + first * width
    else:
        previous += first - sequence
        step.before, step.state_before = task.out + previous * width, task.state + previous * width
    step.gates = task.gates + row * width * task.slots
    step.state, step.out = task.state + row * width, task.out + row * width
    return row, first, count


def _walk_forward(part, parts, task):
    task = carray(task, 1)[0]
    borders = carray(pointer(task.borders), parts + 1, np.int64)
    step_address = task.step + part * task.step_size
    step = carray(pointer(step_address), 1, _STEP)[0]
    job, item, n = task.jobs + part * task.job_step, task.item, task.hidden
    joint = (task.gate_count - task.apart) * n
    step.bias = task.bias
    for number in range(task.pieces):
        _, _, count = _piece(task, step, number, borders[part], borders[part + 1])
        if count > 0:
            state = step.before, n * item, item
            target = step.gates, n * task.slots * item, item
            packed_product(task.function, job, state, task.joint_panels, target, count, n, joint, True)
            if task.apart:
                target = step.gates + (task.slots - 1) * n * item, n * task.slots * item, item
                packed_product(task.function, job, state, task.apart_panels, target, count, n, n, False)
            call(task.cell, 0, count, step_address)


def _walk_backward(part, parts, task):
    task = carray(task, 1)[0]
    borders = carray(pointer(task.borders), parts + 1, np.int64)
    step_address = task.step + part * task.step_size
    step = carray(pointer(step_address), 1, _STEP)[0]
    job, item, n = task.jobs + part * task.job_step, task.item, task.hidden
    joint, apart = (task.gate_count - task.apart) * n, task.apart != 0
    for number in range(task.pieces - 1, -1, -1):
        row, sequence, count = _piece(task, step, number, borders[part], borders[part + 1])
        if count > 0:
            step.g = task.g + row * n * item
            step.g_state, step.g_cell = task.g_h0 + sequence * n * item, task.g_c0 + sequence * n * item
            step.slopes = task.slopes + row * n * task.slots * item
            step.flow = task.flow + row * item if task.flow else 0
            call(task.cell, 0, count, step_address)
            target = step.g_state, n * item, item
            slopes = step.slopes, n * task.slots * item, item
            packed_product(task.function, job, slopes, task.joint_panels, target, count, joint, n, apart)
            if apart:
                slopes = step.slopes + (task.slots - 1) * n * item, n * task.slots * item, item
                packed_product(task.function, job, slopes, task.apart_panels, target, count, n, n, True)


_STEP = _step_dtype(np.dtype(np.float64))  # the walk reads the addresses alone, which lie in the same places for every dtype


@core
def _rows(like, address, rows, width):
    return carray(pointer(address), (rows, width), type(like))


@core
def _forward_arrays(step, rows):
    like, n, wide = step.like, step.hidden, step.hidden * step.slots
    bias = carray(pointer(step.bias), (wide,), type(like))
    before, state_before = _rows(like, step.before, rows, n), _rows(like, step.state_before, rows, n)
    state, out = _rows(like, step.state, rows, n), _rows(like, step.out, rows, n)
    return _rows(like, step.gates, rows, wide), bias, before, state_before, state, out


@core
def _backward_arrays(step, rows):
    like, n, wide = step.like, step.hidden, step.hidden * step.slots
    before, state_before = _rows(like, step.before, rows, n), _rows(like, step.state_before, rows, n)
    state, out, g = _rows(like, step.state, rows, n), _rows(like, step.out, rows, n), _rows(like, step.g, rows, n)
    g_state, g_cell = _rows(like, step.g_state, rows, n), _rows(like, step.g_cell, rows, n)
    slopes = _rows(like, step.slopes, rows, wide)
    flow = carray(pointer(step.flow), (rows if step.flow else 0,), type(like))
    return _rows(like, step.gates, rows, wide), before, state_before, state, out, g, g_state, g_cell, slopes, flow


# The cells as functions that ``call`` can call. Each is compiled when it is first needed.


def _lstm_forward(_, rows, step):
    cells.lstm_forward(*_forward_arrays(carray(step, 1)[0], rows))


def _lstm_backward(_, rows, step):
    cells.lstm_backward(*_backward_arrays(carray(step, 1)[0], rows))


def _gru_forward(_, rows, step):
    cells.gru_forward(*_forward_arrays(carray(step, 1)[0], rows))


def _gru_backward(_, rows, step):
    cells.gru_backward(*_backward_arrays(carray(step, 1)[0], rows))


def _tanh_forward(_, rows, step):
    cells.tanh_forward(*_forward_arrays(carray(step, 1)[0], rows))


def _tanh_backward(_, rows, step):
    cells.tanh_backward(*_backward_arrays(carray(step, 1)[0], rows))


def _relu_forward(_, rows, step):
    cells.relu_forward(*_forward_arrays(carray(step, 1)[0], rows))


def _relu_backward(_, rows, step):
    cells.relu_backward(*_backward_arrays(carray(step, 1)[0], rows))


_FORWARD = _lstm_forward, _gru_forward, _tanh_forward, _relu_forward
_BACKWARD = _lstm_backward, _gru_backward, _tanh_backward, _relu_backward


@functools.cache
def _compiled_cell(number, back, dtype):
    return _callable((_BACKWARD if back else _FORWARD)[number], _step_dtype(dtype))


@functools.cache
def _compiled_walk(back):
    return _callable(_walk_backward if back else _walk_forward, _TASK)


def _callable(function, record):
    signature = types.void(types.intp, types.intp, types.CPointer(numba.from_dtype(record)))
    return cfunc(signature, cache=True, error_model="numpy")(function)
