"""minigrad: a deep-learning framework on NumPy and Numba to learn backpropagation on, train with, and look into."""

import warnings as _warnings

import numpy as _np

from . import collector as _collector
from . import errors, nn, optim
from .anomaly import detect_anomaly
from .autograd import backward, enable_grad, grad, is_grad_enabled, no_grad, set_grad_enabled
from .checkpointing import checkpoint
from .derivatives import hessian, jacobian, jvp, vjp
from .gradcheck import gradcheck, gradgradcheck
from .ops import *  # noqa: F403 - every public operation
from .primitive import REGISTRY, fused, primitive
from .tensor import Tensor, tensor

float32, float64, float16 = _np.dtype("float32"), _np.dtype("float64"), _np.dtype("float16")
int64, int32, int16, int8, uint8 = (_np.dtype(_n) for _n in ("int64", "int32", "int16", "int8", "uint8"))
bool = _np.dtype("bool")
inf, nan, pi, e = _np.inf, _np.nan, _np.pi, _np.e

# IEEE 754 has a value for every case: infinities and NaN are results here as in PyTorch, and detect_anomaly finds their source.
_warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"minigrad\.")

__version__ = "0.1.0"
