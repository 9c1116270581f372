"""The best answers to analogies, against NumPy."""

import itertools

import numpy as np
import pytest

from minigrad.kernels import analogy


def asked(rng, words=60, known=7, questions=40):
    similarities = rng.standard_normal((known, words)).astype(np.float32)
    groups = rng.integers(0, 20, words + known)
    return similarities, rng.integers(0, known, (questions, 3)), groups


def expected(similarities, questions, groups):
    words = similarities.shape[1]
    scores = similarities[questions[:, 1]] + similarities[questions[:, 2]] - similarities[questions[:, 0]]
    banned = (groups[words + questions][:, :, None] == groups[:words]).any(1)
    return np.where(banned, -np.inf, scores)


def answered(similarities, questions, groups, cuts):
    words = similarities.shape[1]
    scores, best = np.full(len(questions), -np.inf, np.float32), np.full(len(questions), -1, np.int64)
    for start, stop in itertools.pairwise(cuts):
        block = np.ascontiguousarray(similarities[:, start:stop])
        analogy.best_answers(block, questions, np.concatenate([groups[start:stop], groups[words:]]), scores, best, start)
    return scores, best


@pytest.mark.parametrize("cuts", [(0, 60), (0, 1, 30, 59, 60)])
@pytest.mark.parametrize("per_chunk", [1, 1 << 30])
def test_best_answers(rng, monkeypatch, cuts, per_chunk):
    monkeypatch.setattr(analogy, "PER_CHUNK", per_chunk)  # many threads, and one
    case = asked(rng)
    scores, best = answered(*case, cuts)
    np.testing.assert_array_equal(best, expected(*case).argmax(1))
    np.testing.assert_allclose(scores, expected(*case).max(1), rtol=1e-6)


def test_more_words_than_are_looked_at_together(rng):
    case = asked(rng, words=2 * analogy.BLOCK + 3, questions=5)
    np.testing.assert_array_equal(answered(*case, (0, 2 * analogy.BLOCK + 3))[1], expected(*case).argmax(1))


def test_nan_and_words_of_the_question_are_no_answer(rng):
    similarities, questions, groups = asked(rng)
    similarities[:, ::2] = np.nan
    _, best = answered(similarities, questions, groups, (0, 60))
    assert (best % 2 == 1).all()
    similarities[:] = np.nan
    assert (answered(similarities, questions, groups, (0, 60))[1] == -1).all()
    similarities[:], groups[:] = 1, 5
    assert (answered(similarities, questions, groups, (0, 60))[1] == -1).all()
