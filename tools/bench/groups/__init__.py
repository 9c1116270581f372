"""The groups of contests. Each module has ``contests(libraries)``, which makes one contest after the other.

A library is ready when its module is imported, so a group may hand the same source to minigrad and PyTorch.
"""

import importlib
from collections.abc import Iterator

from tools.bench.measure import Contest, Libraries

GROUPS = {
    "tape": "what recording and backpropagation cost besides arithmetic",
    "matmul": "the matrix product, on plain arrays",
    "kernels": "the other kernels, forward and backward",
    "train": "a training step of a Transformer",
    "startup": "import, and the first training step of the default job",
}


def contests(group: str, libraries: Libraries) -> Iterator[Contest]:
    """The contests of a group in :data:`GROUPS`."""
    return importlib.import_module(f"{__name__}.{group}").contests(libraries)
