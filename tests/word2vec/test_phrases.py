import numpy as np
import pytest

from minigrad.errors import DataError, UsageError
from minigrad.kernels.word_pairs import count_pairs, new_pair_table
from minigrad.word2vec import phrases as module
from minigrad.word2vec.corpus import Corpus
from minigrad.word2vec.phrases import Phrases
from minigrad.word2vec.stream import NumberStream
from minigrad.word2vec.text import prepare, prepare_more

LINES, FILLERS = 24, 40


@pytest.fixture
def corpus(tmp_path, rng):
    drawn = iter([f"f{k}" for k in rng.integers(0, FILLERS, 4000)])
    lines = [f"{next(drawn)} new york city {next(drawn)} city {next(drawn)}\n" for _ in range(LINES)]
    lines += [" ".join(next(drawn) for _ in range(10)) + "\n" for _ in range(300)]
    (tmp_path / "text").write_text("".join(lines))
    return Corpus(tmp_path / "text")


def as_text(text):
    names = text.vocabulary.words
    return " ".join(names[k] if k >= 0 else "/" for piece in text.numbers.pieces() for k in piece)


def test_pairs_beyond_chance_become_words_and_later_passes_join_longer_ones(corpus):
    one = prepare(corpus, min_count=5, phrase_passes=1, phrase_threshold=50)
    two = prepare(corpus, min_count=5, phrase_passes=2, phrase_threshold=50)
    assert "new_york" in one.vocabulary.words
    assert "new_york_city" in two.vocabulary.words
    assert "new" not in one.vocabulary.words  # each of them is in a phrase
    assert not any(name.startswith("f") and "_" in name for name in two.vocabulary.words)
    assert one.words_read == two.words_read == 7 * LINES + 3000
    assert dict(zip(two.vocabulary.words, two.vocabulary.counts))["new_york_city"] == LINES


def test_the_score_is_the_papers():
    stream, names = NumberStream(), ["a", "b", "c"]
    stream.append(np.array([0, 1] * 10 + [0, 2] * 5 + [-1, 2, 1], np.int32))
    count = {"a": 15, "b": 11, "c": 6}
    score = (10 - 2) / (count["a"] * count["b"]) * 32
    for threshold, found in ((score - 1e-6, ["a_b"]), (score + 1e-6, [])):
        phrases = Phrases(names)
        phrases.find(stream, min_count=2, threshold=threshold)
        assert [name for name in phrases.names[3:] if name == "a_b"] == found


def test_nothing_is_joined_across_sentences_and_unknown_words():
    stream = NumberStream()
    stream.append(np.array([0, -1, 1, -2, 1, 0, -2, 1] * 20, np.int32))
    table = new_pair_table(16)
    count_pairs(stream.read(0, 1000), table, 0)
    assert sorted((int(p) >> 32, int(p) & 0xFFFFFFFF) for p in table.pairs if p >= 0) == [(1, 0)]


def test_a_joined_word_is_not_joined_again_in_the_same_pass():
    stream = NumberStream()
    stream.append(np.array([0, 0, 0, -1, 0, 0, -2, 0], np.int32))
    phrases = Phrases(["a"], [np.array([[0, 0]], np.int32)])
    assert np.concatenate(list(phrases.join(stream).pieces())).tolist() == [1, 0, -1, 1, -2, 0]


def test_names_are_unique():
    """``a_b`` + ``c`` and ``a`` + ``b_c`` are spelled alike: only one of them becomes a word."""
    stream, names = NumberStream(), ["a_b", "c", "a", "b_c", "x", "y"]
    stream.append(np.array([0, 1, -1] * 20 + [2, 3, -1] * 30 + [4, -1, 5, -1] * 500, np.int32))
    phrases = Phrases(names)
    phrases.find(stream, threshold=1)
    assert phrases.names[6:] == ["a_b_c"]
    assert phrases.passes[0].tolist() == [[2, 3]]


def test_further_text_is_joined_in_the_same_way(corpus):
    text = prepare(corpus, phrase_passes=2, phrase_threshold=50)
    again = prepare_more(corpus, text.vocabulary, Phrases(text.phrases.words, text.phrases.passes))
    assert as_text(again) == as_text(text)


def test_a_full_table_forgets_the_rarest_pairs(monkeypatch, rng):
    monkeypatch.setattr(module, "MAX_SLOTS", 256)
    monkeypatch.setattr(module, "_FIRST_SLOTS", 64)
    noise = rng.integers(2, 60, 3000)
    stream = NumberStream()
    stream.append(np.concatenate([[0, 1, k, -1] for k in noise]).astype(np.int32))
    pairs, counts = module._frequent_pairs(stream, 500)
    assert pairs.tolist() == [(0 << 32) | 1]
    assert counts.tolist() == [3000]


def test_bad_settings_and_foreign_text(corpus, tmp_path):
    with pytest.raises(UsageError, match="phrases need min_count of 1 or more and a threshold from 0"):
        Phrases(["a"]).find(NumberStream(), threshold=-1)
    text = prepare(corpus)
    (tmp_path / "other").write_text("nothing familiar here")
    with pytest.raises(DataError, match="holds no known word"):
        prepare_more(Corpus(tmp_path / "other"), text.vocabulary)
