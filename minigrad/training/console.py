"""Standard input and output of a command line, and how a command ends when something goes wrong."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

from ..errors import DataError, MinigradError, UsageError


def piped_lines() -> Iterator[str]:
    """The lines of standard input, as :func:`decoded_lines` reads them."""
    if sys.stdin is None:
        raise UsageError("text is read from standard input, and that is closed: give some, as in 'translate < FILE'")
    yield from decoded_lines(sys.stdin.buffer)


def decoded_lines(stream: BinaryIO) -> Iterator[str]:
    """The lines of ``stream`` without their ends; a byte order mark is dropped.

    The bytes are decoded here, as Python would take them for whatever the locale says, or let bad ones pass.

    Raises:
        DataError: at the first line that is not UTF-8, after those before it.
    """
    for number, line in enumerate(stream, 1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise DataError(
                f"the input must be UTF-8: line {number:,} holds the byte 0x{line[error.start]:02x}; re-encode it, "
                f"from Latin-1 for example: iconv -f LATIN1 -t UTF-8"
            ) from None
        yield text.removesuffix("\n").removesuffix("\r")


def typed_lines() -> Iterator[str]:
    """Lines as they are typed, with a prompt and editing; those of standard input where that is no terminal."""
    if sys.stdin is None or not sys.stdin.isatty():
        yield from piped_lines()
        return
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  # importing it is what gives input() its editing and its history
    with contextlib.suppress(EOFError):
        while True:
            yield input("> ").encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    print(file=sys.stderr)  # behind the last prompt


def chunks(lines: Iterable[str], size: int) -> Iterator[list[str]]:
    """Up to ``size`` lines at a time; those before an unreadable one come before its error."""
    chunk: list[str] = []
    try:
        for line in lines:
            chunk.append(line)
            if len(chunk) == size:
                yield chunk
                chunk = []
    except DataError:
        if chunk:
            yield chunk
        raise
    if chunk:
        yield chunk


def write_utf8() -> None:
    """Let standard output be UTF-8, as the input is, whatever the locale; a terminal keeps its own encoding."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding=None if sys.stdout.isatty() else "utf-8", errors="replace")


def discard_output() -> None:
    """Let what is left for standard output vanish: the interpreter would fail on it once more at its end."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def run(command: Callable[[], object], *, smaller: str, status: int = 1) -> int:
    """Run a command; whatever goes wrong becomes one sentence on standard error.

    Args:
        smaller: what to do when the memory does not suffice.
        status: the exit status for an error that has its own message.

    Returns:
        the exit status: 0 if all went well, 130 after Ctrl-C.
    """
    try:
        command()
        sys.stdout.flush()  # a full disk shows here, not at the interpreter's end
    except MinigradError as error:
        return failed(str(error), status)
    except MemoryError as error:
        return failed(f"out of memory ({error}): {smaller}")
    except BrokenPipeError:  # the reader of our output has enough
        discard_output()
        return 1
    except OSError as error:
        discard_output()
        return failed(f"cannot go on: {error}")
    except KeyboardInterrupt:
        return failed("interrupted", 130)
    return 0


def failed(reason: str, status: int = 1) -> int:
    """Say on standard error why the command failed, and return its exit status."""
    print(f"error: {reason}", file=sys.stderr)
    return status
