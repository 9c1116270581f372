"""Word vectors saved and loaded, by the name of the file."""

import logging

import numpy as np
import pytest

from minigrad.errors import CheckpointError, DataError, UsageError
from minigrad.formats import safetensors
from minigrad.word2vec.vectors import WordVectors


@pytest.fixture
def vectors(rng):
    return WordVectors(["the", "Käse", "日本"], rng.standard_normal((3, 5)).astype(np.float32), counts=[9, 5, 1])


@pytest.mark.parametrize("name", ["v.safetensors", "v.bin", "v.txt", "v.vec", "v.bin.gz", "v.txt.gz"])
def test_round_trip(tmp_path, vectors, name):
    vectors.save(tmp_path / name)
    for limit in (None, 2):
        loaded = WordVectors.load(tmp_path / name, limit=limit)
        assert loaded.words == vectors.words[:limit]
        np.testing.assert_array_equal(loaded.vectors, vectors.vectors[:limit])
        if name == "v.safetensors":
            np.testing.assert_array_equal(loaded.counts, vectors.counts[:limit])
        else:
            assert loaded.counts is None


def test_safetensors_holds_any_word(tmp_path):
    words = ["new york", "a\nb", "", "\ud800"]
    WordVectors(words, np.eye(4)).save(tmp_path / "v.safetensors")
    loaded = WordVectors.load(tmp_path / "v.safetensors")
    assert (loaded.words, loaded.counts) == (words, None)


def test_vectors_can_stay_in_the_file(tmp_path, vectors):
    vectors.save(tmp_path / "v.safetensors")
    vectors.save(tmp_path / "v.bin")
    mapped = WordVectors.load(tmp_path / "v.safetensors", mmap=True, limit=2)
    owner = mapped.vectors
    while owner is not None and not isinstance(owner, np.memmap):
        owner = owner.base
    assert owner is not None
    np.testing.assert_array_equal(mapped.vectors, vectors.vectors[:2])
    assert mapped.similarity("the", "Käse") == vectors.similarity("the", "Käse")
    with pytest.raises(UsageError, match=r"only a .safetensors file can be mapped"):
        WordVectors.load(tmp_path / "v.bin", mmap=True)


def test_names_that_tell_no_format(tmp_path, vectors):
    for name in ("v", "v.npy", "v.safetensors.gz"):
        with pytest.raises(UsageError, match=r"ends in .safetensors, .bin, .txt or .vec: got "):
            vectors.save(tmp_path / name)


def test_safetensors_of_something_else(tmp_path):
    safetensors.write(tmp_path / "v.safetensors", {"linear.weight": np.zeros((2, 2))})
    with pytest.raises(CheckpointError, match=r"holds no word vectors, but linear.weight"):
        WordVectors.load(tmp_path / "v.safetensors")


def test_repairs_are_logged(tmp_path, caplog):
    (tmp_path / "v.txt").write_bytes(b"3 1\na 1\na 2\nb 3\n")
    with caplog.at_level(logging.WARNING):
        assert WordVectors.load(tmp_path / "v.txt").words == ["a", "b"]
    assert "v.txt: 1 duplicate words left out" in caplog.text
    with pytest.raises(DataError, match="there is no file"):
        WordVectors.load(tmp_path / "missing.txt")
