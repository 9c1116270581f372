"""Hooks: functions of the user that run before and after a module's forward pass, and in its backward pass."""

from __future__ import annotations

from typing import Any

from ..errors import UsageError
from ..ops import cat
from ..tensor import Tensor


class Hooks:
    """The hooks of one module, each kind in the order of registration."""

    __slots__ = ("after", "backward", "before")

    def __init__(self):
        self.before: dict[int, tuple] = {}  # number -> (hook, whether it wants the keyword arguments)
        self.after: dict[int, tuple] = {}
        self.backward: dict = {}  # number -> hook

    def __deepcopy__(self, memo) -> Hooks:
        copy = Hooks()  # lists of its own, of the same functions
        copy.before, copy.after, copy.backward = dict(self.before), dict(self.after), dict(self.backward)
        return copy

    def call(self, module, args: tuple, kwargs: dict) -> Any:
        """``module.forward(*args, **kwargs)`` with the hooks around it."""
        for hook, with_kwargs in list(self.before.values()):
            replaced = hook(module, args, kwargs) if with_kwargs else hook(module, args)
            if replaced is not None and with_kwargs:
                if not (isinstance(replaced, tuple) and len(replaced) == 2):
                    raise UsageError(f"a pre-hook with_kwargs returns None or (args, kwargs): got {type(replaced).__name__}")
                args, kwargs = replaced
            elif replaced is not None:
                args = _as_tuple(replaced)
        watch = BackwardWatch(module, list(self.backward.values())) if self.backward else None
        if watch:
            args = watch.enter(args)
        result = module.forward(*args, **kwargs)
        for hook, with_kwargs in list(self.after.values()):
            replaced = hook(module, args, kwargs, result) if with_kwargs else hook(module, args, result)
            if replaced is not None:
                result = replaced
        return watch.leave(result) if watch else result


class BackwardWatch:
    """Sees the gradients that reach one call of a module at its outputs, and those that leave it at its inputs.

    It stays alive in the graph of that call, so it must hold no tensor of that graph: that would be a reference cycle.
    """

    def __init__(self, module, hooks: list):
        self.module = module
        self.hooks = hooks
        self.grad_output: tuple = ()
        self.count = 0  # of positional arguments
        self.inputs_want_gradients = False

    def enter(self, args: tuple) -> tuple:
        """The arguments to call ``forward`` with."""
        self.count = len(args)
        self.inputs_want_gradients = any(_wants_gradient(a) for a in args)
        return _through_gate(args, self.on_grad_input)

    def leave(self, result):
        """The result to hand to the caller."""
        if isinstance(result, tuple):
            return _through_gate(result, self.on_grad_output)
        return _through_gate((result,), self.on_grad_output)[0]

    def on_grad_output(self, gradients: tuple) -> tuple:
        self.grad_output = gradients
        if not self.inputs_want_gradients:  # then none will pass there, and this is the time
            self.on_grad_input((None,) * self.count)
        return gradients

    def on_grad_input(self, gradients: tuple) -> tuple:
        for hook in self.hooks:
            replaced = hook(self.module, gradients, self.grad_output)
            if replaced is not None:
                replaced = _as_tuple(replaced)
                if [g is None for g in replaced] != [g is None for g in gradients]:
                    raise UsageError(
                        "a backward hook returns None or a tuple like grad_input, a gradient where that has one: "
                        f"got {_kinds(replaced)} for {_kinds(gradients)}"
                    )
                gradients = replaced
        return gradients


def _through_gate(values: tuple, hook) -> tuple:
    """The same values; the gradients of those that require one pass through one node, and ``hook`` may replace them there.

    The tensors are joined into one vector and cut apart again, so that their gradients arrive together and complete,
    however often each of them is used.
    """
    places = [i for i, v in enumerate(values) if _wants_gradient(v)]
    if not places:
        return values
    tensors = [values[i] for i in places]
    sizes, shapes, dtypes = zip(*[(t.numel(), t.shape, t.dtype) for t in tensors])
    joined = cat([t.reshape(-1) for t in tensors])

    def parts(vector, into: list) -> tuple:
        for i, part, shape, dtype in zip(places, vector.split(sizes), shapes, dtypes):
            into[i] = part.reshape(shape).to(dtype)
        return tuple(into)

    count = len(values)  # the closure below must not hold the values themselves
    joined.register_hook(lambda g: cat([part.reshape(-1) for part in hook(parts(g, [None] * count)) if part is not None]))
    return parts(joined, list(values))


def _wants_gradient(value) -> bool:
    return isinstance(value, Tensor) and value.requires_grad


def _as_tuple(value) -> tuple:
    return value if isinstance(value, tuple) else (value,)


def _kinds(values: tuple) -> str:
    return "(" + ", ".join("None" if v is None else "a gradient" for v in values) + ")"
