"""The tape: how gradients flow back.

:func:`backward` collects the nodes behind a tensor, visits them from the newest to the oldest, and lets each one's rules
turn the gradient of its output into gradients of its inputs. Everything is iterative, so a chain of 100,000 operations is
as good as one of ten. With ``create_graph`` the same rules run on Tensors, and the backward pass is itself on the tape.
"""

from __future__ import annotations

import contextlib
import functools
import weakref

import numpy as np

from . import aliasing
from .errors import DTypeError, GraphError, ShapeError
from .primitive import Node, state
from .tensor import Tensor, wrap

# -- switching the tape on and off --------------------------------------------------------------------------------------


class _Recording(contextlib.ContextDecorator):
    """Sets whether operations are recorded; a context manager and a decorator, nestable and re-entrant."""

    wanted = True

    def __init__(self, function=None):
        self._before: list[bool] = []

    def __new__(cls, function=None):
        self = super().__new__(cls)
        if function is None:
            return self
        self.__init__()
        return self(function)  # @no_grad without parentheses

    def __enter__(self):
        self._before.append(state.recording)
        state.recording = self.wanted

    def __exit__(self, *exc_info):
        state.recording = self._before.pop()


class no_grad(_Recording):
    """Context manager and decorator: operations inside are not recorded."""

    wanted = False


class enable_grad(_Recording):
    """Context manager and decorator: operations inside are recorded, even within :class:`no_grad`."""

    wanted = True


class set_grad_enabled(_Recording):
    """Context manager that records operations if ``mode`` says so; takes effect at once, as in PyTorch."""

    def __new__(cls, mode: bool):
        return object.__new__(cls)

    def __init__(self, mode: bool):
        self._before = [state.recording]
        self.wanted = state.recording = bool(mode)

    def __enter__(self):
        state.recording = self.wanted


def is_grad_enabled() -> bool:
    """Whether operations are being recorded in this thread."""
    return state.recording


# -- the walk -----------------------------------------------------------------------------------------------------------


def reachable(roots: list[Node]) -> list[Node]:
    """Every node behind ``roots``, newest first: an order in which each comes before the nodes it was computed from."""
    seen = set(roots)
    stack = list(roots)
    while stack:
        for edge in stack.pop().edges:
            if edge.__class__ is Node and edge not in seen:
                seen.add(edge)
                stack.append(edge)
    return sorted(seen, key=_seq, reverse=True)


def _seq(node: Node) -> int:
    return node.seq


def _needed(nodes: list[Node], targets: set) -> set:
    """The nodes from which a target can be reached; the others' rules need not run."""
    needed = set()
    for node in reversed(nodes):
        if node in targets or any(edge in needed or edge in targets for edge in node.edges if edge is not None):
            needed.add(node)
    return needed


def fit(gradient, shape, dtype):
    """The one place where a gradient is made to fit its input: broadcast dimensions are summed, the dtype is cast back."""
    if gradient.shape != shape:
        lead = gradient.ndim - len(shape)
        axes = tuple(range(lead)) + tuple(
            i + lead for i, n in enumerate(shape) if n == 1 and gradient.shape[i + lead] != 1
        )
        if isinstance(gradient, Tensor):
            from .ops import reshape, sum as sum_

            gradient = reshape(sum_(gradient, axes), shape)
        else:
            gradient = np.add.reduce(gradient, axis=axes).reshape(shape)
    if gradient.dtype != dtype:
        gradient = gradient.to(dtype) if isinstance(gradient, Tensor) else gradient.astype(dtype)
    return gradient


def _run(roots: list[tuple], retain_graph: bool, create_graph: bool, targets: set | None = None) -> dict:
    """Let gradients flow from ``roots``, pairs of (node or leaf, gradient).

    Returns:
        the gradient of each leaf reached, or of each of ``targets`` (nodes and leaves) where given: plain arrays, or Tensors
        under ``create_graph``. One array may stand for several of them.
    """
    nodes = reachable([place for place, _ in roots if place.__class__ is Node])
    wanted = None if targets is None else _needed(nodes, targets)
    flowing: dict = {}  # gradients on their way, by the node or leaf they belong to
    owned: set = set()  # places whose gradient is an array of ours that nobody else can see
    for place, gradient in roots:
        flowing[place] = flowing[place] + gradient if place in flowing else gradient
    results: dict = {}
    guard = aliasing.written or aliasing.exposed
    for node in nodes:
        g = flowing.pop(node, None)
        if g is None:
            continue
        if node.extra is not None and "hooks" in node.extra:
            g = _apply_hooks(node.extra["hooks"], g, node.shape)
        if node.extra is not None and "retain" in node.extra:
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
            aliasing.check_saved(node)
        edges = node.edges
        if create_graph:
            gradients = node.primitive.gradients_on_tape(node, g, functools.partial(_stand_in, node))
        else:
            gradients = node.primitive.gradients(node, g)
        if state.observers:
            gradients = _observed(node, g, gradients)
        for i, gradient in gradients:
            edge = edges[i]
            if gradient is None or (wanted is not None and edge not in wanted and edge not in targets):
                continue
            if edge.__class__ is Node:
                if gradient.shape != edge.shape or gradient.dtype is not edge.dtype:
                    gradient = fit(gradient, edge.shape, edge.dtype)
            else:
                if gradient.shape != edge._data.shape or gradient.dtype is not edge._data.dtype:
                    gradient = fit(gradient, edge._data.shape, edge._data.dtype)
                if not create_graph and any(gradient is value for value in node.saved):
                    gradient = np.array(gradient)  # a rule that returns what it read
            if edge not in flowing:
                flowing[edge] = gradient
            elif edge in owned:
                flowing[edge] += gradient
            else:
                flowing[edge] = flowing[edge] + gradient
                if not create_graph and gradient.shape:
                    owned.add(edge)
        if not retain_graph:
            node.saved = None
            if node.extra is not None:
                node.extra.pop("args", None)
    if targets is None:
        results = flowing
    else:
        results.update((place, g) for place, g in flowing.items() if place in targets)
    return results


def _observed(node, g, gradients):
    gradients = [(i, gradient) for i, gradient in gradients]
    for observer in state.observers:
        observer.on_backward(node, g, gradients)
    return gradients


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


def backward(tensors, gradients=None, retain_graph: bool | None = None, create_graph: bool = False) -> None:
    """Add the gradients of one tensor, or of the sum of several, to the ``grad`` of every leaf behind them.

    See :meth:`Tensor.backward`; with several tensors, ``gradients`` is a sequence as long as ``tensors``.
    """
    outputs = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    seeds = [gradients] if isinstance(tensors, Tensor) else list(gradients or [None] * len(outputs))
    for output in outputs:
        if not output._requires_grad:
            raise GraphError(
                "backward() needs a result that was recorded: this tensor does not require gradients; "
                "give an input requires_grad=True, and compute outside no_grad()"
            )
    roots = [(_place(t), _seed(t, g, create_graph)) for t, g in zip(outputs, seeds, strict=True)]
    retain = create_graph if retain_graph is None else retain_graph
    with set_grad_enabled(create_graph), np.errstate(all="ignore"):
        results = _run(roots, retain, create_graph)
        handed = {id(g) for _, g in roots}
        for leaf, g in results.items():
            if leaf._hooks:
                g = _apply_hooks(leaf._hooks, g, leaf.shape)
            _accumulate(leaf, g, fresh=id(g) not in handed)
            handed.add(id(g))


def _accumulate(leaf: Tensor, g, fresh: bool) -> None:
    """Add ``g`` to ``leaf.grad``, which never shares memory with any other tensor."""
    if isinstance(g, Tensor):  # create_graph: the gradient keeps its history
        leaf._grad = g if leaf._grad is None else leaf._grad + g
    elif leaf._grad is None:
        alone = fresh and isinstance(g, np.ndarray) and g.base is None and g.flags.c_contiguous and g.flags.writeable
        leaf._grad = wrap(g if alone else np.array(g, order="C"))
    elif leaf._grad._node is not None:
        leaf._grad = leaf._grad + wrap(g)
    else:
        aliasing.note_write(leaf._grad._data)
        leaf._grad._data = np.add(leaf._grad._data, g, out=np.asarray(leaf._grad._data))


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
    if grad_outputs is None or isinstance(grad_outputs, (Tensor, np.ndarray)):
        grad_outputs = [grad_outputs] * (1 if grad_outputs is not None else len(outputs))
    for what, tensors in (("output", outputs), ("input", inputs)):
        for i, t in enumerate(tensors):
            if not (isinstance(t, Tensor) and t._requires_grad):
                raise GraphError(f"grad() needs tensors that require gradients: {what} {i} does not; set requires_grad=True")
    roots = [(_place(t), _seed(t, g, create_graph)) for t, g in zip(outputs, grad_outputs, strict=True)]
    targets = {_place(t) for t in inputs}
    retain = create_graph if retain_graph is None else retain_graph
    with set_grad_enabled(create_graph), np.errstate(all="ignore"):
        results = _run(roots, retain, create_graph, targets)
        found = []
        for i, t in enumerate(inputs):
            g = results.get(_place(t))
            if g is None and not allow_unused:
                raise GraphError(f"input {i} does not take part in the outputs: pass allow_unused=True to get None for it")
            if g is not None and t._node is None and t._hooks:
                g = _apply_hooks(t._hooks, g, t.shape)
            found.append(g if g is None or isinstance(g, Tensor) else wrap(np.array(g, order="C")))
    return tuple(found)


# -- hooks and intermediate gradients -----------------------------------------------------------------------------------


class RemovableHandle:
    """What registering a hook returns; ``remove()`` takes the hook away again. Also a context manager."""

    def __init__(self, hooks: dict, key: int):
        self._hooks = hooks
        self._key = key

    def remove(self) -> None:
        """Take the hook away; harmless if it is gone already."""
        self._hooks.pop(self._key, None)

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.remove()


def add_hook(hooks: dict, hook) -> RemovableHandle:
    """Put ``hook`` behind the others in ``hooks``."""
    key = max(hooks, default=-1) + 1
    hooks[key] = hook
    return RemovableHandle(hooks, key)


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
        _accumulate(t, g, fresh=False)


def _apply_hooks(hooks: dict, g, shape):
    on_tape = isinstance(g, Tensor)
    for hook in list(hooks.values()):
        replaced = hook(g if on_tape else wrap(np.array(g)))
        if replaced is not None:
            if not isinstance(replaced, Tensor) or replaced.shape != shape:
                what = replaced.shape if isinstance(replaced, Tensor) else type(replaced).__name__
                raise ShapeError(f"a hook returns None or a Tensor of the gradient's shape {shape}: got {what}")
            g = replaced if on_tape else replaced._data
    return g
