"""The pictures that a translator leaves in its run directory when training ends; see :mod:`minigrad.viz` for more of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data import BOS, EOS, SPECIALS, Batch, TextPairs, Tokenizer
from ..errors import MissingExtraError
from ..tensor import raw
from .rundir import RunDirectory

if TYPE_CHECKING:
    from ..viz import Picture

Makers = Callable[[Any, Tokenizer, TextPairs], Iterator[tuple[str, "Picture"]]]  # (model, tokenizer, pairs) -> (name, picture)

SECONDS = 5.0  # of work, after which no further picture is begun; a busy machine takes longer for it
_SENTENCES, _LONGEST, _TOKENS = 300, 16, 120  # for the picture of errors; tokens of a sample; of an embedding


def leave(
    run: RunDirectory, makers: Makers | None, model: Any, tokenizer: Tokenizer, pairs: TextPairs, found: list[str]
) -> str:
    """Draw where the model errs, and what ``makers`` makes of it, into ``pictures/`` of a run.

    Training is over and its results are safe: whatever goes wrong here ends the pictures, and nothing else.

    Args:
        found: the translations of ``pairs``.

    Returns:
        A line that says what has been drawn, or why not.
    """
    started = time.thread_time()
    names: list[str] = []
    folder = run.path / "pictures"
    try:
        for name, picture in _all(makers, model, tokenizer, pairs, found):
            folder.mkdir(exist_ok=True)
            picture.save(folder / f"{name}.svg")
            names.append(name)
            if time.thread_time() - started > SECONDS:
                break
    except MissingExtraError as error:
        return f"no pictures of the model: {error}"
    except Exception as error:
        done = f"; drawn before: {', '.join(names)}" if names else ""
        return f"no more pictures of the model: {type(error).__name__}: {error}{done}"
    return f"pictures of the model in {folder}: {', '.join(names)}"


def _all(makers: Makers | None, model: Any, tokenizer: Tokenizer, pairs: TextPairs, found: list[str]):
    from .. import viz

    some = slice(_SENTENCES)
    split = [[_split(tokenizer, text) for text in texts[some]] for texts in (pairs.targets, found)]
    yield "errors", viz.errors(*split, sources=pairs.sources[some])
    if makers is not None:
        yield from makers(model, tokenizer, pairs)


def sample(tokenizer: Tokenizer, pairs: TextPairs) -> tuple[Batch, list[str], list[str]]:
    """The first pair that fits a picture, else the shortest: as a batch of one, and the tokens of both sides with ``<eos>``."""
    lengths = [max(len(tokenizer.encode(text)) for text in pair) for pair in zip(pairs.sources[:100], pairs.targets)]
    chosen = next((i for i, length in enumerate(lengths) if 3 <= length <= _LONGEST), int(np.argmin(lengths)))
    texts = pairs.sources[chosen], pairs.targets[chosen]
    source, target = (np.array([*tokenizer.encode(text), EOS], np.int64) for text in texts)
    batch = Batch(np.array([chosen]), source[None], np.array([[BOS, *target[:-1]]]), target[None])
    names = [[*_split(tokenizer, text), "<eos>"] for text in texts]
    return batch, names[0], names[1]


def embedding_of(weight: Any, tokenizer: Tokenizer) -> Picture:
    """The embeddings of the most frequent tokens, given those of all (tokens, dim)."""
    from .. import viz

    words = tokenizer.vocabulary.words[:_TOKENS]
    title = f"embeddings of the {len(words)} most frequent tokens, scaled to length 1"
    return viz.embedding(raw(weight)[len(SPECIALS) : len(SPECIALS) + len(words)], words, title=title, unit=True)


def _split(tokenizer: Tokenizer, text: str) -> list[str]:
    return tokenizer.split(text.lower() if tokenizer.lowercase else text)
