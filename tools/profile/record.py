"""A training step, with the time of each kernel taken as it is called."""

import contextlib
import functools
import importlib
import inspect
import pkgutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from minigrad import kernels

FOUNDATIONS = {
    "allocator",
    "gemm",
    "jit",
    "microkernel",
    "threads",
    "vectormath",
}  # what kernels are made of; all others are kernels


@dataclass
class Part:
    """What one kind of work took, in all steps together.

    Attributes:
        calls, seconds: how often, and how long.
        operations: floating-point operations of matrix products, a multiply-add being two; 0 for the other kernels.
        bytes: the size of every array that went in or came out, each counted once. Memory moves at least those that are not
            in a cache.
    """

    calls: int = 0
    seconds: float = 0.0
    operations: float = 0.0
    bytes: float = 0.0


@dataclass
class Profile:
    """What ``steps`` repetitions of a work took in all: ``seconds``, and the share of each kind of kernel."""

    steps: int
    seconds: float = 0.0
    parts: dict[str, Part] = field(default_factory=lambda: defaultdict(Part))

    def in_kernels(self) -> float:
        """Seconds."""
        return sum(part.seconds for part in self.parts.values())


def profile(work: Callable[[], object], steps: int) -> Profile:
    """Run ``work`` once to compile, then ``steps`` times under the clock."""
    work()
    result = Profile(steps)
    with _watched(result.parts):
        started = time.perf_counter()
        for _ in range(steps):
            work()
        result.seconds = time.perf_counter() - started
    return result


@contextlib.contextmanager
def _watched(parts: dict[str, Part]) -> Iterator[None]:
    """Inside, every call of a kernel that operations make is timed into ``parts``."""
    before, inside = [], []
    for family in {name for _, name, _ in pkgutil.iter_modules(kernels.__path__)} - FOUNDATIONS:
        module = importlib.import_module(f"{kernels.__name__}.{family}")
        for name, function in vars(module).copy().items():
            if inspect.isfunction(function) and not name.startswith("_") and function.__module__ == module.__name__:
                before.append((module, name, function))
                setattr(module, name, _timed(function, family, parts, inside))
    try:
        yield
    finally:
        for module, name, function in before:
            setattr(module, name, function)


def _timed(function: Callable, family: str, parts: dict[str, Part], inside: list) -> Callable:
    @functools.wraps(function)
    def timed(*args, **kwargs):
        if inside:  # one kernel calls another: the time belongs to the first
            return function(*args, **kwargs)
        inside.append(function)
        started = time.perf_counter()
        try:
            result = function(*args, **kwargs)
        finally:
            seconds = time.perf_counter() - started
            inside.pop()
        arrays = _arrays((args, kwargs.get("out"), result)).values()
        if arrays:  # what has none only asks which kernel to take
            name = _label(family, args)
            part = parts[name]
            part.calls += 1
            part.seconds += seconds
            part.bytes += sum(array.nbytes for array in arrays)
            if name.startswith("products"):
                part.operations += 2.0 * args[0].size * args[1].shape[-1]
        return result

    return timed


def _label(family: str, args: tuple) -> str:
    if family != "matmul":
        return family.replace("_", " ")
    return "products of attention" if args[0].ndim > 2 else "products of layers"


def _arrays(values) -> dict[int, np.ndarray]:
    """The arrays among nested ``values``, each once."""
    if isinstance(values, np.ndarray):
        return {values.ctypes.data: values}
    found: dict[int, np.ndarray] = {}
    for value in values if isinstance(values, tuple) else ():
        found |= _arrays(value)
    return found
