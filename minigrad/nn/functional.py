"""The functions behind the layers, as in ``torch.nn.functional``: same names, arguments and defaults.

Where PyTorch takes ``inplace=True``, the result is written over the input here too; it saves memory only where nothing needs
the old values, and raises where the tape still does.
"""

from __future__ import annotations

import math

import numpy as np

from .. import ops
from ..errors import DimensionError, DTypeError, ShapeError, UsageError
from ..ops.activation import (
    exponential_linear,
    gelu,
    glu,
    leaky,
    log_sigmoid,
    log_softmax,
    rectified,
    sigmoid_weighted,
    soft_plus,
    softmax,
)
from ..ops.attention import attention_weights, masked_softmax, scaled_dot_product_attention
from ..ops.cross_entropy import cross_entropy, nll_loss
from ..ops.dims import sizes
from ..ops.dropout import draw_seed, dropped, probability
from ..ops.embedding import embedding
from ..ops.layout import floating
from ..ops.linear import linear
from ..ops.linear_cross_entropy import linear_cross_entropy
from ..ops.named import sigmoid, tanh
from ..ops.normalization import layer_norm, rms_norm
from ..ops.padding import padded
from ..tensor import Tensor, array_of, tensor_of, wrap
from .functional_losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    huber_loss,
    kl_div,
    l1_loss,
    mse_loss,
    smooth_l1_loss,
)

__all__ = [
    "attention_weights",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cosine_similarity",
    "cross_entropy",
    "dropout",
    "elu",
    "embedding",
    "gelu",
    "glu",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "linear",
    "linear_cross_entropy",
    "log_softmax",
    "logsigmoid",
    "masked_softmax",
    "mse_loss",
    "nll_loss",
    "normalize",
    "one_hot",
    "pad",
    "pairwise_distance",
    "relu",
    "rms_norm",
    "scaled_dot_product_attention",
    "sigmoid",
    "silu",
    "smooth_l1_loss",
    "softmax",
    "softplus",
    "tanh",
]

# -- activations --------------------------------------------------------------------------------------------------------


def _applied(operation, input, operands: tuple, inplace: bool) -> Tensor:
    return ops.update_in_place(input, operation, operands) if inplace else operation(input, *operands)


def relu(input, inplace: bool = False) -> Tensor:
    """max(0, x); the gradient at 0 is 0."""
    return _applied(rectified, tensor_of(input), (), inplace)


def leaky_relu(input, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x where it is positive, else ``negative_slope * x``; the gradient at 0 is the slope."""
    return _applied(leaky, floating(input, "leaky_relu"), (float(negative_slope),), inplace)


def elu(input, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where it is positive, else ``alpha * (exp(x) - 1)``; the gradient at 0 is ``alpha``.

    Source: Clevert, Unterthiner and Hochreiter, "Fast and Accurate Deep Network Learning by Exponential Linear Units", 2016.
    """
    return _applied(exponential_linear, floating(input, "elu"), (float(alpha),), inplace)


def silu(input, inplace: bool = False) -> Tensor:
    """x * sigmoid(x), also called swish.

    Source: Ramachandran, Zoph and Le, "Searching for Activation Functions", 2017.
    """
    return _applied(sigmoid_weighted, floating(input, "silu"), (), inplace)


def softplus(input, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """``log(1 + exp(beta * x)) / beta``; x itself where ``beta * x > threshold``, where the two are as good as equal."""
    return soft_plus(floating(input, "softplus"), float(beta), float(threshold))


def logsigmoid(input) -> Tensor:
    """log(sigmoid(x)), without overflow in either tail."""
    return log_sigmoid(floating(input, "logsigmoid"))


def dropout(input, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Each element zeroed with probability ``p``, the others divided by 1 - p, so that the expectation stays the same.

    Not training, or with p = 0, ``input`` itself comes back; p = 1 gives zeros. The mask follows from minigrad's generator,
    so :func:`minigrad.manual_seed` makes it reproducible.

    Source: Srivastava et al., "Dropout", JMLR 2014.

    Raises:
        UsageError: if ``p`` is outside [0, 1].
    """
    p = probability(p, "dropout")
    if not training or p == 0:
        return input
    return _applied(dropped, floating(input, "dropout"), (p, draw_seed()), inplace)


# -- distances ----------------------------------------------------------------------------------------------------------


def normalize(input, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """``x / max(norm(x), eps)``, the p-norm taken along ``dim``; a zero vector stays zero."""
    x = floating(input, "normalize")
    return x / ops.clamp(ops.norm(x, p, dim, keepdim=True), min=eps)


def cosine_similarity(x1, x2, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """The cosine of the angle between vectors along ``dim``: ``x1 . x2 / (max(|x1|, eps) * max(|x2|, eps))``; broadcasts."""
    a, b = floating(x1, "cosine_similarity"), floating(x2, "cosine_similarity")
    product = a * b
    if a.ndim != b.ndim:  # ``dim`` counts the dimensions of the two broadcast together
        a, b = a.expand(product.shape), b.expand(product.shape)
    lengths = ops.clamp(ops.norm(a, 2, dim), min=eps) * ops.clamp(ops.norm(b, 2, dim), min=eps)
    return ops.sum(product, dim) / lengths


def pairwise_distance(x1, x2, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """The p-norm of ``x1 - x2 + eps`` along the last dimension; (rows, features) twice gives (rows), and it broadcasts.

    ``eps`` keeps the gradient finite between equal vectors.
    """
    return ops.norm(floating(x1, "pairwise_distance") - floating(x2, "pairwise_distance") + eps, p, -1, keepdim)


# -- shapes -------------------------------------------------------------------------------------------------------------


def one_hot(tensor, num_classes: int = -1) -> Tensor:
    """A 1 at the place each class names, zeros elsewhere: (..) integers give (.., num_classes) int64.

    Args:
        tensor: classes from 0.
        num_classes: how many there are; -1 for one more than the largest.

    Raises:
        DTypeError: for classes that are not integers.
        DimensionError: for a class outside 0 .. num_classes - 1.
    """
    classes = np.asarray(array_of(tensor))
    if classes.dtype.kind not in "iu":
        raise DTypeError(f"one_hot needs integer classes: got dtype {classes.dtype}; use .long()")
    if num_classes == -1:
        if not classes.size:
            raise UsageError("one_hot cannot infer the number of classes from an empty tensor: pass num_classes")
        num_classes = int(classes.max()) + 1
    if classes.size and (classes.min() < 0 or classes.max() >= num_classes):
        bad = classes.min() if classes.min() < 0 else classes.max()
        raise DimensionError(f"one_hot needs classes from 0 to {num_classes - 1}: got {bad}; pass a larger num_classes")
    return wrap((classes[..., None] == np.arange(num_classes)).astype(np.int64))


_SOURCES = {  # of a padded dimension: the place in the input, 0 .. n - 1, that place i (from -left to n + right - 1) copies
    "reflect": lambda i, n: (n - 1) - np.abs((n - 1) - np.abs(i)),
    "replicate": lambda i, n: np.clip(i, 0, n - 1),
    "circular": lambda i, n: i % n,
}
_LARGEST = {"reflect": lambda n: n - 1, "replicate": lambda n: math.inf if n else 0, "circular": lambda n: n}


def pad(input, pad, mode: str = "constant", value: float | None = None) -> Tensor:
    """``input`` with more elements on either side of its last dimensions.

    Args:
        input: of any shape.
        pad: (left, right) of the last dimension, then of the one before it, and so on; negative sizes cut elements off.
        mode: "constant" puts ``value`` there; "reflect" mirrors the input without repeating its edge, "replicate" repeats the
            edge, "circular" goes on at the other side.
        value: the constant, 0 if left out.

    Raises:
        UsageError: for another mode, an odd number of sizes, or a value where the mode is not constant.
        ShapeError: for more sizes than the input has dimensions, or more padding than its mode has elements for.
    """
    x = tensor_of(input)
    if mode != "constant" and mode not in _SOURCES:
        raise UsageError(f"pad knows the modes 'constant', 'reflect', 'replicate' and 'circular': got {mode!r}")
    pad = sizes((pad,))
    if len(pad) % 2:
        raise UsageError(f"pad takes a left and a right size for each dimension, from the last one on: got {tuple(pad)}")
    if len(pad) > 2 * x.ndim:
        raise ShapeError(f"pad has sizes for {len(pad) // 2} dimensions, from the last one on: the input has shape {x.shape}")
    widths = [(0, 0)] * (x.ndim - len(pad) // 2) + [(pad[i], pad[i + 1]) for i in range(len(pad) - 2, -1, -2)]
    if mode == "constant":
        return _pad_constant(x, widths, 0 if value is None else value)
    if value:
        raise UsageError(f"pad takes a value only in mode 'constant': got {value} with {mode!r}")
    for dim, (left, right) in enumerate(widths):
        if left or right:
            size = x.shape[dim]
            if max(left, right) > _LARGEST[mode](size) or left + size + right < 0:
                raise ShapeError(
                    f"pad with mode {mode!r} can add at most {_LARGEST[mode](size)} to a side of size {size} (dim {dim}): "
                    f"got {left} and {right}"
                )
            x = ops.index_select(x, dim, _SOURCES[mode](np.arange(-left, size + right), size))
    return x


def _pad_constant(x: Tensor, widths, value: float) -> Tensor:
    if any(left + size + right < 0 for size, (left, right) in zip(x.shape, widths)):
        raise ShapeError(f"pad cannot cut off more than there is: got {widths} for the dimensions of {x.shape}")
    if any(n < 0 for pair in widths for n in pair):
        keep = [(max(-left, 0), size + min(right, 0)) for size, (left, right) in zip(x.shape, widths)]
        x = ops.getitem(x, tuple(slice(start, stop) for start, stop in keep))
        widths = [(max(left, 0), max(right, 0)) for left, right in widths]
    return padded(x, tuple(widths), value) if any(map(any, widths)) else ops.clone(x)
