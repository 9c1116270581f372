"""Standard input, as it comes from pipes of any encoding and from terminals."""

import io
import os
import sys

import pytest

from minigrad.errors import DataError, UsageError
from minigrad.training import console


def test_lines_lose_their_ends_and_the_byte_order_mark():
    content = b"\xef\xbb\xbfk\xc3\xa4se\r\n\n x\xe2\x80\xa8y \nlast"
    assert list(console.decoded_lines(io.BytesIO(content))) == ["käse", "", " x\u2028y ", "last"]
    assert list(console.decoded_lines(io.BytesIO(b""))) == []


def test_lines_before_an_unreadable_one_are_not_lost():
    found = console.chunks(console.decoded_lines(io.BytesIO(b"a\nb\nc\n\xff\nd\n")), 2)
    assert [next(found), next(found)] == [["a", "b"], ["c"]]
    with pytest.raises(DataError, match="line 4 holds the byte 0xff"):
        next(found)


def test_chunks():
    assert list(console.chunks("abcde", 2)) == [["a", "b"], ["c", "d"], ["e"]]
    assert list(console.chunks("", 2)) == []


def test_no_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    for lines in (console.piped_lines, console.typed_lines):
        with pytest.raises(UsageError, match="closed"):
            next(lines())


def test_a_terminal_prompts_and_ends_with_the_end_of_file(monkeypatch, capsys):
    typed = iter(["one", "t\udcffwo"])  # the second with a byte that was no UTF-8

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    def answer(prompt):
        assert prompt == "> "
        try:
            return next(typed)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr("builtins.input", answer)
    assert list(console.typed_lines()) == ["one", "t\ufffdwo"]
    assert capsys.readouterr().err == "\n"


def test_output_is_utf_8_in_a_pipe(monkeypatch):
    pipe = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", pipe)
    console.write_utf8()
    pipe.write("käse")
    pipe.flush()
    assert pipe.buffer.getvalue() == "käse".encode()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_what_cannot_be_written_is_discarded(monkeypatch):
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        full.write("text")
        console.discard_output()
