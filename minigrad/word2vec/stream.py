"""A long sequence of word numbers that lies on disk, so that memory does not grow with the text."""

import errno
import tempfile
import weakref
from collections.abc import Iterator

import numpy as np

from minigrad.errors import DataError
from minigrad.kernels.word_numbers import END, renumber

_PIECE = 1 << 20  # numbers read at a time where nothing else is said: 4 MB


class NumberStream:
    """Word numbers, with ``END`` (-1) after each sentence, in a temporary file that vanishes with the object.

    Attributes:
        words: how many words there are, unknown ones left out.
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="minigrad-words-")  # noqa: SIM115  # it lives as long as this object
        weakref.finalize(self, self._file.close)
        self._length = 0
        self.words = 0

    def append(self, numbers: np.ndarray) -> None:
        """Write further numbers, ``(n,)`` int32.

        Raises:
            DataError: the disk is full.
        """
        try:
            self._file.seek(4 * self._length)
            self._file.write(np.ascontiguousarray(numbers, np.int32).data)
            self._file.flush()
        except OSError as error:
            reason = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else error.strerror
            raise DataError(
                f"the text's word numbers go to a temporary file in {tempfile.gettempdir()}, 4 bytes a word: {reason}; "
                "free some space, or set TMPDIR to another directory"
            ) from None
        self._length += numbers.size
        self.words += int(np.count_nonzero(numbers >= 0))

    def __len__(self) -> int:
        return self._length

    def read(self, start: int, count: int) -> np.ndarray:
        """The numbers from ``start`` on, ``count`` of them or what is left."""
        numbers = np.empty(max(0, min(count, self._length - start)), np.int32)
        self._file.seek(4 * start)
        self._file.readinto(numbers.view(np.uint8).data)  # type: ignore[attr-defined]
        return numbers

    def pieces(self, size: int | None = None, start: int = 0) -> Iterator[np.ndarray]:
        """All numbers from ``start`` on, at most ``size`` at a time: a piece ends with a sentence where one ends in it."""
        while start < self._length:
            piece = self.read(start, size or _PIECE)
            if start + piece.size < self._length:
                ends = np.flatnonzero(piece == END)
                piece = piece[: ends[-1] + 1] if ends.size else piece
            start += piece.size
            yield piece

    def renumbered(self, rank: np.ndarray, keep_unknown: bool = False) -> "NumberStream":
        """A new stream in which word i is ``rank[i]``; words of a negative rank are unknown, and left out or kept."""
        new = NumberStream()
        out = np.empty(_PIECE, np.int32)
        for piece in self.pieces(_PIECE):
            new.append(out[: renumber(piece, rank, keep_unknown, out)])
        return new
