"""The text and the binary format of word2vec, as word2vec.c and gensim write them.

Both begin with a line ``words size`` in ASCII. Then come the rows, each a word in UTF-8 and a space, and

* in the text format ``size`` decimals separated by spaces, and a newline;
* in the binary format ``size`` float32, little-endian. word2vec.c adds a newline, gensim none; both are read, none is written.

A file whose name ends in ``.gz`` is compressed with gzip.
"""

import gzip
import os
import re
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from minigrad.errors import DataError, ShapeError, UsageError
from minigrad.formats.atomic import replacing
from minigrad.kernels.decimal import WIDEST
from minigrad.kernels.wordfile import join_text, split_binary, split_text

_BLOCK = 1 << 20  # bytes read or written at a time: few enough for the cache
_HEADER = 100  # bytes, far more than two numbers need
_STRANGE = 4096  # numbers in one go that Python has to read
_NUMBERS = b"0123456789+-.eE \t\rnaNAifIF"  # the bytes of which rows of decimals consist
_EXPANSION = 1032  # the most that gzip can shrink anything
_UNSPEAKABLE = re.compile("[ \n]")


class Repairs(NamedTuple):
    """How much of a file was not as it should be, and read all the same.

    Attributes:
        duplicates: rows left out because an earlier row has the same word.
        undecodable: words with bytes that are no UTF-8, each replaced by U+FFFD. word2vec.c cuts long words inside a character.
        not_finite: rows with NaN or infinity, which are kept.
    """

    duplicates: int = 0
    undecodable: int = 0
    not_finite: int = 0

    def __str__(self) -> str:
        kinds = ("duplicate words left out", "words that are not UTF-8", "rows with NaN or infinity")
        return ", ".join(f"{count:,} {kind}" for count, kind in zip(self, kinds) if count) or "none"


class WordFile(NamedTuple):
    """What a file holds: ``words`` and, in the same order, ``vectors`` ``(words, size)`` float32."""

    words: list[str]
    vectors: np.ndarray
    repairs: Repairs


def read(path: str | os.PathLike, *, binary: bool | None = None, limit: int | None = None) -> WordFile:
    """Read a file in one of the two formats.

    Duplicate words, words that are not UTF-8, and numbers that are NaN or infinite are counted in ``repairs``. Blank lines,
    several spaces in a row, and ``\\r\\n`` are fine.

    Args:
        binary: the format; ``None`` finds out from the first row.
        limit: read only the first so many rows, and do not mind what follows them.

    Raises:
        DataError: a file that is missing, unreadable, or not gzip although its name says so; no header; fewer or more rows than
            the header names, which a cut file has; a row with another number of decimals, or with something else than decimals.
        UsageError: a limit below 1.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"limit is a number of words of at least 1: got {limit}")
    with _opened(path) as file:
        named, size = _read_header(file, path)
        rows = named if limit is None else min(named, limit)
        if binary is None:
            binary, start = _is_binary(file)
        else:
            start = b""
        _check_length(path, rows, named, 4 * size + 1 if binary else 2 * size)
        vectors = np.empty((rows, size), np.float32)
        reader = _Reader(path, file, start, vectors, named)
        (reader.read_binary if binary else reader.read_text)()
        if rows == named:
            reader.expect_end()
    words, vectors, duplicates = _without_duplicates(reader.words, vectors)
    with np.errstate(over="ignore", invalid="ignore"):
        finite = np.isfinite(vectors.sum(1))  # a sum may overflow too: the second look tells
    not_finite = int((~np.isfinite(vectors[~finite]).all(1)).sum())
    return WordFile(words, vectors, Repairs(duplicates, reader.undecodable, not_finite))


def write(path: str | os.PathLike, words: Sequence[str], vectors: np.ndarray, *, binary: bool = False) -> None:
    """Write words and their vectors, as a whole or not at all.

    Decimals are the shortest that read back as the same float32: the bytes are those of gensim.

    Args:
        words: in the order of the rows; none contains a space or a newline, with which these formats separate.
        vectors: ``(words, size)``, stored as float32.

    Raises:
        DataError: a word with a space or a newline, or one that UTF-8 cannot hold.
        ShapeError: not one row for each word, or no row at all.
        CheckpointError: the file cannot be written; an earlier one at ``path`` is then unchanged.
    """
    vectors = np.asarray(vectors, np.float32)
    if vectors.ndim != 2 or len(vectors) != len(words) or not vectors.size:
        raise ShapeError(f"each word has a row of vectors: got an array of shape {vectors.shape} for {len(words):,} words")
    with replacing(path) as file:
        if os.fspath(path).endswith(".gz"):
            # Neither name nor time inside: the same vectors give the same bytes.
            with gzip.GzipFile("", "wb", 6, file, mtime=0) as packed:
                _write(packed, words, vectors, binary)  # type: ignore[arg-type]
        else:
            _write(file, words, vectors, binary)


def text_rows(vectors: np.ndarray, words: Sequence[str] | None = None, separator: str = " ") -> Iterator[bytes]:
    """The rows of the text format, a megabyte at a time; without ``words``, the decimals alone."""
    size = vectors.shape[1]
    block = max(1, _BLOCK // ((WIDEST + 1) * size))
    for start in range(0, len(vectors), block):
        rows = np.ascontiguousarray(vectors[start : start + block], np.float32)
        some = b"" if words is None else _encoded(words[start : start + block])
        names = np.frombuffer(some, np.uint8)
        out = np.empty(len(some) + len(rows) * size * (WIDEST + 1), np.uint8)
        row = at = 0
        while row < len(rows):
            row, at, used = join_text(names, at, rows, row, ord(separator), out)
            yield out[:used].tobytes()
            if row < len(rows):  # this one is for Python
                numbers = separator.join(map(str, rows[row])).encode() + b"\n"
                stop = some.find(b" ", at) + 1
                yield some[at:stop] + numbers
                row, at = row + 1, stop


def _write(file: BinaryIO, words: Sequence[str], vectors: np.ndarray, binary: bool) -> None:
    size = vectors.shape[1]
    file.write(f"{len(words)} {size}\n".encode())
    if not binary:
        for piece in text_rows(vectors, words):
            file.write(piece)
        return
    width = 4 * size
    block = max(1, _BLOCK // (width + 1))
    for start in range(0, len(words), block):
        some = _encoded(words[start : start + block]).split(b" ")
        data = np.ascontiguousarray(vectors[start : start + block], "<f4").reshape(-1).view(np.uint8).data
        pieces: list[Any] = [b" "] * (3 * (len(some) - 1))
        pieces[0::3] = some[:-1]
        pieces[2::3] = [data[at : at + width] for at in range(0, (len(some) - 1) * width, width)]
        file.write(b"".join(pieces))


def _encoded(words: Sequence[str]) -> bytes:
    """The words in UTF-8, each followed by a space."""
    text = " ".join(words)
    if text.count(" ") != len(words) - 1 or "\n" in text:
        bad = next(word for word in words if _UNSPEAKABLE.search(word))
        raise DataError(f"word2vec's formats separate by spaces and lines: got the word {bad!r}; join its parts by '_'")
    try:
        return (text + " ").encode()
    except UnicodeEncodeError:
        bad = next(word for word in words if any("\ud800" <= character <= "\udfff" for character in word))
        raise DataError(
            f"words are stored in UTF-8, which cannot hold {bad!r}; leave it out or replace its surrogates"
        ) from None


class _Reader:
    """Fills ``vectors`` from a file, block by block, and collects the words."""

    def __init__(self, path: str | os.PathLike, file: BinaryIO, start: bytes, vectors: np.ndarray, named: int) -> None:
        self.path, self.file, self.vectors, self.named = path, file, vectors, named
        self.rest = start  # bytes read but not yet used
        self.words: list[str] = []
        self.undecodable = 0

    def read_binary(self) -> None:
        rows = self.vectors.view(np.uint8)
        row, needed = 0, max(_BLOCK, 2 * rows.shape[1])
        while row < len(rows):
            data = self._more(needed)
            words = np.empty(len(data), np.uint8)
            after, at, used = split_binary(np.frombuffer(data, np.uint8), rows, row, words)
            if after == row:
                if len(data) < needed:
                    raise self._cut(row)
                raise self._wrong(row, f"has no space after its word in {len(data):,} bytes; it is no binary file, or damaged")
            self._keep(words[:used].tobytes())
            self.rest, row = data[at:], after
        if sys.byteorder == "big":
            self.vectors.byteswap(inplace=True)

    def read_text(self) -> None:
        rows, row, needed = self.vectors, 0, _BLOCK
        strange = np.empty((max(_STRANGE, rows.shape[1]), 4), np.int64)
        while row < len(rows):
            data = self._more(needed)
            ended = len(data) < needed
            endless = ended and not data.endswith(b"\n")  # the last line of a file may lack its end, or be cut
            if endless:
                data += b"\n"
            stop = data.rfind(b"\n") + 1
            if not stop:
                needed *= 2  # a row longer than a block
                continue
            words = np.empty(stop, np.uint8)
            row, at, used, asked, length = split_text(np.frombuffer(data, np.uint8, stop), rows, row, words, strange)
            for number, column, begin, end in strange[:asked]:
                try:
                    rows[number, column] = float(data[begin:end])
                except ValueError:
                    if endless and end == stop - 1:
                        raise self._cut(number) from None
                    shown = data[begin : min(end, begin + 40)].decode("utf-8", "replace")
                    raise self._wrong(number, f"holds {shown!r}, which is no number") from None
            self._keep(words[:used].tobytes())
            if length >= 0:
                if endless and data.find(b"\n", at) == stop - 1:
                    raise self._cut(row)
                word = data[at : at + _HEADER].split()[0].decode("utf-8", "replace")
                raise self._wrong(row, f"({word!r}) holds {length:,} numbers, and the first line says {rows.shape[1]:,}")
            self.rest = data[at:]
            if ended and row < len(rows) and not self.rest.strip():
                raise self._cut(row)

    def expect_end(self) -> None:
        """Refuse rows behind the last one that the header names."""
        data = self.rest
        while data:
            if data.strip(b"\r\n \t"):
                raise DataError(
                    f"{self.path} goes on after the {self.named:,} rows that its first line names; correct that line, or read "
                    f"the first ones alone with limit={self.named}"
                )
            data = self.file.read(_BLOCK)

    def _more(self, needed: int) -> bytes:
        """What is left, filled up to ``needed`` bytes; fewer only at the end of the file."""
        return self.rest + self.file.read(max(0, needed - len(self.rest)))

    def _keep(self, some: bytes) -> None:
        try:
            words = some.decode().split(" ")
        except UnicodeDecodeError:
            raw = some.split(b" ")
            words = [word.decode("utf-8", "replace") for word in raw]
            self.undecodable += sum(word.encode() != bytes_ for word, bytes_ in zip(words, raw))
        self.words += words[:-1]

    def _cut(self, row: int) -> DataError:
        return DataError(
            f"{self.path} is cut: its first line names {self.named:,} rows, and it ends in row {row + 1:,}; use another copy"
            + (f", or read the whole rows with limit={row}" if row else "")
        )

    def _wrong(self, row: int, what: str) -> DataError:
        return DataError(f"row {row + 1:,} of {self.path} {what}; use another copy")


@contextmanager
def _opened(path: str | os.PathLike) -> Iterator[Any]:  # a GzipFile is no BinaryIO to type checkers
    """Open a file to be read, through gzip if its name says so, and turn what may go wrong into one sentence."""
    try:
        with gzip.open(path, "rb") if os.fspath(path).endswith(".gz") else open(path, "rb") as file:
            yield file
    except FileNotFoundError:
        raise DataError(f"there is no file {path}; check its name") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path} is not a whole gzip file ({error}); use another copy, or drop .gz from its name") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}; check what it is and its permissions") from error


def _read_header(file: BinaryIO, path: str | os.PathLike) -> tuple[int, int]:
    line = file.readline(_HEADER)
    fields = line.split()
    if line.endswith(b"\n") and len(fields) == 2 and all(field.isdigit() for field in fields):
        rows, size = map(int, fields)
        if rows and size:
            return rows, size
    shown = line[:40].decode("utf-8", "replace")
    raise DataError(
        f"the first line of a word2vec file is the number of words and the size of a vector, as in '400000 100': got {shown!r} "
        f"in {path}; check which file this is, and if it is GloVe's text, put such a line in front"
    )


def _is_binary(file: BinaryIO) -> tuple[bool, bytes]:
    """Whether a binary row follows, and the bytes read to know: behind the word, text has the characters of decimals alone."""
    start = file.read(1 << 16)
    numbers = start.lstrip(b"\r\n").partition(b" ")[2].partition(b"\n")[0]
    return bool(numbers.translate(None, _NUMBERS)) or not numbers.strip(), start


def _check_length(path: str | os.PathLike, rows: int, named: int, row_bytes: int) -> None:
    """Refuse a header that promises more than the file can hold, before memory is set aside for it."""
    length = os.stat(path).st_size * (_EXPANSION if os.fspath(path).endswith(".gz") else 1)
    if rows * row_bytes > length:
        raise DataError(
            f"{path} is cut, or its first line is wrong: that names {named:,} rows of at least {row_bytes:,} bytes each, and "
            f"there is room for {length // row_bytes:,}; use another copy"
        )


def _without_duplicates(words: list[str], vectors: np.ndarray) -> tuple[list[str], np.ndarray, int]:
    """The words and rows without those whose word came before, and how many there were."""
    if len(set(words)) == len(words):
        return words, vectors, 0
    first: dict[str, int] = {}
    for row, word in enumerate(words):
        first.setdefault(word, row)
    return list(first), vectors[list(first.values())], len(words) - len(first)
