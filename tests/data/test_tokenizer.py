"""Tokenizers that split by a rule, and the one interface and file that all kinds share."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.data import (
    BOS,
    EOS,
    PAD,
    UNK,
    CharTokenizer,
    PieceTokenizer,
    SubwordTokenizer,
    Tokenizer,
    WordTokenizer,
    train_tokenizer,
)
from minigrad.errors import DataError, UsageError

TEXTS = ["the cat sat on the mat .", "the dog sat on 12 cats !"]
KINDS = ["words", "chars", "pieces", "subwords"]


@pytest.fixture(params=KINDS)
def kind(request):
    if request.param == "subwords":
        pytest.importorskip("sentencepiece")
    return request.param


def trained(kind: str, **options) -> Tokenizer:
    return train_tokenizer(kind, TEXTS, size=40, **options)


def test_words():
    tokenizer = WordTokenizer.train(TEXTS, min_count=2)
    assert tokenizer.split(" the  cat\t.\n") == ["the", "cat", "."]
    assert tokenizer.decode(tokenizer.encode("the dog sat")) == "the <unk> sat"


@given(st.text())
def test_characters_and_pieces_lose_nothing(text):
    for tokenizer in (CharTokenizer, PieceTokenizer):
        tokens = tokenizer.split(text)
        assert all(tokens)
        assert tokenizer.join(tokens) == text


@pytest.mark.parametrize(
    "text, pieces",
    [
        ("<de> March 4, 2025", ["<de>", " March", " 4", ",", " 2", "0", "2", "5"]),
        ("5:30 p.m.", ["5", ":", "3", "0", " p", ".", "m", "."]),
        ("4. März – naïve_x", ["4", ".", " März", " –", " naïve", "_", "x"]),
        ("a  b\n", ["a", " ", " b", "\n"]),
    ],
)
def test_pieces(text, pieces):
    assert PieceTokenizer.split(text) == pieces


def test_every_kind_gives_its_text_back(kind):
    tokenizer = trained(kind)
    for text in TEXTS:
        ids = tokenizer.encode(text)
        assert all(4 <= number < len(tokenizer) for number in ids)
        assert tokenizer.vocabulary.decode(ids) == tokenizer.split(text)
        assert tokenizer.decode(ids) == tokenizer.decode(np.array(ids)) == text
    assert tokenizer.encode_all(TEXTS) == [tokenizer.encode(text) for text in TEXTS]


def test_decode_reads_up_to_the_end_of_the_sentence(kind):
    tokenizer = trained(kind)
    ids = tokenizer.encode("the cat")
    assert tokenizer.decode([BOS, *ids, EOS, *ids, PAD]) == "the cat"
    assert tokenizer.decode([]) == ""


def test_text_cannot_name_a_special(kind):
    ids = trained(kind).encode("the <eos> <bos> <pad>")
    assert not {PAD, BOS, EOS} & set(ids)


def test_unknown_characters(kind):
    tokenizer = trained(kind)
    assert UNK in tokenizer.encode("ж")
    assert tokenizer.decode(tokenizer.encode("ж")) == "<unk>"


def test_ids_out_of_range(kind):
    tokenizer = trained(kind)
    with pytest.raises(DataError, match=f"got {len(tokenizer)};"):
        tokenizer.decode([4, len(tokenizer)])


def test_lowercase(kind):
    upper = [text.upper() for text in TEXTS]
    assert train_tokenizer(kind, upper, size=40, lowercase=True).encode("THE Cat") == trained(kind).encode("the cat")
    assert train_tokenizer(kind, upper, size=40, lowercase=True).vocabulary.tokens == trained(kind).vocabulary.tokens


def test_file(kind, tmp_path):
    tokenizer = trained(kind, lowercase=True)
    path = tmp_path / "tokenizer.json"
    path.write_text("an earlier one")
    tokenizer.save(path)
    again = Tokenizer.load(path)
    assert type(again) is type(tokenizer) and again.lowercase
    assert again.vocabulary.tokens == tokenizer.vocabulary.tokens
    assert again.encode("The cat sat") == tokenizer.encode("the cat sat")
    assert again.to_json() == tokenizer.to_json()
    assert list(tmp_path.iterdir()) == [path]


def test_the_same_text_gives_the_same_tokenizer(kind):
    assert trained(kind).to_json() == trained(kind).to_json()


@pytest.mark.parametrize(
    "content, message",
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        (b"\xff\x00", "not JSON"),
        ("[]", "no tokenizer of minigrad"),
        ('{"format": "other"}', "no tokenizer of minigrad"),
    ],
)
def test_a_file_that_is_no_tokenizer(tmp_path, content, message):
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(DataError, match=message) as caught:
        Tokenizer.load(path)
    assert str(path) in str(caught.value)


def test_a_missing_file(tmp_path):
    with pytest.raises(DataError, match="cannot be read: No such file"):
        Tokenizer.load(tmp_path / "tokenizer.json")


@pytest.mark.parametrize(
    "change, message",
    [
        ({"version": 2}, "reads version 1 of a tokenizer: got 2"),
        ({"kind": "syllables"}, "got 'syllables'"),
        ({"words": ["a"]}, "two different words"),
        ({"words": None}, "damaged"),
        ({"words": [["a"], ["b"]]}, "list of words"),
        ({"words": ["a", 7]}, "list of words: got 7"),
    ],
)
def test_damaged_content(change, message):
    with pytest.raises(DataError, match=message):
        Tokenizer.from_json(trained("words").to_json() | change)


@pytest.mark.parametrize("key", ["words", "lowercase"])
def test_missing_content(key):
    content = trained("words").to_json()
    del content[key]
    with pytest.raises(DataError, match=f"damaged .*{key}"):
        Tokenizer.from_json(json.loads(json.dumps(content)))


def test_unknown_kind():
    with pytest.raises(UsageError, match="one of words, chars, pieces, subwords: got 'syllables'"):
        train_tokenizer("syllables", TEXTS)


def test_repr():
    assert repr(WordTokenizer.train(TEXTS, lowercase=True)) == "WordTokenizer(14 tokens, lower case)"
    assert SubwordTokenizer.kind == "subwords"
