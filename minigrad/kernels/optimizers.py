"""The updates of the optimizers, one pass over memory each, and what gradient clipping needs.

Each function updates one parameter and its state in place. Arrays are flat ``(n,)``, contiguous, of one dtype, float32 or
float64, and do not overlap; options are Python numbers, with PyTorch's names, defaults and order of operations.
"""

import numpy as np
from numba import prange

from minigrad.kernels.jit import chunk_count, core, driver, summing_core

PER_CHUNK = 65_536  # elements below which a second thread does not pay
BLOCK = 65_536  # elements whose squares are summed together; fixed, so the bits do not depend on the thread count


def sgd(param, grad, momentum_buffer, lr, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False, first=False):
    """Descend: ``b = momentum * b + (1 - dampening) * g`` and ``param -= lr * b``, with ``g = grad + weight_decay * param``.

    Args:
        momentum_buffer: ``b``, zeros before the first step; None for ``param -= lr * g``, without momentum.
        nesterov: step by ``g + momentum * b`` instead of ``b`` (Sutskever et al., ICML 2013).
        first: whether this is the first step, which takes ``b = g`` whatever the dampening.
    """
    fresh = 1.0 if first else 1.0 - dampening
    _apply(_sgd, _sgd_chunks, param, grad, momentum_buffer, lr, momentum, fresh, weight_decay, nesterov)


def adam(param, grad, exp_avg, exp_avg_sq, max_exp_avg_sq, step, lr, beta1, beta2, eps, weight_decay=0.0, decoupled=False):
    """Take a step of Adam (Kingma and Ba, ICLR 2015, algorithm 1) or AdamW (Loshchilov and Hutter, ICLR 2019, algorithm 2).

    ``m += (1 - beta1) * (g - m)``, ``v = beta2 * v + (1 - beta2) * g^2``,
    ``param -= lr / (1 - beta1^step) * m / (sqrt(v) / sqrt(1 - beta2^step) + eps)``.

    Args:
        exp_avg, exp_avg_sq: ``m`` and ``v``, zeros before the first step.
        max_exp_avg_sq: the largest ``v`` so far, which stands for ``v`` in the step (AMSGrad: Reddi, Kale and Kumar, ICLR
            2018), zeros before the first; None for plain Adam.
        step: the number of this step, from 1.
        decoupled: False takes ``g = grad + weight_decay * param``; True, AdamW, takes ``g = grad`` and first shrinks the
            parameter by the factor ``1 - lr * weight_decay``.
    """
    rate = lr / (1 - beta1**step)
    correction = 1 / (1 - beta2**step) ** 0.5
    shrink, decay = (1 - lr * weight_decay, 0.0) if decoupled else (1.0, weight_decay)
    scalars = rate, beta1, beta2, correction, eps, shrink, decay
    _apply(_adam, _adam_chunks, param, grad, exp_avg, exp_avg_sq, max_exp_avg_sq, *scalars)


def adagrad(param, grad, state_sum, step, lr, lr_decay=0.0, weight_decay=0.0, eps=1e-10):
    """Take a step of Adagrad (Duchi, Hazan and Singer, JMLR 2011): ``s += g^2``, ``param -= rate * g / (sqrt(s) + eps)``.

    Here ``g = grad + weight_decay * param`` and ``rate = lr / (1 + (step - 1) * lr_decay)``.

    Args:
        state_sum: ``s``, the initial accumulator value before the first step.
        step: the number of this step, from 1.
    """
    rate = lr / (1 + (step - 1) * lr_decay)
    _apply(_adagrad, _adagrad_chunks, param, grad, state_sum, rate, weight_decay, eps)


def rmsprop(param, grad, square_avg, grad_avg, momentum_buffer, lr, alpha=0.99, eps=1e-8, weight_decay=0.0, momentum=0.0):
    """Take a step of RMSprop (Hinton, "Neural Networks for Machine Learning", lecture 6e; centred: Graves, 2013, section 4.2).

    ``s = alpha * s + (1 - alpha) * g^2`` and ``param -= lr * g / (sqrt(s) + eps)``, with ``g = grad + weight_decay * param``.

    Args:
        square_avg: ``s``, zeros before the first step.
        grad_avg: the running mean ``a`` of ``g``, whose square is taken from ``s`` in the step, zeros before the first;
            None leaves ``s`` uncentred. A difference that rounding made negative counts as 0.
        momentum_buffer: ``b = momentum * b + g / (sqrt(s) + eps)``, by which then to step, zeros before the first; or None.
    """
    _apply(
        _rmsprop, _rmsprop_chunks, param, grad, square_avg, grad_avg, momentum_buffer, lr, alpha, eps, weight_decay, momentum
    )


def squared_norm(x) -> float:
    """Return the sum of the squares of ``x``, accumulated in float64."""
    blocks = -(-x.size // BLOCK)
    sums = np.empty(blocks, np.float64)
    chunks = min(blocks, chunk_count(x.size, PER_CHUNK))
    if chunks <= 1:
        _squared_norm(x, sums, 0, blocks)
    else:
        _squared_norm_chunks(x, sums, chunks)
    return float(sums.sum())


def scale_(x, factor: float) -> None:
    """Multiply ``x`` by ``factor``, in place."""
    _apply(_scale, _scale_chunks, x, factor)


def _apply(serial, parallel, param, *rest):
    chunks = chunk_count(param.size, PER_CHUNK)
    if chunks == 1:
        serial(param, *rest, 0, param.size)
    else:
        parallel(param, *rest, chunks)


# In the cores below a state that may be None is tested inside the loop: Numba compiles one version for None and one for an
# array and drops the test. Slices start at 0, which LLVM needs to prove its indices positive. Scalars take the array's dtype,
# or float32 arithmetic would run in float64.


@core
def _sgd(param, grad, buffer, lr, momentum, fresh, weight_decay, nesterov, start, stop):
    dtype = param.dtype.type
    lr, momentum, fresh, weight_decay = dtype(lr), dtype(momentum), dtype(fresh), dtype(weight_decay)
    ps, gs = param[start:stop], grad[start:stop]
    bs = gs if buffer is None else buffer[start:stop]
    for i in range(ps.size):
        g = gs[i] + weight_decay * ps[i] if weight_decay != 0 else gs[i]
        if buffer is not None:
            b = momentum * bs[i] + fresh * g
            bs[i] = b
            g = g + momentum * b if nesterov else b
        ps[i] -= lr * g


@driver
def _sgd_chunks(param, grad, buffer, lr, momentum, fresh, weight_decay, nesterov, chunks):
    n = param.size
    for c in prange(chunks):
        start, stop = c * n // chunks, (c + 1) * n // chunks
        _sgd(param, grad, buffer, lr, momentum, fresh, weight_decay, nesterov, start, stop)


@core
def _adam(param, grad, exp_avg, exp_avg_sq, max_sq, rate, beta1, beta2, correction, eps, shrink, decay, start, stop):
    dtype = param.dtype.type
    rate, correction, eps, shrink, decay = dtype(rate), dtype(correction), dtype(eps), dtype(shrink), dtype(decay)
    new1, old2, new2 = dtype(1 - beta1), dtype(beta2), dtype(1 - beta2)
    ps, gs, ms, vs = param[start:stop], grad[start:stop], exp_avg[start:stop], exp_avg_sq[start:stop]
    tops = vs if max_sq is None else max_sq[start:stop]
    for i in range(ps.size):
        g = gs[i] + decay * ps[i] if decay != 0 else gs[i]
        m = ms[i] + new1 * (g - ms[i])
        v = old2 * vs[i] + new2 * g * g
        ms[i], vs[i] = m, v
        if max_sq is not None:
            v = np.maximum(tops[i], v)
            tops[i] = v
        ps[i] = ps[i] * shrink - rate * m / (np.sqrt(v) * correction + eps)


@driver
def _adam_chunks(param, grad, exp_avg, exp_avg_sq, max_sq, rate, beta1, beta2, correction, eps, shrink, decay, chunks):
    n = param.size
    for c in prange(chunks):
        start, stop = c * n // chunks, (c + 1) * n // chunks
        _adam(param, grad, exp_avg, exp_avg_sq, max_sq, rate, beta1, beta2, correction, eps, shrink, decay, start, stop)


@core
def _adagrad(param, grad, state_sum, rate, weight_decay, eps, start, stop):
    dtype = param.dtype.type
    rate, weight_decay, eps = dtype(rate), dtype(weight_decay), dtype(eps)
    ps, gs, ss = param[start:stop], grad[start:stop], state_sum[start:stop]
    for i in range(ps.size):
        g = gs[i] + weight_decay * ps[i] if weight_decay != 0 else gs[i]
        s = ss[i] + g * g
        ss[i] = s
        ps[i] -= rate * g / (np.sqrt(s) + eps)


@driver
def _adagrad_chunks(param, grad, state_sum, rate, weight_decay, eps, chunks):
    n = param.size
    for c in prange(chunks):
        _adagrad(param, grad, state_sum, rate, weight_decay, eps, c * n // chunks, (c + 1) * n // chunks)


@core
def _rmsprop(param, grad, square_avg, grad_avg, buffer, lr, alpha, eps, weight_decay, momentum, start, stop):
    dtype = param.dtype.type
    lr, eps, weight_decay, momentum = dtype(lr), dtype(eps), dtype(weight_decay), dtype(momentum)
    old, new = dtype(alpha), dtype(1 - alpha)
    ps, gs, ss = param[start:stop], grad[start:stop], square_avg[start:stop]
    means = ss if grad_avg is None else grad_avg[start:stop]
    bs = ss if buffer is None else buffer[start:stop]
    for i in range(ps.size):
        g = gs[i] + weight_decay * ps[i] if weight_decay != 0 else gs[i]
        s = old * ss[i] + new * g * g
        ss[i] = s
        if grad_avg is not None:
            mean = means[i] + new * (g - means[i])
            means[i] = mean
            s -= mean * mean
            s = dtype(0) if s < 0 else s  # NaN is not below 0 and stays
        d = g / (np.sqrt(s) + eps)
        if buffer is not None:
            d = momentum * bs[i] + d
            bs[i] = d
        ps[i] -= lr * d


@driver
def _rmsprop_chunks(param, grad, square_avg, grad_avg, buffer, lr, alpha, eps, weight_decay, momentum, chunks):
    n = param.size
    for c in prange(chunks):
        start, stop = c * n // chunks, (c + 1) * n // chunks
        _rmsprop(param, grad, square_avg, grad_avg, buffer, lr, alpha, eps, weight_decay, momentum, start, stop)


@summing_core
def _squared_norm(x, sums, start, stop):
    for block in range(start, stop):
        xs = x[block * BLOCK : (block + 1) * BLOCK]
        total = np.float64(0)
        for i in range(xs.size):
            total += np.float64(xs[i]) * xs[i]
        sums[block] = total


@driver
def _squared_norm_chunks(x, sums, chunks):
    blocks = sums.size
    for c in prange(chunks):
        _squared_norm(x, sums, c * blocks // chunks, (c + 1) * blocks // chunks)


@core
def _scale(x, factor, start, stop):
    factor = x.dtype.type(factor)
    xs = x[start:stop]
    for i in range(xs.size):
        xs[i] *= factor


@driver
def _scale_chunks(x, factor, chunks):
    n = x.size
    for c in prange(chunks):
        _scale(x, factor, c * n // chunks, (c + 1) * n // chunks)
