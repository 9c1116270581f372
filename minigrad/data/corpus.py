"""Text from files: the lines of one, or the pairs of a parallel corpus. Every file that cannot be used says why, and where."""

import gzip
import hashlib
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

from minigrad.errors import DataError, UsageError

MAX_WORDS = 1000  # a longer line is no sentence, but a file that lost its line ends


@dataclass
class Skipped:
    """How many pairs were left out: ``empty`` ones lack a side, ``long`` ones pass a limit on their length."""

    empty: int = 0
    long: int = 0

    def __add__(self, other: "Skipped") -> "Skipped":
        return Skipped(self.empty + other.empty, self.long + other.long)

    def __bool__(self) -> bool:
        return bool(self.empty or self.long)

    def __str__(self) -> str:
        reasons = [
            f"{count:,} {reason}" for count, reason in ((self.empty, "with an empty side"), (self.long, "too long")) if count
        ]
        return ", ".join(reasons) or "none"


@dataclass
class TextPairs:
    """Sentences and their translations: ``targets[i]`` translates ``sources[i]``; ``skipped`` counts what was left out."""

    sources: list[str]
    targets: list[str]
    skipped: Skipped = field(default_factory=Skipped)

    def __len__(self) -> int:
        return len(self.sources)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return zip(self.sources, self.targets)

    def fingerprint(self) -> str:
        """The number of pairs and a hash of them all, which tells whether a text is still the same."""
        digest = hashlib.blake2b(digest_size=8)
        for pair in self:
            digest.update("\t".join((*pair, "\n")).encode("utf-8", "surrogatepass"))
        return f"{len(self):,} pairs, {digest.hexdigest()}"


def read_lines(path: str | PathLike) -> list[str]:
    """The lines of a text file in UTF-8, plain or gzipped (``.gz``), without their ends.

    A byte order mark is dropped; ``\\r\\n`` ends a line as ``\\n`` does. No other character ends a line, so that a stray
    form feed or U+2028 cannot shift one side of a parallel corpus against the other.

    Raises:
        DataError: the file is missing, unreadable, a directory, empty, binary, or not UTF-8.
    """
    text = _decode(_read_bytes(Path(path)), path)
    if not text.strip():
        raise DataError(f"{path} is empty: it must hold one sentence a line")
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()  # what follows the last line's end is no line
    return [line.removesuffix("\r") for line in lines]


def read_pairs(
    paths: Sequence[str | PathLike], *, columns: tuple[int, int] = (0, 1), max_words: int | None = MAX_WORDS
) -> TextPairs:
    """A parallel corpus from two files (source, target), line by line, or from one file of tab-separated columns.

    Args:
        paths: two paths, or one.
        columns: of one file, the numbers of the source's and the target's column, the first being 0.
        max_words: pairs with more words than this on a side, split at white space, are skipped; ``None`` keeps them.

    Raises:
        DataError: a file that :func:`read_lines` refuses, sides of different length, a row or a file without the column,
            or no pair left.
        UsageError: not one or two paths.
    """
    if len(paths) == 2:
        sources, targets = _aligned(paths[0], paths[1])
    elif len(paths) == 1:
        sources, targets = _columns(paths[0], columns)
    else:
        raise UsageError(f"parallel text is two files (source, target) or one .tsv file: got {len(paths)} paths")
    pairs = _without_unusable(sources, targets, max_words)
    if not pairs:
        raise DataError(f"{_names(paths)} holds no usable pair: skipped {pairs.skipped}")
    return pairs


def _read_bytes(path: Path) -> bytes:
    if path.is_dir():
        raise DataError(f"{path} is a directory: name a text file in it")
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if path.suffix == ".gz" else data
    except FileNotFoundError:
        raise DataError(f"{path} does not exist: check the path (the current directory is {Path.cwd()})") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path} is not a whole gzip file ({error}): compress it again, or drop .gz from its name") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None


def _decode(data: bytes, path: str | PathLike) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"{path} is UTF-16, and must be UTF-8: iconv -f UTF-16 -t UTF-8 {path} > NEW")
    if (offset := data.find(b"\0")) >= 0:
        raise DataError(
            f"{path} is binary: line {_line(data, offset)} holds a NUL at byte {offset:,}; give a text file in UTF-8"
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # utf-8-sig counts from behind the mark
        offset = error.start + (3 if data.startswith(b"\xef\xbb\xbf") else 0)
        raise DataError(
            f"{path} is not UTF-8: line {_line(data, offset)} holds 0x{data[offset]:02x} at byte {offset:,}; "
            f"re-encode it, from Latin-1 for example: iconv -f LATIN1 -t UTF-8 {path} > NEW"
        ) from None


def _line(data: bytes, offset: int) -> int:
    return data.count(b"\n", 0, offset) + 1


def _aligned(source: str | PathLike, target: str | PathLike) -> tuple[list[str], list[str]]:
    sources, targets = read_lines(source), read_lines(target)
    if len(sources) != len(targets):
        longer, lines = (source, sources) if len(sources) > len(targets) else (target, targets)
        alone = min(len(sources), len(targets))
        raise DataError(
            f"line i of {target} must translate line i of {source}: got {len(sources):,} lines in {source} and "
            f"{len(targets):,} in {target}; line {alone + 1} of {longer} has no partner: {_shortened(lines[alone])!r}"
        )
    return sources, targets


def _columns(path: str | PathLike, columns: tuple[int, int]) -> tuple[list[str], list[str]]:
    if min(columns) < 0 or columns[0] == columns[1]:
        raise DataError(
            f"the source's and the target's column are two different numbers from 0 on: got {columns[0]} and {columns[1]}"
        )
    rows = [line.split("\t") for line in read_lines(path)]
    filled = [(number, row) for number, row in enumerate(rows, 1) if "".join(row).strip()]
    needed = max(columns) + 1
    number, row = filled[0]
    if len(row) < needed:
        raise DataError(
            f"{path} has no column {needed - 1}: line {number} has {len(row)} tab-separated column(s), numbered from 0; "
            f"choose others, or give the two sides as two files"
        )
    for number, row in filled:
        if len(row) < needed:
            text = _shortened("\t".join(row))
            raise DataError(f"line {number} of {path} has {len(row)} column(s) where column {needed - 1} is wanted: {text!r}")
    blank = [""] * needed  # stands for a shorter row, which has no text: skipped, and counted, with the other empty ones
    rows = [row if len(row) >= needed else blank for row in rows]
    return [row[columns[0]] for row in rows], [row[columns[1]] for row in rows]


def _without_unusable(sources: list[str], targets: list[str], max_words: int | None) -> TextPairs:
    kept = TextPairs([], [])
    for source, target in zip(sources, targets):
        source, target = source.strip(), target.strip()
        if not source or not target:
            kept.skipped.empty += 1
        elif max_words is not None and (_words(source) > max_words or _words(target) > max_words):
            kept.skipped.long += 1
        else:
            kept.sources.append(source)
            kept.targets.append(target)
    return kept


def _words(text: str) -> int:
    return len(text.split())


def _names(paths: Sequence[str | PathLike]) -> str:
    return " with ".join(str(path) for path in paths)


def _shortened(text: str, length: int = 60) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
