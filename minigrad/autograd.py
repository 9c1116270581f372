"""The tape: how gradients flow back.

:func:`backward` collects the nodes behind a tensor, visits them from the newest to the oldest, and lets each one's rules
turn the gradient of its output into gradients of its inputs. Everything is iterative, so a chain of 100,000 operations is
as good as one of ten. With ``create_graph`` the same rules run on Tensors, and the backward pass is itself on the tape.
"""

from __future__ import annotations

import functools
import operator
import sys
import weakref

import numpy as np

from . import aliasing
from .errors import DTypeError, GraphError, ShapeError, UsageError
from .gradmode import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from .hooks import RemovableHandle, add_hook
from .primitive import Node, Part, state
from .tensor import Tensor, wrap

# -- the walk -----------------------------------------------------------------------------------------------------------


def reachable(roots: list[Node], stop: set | frozenset = frozenset()) -> list[Node]:
    """Every node behind ``roots``, newest first: an order in which each comes before the nodes it was computed from.

    The walk ends at the nodes in ``stop``, which are left out.
    """
    seen = {*stop, *roots}
    stack = [node for node in roots if node not in stop]
    while stack:
        for edge in stack.pop().edges:
            if edge.__class__ is Node and edge not in seen:
                seen.add(edge)
                stack.append(edge)
    return sorted(seen - stop if stop else seen, key=operator.attrgetter("seq"), reverse=True)


def _needed(nodes: list[Node], targets: set) -> set:
    """The nodes from which a target can be reached; the others' rules need not run."""
    needed = set()
    for node in reversed(nodes):
        if node in targets or any(edge in needed or edge in targets for edge in node.edges if edge is not None):
            needed.add(node)
    return needed


def fit(gradient, like, node: Node, position: int):
    """The one place where a gradient is made to fit its input: broadcast dimensions are summed, the dtype is cast back."""
    shape, dtype = like.shape, like.dtype
    if gradient.shape != shape:
        lead = gradient.ndim - len(shape)
        if lead < 0 or any(n not in (1, m) for n, m in zip(shape, gradient.shape[lead:])):
            raise ShapeError(
                f"the rule of {node.name} for its argument {node.primitive.argument(position)!r} gives a gradient of a shape "
                f"that the argument's, {shape}, broadcasts to: got {gradient.shape}"
            )
        axes = (*range(lead), *(i + lead for i, n in enumerate(shape) if n == 1 and gradient.shape[i + lead] != 1))
        if isinstance(gradient, Tensor):
            gradient = gradient.sum(axes).reshape(shape)
        else:
            from .ops.reduction import total

            gradient = total.forward(gradient, axes, False).reshape(shape)
    if gradient.dtype != dtype:
        gradient = gradient.to(dtype) if isinstance(gradient, Tensor) else gradient.astype(dtype)
    return gradient


def _run(roots: list[tuple], retain_graph: bool, create_graph: bool, targets: set | None = None, stop: bool = False) -> dict:
    """Let gradients flow from ``roots``, pairs of (node or leaf, gradient).

    Args:
        targets: the nodes and leaves whose gradients are wanted; all leaves where left out.
        stop: take the targets for the beginning of the graph: neither their hooks nor anything behind them is run.

    Returns:
        the gradient of each target: plain arrays, or Tensors under ``create_graph``. One array may stand for several of them.
    """
    observers = state.observers
    for observer in observers:
        observer.on_pass(roots)
    results: dict | None = None
    try:
        results = _walk(roots, retain_graph, create_graph, targets, stop)
        return results
    finally:
        for observer in observers:
            observer.on_pass_end(results)


def _walk(roots: list[tuple], retain_graph: bool, create_graph: bool, targets: set | None, stop: bool) -> dict:
    """What :func:`_run` does, unobserved."""
    nodes = reachable([place for place, _ in roots if place.__class__ is Node], targets if stop and targets else frozenset())
    wanted = set() if targets is None else _needed(nodes, targets)  # the nodes whose rules need to run, where not all do
    flowing: dict = {}  # gradients on their way, by the node or leaf they belong to
    owned: set = set()  # places whose gradient is an array of ours that nobody else can see
    for place, gradient in roots:
        flowing[place] = flowing[place] + gradient if place in flowing else gradient
    results: dict = {}
    guard = aliasing.written or aliasing.lent
    for node in nodes:
        g = flowing.pop(node, None)
        if g is None:
            continue
        if node.extra is not None:
            if "hooks" in node.extra:
                g = _apply_hooks(node.extra["hooks"], g, node)
            if "retain" in node.extra:
                _store_retained(node.extra["retain"], g)
        if targets is not None:
            if node in targets:
                results[node] = g
            if node not in wanted or not any(e in wanted or e in targets for e in node.edges if e is not None):
                continue
        if node.saved is None:
            raise GraphError(
                f"this graph was already used by a backward pass, which freed what {node.name} saved: "
                "pass retain_graph=True to the first backward, or compute the forward pass again"
            )
        if guard:
            aliasing.check_saved(node, create_graph)
        edges = node.edges
        if create_graph:
            gradients = node.primitive.gradients_on_tape(node, g, functools.partial(_stand_in, node))
        else:
            gradients = node.primitive.gradients(node, g)
        if state.observers:
            gradients = _observed(node, g, gradients)
        for i, gradient in gradients:
            edge = edges[i]
            if gradient is None or (targets is not None and edge not in wanted and edge not in targets):
                continue
            like = edge if edge.__class__ is Node else edge._data
            try:
                fits = gradient.shape == like.shape and gradient.dtype is like.dtype
            except AttributeError:
                raise UsageError(
                    f"the rule of {node.name} for its argument {node.primitive.argument(i)!r} returns an array or None: "
                    f"got {type(gradient).__name__}"
                ) from None
            if not fits:
                gradient = fit(gradient, like, node, i)
            if gradient.__class__ is Part:
                whole = flowing.pop(edge, None)
                if whole is None:
                    whole = np.zeros(gradient.shape, gradient.dtype)
                elif edge not in owned and not (sys.getrefcount(whole) < aliasing.UNSHARED and _is_plain(whole)):
                    whole = np.array(whole)
                owned.add(edge)
                gradient.add_to(whole)
                flowing[edge] = whole
            elif edge not in flowing:
                flowing[edge] = gradient
            else:
                before = flowing.pop(edge)
                if edge in owned:
                    before += gradient
                elif not create_graph and sys.getrefcount(before) < aliasing.UNSHARED and _is_plain(before):
                    before += gradient  # this name alone holds the array
                    owned.add(edge)
                else:
                    before = before + gradient
                    if not create_graph and gradient.shape:
                        owned.add(edge)
                flowing[edge] = before
        if not retain_graph:
            node.saved = None
            if node.extra is not None:
                node.extra.pop("args", None)
    if targets is None:
        return flowing
    results.update((place, g) for place, g in flowing.items() if place in targets)
    return results


def between(output: Tensor, places: list, g, create_graph: bool) -> list:
    """The gradients at ``places`` (nodes or leaves) that flow from ``output`` through what lies between; None where none does.

    For a graph that stands in for one operation of another: what is behind the places, and their hooks, belong to that other.
    """
    if not output._requires_grad:
        return [None] * len(places)
    with set_grad_enabled(create_graph):
        found = _run([(_place(output), g)], create_graph, create_graph, set(places), stop=True)
    return [found.get(place) for place in places]


def _is_plain(array) -> bool:
    """Whether it can be written to, and is no view of memory that others may see."""
    return isinstance(array, np.ndarray) and array.base is None and array.flags.writeable


def _observed(node, g, gradients):
    gradients = [(i, _fitted(part.whole() if part.__class__ is Part else part, node, i)) for i, part in gradients]
    for observer in state.observers:
        observer.on_backward(node, g, gradients)
    return gradients


def _fitted(gradient, node: Node, position: int):
    """What is added at the edge; whatever is no gradient is left for :func:`_walk` to refuse."""
    if not isinstance(gradient, (np.ndarray, np.generic, Tensor)):
        return gradient
    edge = node.edges[position]
    return fit(gradient, edge if edge.__class__ is Node else edge._data, node, position)


def _stand_in(node: Node, name: str, value):
    """A saved value as a Tensor of the graph: an argument at its edge, the output at the node itself, the rest as it is."""
    if name == "out":
        place = node
    elif name in node.primitive.argnames:
        place = node.edges[node.primitive.argnames.index(name)]
    else:
        return value
    if place is None:
        return wrap(value) if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind == "f" else value
    if isinstance(place, Tensor):
        if place._data is value or place.dtype == value.dtype:
            return place
        return place.to(value.dtype)  # the operation saw it promoted
    result = wrap(value, requires_grad=True)
    result._node = place
    return result if place.dtype == value.dtype else _recast(value, place)


def _recast(value, place: Node):
    """A promoted copy that an operation saw, tied again to the node of the tensor it was cast from."""
    source = wrap(value.astype(place.dtype), requires_grad=True)
    source._node = place
    return source.to(value.dtype)


# -- backward and grad --------------------------------------------------------------------------------------------------


def _seed(output: Tensor, gradient, create_graph: bool):
    """The gradient to start from at ``output``, checked."""
    if gradient is None:
        if output._data.size != 1:
            raise ShapeError(
                f"backward() without a gradient needs a tensor of one element: got shape {output.shape}; "
                "reduce it with .sum() or .mean(), or pass gradient="
            )
        seed = np.ones(output.shape, output.dtype)
        return wrap(seed) if create_graph else seed
    if not isinstance(gradient, (Tensor, np.ndarray, np.generic)):
        raise DTypeError(f"the gradient is a Tensor of shape {output.shape}: got {type(gradient).__name__}")
    if gradient.shape != output.shape:
        raise ShapeError(f"the gradient has its tensor's shape {output.shape}: got {gradient.shape}")
    if create_graph:
        gradient = gradient if isinstance(gradient, Tensor) else wrap(gradient)
        return gradient if gradient.dtype == output.dtype else gradient.to(output.dtype)
    array = gradient._data if isinstance(gradient, Tensor) else gradient
    return np.asarray(array, output.dtype)


def _place(t: Tensor):
    """Where a tensor's gradient arrives: its node, or the leaf itself."""
    return t if t._node is None else t._node


def _roots(outputs: list, gradients: list, create_graph: bool) -> list[tuple]:
    """Where to start, and from what gradients."""
    if len(outputs) != len(gradients):
        raise UsageError(
            f"each output has one gradient (None for 1): got {len(outputs)} outputs and {len(gradients)} gradients"
        )
    return [(_place(t), _seed(t, g, create_graph)) for t, g in zip(outputs, gradients)]


def backward(tensors, gradients=None, retain_graph: bool | None = None, create_graph: bool = False) -> None:
    """Add the gradients of one tensor, or of the sum of several, to the ``grad`` of every leaf behind them.

    See :meth:`Tensor.backward`; with several tensors, ``gradients`` is a sequence as long as ``tensors``.
    """
    one = isinstance(tensors, Tensor)
    outputs = [tensors] if one else list(tensors)
    for output in outputs:
        if not output._requires_grad:
            raise GraphError(
                "backward() needs a result that was recorded: this tensor does not require gradients; "
                "give an input requires_grad=True, and compute outside no_grad()"
            )
    seeds = [gradients] if one else [None] * len(outputs) if gradients is None else list(gradients)
    roots = _roots(outputs, seeds, create_graph)
    recording, state.recording = state.recording, create_graph
    try:
        with np.errstate(all="ignore"):
            results = _run(roots, create_graph if retain_graph is None else retain_graph, create_graph)
            for leaf in list(results):
                g = results.pop(leaf)
                if leaf._hooks:
                    g = _apply_hooks(leaf._hooks, g, leaf)
                # Ours only where this name alone holds it: not a value that a rule read, another leaf's, or what was passed in.
                ours = sys.getrefcount(g) < aliasing.UNSHARED
                _accumulate(leaf, g, ours)
    finally:
        state.recording = recording


def _accumulate(leaf: Tensor, g, ours: bool) -> None:
    """Add ``g`` to ``leaf.grad``, which never shares memory with any other tensor; ``ours``, that nothing else holds ``g``."""
    before = leaf._grad
    if isinstance(g, Tensor):  # create_graph: the gradient keeps its history
        leaf._grad = g.clone() if before is None else before + g
    elif before is None:
        alone = ours and isinstance(g, np.ndarray) and g.base is None and g.flags.c_contiguous and g.flags.writeable
        leaf._grad = wrap(g if alone else np.array(g, order="C"))
    elif before._node is None and isinstance(before._data, np.ndarray) and before._data.flags.writeable:
        aliasing.note_write(before._data)
        np.add(before._data, g, out=before._data)
    else:
        leaf._grad = wrap(np.asarray(before._data + g))


def grad(outputs, inputs, grad_outputs=None, retain_graph=None, create_graph=False, allow_unused=False):
    """The gradients of ``outputs`` (or of their sum) with respect to ``inputs``, leaving every ``.grad`` alone.

    Args:
        outputs, inputs: a Tensor or a sequence of Tensors.
        grad_outputs: d(objective)/d(output) for each output; may be left out for outputs of one element.
        retain_graph: keep the saved values for another pass; as ``create_graph`` where left out.
        create_graph: record the computation, so that the results can be differentiated again.
        allow_unused: give None for an input that the outputs do not depend on, instead of an error.

    Returns:
        a tuple of Tensors, one per input.

    Raises:
        GraphError: if an output or input does not require gradients, or an input does not take part.
    """
    outputs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    inputs = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    if grad_outputs is None:
        grad_outputs = [None] * len(outputs)
    elif isinstance(grad_outputs, (Tensor, np.ndarray, np.generic)):
        grad_outputs = [grad_outputs]
    for what, tensors in (("output", outputs), ("input", inputs)):
        for i, t in enumerate(tensors):
            if not (isinstance(t, Tensor) and t._requires_grad):
                raise GraphError(f"grad() needs tensors that require gradients: {what} {i} does not; set requires_grad=True")
    roots = _roots(outputs, list(grad_outputs), create_graph)
    targets = {_place(t) for t in inputs}
    retain = create_graph if retain_graph is None else retain_graph
    with set_grad_enabled(create_graph), np.errstate(all="ignore"):
        results = _run(roots, retain, create_graph, targets)
        found = []
        for i, t in enumerate(inputs):
            g = results.get(_place(t))
            if g is None:
                if not allow_unused:
                    raise GraphError(f"input {i} does not take part in the outputs: pass allow_unused=True to get None for it")
                found.append(None)
                continue
            if t._node is None and t._hooks:
                g = _apply_hooks(t._hooks, g, t)
            found.append(g.clone() if isinstance(g, Tensor) else wrap(np.array(g, order="C")))
    return tuple(found)


# -- hooks and intermediate gradients -----------------------------------------------------------------------------------


def register_hook(t: Tensor, hook) -> RemovableHandle:
    """See :meth:`Tensor.register_hook`."""
    if not t._requires_grad:
        raise GraphError("a hook waits for a gradient, and this tensor does not require one: set requires_grad=True first")
    if t._node is None:
        t._hooks = hooks = t._hooks if t._hooks is not None else {}
    else:
        t._node.extra = extra = t._node.extra if t._node.extra is not None else {}
        hooks = extra.setdefault("hooks", {})
    return add_hook(hooks, hook)


def retain_grad(t: Tensor) -> None:
    """See :meth:`Tensor.retain_grad`."""
    if not t._requires_grad:
        raise GraphError("retain_grad() needs a tensor that requires gradients: this one does not")
    if t._node is not None:
        t._node.extra = extra = t._node.extra if t._node.extra is not None else {}
        extra["retain"] = weakref.ref(t)


def _store_retained(reference, g) -> None:
    t = reference()
    if t is not None:
        _accumulate(t, g, ours=False)


def _apply_hooks(hooks: dict, g, place):
    """``g`` as the hooks leave it. Each sees a copy, and what one returns is copied, for either may be kept by the user."""
    for hook in list(hooks.values()):
        replaced = hook(g if isinstance(g, Tensor) else wrap(np.array(g)))
        if replaced is None:
            continue
        if not isinstance(replaced, Tensor) or replaced.shape != place.shape:
            what = replaced.shape if isinstance(replaced, Tensor) else type(replaced).__name__
            raise ShapeError(f"a hook returns None or a Tensor of the gradient's shape {place.shape}: got {what}")
        g = replaced.to(place.dtype) if isinstance(g, Tensor) else np.array(replaced._data, dtype=place.dtype)
    return g


__all__ = [
    "RemovableHandle",
    "add_hook",
    "backward",
    "between",
    "enable_grad",
    "grad",
    "is_grad_enabled",
    "no_grad",
    "reachable",
    "register_hook",
    "retain_grad",
    "set_grad_enabled",
]
