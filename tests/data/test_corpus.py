"""Reading text: what a usable file gives, and that each unusable one says why, where, and what to do."""

import gzip
from pathlib import Path

import pytest

from minigrad.data import Skipped, TextPairs, read_lines, read_pairs
from minigrad.errors import DataError, UsageError


@pytest.fixture
def write(tmp_path):
    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


@pytest.mark.parametrize("content", ["one\ntwo\n", "one\ntwo", "one\r\ntwo\r\n", "\ufeffone\ntwo\n"])
def test_lines_do_not_depend_on_their_ends_or_on_a_byte_order_mark(write, content):
    assert read_lines(write("text", content)) == ["one", "two"]


def test_only_a_line_feed_ends_a_line(write):
    inner = "a\u2028b\x0cc\x85d\re"
    assert read_lines(write("text", f"{inner}\n\nlast\n")) == [inner, "", "last"]


def test_gzip(write):
    assert read_lines(write("text.gz", gzip.compress(b"one\ntwo\n"))) == ["one", "two"]


def test_missing_file(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.txt does not exist: check the path"):
        read_lines(tmp_path / "nowhere.txt")


def test_directory(tmp_path):
    with pytest.raises(DataError, match="is a directory"):
        read_lines(tmp_path)


@pytest.mark.parametrize("content", ["", "\ufeff", "\n \n\t\n"])
def test_empty_file(write, content):
    with pytest.raises(DataError, match="is empty"):
        read_lines(write("text", content))


def test_binary_file(write):
    with pytest.raises(DataError, match=r"is binary: line 2 holds a NUL at byte 4"):
        read_lines(write("text", b"one\n\x00\x01\n"))


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_other_encoding_is_named_by_line_and_byte(write, mark):
    prefix = f"{mark}eins\nzwei\ndr".encode()
    with pytest.raises(DataError, match=rf"not UTF-8: line 3 holds 0xe9 at byte {len(prefix)}; .*iconv -f LATIN1 -t UTF-8"):
        read_lines(write("text", prefix + "éi\nvier\n".encode("latin-1")))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16(write, encoding):
    with pytest.raises(DataError, match=r"UTF-16|binary"):
        read_lines(write("text", "one\ntwo\n".encode(encoding)))


@pytest.mark.parametrize("content", [b"plain text\n", gzip.compress(b"one\ntwo\n" * 100)[:-12]], ids=["plain", "truncated"])
def test_damaged_gzip(write, content):
    with pytest.raises(DataError, match="not a whole gzip file"):
        read_lines(write("text.gz", content))


def test_unreadable_file(write, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(DataError, match="cannot be read: Permission denied"):
        read_lines(write("text", "one\n"))


def test_pairs_of_two_files(write):
    pairs = read_pairs([write("a", "one \n two\n"), write("b", "eins\nzwei\n")])
    assert list(pairs) == [("one", "eins"), ("two", "zwei")]
    assert not pairs.skipped and str(pairs.skipped) == "none"


@pytest.mark.parametrize("columns, expected", [((0, 1), [("a", "b")]), ((2, 0), [("c", "a")])])
def test_pairs_of_columns(write, columns, expected):
    assert list(read_pairs([write("text.tsv", "a\tb\tc\n")], columns=columns)) == expected


def test_pairs_without_text_or_too_long_are_skipped_and_counted(write):
    long = "word " * 100_000
    source = write("a", f"one\n\n{long}\ntwo\nthree\n")
    target = write("b", f"eins\nzwei\ndrei\n{long}\n \t\n")
    pairs = read_pairs([source, target])
    assert list(pairs) == [("one", "eins")]
    assert pairs.skipped == Skipped(empty=2, long=2)
    assert str(pairs.skipped) == "2 with an empty side, 2 too long"
    assert read_pairs([source, target], max_words=None).skipped == Skipped(empty=2)


def test_blank_rows_are_skipped_and_counted(write):
    pairs = read_pairs([write("text.tsv", "\na\tb\n  \n\tc\n")])
    assert list(pairs) == [("a", "b")]
    assert pairs.skipped == Skipped(empty=3)


@pytest.mark.parametrize(
    "source, target, longer, text", [("a\nb\n", "a\nb\nc\nd\n", "target", "c"), ("a\nb\nlost\n", "a\nb\n", "source", "lost")]
)
def test_sides_of_different_length(write, source, target, longer, text):
    paths = [write("source", source), write("target", target)]
    counts = rf"{source.count(chr(10))} lines in \S*source and {target.count(chr(10))} in \S*target"
    with pytest.raises(DataError, match=rf"{counts}; line 3 of \S*{longer} has no partner: '{text}'"):
        read_pairs(paths)


def test_row_with_too_few_columns(write):
    with pytest.raises(DataError, match=r"line 3 of \S*text.tsv has 1 column\(s\) where column 1 is wanted: 'no tab'"):
        read_pairs([write("text.tsv", "a\tb\n\nno tab\nc\td\n")])


def test_unknown_column(write):
    with pytest.raises(DataError, match=r"has no column 5: line 2 has 2 tab-separated"):
        read_pairs([write("text.tsv", "\na\tb\n")], columns=(0, 5))


@pytest.mark.parametrize("columns", [(-1, 0), (1, 1)])
def test_impossible_columns(write, columns):
    with pytest.raises(DataError, match="two different numbers from 0 on"):
        read_pairs([write("text.tsv", "a\tb\n")], columns=columns)


def test_no_usable_pair(write):
    with pytest.raises(DataError, match=r"no usable pair: skipped 2 with an empty side"):
        read_pairs([write("a", "a\n\n"), write("b", "\nb\n")])


@pytest.mark.parametrize("count", [0, 3])
def test_neither_one_nor_two_files(count):
    with pytest.raises(UsageError, match=f"got {count} paths"):
        read_pairs(["x"] * count)


def test_a_fingerprint_tells_whether_a_text_is_the_same():
    text = TextPairs(["a b", "c"], ["d", "e"])
    assert text.fingerprint() == TextPairs(["a b", "c"], ["d", "e"]).fingerprint()
    assert text.fingerprint().startswith("2 pairs, ")
    others = [TextPairs(["c", "a b"], ["e", "d"]), TextPairs(["a b", "c"], ["d", "f"]), TextPairs(["a", "c"], ["b d", "e"])]
    assert len({text.fingerprint(), *(other.fingerprint() for other in others)}) == 4
