import gzip
import os
import subprocess
import sys

import pytest

from minigrad.errors import DataError
from minigrad.word2vec import corpus as module
from minigrad.word2vec.corpus import Corpus


def text(corpus):
    return b"".join(block.tobytes() for block in corpus.blocks())


def test_a_file_plain_or_gzipped(tmp_path):
    (tmp_path / "a.txt").write_bytes("\ufeffdéjà vu\nzwei".encode())
    (tmp_path / "a.gz").write_bytes(gzip.compress("déjà vu\nzwei".encode()))
    for name in ("a.txt", "a.gz"):
        corpus = Corpus(tmp_path / name)
        assert text(corpus).decode() == "déjà vu\nzwei\n"
        assert corpus.position == corpus.size == (tmp_path / name).stat().st_size


def test_a_folder_is_its_files_in_order_without_hidden_ones(tmp_path):
    (tmp_path / "deep" / ".git").mkdir(parents=True)
    for name, content in (("b", "two"), ("a", "one"), ("deep/c", "three"), (".hidden", "x"), ("deep/.git/d", "x")):
        (tmp_path / name).write_text(content)
    assert text(Corpus(tmp_path)).split() == [b"one", b"two", b"three"]
    assert text(Corpus([tmp_path / "b", tmp_path / "a"])) == b"two\none\n"


@pytest.mark.parametrize("size", [16, 17, 64, 4096])
def test_blocks_are_cut_between_words(tmp_path, monkeypatch, size):
    monkeypatch.setattr(module, "BLOCK", size)
    words = [f"word{i}" for i in range(500)]
    (tmp_path / "a").write_text(" ".join(words))
    blocks = [block.tobytes() for block in Corpus(tmp_path / "a").blocks()]
    assert all(len(block) <= size + 1 for block in blocks)
    assert [word for block in blocks for word in block.decode().split()] == words


def test_lower_case_is_that_of_unicode(tmp_path):
    (tmp_path / "a").write_bytes("ÄB İ".encode() + b" \xff")
    assert text(Corpus(tmp_path / "a", lowercase=True)) == "ÄB İ".lower().encode() + b" \xff\n"


def test_standard_input_is_read_to_its_end():
    program = (
        "from minigrad.word2vec.corpus import Corpus; c = Corpus('-'); "
        "print(c.size, sum(b.size for b in c.blocks()), c, end='')"
    )
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    done = subprocess.run([sys.executable, "-c", program], input=b"a b\n", capture_output=True, env=environment, check=True)
    assert done.stdout == b"0 5 standard input"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"a\0b", "is binary"),
        ("text".encode("utf-16"), "is UTF-16, and must be UTF-8"),
        (gzip.compress(b"word " * 999)[:-20], "is not a whole gzip file"),
        (b"x" * 100, "words are separated by white space"),
    ],
)
def test_unusable_files_are_named_with_the_reason(tmp_path, monkeypatch, content, says):
    monkeypatch.setattr(module, "BLOCK", 64)
    (tmp_path / "bad").write_bytes(content)
    with pytest.raises(DataError, match=says) as raised:
        text(Corpus(tmp_path / "bad"))
    assert str(tmp_path / "bad") in str(raised.value)


def test_missing_files_and_empty_folders(tmp_path):
    with pytest.raises(DataError, match=r"nowhere does not exist"):
        Corpus(tmp_path / "nowhere")
    with pytest.raises(DataError, match="a folder of text holds at least one file"):
        Corpus(tmp_path)
