"""Word vectors as the first embeddings of another model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..autograd import no_grad
from ..data import Tokenizer
from ..data.vocabulary import SPECIALS
from ..errors import CheckpointError, UsageError
from ..tensor import raw


def put_vectors(path: str, embedding: Any, tokenizer: Tokenizer, option: str) -> str:
    """Write the vectors of a file into the rows of the words that it knows; the others stay as they were drawn.

    The vectors are scaled, all by one number, so that their elements vary as much as those drawn did: a model is set up for
    embeddings of that size, whatever the size in which word2vec leaves them.

    Args:
        path: vectors in any format that :class:`minigrad.word2vec.vectors.WordVectors` loads, or a run of ``models.word2vec``.
        embedding: an ``nn.Embedding`` (words, size).
        tokenizer: whose tokens the rows are. A space before a word does not count, nor do capitals where a word is not found.
        option: what the user calls this, for errors.

    Returns:
        how many words were found, to be printed.

    Raises:
        UsageError: vectors of another size than the embedding, or of none of its words.
        DataError, CheckpointError: a file that cannot be read.
    """
    from ..word2vec.vectors import WordVectors

    file = Path(path)
    if file.is_dir():
        held = file / "vectors.safetensors"
        if not held.exists():
            raise CheckpointError(f"{path} holds no vectors.safetensors: {option} takes a run of models.word2vec, or a file")
        file = held
    vectors = WordVectors.load(file)
    table = np.asarray(raw(embedding.weight))
    if vectors.size != table.shape[1]:
        raise UsageError(
            f"{option} takes vectors as long as an embedding: got {vectors.size} in {path} and --dim {table.shape[1]}; "
            f"give --dim {vectors.size}, or vectors of another size"
        )
    rows, found = [], []
    for row, token in enumerate(tokenizer.vocabulary.tokens):
        word = token.strip(" ▁")
        index = vectors.index_of.get(word, vectors.index_of.get(word.lower()))
        if index is not None and row >= len(SPECIALS):
            rows.append(row)
            found.append(index)
    if not rows:
        raise UsageError(f"{option} takes vectors of words that the text has: {path} holds none of them")
    chosen = vectors.vectors[found]
    spread = float(chosen.std())
    with no_grad():
        embedding.weight[np.array(rows)] = chosen * np.float32(float(table[len(SPECIALS) :].std()) / spread if spread else 1.0)
    return f"{path}: vectors of {len(rows):,} of {len(table) - len(SPECIALS):,} tokens"
