"""Result dtypes as PyTorch has them, where NumPy would answer differently.

Three groups count in order: tensors with dimensions, then zero-dimensional tensors, then Python scalars. A later group
changes the result only if its category (bool < integer < floating) is higher than that of the groups before it. So a float32
tensor times a Python float, a NumPy scalar, or a zero-dimensional float64 tensor stays float32.
"""

from __future__ import annotations

import numpy as np

from .errors import DTypeError, MinigradError, ShapeError

FLOAT32 = np.dtype(np.float32)
FLOAT64 = np.dtype(np.float64)
INT64 = np.dtype(np.int64)
BOOL = np.dtype(np.bool_)

_CATEGORY = {"b": 0, "i": 1, "u": 1, "f": 2}


def category(dtype: np.dtype) -> int:
    """0 for bool, 1 for integers, 2 for floating point."""
    return _CATEGORY[dtype.kind]


def promote_types(a: np.dtype, b: np.dtype) -> np.dtype:
    """The smallest dtype that holds both, a floating dtype winning over any integer as it is (PyTorch's ``promote_types``)."""
    if a == b:
        return a
    if category(a) != category(b):
        return a if category(a) > category(b) else b
    return np.promote_types(a, b)


def scalar_dtype(value) -> np.dtype:
    """The dtype of a Python or NumPy scalar as an operand: bool, int64 or the default float32."""
    if isinstance(value, (bool, np.bool_)):
        return BOOL
    return INT64 if isinstance(value, (int, np.integer)) else FLOAT32


def result_type(*operands) -> np.dtype:
    """The dtype of an elementwise operation on arrays, zero-dimensional arrays and scalars (``torch.result_type``)."""
    groups: list[np.dtype | None] = [None, None, None]
    for x in operands:
        if isinstance(x, np.ndarray):
            rank, dtype = (0 if x.ndim else 1), x.dtype
        elif isinstance(x, np.generic):  # the value of a zero-dimensional tensor, or a NumPy scalar the user passed
            rank, dtype = 1, x.dtype
        else:
            rank, dtype = 2, scalar_dtype(x)
        seen = groups[rank]
        groups[rank] = dtype if seen is None else promote_types(seen, dtype)
    result = None
    for dtype in groups:
        if dtype is not None and (result is None or category(dtype) > category(result)):
            result = dtype
    assert result is not None, "result_type needs at least one operand"
    return result


def as_promoted(forward, raw, out, promote):
    """``out = forward(*raw)`` again with the operands cast, should PyTorch's result dtype differ from the one NumPy chose."""
    expected = result_type(*raw)
    if promote == "float" and expected.kind != "f":
        expected = FLOAT32
    if out.dtype == expected or (out.dtype == BOOL and promote != "float" and expected == BOOL):
        return out, raw
    raw = [x.astype(expected) if isinstance(x, (np.ndarray, np.generic)) else expected.type(x) for x in raw]
    return forward(*raw), raw


def require_operands(name: str, *operands) -> None:
    """Check that all ``operands`` are arrays or numbers.

    Raises:
        DTypeError: if one is something else, such as a list, a string or None.
    """
    for x in operands:
        if not isinstance(x, (np.ndarray, np.generic, bool, int, float)):
            raise DTypeError(f"{name} takes tensors, arrays and numbers: got a {type(x).__name__}; use minigrad.tensor(...)")


def refusal(name: str, operands, error: Exception) -> Exception:
    """What to raise where NumPy refused the ``operands`` of the elementwise operation ``name``: its ``error`` in our words."""
    if isinstance(error, MinigradError):
        return error
    try:
        require_operands(name, *operands)
    except DTypeError as explained:
        return explained
    if isinstance(error, AttributeError) and operands and not any(isinstance(x, (np.ndarray, np.generic)) for x in operands):
        return DTypeError(f"{name} needs a tensor among its operands: got {', '.join(map(repr, operands))}")
    if "broadcast" in str(error):
        return ShapeError(f"{name} needs shapes that are equal from the last dimension on, or 1: {error}".strip())
    if isinstance(error, OverflowError):
        return DTypeError(f"{name} needs numbers that the tensor's dtype can hold: {error}; convert the tensor first")
    return error
