"""NumPy's functions on tensors: ``np.exp(x)`` and ``array * x`` give Tensors, recorded like any other operation.

This is also what makes gradient rules, which are written in NumPy, differentiable.
"""

from __future__ import annotations

import numpy as np

from ..errors import DTypeError
from ..tensor import raw, wrap
from . import arithmetic, elementwise, linalg, reduction, shaping

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
    np.equal: arithmetic.eq,
    np.not_equal: arithmetic.ne,
    np.less: arithmetic.lt,
    np.less_equal: arithmetic.le,
    np.greater: arithmetic.gt,
    np.greater_equal: arithmetic.ge,
    np.logical_and: arithmetic.logical_and,
    np.logical_or: arithmetic.logical_or,
    np.logical_xor: arithmetic.logical_xor,
    np.logical_not: arithmetic.logical_not,
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


FUNCTIONS = {
    np.sum: lambda x, axis=None, keepdims=False: reduction.sum(x, axis, keepdims),
    np.mean: lambda x, axis=None, keepdims=False: reduction.mean(x, axis, keepdims),
    np.var: lambda x, axis=None, ddof=0, keepdims=False: reduction.var(x, axis, correction=ddof, keepdim=keepdims),
    np.std: lambda x, axis=None, ddof=0, keepdims=False: reduction.std(x, axis, correction=ddof, keepdim=keepdims),
    np.max: lambda x, axis=None, keepdims=False: reduction.amax(x, axis, keepdims),
    np.min: lambda x, axis=None, keepdims=False: reduction.amin(x, axis, keepdims),
    np.argmax: reduction.argmax,
    np.argmin: reduction.argmin,
    np.any: reduction.any,
    np.all: reduction.all,
    np.cumsum: lambda x, axis=None: reduction.cumsum(x if axis is not None else x.flatten(), axis or 0),
    np.where: arithmetic.where,
    np.clip: lambda x, a_min=None, a_max=None: elementwise.clamp(x, a_min, a_max),
    np.reshape: lambda x, shape: shaping.reshape(x, shape),
    np.ravel: shaping.flatten,
    np.transpose: lambda x, axes=None: shaping.permute(x, axes) if axes is not None else shaping.reversed_dims(x),
    np.swapaxes: shaping.transpose,
    np.expand_dims: lambda x, axis: _expand_dims(x, axis),
    np.squeeze: shaping.squeeze,
    np.broadcast_to: shaping.broadcast_to,
    np.concatenate: lambda tensors, axis=0: shaping.cat(tensors, axis),
    np.stack: lambda tensors, axis=0: shaping.stack(tensors, axis),
    np.flip: lambda x, axis=None: shaping.flip(x, _axes(x, axis)),
    np.roll: shaping.roll,
    np.tile: shaping.tile,
    np.tril: shaping.tril,
    np.triu: shaping.triu,
    np.dot: linalg.matmul,
    np.outer: linalg.outer,
    np.einsum: linalg.einsum,
    np.shape: lambda x: x.shape,
    np.ndim: lambda x: x.ndim,
    np.size: lambda x: x.numel(),
    np.ones_like: lambda x, dtype=None: wrap(np.ones(x.shape, dtype or x.dtype)),
    np.zeros_like: lambda x, dtype=None: wrap(np.zeros(x.shape, dtype or x.dtype)),
    np.array_equal: lambda a, b: np.array_equal(raw(a), raw(b)),
    np.allclose: lambda a, b, **tolerance: np.allclose(raw(a), raw(b), **tolerance),
    np.isclose: lambda a, b, **tolerance: wrap(np.isclose(raw(a), raw(b), **tolerance)),
}


def _axes(x, axis) -> tuple:
    if axis is None:
        return tuple(range(x.ndim))
    return axis if isinstance(axis, tuple) else (axis,)


def _expand_dims(x, axis):
    axes = axis if isinstance(axis, tuple) else (axis,)
    ndim = x.ndim + len(axes)
    places = {a % ndim for a in axes}
    sizes = iter(x.shape)
    return shaping.reshape(x, tuple(1 if i in places else next(sizes) for i in range(ndim)))


def apply_ufunc(ufunc, method: str, inputs: tuple, kwargs: dict):
    """What ``ufunc(*inputs)`` is for tensors.

    Raises:
        DTypeError: for a ufunc or a form of it that minigrad does not record.
    """
    function = UFUNCS.get(ufunc)
    if function is None or method != "__call__" or kwargs:
        form = f"numpy.{ufunc.__name__}" + (f".{method}" if method != "__call__" else "")
        extra = f" with {', '.join(kwargs)}" if kwargs else ""
        raise DTypeError(f"{form}{extra} is not an operation on tensors: use minigrad's own, or call it on x.numpy()")
    return function(*inputs)


def apply_function(function, args: tuple, kwargs: dict):
    """What a NumPy function that is no ufunc is for tensors.

    Raises:
        DTypeError: for a function that minigrad does not record.
    """
    ours = FUNCTIONS.get(function)
    if ours is None:
        raise DTypeError(f"numpy.{function.__name__} is not an operation on tensors: use minigrad's own, or call it on x.numpy()")
    return ours(*args, **kwargs)
