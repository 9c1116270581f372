"""The usual ways to draw a layer's first weights. Each function writes its values in place and returns the tensor.

The fan-in of a weight ``(out, in, ...)`` is ``in`` times the sizes that follow, its fan-out ``out`` times these.
"""

from __future__ import annotations

import math

import numpy as np

from ..errors import ShapeError, UsageError
from ..ops.random import generator
from ..tensor import Tensor
from .module import write_in_place


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor by which weights before this activation should exceed those before none, to keep the scale of the signal.

    1 for "linear" and "sigmoid", 5/3 for "tanh", sqrt(2) for "relu", sqrt(2 / (1 + slope^2)) for "leaky_relu" with the slope
    ``param`` (0.01 if left out), 3/4 for "selu".

    Raises:
        UsageError: for another name.
    """
    gains = {"linear": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2), "selu": 3 / 4}
    if nonlinearity == "leaky_relu":
        return math.sqrt(2 / (1 + (0.01 if param is None else param) ** 2))
    if nonlinearity not in gains:
        raise UsageError(f"the gain is known for {', '.join(gains)} and leaky_relu: got {nonlinearity!r}")
    return gains[nonlinearity]


def _floats(tensor: Tensor) -> np.dtype:
    """The dtype to draw numbers in: that of ``tensor`` if the generator has it."""
    return tensor.dtype if tensor.dtype in (np.float32, np.float64) else np.dtype(np.float64)


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0) -> Tensor:
    """Uniform in [a, b)."""
    values = generator().random(tensor.shape, _floats(tensor))
    values = values * (b - a) + a
    write_in_place(tensor, values)
    return tensor


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Normal with the given mean and standard deviation."""
    values = generator().standard_normal(tensor.shape, _floats(tensor))
    write_in_place(tensor, values * std + mean)
    return tensor


def trunc_normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0) -> Tensor:
    """Normal with the given mean and standard deviation, drawn again until it is in [a, b] (which are not in units of std).

    Raises:
        UsageError: if [a, b] is empty, or so far from the mean that hardly any draw would fall into it.
    """
    if not a < b or a > mean + 4 * std or b < mean - 4 * std:
        raise UsageError(
            f"trunc_normal_ needs a < b within 4 standard deviations of the mean: got [{a}, {b}], {mean} and {std}"
        )
    values = generator().standard_normal(tensor.shape) * std + mean
    while (outside := (values < a) | (values > b)).any():
        values[outside] = generator().standard_normal(np.count_nonzero(outside)) * std + mean
    write_in_place(tensor, values)
    return tensor


def constant_(tensor: Tensor, val: float) -> Tensor:
    """``val`` everywhere."""
    write_in_place(tensor, np.asarray(val))
    return tensor


def ones_(tensor: Tensor) -> Tensor:
    """1 everywhere."""
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """0 everywhere."""
    return constant_(tensor, 0.0)


def eye_(tensor: Tensor) -> Tensor:
    """1 on the main diagonal of a matrix, 0 elsewhere: a linear layer that hands its input on."""
    if tensor.ndim != 2:
        raise ShapeError(f"eye_ needs a matrix: got shape {tensor.shape}")
    write_in_place(tensor, np.eye(tensor.shape[0], tensor.shape[1]))
    return tensor


def _fans(tensor: Tensor) -> tuple[int, int]:
    if tensor.ndim < 2:
        raise ShapeError(
            f"a fan-in and a fan-out need at least 2 dimensions: got shape {tensor.shape}; use uniform_ or normal_"
        )
    field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


def _xavier_std(tensor: Tensor, gain: float) -> float:
    return gain * math.sqrt(2 / max(sum(_fans(tensor)), 1))


def xavier_uniform_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """Uniform in (-a, a) with ``a = gain * sqrt(6 / (fan_in + fan_out))``.

    Source: Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks", AISTATS 2010,
    equation 16.
    """
    bound = math.sqrt(3) * _xavier_std(tensor, gain)
    return uniform_(tensor, -bound, bound)


def xavier_normal_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """Normal with standard deviation ``gain * sqrt(2 / (fan_in + fan_out))``.

    Source: Glorot and Bengio, AISTATS 2010, equation 12.
    """
    return normal_(tensor, 0.0, _xavier_std(tensor, gain))


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise UsageError(f"the mode is 'fan_in' or 'fan_out': got {mode!r}")
    return calculate_gain(nonlinearity, a) / math.sqrt(max(_fans(tensor)[mode == "fan_out"], 1))


def kaiming_uniform_(tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu") -> Tensor:
    """Uniform in (-b, b) with ``b = gain * sqrt(3 / fan)``.

    Args:
        a: the slope of the leaky ReLU that follows.
        mode: "fan_in" keeps the scale of the signal forward, "fan_out" that of the gradient backward.
        nonlinearity: the activation that follows, for :func:`calculate_gain`.

    Source: He et al., "Delving Deep into Rectifiers", ICCV 2015, equations 10 and 14.
    """
    bound = math.sqrt(3) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound)


def kaiming_normal_(tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu") -> Tensor:
    """Normal with standard deviation ``gain / sqrt(fan)``; arguments and source as for :func:`kaiming_uniform_`."""
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity))


def orthogonal_(tensor: Tensor, gain: float = 1) -> Tensor:
    """A random matrix with orthonormal rows or columns, whichever are fewer, times ``gain``; later dimensions are taken as one.

    Source: Saxe, McClelland and Ganguli, "Exact solutions to the nonlinear dynamics of learning in deep linear neural
    networks", 2013.
    """
    _fans(tensor)
    rows, columns = tensor.shape[0], math.prod(tensor.shape[1:])
    gaussian = generator().standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(gaussian)
    q *= np.where(np.diagonal(r) < 0, -1, 1)  # makes the result uniform over the orthogonal matrices (Mezzadri, 2007)
    write_in_place(tensor, (gain * (q if rows >= columns else q.T)).reshape(tensor.shape))
    return tensor


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01) -> Tensor:
    """Normal with standard deviation ``std``, but in each column the fraction ``sparsity`` of elements, chosen at random, 0.

    Source: Martens, "Deep learning via Hessian-free optimization", ICML 2010, section 5.
    """
    if tensor.ndim != 2:
        raise ShapeError(f"sparse_ needs a matrix: got shape {tensor.shape}")
    values = generator().standard_normal(tensor.shape) * std
    zeros = math.ceil(sparsity * tensor.shape[0])
    for column in values.T:
        column[generator().permutation(len(column))[:zeros]] = 0
    write_in_place(tensor, values)
    return tensor
