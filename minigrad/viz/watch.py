"""What a :class:`~minigrad.viz.Monitor` sees of one training step: modules as they are called, activations, losses, time.

Hooks sit on the modules and an observer on the tape for that one step alone; they look and change nothing.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..anomaly import user_line
from ..nn.recurrent import RNNBase
from ..observer import Observer
from ..ops.heads import parts_of
from ..primitive import state
from ..tensor import Tensor, raw
from . import measures

_LOSSES = ("cross_entropy", "linear_cross_entropy", "nll_loss")
_LAGS = 24  # steps back through time, at most, at which the gradient's norm is kept


class Watch(Observer):
    """One step under observation, from :meth:`open` to :meth:`close`; then its findings are in the attributes.

    Args:
        paths: every module's path in the model.

    Attributes:
        order: the modules' paths as they were first called.
        outputs: by module, mean and standard deviation of what it returned, one pair per call.
        shares: by (kind, place), numbers between 0 and 1: "saturated" or "entropy".
        units: by place, which units of a rectifier were alive, over all its calls.
        losses: (mean loss of a target, classes, source line) of each cross-entropy.
        lines: by place, the source line that ran there.
        flow: by recurrent layer, [(lag, norm of dL/dh)] from the last step backwards.
        places: by place, how many modules had been called before it: its depth.
        broken: (operation, place, source line) of the first value that was not finite although what went in was.
    """

    def __init__(self, paths: dict[Any, str]):
        self.paths = paths
        self.order: list[str] = []
        self.outputs: dict[str, list[tuple[float, float]]] = {}
        self.shares: dict[tuple[str, str], list[float]] = {}
        self.units: dict[str, np.ndarray] = {}
        self.losses: list[tuple[float, int, str]] = []
        self.lines: dict[str, str] = {}
        self.places: dict[str, int] = {}
        self.flow: dict[str, list[tuple[int, float]]] = {}
        self.broken: tuple[str, str, str] | None = None
        self.outermost: set[str] = set()  # places behind which no module with parameters is called
        self._parametrised = {module for module in paths if next(module.named_parameters(recurse=False), None) is not None}
        self._entered = 0
        self._when: dict[str, int] = {}  # by place, how many modules with parameters were called before it
        self._norms: dict[str, list[np.ndarray]] = {}
        self._stack: list[tuple[str, dict[str, int]]] = [("", {})]
        self._handles: list = []

    # -- coming and going -----------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Begin to look."""
        for module, path in self.paths.items():
            self._handles.append(module.register_forward_pre_hook(self._enter))
            self._handles.append(module.register_forward_hook(self._leave))
            if isinstance(module, RNNBase):
                self._handles.append(module.register_gradient_flow_hook(self._flow_hook(path)))
        state.observers = (*state.observers, self)

    def close(self) -> None:
        """Look away, and leave every module as it was."""
        self.rest()
        for handle in self._handles:
            handle.remove()
        self._handles = []
        for module in self.paths:
            hooks = module._hooks
            if hooks is not None and not (hooks.before or hooks.after or hooks.backward):
                module._hooks = None  # calls of the module cost what they did before
        self.outermost = {place for place, count in self._when.items() if count == self._entered}
        for name, batches in self._norms.items():
            self.flow[name] = _by_lag([norms[::-1] for norms in batches] if name.endswith("_reverse") else batches)

    def rest(self) -> None:
        """See no more operations: what is left of the step is the backward pass and the update."""
        state.observers = tuple(o for o in state.observers if o is not self)

    # -- modules --------------------------------------------------------------------------------------------------------

    def _enter(self, module, args) -> None:
        path = self.paths[module]
        self._entered += module in self._parametrised
        if path not in self.outputs and state.recording:
            self.outputs[path] = []
            self.order.append(path)
        self._stack.append((path, {}))

    def _leave(self, module, args, result) -> None:
        path = self.paths[module]
        while len(self._stack) > 1 and self._stack.pop()[0] != path:  # a module that raised never came to its end
            pass
        out = result[0] if isinstance(result, tuple) and result else result
        if state.recording and path and isinstance(out, Tensor) and out.dtype.kind == "f" and out.numel() > 1:
            self.outputs[path].append(measures.spread(raw(out)))

    def _flow_hook(self, path: str):
        norms = self._norms

        def hook(name, values):
            norms.setdefault(f"{path}.{name}" if path else name, []).append(values)

        return hook

    # -- operations -----------------------------------------------------------------------------------------------------

    def on_forward(self, primitive, args, result) -> None:
        """Called with every operation's result."""
        if not state.recording:  # a validation between two steps
            return
        look = _LOOKS.get(primitive.name)
        if look is not None:
            look(self, primitive, args, result)
        elif self.broken is None and result._data.dtype.kind == "f" and result._data.size < 1 << 12:
            self._check(primitive, args, result)  # the small results: losses, sums and their like

    def on_pass(self, roots) -> None:
        """Called when a backward pass begins, which need not pay for being watched."""
        self.rest()

    def _check(self, primitive, args, result) -> None:
        if np.isfinite(result._data).all() or self.broken is not None:
            return
        for a in args:
            values = a._data if isinstance(a, Tensor) else a
            if isinstance(values, (np.ndarray, np.generic)) and values.dtype.kind == "f" and not np.isfinite(values).all():
                return
        line = user_line()
        self.broken = (primitive.name, self._stack[-1][0], line)

    def _place(self, name: str) -> str:
        path, counts = self._stack[-1]  # numbered within one call of a module: the calls of a step share their places
        number = counts[name] = counts.get(name, 0) + 1
        place = f"{path or '(model)'}/{name}" + (f" {number}" if number > 1 else "")
        if place not in self.lines:
            self.lines[place] = user_line()
            self.places[place] = len(self.order)
        self._when[place] = self._entered
        return place

    def _rectifier(self, primitive, args, result) -> None:
        place = self._place(primitive.name)
        found = measures.alive(raw(result))
        before = self.units.get(place)
        self.units[place] = found if before is None or before.shape != found.shape else before | found

    def _squashing(self, primitive, args, result) -> None:
        centre, scale = (0.5, 0.5) if primitive.name == "sigmoid" else (0.0, 1.0)
        if raw(result).size > 1:
            share = measures.saturated(raw(result), centre, scale)
            self.shares.setdefault(("saturated", self._place(primitive.name)), []).append(share)

    def _recurrent(self, primitive, args, result) -> None:
        place, out = self._place(primitive.name), raw(result)
        if primitive.name == "rnn":
            if args[primitive.argnames.index("nonlinearity")] == "relu":
                found = measures.alive(out)
                before = self.units.get(place)
                self.units[place] = found if before is None else before | found
            else:
                self.shares.setdefault(("saturated", place), []).append(measures.saturated(out, 0.0, 1.0))
            return
        node = result._node
        if node is None or "kept" not in node.plan.names:
            return
        gates = node.saved[node.plan.names.index("kept")][0]  # (rows, slots * hidden): sigmoids, and one block of tanh
        hidden = out.shape[1]
        bell = 2 * hidden  # where the tanh lies: the third block, of an LSTM's i, f, g, o and of a GRU's r, z, n
        blocks = [(k, 0.0 if k == bell else 0.5, 1.0 if k == bell else 0.5) for k in range(0, gates.shape[1], hidden)]
        shares = [
            measures.saturated(gates[:, k : k + hidden], c, s) for k, c, s in blocks[: 4 if primitive.name == "lstm" else 3]
        ]
        self.shares.setdefault(("saturated", place), []).append(float(np.mean(shares)))

    def _softmax(self, primitive, args, result) -> None:
        out, axis = raw(result), args[1] if primitive.name == "softmax" else -1
        if out.ndim < 2 or axis not in (-1, out.ndim - 1):
            return
        mask, causal = (raw(args[1]), args[2]) if primitive.name == "masked_softmax" else (None, False)
        self._entropy(primitive.name, measures.sharpness(out, mask, causal))

    def _attention(self, primitive, args, result) -> None:
        query, key, _, mask, causal, scale = (raw(a) if isinstance(a, Tensor) else a for a in args[:6])
        self._entropy(primitive.name, measures.attention_sharpness(query, key, mask, causal, scale))

    def _heads(self, primitive, args, result) -> None:
        x, y, heads, batch_first, mask, causal, scale = (raw(a) if isinstance(a, Tensor) else a for a in args[:7])
        query, key, _ = parts_of(x, y, heads, batch_first)
        self._entropy(primitive.name, measures.attention_sharpness(query, key, mask, causal, scale))

    def _entropy(self, name: str, found: float | None) -> None:
        if found is not None:
            self.shares.setdefault(("entropy", self._place(name)), []).append(found)

    def _loss(self, primitive, args, result) -> None:
        values = dict(zip(primitive.argnames, args))
        targets = np.asarray(raw(values["targets"]))
        counted = int(np.count_nonzero(targets != values["ignore_index"]))
        weighted = values["class_weight" if "class_weight" in values else "weight"] is not None
        first = values["weight"] if primitive.name == "linear_cross_entropy" else args[0]
        classes = first.shape[0 if primitive.name == "linear_cross_entropy" else 1]
        self._check(primitive, args, result)
        if not counted or weighted:
            return
        total = float(np.sum(raw(result), dtype=np.float64))
        self.losses.append((total if values["reduction"] == "mean" else total / counted, classes, user_line()))

    def _log(self, primitive, args, result) -> None:
        if self.broken is None:
            self._check(primitive, args, result)


def _by_lag(batches: list[np.ndarray]) -> list[tuple[int, float]]:
    """(lag, norm) over the steps before each sequence's last: the root of the mean square over the sequences.

    Few of many lags are kept, evenly spread, the first and the last among them.
    """
    squares: dict[int, list[float]] = {}
    for norms in batches:
        time, count = norms.shape
        with np.errstate(all="ignore"):
            for b in range(count):
                column = norms[:, b].astype(np.float64)
                steps = np.flatnonzero(column)
                last = int(steps[-1]) if len(steps) else time - 1
                for lag in _chosen(last + 1):
                    squares.setdefault(lag, []).append(float(column[last - lag]) ** 2)
    return [(lag, math.sqrt(sum(s) / len(s))) for lag, s in sorted(squares.items())]


def _chosen(count: int) -> list[int]:
    return sorted({round(i * (count - 1) / (min(count, _LAGS) - 1)) for i in range(min(count, _LAGS))}) if count > 1 else [0]


_LOOKS = {
    "relu": Watch._rectifier, "tanh": Watch._squashing, "sigmoid": Watch._squashing, "rnn": Watch._recurrent,
    "lstm": Watch._recurrent, "gru": Watch._recurrent, "softmax": Watch._softmax, "masked_softmax": Watch._softmax,
    "attention": Watch._attention,
    "attention_of_heads": Watch._heads, "log": Watch._log, "sqrt": Watch._log, "div": Watch._log, "exp": Watch._log,
    "pow": Watch._log, "rsqrt": Watch._log, "reciprocal": Watch._log, **dict.fromkeys(_LOSSES, Watch._loss),
}  # fmt: skip
