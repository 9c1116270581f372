"""TensorBoard's event files: scalars and histograms, written by hand, and read back.

A file is a row of records, each ``length (8 bytes), crc of these, data, crc of the data``; integers are little-endian, and the
checksums are CRC-32C (Castagnoli), masked as TensorFlow does, so that a checksum of data that contains checksums is none of
them. The data is an ``Event`` message in Protocol Buffers' wire format, of which these fields are written::

    Event             1 wall_time: double   2 step: int64   3 file_version: string   5 summary: Summary
    Summary           1 value: repeated Value
    Summary.Value     1 tag: string   2 simple_value: float   5 histo: HistogramProto
    HistogramProto    1 min  2 max  3 num  4 sum  5 sum_squares: double   6 bucket_limit  7 bucket: packed doubles

Nothing of TensorBoard or TensorFlow is needed to write them; ``tensorboard --logdir DIR`` shows them.
"""

from __future__ import annotations

import math
import os
import socket
import struct
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import DataError
from .atomic import cannot_write

VERSION = "brain.Event:2"
_BUCKETS = 40  # of a histogram

# -- checksums ------------------------------------------------------------------------------------------------------------


def _table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _table()


def crc32c(data: bytes) -> int:
    """The CRC-32C of ``data``: polynomial 0x1EDC6F41, reflected (RFC 3720, appendix B.4)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def masked(crc: int) -> int:
    """The checksum as it is stored: rotated right by 15 bits, plus a constant."""
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


# -- the wire format ------------------------------------------------------------------------------------------------------


def _varint(value: int) -> bytes:
    value &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _integer(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _double(field: int, value: float) -> bytes:
    return _varint(field << 3 | 1) + struct.pack("<d", value)


def _float(field: int, value: float) -> bytes:
    with np.errstate(over="ignore"):
        return _varint(field << 3 | 5) + np.float32(value).astype("<f4").tobytes()


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _histogram(values: Any) -> bytes:
    """A HistogramProto of the finite values: equal buckets between the least and the greatest."""
    flat = np.asarray(values).reshape(-1)
    flat = flat[np.isfinite(flat)].astype(np.float64)
    if not flat.size:
        counts, edges = np.zeros(1), np.array([0.0, 0.0])
        flat = np.zeros(0)
    elif flat.min() == flat.max():
        counts, edges = np.array([float(flat.size)]), np.array([flat[0], flat[0]])
    else:
        counts, edges = np.histogram(flat, _BUCKETS)
    low, high = (float(flat.min()), float(flat.max())) if flat.size else (0.0, 0.0)
    with np.errstate(over="ignore"):
        squares = float(np.dot(flat, flat))
    numbers = zip(range(1, 6), (low, high, float(flat.size), float(flat.sum()), squares))
    packed = ((6, edges[1:]), (7, counts))
    return b"".join(_double(i, v) for i, v in numbers) + b"".join(_bytes(i, v.astype("<f8").tobytes()) for i, v in packed)


# -- writing --------------------------------------------------------------------------------------------------------------


class EventWriter:
    """Writes one event file into a directory, which is made where it is missing. Also a context manager.

    Args:
        directory: what ``tensorboard --logdir`` is given, or a directory in it, one for each run.

    Raises:
        CheckpointError: if it cannot be written.
    """

    def __init__(self, directory: str | os.PathLike):
        self.directory = Path(directory)
        name = f"events.out.tfevents.{time.time():.6f}.{socket.gethostname()}.{os.getpid()}"
        self.path = self.directory / name
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._file = open(self.path, "wb")  # noqa: SIM115  # open for the whole run
        except OSError as error:
            raise cannot_write(self.path, error) from error
        self._event(_bytes(3, VERSION.encode()))
        self.flush()

    def scalar(self, tag: str, value: float, step: int) -> None:
        """A number of a training step; names with slashes are grouped by what is before the first."""
        self._value(tag, _float(2, value), step)

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Several numbers of a step."""
        for tag, value in values.items():
            self.scalar(tag, value, step)

    def histogram(self, tag: str, values: Any, step: int) -> None:
        """How ``values``, an array of any shape, are distributed; those that are not finite are left out."""
        self._value(tag, _bytes(5, _histogram(values)), step)

    def _value(self, tag: str, content: bytes, step: int) -> None:
        value = _bytes(1, tag.encode("utf-8", "replace")) + content
        self._event(_integer(2, step) + _bytes(5, _bytes(1, value)))

    def _event(self, content: bytes) -> None:
        data = _double(1, time.time()) + content
        length = struct.pack("<Q", len(data))
        try:
            self._file.write(
                length + struct.pack("<I", masked(crc32c(length))) + data + struct.pack("<I", masked(crc32c(data)))
            )
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def flush(self) -> None:
        """Let a TensorBoard that is running see what was written so far."""
        try:
            self._file.flush()
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def close(self) -> None:
        """Finish the file."""
        self._file.close()

    def __enter__(self) -> EventWriter:
        return self

    def __exit__(self, *exc_info) -> None:
        self.close()


def write_series(series: Mapping[str, Mapping[str, Any]], directory: str | os.PathLike) -> Path:
    """Write the series of a record (see :class:`minigrad.viz.Record`) as scalars, and return the file's path."""
    with EventWriter(directory) as writer:
        for tag, found in series.items():
            for step, value in zip(found["steps"], found["values"]):
                writer.scalar(tag, math.nan if value is None else value, step)
    return writer.path


# -- reading --------------------------------------------------------------------------------------------------------------


class Entry(NamedTuple):
    """One value of an event file: a number, or for a histogram its fields: min, max, num, sum, sum_squares, limits, counts."""

    step: int
    tag: str
    value: float | dict[str, Any]


def read(path: str | os.PathLike) -> Iterator[Entry]:
    """The scalars and histograms of an event file, in order.

    Raises:
        DataError: at the first record that is cut short or whose checksum is wrong.
    """
    data = Path(path).read_bytes()
    at = 0
    while at < len(data):
        length = int.from_bytes(data[at : at + 8], "little")
        end = at + 12 + length + 4
        if len(data) < at + 12 or len(data) < end:
            raise DataError(f"{path} is cut short: its record at byte {at:,} has no end; the records before it are whole")
        for start, stop in ((at, at + 8), (at + 12, end - 4)):
            if masked(crc32c(data[start:stop])) != int.from_bytes(data[stop : stop + 4], "little"):
                raise DataError(f"{path} is damaged: the checksum of the bytes {start:,} to {stop:,} is wrong; copy it anew")
        yield from _entries(data[at + 12 : end - 4])
        at = end


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """(number, value) of each field of a message: an int, a float, or bytes."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        key = varint()
        kind = key & 7
        if kind == 0:
            yield key >> 3, varint()
        elif kind == 2:
            size = varint()
            yield key >> 3, data[at : at + size]
            at += size
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
            yield key >> 3, struct.unpack("<d" if kind == 1 else "<f", data[at : at + size])[0]
            at += size
        else:
            raise DataError(f"an event's fields are of the wire types 0, 1, 2 and 5: got {kind}; is this an event file?")


def _entries(event: bytes) -> Iterator[Entry]:
    fields = list(_fields(event))
    step = next((value for number, value in fields if number == 2), 0)
    for number, summary in fields:
        if number != 5:
            continue
        for _, content in _fields(summary):
            parts = dict(_fields(content))
            tag = parts[1].decode()
            if 2 in parts:
                yield Entry(step, tag, parts[2])
            elif 5 in parts:
                names = {1: "min", 2: "max", 3: "num", 4: "sum", 5: "sum_squares", 6: "limits", 7: "counts"}
                found = {names[n]: v for n, v in _fields(parts[5]) if n in names}
                for name in ("limits", "counts"):
                    found[name] = np.frombuffer(found.get(name, b""), "<f8").tolist()
                yield Entry(step, tag, found)
