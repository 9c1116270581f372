"""A primitive: a value, one gradient rule per argument, and a formula, stated together and once.

    @primitive(r"a \\odot b", promote=True)
    def mul(a, b):
        return np.multiply(a, b)

    mul.vjp(
        a=lambda g, b: g * b,
        b=lambda g, a: g * a,
    )

A rule names what it reads: ``g``, the upstream gradient; ``out``, the output; any argument; or ``<argument>_shape``, when its
shape is enough. From these names the tape knows what to keep alive until the backward pass, and keeps nothing else. Rules are
pure functions written in NumPy: on arrays they compute, on Tensors they record, and so the same rule gives the second
derivative. Summing a broadcast gradient back to its input's shape and casting it to its input's dtype happen in the tape,
never in a rule.

A **fused** primitive has a forward in one kernel, one backward for all its arguments, and a ``reference``: the same function
composed of plain primitives, which documents it, tests it, and runs in its place for second derivatives.

    @fused(r"...", reference=layer_norm_reference)
    def layer_norm(x, weight, bias, eps):
        return out, kept              # whatever the backward wants to find again

    @layer_norm.backward("x", "weight", "bias")
    def _(g, x, weight, kept, needs):
        return gx, gweight, gbias     # None where needs says False

The reference needs every argument, so the tape keeps them all, even those that the backward does not read. Where these are
large, state plain rules besides (``vjp``) that read no more than the backward: second derivatives then follow those rules.
"""

from __future__ import annotations

import functools
import inspect
import threading
from operator import itemgetter
from types import MethodType
from typing import Any

import numpy as np

from . import aliasing
from .errors import GraphError, UsageError
from .promotion import FLOAT32, as_promoted, refusal
from .tensor import Tensor

REGISTRY: dict[str, Primitive] = {}  # every primitive by name: what tests, pictures and documentation walk through


class State(threading.local):
    """What the tape does in this thread. ``observers`` see every operation (anomaly detection, pictures) and are rare."""

    recording = True
    observers: tuple = ()  # of Observer


state = State()
_clock = aliasing.clock
_new = Tensor.__new__
_ARRAYS = frozenset({np.ndarray, np.float32, np.float64, np.int64, np.bool_})  # what a forward nearly always returns


class Node:
    """One recorded operation: which rules to run, what they read, and where their results go.

    ``edges[i]`` is where the gradient of argument i flows: the Node that made it, a leaf Tensor, or None. ``seq`` is the time
    of recording; a node's inputs are always older than itself, so descending ``seq`` is a topological order. A node never
    refers to its own output tensor, so there is no reference cycle, and a graph dies with its last tensor.
    """

    __slots__ = ("__weakref__", "dtype", "edges", "extra", "plan", "saved", "seq", "shape")

    plan: Plan
    saved: Any  # a tuple or list of values; None once a backward pass has consumed it
    edges: list
    shape: tuple  # of the output, and so of the gradient that arrives
    dtype: np.dtype
    seq: int
    extra: Any  # a dict or None: hooks, a tensor that wants its gradient kept, the source line: seldom there

    @property
    def primitive(self) -> Primitive:
        """The operation that this node recorded."""
        return self.plan.primitive

    @property
    def name(self) -> str:
        """The operation's name, as pictures and messages show it."""
        return self.plan.primitive.name

    def __repr__(self) -> str:
        return f"<{self.name}>"


class Part:
    """A gradient that is zero but in one place. A rule may return it where the whole array would be mostly zeros.

    The tape adds it into the gradient that is there already, so that reading a sequence step by step costs no array of the
    sequence's length for each step.

    Args:
        add_to: adds the gradient, in place, to an array of the argument's shape.
        shape, dtype: those of the whole gradient.
    """

    __slots__ = ("add_to", "dtype", "shape")

    def __init__(self, add_to, shape: tuple, dtype: np.dtype):
        self.add_to, self.shape, self.dtype = add_to, shape, dtype

    def whole(self) -> np.ndarray:
        """The gradient as an array of its own."""
        result = np.zeros(self.shape, self.dtype)
        self.add_to(result)
        return result

    def astype(self, dtype) -> np.ndarray:
        """The whole gradient in another dtype."""
        return self.whole().astype(dtype)


class Plan:
    """Which rules of a primitive run when a given set of its arguments requires gradients, and what these rules read.

    Made once for each such set (a bit mask over the arguments) and looked up ever after.
    """

    __slots__ = ("count", "names", "pick", "positions", "primitive", "rules", "shapes", "single")

    def __init__(self, primitive: Primitive, mask: int):
        self.primitive = primitive
        self.positions = [i for i in range(len(primitive.argnames)) if mask >> i & 1]
        readers = primitive.readers_for(self.positions)
        self.names = list(dict.fromkeys(name for _, _, names in readers for name in names))
        # The values a recording can keep, in order: every argument, the output, the kernel's own keepsake, argument shapes.
        self.shapes = tuple(
            i for i, a in enumerate(primitive.argnames) if f"{a}_shape" in self.names and f"{a}_shape" not in primitive.argnames
        )
        available = [*primitive.argnames, "out", "kept", *(f"{primitive.argnames[i]}_shape" for i in self.shapes)]
        self.pick: Any = itemgetter(*(available.index(name) for name in self.names)) if self.names else None
        self.single = len(self.names) == 1  # itemgetter then gives the value alone
        self.count = len(primitive.argnames)
        #: (argument position, or several for a fused rule; rule; where its values are in ``saved``, None for all in order)
        self.rules = []
        for i, rule, names in readers:
            self.rules.append((i, rule, None if list(names) == self.names else [self.names.index(n) for n in names]))


class Primitive:
    """An operation that the tape can record. Made by :func:`primitive` or :func:`fused`; call it with tensors or arrays."""

    def __init__(
        self, forward, formula: str, promote: bool | str, name: str | None = None, argnames: tuple[str, ...] | None = None
    ):
        self.forward = forward
        self.formula = formula
        self.promote = promote
        self.name = name or forward.__name__.rstrip("_")
        self.argnames = argnames or tuple(inspect.signature(forward).parameters)
        self.rule_of: dict[str, tuple] = {}
        self.plans: dict[int, Plan] = {}
        self.__doc__ = forward.__doc__
        self.__name__ = self.name
        self.__module__ = forward.__module__
        REGISTRY[self.name] = self

    def __repr__(self) -> str:
        return f"<primitive {self.name}: {self.formula}>"

    def __get__(self, instance, owner=None):
        return self if instance is None else MethodType(self, instance)  # so that x.exp() works as for a function

    def vjp(self, **rules) -> None:
        """State the rule of each differentiable argument: ``argument=lambda g, ...: gradient`` (vector-Jacobian product)."""
        for argument, rule in rules.items():
            if argument not in self.argnames:
                raise UsageError(f"{self.name} has no argument {argument!r}: its arguments are {', '.join(self.argnames)}")
            self.rule_of[argument] = (rule, self._reads(rule))

    def argument(self, position: int) -> str | int:
        """The name of an argument, for messages."""
        return self.argnames[position] if position < len(self.argnames) else position

    def _reads(self, rule, *others: str) -> tuple[str, ...]:
        """The names that ``rule`` reads besides g; ``others`` are allowed beyond those that a plain rule may read."""
        names = list(inspect.signature(rule).parameters)
        if names[:1] != ["g"]:
            raise UsageError(f"a rule of {self.name} takes the upstream gradient g first: got {names}")
        known = {*self.argnames, "out", *(f"{a}_shape" for a in self.argnames), *others}
        for name in names[1:]:
            if name not in known:
                raise UsageError(f"a rule of {self.name} reads {name!r}, which is neither g, out, nor one of {self.argnames}")
        return tuple(names[1:])

    def readers_for(self, positions):
        """(position, rule, names it reads) for each of the arguments that require a gradient."""
        readers = []
        for i in positions:
            argument = self.argnames[i]
            if argument not in self.rule_of:
                raise GraphError(f"{self.name} has no gradient rule for its argument {argument!r}: pass it detached")
            readers.append((i, *self.rule_of[argument]))
        return readers

    def __call__(self, *args):
        raw = [a._data if isinstance(a, Tensor) else a for a in args]
        try:
            out = self.forward(*raw)
            if self.promote and out.dtype is not FLOAT32:  # float32 is always right; anything else follows PyTorch's table
                # A NumPy scalar counts as a Python number, as in PyTorch; the value of a tensor without dimensions does not.
                raw = [a.item() if isinstance(a, np.generic) else r for a, r in zip(args, raw)]
                out, raw = as_promoted(self.forward, raw, out, self.promote)
        except (ValueError, TypeError, OverflowError, AttributeError) as error:
            raise refusal(self.name, raw if self.promote else raw[:1], error) from None
        if out.__class__ not in _ARRAYS and not isinstance(out, (np.ndarray, np.generic)):
            raise UsageError(f"{self.name} is a function from arrays to an array: it returned {type(out).__name__}")
        return self.finish(args, raw, out, None)

    def finish(self, args, raw, out, kept):
        """Wrap ``out`` in a Tensor, recorded on the tape where an argument requires gradients."""
        result = _new(Tensor)
        result._data = out
        result._grad = result._node = result._hooks = None
        result._requires_grad = False
        if state.recording:
            mask = 0
            edges = []
            bit = 1
            for a in args:
                if isinstance(a, Tensor) and a._requires_grad:
                    mask += bit
                    edges.append(a._node or a)
                else:
                    edges.append(None)
                bit += bit
            if mask:
                result._requires_grad = True
                result._node = self.record(mask, edges, raw, out, kept)
                if aliasing.written or aliasing.lent:
                    aliasing.on_record(result._node, args)
        if state.observers:
            for observer in state.observers:
                observer.on_forward(self, args, result)
        return result

    def record(self, mask, edges, raw, out, kept):
        """A Node holding just what the rules of the arguments in ``mask`` read."""
        plan = self.plans.get(mask)
        if plan is None:
            plan = self.plans[mask] = Plan(self, mask)
        node = Node()
        node.plan = plan
        node.edges = edges
        node.extra = None
        node.shape = out.shape
        node.dtype = out.dtype
        node.seq = next(_clock)
        if plan.names:
            if len(raw) != plan.count:
                raise UsageError(f"{self.name} takes its arguments in full here: {', '.join(self.argnames)}; got {len(raw)}")
            values = [*raw, out, kept]
            if plan.shapes:
                values += [np.shape(raw[i]) for i in plan.shapes]
            node.saved = (plan.pick(values),) if plan.single else plan.pick(values)
        else:
            node.saved = ()
        return node

    def on(self, *args):
        """For use in rules: arrays give an array, any Tensor among the arguments gives a recorded Tensor."""
        if any(isinstance(a, Tensor) for a in args):
            return self(*args)
        return self.forward(*args)

    def gradients(self, node: Node, g):
        """(argument position, gradient) for each argument of ``node`` that wants one, on plain arrays."""
        saved = node.saved
        for i, rule, reads in node.plan.rules:
            yield i, rule(g, *saved) if reads is None else rule(g, *[saved[k] for k in reads])

    def gradients_on_tape(self, node: Node, g: Tensor, stand_in):
        """The same on Tensors, recorded: ``stand_in(name, value)`` gives each saved value back as a Tensor of the graph."""
        plan = node.plan
        values = [stand_in(name, value) for name, value in zip(plan.names, node.saved or ())]
        for i, rule, reads in plan.rules:
            yield i, rule(g, *values) if reads is None else rule(g, *[values[k] for k in reads])


class Fused(Primitive):
    """A primitive with one kernel forward, one kernel backward, and a reference composed of plain primitives."""

    def __init__(self, forward, formula: str, reference, name: str | None = None):
        super().__init__(forward, formula, False, name)
        self.reference = reference
        self.differentiable: tuple[str, ...] = ()
        self._backward: Any = None
        self._backward_reads: tuple[str, ...] = ()

    def backward(self, *arguments: str):
        """Decorator for the one function that gives the gradients of ``arguments``, in their order.

        It reads by name, as a rule does, and may read ``needs`` last: for each of ``arguments``, whether a gradient is wanted.
        """

        def register(function):
            self.differentiable = arguments
            self._backward = function
            self._backward_reads = self._reads(function, "kept", "needs")
            if "needs" in self._backward_reads[:-1]:
                raise UsageError(f"the backward of {self.name} takes needs last: got {', '.join(self._backward_reads)}")
            return function

        return register

    def vjp(self, **rules) -> None:
        """State plain rules, from which second derivatives come in the reference's place; see the module's docstring."""
        super().vjp(**rules)
        if missing := set(self.differentiable) - set(rules):
            raise UsageError(f"{self.name} needs a rule for each of {self.differentiable}: got none for {', '.join(missing)}")
        for argument in rules:
            for name in self.rule_of[argument][1]:
                if name not in self._backward_reads:
                    raise UsageError(f"a rule of {self.name} reads only what its backward reads: got {name!r}")

    def readers_for(self, positions):
        wanted = [self.argnames[i] for i in positions]
        if refused := [a for a in wanted if a not in self.differentiable]:
            raise GraphError(f"{self.name} has no gradient for its argument {refused[0]!r}: pass it detached")
        rule, names = self._backward, self._backward_reads
        if "needs" in names:
            rule, names = functools.partial(rule, needs=tuple(a in wanted for a in self.differentiable)), names[:-1]
        return [([(i, self.differentiable.index(a)) for i, a in zip(positions, wanted)], rule, names)]

    def __call__(self, *args):
        raw = [a._data if isinstance(a, Tensor) else a for a in args]
        out, kept = self.forward(*raw)
        return self.finish(args, raw, out, kept)

    def on(self, *args):
        if any(isinstance(a, Tensor) for a in args):
            return self(*args)
        return self.forward(*args)[0]

    def gradients(self, node: Node, g):
        ((places, rule, _),) = node.plan.rules
        results = rule(g, *node.saved)
        for i, k in places:
            yield i, results[k]

    def record(self, mask, edges, raw, out, kept):
        node = super().record(mask, edges, raw, out, kept)
        if not self.rule_of:
            node.extra = {"args": raw}  # the reference needs them all, should someone ask for a second derivative
        return node

    def gradients_on_tape(self, node: Node, g: Tensor, stand_in):
        from .autograd import between

        positions = node.plan.positions
        if self.rule_of:
            values = {name: stand_in(name, value) for name, value in zip(node.plan.names, node.saved)}
            for i in positions:
                rule, names = self.rule_of[self.argnames[i]]
                yield i, rule(g, *[values[name] for name in names])
            return
        args = list(node.extra["args"])
        for i in positions:  # a stand-in of its own for each argument, even where one tensor is passed twice
            args[i] = identity(stand_in(self.argnames[i], args[i]))
        found = between(self.reference(*args), [args[i]._node for i in positions], g, create_graph=True)
        yield from zip(positions, found)


def primitive(formula: str, *, promote: bool | str = False, name: str | None = None):
    """Decorator: make a recorded operation out of a function on NumPy arrays.

    Args:
        formula: what it computes, in LaTeX; pictures and messages show it.
        promote: True where the operands follow PyTorch's type promotion (elementwise arithmetic); "float" where integers
            become float32 besides (exp, division).
        name: the public name, where it is not the function's own.

    The function must return a new array or a view, never write to its arguments, and take its arguments by position.
    """
    return lambda forward: Primitive(forward, formula, promote, name)


def fused(formula: str, *, reference, name: str | None = None):
    """Decorator: make a fused operation out of a function that returns ``(out, kept)``; see the module's docstring."""
    return lambda forward: Fused(forward, formula, reference, name)


@primitive(r"x")
def identity(x):
    """The same values under a node of their own."""
    return x.view() if isinstance(x, np.ndarray) else x


identity.vjp(x=lambda g: g)
