"""Which call of which module an operation belongs to, while somebody records.

:class:`Module` knows nothing of records. While one is open, ``Module.__call__`` is replaced by a version that notes where calls
begin and end; afterwards the plain one is back, so that without a record a call costs what it always did.
"""

from __future__ import annotations

import inspect
import threading
from typing import Any

import numpy as np

from ..errors import UsageError
from ..nn.module import Module
from ..primitive import state
from ..tensor import Tensor

_lock = threading.Lock()
_open = 0  # records, in all threads
_plain_call = Module.__call__


def _traced_call(self, *args, **kwargs) -> Any:
    watching = [observer.scopes for observer in state.observers if isinstance(getattr(observer, "scopes", None), Scopes)]
    for scopes in watching:
        scopes.enter(self, args, kwargs)
    try:
        return _plain_call(self, *args, **kwargs)
    finally:
        for scopes in watching:
            scopes.leave()


def start_tracing() -> None:
    """Let the calls of modules be seen from now on, until :func:`stop_tracing` has been called as often."""
    global _open
    with _lock:
        _open += 1
        Module.__call__ = _traced_call


def stop_tracing() -> None:
    """See :func:`start_tracing`."""
    global _open
    with _lock:
        _open -= 1
        if not _open:
            Module.__call__ = _plain_call


class Scopes:
    """The modules of one record: their names, how often each was called, and which calls are running now.

    Args:
        model: what is recorded: a module, whose parts then have the names that ``named_parameters`` gives them; a dict of
            modules by name; or None, and each module that is not part of another is named after its class.
        weak: makes a weak reference.
        on_input: called with every array that comes into the modules from outside, and its name.

    Attributes:
        modules: one dict per module, by path (see :mod:`minigrad.viz.record`).
        calls: one dict per call, in order.
        names: the names of parameters and buffers, by id, with the tensors themselves referred to weakly.
    """

    def __init__(self, model, weak, on_input):
        self.modules: dict[str, dict] = {}
        self.calls: list[dict] = []
        self.stack: list[int] = []
        self._on_input = on_input
        self._path_of: dict[int, tuple] = {}  # id of a module -> (weak reference, path)
        self._weak = weak
        self.names: dict[int, tuple] = {}  # id of a parameter or buffer -> (weak reference, [names], whether it is a parameter)
        if model is None:
            return
        for prefix, module in (model if isinstance(model, dict) else {"": model}).items():
            if not isinstance(module, Module) or not isinstance(prefix, str):
                raise UsageError(
                    "record() takes a module, or a dict of modules by name, so as to know how the parts are called: got "
                    f"{type(module).__name__}"
                )
            self._add(module, prefix)

    def _add(self, module: Module, prefix: str) -> None:
        for path, part in module.named_modules(prefix=prefix):
            if id(part) in self._path_of and self._path_of[id(part)][0]() is part:
                continue
            self._path_of[id(part)] = self._weak(part), path
            self.modules[path] = {
                "path": path,
                "type": type(part).__name__,
                "parameters": sum(p.numel() for p in part.parameters()),
                "calls": 0,
                "options": part.extra_repr(),
            }
        for tensors, is_parameter in ((module.named_parameters, True), (module.named_buffers, False)):
            for name, tensor in tensors(prefix=prefix, remove_duplicate=False):
                self.names.setdefault(id(tensor), (self._weak(tensor), [], is_parameter))[1].append(name)

    def path(self, module: Module) -> str:
        """The module's path; one is made up where it is no part of a known module."""
        known = self._path_of.get(id(module))
        if known is None or known[0]() is not module:
            inside = self.calls[self.stack[-1]]["module"] if self.stack else ""
            base = name = f"{inside}.{type(module).__name__}" if inside else type(module).__name__
            number = 1
            while name in self.modules:
                number += 1
                name = f"{base}_{number}"
            self._add(module, name)
            known = self._path_of[id(module)]
        return known[1]

    def enter(self, module: Module, args: tuple, kwargs: dict) -> None:
        """A call begins."""
        path = self.path(module)
        entry = self.modules[path]
        if not self.stack:
            self._take_inputs(module, args, kwargs)
        self.calls.append({"module": path, "call": entry["calls"], "parent": self.stack[-1] if self.stack else None})
        entry["calls"] += 1
        self.stack.append(len(self.calls) - 1)

    def leave(self) -> None:
        """The innermost call ends."""
        self.stack.pop()

    def _take_inputs(self, module: Module, args: tuple, kwargs: dict) -> None:
        try:
            given = inspect.signature(module.forward).bind(*args, **kwargs).arguments
        except (TypeError, ValueError):
            return  # the call itself will say what is wrong with it
        for name, value in given.items():
            for i, part in enumerate(value if isinstance(value, (tuple, list)) else [value]):
                if isinstance(part, (Tensor, np.ndarray)):
                    self._on_input(part, f"{name}[{i}]" if isinstance(value, (tuple, list)) else name)
