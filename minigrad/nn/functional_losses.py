"""Losses between tensors of one shape, as in ``torch.nn.functional`` (which re-exports them here); see also cross_entropy.

``reduction`` is "mean" (over all elements), "sum" or "none" in each of them.
"""

from __future__ import annotations

import warnings

import numpy as np

from .. import kernels
from ..errors import ShapeError, UsageError
from ..ops.activation import log_sigmoid
from ..ops.arithmetic import quiet, select, square
from ..ops.cross_entropy import REDUCTIONS, checked_reduction
from ..ops.elementwise import absolute, clamp, exp, log
from ..ops.layout import floating
from ..ops.reduction import mean, total
from ..ops.reduction import sum as sum_
from ..primitive import fused, primitive
from ..tensor import Tensor, raw, tensor_of


def _pair(name: str, input, target, reduction: str, allowed=REDUCTIONS) -> tuple[Tensor, Tensor]:
    """Both operands as tensors, after a warning where they are about to broadcast, which is seldom meant."""
    checked_reduction(reduction, name, allowed)
    x, y = floating(input, name), tensor_of(target)
    y = y.to(x.dtype) if y.dtype.kind in "biu" else floating(y, name)
    if x.shape != y.shape:
        warnings.warn(
            f"{name} got an input of shape {x.shape} and a target of shape {y.shape}, which broadcast, so that elements are "
            "compared that seldom belong together: give both one shape",
            UserWarning,
            stacklevel=3,
        )
    return x, y


def _same_shape(name: str, x: Tensor, y: Tensor) -> None:
    if x.shape != y.shape:
        raise ShapeError(f"{name} needs an input and a target of one shape: got {x.shape} and {y.shape}")


def _reduced(losses: Tensor, reduction: str) -> Tensor:
    return losses if reduction == "none" else sum_(losses) if reduction == "sum" else mean(losses)


def _mse_reference(x, y, reduction):
    return _reduced(square(x - y), reduction)


@fused(r"\frac{1}{n} \sum_i (x_i - y_i)^2", reference=_mse_reference, name="mse_loss")
def squared_distance(x, y, reduction):
    """The sum of the squared differences of two arrays of one shape, or their mean. Keeps the differences."""
    with quiet(all="ignore"):
        difference = x - y
        sum_of_squares = total.forward(difference * difference, tuple(range(x.ndim)), False)
        return sum_of_squares / x.dtype.type(x.size if reduction == "mean" else 1), difference


@squared_distance.backward("x", "y")
def _(g, reduction, kept, needs):
    slope = (g * kept.dtype.type(2 / (kept.size or 1) if reduction == "mean" else 2)) * kept
    return slope, -slope if needs[1] else None


def mse_loss(input, target, *, reduction: str = "mean") -> Tensor:
    """The squared difference ``(input - target)^2``."""
    x, y = _pair("mse_loss", input, target, reduction)
    if reduction != "none" and x.shape == y.shape and x.dtype == y.dtype:
        return squared_distance(x, y, reduction)
    return _reduced(square(x - y), reduction)


def l1_loss(input, target, *, reduction: str = "mean") -> Tensor:
    """The absolute difference ``|input - target|``; its gradient at 0 is 0."""
    x, y = _pair("l1_loss", input, target, reduction)
    return _reduced(absolute(x - y), reduction)


def _huber(x: Tensor, y: Tensor, delta: float) -> Tensor:
    distance = absolute(x - y)
    near = clamp(distance, max=delta)
    return near * (distance - 0.5 * near)  # distance^2 / 2 up to delta, then delta * (distance - delta / 2)


def huber_loss(input, target, reduction: str = "mean", delta: float = 1.0) -> Tensor:
    """``d^2 / 2`` for a difference d up to ``delta``, and from there on the straight line ``delta * (|d| - delta / 2)``.

    Source: Huber, "Robust Estimation of a Location Parameter", 1964.

    Raises:
        UsageError: if ``delta`` is not positive.
    """
    if not delta > 0:
        raise UsageError(f"huber_loss needs a positive delta: got {delta}")
    x, y = _pair("huber_loss", input, target, reduction)
    return _reduced(_huber(x, y, delta), reduction)


def smooth_l1_loss(input, target, *, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """``d^2 / (2 beta)`` for a difference d up to ``beta``, and ``|d| - beta / 2`` beyond: the Huber loss divided by beta.

    Source: Girshick, "Fast R-CNN", 2015, equation 3.

    Raises:
        UsageError: if ``beta`` is negative; with 0 it is the l1_loss.
    """
    if beta < 0:
        raise UsageError(f"smooth_l1_loss needs a beta from 0 upward: got {beta}")
    x, y = _pair("smooth_l1_loss", input, target, reduction)
    return _reduced(_huber(x, y, beta) / beta if beta else absolute(x - y), reduction)


@primitive(r"-y \ln x - (1 - y) \ln(1 - x)", name="binary_cross_entropy")
def against_probability(x, y):
    """The cross-entropy of probabilities; logarithms end at -100, so that a wrong certainty costs 100, not infinity."""
    with quiet(divide="ignore"):
        return -(y * np.maximum(np.log(x), -100) + (1 - y) * np.maximum(np.log1p(-x), -100))


@primitive(r"\max(\ln x, -100)")
def clamped_log(x):
    """The logarithm, but not below -100; the gradient is that of the logarithm, up to 1e12."""
    with quiet(divide="ignore"):
        return np.maximum(np.log(x), -100)


clamped_log.vjp(x=lambda g, x: g / np.maximum(x, 1e-12))
against_probability.vjp(
    x=lambda g, x, y: g * (x - y) / np.maximum(x * (1 - x), 1e-12),
    y=lambda g, x: g * (clamped_log.on(1 - x) - clamped_log.on(x)),
)


def binary_cross_entropy(input, target, weight=None, *, reduction: str = "mean") -> Tensor:
    """``-w (y log x + (1 - y) log(1 - x))`` of probabilities x against targets y, both in [0, 1].

    The logarithms are clamped at -100, as in PyTorch. binary_cross_entropy_with_logits is more exact, and needs no sigmoid.

    Raises:
        ShapeError: if input and target differ in shape.
        UsageError: if an input is outside [0, 1].
    """
    checked_reduction(reduction, "binary_cross_entropy")
    x, y = floating(input, "binary_cross_entropy"), floating(target, "binary_cross_entropy")
    _same_shape("binary_cross_entropy", x, y)
    values = raw(x)
    if values.size and (values.min() < 0 or values.max() > 1):
        bad = values.min() if values.min() < 0 else values.max()
        raise UsageError(
            f"binary_cross_entropy needs probabilities from 0 to 1: got {bad}; apply sigmoid, or use the form with logits"
        )
    losses = against_probability(x, y)
    return _reduced(losses if weight is None else losses * weight, reduction)


def _logits_reference(x, y):
    return (1 - y) * x - log_sigmoid.reference(x)


@fused(r"(1 - y) x - \ln \sigma(x)", reference=_logits_reference, name="binary_cross_entropy_with_logits")
def against_logits(x, y):
    """The cross-entropy of logits x and answers y of one shape, element by element."""
    return kernels.activations.logits_loss(y, x), None


@against_logits.backward("x", "y")
def _(g, x, y, needs):
    return g * kernels.activations.logits_loss_slope(y, x), -g * x if needs[1] else None


def binary_cross_entropy_with_logits(input, target, weight=None, *, reduction: str = "mean", pos_weight=None) -> Tensor:
    """``-w (p y log sigmoid(x) + (1 - y) log(1 - sigmoid(x)))`` of logits x against targets y, without overflow.

    Args:
        input: logits, of any shape.
        target: of the same shape, in [0, 1].
        weight: how much each element counts; broadcasts.
        pos_weight: the factor p of the positive answers; broadcasts, usually (classes).

    Raises:
        ShapeError: if input and target differ in shape.
    """
    name = "binary_cross_entropy_with_logits"
    checked_reduction(reduction, name)
    x, y = floating(input, name), floating(target, name)
    _same_shape(name, x, y)
    if pos_weight is None and x.dtype == y.dtype:
        losses = against_logits(x, y)
    else:  # log(1 - sigmoid(x)) = log sigmoid(x) - x, so one logarithm serves both terms
        positive = 1 if pos_weight is None else 1 + (pos_weight - 1) * y
        losses = (1 - y) * x - positive * log_sigmoid(x)
    return _reduced(losses if weight is None else losses * weight, reduction)


def kl_div(input, target, *, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """The Kullback-Leibler divergence, element by element: ``y (log y - x)``, where x holds log-probabilities; 0 where y is 0.

    Args:
        input: log-probabilities, of any shape.
        target: probabilities of the same shape, or their logarithms with ``log_target``.
        reduction: "batchmean" (the sum divided by the size of the first dimension: the divergence as mathematics has it),
            "mean" over all elements, "sum" or "none".
    """
    x, y = _pair("kl_div", input, target, reduction, (*REDUCTIONS, "batchmean"))
    if log_target:
        losses = exp(y) * (y - x)
    else:
        nothing = raw(y) == 0
        losses = y * (log(select(nothing, 1.0, y)) - select(nothing, 0.0, x))  # no 0 * inf, forward or backward
    if reduction == "batchmean":
        return sum_(losses) / x.shape[0]
    return _reduced(losses, reduction)
