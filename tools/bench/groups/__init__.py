"""The groups of contests. Each module has ``contests(libraries)``, which makes one contest after the other.

A library is ready when its module is imported, so a group may hand the same source to minigrad and PyTorch. Where a module also
has ``remarks(results)``, these are lines for below its table.
"""

import importlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tools.bench.measure import OURS, Contest, Libraries, Result


class Group(NamedTuple):
    """What a group measures, which libraries can do the same, and how many minutes it took on two cores, with all of them."""

    description: str
    peers: tuple[str, ...]
    minutes: float


GROUPS = {
    "tape": Group("what recording and backpropagation cost besides arithmetic", ("torch",), 1),
    "matmul": Group("the matrix product, on plain arrays", ("numpy", "torch"), 5),
    "lesson": Group("the matrix product in steps, from three loops to the kernel", ("numpy",), 3),
    "kernels": Group("the other kernels, forward and backward", ("torch",), 4),
    "train": Group("a training step of a Transformer, and of recurrent translators", ("torch", "torch.compile"), 5),
    "memory": Group("by how much training lets a process grow", ("torch",), 3),
    "scaling": Group("how cost grows with the batch and the graph, and falls with threads", ("torch",), 5),
    "word2vec": Group("an epoch of word2vec training", ("gensim",), 3),
    "startup": Group("import, and the first training step of the default job", ("numpy", "torch"), 1),
}


def participants(group: str, libraries: Libraries) -> Libraries:
    """Minigrad, and those of ``libraries`` that can do what the group measures."""
    return {name: library for name, library in libraries.items() if name == OURS or name in GROUPS[group].peers}


def contests(group: str, libraries: Libraries) -> Iterator[Contest]:
    """The contests of a group among ``libraries``, its participants."""
    return _module(group).contests(libraries)


def remarks(group: str, results: Sequence[Result]) -> list[str]:
    """What a group has to say about its results, beside the table."""
    return getattr(_module(group), "remarks", lambda results: [])(results)


def _module(group: str):
    return importlib.import_module(f"{__name__}.{group}")
