"""Questions to word vectors, against their definitions and against gensim."""

import numpy as np
import pytest

from minigrad.errors import DataError, DTypeError, ShapeError, UnknownWordError, UsageError
from minigrad.word2vec.vectors import WordVectors

WORDS = [f"word{i}" for i in range(400)]


@pytest.fixture
def vectors(rng):
    return WordVectors(WORDS, rng.standard_normal((400, 20)).astype(np.float32))


def cosine(a, b):
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return a @ b / np.sqrt((a @ a) * (b @ b))


def test_a_mapping_from_words_to_vectors(vectors):
    assert len(vectors) == 400 and list(vectors) == WORDS and vectors.size == 20
    assert "word7" in vectors and "word400" not in vectors and 7 not in vectors
    assert vectors.index_of["word7"] == 7
    np.testing.assert_array_equal(vectors["word7"], vectors.vectors[7])
    np.testing.assert_array_equal(vectors[["word7", "word3"]], vectors.vectors[[7, 3]])
    assert repr(vectors) == "WordVectors(400 words, 20 dimensions)"


def test_the_arrays_are_taken_over_and_read_only(rng):
    array = rng.standard_normal((2, 3)).astype(np.float32)
    vectors = WordVectors(["a", "b"], array, counts=[5, 2])
    assert np.shares_memory(vectors.vectors, array)
    assert array.flags.writeable
    for view in (vectors.vectors, vectors["a"], vectors.counts):
        with pytest.raises(ValueError, match="read-only"):
            view[0] = 0
    assert WordVectors(["a", "b"], [[1, 2], [3, 4]]).vectors.dtype == np.float32


@pytest.mark.parametrize(
    ("words", "array", "error", "message"),
    [
        ([], np.zeros((0, 3)), DataError, "at least one word"),
        (["a", "b", "a"], np.zeros((3, 2)), DataError, "got 'a' twice"),
        (["a", 3], np.zeros((2, 2)), DataError, "words are text: got 3"),
        (["a"], np.zeros((2, 2)), ShapeError, r"shape \(2, 2\) for 1 words"),
        (["a"], np.zeros(2), ShapeError, r"shape \(2,\)"),
        (["a"], np.zeros((1, 0)), ShapeError, r"shape \(1, 0\)"),
        (["a"], np.array([["x"]]), DTypeError, "real numbers: got an array of <U1"),
        (["a"], np.zeros((1, 2), complex), DTypeError, "complex128"),
    ],
)
def test_what_is_no_vocabulary(words, array, error, message):
    with pytest.raises(error, match=message):
        WordVectors(words, array)


def test_counts_of_another_length():
    with pytest.raises(ShapeError, match="one count"):
        WordVectors(["a", "b"], np.zeros((2, 2)), counts=[1])


def test_similarity_and_distances(vectors):
    a, b = vectors["word1"].astype(np.float64), vectors["word2"].astype(np.float64)
    assert vectors.similarity("word1", "word2") == pytest.approx(cosine(a, b), abs=1e-6)
    assert vectors.similarity("word1", vectors["word2"] * 7) == pytest.approx(cosine(a, b), abs=1e-6)
    assert vectors.similarity("word1", np.zeros(20)) == 0
    assert vectors.distance("word1", "word2") == pytest.approx(1 - cosine(a, b), abs=1e-6)
    assert vectors.distance("word1", "word2", "euclidean") == pytest.approx(np.sqrt(((a - b) ** 2).sum()))
    assert vectors.distance("word1", "word2", "manhattan") == pytest.approx(np.abs(a - b).sum())
    with pytest.raises(UsageError, match="metric must be 'cosine', 'euclidean' or 'manhattan': got 'hamming'"):
        vectors.distance("word1", "word2", "hamming")


def test_most_similar_by_definition(vectors):
    target = vectors["word1"] / vectors.norms[1] + vectors["word2"] / vectors.norms[2] - vectors["word3"] / vectors.norms[3]
    ranked = sorted(((cosine(vectors[word], target), word) for word in WORDS[:100]), reverse=True)
    expected = [(word, value) for value, word in ranked if word not in ("word1", "word2", "word3")][:7]
    got = vectors.most_similar(["word1", "word2"], ["word3"], topn=7, restrict_vocab=100)
    assert [word for word, _ in got] == [word for word, _ in expected]
    np.testing.assert_allclose([value for _, value in got], [value for _, value in expected], atol=1e-6)
    assert vectors.analogy("word3", "word1", "word2", topn=7, restrict_vocab=100) == got


def test_one_query_needs_no_list(vectors):
    assert vectors.most_similar("word5") == vectors.most_similar(["word5"])
    assert vectors.most_similar(("word5", 2.0)) == vectors.most_similar([("word5", 2.0)])
    by_vector = vectors.most_similar(vectors["word5"])
    assert by_vector[0] == ("word5", pytest.approx(1, abs=1e-6))  # a vector is no word of the query
    assert [word for word, _ in by_vector[1:]] == [word for word, _ in vectors.most_similar("word5", topn=9)]


def test_more_than_there_is(vectors):
    assert len(vectors.most_similar("word5", topn=1000)) == 399


def test_many_queries_at_once_are_each_query_alone(vectors, monkeypatch):
    monkeypatch.setattr("minigrad.word2vec.vectors._SCORES", 2000)  # several blocks of the vocabulary
    rows, similarities = vectors.nearest(vectors.vectors[:50], topn=6)
    assert rows.shape == similarities.shape == (50, 6)
    np.testing.assert_array_equal(rows[:, 0], np.arange(50))
    for i in range(50):
        alone = vectors.most_similar(vectors.vectors[i], topn=6)
        assert [vectors.words[row] for row in rows[i]] == [word for word, _ in alone]
        np.testing.assert_allclose(similarities[i], [value for _, value in alone], atol=1e-6)


def test_of_equally_similar_words_the_earlier_comes_first():
    vectors = WordVectors("abcdef", np.repeat(np.eye(2), 3, axis=0))
    assert [word for word, _ in vectors.most_similar(np.array([1, 0]))] == list("abcdef")


def test_vectors_that_are_zero_or_not_finite_are_nobodys_neighbours():
    vectors = WordVectors("abcd", [[1, 2], [0, 0], [np.nan, 1], [2, 1]])
    assert vectors.most_similar("a") == [("d", pytest.approx(0.8))]
    assert vectors.most_similar("b") == [("a", 0), ("d", 0)]


def test_the_odd_one_out(rng):
    array = rng.standard_normal((5, 8)) * 0.1 + [1, 1, 1, 1, 0, 0, 0, 0]
    array[3] = -array[3]
    vectors = WordVectors(["breakfast", "lunch", "dinner", "cereal", "supper"], array)
    assert vectors.doesnt_match(vectors.words) == "cereal"
    for wrong in ("breakfast lunch", []):
        with pytest.raises(UsageError, match="needs a list of words"):
            vectors.doesnt_match(wrong)


def test_unknown_words_are_errors_that_help(vectors):
    for ask in (
        lambda: vectors["word39x"],
        lambda: vectors.most_similar("word39x"),
        lambda: vectors.similarity("word1", "word39x"),
        lambda: vectors.doesnt_match(["word1", "word39x"]),
    ):
        with pytest.raises(UnknownWordError, match=r"'word39x' is not among the 400 words .* did you mean 'word39' or "):
            ask()
    with pytest.raises(KeyError, match=r"'zz' .*rarer than the minimum count"):
        vectors["zz"]


def test_queries_that_mean_nothing(vectors):
    with pytest.raises(UsageError, match="needs a word or a vector: got none"):
        vectors.most_similar()
    with pytest.raises(UsageError, match="must be at least 1: got 0 and None"):
        vectors.most_similar("word1", topn=0)
    with pytest.raises(UsageError, match="must be at least 1: got 10 and 0"):
        vectors.nearest(vectors.vectors[:1], restrict_vocab=0)
    with pytest.raises(ShapeError, match=r"a vector of 20 numbers is wanted here: got an array of shape \(3,\)"):
        vectors.most_similar(np.zeros(3))
    with pytest.raises(ShapeError, match=r"one a row: got an array of shape \(20,\)"):
        vectors.nearest(np.zeros(20))
    with pytest.raises(UsageError, match="or one of them with a number"):
        vectors.most_similar([("word1", "word2")])


QUERIES = [
    {"positive": "word5"},
    {"positive": ["word5", "word6"], "negative": ["word7"], "topn": 50},
    {"positive": ["word5", ("word6", 0.3)], "negative": [("word7", -0.5), "word8"], "restrict_vocab": 100},
    {"positive": [np.linspace(-1, 1, 20, dtype=np.float32), "word9"], "topn": 3},
    {"negative": ["word5"]},
]


@pytest.fixture
def gensim_vectors(vectors):
    keyedvectors = pytest.importorskip("gensim.models.keyedvectors")
    theirs = keyedvectors.KeyedVectors(vectors.size)
    theirs.add_vectors(vectors.words, vectors.vectors)
    return theirs


@pytest.mark.parametrize("query", QUERIES)
def test_most_similar_is_that_of_gensim(vectors, gensim_vectors, query):
    ours, theirs = vectors.most_similar(**query), gensim_vectors.most_similar(**query)
    assert [word for word, _ in ours] == [word for word, _ in theirs]
    np.testing.assert_allclose([value for _, value in ours], [value for _, value in theirs], atol=1e-6)


def test_pairs_and_groups_are_those_of_gensim(vectors, gensim_vectors):
    for a, b in zip(WORDS[:20], WORDS[100:]):
        assert vectors.similarity(a, b) == pytest.approx(float(gensim_vectors.similarity(a, b)), abs=1e-6)
        assert vectors.distance(a, b) == pytest.approx(float(gensim_vectors.distance(a, b)), abs=1e-6)
    for start in range(0, 100, 5):
        group = WORDS[start : start + 5]
        assert vectors.doesnt_match(group) == gensim_vectors.doesnt_match(group)
