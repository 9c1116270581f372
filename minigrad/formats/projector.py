"""The files of TensorBoard's embedding projector, which https://projector.tensorflow.org loads too: vectors and their labels.

``tensors.tsv`` has a vector a line, ``metadata.tsv`` its label, and, with counts, a heading and a second column;
``projector_config.pbtxt`` tells TensorBoard of both.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from minigrad.errors import ShapeError
from minigrad.formats.atomic import cannot_write, replacing, write_text
from minigrad.formats.word2vec import text_rows

_ESCAPES = str.maketrans(
    {"\t": "\\t", "\n": "\\n", "\r": "\\r", "\v": "\\v", "\f": "\\f", "\x85": "\\x85", "\u2028": "\\u2028"}
)


def write(
    folder: str | os.PathLike, words: Sequence[str], vectors: np.ndarray, counts: Sequence[int] | np.ndarray | None = None
) -> None:
    """Write the three files to ``folder``, which is made if it does not exist; each as a whole or not at all.

    In labels, tabs and line ends become ``\\t`` and ``\\n``, and a label of spaces alone is put in quotes: the projector leaves
    out blank lines, and all labels behind would be one off. The same vectors in a folder twice: the later ones replace the
    earlier.

    Args:
        words: the labels.
        vectors: ``(words, size)``.
        counts: ``(words,)``, a second column of the labels, by which the projector can colour.

    Raises:
        ShapeError: not one row, or one count, for each word.
        CheckpointError: the files cannot be written.
    """
    vectors = np.asarray(vectors, np.float32)
    fits = vectors.ndim == 2 and len(vectors) == len(words) and vectors.size
    if not fits or (counts is not None and len(counts) != len(words)):
        raise ShapeError(
            f"each word has a row of vectors and, if any, a count: got {len(words):,} words, an array of shape {vectors.shape}"
            + ("" if counts is None else f" and {len(counts):,} counts")
        )
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error
    with replacing(folder / "tensors.tsv") as file:
        for piece in text_rows(vectors, separator="\t"):
            file.write(piece)
    lines = [_label(word) for word in words]
    if counts is not None:
        lines = ["word\tcount", *(f"{line}\t{int(count)}" for line, count in zip(lines, counts))]
    write_text(folder / "metadata.tsv", "".join(f"{line}\n" for line in lines))
    config = 'embeddings {\n  tensor_path: "tensors.tsv"\n  metadata_path: "metadata.tsv"\n}\n'
    write_text(folder / "projector_config.pbtxt", config)


def _label(word: str) -> str:
    return word.translate(_ESCAPES) if word.strip() else f"'{word.translate(_ESCAPES)}'"
