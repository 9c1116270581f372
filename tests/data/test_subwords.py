"""Byte-pair encoding: nothing of the text is altered, small corpora are enough, and a missing package names its extra."""

import logging
import sys

import pytest

from minigrad.data import UNK, SubwordTokenizer, Tokenizer
from minigrad.errors import DataError, MissingExtraError

pytest.importorskip("sentencepiece")

ENGLISH = ["low lower lowest", "new newer newest", "wide wider widest", "a low , wide and new ½ ﬁeld ."]
GERMAN = ["niedrig niedriger am niedrigsten", "neu neuer am neuesten", "weit weiter am weitesten", "ein Feld \u00a0 „neu“ ."]


def test_unicode_is_left_as_it_is():
    """Compatibility characters, which sentencepiece folds by default, come back as they were."""
    tokenizer = SubwordTokenizer.train(ENGLISH + GERMAN, size=80)
    for text in ENGLISH + GERMAN:
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_frequent_words_are_one_token_and_unseen_ones_several():
    tokenizer = SubwordTokenizer.train(ENGLISH * 10, size=60)
    assert tokenizer.split("lowest") == ["▁lowest"]
    unseen = tokenizer.encode("newwide")
    assert 1 < len(unseen) <= 7 and UNK not in unseen
    assert tokenizer.decode(unseen) == "newwide"


def test_runs_of_spaces_become_one():
    tokenizer = SubwordTokenizer.train(ENGLISH, size=60)
    assert tokenizer.decode(tokenizer.encode("  low   new ")) == "low new"


def test_a_small_corpus_gives_all_its_merges_and_says_so(caplog, capfd):
    with caplog.at_level(logging.WARNING, logger="minigrad"):
        tokenizer = SubwordTokenizer.train(ENGLISH, size=10_000)
    assert 30 < len(tokenizer) < 100
    assert caplog.messages == [f"the text gives {len(tokenizer)} subwords, not 10,000: all of them are used"]
    assert capfd.readouterr().err == ""  # sentencepiece itself stays silent


def test_fewer_subwords_than_characters():
    with pytest.raises(DataError, match="10 subwords cannot hold even each character of the text"):
        SubwordTokenizer.train(ENGLISH, size=10)


@pytest.mark.parametrize("texts", [[], ["", "  "], ["word " * 100_000]])
def test_no_text(texts):
    with pytest.raises(DataError):
        SubwordTokenizer.train(texts)


@pytest.mark.parametrize("model", ["", "not base64!", "QUJD"])
def test_damaged_model(model):
    content = SubwordTokenizer.train(ENGLISH, size=60).to_json() | {"model": model}
    with pytest.raises(DataError, match="damaged"):
        Tokenizer.from_json(content)


def test_foreign_model():
    import io

    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=iter(ENGLISH),
        model_writer=model,
        vocab_size=60,
        model_type="bpe",
        minloglevel=2,
        hard_vocab_limit=False,
    )
    with pytest.raises(DataError, match="begins with <pad> <unk> <bos> <eos>: got <unk>"):
        SubwordTokenizer(model.getvalue())


def test_missing_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'minigrad\[text\]'"):
        SubwordTokenizer.train(ENGLISH)
