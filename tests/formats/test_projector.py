"""TensorBoard's projector files, read back as the projector reads them."""

import numpy as np
import pytest

from minigrad.errors import CheckpointError, ShapeError
from minigrad.formats import projector


def lines(path):
    return [
        line for line in path.read_text(encoding="utf-8").split("\n") if line.strip()
    ]  # the projector passes over blank lines


def test_vectors_and_labels(tmp_path, rng):
    vectors = rng.standard_normal((3, 4)).astype(np.float32)
    projector.write(tmp_path / "new" / "folder", ["the", "Käse", "日本"], vectors)
    folder = tmp_path / "new" / "folder"
    np.testing.assert_array_equal(np.loadtxt(folder / "tensors.tsv", np.float32, delimiter="\t"), vectors)
    assert lines(folder / "metadata.tsv") == ["the", "Käse", "日本"]
    assert 'tensor_path: "tensors.tsv"' in (folder / "projector_config.pbtxt").read_text()
    assert sorted(path.name for path in folder.iterdir()) == ["metadata.tsv", "projector_config.pbtxt", "tensors.tsv"]


def test_counts_are_a_second_column(tmp_path):
    projector.write(tmp_path, ["a", "b"], np.zeros((2, 2)), counts=np.array([7, 3]))
    assert lines(tmp_path / "metadata.tsv") == ["word\tcount", "a\t7", "b\t3"]


def test_labels_keep_to_one_field_of_one_line(tmp_path):
    words = ["a\tb", "c\nd\r", "", "  ", "\u2028", "e"]
    projector.write(tmp_path, words, np.zeros((6, 2)))
    assert lines(tmp_path / "metadata.tsv") == ["a\\tb", "c\\nd\\r", "''", "'  '", "'\\u2028'", "e"]


def test_bad_input(tmp_path):
    with pytest.raises(ShapeError, match=r"got 2 words, an array of shape \(3, 2\)"):
        projector.write(tmp_path, ["a", "b"], np.zeros((3, 2)))
    with pytest.raises(ShapeError, match="and 1 counts"):
        projector.write(tmp_path, ["a", "b"], np.zeros((2, 2)), counts=[1])
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match=r"cannot write .*file"):
        projector.write(tmp_path / "file", ["a"], np.zeros((1, 2)))
