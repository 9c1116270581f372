"""exp and its kin, and the maximum of a row, written so that LLVM turns the loop around them into vector instructions.

LLVM leaves a call of the C library's ``exp`` in a loop as it is, one element at a time. The functions here are plain
arithmetic without a branch. They may be called from any kernel, on scalars of float32 and float64. Where a text differs by the
dtype, ``_compile`` pairs the two with a function in terms of NumPy, which states the meaning and serves kernels that are run as
plain Python.

An *ulp* is the distance between neighbouring numbers of the dtype at the exact result. NaN gives NaN everywhere.

Source of the method: Muller, "Elementary Functions", 3rd edition 2016, chapters 3 (minimax polynomials) and 11 (the range
reduction of Cody and Waite); the coefficients were fitted by the Remez algorithm to the relative error.
"""

import math

import numpy as np
from numba import types
from numba.extending import overload, register_jitable

# Inlined even where LLVM finds them too long, or there would be no vectors. Not "reassoc": _reduce rounds by adding and
# subtracting one constant, which that would cancel.
INLINED = {"error_model": "numpy", "forceinline": True, "fastmath": {"contract"}}


def exp(x):
    """Return e^x within 1.1 ulp. Small results are denormal, then 0, as they should be; large ones inf."""
    with np.errstate(all="ignore"):
        return np.exp(x)


def exp_negative(x):
    """Return e^x for x <= 0 within 1.1 ulp, and 0 where that would be denormal: below -87, or -708 in float64.

    Twice as fast as ``exp``, and right up to x = 80; what it gives beyond is undefined. It is the one for differences from a
    maximum, whose exponentials are summed with that of 0.
    """
    with np.errstate(all="ignore"):
        e = np.exp(x)
    return e if e >= np.finfo(type(x)).tiny or e != e else type(x)(0)


@register_jitable(**INLINED)
def sigmoid(x):
    """Return 1 / (1 + e^-x) within 2.5 ulp, and 0 where that would be denormal."""
    one = type(x)(1)
    e = exp_negative(-abs(x))  # of the negative side alone, where it cannot overflow
    return (one if x >= type(x)(0) else e) / (one + e)


@register_jitable(**INLINED)
def expm1(x):
    """Return e^x - 1 within 3 ulp up to x = 88, beyond which it need not reach infinity where e^x does."""
    q, a, b = _reduce(x)
    scale = a * b
    return scale * q + (scale - type(x)(1))


@register_jitable(**INLINED)
def tanh(x):
    """Return (e^x - e^-x) / (e^x + e^-x) within 3 ulp; the sign of a zero is kept."""
    # tanh |x| = (e^2|x| - 1) / (e^2|x| + 1), which is 1 to the last place of float64 from |x| = 22 on.
    limit = type(x)(44)
    y = abs(x) + abs(x)
    e_minus_1 = expm1(limit if y > limit else y)
    return math.copysign(e_minus_1 / (e_minus_1 + type(x)(2)), x)


@register_jitable(**INLINED)
def softplus(x):
    """Return log(1 + e^x) within 3 ulp, denormal results included."""
    # max(x, 0) + log(1 + e) with e = e^-|x|, and log(1 + e) = 2 artanh(u) with u = e / (2 + e), at most 1/3.
    zero, two = type(x)(0), type(x)(2)
    e = exp(-abs(x))
    u = e / (two + e)
    return (x if x > zero else zero) + two * _artanh(u)


def erf(x):
    """Return 2/sqrt(pi) times the integral of e^-t^2 for t from 0 to x, within 1.5 ulp; the sign of a zero is kept."""
    return type(x)(math.erf(x))


def normal_cdf(x):
    """Return Phi(x) = (1 + erf(x / sqrt 2)) / 2, the normal distribution function.

    float32: within 2.5e-7 of it, and exactly 0 below -6 and 1 above 6. float64: within 8 + x^2 / 2 ulp, the small
    tail included.
    """
    return type(x)(0.5 * math.erfc(-x * math.sqrt(0.5)))


def gelu_slope(x):
    """Return Phi(x) + x phi(x), the derivative of x Phi(x), with the normal density phi(x) = e^(-x^2 / 2) / sqrt(2 pi).

    float32: within 5e-7 of it, and exactly 0 below -6 and 1 above 6. float64: within 1e-15. At infinity it is NaN, as is the
    product.
    """
    return type(x)(0.5 * math.erfc(-x * math.sqrt(0.5)) + x * math.exp(-x * x / 2) / math.sqrt(2 * math.pi))


def row_max(x, i):
    """Return the largest element of ``x[i]``, -inf if it has none.

    A row with NaN gives NaN or the largest of the rest, by the sign of the NaN: who reads on must let the NaN through too.
    """
    return np.max(x[i], initial=-np.inf)


def _reduce(x):
    """Return ``(q, a, b)`` with e^x = (1 + q) a b: powers of two a and b, and q, exact to the last place even near 0."""
    return np.expm1(x), type(x)(1), type(x)(1)


def _reduce_float32(x):
    # Clamp to where the result is certainly 0 or inf; a comparison with NaN is false, so NaN stays.
    vanishes = x < np.float32(-104)
    x = np.float32(-104) if vanishes else x
    x = np.float32(89) if x > np.float32(89) else x
    # x = k log 2 + r. Adding 1.5 * 2^23 leaves the nearest integer to x / log 2 in the low bits of the sum.
    shifted = np.float32(x * np.float32(1.44269504) + np.float32(12582912))
    k = np.int32(shifted.view(np.int32) - np.int32(0x4B400000))
    n = shifted - np.float32(12582912)
    r = x - n * np.float32(0.693359375) - n * np.float32(-2.12194440e-4)  # the first product is exact
    p = np.float32(1.38144658e-3)
    p = p * r + np.float32(8.36878046e-3)
    p = p * r + np.float32(4.16683942e-2)
    p = p * r + np.float32(1.66665201e-1)
    p = p * r + np.float32(4.99999934e-1)
    # 2^k in two factors, since neither 2^128 nor 2^-150 is a normal number.
    half = np.int32(k >> 1)
    a = np.int32((half + 127) << 23).view(np.float32)
    b = np.int32((k - half + 127) << 23).view(np.float32)
    # A factor of 0 where the product would underflow, which takes processors many times as long: masked scores are all -inf.
    return p * r * r + r, a, np.float32(0) if vanishes else b


def _reduce_float64(x):  # step by step as in float32
    vanishes = x < -746.0
    x = -746.0 if vanishes else x
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
    half = np.int64(k >> 1)
    a = np.int64((half + 1023) << 52).view(np.float64)
    b = np.int64((k - half + 1023) << 52).view(np.float64)
    return p * r * r + r, a, 0.0 if vanishes else b


def _exp(x):
    q, a, b = _reduce(x)
    return (q + type(x)(1)) * a * b


def _exp_negative_float32(x):
    # As _reduce_float32, without the care for results that one power of two cannot reach. The sum with the constant leaves
    # k + 127 in its low bits, which is the exponent of 2^k where a float32 keeps it.
    shifted = np.float32(x * np.float32(1.44269504) + np.float32(12582912 + 127))
    scale = np.int32(shifted.view(np.int32) << 23).view(np.float32)
    n = shifted - np.float32(12582912 + 127)
    r = x - n * np.float32(0.693359375) - n * np.float32(-2.12194440e-4)
    p = np.float32(1.38144658e-3)
    p = p * r + np.float32(8.36878046e-3)
    p = p * r + np.float32(4.16683942e-2)
    p = p * r + np.float32(1.66665201e-1)
    p = p * r + np.float32(4.99999934e-1)
    y = (p * r * r + r + np.float32(1)) * scale
    return np.float32(0) if x < np.float32(-87) else y


def _exp_negative_float64(x):  # step by step as in float32
    shifted = np.float64(x * 1.4426950408889634 + (6755399441055744.0 + 1023))
    scale = np.int64(shifted.view(np.int64) << 52).view(np.float64)
    n = shifted - (6755399441055744.0 + 1023)
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
    y = (p * r * r + r + 1.0) * scale
    return 0.0 if x < -708.0 else y


def _artanh(x):
    """Return artanh(x) for 0 <= x <= 1/3: x + x^3 times a polynomial in x^2."""
    return np.arctanh(x)


def _artanh_float32(x):
    v = x * x
    p = np.float32(0.121447811)
    p = p * v + np.float32(0.107153697)
    p = p * v + np.float32(0.143082984)
    p = p * v + np.float32(0.199994442)
    p = p * v + np.float32(0.333333378)
    return x + x * v * p


def _artanh_float64(x):
    v = x * x
    p = 0.08504879893989908
    p = p * v + 0.041724852549315995
    p = p * v + 0.06052472473521343
    p = p * v + 0.06650560699764207
    p = p * v + 0.07693274194475612
    p = p * v + 0.09090872239680274
    p = p * v + 0.11111111976817471
    p = p * v + 0.14285714274059122
    p = p * v + 0.20000000000077556
    p = p * v + 0.33333333333333154
    return x + x * v * p


def _erf_float32(x):
    one = np.float32(1)
    # Up to 1, |x| times a polynomial in x^2; an overflow beyond goes unused.
    size, t = abs(x), x * x
    p = np.float32(7.85386268e-05)
    p = p * t - np.float32(0.00080101941)
    p = p * t + np.float32(0.00518832775)
    p = p * t - np.float32(0.026853812)
    p = p * t + np.float32(0.112835851)
    p = p * t - np.float32(0.376126258)
    p = p * t + np.float32(0.128379166)
    near = size + size * p
    # Beyond, 1 - e^p with a polynomial p in |x|, which is 1 to the last place from 4 on.
    a = np.float32(4) if size > np.float32(4) else size
    p = np.float32(0.000186379117)
    p = p * a - np.float32(0.00294765758)
    p = p * a + np.float32(0.0218380612)
    p = p * a - np.float32(0.103106749)
    p = p * a - np.float32(0.638144839)
    p = p * a - np.float32(1.12708919)
    p = p * a - np.float32(0.000341523941)
    far = one - exp_negative(p)
    return math.copysign(far if size > one else near, x)


def _erf_float64(x):  # step by step as in float32
    size, t = abs(x), x * x
    p = 5.945260824210891e-11
    p = p * t - 1.136566541350748e-09
    p = p * t + 1.465787970053758e-08
    p = p * t - 1.6350025201711347e-07
    p = p * t + 1.6460972815068245e-06
    p = p * t - 1.4925593506769312e-05
    p = p * t + 0.00012055331036894576
    p = p * t - 0.0008548326978742063
    p = p * t + 0.0052239776247808645
    p = p * t - 0.026866170645072896
    p = p * t + 0.11283791670954857
    p = p * t - 0.3761263890318375
    p = p * t + 0.12837916709551256
    near = size + size * p
    a = 6.0 if size > 6.0 else size
    p = 1.0496654299446216e-12
    p = p * a - 4.796208071079368e-11
    p = p * a + 1.0257310257195556e-09
    p = p * a - 1.3627029605890785e-08
    p = p * a + 1.2570738227379343e-07
    p = p * a - 8.505878121527784e-07
    p = p * a + 4.327102594662024e-06
    p = p * a - 1.6514162498815447e-05
    p = p * a + 4.503805672433334e-05
    p = p * a - 7.03682975725147e-05
    p = p * a - 4.4819269495383114e-05
    p = p * a + 0.0006411678761845398
    p = p * a - 0.0017689948967140588
    p = p * a + 0.0002804832046329004
    p = p * a + 0.01907815962526908
    p = p * a - 0.10274725452546268
    p = p * a - 0.6366284880671147
    p = p * a - 1.1283773294497808
    p = p * a - 1.79601374018872e-07
    far = 1.0 - exp_negative(p)
    return math.copysign(far if size > 1.0 else near, x)


# In float32 neither Phi nor its kin needs an exponential: less 1/2 it is odd, and x times a ratio of polynomials in x^2. The
# coefficients minimise the largest error for |x| <= 6; those of the divisor are positive, so it has no zero.


def _normal_cdf_float32(x):
    t = x * x
    p = np.float32(2.01558788e-08)
    p = p * t + np.float32(6.51332322e-06)
    p = p * t + np.float32(0.000199116366)
    p = p * t + np.float32(0.00486271246)
    p = p * t + np.float32(0.0368748558)
    p = p * t + np.float32(0.39894214)
    q = np.float32(1.13316352e-06)
    q = q * t + np.float32(8.30717775e-05)
    q = q * t + np.float32(0.00205727793)
    q = q * t + np.float32(0.0303756274)
    q = q * t + np.float32(0.259096021)
    q = q * t + np.float32(1)
    return _settled(x, x * (p / q) + np.float32(0.5))


def _gelu_slope_float32(x):
    t = x * x
    p = np.float32(1.90885729e-07)
    p = p * t + np.float32(3.58505692e-05)
    p = p * t + np.float32(2.41811365e-05)
    p = p * t + np.float32(0.0142091856)
    p = p * t - np.float32(0.0307436149)
    p = p * t + np.float32(0.797884534)
    q = np.float32(8.88749539e-06)
    q = q * t + np.float32(0.000193518646)
    q = q * t + np.float32(0.00352875933)
    q = q * t + np.float32(0.0410646357)
    q = q * t + np.float32(0.294805485)
    q = q * t + np.float32(1)
    return _settled(x, x * (p / q) + np.float32(0.5)) + (x - x)  # the last is 0, but NaN at infinity


@register_jitable(**INLINED)
def _settled(x, y):
    """Return y, but 0 below x = -6 and 1 above x = 6."""
    y = np.float32(0) if x < np.float32(-6) else y
    return np.float32(1) if x > np.float32(6) else y


def _normal_cdf_float64(x):
    tail = exp_negative(x * x * -0.5) * _mills(abs(x))  # Phi(-|x|)
    return tail if x < 0.0 else 1.0 - tail


def _gelu_slope_float64(x):
    e = exp_negative(x * x * -0.5)
    tail = e * _mills(abs(x))
    return (tail if x < 0.0 else 1.0 - tail) + x * (e * 0.3989422804014327)


@register_jitable(**INLINED)
def _mills(x):
    """Return Phi(-x) e^(x^2 / 2) for x >= 0: Mills' ratio over sqrt(2 pi), t times a polynomial in t = 1 / (1 + x / 5)."""
    t = 1.0 / (1.0 + 0.2 * x)
    p = -0.0002540886569688721
    p = p * t + 0.0021943648737428405
    p = p * t - 0.006701616849499119
    p = p * t + 0.001593849904434337
    p = p * t + 0.051077319684116516
    p = p * t - 0.18565474248823358
    p = p * t + 0.36712337859694627
    p = p * t - 0.49359593430702275
    p = p * t + 0.4947512617490335
    p = p * t - 0.38576879748085174
    p = p * t + 0.2348731063661686
    p = p * t - 0.11855141860026373
    p = p * t + 0.04845579855769945
    p = p * t - 0.008361478589669697
    p = p * t + 0.01912658927117806
    p = p * t + 0.02478508584543634
    p = p * t + 0.03772651928751044
    p = p * t + 0.049769157384691405
    p = p * t + 0.061024107556052594
    p = p * t + 0.07021370093052172
    p = p * t + 0.0765969250280483
    p = p * t + 0.0797884558533233
    p = p * t + 0.07978845608360578
    return p * t


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


def _compile(function, for_float32, for_float64):
    """Let kernels that call ``function`` get the version for the dtype of its first argument, a scalar or an array."""
    versions = {types.float32: for_float32, types.float64: for_float64}

    def of_scalar(x):
        return versions.get(x)

    def of_row(x, i):
        return versions.get(x.dtype)

    overload(function, jit_options=INLINED)(  # pyright: ignore[reportArgumentType]
        of_row if function is row_max else of_scalar
    )


_compile(_reduce, _reduce_float32, _reduce_float64)
_compile(exp, _exp, _exp)
_compile(exp_negative, _exp_negative_float32, _exp_negative_float64)
_compile(_artanh, _artanh_float32, _artanh_float64)
_compile(erf, _erf_float32, _erf_float64)
_compile(normal_cdf, _normal_cdf_float32, _normal_cdf_float64)
_compile(gelu_slope, _gelu_slope_float32, _gelu_slope_float64)
_compile(row_max, _row_max_float32, _row_max_float64)
