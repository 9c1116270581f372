"""Text as a stream: every word is read and predicted once, in its order, and a segment goes on where the last one ended."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minigrad.data import EOS, PAD, UNK, WordTokenizer
from minigrad.data.stream import Segments, Stream, splits
from minigrad.errors import DataError, UsageError

TOKENIZER = WordTokenizer.train([" ".join(f"w{i}" for i in range(50))])


def stream_of(words: int) -> Stream:
    return Stream([" ".join(f"w{i % 50}" for i in range(words - 1))], TOKENIZER)


def test_every_line_ends_and_unknown_words_are_counted():
    stream = Stream(["w1 w2", "", "w3 <unk> never"], TOKENIZER)
    w1, w2, w3 = TOKENIZER.encode("w1 w2 w3")
    assert stream.ids.tolist() == [w1, w2, EOS, EOS, w3, UNK, UNK, EOS]
    assert stream.unknown == 2 and stream.describe() == "8 words, 25 % of them <unk>"


def test_the_fingerprint_tells_texts_apart():
    prints = {Stream(lines, TOKENIZER).fingerprint() for lines in (["w1 w2"], ["w2 w1"], ["w1", "w2"])}
    assert len(prints) == 3 and Stream(["w1 w2"], TOKENIZER).fingerprint() in prints


@settings(deadline=None)
@given(words=st.integers(1, 60), batch=st.integers(1, 70), time=st.integers(1, 70))
def test_columns_side_by_side_are_the_stream(words, batch, time):
    stream = stream_of(words)
    segments = Segments(stream, batch, time)
    read = list(segments.epoch())
    assert len(read) == len(segments.plan()) and all(len(s.target) <= time for s in read)
    target, inputs = (np.concatenate([getattr(s, name) for s in read]).T.ravel() for name in ("target", "input"))
    assert target[:words].tolist() == stream.ids.tolist() and (target[words:] == PAD).all()
    assert inputs[:words].tolist() == [EOS, *stream.ids[:-1].tolist()]  # each word is read where the next is predicted
    assert sum(s.target_tokens for s in read) == words
    assert [s.first for s in read] == [True, *[False] * (len(read) - 1)]
    assert all((s.target != PAD).any(0).all() for s in read[:1])  # no column is empty


def test_an_epoch_goes_on_in_its_middle():
    segments = Segments(stream_of(40), 3, 4)
    whole, rest = list(segments.epoch(0)), list(segments.epoch(0, 2))
    assert len(rest) == len(whole) - 2
    for a, b in zip(whole[2:], rest):
        np.testing.assert_array_equal(a.target, b.target)


def test_splits_of_files(tmp_path):
    (tmp_path / "a").write_text("".join(f"w{i}\n" for i in range(20)))
    (tmp_path / "b").write_text("w1\n\nw2\n")
    a, b = tmp_path / "a", tmp_path / "b"
    found = splits([a], None, None)
    assert found["valid"] == ["w18", "w19"] and found["train"] == [f"w{i}" for i in range(18)] and "test" not in found
    found = splits([a, b], [b], [b])
    assert found["train"][18:] == ["w18", "w19", "w1", "", "w2"] and found["valid"] == found["test"] == ["w1", "", "w2"]


def test_the_built_in_text_is_in_one_split_each(monkeypatch):
    from minigrad.data import docstrings

    sentences = [f"this is sentence {'abcdefghij'[i % 10]} number {i}" for i in range(200)]
    monkeypatch.setattr(docstrings, "sentences", lambda: sentences)
    found = splits(None, None, None)
    assert sorted(line for lines in found.values() for line in lines) == sorted(sentences)
    assert 0.6 < len(found["train"]) / 200 < 0.95 and found["valid"] and found["test"]


def test_what_cannot_be_cut(tmp_path):
    for batch, time in ((0, 1), (1, 0)):
        with pytest.raises(UsageError, match="at least one column and one word"):
            Segments(stream_of(5), batch, time)
    with pytest.raises(DataError, match="at least one line"):
        Stream([], TOKENIZER)
    (tmp_path / "one").write_text("all in one line\n")
    with pytest.raises(DataError, match="a single line"):
        splits([tmp_path / "one"], None, None)
