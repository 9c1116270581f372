"""Layer normalisation and root-mean-square normalisation of rows, forward and backward.

Every array is contiguous and of one dtype, float32 or float64; ``x``, ``g``, ``out`` and ``gx`` are ``(rows, features)``,
``weight`` and ``bias`` ``(features,)``.

Sources: Ba, Kiros and Hinton, "Layer Normalization", 2016, section 3; Zhang and Sennrich, "Root Mean Square Layer
Normalization", NeurIPS 2019, section 3.
"""

import numpy as np
from numba import prange

from minigrad.kernels.bias import sum_rows
from minigrad.kernels.jit import chunk_count, constant, driver, summing_core

PER_CHUNK = 32_768  # elements below which a second thread does not pay
BLOCK = 64  # rows whose parameter gradients are summed together; fixed, so the bits do not depend on the thread count


def layer_norm(x, weight, bias, eps: float):
    """Normalise each row to mean 0 and variance 1, then scale and shift it.

    ``out = (x - mean) * rstd * weight + bias`` with ``rstd = 1 / sqrt(mean((x - mean)^2) + eps)``. The mean is kept in
    float64 and subtracted before squaring, so a row of 10^4 plus small noise keeps the digits of its noise.

    Args:
        x: the rows.
        weight: the scale, or None for ones.
        bias: the shift, or None for zeros.
        eps: what is added to the variance.

    Returns:
        ``(out, mean, rstd)``: the rows, ``(rows,)`` in float64, and ``(rows,)`` in the dtype of ``x``.
    """
    rows, features = x.shape
    weight = constant(features, 1, x.dtype) if weight is None else weight
    bias = constant(features, 0, x.dtype) if bias is None else bias
    out, mean, rstd = np.empty_like(x), np.empty(rows, np.float64), np.empty(rows, x.dtype)
    chunks = chunk_count(x.size, PER_CHUNK)
    if chunks == 1:
        _layer_norm(x, weight, bias, eps, out, mean, rstd, 0, rows)
    else:
        _layer_norm_chunks(x, weight, bias, eps, out, mean, rstd, chunks)
    return out, mean, rstd


def layer_norm_backward(g, x, mean, rstd, weight):
    """Return the gradients of ``layer_norm`` by its input, weight and bias.

    With ``xhat = (x - mean) * rstd`` and ``h = g * weight``: ``gx = rstd * (h - mean(h) - xhat * mean(h * xhat))``, the means
    taken over a row; ``gweight = sum(g * xhat)`` and ``gbias = sum(g)``, the sums taken over the rows.

    Args:
        g: the gradient of ``out``.
        x, mean, rstd: the input of ``layer_norm``, and what it returned.
        weight: the scale, or None for ones.

    Returns:
        ``(gx, gweight, gbias)``.
    """
    rows, features = x.shape
    weight = constant(features, 1, x.dtype) if weight is None else weight
    gx = np.empty_like(x)
    blocks = -(-rows // BLOCK)
    gweight, gbias = np.zeros((blocks, features), x.dtype), np.zeros((blocks, features), x.dtype)
    chunks = min(blocks, chunk_count(x.size, PER_CHUNK))
    if chunks <= 1:
        _layer_norm_backward(g, x, mean, rstd, weight, gx, gweight, gbias, 0, blocks)
    else:
        _layer_norm_backward_chunks(g, x, mean, rstd, weight, gx, gweight, gbias, chunks)
    return gx, sum_rows(gweight), sum_rows(gbias)


def rms_norm(x, weight, eps: float):
    """Divide each row by its root mean square, then scale it.

    ``out = x * rrms * weight`` with ``rrms = 1 / sqrt(mean(x^2) + eps)``.

    Args:
        x: the rows.
        weight: the scale, or None for ones.
        eps: what is added to the mean square.

    Returns:
        ``(out, rrms)``: the rows, and ``(rows,)``.
    """
    rows, features = x.shape
    weight = constant(features, 1, x.dtype) if weight is None else weight
    out, rrms = np.empty_like(x), np.empty(rows, x.dtype)
    chunks = chunk_count(x.size, PER_CHUNK)
    if chunks == 1:
        _rms_norm(x, weight, eps, out, rrms, 0, rows)
    else:
        _rms_norm_chunks(x, weight, eps, out, rrms, chunks)
    return out, rrms


def rms_norm_backward(g, x, rrms, weight):
    """Return the gradients of ``rms_norm`` by its input and weight.

    With ``xhat = x * rrms`` and ``h = g * weight``: ``gx = rrms * (h - xhat * mean(h * xhat))``, the mean taken over a row;
    ``gweight = sum(g * xhat)``, the sum taken over the rows.

    Args:
        g: the gradient of ``out``.
        x, rrms: the input of ``rms_norm``, and what it returned.
        weight: the scale, or None for ones.

    Returns:
        ``(gx, gweight)``.
    """
    rows, features = x.shape
    weight = constant(features, 1, x.dtype) if weight is None else weight
    gx = np.empty_like(x)
    blocks = -(-rows // BLOCK)
    gweight = np.zeros((blocks, features), x.dtype)
    chunks = min(blocks, chunk_count(x.size, PER_CHUNK))
    if chunks <= 1:
        _rms_norm_backward(g, x, rrms, weight, gx, gweight, 0, blocks)
    else:
        _rms_norm_backward_chunks(g, x, rrms, weight, gx, gweight, chunks)
    return gx, sum_rows(gweight)


@summing_core
def _layer_norm(x, weight, bias, eps, out, mean, rstd, start, stop):
    features = x.shape[1]
    dtype = x.dtype.type
    for i in range(start, stop):
        total = np.float64(0)
        for j in range(features):
            total += x[i, j]
        mean[i] = total / features
        squares = dtype(0)
        for j in range(features):
            centred = dtype(x[i, j] - mean[i])
            out[i, j] = centred
            squares += centred * centred
        rstd[i] = 1 / np.sqrt(squares / features + eps)
        for j in range(features):
            out[i, j] = out[i, j] * rstd[i] * weight[j] + bias[j]


@driver
def _layer_norm_chunks(x, weight, bias, eps, out, mean, rstd, chunks):
    rows = x.shape[0]
    for c in prange(chunks):
        _layer_norm(x, weight, bias, eps, out, mean, rstd, c * rows // chunks, (c + 1) * rows // chunks)


@summing_core
def _layer_norm_backward(g, x, mean, rstd, weight, gx, gweight, gbias, start, stop):
    rows, features = x.shape
    dtype = x.dtype.type
    for block in range(start, stop):
        for i in range(block * BLOCK, min(rows, (block + 1) * BLOCK)):
            mu, r = mean[i], rstd[i]
            sum_h, sum_hx = dtype(0), dtype(0)
            for j in range(features):
                xhat = dtype(x[i, j] - mu) * r
                h = g[i, j] * weight[j]
                gweight[block, j] += g[i, j] * xhat
                gbias[block, j] += g[i, j]
                sum_h += h
                sum_hx += h * xhat
            mean_h, mean_hx = dtype(sum_h / features), dtype(sum_hx / features)
            for j in range(features):
                xhat = dtype(x[i, j] - mu) * r
                gx[i, j] = r * (g[i, j] * weight[j] - mean_h - xhat * mean_hx)


@driver
def _layer_norm_backward_chunks(g, x, mean, rstd, weight, gx, gweight, gbias, chunks):
    blocks = gweight.shape[0]
    for c in prange(chunks):
        first, last = c * blocks // chunks, (c + 1) * blocks // chunks
        _layer_norm_backward(g, x, mean, rstd, weight, gx, gweight, gbias, first, last)


@summing_core
def _rms_norm(x, weight, eps, out, rrms, start, stop):
    features = x.shape[1]
    dtype = x.dtype.type
    for i in range(start, stop):
        squares = dtype(0)
        for j in range(features):
            squares += x[i, j] * x[i, j]
        rrms[i] = 1 / np.sqrt(squares / features + eps)
        r = rrms[i]
        for j in range(features):
            out[i, j] = x[i, j] * r * weight[j]


@driver
def _rms_norm_chunks(x, weight, eps, out, rrms, chunks):
    rows = x.shape[0]
    for c in prange(chunks):
        _rms_norm(x, weight, eps, out, rrms, c * rows // chunks, (c + 1) * rows // chunks)


@summing_core
def _rms_norm_backward(g, x, rrms, weight, gx, gweight, start, stop):
    rows, features = x.shape
    dtype = x.dtype.type
    for block in range(start, stop):
        for i in range(block * BLOCK, min(rows, (block + 1) * BLOCK)):
            r = rrms[i]
            sum_hx = dtype(0)
            for j in range(features):
                xhat = x[i, j] * r
                gweight[block, j] += g[i, j] * xhat
                sum_hx += g[i, j] * weight[j] * xhat
            mean_hx = dtype(sum_hx / features)
            for j in range(features):
                gx[i, j] = r * (g[i, j] * weight[j] - x[i, j] * r * mean_hx)


@driver
def _rms_norm_backward_chunks(g, x, rrms, weight, gx, gweight, chunks):
    blocks = gweight.shape[0]
    for c in prange(chunks):
        _rms_norm_backward(g, x, rrms, weight, gx, gweight, c * blocks // chunks, (c + 1) * blocks // chunks)
