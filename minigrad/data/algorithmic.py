"""Tasks without words: give back a sequence of letters, as it is or reversed."""

import random
import string
from collections.abc import Callable

from minigrad.data.corpus import TextPairs
from minigrad.data.splits import check_split, split_of
from minigrad.errors import UsageError

SYMBOLS = string.ascii_lowercase


def copy(split: str, size: int, seed: int = 0, *, lengths: tuple[int, int] = (3, 16)) -> TextPairs:
    """Pairs whose target is the source: letters separated by spaces. :func:`reverse` says what the arguments mean."""
    return _pairs(split, size, seed, lengths, lambda symbols: symbols)


def reverse(split: str, size: int, seed: int = 0, *, lengths: tuple[int, int] = (3, 16)) -> TextPairs:
    """Pairs whose target is the source from its end to its beginning: ``b a x`` to ``x a b``.

    Args:
        split: ``train``, ``valid`` or ``test``; no source is in two of them, whatever the seeds.
        size: how many pairs.
        seed: which ones.
        lengths: the fewest and the most letters of a source; all lengths are equally frequent.
    """
    return _pairs(split, size, seed, lengths, lambda symbols: symbols[::-1])


def _pairs(split: str, size: int, seed: int, lengths: tuple[int, int], answer: Callable[[list[str]], list[str]]) -> TextPairs:
    check_split(split, size)
    if not 2 <= lengths[0] <= lengths[1]:  # of single letters some would be in no training set
        raise UsageError(f"a sequence has at least 2 symbols, and no fewer at most than at least: got lengths {lengths}")
    generator = random.Random(f"{split} {seed}")
    pairs = TextPairs([], [])
    while len(pairs) < size:
        symbols = generator.choices(SYMBOLS, k=generator.randint(*lengths))
        source = " ".join(symbols)
        if split_of(source) == split:
            pairs.sources.append(source)
            pairs.targets.append(" ".join(answer(symbols)))
    return pairs
