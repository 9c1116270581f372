"""Memory for time: forget what a function computed on the way, and compute it again when the backward pass comes by."""

from __future__ import annotations

import numpy as np

from .autograd import _place, enable_grad, grad, no_grad, reachable
from .errors import UsageError
from .ops import cat, get_rng_state, reshape, set_rng_state
from .primitive import Node, Plan, Primitive, state
from .tensor import Tensor, wrap
from .aliasing import clock


class _Recomputed(Primitive):
    """The operation that :func:`checkpoint` records: its rule runs the function again and differentiates that run."""

    def gradients(self, node: Node, g):
        with enable_grad():
            output, inputs = node.extra["again"]()
            found = grad(output, inputs, wrap(np.asarray(g)), allow_unused=True)
        yield from enumerate(None if f is None else f._data for f in found)

    def gradients_on_tape(self, node: Node, g, stand_in):
        with enable_grad():
            output, inputs = node.extra["again"](connected=True)
            found = grad(output, inputs, g, create_graph=True, allow_unused=True)
        yield from enumerate(found)


_recomputed = _Recomputed(lambda: None, r"f(x)", False, "checkpoint")


def checkpoint(function, *args, preserve_rng_state: bool = True):
    """``function(*args)``, keeping nothing of its inside for the backward pass, which runs it a second time.

    The function's own parameters get their gradients as usual. Random numbers (dropout) are drawn alike in both runs.

    Args:
        function: returns a Tensor, or a tuple of Tensors of one dtype.
        args: its arguments, tensors or anything else.
        preserve_rng_state: draw the same random numbers in the second run.

    Source:
        Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost".
    """
    if not state.recording:
        return function(*args)
    before = get_rng_state()
    start = next(clock)
    shapes: list[tuple] = []

    def run(arguments):
        value = function(*arguments)
        outputs = value if isinstance(value, (tuple, list)) else (value,)
        if not all(isinstance(o, Tensor) for o in outputs):
            raise UsageError("checkpoint needs a function that returns a Tensor or a tuple of Tensors")
        shapes[:] = [o.shape for o in outputs]
        if not isinstance(value, (tuple, list)):
            return value
        return cat([reshape(o, -1) for o in outputs])

    # The first run is recorded only to learn which leaves and earlier results the function reaches besides its arguments.
    points = [a.detach().requires_grad_(a.requires_grad) if isinstance(a, Tensor) else a for a in args]
    value = run(points)
    if not value.requires_grad:
        return _unpacked(value, shapes)
    reached: dict = {}
    for node in reachable([_place(value)] if value._node is not None else []):
        for edge in node.edges:
            if edge is not None and not (edge.__class__ is Node and edge.seq > start):
                reached.setdefault(edge)
    leaves = {id(p): a for p, a in zip(points, args) if isinstance(p, Tensor)}
    outside = [place for place in reached if id(place) not in leaves]
    wanted = [(p, a) for p, a in zip(points, args) if isinstance(p, Tensor) and p in reached]

    def again(connected=False):
        now = get_rng_state()
        if preserve_rng_state:
            set_rng_state(before)
        try:
            fresh = [
                (a.clone() if connected else a.detach().requires_grad_()) if isinstance(a, Tensor) and a.requires_grad else a
                for a in args
            ]
            output = run(fresh)
        finally:
            if preserve_rng_state:
                set_rng_state(now)
        inputs = [fresh[i] for i, p in enumerate(points) if isinstance(p, Tensor) and p in reached]
        return output, inputs + [_at(place) for place in outside]

    node = Node()
    node.plan = Plan(_recomputed, 0)
    node.saved = ()
    node.edges = [_place(a) for _, a in wanted] + outside
    node.extra = {"again": again}
    node.shape, node.dtype, node.seq = value.shape, value.dtype, next(clock)
    with no_grad():
        result = wrap(value._data, requires_grad=True)
    result._node = node
    return _unpacked(result, shapes)


def _at(place) -> Tensor:
    """A tensor that stands for a node or leaf as a target of differentiation."""
    if isinstance(place, Tensor):
        return place
    stand = wrap(np.zeros(place.shape, place.dtype), requires_grad=True)
    stand._node = place
    return stand


def _unpacked(value: Tensor, shapes):
    if len(shapes) == 1 and value.shape == shapes[0]:
        return value
    results, start = [], 0
    for shape in shapes:
        size = int(np.prod(shape))
        results.append(reshape(value[start : start + size], shape))
        start += size
    return tuple(results)
