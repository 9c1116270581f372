"""Parallel text as ids: the four lists stay aligned, and what is left out is counted."""

import numpy as np
import pytest

from minigrad.data import CharTokenizer, ParallelText, Skipped, TextPairs, WordTokenizer
from minigrad.errors import DataError

PAIRS = TextPairs(["a b", "a b c d", "c"], ["x y z", "x", "z y"], Skipped(empty=3, long=1))


@pytest.fixture
def words():
    return WordTokenizer.train(PAIRS.sources + PAIRS.targets)


def test_both_sides_share_a_tokenizer(words):
    text = ParallelText.encode(PAIRS, words)
    assert len(text) == 3
    assert [words.decode(ids) for ids in text.sources] == text.text.sources == PAIRS.sources
    assert [words.decode(ids) for ids in text.targets] == text.text.targets == PAIRS.targets
    assert {array.dtype for array in text.sources + text.targets} == {np.dtype(np.int32)}
    np.testing.assert_array_equal(text.lengths, [[2, 3], [4, 1], [1, 2]])


def test_sides_with_their_own_tokenizers(words):
    targets = CharTokenizer.train(PAIRS.targets)
    text = ParallelText.encode(PAIRS, words, targets)
    assert words.decode(text.sources[0]) == "a b"
    assert targets.decode(text.targets[0]) == "x y z" and len(text.targets[0]) == 5


def test_long_pairs_are_skipped_and_counted_with_those_of_the_reader(words):
    text = ParallelText.encode(PAIRS, words, max_tokens=3)
    assert list(text.text) == [("a b", "x y z"), ("c", "z y")]
    assert [words.decode(ids) for ids in text.sources] == text.text.sources
    assert text.skipped == Skipped(empty=3, long=2)


def test_a_side_without_tokens_is_skipped(words):
    assert ParallelText.encode(TextPairs(["a", "\u3000"], ["x", "y"]), words).skipped == Skipped(empty=1)


def test_no_pair_left(words):
    with pytest.raises(DataError, match=r"no pair has at most 1 tokens on each side .*4 too long"):
        ParallelText.encode(PAIRS, words, max_tokens=1)


def test_description(words):
    pairs = TextPairs(["a b", "a never b c"], ["x", "y z"], Skipped(empty=1))
    assert ParallelText.encode(pairs, words).describe() == (
        "2 pairs; source 6 tokens (mean 3.0, longest 4, 16.67% unknown); target 3 tokens (mean 1.5, longest 2, 0.00% unknown); "
        "skipped: 1 with an empty side"
    )
