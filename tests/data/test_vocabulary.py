"""The vocabulary: its order, its specials, and ids that are none."""

import itertools

import numpy as np
import pytest

from minigrad.data import BOS, EOS, PAD, SPECIALS, UNK, Vocabulary
from minigrad.errors import DataError


def test_specials_come_first():
    vocabulary = Vocabulary(["b", "a"])
    assert (PAD, UNK, BOS, EOS) == (0, 1, 2, 3)
    assert vocabulary.tokens == (*SPECIALS, "b", "a") and len(vocabulary) == 6
    assert "a" in vocabulary and "c" not in vocabulary


def test_order_is_by_count_then_characters_whatever_the_order_of_reading():
    counts = {"c": 2, "a": 2, "b": 5, "d": 1}
    for items in itertools.permutations(counts.items()):
        assert Vocabulary.build(dict(items)).words == ["b", "a", "c", "d"]


def test_limits():
    counts = {"a": 4, "b": 3, "c": 2, "d": 1}
    assert Vocabulary.build(counts, min_count=2).words == ["a", "b", "c"]
    assert Vocabulary.build(counts, max_size=6).words == ["a", "b"]
    assert len(Vocabulary.build(counts, max_size=6)) == 6


def test_encode_and_decode():
    vocabulary = Vocabulary(["a", "b"])
    assert vocabulary.encode(["b", "never", "a"]) == [5, UNK, 4]
    assert vocabulary.decode(np.array([4, 5, EOS])) == ["a", "b", "<eos>"]
    assert Vocabulary(vocabulary.words).tokens == vocabulary.tokens


def test_names_of_specials_in_text_are_unknown_tokens():
    assert Vocabulary(["a", "b"]).encode(SPECIALS) == [UNK] * 4
    assert Vocabulary.build({"<eos>": 9, "<unk>": 9, "a": 2, "b": 1}).words == ["a", "b"]


@pytest.mark.parametrize("number", [-1, 6, 10**9])
def test_ids_out_of_range(number):
    with pytest.raises(DataError, match=rf"a token id lies in \[0, 6\): got {number};"):
        Vocabulary(["a", "b"]).decode([4, number, 5])


@pytest.mark.parametrize("counts", [{}, {"alone": 100}, {"a": 1, "b": 1, "often": 2}])
def test_a_vocabulary_of_one_word(counts):
    with pytest.raises(DataError, match=r"two different words .* give more text, or lower min_count"):
        Vocabulary.build(counts, min_count=2)


@pytest.mark.parametrize("words", [["a", "b", "a"], ["a", "b", "<pad>"]])
def test_a_token_twice(words):
    with pytest.raises(DataError, match=f"got '{words[-1]}' twice"):
        Vocabulary(words)
