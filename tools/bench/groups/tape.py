"""What recording and backpropagation cost besides arithmetic: operations so small that there is hardly any arithmetic.

The same functions run on minigrad and on PyTorch.
"""

from collections.abc import Iterator
from types import ModuleType

import numpy as np

from tools.bench.measure import Contest, Libraries, Work


def scalar_chain(library: ModuleType, operations: int) -> Work:
    """A chain of operations on one number, four at a time, forward and backward.

    The value grows slowly and the gradient of each round is close to 1, so neither leaves the range of ordinary numbers.
    """
    x = library.tensor(1.0, requires_grad=True)

    def work():
        y = x
        for _ in range(operations // 4):
            y = y + (y * 0.5).tanh() * 0.01
        y.backward()
        x.grad = None

    return work


def matrix_chain(library: ModuleType, operations: int, size: int) -> Work:
    """A chain of products with one small orthogonal matrix, forward and backward, for gradients of both operands."""
    orthogonal, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((size, size)))
    weight = library.tensor(orthogonal.astype(np.float32), requires_grad=True)
    x = library.tensor(np.eye(size, dtype=np.float32), requires_grad=True)

    def work():
        y = x
        for _ in range(operations):
            y = y @ weight
        y.sum().backward()
        x.grad = weight.grad = None

    return work


def contests(libraries: Libraries) -> Iterator[Contest]:
    """Chains of scalars, short and long, and of small matrices."""
    for operations in (1_000, 100_000):
        sides = {name: scalar_chain(library, operations) for name, library in libraries.items()}
        yield Contest(f"{operations:,} scalar operations", sides, operations, "operations")
    sides = {name: matrix_chain(library, 200, 32) for name, library in libraries.items()}
    yield Contest("200 products of 32 x 32", sides, 200, "operations")
