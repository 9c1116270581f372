"""Numbers as text, both ways: a decimal to the nearest float, and a float32 to its shortest decimal.

Both are quick because they do the ordinary case in double precision and *know* when that is not enough. Then they say so, and
the caller asks Python, which takes a hundred times as long and is asked for one number in millions. So the result is always
the one that Python and NumPy give, to the last bit and the last character.
"""

import numpy as np

from minigrad.kernels.jit import core

_POWERS = 10.0 ** np.arange(23)  # all of them are exact in double precision, and no higher power is
_INTEGERS = 10 ** np.arange(18)
WIDEST = 15  # characters of the longest text of a float32 between 1e-13 and 1e6, such as -1.23456789e-13

_PLUS, _MINUS, _POINT, _ZERO, _E = ord("+"), ord("-"), ord("."), ord("0"), ord("e")
_UPPER_E = ord("E")


@core
def parse(data, start, stop):
    """Return (number, True) for the text ``data[start:stop]``, bytes as uint8, or (0, False) if Python has to read it.

    A whole number up to 2^53 times or divided by a power of ten up to 10^22 is one operation on exact doubles, hence correctly
    rounded (Clinger 1990, "How to Read Floating Point Numbers Accurately"). Everything else is for Python: more digits, larger
    exponents, ``nan`` and ``inf``, and what is no number.
    """
    at = start
    negative = at < stop and data[at] == _MINUS
    if at < stop and (data[at] == _MINUS or data[at] == _PLUS):
        at += 1
    mantissa, digits, seen, exponent, fraction = np.int64(0), 0, 0, 0, False
    while at < stop:
        digit = np.int64(data[at]) - _ZERO
        if 0 <= digit <= 9:
            seen += 1
            digits += mantissa > 0  # those behind the first that is not 0
            if digits > 17:
                return 0.0, False
            mantissa = mantissa * 10 + digit
            exponent -= fraction
        elif data[at] == _POINT and not fraction:
            fraction = True
        else:
            break
        at += 1
    if seen == 0:
        return 0.0, False
    if at < stop:
        if data[at] != _E and data[at] != _UPPER_E:
            return 0.0, False
        at += 1
        below = at < stop and data[at] == _MINUS
        if at < stop and (data[at] == _MINUS or data[at] == _PLUS):
            at += 1
        if at == stop or stop - at > 4:
            return 0.0, False
        power = 0
        while at < stop:
            digit = np.int64(data[at]) - _ZERO
            if not 0 <= digit <= 9:
                return 0.0, False
            power = power * 10 + digit
            at += 1
        exponent += -power if below else power
    if mantissa == 0:
        return (-0.0 if negative else 0.0), True
    if mantissa > 9007199254740992 or abs(exponent) > 22:
        return 0.0, False
    value = float(mantissa)
    value = value / _POWERS[-exponent] if exponent < 0 else value * _POWERS[exponent]
    return (-value if negative else value), True


@core
def write(x, out, at):
    """Write the shortest decimal that reads back as the float32 ``x`` to ``out`` (uint8) from ``at`` on, as ``str`` does.

    Returns where it ends, or -1 if Python has to write it: NaN, infinity, numbers so close to a tie that double precision
    cannot tell, and sizes outside [1e-13, 1e6), of which large ones look different in different versions of NumPy. ``out``
    needs ``WIDEST`` bytes.

    Scaled to nine digits before the point, every decimal between the midpoints to the two neighbours of ``x`` reads back as
    ``x``. Of the multiples of 10^k the nearest to ``x`` is taken, for the largest ``k`` that leaves it between the midpoints.
    """
    bits = np.float32(x).view(np.int32)
    if bits < 0:
        out[at] = _MINUS
        at += 1
    bits &= 0x7FFFFFFF
    if bits == 0:
        out[at], out[at + 1], out[at + 2] = _ZERO, _POINT, _ZERO
        return at + 3
    size = np.float64(np.int32(bits).view(np.float32))
    if not 1e-13 <= size < 1e6:
        return -1
    below = 0.5 * (size + np.float64(np.int32(bits - 1).view(np.float32)))
    above = 0.5 * (size + np.float64(np.int32(bits + 1).view(np.float32)))
    at_power_of_two = (bits & 0x7FFFFF) == 0  # there the neighbour below is nearer than the one above

    shift = 8 - int(np.floor(((bits >> 23) - 127) * 0.30102999566))  # at most 22; 10^shift brings size to [1e8, 1e10)
    if _scaled(size, shift) >= 1e9:
        shift -= 1
    value, low, high = _scaled(size, shift), _scaled(below, shift), _scaled(above, shift)
    doubt = 1e-6  # each of the three is less than 2.3e-7 off

    best, removed = np.int64(0), -1
    for k in range(10):
        step = float(_INTEGERS[k])
        near = np.floor(value / step + 0.5) * step
        if low + doubt < near < high - doubt:
            if abs(abs(value - near) - 0.5 * step) < doubt:
                return -1
            best, removed = np.int64(near), k
            continue
        if abs(near - low) <= doubt or abs(near - high) <= doubt:
            return -1
        if at_power_of_two and (low - doubt <= near - step or near + step <= high + doubt):
            return -1
        break
    if removed < 0:
        return -1
    digits = best // _INTEGERS[removed]
    count = 1
    while count < 17 and digits >= _INTEGERS[count]:
        count += 1
    return _layout(digits, count, count - 1 + removed - shift, size, out, at)


@core
def _scaled(value, shift):
    """Return value times 10^shift, rounded once."""
    return value * _POWERS[shift] if shift >= 0 else value / _POWERS[-shift]


@core
def _layout(digits, count, exponent, size, out, at):
    """Write ``count`` digits whose first one counts 10^exponent, with an exponent where ``str`` shows one."""
    if size < 1e-4:
        at = _digits(digits // _INTEGERS[count - 1], 1, out, at)
        if count > 1:
            out[at] = _POINT
            at = _digits(digits % _INTEGERS[count - 1], count - 1, out, at + 1)
        out[at], out[at + 1] = _E, _MINUS
        return _digits(-exponent, 2, out, at + 2)
    if exponent < 0:
        out[at], out[at + 1] = _ZERO, _POINT
        at += 2
        for _ in range(-exponent - 1):
            out[at] = _ZERO
            at += 1
        return _digits(digits, count, out, at)
    if exponent >= count - 1:
        at = _digits(digits, count, out, at)
        for _ in range(exponent - count + 1):
            out[at] = _ZERO
            at += 1
        out[at], out[at + 1] = _POINT, _ZERO
        return at + 2
    behind = count - 1 - exponent
    at = _digits(digits // _INTEGERS[behind], exponent + 1, out, at)
    out[at] = _POINT
    return _digits(digits % _INTEGERS[behind], behind, out, at + 1)


@core
def _digits(number, count, out, at):
    number = np.uint32(number)  # which LLVM divides by a constant with a multiplication
    for i in range(at + count - 1, at - 1, -1):
        rest = number // np.uint32(10)
        out[i] = _ZERO + number - rest * np.uint32(10)
        number = rest
    return at + count
