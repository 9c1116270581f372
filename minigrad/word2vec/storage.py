"""The files that hold word vectors: which format a name stands for, and how safetensors keeps the words."""

import json
import logging
import os
from collections.abc import Sequence

import numpy as np

from minigrad.errors import CheckpointError, UsageError
from minigrad.formats import safetensors, word2vec

_log = logging.getLogger(__name__)

Stored = tuple[list[str], np.ndarray, "np.ndarray | None"]
"""Words, vectors and counts."""


def load(path: str | os.PathLike, *, binary: bool | None, limit: int | None, mmap: bool) -> Stored:
    """See :meth:`minigrad.word2vec.vectors.WordVectors.load`."""
    if os.fspath(path).endswith(".safetensors"):
        return _load_safetensors(path, limit, mmap)
    if mmap:
        raise UsageError(
            f"only a .safetensors file can be mapped into memory: got {path}; save the vectors in that format first"
        )
    file = word2vec.read(path, binary=binary, limit=limit)
    if any(file.repairs):
        _log.warning("%s: %s", path, file.repairs)
    return file.words, file.vectors, None


def save(path: str | os.PathLike, words: Sequence[str], vectors: np.ndarray, counts: np.ndarray | None) -> None:
    """See :meth:`minigrad.word2vec.vectors.WordVectors.save`."""
    name = os.fspath(path).removesuffix(".gz")
    if os.fspath(path).endswith(".safetensors"):
        # The words are an array of their own: in the header, a million of them would pass what other readers accept.
        arrays = {"vectors": vectors, "words": np.frombuffer(json.dumps(list(words)).encode(), np.uint8)}
        if counts is not None:
            arrays["counts"] = counts
        safetensors.write(path, arrays, {"format": "word vectors", "words": "a JSON list in UTF-8"})
    elif name.endswith(".bin"):
        word2vec.write(path, words, vectors, binary=True)
    elif name.endswith((".txt", ".vec")):
        word2vec.write(path, words, vectors)
    else:
        raise UsageError(f"a file of word vectors ends in .safetensors, .bin, .txt or .vec: got {path}; rename it")


def _load_safetensors(path: str | os.PathLike, limit: int | None, mmap: bool) -> Stored:
    arrays, _ = (safetensors.memory_map if mmap else safetensors.read)(path)
    try:
        words = json.loads(arrays["words"].tobytes())
        vectors, counts = arrays["vectors"], arrays.get("counts")
    except (KeyError, ValueError):
        raise CheckpointError(
            f"{path} holds no word vectors, but {', '.join(arrays) or 'nothing'}; name another file"
        ) from None
    return words[:limit], vectors[:limit], None if counts is None else counts[:limit]
