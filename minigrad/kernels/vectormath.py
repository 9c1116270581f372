"""exp and the maximum of a row, written so that LLVM turns the loop around them into vector instructions.

LLVM leaves a call of the C library's ``exp`` in a loop as it is, one element at a time. The functions here are plain
arithmetic without a branch. They may be called from any kernel on float32 and float64; called from Python, each is the NumPy
function of the same meaning, so a kernel read or run as plain Python computes the same.

Source of the method: Muller, "Elementary Functions", 3rd edition 2016, chapters 3 (minimax polynomials) and 11 (Cody and
Waite's range reduction); the coefficients were fitted by the Remez algorithm to the relative error.
"""

import numpy as np
from numba import types
from numba.extending import overload

# No "reassoc": the rounding trick of exp adds and subtracts one constant, which it would cancel.
_EXACT = {"error_model": "numpy", "fastmath": {"contract"}}


def exp(x):
    """Return e^x within 1 unit in the last place.

    Results below the smallest normal number are denormal, then 0; above the largest, inf. NaN gives NaN.
    """
    with np.errstate(all="ignore"):
        return np.exp(x)


def row_max(x, i):
    """Return the largest element of ``x[i]``, -inf if it has none.

    A row with NaN gives NaN or the largest of the rest, by the sign of the NaN: who reads on must let the NaN through too.
    """
    return np.max(x[i], initial=-np.inf)


def _exp_float32(x):
    # Clamp to where the result is certainly 0 or inf; a comparison with NaN is false, so NaN stays.
    x = np.float32(-104) if x < np.float32(-104) else x
    x = np.float32(89) if x > np.float32(89) else x
    # x = k log 2 + r. Adding 1.5 * 2^23 leaves round(x / log 2) in the low bits of the sum.
    shifted = np.float32(x * np.float32(1.44269504) + np.float32(12582912))
    k = np.int32(shifted.view(np.int32) - np.int32(0x4B400000))
    n = shifted - np.float32(12582912)
    r = x - n * np.float32(0.693359375) - n * np.float32(-2.12194440e-4)  # the first product is exact
    p = np.float32(1.38144658e-3)
    p = p * r + np.float32(8.36878046e-3)
    p = p * r + np.float32(4.16683942e-2)
    p = p * r + np.float32(1.66665201e-1)
    p = p * r + np.float32(4.99999934e-1)
    p = p * r * r + r + np.float32(1)
    # 2^k in two factors: 2^128 and 2^-150 are not themselves normal numbers.
    half = np.int32(k >> 1)
    low = np.int32((half + 127) << 23).view(np.float32)
    high = np.int32((k - half + 127) << 23).view(np.float32)
    return p * low * high


def _exp_float64(x):  # as _exp_float32, step by step
    x = -746.0 if x < -746.0 else x
    x = 710.0 if x > 710.0 else x
    shifted = np.float64(x * 1.4426950408889634 + 6755399441055744.0)
    k = np.int64(shifted.view(np.int64) - np.int64(0x4338000000000000))
    n = shifted - 6755399441055744.0
    r = x - n * 6.93147180369123816490e-01 - n * 1.90821492927058770002e-10
    p = 2.4999964411959857513e-8
    p = p * r + 2.7630378717994800002e-7
    p = p * r + 2.7557587346096516316e-6
    p = p * r + 2.4801492762520353148e-5
    p = p * r + 1.9841269504759426555e-4
    p = p * r + 1.38888889439229011e-3
    p = p * r + 8.333333333495627663e-3
    p = p * r + 4.1666666666529187672e-2
    p = p * r + 1.6666666666666410226e-1
    p = p * r + 5.0000000000000107211e-1
    p = p * r * r + r + 1.0
    half = np.int64(k >> 1)
    low = np.int64((half + 1023) << 52).view(np.float64)
    high = np.int64((k - half + 1023) << 52).view(np.float64)
    return p * low * high


def _row_max_float32(x, i):
    # LLVM keeps a float maximum sequential, since it cannot reorder NaN. The bits of a float order as an integer once those
    # below the sign are flipped where the sign is set; the flip undoes itself.
    best = np.int32(-0x7F800001)  # -inf
    for j in range(x.shape[1]):
        bits = np.float32(x[i, j]).view(np.int32)
        best = np.int32(max(best, np.int32(bits ^ (np.int32(bits >> 31) & 0x7FFFFFFF))))
    return np.int32(best ^ (np.int32(best >> 31) & 0x7FFFFFFF)).view(np.float32)


def _row_max_float64(x, i):
    best = np.int64(-0x7FF0000000000001)
    for j in range(x.shape[1]):
        bits = np.float64(x[i, j]).view(np.int64)
        best = max(best, bits ^ ((bits >> 63) & 0x7FFFFFFFFFFFFFFF))
    return np.int64(best ^ ((best >> 63) & 0x7FFFFFFFFFFFFFFF)).view(np.float64)


@overload(exp, jit_options=_EXACT)
def _exp(x):
    return {types.float32: _exp_float32, types.float64: _exp_float64}.get(x)


@overload(row_max, jit_options=_EXACT)
def _row_max(x, i):
    return {types.float32: _row_max_float32, types.float64: _row_max_float64}.get(x.dtype)
