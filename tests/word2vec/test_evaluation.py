"""Analogies and judgements of similarity, against their definitions, against gensim, and on files of every kind."""

import math
import os
from pathlib import Path

import numpy as np
import pytest

from minigrad.errors import DataError, UsageError
from minigrad.word2vec.evaluation import Section, evaluate_analogies, evaluate_similarity, pearson, spearman
from minigrad.word2vec.vectors import WordVectors

FOLDER = Path(os.environ.get("MINIGRAD_DATA", Path(__file__).parents[3] / "shared" / "data")) / "word-eval"


@pytest.fixture
def write(tmp_path):
    def write(text, name="questions.txt"):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return write


@pytest.fixture
def kings():
    """Royalty and gender are directions of their own, and the last word repeats another in capitals."""
    array = [[1, 1, 0.1], [1, -1, 0], [0.1, 1, 1], [0, -1, 1.1], [0, 0, 1], [1, 1, -5], [1, 1, 0.1]]
    return WordVectors(["king", "queen", "man", "woman", "stone", "chess", "KING"], array)


def random_vectors(words, seed=0, size=12):
    return WordVectors(words, np.random.default_rng(seed).standard_normal((len(words), size)).astype(np.float32))


def random_questions(words, seed=1, count=300):
    """Questions in four sections, some words in another case, some unknown, some repeated within a question."""
    rng = np.random.default_rng(seed)
    lines = []
    for i in range(count):
        if i % (count // 4) == 0:
            lines.append(f": {'gram' if i > count // 2 else ''}section{i}")
        four = [str(word) for word in rng.choice([*words, "Nowhere"], 4)]
        lines.append(" ".join(four).title() if i % 3 else " ".join(four))
    return "\n".join(lines) + "\n"


def brute_force(vectors, question):
    """The answer by definition: the nearest to b - a + c that differs from all three, whatever the case."""
    a, b, c = question
    unit = vectors.vectors.astype(np.float64) / np.linalg.norm(vectors.vectors.astype(np.float64), axis=1)[:, None]
    first = {}
    for row, word in enumerate(vectors.words):
        first.setdefault(word.upper(), row)
    scores = unit @ (unit[first[b.upper()]] + unit[first[c.upper()]] - unit[first[a.upper()]])
    order = np.argsort(-scores)
    return next(vectors.words[row] for row in order if vectors.words[row].upper() not in {a.upper(), b.upper(), c.upper()})


def test_sections_and_totals(kings, write):
    path = write(
        "# a comment\n// another\n: royal family\nman king woman queen\nMan Woman King Queen\nking man queen stone\n"
        "man king woman duchess\n\n: gram1-none\nman king\nman king woman queen woman\n: gram2-plural\nman king woman QUEEN\n"
    )
    result = evaluate_analogies(kings, path)
    assert result.sections == (
        Section("royal family", correct=2, wrong=1, unknown=1),
        Section("gram1-none"),
        Section("gram2-plural", correct=1),
    )
    assert result.invalid == 2
    assert result.total == Section("total", 3, 1, 1)
    assert result.semantic == Section("semantic", 2, 1, 1)
    assert result.syntactic == Section("syntactic", 1)
    assert result.total.accuracy == 0.75 and result.total.coverage == 0.8
    assert math.isnan(result.sections[1].accuracy) and math.isnan(result.sections[1].coverage)
    table = str(result).splitlines()
    assert table[1].split() == ["royal", "family", "66.67", "%", "2", "3", "75.00", "%"]
    assert table[2].split() == ["gram1-none", "-", "0", "0", "-"]
    assert [line.split()[0] for line in table[-3:]] == ["semantic", "syntactic", "total"]


def test_unknown_words_can_count_as_wrong(kings, write):
    result = evaluate_analogies(kings, write(": s\nman king woman queen\nman king woman duchess\n"), dummy4unknown=True)
    assert result.sections == (Section("s", correct=1, wrong=1),)


def test_case_can_matter(kings, write):
    path = write(": s\nman king woman queen\nMan king woman queen\nman KING woman king\n")
    assert evaluate_analogies(kings, path, case_insensitive=False).total == Section("total", 1, 1, 1)
    # Without regard to case, the last question's answer would be a word of the question.
    assert evaluate_analogies(kings, path).total == Section("total", 2, 1)


def test_only_frequent_words(kings, write):
    path = write(": s\nman king woman queen\nman king woman stone\n")
    assert evaluate_analogies(kings, path, restrict_vocab=4).total == Section("total", 1, 0, 1)
    assert evaluate_analogies(kings, path, restrict_vocab=None).total == Section("total", 1, 1)
    with pytest.raises(UsageError, match="at least 1: got 0"):
        evaluate_analogies(kings, path, restrict_vocab=0)


def test_every_answer_is_the_best_one(write, monkeypatch):
    monkeypatch.setattr("minigrad.word2vec.evaluation._BLOCK", 700)  # a few blocks
    words = [f"{'Wort' if i % 2 else 'wort'}{i}" for i in range(1500)] + [f"wort{i}" for i in range(1, 200, 2)]
    vectors = random_vectors(words)
    rng = np.random.default_rng(2)
    questions = [[str(word) for word in rng.choice(words, 3)] for _ in range(200)]
    asked = [" ".join([*question, brute_force(vectors, question)]) for question in questions]
    assert evaluate_analogies(vectors, write(": s\n" + "\n".join(asked))).total == Section("total", 200)


def test_no_answer_is_wrong(write):
    vectors = WordVectors(["a", "b", "c"], [[1, 0], [0, 1], [0, 0]])
    assert evaluate_analogies(vectors, write(": s\na b c a\na a b c\n")).total == Section("total", 0, 2)


def test_questions_without_a_heading_and_files_without_a_question(kings, write):
    assert evaluate_analogies(kings, write("man king woman queen\n")).sections == (Section("questions", 1),)
    assert evaluate_analogies(kings, write(": s\na b c d\n")).total == Section("total", unknown=1)
    with pytest.raises(DataError, match="holds no question"):
        evaluate_analogies(kings, write(": s\none two three\n"))
    with pytest.raises(DataError, match="does not exist"):
        evaluate_analogies(kings, "missing.txt")


def test_pairs_of_many_layouts(kings, write):
    expected = spearman(
        [5, 3, 1], [kings.similarity(*pair) for pair in (("king", "queen"), ("man", "woman"), ("king", "stone"))]
    )
    for text in (
        "king\tqueen\t5\nman\twoman\t3\nking\tstone\t1\n",
        "# WordSim\nWord 1,Word 2,Human (mean)\nKing,queen,5.0\n\nman,woman,3\nking,stone,1\r\n",
        "king queen 5\nman   woman 3\nking\tstone\t1\nking stone\nking stone nan\nking stone six\n",
        "king\tqueen\t5\nman\twoman\t3\nking\tstone\t1\nking\tduke\t9\n",
    ):
        result = evaluate_similarity(kings, write(text))
        assert result.spearman == pytest.approx(expected)
        assert result.pairs == 3
        assert result.invalid == (3 if "six" in text else 0)
        assert (result.unknown, result.coverage) == ((1, 0.75) if "duke" in text else (0, 1))
    assert str(result).endswith("over 3 pairs, coverage 75.00 %")
    padded = evaluate_similarity(kings, write(text), dummy4unknown=True)
    assert (padded.pairs, padded.unknown, padded.coverage) == (4, 1, 0.75)


def test_too_few_pairs(kings, write):
    with pytest.raises(
        DataError, match=r"needs two pairs of words with vectors: got 1 from .*, with 1 pairs of unknown words and 1 l"
    ):
        evaluate_similarity(kings, write("king\tqueen\t5\nking\tduke\t5\nking\n"))  # fmt: skip


def test_correlations():
    assert pearson([1, 2, 3], [2, 4, 6]) == 1
    assert pearson([1, 2, 3], [3, 2, 1]) == -1
    assert math.isnan(pearson([1, 1], [1, 2]))
    assert spearman([1, 10, 100], [2, 3, 5]) == pytest.approx(1)
    # Ranks 1, 2.5, 2.5, 4 and 1, 2, 3.5, 3.5: the products of their deviations sum to 3.75, the squares of each to 4.5.
    assert spearman([1, 2, 2, 9], [0, 1, 5, 5]) == pytest.approx(3.75 / 4.5)


def gensim_of(vectors):
    keyedvectors = pytest.importorskip("gensim.models.keyedvectors")
    theirs = keyedvectors.KeyedVectors(vectors.size)
    theirs.add_vectors(vectors.words, vectors.vectors)
    return theirs


OPTIONS = [{}, {"dummy4unknown": True}, {"case_insensitive": False}, {"restrict_vocab": 20, "dummy4unknown": True}]


@pytest.mark.parametrize("options", OPTIONS)
def test_analogies_are_those_of_gensim(write, options):
    words = [f"{'Wort' if i % 2 else 'wort'}{i}" for i in range(30)] + ["WORT3", "wort3", "Wort2"]
    vectors = random_vectors(words, size=4)
    path = write(random_questions(words))
    ours, (accuracy, theirs) = (
        evaluate_analogies(vectors, path, **options),
        gensim_of(vectors).evaluate_word_analogies(path, **options),
    )
    assert [(section.name, section.correct, section.wrong) for section in ours.sections] == [
        (section["section"], len(section["correct"]), len(section["incorrect"])) for section in theirs[:-1]
    ]
    assert ours.total.accuracy == accuracy


@pytest.mark.parametrize("options", OPTIONS)
def test_correlations_are_those_of_gensim(write, options):
    words = [f"wort{i}" for i in range(40)]
    vectors = random_vectors(words, size=4)
    rng = np.random.default_rng(3)
    pairs = [(*rng.choice([*words, "nowhere"], 2), rng.integers(0, 20) / 2) for _ in range(80)]
    path = write(
        "# pairs\n" + "".join(f"{a if i % 3 else a.title()}\t{b}\t{rating}\n" for i, (a, b, rating) in enumerate(pairs)),
        "pairs.tsv",
    )
    ours, theirs = evaluate_similarity(vectors, path, **options), gensim_of(vectors).evaluate_word_pairs(path, **options)
    assert ours.pearson == pytest.approx(theirs[0][0], abs=1e-7)
    assert ours.spearman == pytest.approx(theirs[1][0], abs=1e-12)
    if not options.get("dummy4unknown"):  # there gensim divides by another number
        assert 1 - ours.coverage == pytest.approx(theirs[2] / 100)


@pytest.mark.skipif(not FOLDER.is_dir(), reason="the questions are not here")
def test_the_real_files():
    words = {
        word for line in (FOLDER / "questions-words.txt").read_text().splitlines() if line[0] != ":" for word in line.split()
    }
    vectors = random_vectors(sorted(words))
    result = evaluate_analogies(vectors, FOLDER / "questions-words.txt")
    assert len(result.sections) == 14 and result.invalid == 0
    assert (result.semantic.answered, result.syntactic.answered, result.total.coverage) == (8869, 10675, 1)
    pairs = [line.split("\t") for line in (FOLDER / "wordsim353.tsv").read_text().splitlines() if line[0] != "#"]
    rated = random_vectors(sorted({word.lower() for pair in pairs for word in pair[:2]}))
    similarity = evaluate_similarity(rated, FOLDER / "wordsim353.tsv")
    assert (similarity.pairs, similarity.coverage, similarity.invalid) == (353, 1, 0)
