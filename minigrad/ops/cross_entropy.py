"""Cross-entropy over a vocabulary: log-softmax and the choice of the target in one pass, the probabilities never stored."""

from __future__ import annotations

import numpy as np

from .. import kernels
from ..errors import DimensionError, DTypeError, ShapeError, UsageError
from ..primitive import fused
from ..tensor import Tensor, array_of, raw, wrap
from .activation import log_soft_maximum, log_softmax
from .arithmetic import select
from .indexing import getitem
from .layout import floating, one_dtype, ready
from .reduction import sum as sum_
from .shaping import permute, reshape

REDUCTIONS = ("none", "mean", "sum")


def class_weights(targets, weight, ignore_index: int, dtype):
    """How much each target counts: 0 where ignored, else its class's weight, or 1; and the targets with a class for all."""
    counted = targets != ignore_index
    safe = np.where(counted, targets, 0)
    return counted.astype(dtype) if weight is None else np.where(counted, raw(weight)[safe], 0), safe


def reduced(losses, weights, reduction: str):
    """The losses as they are, their sum, or their sum over the sum of ``weights``; 0 where no target counts."""
    if reduction == "none":
        return losses
    if reduction == "sum":
        return sum_(losses)
    return sum_(losses) / (float(weights.sum(dtype=np.float64)) or 1.0)


def _reference(logits, targets, weight, ignore_index, label_smoothing, reduction):
    counted = targets != ignore_index
    log_p = log_soft_maximum.reference(select(counted[:, None], logits, 0.0), 1)  # what an ignored row holds must not matter
    weights, safe = class_weights(targets, weight, ignore_index, log_p.dtype)
    rows = np.arange(len(targets))
    losses = (label_smoothing - 1) * weights * getitem(log_p, (rows, safe))
    if label_smoothing:
        spread = log_p if weight is None else log_p * raw(weight)
        losses = losses - label_smoothing / log_p.shape[1] * sum_(spread, 1)
    return reduced(select(counted, losses, 0.0), weights, reduction)


@fused(r"-\sum_i w_{t_i} \ln \mathrm{softmax}(x_i)_{t_i}", reference=_reference, name="cross_entropy")
def against_classes(logits, targets, weight, ignore_index, label_smoothing, reduction):
    """The loss of each row of logits (rows, classes), or its sum or mean. Keeps two numbers a row, and the mean's divisor."""
    losses, lse, total = kernels.cross_entropy.cross_entropy(ready(logits), targets, weight, ignore_index, label_smoothing)
    out, divisor = _summed_up(losses, total, reduction)
    return out, (lse, divisor)


@against_classes.backward("logits")
def _(g, logits, targets, weight, ignore_index, label_smoothing, kept):
    lse, divisor = kept
    scale = _row_scale(g, divisor, targets)
    backward = kernels.cross_entropy.cross_entropy_backward
    return (backward(ready(logits), lse, targets, scale, weight, ignore_index, label_smoothing),)


def _row_scale(g, divisor: float, targets):
    """The gradient of each row's loss: ``g``, of the losses or of their sum, over the divisor of the mean."""
    scale = g / g.dtype.type(divisor)
    if scale.shape:
        return ready(scale)
    everywhere = np.empty(targets.shape, g.dtype)
    everywhere.fill(scale)
    return everywhere


def _nll_reference(log_probs, targets, weight, ignore_index, reduction):
    weights, safe = class_weights(targets, weight, ignore_index, log_probs.dtype)
    chosen = getitem(log_probs, (np.arange(len(targets)), safe))
    losses = select(targets != ignore_index, -weights * chosen, 0.0)  # not a product: an ignored -inf would become NaN
    return reduced(losses, weights, reduction)


@fused(r"-\sum_i w_{t_i} x_{i, t_i}", reference=_nll_reference, name="nll_loss")
def against_log_probabilities(log_probs, targets, weight, ignore_index, reduction):
    """Minus the log-probability (rows, classes) of each row's target, or the sum or mean of these. Keeps the mean's divisor."""
    losses, total = kernels.cross_entropy.negative_log_likelihood(ready(log_probs), targets, weight, ignore_index)
    return _summed_up(losses, total, reduction)


@against_log_probabilities.backward("log_probs")
def _(g, log_probs_shape, targets, weight, ignore_index, kept):
    backward = kernels.cross_entropy.negative_log_likelihood_backward
    return (backward(_row_scale(g, kept, targets), targets, weight, ignore_index, log_probs_shape[1]),)


def _summed_up(losses, total: float, reduction: str):
    """The losses, their sum or their mean; and what they were divided by."""
    if reduction == "none":
        return losses, 1.0
    divisor = total or 1.0 if reduction == "mean" else 1.0
    return np.add.reduce(losses) / losses.dtype.type(divisor), divisor


def checked_reduction(reduction: str, name: str, allowed=REDUCTIONS) -> None:
    """Raise UsageError unless ``reduction`` is one of those allowed."""
    if reduction not in allowed:
        raise UsageError(f"{name} knows the reductions {', '.join(map(repr, allowed))}: got {reduction!r}")


def checked_smoothing(label_smoothing: float, name: str) -> None:
    """Raise UsageError unless it is a share, 0 to 1."""
    if not 0 <= label_smoothing <= 1:
        raise UsageError(f"{name} needs a label_smoothing from 0 to 1: got {label_smoothing}")


def checked_targets(targets, classes: int, ignore_index: int, name: str) -> np.ndarray:
    """``targets`` as contiguous int64, each a class or ``ignore_index``.

    Raises:
        DTypeError: if they are not integers.
        DimensionError: if one is outside the classes.
    """
    if targets.dtype.kind not in "iu":
        raise DTypeError(f"{name} needs integer targets here: got dtype {targets.dtype}; use .long() if these are classes")
    targets = ready(targets.astype(np.int64, copy=False))
    if not kernels.cross_entropy.all_below(targets.reshape(-1), classes):
        bad = (targets != ignore_index) & ((targets < 0) | (targets >= classes))
        if bad.any():
            raise DimensionError(
                f"{name} needs targets from 0 to {classes - 1} for {classes} classes, or ignore_index={ignore_index}: "
                f"got {targets[bad][0]}; widen the output layer, or map this target to one of its classes"
            )
    return targets


def classes_last(x: Tensor) -> tuple[Tensor, tuple[int, ...]]:
    """(rows, classes) from (classes), (rows, classes) or (batch, classes, d1, ..); and the shape of the targets."""
    if x.ndim == 1:
        return reshape(x, 1, -1), ()
    if x.ndim == 2:
        return x, x.shape[:1]
    moved = permute(x, 0, *range(2, x.ndim), 1)
    return reshape(moved, moved.shape[:-1] and -1, x.shape[1]) if x.size else reshape(moved, 0, x.shape[1]), moved.shape[:-1]


def checked_weight(weight, x: Tensor, classes: int, name: str):
    """The array of class weights, or None.

    Raises:
        ShapeError: if there is not one per class.
    """
    if weight is None:
        return None
    one_dtype(name, x, weight=weight)
    if weight.shape != (classes,):
        raise ShapeError(f"{name} needs one weight per class, shape ({classes},): got {weight.shape}")
    return ready(raw(weight))


def cross_entropy(
    input, target, weight=None, *, ignore_index: int = -100, reduction: str = "mean", label_smoothing: float = 0.0
) -> Tensor:
    """The cross-entropy of logits against classes, or against a distribution over the classes.

    ``-w[t] log softmax(x)[t]`` for class t; ``-sum_c w[c] q[c] log softmax(x)[c]`` for a distribution q. The mean divides by
    the sum of the weights of the targets that count, and for distributions by their number. Where every target is ignored,
    the mean is 0 with zero gradients (PyTorch gives NaN), so one batch of padding does not ruin a training run.

    Args:
        input: logits, (classes), (rows, classes) or (batch, classes, d1, ..).
        target: integer classes of shape (), (rows) or (batch, d1, ..); or probabilities of the shape of ``input``.
        weight: (classes), how much each class counts, or None; gradients do not flow to it.
        ignore_index: the class of targets that do not count.
        reduction: "mean", "sum" or "none" (one loss per target).
        label_smoothing: the share of the target that is spread evenly over all classes, 0 to 1 (Szegedy et al.,
            "Rethinking the Inception Architecture for Computer Vision", 2016, section 7).

    Raises:
        ShapeError: if the shapes do not fit.
        DimensionError: if a target is outside the classes.
        DTypeError: for targets that are neither integers nor of the shape of ``input``.
        UsageError: for a smoothing outside [0, 1], or an unknown reduction.
    """
    x = floating(input, "cross_entropy")
    checked_reduction(reduction, "cross_entropy")
    checked_smoothing(label_smoothing, "cross_entropy")
    if not x.ndim:
        raise ShapeError("cross_entropy needs logits (classes), (rows, classes) or (batch, classes, d1, ..): got a scalar")
    classes = x.shape[0 if x.ndim == 1 else 1]
    weight = checked_weight(weight, x, classes, "cross_entropy")
    given = np.asarray(array_of(target))
    if given.dtype.kind == "f":
        if given.shape != x.shape:
            raise ShapeError(
                "cross_entropy takes float targets as class probabilities, of the shape of the input "
                f"{x.shape}: got {given.shape}; for class indices use .long()"
            )
        return _against_distribution(x, target, weight, reduction, label_smoothing)
    rows, shape = classes_last(x)
    if given.shape != shape:
        raise ShapeError(f"cross_entropy needs targets of shape {shape} for logits of shape {x.shape}: got {given.shape}")
    targets = checked_targets(given, classes, ignore_index, "cross_entropy").reshape(-1)
    result = against_classes(rows, targets, weight, ignore_index, float(label_smoothing), reduction)
    return reshape(result, shape) if reduction == "none" and result.shape != shape else result


def _against_distribution(x: Tensor, target, weight, reduction: str, label_smoothing: float) -> Tensor:
    rows, shape = classes_last(x)
    q, _ = classes_last(target if isinstance(target, Tensor) else wrap(target))
    one_dtype("cross_entropy", x, target=q)
    if label_smoothing:
        q = q * (1 - label_smoothing) + label_smoothing / rows.shape[1]
    agreement = q * (log_softmax(rows, 1) if weight is None else log_softmax(rows, 1) * weight)
    if reduction == "none":
        return reshape(-sum_(agreement, 1), shape)
    return sum_(agreement) / (-rows.shape[0] if reduction == "mean" else -1)


def nll_loss(input, target, weight=None, *, ignore_index: int = -100, reduction: str = "mean") -> Tensor:
    """The negative log-likelihood ``-w[t] x[t]`` of classes t under log-probabilities x, such as log_softmax gives.

    Arguments, shapes, errors and the meaning of the mean are those of :func:`cross_entropy`.
    """
    x = floating(input, "nll_loss")
    checked_reduction(reduction, "nll_loss")
    if not x.ndim:
        raise ShapeError(
            "nll_loss needs log-probabilities (classes), (rows, classes) or (batch, classes, d1, ..): got a scalar"
        )
    rows, shape = classes_last(x)
    weight = checked_weight(weight, x, rows.shape[1], "nll_loss")
    given = np.asarray(array_of(target))
    if given.shape != shape:
        raise ShapeError(f"nll_loss needs targets of shape {shape} for log-probabilities of shape {x.shape}: got {given.shape}")
    targets = checked_targets(given, rows.shape[1], ignore_index, "nll_loss").reshape(-1)
    result = against_log_probabilities(rows, targets, weight, ignore_index, reduction)
    return reshape(result, shape) if reduction == "none" and result.shape != shape else result
