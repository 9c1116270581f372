"""The safetensors format: named arrays in one file, without pickle, so that opening a file can never run code.

Layout: 8 bytes with the length of the header (unsigned, little-endian); the header, a JSON object that gives each array's
dtype, shape and byte range and, under ``__metadata__``, a map from text to text; then the bytes of all arrays, little-endian
and in C order, without gaps. Specification: https://github.com/huggingface/safetensors (README, "Format").

Arrays stream between file and memory without a second copy, and every inconsistency of a damaged file is found in the header,
before anything is allocated.
"""

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from minigrad.errors import CheckpointError, DTypeError, UsageError
from minigrad.formats.atomic import replacing

_DTYPES = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
_CODES = {dtype: code for code, dtype in _DTYPES.items()}
_COPIED = 16 << 20  # bytes of an array that are copied at once
_HEADER_LIMIT = 100_000_000  # bytes; the limit of the format's reference implementation


class _Entry(NamedTuple):
    """One array as the header describes it; ``start`` and ``stop`` count bytes from the end of the header."""

    code: str
    shape: tuple[int, ...]
    start: int
    stop: int


def write(path: str | os.PathLike, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None) -> None:
    """Write ``arrays`` and ``metadata`` to ``path``, as a whole or not at all.

    Arrays of any layout and byte order are accepted; they are stored in C order, little-endian.

    Raises:
        DTypeError: an array of a dtype that the format lacks, such as object, text or complex numbers.
        UsageError: a name or a metadata entry that the format reserves or cannot hold.
        CheckpointError: the file cannot be written; an earlier file at ``path`` is then unchanged.
    """
    header, order = _encode_header(arrays, metadata or {})
    with replacing(path) as file:
        file.write(len(header).to_bytes(8, "little"))
        file.write(header)
        for name in order:
            for block in _blocks(arrays[name]):
                # A view of a strided array has the right shape but other bytes: store the C order, not the memory.
                little = np.ascontiguousarray(block, dtype=block.dtype.newbyteorder("<"))
                file.write(little.reshape(-1).view(np.uint8).data)


def _blocks(array: np.ndarray) -> Iterator[np.ndarray]:
    """The whole array, or runs of its rows where it has to be copied to be written: a copy of all might not fit the memory."""
    if array.flags.c_contiguous or not array.size:
        yield array
        return
    rows = max(1, _COPIED // (array.nbytes // len(array)))
    for start in range(0, len(array), rows):
        yield array[start : start + rows]


def read(
    path: str | os.PathLike, select: Callable[[str], bool] = lambda name: True
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read the arrays whose name ``select`` accepts, and the metadata.

    The arrays own their memory and can be written to. The bfloat16 numbers (BF16) in which many published weights are stored
    have no NumPy dtype: they come back as float32, which holds each of them exactly.

    Raises:
        CheckpointError: the file is missing, unreadable, truncated, damaged, or no safetensors file.
    """
    with _opened(path) as file:
        entries, metadata, origin = _read_header(file, path)
        arrays = {name: _read_array(file, origin, entry, path) for name, entry in entries.items() if select(name)}
    return arrays, metadata


def memory_map(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """As :func:`read`, but the arrays stay in the file: what is not looked at is not read, and processes share the memory.

    The arrays are read-only, and the file must not be written to while they are used; to replace it, as :func:`write` does, is
    safe (Windows refuses it). bfloat16 is read at once.
    """
    with _opened(path) as file:
        entries, metadata, origin = _read_header(file, path)
        arrays = {}
        for name, entry in entries.items():
            if entry.code == "BF16" or entry.start == entry.stop:  # no memory can be mapped for nothing
                arrays[name] = _read_array(file, origin, entry, path)
            else:
                where = {"mode": "r", "offset": origin + entry.start, "shape": entry.shape}
                arrays[name] = np.asarray(np.memmap(file, _DTYPES[entry.code], **where))
    return arrays, metadata


@contextmanager
def _opened(path: str | os.PathLike) -> Iterator[BinaryIO]:
    if Path(path).is_dir():
        raise CheckpointError(f"a safetensors file was expected: {path} is a directory; name a file inside it")
    try:
        with open(path, "rb") as file:
            yield file
    except FileNotFoundError:
        raise CheckpointError(f"there is no file {path}; check its name") from None
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}; check its permissions") from error


def _encode_header(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> tuple[bytes, list[str]]:
    """The header's bytes, and the names in the order in which their bytes follow."""
    for key, value in metadata.items():
        if not (isinstance(key, str) and isinstance(value, str)):
            raise UsageError(f"safetensors metadata maps text to text: got {key!r}: {value!r}; encode it, as JSON for example")
    for name, array in arrays.items():
        if not isinstance(name, str) or name == "__metadata__":
            raise UsageError(f"an array's name is text other than '__metadata__': got {name!r}; rename it")
        if not isinstance(array, np.ndarray) or array.dtype.newbyteorder("<") not in _CODES:
            kind = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
            known = ", ".join(sorted(dtype.name for dtype in _CODES))
            raise DTypeError(f"safetensors stores NumPy arrays of {known}: got {kind} for {name!r}; convert it first")

    # Widest items first: then every array starts at a multiple of its item size, and readers can map the file into memory.
    order = sorted(arrays, key=lambda name: -arrays[name].dtype.itemsize)
    offset, ranges = 0, {}
    for name in order:
        ranges[name] = [offset, offset + arrays[name].nbytes]
        offset += arrays[name].nbytes

    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    for name, array in arrays.items():
        code = _CODES[array.dtype.newbyteorder("<")]
        header[name] = {"dtype": code, "shape": list(array.shape), "data_offsets": ranges[name]}
    encoded = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    return encoded + b" " * (-len(encoded) % 8), order  # spaces align the data that follows to 8 bytes


def _read_header(file: BinaryIO, path: str | os.PathLike) -> tuple[dict[str, _Entry], dict[str, str], int]:
    """The arrays' entries, the metadata, and where the data begin; all checked against each other and the file's size."""
    size = os.fstat(file.fileno()).st_size
    prefix = file.read(9)
    if len(prefix) < 9:
        raise CheckpointError(f"{path} is no safetensors file, or was truncated: it holds {size} bytes; use another copy")
    length = int.from_bytes(prefix[:8], "little")
    if prefix[8:] != b"{" or length > _HEADER_LIMIT:
        raise CheckpointError(f"{path} is no safetensors file: it does not begin with a JSON header; check which file this is")
    origin = 8 + length
    if origin > size:
        raise CheckpointError(_truncated(path, origin, size))
    try:
        header = json.loads(b"{" + file.read(length - 1))
        metadata = {key: str(value) for key, value in header.pop("__metadata__", {}).items()}
        entries = {
            name: _Entry(str(item["dtype"]), tuple(map(int, item["shape"])), *map(int, item["data_offsets"]))
            for name, item in header.items()
        }
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path} is no safetensors file: its header cannot be understood; use another copy") from error

    stop = 0
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].start, item[1].stop)):
        if entry.code != "BF16" and entry.code not in _DTYPES:
            raise CheckpointError(
                f"{path} holds {name!r} in the dtype {entry.code}, which NumPy lacks; convert it to F32 first"
            )
        width = 2 if entry.code == "BF16" else _DTYPES[entry.code].itemsize
        fits = entry.stop - entry.start == math.prod(entry.shape) * width
        if entry.start != stop or not fits or min(entry.shape, default=0) < 0:
            raise CheckpointError(f"{path} is damaged: its header gives {name!r} the wrong bytes; use another copy")
        stop = entry.stop
    if origin + stop > size:
        raise CheckpointError(_truncated(path, origin + stop, size))
    if origin + stop < size:
        raise CheckpointError(f"{path} is damaged: {size - origin - stop} bytes belong to no array; use another copy")
    return entries, metadata, origin


def _read_array(file: BinaryIO, origin: int, entry: _Entry, path: str | os.PathLike) -> np.ndarray:
    stored = np.dtype("<u2") if entry.code == "BF16" else _DTYPES[entry.code]
    array = np.empty(entry.shape, stored)
    file.seek(origin + entry.start)
    if file.readinto(array.reshape(-1).view(np.uint8).data) != array.nbytes:  # type: ignore[attr-defined]
        raise CheckpointError(f"{path} became shorter while it was read; read it again when nobody writes to it")
    if entry.code == "BF16":  # the upper half of a float32
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(stored.newbyteorder("="), copy=False)


def _truncated(path: str | os.PathLike, needed: int, size: int) -> str:
    return f"{path} is truncated: its header asks for {needed:,} bytes and it holds {size:,}; use another copy or checkpoint"
