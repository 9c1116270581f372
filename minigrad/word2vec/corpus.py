"""Text of any length, read in blocks: a file, a folder, or standard input, plain or gzipped."""

import gzip
import io
import os
import sys
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from minigrad.errors import DataError

BLOCK = 1 << 22  # bytes
_GZIP = b"\x1f\x8b"
_MARKS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
_SPACES = b" \t\n\v\f\r"


class Corpus:
    """Text in UTF-8: words between ASCII white space, one sentence a line (or a single long line, cut while training).

    Gzip is recognised by its first bytes. The text is read once, from beginning to end, and never as a whole.

    Args:
        source: a path, or several; ``-`` is standard input; a folder stands for all files in it and below, in the order of
            their names, but for hidden ones.
        lowercase: turn letters into small ones.

    Raises:
        DataError: a path that does not exist, or a folder without files.
    """

    def __init__(self, source: str | os.PathLike | Iterable[str | os.PathLike], *, lowercase: bool = False) -> None:
        sources = [source] if isinstance(source, (str, os.PathLike)) else list(source)
        self.files = [file for one in sources for file in _files(one)]
        self.lowercase = lowercase
        self.size = sum(os.path.getsize(file) for file in self.files if file != "-")
        """Bytes of all files as they are on disk; 0 where standard input is among them, whose size nobody knows."""
        if "-" in self.files:
            self.size = 0
        self.position = 0
        """Bytes read so far, comparable with ``size``."""

    def blocks(self) -> Iterator[np.ndarray]:
        """The text as ``(n,)`` uint8 arrays, n at most ``BLOCK``, cut between words; each file ends with a line end.

        Raises:
            DataError: a file that is missing, unreadable, binary, UTF-16, a damaged gzip file, or holds no white space over a
                whole block.
        """
        behind = 0
        for name in self.files:
            try:
                with _opened(name) as raw:
                    for block in _file_blocks(name, _unzipped(raw)):
                        self.position = behind + (raw.tell() if name != "-" else 0)
                        yield np.frombuffer(_lower(block) if self.lowercase else block, np.uint8)
                    behind = self.position
            except (gzip.BadGzipFile, EOFError, zlib.error) as error:
                raise DataError(f"{name} is not a whole gzip file ({error}): compress it again") from None
            except OSError as error:
                raise DataError(f"{name} cannot be read: {error.strerror or error}; check the file and its disk") from None

    def __str__(self) -> str:
        first = "standard input" if self.files[0] == "-" else str(self.files[0])
        return first if len(self.files) == 1 else f"{first} and {len(self.files) - 1} more"


def _files(source: str | os.PathLike) -> list[str | Path]:
    if source == "-":
        return ["-"]
    path = Path(source)
    if path.is_dir():
        below = (file.relative_to(path) for file in sorted(path.rglob("*")) if file.is_file())
        found: list[str | Path] = [path / file for file in below if not any(part.startswith(".") for part in file.parts)]
        if not found:
            raise DataError(f"a folder of text holds at least one file: {path} holds none; give another folder, or a file")
        return found
    if not path.exists():
        raise DataError(f"{path} does not exist: check the path (the current directory is {Path.cwd()})")
    return [path]


def _opened(name: str | Path) -> BinaryIO:
    if name == "-":
        return io.BufferedReader(io.FileIO(sys.stdin.fileno(), closefd=False))
    return open(name, "rb")


def _unzipped(raw: BinaryIO) -> BinaryIO:
    is_gzip = raw.peek(2)[:2] == _GZIP  # type: ignore[attr-defined]  # both ways of opening give a BufferedReader
    return gzip.GzipFile(fileobj=raw) if is_gzip else raw  # type: ignore[return-value]


def _file_blocks(name: str | Path, stream: BinaryIO) -> Iterator[bytes]:
    rest, first = b"", True
    while data := stream.read(BLOCK - len(rest)):
        if first:
            if data[:2] in _MARKS:
                raise DataError(f"{name} is UTF-16, and must be UTF-8: iconv -f UTF-16 -t UTF-8 {name} > NEW")
            data = data.removeprefix(b"\xef\xbb\xbf")
            first = False
        if b"\0" in data:
            raise DataError(f"{name} is binary: it holds a NUL; give text in UTF-8")
        data = rest + data
        end = max(data.rfind(space) for space in (b" ", b"\n")) + 1
        if not end and len(data) < BLOCK:
            rest = data
            continue
        if not end:
            raise DataError(f"words are separated by white space: {name} has none in {BLOCK:,} bytes; give text in words")
        rest = data[end:]
        yield data[:end]
    yield rest + b"\n"


def _lower(block: bytes) -> bytes:
    if block.isascii():
        return block.lower()
    return block.decode("utf-8", "surrogateescape").lower().encode("utf-8", "surrogateescape")
