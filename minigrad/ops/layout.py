"""What the kernels ask of their operands, settled in one place: dtype and memory layout."""

from __future__ import annotations

import numpy as np

from ..errors import DTypeError
from ..promotion import FLOAT32, FLOAT64
from ..tensor import Tensor, tensor_of

SMALL = 1024  # elements below which NumPy is as quick as a kernel, and spares small programs the loading of Numba


def pays(x) -> bool:
    """Whether ``x`` is large enough for an elementwise kernel to pay, and of a dtype that there are kernels for."""
    return isinstance(x, np.ndarray) and x.size >= SMALL and (x.dtype is FLOAT32 or x.dtype == FLOAT64)


def ready(x) -> np.ndarray:
    """``x`` itself if it is contiguous and writable, else such a copy.

    Numba compiles a kernel anew for read-only arrays and for other memory orders, which takes seconds; a copy takes less.
    """
    return x if x.flags.carray else np.array(x, order="C")


def shaped(x: np.ndarray, shape: tuple) -> np.ndarray:
    """``x`` in a shape of as many elements: itself where it has it, for a view of it could not become a gradient uncopied."""
    return x if x.shape == shape else x.reshape(shape)


def floating(input, name: str) -> Tensor:
    """``input`` as a tensor of float32 or float64, the dtypes that there are kernels for.

    Raises:
        DTypeError: if it has another dtype.
    """
    x = tensor_of(input)
    if x.dtype is not FLOAT32 and x.dtype != FLOAT64:
        raise DTypeError(f"{name} needs a float32 or float64 tensor: got dtype {x.dtype}; use .float() first")
    return x


def one_dtype(name: str, x: Tensor, **others) -> None:
    """Check that the operands named in ``others`` (tensors or None) have the dtype of ``x``.

    Raises:
        DTypeError: if one has another, or is no tensor.
    """
    for what, other in others.items():
        if other is None or getattr(other, "dtype", None) is x.dtype:
            continue
        if not isinstance(other, (Tensor, np.ndarray, np.generic)):
            raise DTypeError(f"{name} needs a tensor as {what}: got {type(other).__name__}")
        if other.dtype != x.dtype:
            raise DTypeError(f"{name} needs one dtype: got {x.dtype} and a {what} of {other.dtype}; convert one with .to()")
