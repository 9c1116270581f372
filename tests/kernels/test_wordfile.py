"""Rows of word2vec files, split into words and numbers and joined again."""

import numpy as np
import pytest

from minigrad.kernels import wordfile
from minigrad.kernels.decimal import WIDEST


def bytes_of(data):
    return np.frombuffer(data, np.uint8)


def split_text(data, rows=3, size=2, first=0, strange=8):
    array, words, asked = np.zeros((rows, size), np.float32), np.zeros(len(data), np.uint8), np.zeros((strange, 4), np.int64)
    row, at, used, count, length = wordfile.split_text(bytes_of(data), array, first, words, asked)
    return array.tolist(), words[:used].tobytes(), asked[:count].tolist(), (row, at, length)


def test_text():
    data = b"a 1 2\n\nbc -.5 1e1 \r\n"
    assert split_text(data) == ([[1, 2], [-0.5, 10], [0, 0]], b"a bc ", [], (2, len(data), -1))
    assert split_text(data, rows=1) == ([[1, 2]], b"a ", [], (1, 6, -1))
    assert split_text(data, first=1)[0] == [[0, 0], [1, 2], [-0.5, 10]]


def test_numbers_for_python_are_told():
    _rows, words, strange, after = split_text(b"a 1 nan\nb inf 2\nc 5 6\n", strange=2)
    assert (words, strange) == (b"a ", [[0, 1, 4, 7]])
    assert after == (1, 8, -1)  # there might be no room for those of the next row
    assert split_text(b"a 1 nan\nb inf 2\nc 5 6\n")[2] == [[0, 1, 4, 7], [1, 0, 10, 13]]


@pytest.mark.parametrize(("row", "length"), [(b"b 1", 1), (b"b 1 2 x", 3), (b"b", 0), (b"b ", 0), (b" 1", 1)])
def test_rows_of_another_length(row, length):
    assert split_text(b"a 1 2\n" + row + b"\nc nan 2\n")[1:] == (b"a ", [], (1, 6, length))


def test_binary():
    numbers = np.array([[1, 2], [3, 4]], np.float32)
    data = b"a " + numbers[0].tobytes() + b"\nbc " + numbers[1].tobytes()
    for length in (len(data), len(data) + 5):
        rows, words = np.zeros((2, 8), np.uint8), np.zeros(40, np.uint8)
        after = wordfile.split_binary(bytes_of(data + b"x" * (length - len(data))), rows, 0, words)
        assert after == (2, len(data), 5)
        assert words[:5].tobytes() == b"a bc "
        np.testing.assert_array_equal(rows.view(np.float32), numbers)
    for length in range(10, len(data)):  # the second row is not there as a whole
        assert wordfile.split_binary(bytes_of(data[:length]), rows, 0, words) == (1, 10, 2)


def test_join():
    rows = np.array([[1, -0.25], [np.nan, 1], [2, 3]], np.float32)
    out = np.zeros(20 + 6 * (WIDEST + 1), np.uint8)
    words = bytes_of(b"a bc d ")
    assert wordfile.join_text(words, 0, rows, 0, ord(" "), out) == (1, 2, 12)
    assert out[:12].tobytes() == b"a 1.0 -0.25\n"
    assert wordfile.join_text(words, 5, rows, 2, ord(" "), out) == (3, 7, 10)
    assert wordfile.join_text(bytes_of(b""), 0, rows, 2, ord("\t"), out) == (3, 0, 8)
    assert out[:8].tobytes() == b"2.0\t3.0\n"
