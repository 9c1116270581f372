"""The groups of contests. Each module has ``contests(libraries)``, which makes one contest after the other.

A library is ready when its module is imported, so a group may hand the same source to minigrad and PyTorch.
"""

import importlib
from collections.abc import Iterator
from typing import NamedTuple

from tools.bench.measure import OURS, Contest, Libraries


class Group(NamedTuple):
    """What a group measures, and which libraries can do the same."""

    description: str
    peers: tuple[str, ...]


GROUPS = {
    "tape": Group("what recording and backpropagation cost besides arithmetic", ("torch",)),
    "matmul": Group("the matrix product, on plain arrays", ("numpy", "torch")),
    "kernels": Group("the other kernels, forward and backward", ("torch",)),
    "train": Group("a training step of a Transformer", ("torch", "torch.compile")),
    "memory": Group("by how much training lets a process grow", ("torch",)),
    "scaling": Group("how cost grows with the batch and the graph, and falls with threads", ("torch",)),
    "startup": Group("import, and the first training step of the default job", ("numpy", "torch")),
}


def participants(group: str, libraries: Libraries) -> Libraries:
    """Minigrad, and those of ``libraries`` that can do what the group measures."""
    return {name: library for name, library in libraries.items() if name == OURS or name in GROUPS[group].peers}


def contests(group: str, libraries: Libraries) -> Iterator[Contest]:
    """The contests of a group among ``libraries``, its participants."""
    return importlib.import_module(f"{__name__}.{group}").contests(libraries)
