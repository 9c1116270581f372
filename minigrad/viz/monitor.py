"""The monitor: how gradients, weights and activations fare over training, looked at every few steps.

    with viz.Monitor(model, optimizer, every=10) as monitor:
        for x, y in batches:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            monitor.step(loss)
    viz.grad_flow(monitor).save("flow.svg")
    print(viz.doctor(monitor))

What it finds goes into the ``series`` of a :class:`~minigrad.viz.Record`, under these names:

``loss``: what ``step`` was given; ``cross entropy``: its mean over the targets, where the model computed one. Other numbers
    that ``step`` was given keep their names.
``gradient/<parameter>``, ``weight/<parameter>``: Euclidean norms, of the gradient as the optimizer sees it (after clipping).
``update/<parameter>``: the norm of the step's change over that of the weights before it.
``zeros/<parameter>``: the share of the gradient that is exactly 0.
``missing/<parameter>``: 1 where a backward pass gave it no gradient. ``outside/<parameter>``: 1 for one that no optimizer has.
``mean/<module>``, ``std/<module>``: of what the module returned.
``saturated/<place>``: the share of a tanh's, sigmoid's or gate's values at the flat ends. A place is a module and an operation.
``dead/<place>``: the share of a rectifier's units that were 0 on all of the last three batches looked at.
``entropy/<place>``: of attention weights, over that of even weights.
``time/<layer>/<lag>``: |dL/dh_t| of a recurrent layer, so many steps before each sequence's last.
``carried``: 1 where a backward pass added to gradients that an update had used already.
``not finite/<what>``: how many values were NaN or infinite.

Beside ``steps``, ``values`` and ``unit`` a series may say ``depth`` (a parameter's place in the order of the forward pass),
``shape``, ``module`` (the type of the one that has the parameter), ``line`` (of the user's code), ``output`` (whether no
module with parameters is called behind the place) and ``classes``.
"""

from __future__ import annotations

import math
import os
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UsageError
from ..nn.module import Module
from ..tensor import Tensor
from . import measures
from .record import Record
from .watch import Watch

RECENT = 3  # batches looked at in a row on which a unit must be 0 to count as dead
FILE = "monitor.json"  # its name in a run directory
_EVENTS = ("carried", "not finite/", "outside/")


class Monitor:
    """Watches a model train; see the module's docstring for how it is used and what it notes.

    Every ``every`` steps, and in the first, it looks; in between it costs nothing. Training is the same to the bit with it
    and without. When it has looked ``limit`` times, it drops every second look and takes half as many from there on.

    Args:
        model: the Module that is trained.
        optimizer: what trains it: one or several optimizers. It is then looked at when ``optimizer.step()`` is called. Without
            it, gradients must still be there when :meth:`step` is called: clear them before the backward pass.
        every: steps from one look to the next.
        limit: looks to keep at most.
        tensorboard: a directory for TensorBoard: scalars and histograms of weights and gradients are written there as they
            come.
        start: steps that came before, when training goes on.
        record: the record to go on with; a new one if left out.

    Attributes:
        record: what was found so far.
    """

    def __init__(
        self,
        model: Module,
        optimizer: Any = None,
        every: int = 10,
        *,
        limit: int = 500,
        tensorboard: str | os.PathLike | None = None,
        start: int = 0,
        record: Record | None = None,
    ):
        if not isinstance(model, Module):
            raise UsageError(
                f"a Monitor watches a Module: got {type(model).__name__}; pass the model first, then its optimizer"
            )
        for name, value, least in (("every", every, 1), ("limit", limit, 4), ("start", start, 0)):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise UsageError(f"a Monitor's {name} is a whole number from {least}: got {value!r}")
        self.model = model
        self.optimizers = [] if optimizer is None else list(optimizer) if isinstance(optimizer, Iterable) else [optimizer]
        for one in self.optimizers:
            if not (hasattr(one, "param_groups") and callable(getattr(one, "step", None))):
                raise UsageError(f"a Monitor takes an optimizer, or several in a list: got {type(one).__name__}")
        self.every, self.limit, self.number = every, limit, start
        self.record = Record() if record is None else record
        self._paths = {module: path for path, module in model.named_modules()}
        self._owners = {name: name.rpartition(".")[0] for name, _ in model.named_parameters()}
        self._types = {path: type(module).__name__ for module, path in self._paths.items()}
        self._depths: dict[str, int] = {}
        self._alive: dict[str, np.ndarray] = {}  # by place, the look in which each unit was last alive
        self._looks = len(self.record.series.get("loss", {"steps": []})["steps"])
        self._room: dict[str, np.ndarray] = {}  # weights before the step; kept, so that no look allocates
        self._copied = False
        self._measured: set[str] = set()
        self._watch: Watch | None = None
        self._carried: dict | None = None
        self._wrapped: list[tuple[Any, Any]] = []
        self._troubled = False
        self._writer = None
        if tensorboard is not None:
            from ..formats.tensorboard import EventWriter

            self._writer = EventWriter(tensorboard)
        for one in self.optimizers:
            self._wrap(one)
        self._note_outsiders()
        self._prepare()

    # -- what the user calls --------------------------------------------------------------------------------------------

    def __enter__(self) -> Monitor:
        return self

    def __exit__(self, *exc_info) -> None:
        self.close()

    def step(self, loss: Any = None, **numbers: float) -> None:
        """Say that a training step is over: after ``optimizer.step()``, once for each.

        Args:
            loss: a Tensor or a number. Also seen between the looks: the first NaN is not missed.
            numbers: whatever else is worth keeping, under its name: ``lr=..``, ``grad_norm=..``.
        """
        self.number += 1
        value = None if loss is None else float(loss.item() if isinstance(loss, Tensor) else loss)
        finite = value is None or math.isfinite(value)
        if self._watch is None and not finite and not self._troubled:
            self._note_gradients(self._parameters(), self.number)  # no look was due, but this must not wait
        if not finite and not self._troubled:
            self._log("not finite/loss", 1)
            for name, p in self._parameters().items():
                self._count_broken(f"not finite/weight {name}", p._data)
        if self._watch is not None:
            self._finish(value, numbers)
        if finite:
            self._troubled = False
        following = self.number + 1
        if following % self.every == 0 or (not finite and not self._troubled):
            self._prepare()
        self._troubled = not finite

    def fail(self, message: str) -> None:
        """Say that the step was given up because something in it was not finite."""
        self.number += 1
        self._log("not finite/loss", 1, about={"line": message})
        self.close()

    def close(self) -> None:
        """Stop watching: the optimizer and the modules are as they were before."""
        if self._watch is not None:
            self._watch.close()
            self._watch = None
        self._drop_probe()
        for optimizer, wrapper in self._wrapped:
            if optimizer.__dict__.get("step") is wrapper:
                del optimizer.__dict__["step"]
        self._wrapped = []
        self._room = {}
        if self._writer is not None:
            self._writer.close()

    def save(self, path: str | os.PathLike) -> Path:
        """Write the record as JSON; in a directory it is called monitor.json. Returns the file's path."""
        path = Path(path)
        path = path / FILE if path.is_dir() else path
        self.record.save(path)
        return path

    def __repr__(self) -> str:
        return f"<Monitor of {type(self.model).__name__} after {self.number:,} steps, {self._looks} looks>"

    # -- before and after the update ------------------------------------------------------------------------------------

    def _parameters(self) -> dict[str, Any]:
        return {name: p for name, p in self.model.named_parameters() if p.requires_grad}

    def _wrap(self, optimizer) -> None:
        original = optimizer.step
        monitor = weakref.ref(self)

        def step(closure=None):
            this = monitor()
            if this is None or this._watch is None:
                return original() if closure is None else original(closure)
            this._watch.rest()
            this._copy_weights()
            own = {id(p) for group in optimizer.param_groups for p in group["params"]}
            parameters = {name: p for name, p in this._parameters().items() if id(p) in own}
            if closure is None:
                this._note_gradients(parameters, this.number + 1)
                return original()
            result = original(closure)  # which computes the gradients
            this._note_gradients(parameters, this.number + 1)
            return result

        optimizer.step = step
        self._wrapped.append((optimizer, step))

    def _prepare(self) -> None:
        """Get ready to look at the next step."""
        self._watch = Watch(self._paths)
        self._watch.open()
        self._copied = False
        self._measured = set()
        if not self.optimizers:
            self._copy_weights()

    def _copy_weights(self) -> None:
        if self._copied:
            return
        for name, p in self._parameters().items():
            room = self._room.get(name)
            if room is None or room.shape != p.shape or room.dtype != p.dtype:
                room = self._room[name] = np.empty(p.shape, p.dtype)
            np.copyto(room, p._data)
        self._copied = True

    def _note_gradients(self, parameters: dict[str, Any], step: int) -> None:
        for name, p in parameters.items():
            self._measured.add(name)
            if p._grad is None:
                self._log(f"missing/{name}", 1, step)
                continue
            if f"missing/{name}" in self.record.series:
                self._log(f"missing/{name}", 0, step)
            gradient = p._grad._data
            size = measures.norm(gradient)
            self._log(f"gradient/{name}", size, step, self._about(name, p))
            if not math.isfinite(size):
                self._count_broken(f"not finite/gradient {name}", gradient, step)
            self._log(f"zeros/{name}", 1 - np.count_nonzero(gradient) / max(1, gradient.size), step)
            if self._writer is not None:
                self._writer.histogram(f"gradient/{name} (histogram)", gradient, step)

    def _finish(self, loss: float | None, numbers: dict[str, float]) -> None:
        """Note all that was seen in the step that is over."""
        watch = self._watch
        assert watch is not None
        self._watch = None
        watch.close()
        self._looks += 1
        parameters = self._parameters()
        if not self.optimizers:
            self._note_gradients(parameters, self.number)
        if watch.order:
            self._order(watch.order)
        for name, p in parameters.items():
            self._note_weights(name, p)
        if loss is not None:
            self._log("loss", loss)
        for name, value in numbers.items():
            self._log(name, float(value))
        self._note_seen(watch)
        self._thin()
        if self._writer is not None:
            self._write_events(parameters)
        self._set_probe(parameters)

    def _note_weights(self, name: str, p) -> None:
        before = self._room.get(name) if self._copied else None
        size = measures.norm(p._data if before is None else before)
        self._log(f"weight/{name}", size, about=self._about(name, p))
        if not math.isfinite(size):
            self._count_broken(f"not finite/weight {name}", p._data)
        if before is not None and size > 0:
            self._log(f"update/{name}", measures.distance(p._data, before, before) / size, about=self._about(name, p))

    def _note_seen(self, watch: Watch) -> None:
        for path, pairs in watch.outputs.items():
            if pairs:
                about = {"depth": self._depths.get(path, len(self._depths)), "module": self._types[path]}
                self._log(f"mean/{path}", float(np.mean([m for m, _ in pairs])), about=about)
                self._log(f"std/{path}", float(np.mean([s for _, s in pairs])), about=about)
        for (kind, place), values in watch.shares.items():
            self._log(f"{kind}/{place}", float(np.mean(values)), about=self._about_place(place, watch))
        for place, units in watch.units.items():
            seen = self._alive.get(place)
            if seen is None or seen.shape != units.shape:
                seen = self._alive[place] = np.full(units.shape, self._looks - 1)
            seen[units] = self._looks
            about = self._about_place(place, watch)
            self._log(f"dead/{place}", float(np.mean(self._looks - seen >= RECENT)), about=about)
        if watch.losses:
            value, classes, line = watch.losses[0]
            value = float(np.mean([v for v, c, _ in watch.losses if c == classes]))
            self._log("cross entropy", value, about={"classes": classes, "line": line}, unit="nats")
        for layer, pairs in watch.flow.items():
            for lag, value in pairs:
                self._log(f"time/{layer}/{lag}", value)
        if watch.broken is not None:
            name, path, line = watch.broken
            self._log(f"not finite/{name} in {path or '(model)'}", 1, about={"line": line})

    # -- gradients that were not cleared --------------------------------------------------------------------------------

    def _set_probe(self, parameters: dict[str, Any]) -> None:
        """At the next backward pass, see whether it adds to the gradients that this step's update has used."""
        self._drop_probe()
        optimized = {id(p) for o in self.optimizers for group in o.param_groups for p in group["params"]}
        held = [p for p in parameters.values() if p._grad is not None and (not optimized or id(p) in optimized)]
        if not held:
            if parameters and self._measured:
                self._log("carried", 0)  # they are gone already
            return
        p = max(held, key=lambda p: measures.norm(p._grad._data))
        gradient, step, monitor = weakref.ref(p._grad), self.number + 1, weakref.ref(self)
        parameter = weakref.ref(p)

        def probe(g):
            this, leaf = monitor(), parameter()
            if this is not None and leaf is not None and this._carried is not None:
                now = leaf._grad
                carried = now is not None and now is gradient() and bool(np.any(now._data))
                this._drop_probe()
                this._log("carried", int(carried), step)

        self._carried = {"handle": p.register_hook(probe)}

    def _drop_probe(self) -> None:
        if self._carried is not None:
            self._carried["handle"].remove()
            self._carried = None

    def _note_outsiders(self) -> None:
        if not self.optimizers:
            return
        held = {id(p) for o in self.optimizers for group in o.param_groups for p in group["params"]}
        for name, p in self._parameters().items():
            if id(p) not in held:
                self._log(f"outside/{name}", 1, about=self._about(name, p))

    # -- the series -----------------------------------------------------------------------------------------------------

    def _log(self, name: str, value: float, step: int | None = None, about: dict | None = None, unit: str = "") -> None:
        self.record.log(name, self.number if step is None else step, value, unit)
        if about:
            series = self.record.series[name]
            if len(series["steps"]) == 1 or "depth" in about:
                series.update(about)

    def _count_broken(self, name: str, values, step: int | None = None) -> None:
        count = int(values.size - np.count_nonzero(np.isfinite(values)))
        if count:
            self._log(name, count, step)

    def _about(self, name: str, p) -> dict[str, Any]:
        owner = self._owners.get(name, "")
        about = {"shape": list(p.shape), "module": self._types.get(owner, "")}
        if owner in self._depths:
            about["depth"] = self._depths[owner]
        return about

    def _about_place(self, place: str, watch: Watch) -> dict[str, Any]:
        return {"line": watch.lines[place], "depth": watch.places[place], "output": place in watch.outermost}

    def _order(self, order: list[str]) -> None:
        """Number the modules as they are called; what is never called as such follows, in the order of definition."""
        known = [path for path in self._depths if path in order or path in self._types]
        for path in [*order, *(p for p in self._types if p not in order)] if not known else order:
            self._depths.setdefault(path, len(self._depths))
        if not known:
            for name, series in self.record.series.items():
                kind, _, parameter = name.partition("/")
                if kind in ("gradient", "outside") and parameter in self._owners:
                    series["depth"] = self._depths.get(self._owners[parameter], len(self._depths))

    def _thin(self) -> None:
        steps = self.record.series.get("weight/" + next(iter(self._owners), ""), {"steps": []})["steps"]
        if len(steps) <= self.limit:
            return
        self.every *= 2
        dropped = set(steps[1::2])
        for name, series in self.record.series.items():
            if name.startswith(_EVENTS):
                kept = [i for i in range(len(series["steps"])) if len(series["steps"]) <= self.limit or i < 8 or i % 2 == 0]
            else:
                kept = [i for i, step in enumerate(series["steps"]) if step not in dropped]
            series["steps"] = [series["steps"][i] for i in kept]
            series["values"] = [series["values"][i] for i in kept]

    def _write_events(self, parameters: dict[str, Any]) -> None:
        writer = self._writer
        assert writer is not None
        for name, series in self.record.series.items():
            if series["steps"] and series["steps"][-1] == self.number and not name.startswith("time/"):
                writer.scalar(name, series["values"][-1], self.number)
        for name, p in parameters.items():
            writer.histogram(f"weight/{name} (histogram)", p._data, self.number)
        writer.flush()


def record_until(path: str | os.PathLike, step: int) -> Record:
    """The record in a file without what lies after ``step``, which a resumed run repeats; empty if there is no such file."""
    if not step or not Path(path).exists():
        return Record()
    record = Record.load(path)
    for name, series in list(record.series.items()):
        kept = [i for i, at in enumerate(series["steps"]) if at <= step]
        series["steps"], series["values"] = ([series[key][i] for i in kept] for key in ("steps", "values"))
        if not kept:
            del record.series[name]
    return record
