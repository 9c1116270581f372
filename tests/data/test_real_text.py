"""Real parallel text, where it is at hand: the folder that MINIGRAD_DATA names."""

import os
from pathlib import Path

import pytest

from minigrad.data import ParallelText, Skipped, SubwordTokenizer, TokenBatches, read_pairs

FOLDER = Path(os.environ.get("MINIGRAD_DATA", Path(__file__).parents[3] / "shared" / "data"))
MULTI30K = FOLDER / "multi30k" / "tok"
TATOEBA = FOLDER / "tatoeba-spa-eng" / "spa.txt"


@pytest.mark.skipif(not MULTI30K.is_dir(), reason="Multi30k is not here")
def test_multi30k():
    pytest.importorskip("sentencepiece")
    train, test = (
        read_pairs([MULTI30K / f"{name}.lc.norm.tok.{side}" for side in ("en", "de")]) for name in ("train", "test_2016_flickr")
    )
    assert (len(train), len(test)) == (29_000, 1_000)
    assert train.skipped == test.skipped == Skipped()
    tokenizer = SubwordTokenizer.train(train.sources + train.targets, size=10_000)
    assert len(tokenizer) == 10_000
    text = ParallelText.encode(test, tokenizer)
    assert [tokenizer.decode(ids) for ids in text.targets] == test.targets
    batches = TokenBatches(text, 4096, shuffle=False)
    assert sum(len(batch) for batch in batches.epoch()) == 1_000


@pytest.mark.skipif(not TATOEBA.is_file(), reason="Tatoeba is not here")
def test_tatoeba():
    pairs = read_pairs([TATOEBA])
    assert len(pairs) == 118_964
    assert ("Let's go!", "Vamos.") in list(pairs)
    assert next(iter(read_pairs([TATOEBA], columns=(1, 0)))) == ("Ve.", "Go.")
