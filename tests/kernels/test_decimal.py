"""Numbers as text and back, against Python and NumPy, bit by bit and character by character."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minigrad.kernels import decimal

every_example = settings(max_examples=300, deadline=None, derandomize=True)


def parsed(text):
    data = np.frombuffer(text.encode(), np.uint8)
    return decimal.parse(data, 0, data.size)


def written(x):
    out = np.zeros(decimal.WIDEST + 2, np.uint8)
    end = decimal.write(np.float32(x), out, 1)
    assert out[0] == 0
    assert not out[max(end, 0) or out.size :].any()
    return None if end < 0 else out[1:end].tobytes().decode()


@every_example
@given(st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_reading_is_correctly_rounded_or_left_to_python(x):
    for text in (str(np.float32(x)), repr(x), f"{x:.6f}", f"{x:e}", f"{x:+.3E}"):
        value, certain = parsed(text)
        if certain:
            assert value == float(text)
            assert np.signbit(value) == np.signbit(float(text))


@pytest.mark.parametrize("text", ["0.12345678", "-1.5e-07", "3", "+.5", "5.", "0000.25", "1e5", "-0", "9007199254740992"])
def test_ordinary_numbers_are_read_here(text):
    assert parsed(text) == (float(text), True)


@pytest.mark.parametrize(
    "text",
    ["", "-", ".", "nan", "inf", "1e", "1e+", "e5", "1.2.3", "1,5", "0x10", "1_0", "1e-30", "9007199254740993", "1e99999"],
)
def test_everything_else_is_for_python(text):
    assert parsed(text) == (0, False)


@every_example
@given(st.floats(min_value=2**-43, max_value=1e6, exclude_max=True, width=32), st.booleans())
def test_writing_is_what_numpy_writes(x, negative):
    x = np.float32(-x if negative else x)
    assert written(x) in (str(x), None)


def test_writing_leaves_almost_nothing_to_python(rng):
    some = rng.standard_normal(2000).astype(np.float32)
    assert [written(x) for x in some] == [str(x) for x in some]


@pytest.mark.parametrize(
    "x",
    [0.0, -0.0, 1.0, -1.0, 0.5, 0.1, 1 / 3, 2**-20, 2**-40, 1e-4, 9.99e-5, 1.1e-13, 123456.0, 999999.0, 100000.0, 16777.215],
)
def test_corners(x):
    assert written(x) == str(np.float32(x))


@pytest.mark.parametrize("x", [np.nan, np.inf, -np.inf, 1e-14, 1e6, 3e38, 1e-45])
def test_sizes_for_python(x):
    assert written(x) is None


def test_the_widest_text_fits():
    smallest = np.float32(2) ** -43
    candidates = np.nextafter(-smallest, np.float32(-1), dtype=np.float32), np.float32(-1.2345678e-13), np.float32(-1.17549e-10)
    assert all(len(str(x)) <= decimal.WIDEST and written(x) == str(x) for x in candidates)
