"""Memory for time: forget what a function computed on the way, and compute it again when the backward pass comes by."""

from __future__ import annotations

import numpy as np

from . import aliasing
from .autograd import _place, between, enable_grad
from .errors import GraphError, UsageError
from .ops import cat, get_rng_state, reshape, set_rng_state
from .primitive import Node, Plan, Primitive, state
from .tensor import Tensor, wrap


class _Recomputed(Primitive):
    """The operation that :func:`checkpoint` records: its rule runs the function again and differentiates that run.

    A node of it saves first the function that runs again, then the arrays that must not change until then.
    """

    def gradients(self, node: Node, g):
        return self.gradients_on_tape(node, g, None)

    def gradients_on_tape(self, node: Node, g, stand_in):
        again = node.saved[0]
        with enable_grad():
            output = again()
        if output.shape != node.shape:
            raise GraphError(
                f"checkpoint needs a function that computes the same each time: its second run gave {output.numel()} elements, "
                f"its first {int(np.prod(node.shape))}"
            )
        return enumerate(between(output, node.edges, g, create_graph=isinstance(g, Tensor)))


_plan = Plan(_Recomputed(lambda: None, r"f(x)", False, "checkpoint"), 0)


def checkpoint(function, *args, preserve_rng_state: bool = True, **kwargs):
    """``function(*args, **kwargs)``, keeping nothing of its inside for the backward pass, which runs it a second time.

    Whatever tensors the function reaches get their gradients as usual: arguments, parameters, results computed before.
    Random numbers (dropout) are drawn alike in both runs.

    Args:
        function: returns a Tensor, or a tuple of Tensors of one dtype. It computes the same each time, and writes to nothing
            from outside.
        args, kwargs: its arguments, tensors or anything else.
        preserve_rng_state: draw the same random numbers in the second run.

    Raises:
        UsageError: if the function returns something else.
        GraphError: in the backward pass, if a tensor that the function read was written to since.

    Source:
        Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost".
    """
    if not state.recording:
        return function(*args, **kwargs)
    before = get_rng_state()
    start = next(aliasing.clock)

    def again():
        now = get_rng_state()
        if preserve_rng_state:
            set_rng_state(before)
        try:
            return _joined(function(*args, **kwargs))
        finally:
            if preserve_rng_state:
                set_rng_state(now)

    # The first run is recorded only to learn which leaves and earlier results the function reaches.
    value = function(*args, **kwargs)
    joined = _joined(value)
    if not joined._requires_grad:
        return value
    node = Node()
    node.plan = _plan
    node.edges = _reached(joined, start)
    read = [a._data if isinstance(a, Tensor) else a for a in (*args, *kwargs.values())]
    node.saved = [again, *read, *(place._data for place in node.edges if isinstance(place, Tensor))]
    node.extra = None
    node.shape, node.dtype, node.seq = joined.shape, joined.dtype, next(aliasing.clock)
    aliasing.on_record(node, ())
    data = joined._data
    # A view, in case the function gave back one of its own arguments.
    result = wrap(data.view() if isinstance(data, np.ndarray) else data, requires_grad=True)
    result._node = node
    return result if joined is value else _parted(result, value)


def _reached(output: Tensor, start: int) -> list:
    """The leaves, and the nodes older than ``start``, that ``output`` was computed from in one go."""
    place = _place(output)
    if isinstance(place, Tensor) or place.seq < start:
        return [place]
    older = {}
    stack, seen = [place], {place}
    while stack:
        for edge in stack.pop().edges:
            if edge is None or edge in seen:
                continue
            if edge.__class__ is Node and edge.seq > start:
                seen.add(edge)
                stack.append(edge)
            else:
                older.setdefault(edge)
    return list(older)


def _joined(value) -> Tensor:
    """One tensor that holds what the function returned, for an operation has one output."""
    if isinstance(value, Tensor):
        return value
    if not isinstance(value, (tuple, list)) or not value or not all(isinstance(o, Tensor) for o in value):
        raise UsageError(f"checkpoint needs a function that returns a Tensor or a tuple of Tensors: got {type(value).__name__}")
    if len({o.dtype for o in value}) > 1:
        raise UsageError(f"checkpoint needs a function whose results have one dtype: got {[str(o.dtype) for o in value]}")
    return cat([reshape(o, -1) for o in value])


def _parted(result: Tensor, like) -> tuple[Tensor, ...]:
    """The tensors of the shapes of ``like`` that were joined to ``result``."""
    parts, start = [], 0
    for o in like:
        parts.append(reshape(result[start : start + o.numel()], o.shape))
        start += o.numel()
    return tuple(parts)
