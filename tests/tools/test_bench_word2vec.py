import numpy as np
import pytest

import minigrad as mg
from tools.bench.groups import GROUPS, participants, word2vec
from tools.bench.measure import OURS


@pytest.fixture
def small_text(tmp_path, monkeypatch):
    file = word2vec._zipf_text(tmp_path / "text", 2000, 50)
    monkeypatch.setenv("MINIGRAD_CORPUS", str(file))
    return file


def test_each_model_is_measured_on_one_thread_and_on_all(small_text, monkeypatch):
    monkeypatch.setattr(word2vec, "get_num_threads", lambda: 3)
    monkeypatch.setattr(word2vec, "our_epoch", lambda text, *chosen: lambda: chosen)
    found = list(word2vec.contests({OURS: mg}))
    expected = [(model, loss, threads) for threads in (1, 3) for loss in ("ns", "hs") for model in ("skipgram", "cbow")]
    assert [contest.sides[OURS]() for contest in found] == expected
    assert {contest.amount for contest in found} == {2000}


def test_an_epoch_can_be_repeated(small_text):
    text = word2vec.prepare(word2vec.Corpus(small_text), min_count=1)
    work = word2vec.our_epoch(text, "skipgram", "ns", 1)
    work()
    work()


def test_random_words_follow_zipfs_law(small_text):
    words = small_text.read_text().split()
    counts = np.bincount([int(word[1:]) for word in words])
    assert len(words) == 2000
    assert counts[1:3].sum() > 2 * counts[10:20].sum() / 2 > counts[40:].sum()


def test_the_text_is_the_named_one_or_the_data_folders_or_random(small_text, monkeypatch, tmp_path):
    assert word2vec.corpus_file("") == small_text
    monkeypatch.delenv("MINIGRAD_CORPUS")
    monkeypatch.setenv("MINIGRAD_DATA", str(tmp_path))
    assert word2vec.corpus_file(str(tmp_path)) == tmp_path / "zipf.txt"
    (tmp_path / "wikitext-2").mkdir()
    (tmp_path / "wikitext-2" / "wiki.train.txt").touch()
    assert word2vec.corpus_file("") == tmp_path / "wikitext-2" / "wiki.train.txt"


def test_the_peer_is_gensim():
    assert list(participants("word2vec", dict.fromkeys((OURS, "torch", "gensim")))) == [OURS, "gensim"]
    assert GROUPS["word2vec"].peers == ("gensim",)
