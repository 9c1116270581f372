"""The kernels of neural networks, forward and backward: on small inputs, on a batch of 4,096 tokens, and on large inputs.

The same functions run on minigrad and on PyTorch. On the smallest inputs what counts is how long it takes to get to the kernel.
"""

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from tools.bench.measure import Contest, Libraries, Work

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Function:
    """A function of torch.nn.functional, and how to call it.

    Attributes:
        call: of (torch.nn.functional or its like, the inputs that get gradients, integers).
        inputs: the shapes of the inputs, from that of the first.
        integers: the shape and the end of the range of the integers it takes, if any, from the shape of the first input.
    """

    call: Callable[[Any, list, Any], Any]
    inputs: Callable[[Shape], tuple[Shape, ...]] = lambda shape: (shape,)
    integers: Callable[[Shape], tuple[Shape, int]] = lambda shape: ((0,), 1)


FUNCTIONS = {
    "softmax": Function(lambda F, x, _: F.softmax(x[0], -1)),
    "log_softmax": Function(lambda F, x, _: F.log_softmax(x[0], -1)),
    "layer_norm": Function(
        lambda F, x, _: F.layer_norm(x[0], x[1].shape, x[1], x[2]), lambda shape: (shape, shape[-1:], shape[-1:])
    ),
    "rms_norm": Function(lambda F, x, _: F.rms_norm(x[0], x[1].shape, x[1]), lambda shape: (shape, shape[-1:])),
    "cross_entropy": Function(
        lambda F, x, classes: F.cross_entropy(x[0], classes), integers=lambda shape: (shape[:1], shape[1])
    ),
    "gelu": Function(lambda F, x, _: F.gelu(x[0])),
    "relu": Function(lambda F, x, _: F.relu(x[0])),
    "silu": Function(lambda F, x, _: F.silu(x[0])),
    "tanh": Function(lambda F, x, _: F.tanh(x[0])),
    "sigmoid": Function(lambda F, x, _: F.sigmoid(x[0])),
    "dropout": Function(lambda F, x, _: F.dropout(x[0], 0.1)),
    "embedding": Function(
        lambda F, x, words: F.embedding(words, x[0]), integers=lambda shape: ((min(4096, shape[0]),), shape[0])
    ),
    "linear": Function(lambda F, x, _: F.linear(*x), lambda shape: (shape, (shape[1], shape[1]), shape[1:])),
    "attention": Function(lambda F, x, _: F.scaled_dot_product_attention(*x), lambda shape: (shape,) * 3),
    "attention, causal": Function(
        lambda F, x, _: F.scaled_dot_product_attention(*x, is_causal=True), lambda shape: (shape,) * 3
    ),
}

# Shapes of the first inputs; those of attention are (batch, heads, time, features of a head), that of embedding its table,
# from which as many words as it has are looked up, at most 4,096.
_ROWWISE = ("softmax", "log_softmax", "layer_norm", "rms_norm")
_ELEMENTWISE = ("gelu", "relu", "silu", "tanh", "sigmoid", "dropout")
SECTIONS: dict[str, list[tuple[str, Shape]]] = {
    "small inputs": [
        ("softmax", (64, 64)),
        ("log_softmax", (64, 64)),
        ("layer_norm", (32, 64)),
        ("rms_norm", (32, 64)),
        ("cross_entropy", (64, 50)),
        *((name, (32, 64)) for name in _ELEMENTWISE),
        ("embedding", (50, 64)),
        ("linear", (32, 64)),
        ("attention", (4, 4, 16, 16)),
    ],
    "4,096 tokens": [
        *((name, (4096, 256)) for name in _ROWWISE),
        ("cross_entropy", (4096, 10_000)),
        *((name, (4096, 1024)) for name in _ELEMENTWISE),
        ("embedding", (10_000, 256)),
        ("linear", (4096, 256)),
        ("attention", (128, 8, 32, 32)),
        ("attention, causal", (128, 8, 32, 32)),
        ("attention", (32, 8, 128, 32)),
    ],
    "large inputs": [
        *((name, (16_384, 512)) for name in (*_ROWWISE, "cross_entropy", *_ELEMENTWISE)),
        ("embedding", (50_000, 512)),
        ("linear", (16_384, 512)),
        ("attention", (1, 8, 4096, 64)),
        ("attention, causal", (1, 8, 4096, 64)),
    ],
}


# (kind, layers, features, batch, steps)
RECURRENT = [("LSTM", 2, 256, 64, 24), ("LSTM", 1, 512, 64, 24), ("GRU", 2, 256, 64, 24), ("GRU", 1, 512, 64, 24)]


def forward_backward(library: ModuleType, name: str, shape: Shape) -> Work:
    """One forward and backward pass of a function, for gradients of all its inputs; ``shape`` is that of the first."""
    functional = importlib.import_module(f"{library.__name__}.nn.functional")
    function = FUNCTIONS[name]
    generator = np.random.default_rng(0)
    inputs = [
        library.tensor(generator.standard_normal(one, dtype=np.float32), requires_grad=True) for one in function.inputs(shape)
    ]
    size, end = function.integers(shape)
    integers = library.tensor(generator.integers(0, end, size))
    out = function.call(functional, inputs, integers)
    upstream = library.tensor(generator.standard_normal(tuple(out.shape), dtype=np.float32))

    def work():
        function.call(functional, inputs, integers).backward(upstream)
        for x in inputs:
            x.grad = None

    return work


def recurrent(library: ModuleType, kind: str, layers: int, features: int, batch: int, steps: int) -> Work:
    """One forward and backward pass of recurrent layers as wide as their input, for gradients of weights and input."""
    layer = getattr(importlib.import_module(f"{library.__name__}.nn"), kind)(features, features, layers)
    generator = np.random.default_rng(0)
    shape = steps, batch, features
    x = library.tensor(generator.standard_normal(shape, dtype=np.float32), requires_grad=True)
    upstream = library.tensor(generator.standard_normal(shape, dtype=np.float32))

    def work():
        layer(x)[0].backward(upstream)
        layer.zero_grad()
        x.grad = None

    return work


def contests(libraries: Libraries) -> Iterator[Contest]:
    """One contest for each function and shape, and for each of the recurrent layers."""
    for section, cases in SECTIONS.items():
        for function, shape in cases:
            sides = {name: forward_backward(library, function, shape) for name, library in libraries.items()}
            yield Contest(f"{function} {' x '.join(map(str, shape))}", sides, section=section)
    for kind, *sizes in RECURRENT:
        sides = {name: recurrent(library, kind, *sizes) for name, library in libraries.items()}
        layers, features, batch, steps = sizes
        yield Contest(f"{kind}, {layers} x {features}, {batch} x {steps} steps", sides, section="recurrent layers")
