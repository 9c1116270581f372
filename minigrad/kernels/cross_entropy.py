"""Cross-entropy of logits against class indices: log-softmax and negative log-likelihood in one pass, forward and backward.

Loss and gradient can also be had at once, written over logits that nobody needs afterwards.

Logits are contiguous, ``(rows, classes)`` in float32 or float64; ``targets`` ``(rows,)`` is int64, each a class or
``ignore_index``; ``weight`` ``(classes,)`` has the dtype of the logits. The probabilities are never stored: the backward pass
forms them again from the logits and two numbers a row.

The loss of a row with target t, of weights w and label smoothing e over C classes (PyTorch's definition; Szegedy et al.,
"Rethinking the Inception Architecture for Computer Vision", 2016, section 7), with ``p = softmax(logits)``::

    loss = -(1 - e) w[t] log p[t] - e/C sum_c w[c] log p[c]
    d loss / d logits[j] = p[j] ((1 - e) w[t] + e/C sum_c w[c]) - e/C w[j] - [j = t] (1 - e) w[t]

A row whose target is ``ignore_index`` has loss 0 and gradient 0, whatever its logits hold.
"""

import numpy as np
from numba import prange

from minigrad.kernels.jit import chunk_count, constant, core, driver, summing_core
from minigrad.kernels.softmax import TILE, log_sum_exp
from minigrad.kernels.vectormath import exp_negative, row_max

PER_CHUNK = 16_384  # logits below which a second thread does not pay


def cross_entropy(logits, targets, weight=None, ignore_index=-100, label_smoothing=0.0):
    """Return the loss of each row, what the backward pass needs, and the divisor of the mean.

    Args:
        logits: ``(rows, classes)``.
        targets: ``(rows,)``, each in ``0 .. classes - 1`` or ``ignore_index``; others are undefined behaviour.
        weight: ``(classes,)``, or None for ones.
        ignore_index: the target of rows that do not count.
        label_smoothing: the share of the target spread over all classes, 0 to 1.

    Returns:
        ``(loss, lse, total_weight)``: ``(rows,)``; ``(rows, 2)``, the two terms of ``log_sum_exp`` of each row; and a float,
        the sum of ``weight[target]`` over the rows that count, by which the mean divides: 0.0 where all targets are ignored.
    """
    rows = len(logits)
    loss, lse = np.empty(rows, logits.dtype), np.zeros((rows, 2), logits.dtype)
    weight = _weights(weight, logits)
    args = logits, targets, weight, ignore_index, logits.dtype.type(label_smoothing), loss, lse
    chunks = chunk_count(logits.size, PER_CHUNK)
    if chunks == 1:
        _forward(*args, 0, rows)
    else:
        _forward_chunks(*args, chunks)
    return loss, lse, total_weight(targets, weight, ignore_index)


def cross_entropy_backward(logits, lse, targets, row_scale, weight=None, ignore_index=-100, label_smoothing=0.0, out=None):
    """Return the gradient by the logits.

    Args:
        logits, targets, weight, ignore_index, label_smoothing: as given to ``cross_entropy``.
        lse: what ``cross_entropy`` returned.
        row_scale: the gradient of each row's loss, ``(rows,)``; for a mean, divided by its divisor.
        out: where to write the result, the logits themselves included.
    """
    rows, out = len(logits), np.empty_like(logits) if out is None else out
    smoothing, in_place = logits.dtype.type(label_smoothing), out is logits
    args = logits, lse, targets, row_scale, _weights(weight, logits), ignore_index, smoothing, out, in_place
    chunks = chunk_count(logits.size, PER_CHUNK)
    if chunks == 1:
        _backward(*args, 0, rows)
    else:
        _backward_chunks(*args, chunks)
    return out


def cross_entropy_and_gradient_(logits, targets, row_scale, weight=None, label_smoothing=0.0):
    """Return the loss of each row, and write the gradient by the logits over these.

    One exponential for each logit, where ``cross_entropy`` and ``cross_entropy_backward`` together take two.

    Args:
        logits, targets, weight, label_smoothing: as for ``cross_entropy``, but every target is a class: no row is ignored.
        row_scale: the gradient of each row's loss, ``(rows,)``, by which the gradient is scaled, and the loss is not.
    """
    rows = len(logits)
    loss = np.empty(rows, logits.dtype)
    args = logits, targets, row_scale, _weights(weight, logits), logits.dtype.type(label_smoothing), loss
    chunks = chunk_count(logits.size, PER_CHUNK)
    if chunks == 1:
        _loss_and_gradient(*args, 0, rows)
    else:
        _loss_and_gradient_chunks(*args, chunks)
    return loss


def negative_log_likelihood(log_probs, targets, weight=None, ignore_index=-100):
    """Return ``-weight[t] * log_probs[t]`` of each row for its target t, 0 where that is ignored; and the divisor of the mean.

    Arguments as for ``cross_entropy``, but with logarithms of probabilities, ``(rows, classes)``, for logits.
    """
    loss, weight = np.empty(len(log_probs), log_probs.dtype), _weights(weight, log_probs)
    _pick(log_probs, targets, weight, ignore_index, loss)
    return loss, total_weight(targets, weight, ignore_index)


def negative_log_likelihood_backward(row_scale, targets, weight, ignore_index, classes):
    """Return the gradient by the log-probabilities, ``(rows, classes)``; ``row_scale`` is that of each row's loss."""
    out = np.zeros((len(targets), classes), row_scale.dtype)
    _place(row_scale, targets, _weights(weight, out), ignore_index, out)
    return out


def _weights(weight, logits):
    return constant(logits.shape[1], 1, logits.dtype) if weight is None else weight


@summing_core
def _forward(logits, targets, weight, ignore_index, smoothing, loss, lse, start, stop):
    classes = logits.shape[1]
    one = logits.dtype.type(1)
    step = 1 + TILE // max(1, classes)
    scratch = np.empty((step, classes), logits.dtype)
    for first in range(start, stop, step):
        last = min(stop, first + step)
        log_sum_exp(logits, first, last, lse[first:last], scratch)
        for i in range(first, last):
            target = targets[i]
            if target == ignore_index:
                loss[i] = 0
                continue
            top, log_total = lse[i]
            loss[i] = (smoothing - one) * weight[target] * _log_prob(logits[i, target], top, log_total)
            if smoothing > 0:
                spread = logits.dtype.type(0)
                for j in range(classes):
                    spread -= weight[j] * _log_prob(logits[i, j], top, log_total)
                loss[i] += smoothing / logits.dtype.type(classes) * spread


@driver
def _forward_chunks(logits, targets, weight, ignore_index, smoothing, loss, lse, chunks):
    rows = len(logits)
    for c in prange(chunks):
        first, last = c * rows // chunks, (c + 1) * rows // chunks
        _forward(logits, targets, weight, ignore_index, smoothing, loss, lse, first, last)


@summing_core
def _backward(logits, lse, targets, row_scale, weight, ignore_index, smoothing, out, in_place, start, stop):
    classes = logits.shape[1]
    one = logits.dtype.type(1)
    weight_sum = logits.dtype.type(0)
    for j in range(classes):
        weight_sum += weight[j]
    for i in range(start, stop):
        target = targets[i]
        if target == ignore_index:
            for j in range(classes):
                out[i, j] = 0
            continue
        top, log_total = lse[i, 0], lse[i, 1]
        hit = row_scale[i] * (one - smoothing) * weight[target]
        spread = row_scale[i] * smoothing / logits.dtype.type(classes)
        factor = hit + spread * weight_sum
        if in_place:  # on one array alone, or LLVM would find an overlap and run the loop one element at a time
            for j in range(classes):
                out[i, j] = factor * exp_negative(_log_prob(out[i, j], top, log_total))
        else:
            for j in range(classes):
                out[i, j] = factor * exp_negative(_log_prob(logits[i, j], top, log_total))
        if smoothing > 0:
            for j in range(classes):
                out[i, j] -= spread * weight[j]
        out[i, target] -= hit


@driver
def _backward_chunks(logits, lse, targets, row_scale, weight, ignore_index, smoothing, out, in_place, chunks):
    rows = len(logits)
    for c in prange(chunks):
        first, last = c * rows // chunks, (c + 1) * rows // chunks
        _backward(logits, lse, targets, row_scale, weight, ignore_index, smoothing, out, in_place, first, last)


@summing_core
def _loss_and_gradient(logits, targets, row_scale, weight, smoothing, loss, start, stop):
    classes = logits.shape[1]
    one = logits.dtype.type(1)
    weight_sum = logits.dtype.type(0)
    for j in range(classes):
        weight_sum += weight[j]
    share = smoothing / logits.dtype.type(classes)
    for i in range(start, stop):
        target = targets[i]
        top = row_max(logits, i)
        centred = logits.dtype.type(0)
        if smoothing > 0:
            for j in range(classes):
                centred += weight[j] * (logits[i, j] - top)
        chosen = logits[i, target] - top
        total = logits.dtype.type(0)
        for j in range(classes):
            p = exp_negative(logits[i, j] - top)
            logits[i, j] = p
            total += p
        log_total = np.log(total)
        hit = (one - smoothing) * weight[target]
        loss[i] = hit * (log_total - chosen)
        if smoothing > 0:
            loss[i] += share * (weight_sum * log_total - centred)
        factor = row_scale[i] * (hit + share * weight_sum) / total
        spread = row_scale[i] * share
        if smoothing > 0:
            for j in range(classes):
                logits[i, j] = factor * logits[i, j] - spread * weight[j]
        else:
            for j in range(classes):
                logits[i, j] *= factor
        logits[i, target] -= row_scale[i] * hit


@driver
def _loss_and_gradient_chunks(logits, targets, row_scale, weight, smoothing, loss, chunks):
    rows = len(logits)
    for c in prange(chunks):
        first, last = c * rows // chunks, (c + 1) * rows // chunks
        _loss_and_gradient(logits, targets, row_scale, weight, smoothing, loss, first, last)


@summing_core
def total_weight(targets, weight, ignore_index):
    """Return the sum of ``weight[target]`` over the targets that count, in float64."""
    total = np.float64(0)
    for i in range(len(targets)):
        if targets[i] != ignore_index:
            total += weight[targets[i]]
    return total


@core
def all_below(targets, classes):
    """Return whether every target is in ``0 .. classes - 1``."""
    outside = 0
    for i in range(len(targets)):
        outside += targets[i] < 0 or targets[i] >= classes
    return outside == 0


@core
def _pick(log_probs, targets, weight, ignore_index, loss):
    for i in range(len(targets)):
        t = targets[i]
        loss[i] = 0 if t == ignore_index else -weight[t] * log_probs[i, t]


@core
def _place(row_scale, targets, weight, ignore_index, out):
    for i in range(len(targets)):
        t = targets[i]
        if t != ignore_index:
            out[i, t] = -weight[t] * row_scale[i]


@core
def _log_prob(logit, top, log_total):
    """The order matters: ``logit - top`` is exact where ``top + log_total`` would round."""
    return (logit - top) - log_total
