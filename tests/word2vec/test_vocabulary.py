from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minigrad.errors import DataError, UsageError
from minigrad.kernels import word_numbers as kernel
from minigrad.word2vec import stream as stream_module
from minigrad.word2vec import vocabulary as module
from minigrad.word2vec.corpus import Corpus
from minigrad.word2vec.vocabulary import Vocabulary, WordTable, choose, read_numbers


@pytest.fixture
def corpus(tmp_path):
    def write(text):
        (tmp_path / "text").write_bytes(text if isinstance(text, bytes) else text.encode())
        return Corpus(tmp_path / "text")

    return write


def as_words(stream, names):
    return [[names[k] if k >= 0 else None for k in piece] for piece in stream.pieces()]


def random_text(rng, words=5000, different=3000):
    drawn = np.exp(rng.random(words) * np.log(different)).astype(int)
    return " ".join(f"wörd{k}" + ("\n" if k % 7 == 0 else "") for k in drawn)


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_numbers_and_counts_are_those_of_python(corpus, rng, monkeypatch, parts):
    text = random_text(rng, 30_000)
    monkeypatch.setattr(module, "get_num_threads", lambda: parts)
    monkeypatch.setattr(module, "BLOCK", 1 << 17)
    table = WordTable()
    stream, counts = read_numbers(corpus(text), table)
    expected = Counter(text.split())
    names = [table.word(k).decode() for k in range(len(table))]
    assert names == list(expected)  # as they are first seen
    assert counts.tolist() == list(expected.values())
    assert stream.words == 30_000
    read = np.concatenate(list(stream.pieces()))
    assert [names[k] for k in read if k >= 0] == text.split()
    sentences = np.split(read, np.flatnonzero(read == kernel.END) + 1)
    assert [len(s) - 1 for s in sentences[:-1]] == [len(line.split()) for line in text.split("\n")]


@settings(max_examples=30, deadline=None)
@given(st.text(alphabet="ab \t\n\r\v\fé\x1c", max_size=60))
def test_words_lie_between_white_space(text):
    data = np.frombuffer(text.encode(), np.uint8)
    table = WordTable()
    numbers = np.concatenate([np.empty(0, np.int32), *table.numbers(data, adding=True)])
    assert [table.word(k) for k in numbers if k >= 0] == text.encode().split()  # bytes.split knows ASCII white space alone
    assert (numbers == kernel.END).sum() == text.count("\n")


def test_frequent_words_come_first_and_equals_as_they_are_first_seen(corpus):
    table = WordTable()
    _, counts = read_numbers(corpus("b a c a b d e e e"), table)
    chosen, rank, damaged = choose(table, counts, min_count=2)
    assert chosen.words == ["e", "b", "a"]
    assert chosen.counts.tolist() == [3, 2, 2]
    assert chosen.total == 7
    assert rank.tolist() == [1, 2, kernel.UNKNOWN, kernel.UNKNOWN, 0]
    assert damaged == 0
    assert choose(table, counts, min_count=1, max_words=2)[0].words == ["e", "b"]


def test_renumbering_drops_or_keeps_unknown_words(corpus, monkeypatch):
    monkeypatch.setattr(stream_module, "_PIECE", 4)
    table = WordTable()
    stream, _ = read_numbers(corpus("a b\nc\n\nb a a\n"), table)
    rank = np.array([5, kernel.UNKNOWN, kernel.UNKNOWN], np.int32)  # a stays
    dropped, kept = stream.renumbered(rank), stream.renumbered(rank, keep_unknown=True)
    assert [int(k) for piece in dropped.pieces() for k in piece if k >= 0] == [5, 5, 5]
    flat = [int(k) for piece in kept.pieces() for k in piece]
    assert [k for k in flat if k != kernel.END] == [5, -2, -2, -2, 5, 5]
    assert dropped.words == kept.words == 3


def test_known_words_alone_have_numbers(corpus):
    table = WordTable(["b", "é", "x"])
    stream, counts = read_numbers(corpus("é a b b"), table, adding=False)
    assert np.concatenate(list(stream.pieces())).tolist()[:4] == [1, -2, 0, 0]
    assert counts.tolist() == [2, 1, 0]
    assert len(table) == 3


def test_a_full_table_takes_no_more(corpus, monkeypatch):
    monkeypatch.setattr(module, "MAX_DIFFERENT", 1)
    table = WordTable()
    text = " ".join(f"w{k}" for k in range(6000))  # more than there is room for at first
    stream, _ = read_numbers(corpus(text), table)
    assert len(table) == stream.words == 4096


def test_words_that_are_not_utf8_are_left_out_and_counted(corpus):
    table = WordTable()
    _, counts = read_numbers(corpus(b"a a \xff \xff b"), table)
    chosen, _, damaged = choose(table, counts, min_count=1)
    assert chosen.words == ["a", "b"]
    assert damaged == 1
    table = WordTable()
    _, counts = read_numbers(corpus("é è à ù".encode("latin-1")), table)
    with pytest.raises(DataError, match="a text must be UTF-8: 4 of its frequent words are not"):
        choose(table, counts, min_count=1)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "holds no words"),
        (" \n \n", "holds no words"),
        ("one one one one one", "must occur min_count = 5 times: got 1 such of 1, 5 times at most"),
        ("a b c", "got 0 such of 3, 1 times at most; give more text, or lower min_count"),
    ],
)
def test_too_little_text_is_one_clear_sentence(corpus, text, says):
    table = WordTable()
    with pytest.raises(DataError, match=says):
        _, counts = read_numbers(corpus(text), table)
        choose(table, counts)


def test_limits_have_rules(corpus):
    with pytest.raises(UsageError, match="min_count is 1 or more"):
        choose(WordTable(["a"]), np.ones(1, np.int64), min_count=0)
    for words, counts in ((["a", "a"], [1, 1]), (["a", "b"], [1]), (["a", "b"], [0, 1])):
        with pytest.raises(DataError, match="a vocabulary holds each word once, with its count"):
            Vocabulary(words, counts)
    with pytest.raises(DataError, match="at least two different words"):
        Vocabulary(["a"], [1])


def test_progress_is_told(corpus, rng):
    told = []
    made = corpus(random_text(rng))
    read_numbers(made, WordTable(), progress=lambda *numbers: told.append(numbers))
    assert told[-1] == (made.size, made.size, 5000)


def test_a_full_disk_is_one_clear_sentence(monkeypatch):
    stream = stream_module.NumberStream()

    class Full:
        def seek(self, place): ...

        def write(self, data):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(stream, "_file", Full())
    with pytest.raises(DataError, match="the disk is full; free some space, or set TMPDIR"):
        stream.append(np.zeros(3, np.int32))


def test_pieces_end_with_sentences(corpus):
    table = WordTable()
    stream, _ = read_numbers(corpus("a b c\nd e\nf g h i j k l m"), table)
    pieces = [piece.tolist() for piece in stream.pieces(5)]
    assert [number for piece in pieces for number in piece] == np.concatenate(list(stream.pieces())).tolist()
    assert pieces[0][-1] == pieces[1][-1] == kernel.END
    assert all(len(piece) <= 5 for piece in pieces)
