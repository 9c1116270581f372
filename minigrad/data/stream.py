"""Text as one stream of words, cut into segments that a recurrent network reads one after the other.

A language model does not see sentences but the text as it goes on: every line, then ``<eos>``, then the next line. The stream
is cut into as many columns as a batch has, which are read side by side; a segment is the next few words of every column, and
the state that the network had at its end is the one with which it begins the next.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike

import numpy as np

from minigrad.data import docstrings
from minigrad.data.corpus import read_lines
from minigrad.data.splits import SPLITS, split_of
from minigrad.data.tokenizer import Tokenizer
from minigrad.data.vocabulary import EOS, PAD, UNK
from minigrad.errors import DataError, UsageError


class Stream:
    """The lines of a text, an ``<eos>`` behind each, as one array of ids; an empty line is an ``<eos>`` alone.

    Attributes:
        ids: ``(words,)``, int64.
        unknown: how many of them are ``<unk>``.

    Raises:
        DataError: no lines.
    """

    def __init__(self, lines: Iterable[str], tokenizer: Tokenizer):
        encoded = tokenizer.encode_all(lines)
        if not encoded:
            raise DataError("a text needs at least one line: got none")
        self.ids = np.concatenate([np.array([*ids, EOS], np.int64) for ids in encoded])
        self.unknown = int(np.count_nonzero(self.ids == UNK))

    def __len__(self) -> int:
        return len(self.ids)

    def fingerprint(self) -> str:
        """The number of words and a hash of them all, which tells whether a text is still the same."""
        return f"{len(self):,} words, {hashlib.blake2b(self.ids.tobytes(), digest_size=8).hexdigest()}"

    def describe(self) -> str:
        """How long it is, as a run reports it."""
        share = f", {100 * self.unknown / len(self):.2g} % of them <unk>" if self.unknown else ""
        return f"{len(self):,} words{share}"


@dataclass
class Segment:
    """The next words of every column; the arrays are int64 ``(time, batch)``.

    Attributes:
        input: the words that are read.
        target: the word behind each of them, which is to be predicted; ``PAD`` behind the end of the text.
        first: whether the columns begin here, so that no earlier state belongs to it.
    """

    input: np.ndarray
    target: np.ndarray
    first: bool

    @property
    def target_tokens(self) -> int:
        """The number of words to predict: what a mean loss divides by."""
        return int(np.count_nonzero(self.target != PAD))


class Segments:
    """Cuts a stream into columns, and these into segments. Every word is predicted once, the first one from an ``<eos>``.

    Args:
        stream: the text.
        batch: columns, at most as many as there are words.
        time: words of a column in a segment: how far gradients reach back.

    Raises:
        UsageError: ``batch`` or ``time`` below 1.
    """

    def __init__(self, stream: Stream, batch: int, time: int):
        if batch < 1 or time < 1:
            raise UsageError(f"a segment has at least one column and one word: got batch {batch} and time {time}")
        self.time = time
        rows = -(-len(stream) // batch)
        columns = -(-len(stream) // rows)  # of a text of few words none is empty
        target = np.full(rows * columns, PAD, np.int64)
        target[: len(stream)] = stream.ids
        # What is read where nothing is to be predicted any more does not matter: no state behind it is used.
        self._input = np.append(EOS, target[:-1]).reshape(columns, rows).T
        self._target = target.reshape(columns, rows).T

    def plan(self, epoch: int = 0) -> list[int]:
        """The row that each segment of an epoch begins with; the same in every epoch, as states go from one to the next."""
        return list(range(0, len(self._target), self.time))

    def epoch(self, epoch: int = 0, start: int = 0) -> Iterator[Segment]:
        """The segments of an epoch, from number ``start`` on."""
        for row in self.plan(epoch)[start:]:
            rows = slice(row, row + self.time)
            yield Segment(np.ascontiguousarray(self._input[rows]), np.ascontiguousarray(self._target[rows]), row == 0)


def read_text(paths: Sequence[str | PathLike]) -> list[str]:
    """The lines of text files, one file behind the other. Raises what :func:`~minigrad.data.corpus.read_lines` does."""
    return [line for path in paths for line in read_lines(path)]


def splits(
    train: Sequence[str | PathLike] | None, valid: Sequence[str | PathLike] | None, test: Sequence[str | PathLike] | None
) -> dict[str, list[str]]:
    """The lines of "train" and "valid", and of "test" where there is one.

    Args:
        train: text files; without them the text is the built-in one, the docstrings of the installation, and has all splits.
        valid: text files; without them it is what comes last in ``train``, a tenth of its lines: the fairest to predict.
        test: text files.

    Raises:
        DataError: a file that cannot be used, or nothing to hold out.
    """
    if not train:
        found: dict[str, list[str]] = {name: [] for name in SPLITS}
        for sentence in docstrings.sentences():
            found[split_of(sentence)].append(sentence)
        return found
    found = {name: read_text(paths) for name, paths in zip(SPLITS, (train, valid, test)) if paths}
    if "valid" not in found:
        lines = found["train"]
        held = max(1, len(lines) // 10)
        if held >= len(lines):
            raise DataError("a single line of text is too little to hold a part of it out: give more text, or --valid")
        found["train"], found["valid"] = lines[:-held], lines[-held:]
    return found
