"""A model's output layer and its loss as one operation, which never holds the logits of all rows.

With a vocabulary of 10,000 words the logits of 4,096 tokens take 160 MB and their gradient as much again: more than the rest of
a small model. Here the rows pass in blocks: the logits of a block, their losses, the gradients written over them, and the
block's share of the gradients of input and weight, in one buffer that the cache may keep.

The gradient of a row's loss is known in the forward pass but for the factor that arrives from above. Where that is the same for
all rows, after a mean or a sum, the forward pass computes the gradients at once and the backward pass only scales them. That
spares the logits a second time: three matrix products instead of four.
"""

from __future__ import annotations

import numpy as np

from .. import kernels
from ..errors import ShapeError
from ..gradmode import is_grad_enabled
from ..primitive import fused
from ..tensor import Tensor, raw
from .arithmetic import select
from .cross_entropy import (
    against_classes,
    checked_reduction,
    checked_smoothing,
    checked_targets,
    checked_weight,
    class_weights,
)
from .layout import floating, one_dtype, ready
from .linear import affine
from .shaping import reshape

BLOCK = 16 << 20  # bytes of logits at a time: with less the matrix products slow down, with more nothing is gained
LEAST_ROWS = 384  # of a block, however large the vocabulary: each block passes over the whole weight and its gradient


class _Blocks:
    """The rows whose targets count, block by block. The rows of padding cost nothing, and what they hold does not matter."""

    def __init__(self, x, weight, bias, targets, ignore_index):
        self.x, self.weight, self.bias = ready(x), ready(weight), None if bias is None else ready(bias)
        self.counted = targets != ignore_index
        self.places = None if self.counted.all() else np.flatnonzero(self.counted)
        self.targets = self.pick(targets)

    def pick(self, array):
        """The rows of ``array`` that count."""
        return array if self.places is None else array[self.places]

    def put(self, values):
        """The way back: ``values`` at the rows that count, 0 at the others."""
        if self.places is None:
            return values
        result = np.zeros((len(self.counted), *values.shape[1:]), values.dtype)
        result[self.places] = values
        return result

    def __iter__(self):
        """(slice of the rows that count, their inputs, their logits); each block's logits overwrite those of the last."""
        rows, classes, dtype = len(self.targets), len(self.weight), self.x.dtype
        most = max(LEAST_ROWS, BLOCK // max(1, classes * dtype.itemsize))
        count = -(-rows // most)
        size = -(-rows // max(1, count))  # all of one size, or the last might have a single row
        buffer = np.empty((size, classes), dtype)
        for start in range(0, rows, max(1, size)):
            block = slice(start, min(rows, start + size))
            x = self.x[block] if self.places is None else self.x[self.places[block]]
            logits = kernels.matmul.matmul(x, self.weight.T, out=buffer[: len(x)], start=self.bias)
            yield block, x, logits

    def losses(self, class_weight, label_smoothing):
        """The loss of each row that counts."""
        losses = np.empty(len(self.targets), self.x.dtype)
        forward = kernels.cross_entropy.cross_entropy
        for block, _, logits in self:
            losses[block], _, _ = forward(logits, self.targets[block], class_weight, label_smoothing=label_smoothing)
        return losses

    def gradients(self, scale, class_weight, label_smoothing, needs):
        """The losses of the rows that count, and the gradients of input (these rows), weight and bias, None where not needed.

        Args:
            scale: what arrives from above at the loss of each row that counts.
        """
        losses = np.empty(len(self.targets), self.x.dtype)
        gx = np.empty((len(losses), self.x.shape[1]), self.x.dtype) if needs[0] else None
        gweight = np.zeros_like(self.weight) if needs[1] else None
        gbias = np.zeros_like(self.bias) if needs[2] and self.bias is not None else None
        both = kernels.cross_entropy.cross_entropy_and_gradient_
        for block, x, logits in self:
            losses[block] = both(logits, self.targets[block], scale[block], class_weight, label_smoothing)
            if gx is not None:
                kernels.matmul.matmul(logits, self.weight, out=gx[block])
            if gweight is not None:
                kernels.matmul.matmul(logits.T, x, out=gweight, start=gweight)
            if gbias is not None:
                gbias += kernels.bias.sum_rows(logits)
        return losses, (gx, gweight, gbias)


def _divisor(reduction, targets, class_weight, ignore_index, dtype) -> float:
    """What the sum of the losses is divided by: for a mean the sum of the weights of the targets that count."""
    if reduction != "mean":
        return 1.0
    weights, _ = class_weights(targets, class_weight, ignore_index, dtype)
    return float(weights.sum(dtype=np.float64)) or 1.0


def _reference(x, weight, bias, targets, class_weight, ignore_index, label_smoothing, reduction, ahead):
    x = select((targets != ignore_index)[:, None], x, 0.0)  # what an ignored row holds must not matter
    logits = affine.reference(x, weight, bias)
    return against_classes.reference(logits, targets, class_weight, ignore_index, label_smoothing, reduction)


@fused(r"-\sum_i w_{t_i} \ln \mathrm{softmax}(W x_i + b)_{t_i}", reference=_reference, name="linear_cross_entropy")
def against_classes_of(x, weight, bias, targets, class_weight, ignore_index, label_smoothing, reduction, ahead):
    """The cross-entropy of ``x W^T + b``. Computes the gradients of input, weight and bias at once where ``ahead`` says so."""
    blocks = _Blocks(x, weight, bias, targets, ignore_index)
    if reduction == "none":
        return blocks.put(blocks.losses(class_weight, label_smoothing)), (1.0, None)
    divisor = _divisor(reduction, targets, class_weight, ignore_index, x.dtype)
    gradients = None
    if any(ahead):
        scale = np.full(len(blocks.targets), 1 / divisor, x.dtype)
        losses, gradients = blocks.gradients(scale, class_weight, label_smoothing, ahead)
    else:
        losses = blocks.losses(class_weight, label_smoothing)
    return np.add.reduce(losses) / losses.dtype.type(divisor), (divisor, gradients)


@against_classes_of.backward("x", "weight", "bias")
def _(g, x, weight, bias, targets, class_weight, ignore_index, label_smoothing, kept, needs):
    blocks = _Blocks(x, weight, bias, targets, ignore_index)
    divisor, gradients = kept
    if gradients is None:
        scale = blocks.pick(np.broadcast_to(g / g.dtype.type(divisor), targets.shape))
        _, gradients = blocks.gradients(ready(scale), class_weight, label_smoothing, needs)
    else:
        gradients = [part if part is None else part * g for part in gradients]
    gx, gweight, gbias = gradients
    return gx if gx is None else blocks.put(gx), gweight, gbias


def linear_cross_entropy(
    input,
    linear_weight,
    target,
    *,
    linear_bias=None,
    weight=None,
    reduction: str = "mean",
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> Tensor:
    """``cross_entropy(linear(input, linear_weight, linear_bias), target)``, without ever holding all logits.

    Its memory grows with tokens + vocabulary, not with their product. The same values and gradients, and PyTorch's name for it.

    Args:
        input: (.., features), such as the last hidden states of a language model.
        linear_weight: (classes, features), the output layer.
        target: integer classes, shaped as ``input`` without its last dimension. Rows that are ignored are not computed.
        linear_bias: (classes), or None.
        weight, reduction, ignore_index, label_smoothing: as for :func:`~.cross_entropy.cross_entropy`.

    Returns:
        the mean or the sum of the losses, or the losses, shaped as ``target``.

    Raises:
        ShapeError: if the shapes do not fit.
        DimensionError: if a target is outside the classes.
        DTypeError: if the dtypes differ, or for targets that are no integers.
        UsageError: for a smoothing outside [0, 1], or an unknown reduction.
    """
    name = "linear_cross_entropy"
    x = floating(input, name)
    one_dtype(name, x, linear_weight=linear_weight, linear_bias=linear_bias)
    checked_reduction(reduction, name)
    checked_smoothing(label_smoothing, name)
    shapes = x.shape, linear_weight.shape
    if not x.ndim or len(shapes[1]) != 2 or shapes[0][-1] != shapes[1][1]:
        raise ShapeError(
            f"{name} needs an input (.., features) and a linear_weight (classes, features): got {shapes[0]} and {shapes[1]}"
        )
    classes, features = shapes[1]
    if linear_bias is not None and linear_bias.shape != (classes,):
        raise ShapeError(f"{name} needs a linear_bias of shape ({classes},), one number a class: got {linear_bias.shape}")
    weight = checked_weight(weight, x, classes, name)
    given = np.asarray(raw(target))
    if given.shape != x.shape[:-1]:
        raise ShapeError(f"{name} needs targets of shape {x.shape[:-1]} for an input of shape {x.shape}: got {given.shape}")
    targets = checked_targets(given, classes, ignore_index, name).reshape(-1)
    operands = x if x.ndim == 2 else reshape(x, len(targets), features), linear_weight, linear_bias
    ahead = tuple([isinstance(t, Tensor) and t.requires_grad and is_grad_enabled() for t in operands])
    losses = against_classes_of(*operands, targets, weight, ignore_index, float(label_smoothing), reduction, ahead)
    return reshape(losses, given.shape) if reduction == "none" and x.ndim != 2 else losses
