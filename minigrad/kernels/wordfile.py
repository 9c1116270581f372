"""Rows of a word2vec file, text or binary, a block of bytes at a time: words and numbers part here, and meet here.

Bytes are arrays of uint8. In a list of words each word is followed by one space, which no word of these formats contains.
"""

from minigrad.kernels.decimal import parse, write
from minigrad.kernels.jit import core

_SPACE, _RETURN, _NEWLINE = ord(" "), ord("\r"), ord("\n")


@core
def split_binary(data, rows, first, words):
    """Read rows ``word, space, 4 * size bytes`` from ``data`` until it ends or ``rows`` is full.

    Args:
        data: ``(bytes,)``.
        rows: ``(n, 4 * size)``, the bytes of the vectors; filled from the row ``first`` on.
        words: at least as long as ``data``.

    Returns:
        The next row, where in ``data`` it begins, and how many bytes of ``words`` were written.
    """
    at, row, used = 0, first, 0
    width = rows.shape[1]
    while row < rows.shape[0]:
        begin = at
        while begin < data.size and data[begin] == _NEWLINE:  # word2vec.c ends each row with one
            begin += 1
        end = begin
        while end < data.size and data[end] != _SPACE:
            end += 1
        if end + 1 + width > data.size:
            break
        for i in range(begin, end + 1):
            words[used] = data[i]
            used += 1
        rows[row, :] = data[end + 1 : end + 1 + width]
        at = end + 1 + width
        row += 1
    return row, at, used


@core
def split_text(data, rows, first, words, strange):
    """Read rows ``word, numbers, newline`` from ``data``, which ends with a newline, until it ends or ``rows`` is full.

    Blank lines are passed over.

    Args:
        rows: ``(n, size)`` float32, filled from the row ``first`` on.
        words: at least as long as ``data``.
        strange: ``(m, 4)`` int64 with m >= size; receives row, column, start and stop of the numbers that Python has to read.

    Returns:
        The next row, where in ``data`` it begins, how many bytes of ``words`` and how many rows of ``strange`` were written,
        and, if reading stopped at a row of another length, how many numbers that row has, else -1.
    """
    at, row, used, asked = 0, first, 0, 0
    size = rows.shape[1]
    while row < rows.shape[0] and at < data.size and asked + size <= strange.shape[0]:
        begin = end = at
        while data[end] != _SPACE and data[end] != _NEWLINE:
            end += 1
        column, before = 0, asked
        here = end
        while True:
            while data[here] <= _SPACE and data[here] != _NEWLINE:  # tabs and carriage returns too
                here += 1
            if data[here] == _NEWLINE:
                break
            start = here
            while data[here] > _SPACE:
                here += 1
            if column < size:
                value, certain = parse(data, start, here)
                rows[row, column] = value
                if not certain:
                    strange[asked, 0], strange[asked, 1], strange[asked, 2], strange[asked, 3] = row, column, start, here
                    asked += 1
            column += 1
        if column != size:
            if column > 0 or end > begin + (data[begin] == _RETURN):
                return row, at, used, before, column
        else:
            for i in range(begin, end + 1):
                words[used] = data[i]
                used += 1
            row += 1
        at = here + 1
    return row, at, used, asked, -1


@core
def join_text(words, at, rows, first, separator, out):
    """Write rows ``word, numbers, newline`` to ``out``, until all are written or one of them needs Python.

    Args:
        words: the words, those from ``at`` on for the rows from ``first`` on; none at all to write numbers only.
        rows: ``(n, size)`` float32.
        separator: the byte between two numbers.
        out: long enough for every row from ``first`` on: its word, and ``WIDEST + 1`` bytes a number.

    Returns:
        The next row, where its word begins, and how many bytes of ``out`` were written.
    """
    used = 0
    for row in range(first, rows.shape[0]):
        here, word = used, at
        if words.size > 0:
            while words[word] != _SPACE:
                out[here] = words[word]
                word += 1
                here += 1
            out[here] = _SPACE
            word += 1
            here += 1
        for column in range(rows.shape[1]):
            here = write(rows[row, column], out, here)
            if here < 0:
                return row, at, used
            out[here] = separator
            here += 1
        out[here - 1] = _NEWLINE  # in place of the last separator
        used, at = here, word
    return rows.shape[0], at, used
