"""Suggestions for misspelt words."""

import pytest

from minigrad.word2vec.spelling import near_spellings

WORDS = ["the", "king", "kind", "Paris", "queen", "NATO", "international", "kin", "Ring"]
INDEX = {word: row for row, word in enumerate(WORDS)}


@pytest.mark.parametrize(
    ("word", "first"),
    [
        ("paris", "Paris"),  # case
        ("nato", "NATO"),
        ("KING", "king"),
        ("kign", "king"),  # neighbours exchanged
        ("queeen", "queen"),  # one too many
        ("quen", "queen"),  # one too few
        ("wueen", "queen"),  # the first letter
        ("intrenatonal", "international"),  # two edits
    ],
)
def test_the_word_meant_comes_first(word, first):
    assert near_spellings(word, WORDS, INDEX)[0] == first


def test_more_frequent_words_come_first_and_no_more_than_asked_for():
    assert near_spellings("kinx", WORDS, INDEX, count=2) == ["king", "kind"]


@pytest.mark.parametrize("word", ["", "zzzzzz", "日本"])
def test_nothing_alike(word):
    assert near_spellings(word, WORDS, INDEX) == []
