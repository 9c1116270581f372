"""The kernels of neural networks, forward and backward, at the sizes of a batch of 4,096 tokens.

The same functions run on minigrad and on PyTorch.
"""

import importlib
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np

from tools.bench.measure import Contest, Libraries, Work

_ROWS, _FEATURES, _CLASSES = 4096, 256, 10_000
_HEADS = (128, 8, 32, 32)  # (batch, heads, time, features of a head)
_LONG = (1, 8, 4096, 64)

# By name: the shapes of the inputs that get gradients, and the function of (torch.nn.functional or its like, inputs, classes).
_FUNCTIONS: dict[str, tuple[tuple[tuple[int, ...], ...], Callable[[Any, list, Any], Any]]] = {
    "softmax": (((_ROWS, _FEATURES),), lambda F, x, _: F.softmax(x[0], -1)),
    "layer_norm": (
        ((_ROWS, _FEATURES), (_FEATURES,), (_FEATURES,)),
        lambda F, x, _: F.layer_norm(x[0], (_FEATURES,), x[1], x[2]),
    ),
    "cross_entropy": (((_ROWS, _CLASSES),), lambda F, x, classes: F.cross_entropy(x[0], classes)),
    "gelu": (((_ROWS, 4 * _FEATURES),), lambda F, x, _: F.gelu(x[0])),
    "dropout": (((_ROWS, _FEATURES),), lambda F, x, _: F.dropout(x[0], 0.1)),
    "attention": ((_HEADS,) * 3, lambda F, x, _: F.scaled_dot_product_attention(*x)),
    "attention, causal": ((_HEADS,) * 3, lambda F, x, _: F.scaled_dot_product_attention(*x, is_causal=True)),
    "attention, long": ((_LONG,) * 3, lambda F, x, _: F.scaled_dot_product_attention(*x)),
}


def forward_backward(library: ModuleType, name: str) -> Work:
    """One forward and backward pass of a function, for gradients of all its inputs."""
    functional = importlib.import_module(f"{library.__name__}.nn.functional")
    shapes, function = _FUNCTIONS[name]
    generator = np.random.default_rng(0)
    inputs = [library.tensor(generator.standard_normal(shape, dtype=np.float32), requires_grad=True) for shape in shapes]
    classes = library.tensor(generator.integers(0, _CLASSES, _ROWS))
    out = function(functional, inputs, classes)
    upstream = library.tensor(generator.standard_normal(tuple(out.shape), dtype=np.float32))

    def work():
        function(functional, inputs, classes).backward(upstream)
        for x in inputs:
            x.grad = None

    return work


def contests(libraries: Libraries) -> Iterator[Contest]:
    """One contest for each function."""
    for function, (shapes, _) in _FUNCTIONS.items():
        label = f"{function} {' x '.join(map(str, shapes[0]))}"
        yield Contest(label, {name: forward_backward(library, function) for name, library in libraries.items()})
