"""The formats of word2vec against gensim, byte by byte, and against files that are damaged in every way."""

import errno
import gzip
import os
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minigrad.errors import CheckpointError, DataError, ShapeError, UsageError
from minigrad.formats import word2vec

in_one_directory = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
# Every character but the two that separate, and no surrogates.
words_of_any_kind = st.text(st.characters(codec="utf-8", exclude_characters=" \n"), min_size=1, max_size=6)
finite = st.floats(width=32, allow_nan=False, allow_infinity=False)


@st.composite
def any_content(draw):
    words = draw(st.lists(words_of_any_kind, unique=True, min_size=1, max_size=8))
    return words, draw(hnp.arrays(np.float32, (len(words), draw(st.integers(1, 5))), elements=finite))


def some(rows=30, size=7):
    rng = np.random.default_rng(1)
    return [f"wört{i}" for i in range(rows)], rng.standard_normal((rows, size)).astype(np.float32)


def assert_holds(file, words, vectors, repairs=(0, 0, 0)):
    assert file.words == list(words)
    assert file.vectors.dtype == np.float32
    np.testing.assert_array_equal(file.vectors, vectors)
    assert file.repairs == repairs


@pytest.mark.parametrize("binary", [False, True])
@in_one_directory
@given(content=any_content())
def test_round_trip(tmp_path, binary, content):
    words, vectors = content
    word2vec.write(tmp_path / "v", words, vectors, binary=binary)
    assert_holds(word2vec.read(tmp_path / "v", binary=binary), words, vectors)


@pytest.mark.parametrize("name", ["v.txt", "v.bin", "v.txt.gz", "v.bin.gz"])
def test_the_format_is_found_out(tmp_path, name):
    words, vectors = some()
    word2vec.write(tmp_path / name, words, vectors, binary=".bin" in name)
    assert_holds(word2vec.read(tmp_path / name), words, vectors)
    assert_holds(word2vec.read(tmp_path / name, limit=5), words[:5], vectors[:5])
    assert_holds(word2vec.read(tmp_path / name, limit=500), words, vectors)


@pytest.mark.parametrize("binary", [False, True])
def test_rows_that_lie_across_blocks(tmp_path, monkeypatch, binary):
    monkeypatch.setattr(word2vec, "_BLOCK", 100)  # less than a row of text
    monkeypatch.setattr(word2vec, "_STRANGE", 3)
    words, vectors = some()
    vectors[3:9] *= np.float32(1e30)  # numbers that Python writes and reads
    word2vec.write(tmp_path / "v", words, vectors, binary=binary)
    assert_holds(word2vec.read(tmp_path / "v"), words, vectors)


def test_the_same_vectors_give_the_same_bytes(tmp_path):
    words, vectors = some()
    for name in ("a.gz", "b.gz"):
        word2vec.write(tmp_path / name, words, vectors.astype(np.float64)[:, ::1])
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()
    word2vec.write(tmp_path / "a", words, np.asfortranarray(vectors))
    assert gzip.decompress((tmp_path / "a.gz").read_bytes()) == (tmp_path / "a").read_bytes()


@pytest.mark.parametrize("binary", [False, True])
def test_gensim_writes_the_same_bytes_and_reads_the_same_vectors(tmp_path, binary):
    keyedvectors = pytest.importorskip("gensim.models.keyedvectors")
    words, vectors = some(60)
    vectors[:6] *= np.float32(10) ** np.array([[-20], [-6], [3], [5], [7], [30]], np.float32)
    vectors[6] = [0, -0.0, 1, 0.5, 100, 1e-4, 123456]
    theirs = keyedvectors.KeyedVectors(7)
    theirs.add_vectors(words, vectors)
    theirs.save_word2vec_format(tmp_path / "theirs", binary=binary)
    word2vec.write(tmp_path / "ours", words, vectors, binary=binary)
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()
    assert_holds(word2vec.read(tmp_path / "theirs"), words, vectors)
    read_by_them = keyedvectors.KeyedVectors.load_word2vec_format(tmp_path / "ours", binary=binary)
    assert read_by_them.index_to_key == words
    np.testing.assert_array_equal(read_by_them.vectors, vectors)


def binary_file(*rows, header=None, end=b""):
    size = len(rows[0][1])
    return (header or b"%d %d\n" % (len(rows), size)) + b"".join(
        word + b" " + struct.pack(f"<{size}f", *numbers) + end for word, numbers in rows
    )


def test_newlines_between_binary_rows_as_word2vec_writes_them(tmp_path):
    (tmp_path / "v").write_bytes(binary_file((b"a", [1, 2]), (b"b", [3, 4]), end=b"\n"))
    assert_holds(word2vec.read(tmp_path / "v"), "ab", [[1, 2], [3, 4]])


@pytest.mark.parametrize(
    "text",
    [
        b"2 3\na 1 2 3\nb 4 5 6",
        b"2 3\na 1 2 3 \nb 4 5 6 \n",  # word2vec.c puts a space behind the last number
        b"2 3\r\na 1 2 3\r\nb 4 5 6\r\n",
        b"2 3\na 1  2\t3\n\nb 4 5 6\n\n \n\r\n",
        b"2 3 \na 1.0 +2 3e0\nb .4e1 5000E-3 6_0\n".replace(b"6_0", b"06."),
    ],
)
def test_many_ways_to_lay_out_text(tmp_path, text):
    (tmp_path / "v").write_bytes(text)
    assert_holds(word2vec.read(tmp_path / "v"), "ab", [[1, 2, 3], [4, 5, 6]])


def test_numbers_are_rounded_as_gensim_rounds_them(tmp_path):
    texts = ["0.1", "1e-45", "3.4028235e38", "0.100000001490116119384765625", "1e-400", "16777217", "-0"]
    (tmp_path / "v").write_text(f"1 {len(texts)}\nw {' '.join(texts)}\n")
    assert_holds(word2vec.read(tmp_path / "v"), ["w"], [[np.float32(float(text)) for text in texts]])


def test_repairs_are_counted(tmp_path):
    content = binary_file((b"a", [1, 2]), (b"b\xe4", [3, 4]), (b"a", [5, 6]), (b"c", [np.nan, 0]), (b"d", [np.inf, -np.inf]))
    (tmp_path / "v").write_bytes(content)
    file = word2vec.read(tmp_path / "v")
    assert_holds(file, ["a", "b\ufffd", "c", "d"], [[1, 2], [3, 4], [np.nan, 0], [np.inf, -np.inf]], (1, 1, 2))
    assert str(file.repairs) == "1 duplicate words left out, 1 words that are not UTF-8, 2 rows with NaN or infinity"
    assert str(word2vec.Repairs()) == "none"


def test_large_numbers_are_finite(tmp_path):
    word2vec.write(tmp_path / "v", ["a"], np.full((1, 4), 3e38), binary=True)
    assert word2vec.read(tmp_path / "v").repairs == (0, 0, 0)


def test_text_holds_nan_and_infinity_too(tmp_path):
    word2vec.write(tmp_path / "v", ["a", "b"], [[1, np.nan], [np.inf, -np.inf]])
    assert (tmp_path / "v").read_bytes() == b"2 2\na 1.0 nan\nb inf -inf\n"
    assert_holds(word2vec.read(tmp_path / "v"), "ab", [[1, np.nan], [np.inf, -np.inf]], (0, 0, 2))


@pytest.mark.parametrize("binary", [False, True])
def test_every_truncation_is_noticed(tmp_path, binary):
    words, vectors = some(3, 2)
    word2vec.write(tmp_path / "v", words, vectors * 1000, binary=binary)
    content = (tmp_path / "v").read_bytes()
    # A text whose last number lost only its last digits cannot be told from a whole one.
    whole = len(content) if binary else content.rindex(b" ") + 2
    for length in range(whole):
        (tmp_path / "cut").write_bytes(content[:length])
        with pytest.raises(DataError, match=r"is cut|first line|no binary file"):
            word2vec.read(tmp_path / "cut", binary=binary)
    (tmp_path / "cut").write_bytes(content[: content.index("wört2".encode()) + 9])
    with pytest.raises(DataError, match=r"names 3 rows, and it ends in row 3; use another copy, or .* limit=2"):
        word2vec.read(tmp_path / "cut", binary=binary)
    assert_holds(word2vec.read(tmp_path / "cut", binary=binary, limit=2), words[:2], vectors[:2] * 1000)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "first line of a word2vec file .* got ''", id="empty"),
        pytest.param(b"the cat sat\n", "got 'the cat sat", id="prose"),
        pytest.param(b"the 0.1 0.2 0.3\ncat 0.1 0.2 0.3\n", "if it is GloVe's text, put such a line in front", id="no header"),
        pytest.param(b"2 0\n", "got '2 0", id="no dimension"),
        pytest.param(b"-2 3\n", "got '-2 3", id="negative"),
        pytest.param(b"99999999999999 300\na 1\n", "99,999,999,999,999 rows of at least", id="more than any disk"),
        pytest.param(b"1 2\na 1 2\nb 3 4\n", "goes on after the 1 rows .* limit=1", id="text goes on"),
        pytest.param(
            binary_file((b"a", [1, 2]), (b"b", [3, 4]), header=b"1 2\n"), "goes on after the 1 rows", id="binary goes on"
        ),
        pytest.param(b"2 2\na 1 2\nb 3 4 5\n", r"row 2 of .*v \('b'\) holds 3 numbers, and the first line says 2", id="longer"),
        pytest.param(b"3 2\na 1 2\nb 3\nc 4 5\n", r"row 2 of .*v \('b'\) holds 1 numbers", id="shorter"),
        pytest.param(b"3 2\na 1 2\nb\nc 4 5\n", r"row 2 of .*v \('b.*holds 0 numbers", id="no number"),
        pytest.param(b"2 2\na 1 2\nb 3 x4\n", "row 2 of .* holds 'x4', which is no number", id="no decimal"),
        pytest.param(b"1 2\n" + bytes(range(33, 100)) * 9, "row 1 of .* has no space after its word|is cut", id="no space"),
    ],
)
def test_damaged_files(tmp_path, content, message):
    (tmp_path / "v").write_bytes(content)
    with pytest.raises(DataError, match=message):
        word2vec.read(tmp_path / "v", binary=None if b"x4" not in content else False)


def test_a_binary_file_without_a_space(tmp_path, monkeypatch):
    monkeypatch.setattr(word2vec, "_BLOCK", 64)
    (tmp_path / "v").write_bytes(b"2 2\n" + b"x" * 500)
    with pytest.raises(DataError, match=r"row 1 of .* has no space after its word in 64 bytes; it is no binary file"):
        word2vec.read(tmp_path / "v", binary=True)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match=r"there is no file .*missing"):
        word2vec.read(tmp_path / "missing")
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        word2vec.read(tmp_path)
    (tmp_path / "v.gz").write_bytes(b"1 2\na 1 2\n")
    with pytest.raises(DataError, match=r"not a whole gzip file .*drop \.gz"):
        word2vec.read(tmp_path / "v.gz")
    word2vec.write(tmp_path / "v.gz", *some())
    (tmp_path / "v.gz").write_bytes((tmp_path / "v.gz").read_bytes()[:-100])
    with pytest.raises(DataError, match="not a whole gzip file"):
        word2vec.read(tmp_path / "v.gz")
    with pytest.raises(UsageError, match="at least 1: got 0"):
        word2vec.read(tmp_path / "v.gz", limit=0)


@pytest.mark.parametrize("word", ["new york", "a\nb", "\ud800"])
@pytest.mark.parametrize("binary", [False, True])
def test_words_that_the_formats_cannot_hold(tmp_path, word, binary):
    (tmp_path / "v").write_bytes(b"earlier")
    with pytest.raises(DataError, match=r"join its parts by '_'|cannot hold"):
        word2vec.write(tmp_path / "v", ["a", word], np.zeros((2, 2)), binary=binary)
    assert (tmp_path / "v").read_bytes() == b"earlier"


def test_one_row_for_each_word(tmp_path):
    for wrong in (np.zeros((3, 2)), np.zeros(2), np.zeros((2, 0))):
        with pytest.raises(ShapeError, match="for 2 words"):
            word2vec.write(tmp_path / "v", ["a", "b"], wrong)


@pytest.mark.parametrize("name", ["v.txt", "v.bin", "v.bin.gz"])
def test_a_full_disk_keeps_the_earlier_file(tmp_path, monkeypatch, name):
    words, vectors = some()
    word2vec.write(tmp_path / name, words, vectors)
    earlier = (tmp_path / name).read_bytes()

    def fail(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(CheckpointError, match="disk is full"):
        word2vec.write(tmp_path / name, words, vectors * 2, binary=True)
    assert (tmp_path / name).read_bytes() == earlier
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("binary", [True, False])
def test_rows_with_gaps_between_them_are_written_as_if_there_were_none(tmp_path, rng, binary):
    table = rng.standard_normal((30, 16)).astype(np.float32)
    words = [f"word{i}" for i in range(30)]
    word2vec.write(tmp_path / "gaps", words, table[:, :7], binary=binary)
    word2vec.write(tmp_path / "none", words, table[:, :7].copy(), binary=binary)
    assert (tmp_path / "gaps").read_bytes() == (tmp_path / "none").read_bytes()
