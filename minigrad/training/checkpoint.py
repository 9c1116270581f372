"""Checkpoints: everything a run needs to continue, in one safetensors file without pickle.

Weights and optimizer moments are the file's arrays; the rest (step, schedule, random generators, best score) is a tree of plain
Python values, stored as JSON in the file's metadata. One file is replaced as a whole, so its arrays and its state always
belong together, and a full disk or Ctrl-C leaves the earlier checkpoint as it was.
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from minigrad.errors import CheckpointError, UsageError
from minigrad.formats import safetensors

FORMAT = "minigrad.checkpoint"
VERSION = 1

_STATE_ARRAYS = "$state."  # arrays found inside the state go beside the others, under names with this beginning
_TAG = "$"  # a JSON object with this key stands for something that JSON has no word for


def save(path: str | os.PathLike, arrays: Mapping[str, np.ndarray], state: Mapping[str, Any]) -> None:
    """Write a checkpoint, as a whole or not at all.

    Args:
        path: the file; its directory must exist.
        arrays: arrays by name, of any shape and layout: ``{"model.embedding.weight": (words, features), ...}``.
        state: a tree of dicts, lists, tuples, text, numbers of any size, booleans, None and arrays. It comes back from
            :func:`load` as it was (NumPy scalars as Python numbers), so an optimizer's ``state_dict()``, whose keys are
            integers, and ``rng.bit_generator.state``, whose integers exceed 64 bits, go in as they are.

    Raises:
        UsageError: something in the state that cannot be stored; the message names the place.
        DTypeError: an array that is no number array.
        CheckpointError: the file cannot be written; an earlier checkpoint at ``path`` is then unchanged.
    """
    stored = dict(arrays)
    for name in stored:
        if str(name).startswith(_STATE_ARRAYS):
            raise UsageError(f"names that begin with {_STATE_ARRAYS!r} are reserved: got {name!r}; rename the array")
    encoded = _encode(state, "state", stored)
    metadata = {"format": f"{FORMAT}/{VERSION}", "state": json.dumps(encoded, separators=(",", ":"))}
    safetensors.write(path, stored, metadata)


def load(path: str | os.PathLike, require: Iterable[str] = ()) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read a checkpoint: its arrays and its state, as they were given to :func:`save`.

    Args:
        path: the file.
        require: names that must be among the arrays or the keys of the state.

    Raises:
        CheckpointError: the file is missing, truncated, no safetensors file, no checkpoint of minigrad, of another version, or
            lacks a required name.
    """
    arrays, metadata = safetensors.read(path)
    _check_format(path, metadata)
    try:
        state = dict(_decode(json.loads(metadata["state"]), arrays))
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{path} is damaged: its state cannot be understood; use another checkpoint") from error
    arrays = {name: array for name, array in arrays.items() if not name.startswith(_STATE_ARRAYS)}
    missing = [name for name in require if name not in arrays and name not in state]
    if missing:
        raise CheckpointError(
            f"{path} lacks {', '.join(missing)}; it was written by another program, use one that this one wrote"
        )
    return arrays, state


def average(paths: Sequence[str | os.PathLike], prefix: str = "") -> dict[str, np.ndarray]:
    """The mean of several checkpoints' arrays, the usual last touch to a Transformer's weights.

    The mean is taken in float64 and cast back. Arrays that are not floating point (counters, masks) have no mean: they come
    from the last checkpoint. Only two checkpoints' arrays are in memory at a time.

    Args:
        paths: one checkpoint or more, of the same model.
        prefix: average only the arrays whose name begins with this, such as ``"model."``; the names keep it.

    Source: Vaswani et al. 2017, section 6.1, averages the last 5 checkpoints (base) or 20 (big).

    Raises:
        UsageError: no paths, or no array with this prefix.
        CheckpointError: a file cannot be read, or its names or shapes differ from the first one's.
    """
    if not paths:
        raise UsageError("an average needs at least one checkpoint: got none; wait for the first one to be written")
    totals: dict[str, np.ndarray] = {}
    latest: dict[str, np.ndarray] = {}
    for path in paths:
        latest, metadata = safetensors.read(path, lambda name: name.startswith(prefix) and not name.startswith(_STATE_ARRAYS))
        _check_format(path, metadata)
        if not totals:
            totals = {name: np.zeros(array.shape) for name, array in latest.items()}
        _check_same(paths[0], totals, path, latest)
        for name, array in latest.items():
            totals[name] += array
    if not totals:
        raise UsageError(f"no array in {paths[0]} begins with {prefix!r}; give the beginning that the model's names have")
    return {
        name: (totals[name] / len(paths)).astype(array.dtype) if np.issubdtype(array.dtype, np.floating) else array
        for name, array in latest.items()
    }


def _check_format(path: str | os.PathLike, metadata: Mapping[str, str]) -> None:
    found, _, version = metadata.get("format", "").partition("/")
    if found != FORMAT:
        raise CheckpointError(
            f"{path} is a safetensors file but no checkpoint of minigrad; "
            "read bare weights with minigrad.formats.safetensors.read and pass them to load_state_dict"
        )
    if version != str(VERSION):
        raise CheckpointError(
            f"{path} is a checkpoint of version {version or '?'}, this minigrad reads version {VERSION}; "
            "use the minigrad that wrote it, or train again"
        )


def _check_same(
    first: str | os.PathLike, totals: Mapping[str, np.ndarray], path: str | os.PathLike, arrays: Mapping[str, np.ndarray]
) -> None:
    different = sorted(totals.keys() ^ arrays.keys())
    if different:
        name = different[0]
        holder, other = (first, path) if name in totals else (path, first)
        raise CheckpointError(
            f"checkpoints of one model hold the same arrays: {holder} has {name!r} and {other} has not; "
            "average checkpoints of one run"
        )
    for name, array in arrays.items():
        if array.shape != totals[name].shape:
            raise CheckpointError(
                f"checkpoints of one model have the same shapes: {name!r} is {totals[name].shape} in {first} and "
                f"{array.shape} in {path}; average checkpoints of one run"
            )


def _encode(value: Any, place: str, arrays: dict[str, np.ndarray]) -> Any:
    """``value`` as JSON can hold it. Arrays go into ``arrays``; what JSON lacks becomes an object with the key ``_TAG``."""
    if value is None or (isinstance(value, (bool, int, float, str)) and not isinstance(value, np.generic)):
        return value
    if isinstance(value, (np.bool_, np.integer, np.floating)):
        return value.item()
    if isinstance(value, np.ndarray):
        name = f"{_STATE_ARRAYS}{sum(key.startswith(_STATE_ARRAYS) for key in arrays)}"
        arrays[name] = value
        return {_TAG: "array", "name": name}
    if isinstance(value, list):
        return [_encode(item, f"{place}[{i}]", arrays) for i, item in enumerate(value)]
    if isinstance(value, tuple):
        return {_TAG: "tuple", "items": [_encode(item, f"{place}[{i}]", arrays) for i, item in enumerate(value)]}
    if isinstance(value, Mapping):
        pairs = [(key, _encode(item, f"{place}[{key!r}]", arrays)) for key, item in value.items()]
        if all(isinstance(key, str) and key != _TAG for key, _ in pairs):
            return dict(pairs)
        # JSON would turn the key 0 into "0" without a word: keep such keys as values of a list of pairs.
        return {_TAG: "dict", "items": [[_encode(key, f"a key of {place}", arrays), item] for key, item in pairs]}
    raise UsageError(
        f"a checkpoint's state holds dicts, lists, tuples, text, numbers, None and arrays: "
        f"got {type(value).__name__} at {place}; convert it first"
    )


def _decode(value: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    if isinstance(value, list):
        return [_decode(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    match value.get(_TAG):
        case "array":
            return arrays[value["name"]]
        case "tuple":
            return tuple(_decode(item, arrays) for item in value["items"])
        case "dict":
            return {_decode(key, arrays): _decode(item, arrays) for key, item in value["items"]}
    return {key: _decode(item, arrays) for key, item in value.items()}
