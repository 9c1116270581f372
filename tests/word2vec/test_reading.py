"""Reading further text, fingerprints, vocabulary files, and how far reading is."""

import pytest

from minigrad.errors import DataError
from minigrad.word2vec import reading
from minigrad.word2vec.corpus import Corpus
from minigrad.word2vec.text import prepare, prepare_more
from minigrad.word2vec.vocabulary import Vocabulary


def corpus(tmp_path, text, name="text"):
    (tmp_path / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    return Corpus(tmp_path / name)


def test_known_words_keep_their_numbers_and_new_ones_follow(tmp_path):
    known = Vocabulary(["a", "b"], [5, 3])
    text = corpus(tmp_path, "b new c new\nrare new c \udcff \udcff a")
    numbers, new, read = reading.read_growing(text, known, min_count=2)
    assert new == {"new": 3, "c": 2} and read == 10
    assert numbers.read(0, 99).tolist() == [1, 2, 3, 2, -1, 2, 3, 0, -1]


def test_fingerprints_tell_texts_apart(tmp_path):
    first = prepare(corpus(tmp_path, "a a b b c"), min_count=1)
    again = prepare_more(corpus(tmp_path, "a a b b c"), first.vocabulary)
    other = prepare_more(corpus(tmp_path, "a a b c c"), first.vocabulary)
    prints = [reading.fingerprint(text.numbers, 3) for text in (first, again, other)]
    assert prints[0] == prints[1] != prints[2] and prints[0].startswith("5 words, ")


def test_vocabulary_files(tmp_path):
    reading.write_vocabulary(tmp_path / "words", Vocabulary(["naïve", "b", "c"], [9, 3, 1]))
    assert (tmp_path / "words").read_text(encoding="utf-8") == "naïve 9\nb 3\nc 1\n"
    again = reading.read_vocabulary(tmp_path / "words", min_count=2)
    assert again.words == ["naïve", "b"] and again.counts.tolist() == [9, 3]


@pytest.mark.parametrize("content", ["a 1\nb\n", "a 1\nb -2\n", "a 1\nb x\n", "a 1\n 2\n"])
def test_lines_that_are_no_word_with_a_count(tmp_path, content):
    (tmp_path / "words").write_text(content)
    with pytest.raises(DataError, match="on line 2"):
        reading.read_vocabulary(tmp_path / "words")


@pytest.mark.parametrize("size", [0, 8])
def test_long_reading_shows_how_far_it_is(monkeypatch, capsys, size):
    monkeypatch.setattr(reading, "_PATIENCE", -1.0)
    with reading.Reading() as show:
        show(4, size, 100)
        show(8, size, 200)
    assert "reading: byte 8/8 100%" in capsys.readouterr().err


def test_short_reading_shows_nothing(capsys):
    with reading.Reading() as show:
        show(8, 8, 200)
    assert capsys.readouterr().err == ""
