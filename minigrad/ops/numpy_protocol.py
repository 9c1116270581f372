"""NumPy's functions on tensors: ``np.exp(x)`` and ``array * x`` give Tensors, recorded like any other operation.

This is also what makes gradient rules, which are written in NumPy, differentiable.
"""

from __future__ import annotations

import functools
import inspect

import numpy as np

from ..errors import DTypeError
from ..tensor import raw, wrap
from . import (
    arithmetic,
    arrangement,
    comparison,
    creation,
    elementwise,
    indexing,
    joining,
    linalg,
    norms,
    ordering,
    reduction,
    shaping,
)

UFUNCS = {
    np.add: arithmetic.plus,
    np.subtract: arithmetic.sub,
    np.multiply: arithmetic.mul,
    np.true_divide: arithmetic.div,
    np.negative: arithmetic.neg,
    np.positive: lambda x: x,
    np.power: arithmetic.power,
    np.square: arithmetic.square,
    np.maximum: arithmetic.maximum,
    np.minimum: arithmetic.minimum,
    np.arctan2: arithmetic.atan2,
    np.equal: comparison.eq,
    np.not_equal: comparison.ne,
    np.less: comparison.lt,
    np.less_equal: comparison.le,
    np.greater: comparison.gt,
    np.greater_equal: comparison.ge,
    np.logical_and: comparison.logical_and,
    np.logical_or: comparison.logical_or,
    np.logical_xor: comparison.logical_xor,
    np.logical_not: comparison.logical_not,
    np.bitwise_and: comparison.bitwise_and,
    np.bitwise_or: comparison.bitwise_or,
    np.bitwise_xor: comparison.bitwise_xor,
    np.invert: comparison.invert,
    np.remainder: arithmetic.remainder,
    np.floor_divide: arithmetic.floor_divide,
    np.exp: elementwise.exp,
    np.expm1: elementwise.expm1,
    np.log: elementwise.log,
    np.log1p: elementwise.log1p,
    np.log2: elementwise.log2,
    np.sqrt: elementwise.sqrt,
    np.reciprocal: elementwise.reciprocal,
    np.absolute: elementwise.absolute,
    np.sign: elementwise.sign,
    np.sin: elementwise.sin,
    np.cos: elementwise.cos,
    np.tan: elementwise.tan,
    np.tanh: elementwise.tanh,
    np.floor: elementwise.floor,
    np.isnan: elementwise.isnan,
    np.isinf: elementwise.isinf,
    np.isfinite: elementwise.isfinite,
    np.matmul: linalg.matmul,
}


def _sum(x, axis=None, keepdims=False):
    return x if axis == () else reduction.sum(x, axis, keepdims)  # no axes: NumPy sums nothing, PyTorch everything


def _cumsum(x, axis=None):
    return reduction.cumsum(x.flatten(), 0) if axis is None else reduction.cumsum(x, axis)


def _concatenate(tensors, axis=0):
    return joining.cat([shaping.ravel(t) for t in tensors] if axis is None else tensors, axis or 0)


def _flip(x, axis=None):
    return arrangement.flip(x, tuple(range(x.ndim)) if axis is None else axis)


def _transpose(x, axes=None):
    return shaping.reversed_dims(x) if axes is None else shaping.permute(x, axes)


def _expand_dims(x, axis):
    axes = axis if isinstance(axis, tuple) else (axis,)
    ndim = x.ndim + len(axes)
    places = {a % ndim for a in axes}
    sizes = iter(x.shape)
    return shaping.reshape(x, tuple(1 if i in places else next(sizes) for i in range(ndim)))


def _dot(a, b):
    if max(np.ndim(raw(a)), np.ndim(raw(b))) > 2:
        raise DTypeError("numpy.dot takes tensors of at most 2 dimensions: use matmul or einsum")
    return linalg.matmul(a, b) if np.ndim(raw(a)) and np.ndim(raw(b)) else arithmetic.mul(a, b)


def _norm(x, ord=None, axis=None, keepdims=False):
    if ord not in (None, "fro", 2) and axis is None and x.ndim != 1:
        raise DTypeError("numpy.linalg.norm takes an ord for vectors only: name the axis, or use minigrad.norm")
    if ord == 2 and axis is None and x.ndim > 1:
        raise DTypeError("numpy.linalg.norm with ord=2 of a matrix is its largest singular value, which minigrad does not have")
    return norms.norm(x, 2 if ord is None else ord, axis, keepdims)


FUNCTIONS = {
    np.sum: _sum,
    np.mean: lambda x, axis=None, keepdims=False: reduction.mean(x, axis, keepdims),
    np.var: lambda x, axis=None, ddof=0, keepdims=False: reduction.var(x, axis, correction=ddof, keepdim=keepdims),
    np.std: lambda x, axis=None, ddof=0, keepdims=False: reduction.std(x, axis, correction=ddof, keepdim=keepdims),
    np.prod: lambda x, axis=None, keepdims=False: reduction.prod(x, axis, keepdims),
    np.max: lambda x, axis=None, keepdims=False: reduction.amax(x, axis, keepdims),
    np.min: lambda x, axis=None, keepdims=False: reduction.amin(x, axis, keepdims),
    np.amax: lambda x, axis=None, keepdims=False: reduction.amax(x, axis, keepdims),
    np.amin: lambda x, axis=None, keepdims=False: reduction.amin(x, axis, keepdims),
    np.argmax: lambda x, axis=None, keepdims=False: reduction.argmax(x, axis, keepdims),
    np.argmin: lambda x, axis=None, keepdims=False: reduction.argmin(x, axis, keepdims),
    np.any: lambda x, axis=None, keepdims=False: reduction.any(x, axis, keepdims),
    np.all: lambda x, axis=None, keepdims=False: reduction.all(x, axis, keepdims),
    np.cumsum: _cumsum,
    np.linalg.norm: _norm,
    np.where: arithmetic.where,
    np.clip: lambda x, a_min=None, a_max=None: elementwise.clamp(x, a_min, a_max),
    np.round: lambda x, decimals=0: elementwise.round(x, decimals=decimals),
    np.reshape: lambda x, shape: shaping.reshape(x, shape),
    np.ravel: lambda x: shaping.ravel(x),
    np.transpose: _transpose,
    np.swapaxes: lambda x, axis1, axis2: shaping.transpose(x, axis1, axis2),
    np.moveaxis: lambda x, source, destination: shaping.movedim(x, source, destination),
    np.expand_dims: _expand_dims,
    np.squeeze: lambda x, axis=None: shaping.squeeze(x, axis),
    np.broadcast_to: lambda x, shape: shaping.broadcast_to(x, shape),
    np.concatenate: _concatenate,
    np.stack: lambda tensors, axis=0: joining.stack(tensors, axis),
    np.flip: _flip,
    np.roll: lambda x, shift, axis=None: arrangement.roll(x, shift, axis),
    np.tile: lambda x, reps: arrangement.tile(x, reps),
    np.repeat: lambda x, repeats, axis=None: indexing.repeat_interleave(x, repeats, axis),
    np.tril: lambda x, k=0: arrangement.tril(x, k),
    np.triu: lambda x, k=0: arrangement.triu(x, k),
    np.diagonal: lambda x, offset=0, axis1=0, axis2=1: arrangement.diagonal(x, offset, axis1, axis2),
    np.trace: lambda x: linalg.trace(x),
    np.sort: lambda x, axis=-1: ordering.sort(x, axis).values,
    np.argsort: lambda x, axis=-1: ordering.argsort(x, axis),
    np.dot: _dot,
    np.outer: lambda a, b: linalg.outer(a, b),
    np.einsum: lambda equation, *operands: linalg.einsum(equation, *operands),
    np.copy: lambda x: shaping.clone(x),
    np.shape: lambda x: x.shape,
    np.ndim: lambda x: x.ndim,
    np.size: lambda x, axis=None: x.numel() if axis is None else x.shape[axis],
    np.ones_like: lambda x, dtype=None: creation.ones_like(x, dtype=dtype),
    np.zeros_like: lambda x, dtype=None: creation.zeros_like(x, dtype=dtype),
    np.empty_like: lambda x, dtype=None: creation.empty_like(x, dtype=dtype),
    np.full_like: lambda x, fill_value, dtype=None: creation.full_like(x, fill_value, dtype=dtype),
    np.array_equal: lambda a, b: np.array_equal(raw(a), raw(b)),
    np.allclose: lambda a, b, **tolerance: np.allclose(raw(a), raw(b), **tolerance),
    np.isclose: lambda a, b, **tolerance: wrap(np.isclose(raw(a), raw(b), **tolerance)),
}


def apply_ufunc(ufunc, method: str, inputs: tuple, kwargs: dict):
    """What ``ufunc(*inputs)`` is for tensors.

    Raises:
        DTypeError: for a ufunc or a form of it that minigrad does not record.
    """
    function = UFUNCS.get(ufunc)
    if "out" in kwargs:
        raise DTypeError(
            f"numpy.{ufunc.__name__} cannot put a tensor into an array: write array = ..., not array += tensor or out="
        )
    if function is None or method != "__call__" or kwargs:
        form = f"numpy.{ufunc.__name__}" + (f".{method}" if method != "__call__" else "")
        extra = f" with {', '.join(kwargs)}" if kwargs else ""
        raise DTypeError(f"{form}{extra} is not an operation on tensors: use minigrad's own, or call it on x.numpy()")
    return function(*inputs)


def apply_function(function, args: tuple, kwargs: dict):
    """What a NumPy function that is no ufunc is for tensors.

    Raises:
        DTypeError: for a function, or a form of it, that minigrad does not record.
    """
    name = f"{function.__module__}.{function.__name__}"
    ours = FUNCTIONS.get(function)
    if ours is None:
        raise DTypeError(f"{name} is not an operation on tensors: use minigrad's own, or call it on x.numpy()")
    try:
        bound = _signature(function).bind(*args, **kwargs)
    except TypeError as error:
        raise DTypeError(f"{name} on tensors does not take these arguments ({error}): call it on x.numpy()") from None
    return ours(*bound.args, **bound.kwargs)


@functools.cache
def _signature(function) -> inspect.Signature:
    return inspect.signature(FUNCTIONS[function])
