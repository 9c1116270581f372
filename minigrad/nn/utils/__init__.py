"""What is done to all parameters or gradients of a model at once."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from ... import aliasing, kernels
from ...errors import AnomalyError, ShapeError, UsageError
from ...ops import cat
from ...promotion import FLOAT32, FLOAT64
from ...tensor import Tensor, tensor
from ..module import write_in_place
from . import rnn as rnn  # so that nn.utils.rnn is there, as in PyTorch


def _gradients(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    parameters = [parameters] if isinstance(parameters, Tensor) else parameters
    return [p.grad for p in parameters if p.grad is not None]


def _fits_kernel(array: np.ndarray) -> bool:
    return array.dtype in (FLOAT32, FLOAT64) and array.flags.carray


def _norm(array: np.ndarray, norm_type: float) -> float:
    if not array.size:
        return 0.0
    if norm_type == 2 and _fits_kernel(array):
        return math.sqrt(kernels.optimizers.squared_norm(array.reshape(-1)))
    magnitudes = np.abs(array).astype(np.float64)
    if norm_type == math.inf:
        return float(magnitudes.max())
    return float((magnitudes**norm_type).sum() ** (1 / norm_type))


def _total_norm(tensors: list[Tensor], norm_type: float, error_if_nonfinite: bool) -> float:
    if not norm_type > 0:
        raise UsageError(f"the p of a p-norm is positive: got {norm_type}")
    total = _norm(np.array([_norm(np.asarray(t._data), norm_type) for t in tensors]), norm_type)
    if error_if_nonfinite and not math.isfinite(total):
        raise AnomalyError(
            f"the norm of the gradients is {total}, so they cannot be clipped: lower the learning rate, or find the operation "
            "at fault with minigrad.detect_anomaly()"
        )
    return total


def _as_tensor(total: float, tensors: list[Tensor]) -> Tensor:
    return tensor(total, dtype=FLOAT64 if any(t.dtype == FLOAT64 for t in tensors) else FLOAT32)


def get_total_norm(tensors: Iterable[Tensor], norm_type: float = 2.0, error_if_nonfinite: bool = False) -> Tensor:
    """The norm of all ``tensors`` together, as if they were one vector; accumulated in float64.

    Args:
        norm_type: the p of the p-norm, positive; ``math.inf`` for the largest magnitude.

    Raises:
        AnomalyError: with ``error_if_nonfinite``, if it is NaN or infinite.
        UsageError: for a p that is not positive.
    """
    tensors = list(tensors)
    return _as_tensor(_total_norm(tensors, norm_type, error_if_nonfinite), tensors)


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> Tensor:
    """Scale all gradients by one factor, in place, so that their norm together is at most ``max_norm``.

    The factor is ``max_norm / (norm + 1e-6)`` where that is below 1. Source: Pascanu, Mikolov and Bengio, "On the difficulty of
    training recurrent neural networks", ICML 2013, algorithm 1.

    Args:
        parameters: one or several; those without a gradient are passed over.
        max_norm: the greatest norm allowed.
        norm_type: the p of the p-norm; ``math.inf`` for the largest magnitude.
        error_if_nonfinite: raise if the norm is NaN or infinite. Otherwise the gradients then become NaN or 0.

    Returns:
        the norm before clipping.

    Raises:
        AnomalyError: see ``error_if_nonfinite``. The gradients are then unchanged.
    """
    gradients = _gradients(parameters)
    norm = _total_norm(gradients, norm_type, error_if_nonfinite)
    factor = float(max_norm) / (norm + 1e-6)
    if not factor >= 1:  # so that a NaN shows in the gradients too
        for gradient in gradients:
            _scale(gradient, factor)
    return _as_tensor(norm, gradients)


def _scale(gradient: Tensor, factor: float) -> None:
    array = gradient._data
    if isinstance(array, np.ndarray) and _fits_kernel(array):
        aliasing.note_write(array)
        kernels.optimizers.scale_(array.reshape(-1), factor)
    else:
        write_in_place(gradient, np.asarray(array) * factor)


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Move every element of the gradients into ``[-clip_value, clip_value]``, in place."""
    for gradient in _gradients(parameters):
        write_in_place(gradient, np.clip(gradient._data, -clip_value, clip_value))


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All parameters in one vector, one after the other; gradients flow back through it."""
    return cat([p.reshape(-1) for p in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Write the elements of a vector into the parameters, one after the other.

    Raises:
        ShapeError: if it has not as many elements as they have together. They are then unchanged.
    """
    parameters = list(parameters)
    count = sum(p.numel() for p in parameters)
    if vec.shape != (count,):
        raise ShapeError(f"the parameters hold {count} numbers, so the vector has shape ({count},): got {vec.shape}")
    start = 0
    for p in parameters:
        write_in_place(p, vec._data[start : start + p.numel()].reshape(p.shape))
        start += p.numel()
