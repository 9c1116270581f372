"""Search against exhaustive enumeration, on a model whose scores depend on everything written so far."""

import itertools

import numpy as np
import pytest

from minigrad.data.vocabulary import BOS, EOS, PAD
from minigrad.decoding import beam_search, greedy, log_probabilities
from minigrad.errors import UsageError

VOCABULARY = 7  # pad, unk, bos, eos and three words


class Whimsical:
    """Scores drawn at random for each (sentence, prefix), the same every time it is asked."""

    def __init__(self, eos_bias=0.0):
        self.eos_bias = eos_bias
        self.positions = 0

    def scores(self, sentence, prefix):
        seed = [int(sentence), *map(int, prefix)]
        scores = np.random.default_rng(seed).normal(size=VOCABULARY).astype(np.float32) * 2
        scores[EOS] += self.eos_bias
        return scores

    def begin(self, source):
        return Prefixes([(int(row[0]), ()) for row in source])

    def advance(self, state, tokens):
        assert len(tokens) == len(state.rows), "one token a row"
        state.rows = [(s, (*prefix, int(t))) for (s, prefix), t in zip(state.rows, tokens)]
        self.positions += len(tokens)
        return np.stack([self.scores(s, prefix) for s, prefix in state.rows])


class Prefixes:
    def __init__(self, rows):
        self.rows = rows

    def select(self, rows):
        self.rows = [self.rows[i] for i in rows]


SOURCE = np.array([[4, EOS], [5, EOS], [6, EOS]])


def total(model, sentence, tokens):
    """The log-probability of ``tokens`` followed by <eos>."""
    value, prefix = 0.0, (BOS,)
    for token in (*tokens, EOS):
        value += log_probabilities(model.scores(sentence, prefix)[None])[0, token]
        prefix = (*prefix, token)
    return value


def all_texts(longest):
    words = [t for t in range(VOCABULARY) if t not in (PAD, BOS, EOS)]
    for length in range(longest + 1):
        yield from itertools.product(words, repeat=length)


@pytest.mark.parametrize("length_penalty", [0.0, 0.6, 1.0])
def test_a_wide_beam_finds_the_best_of_all_translations(length_penalty):
    model = Whimsical(eos_bias=1.0)
    found = beam_search(model, SOURCE, beam_size=400, length_penalty=length_penalty, max_length=4)
    for row, hypotheses in zip(SOURCE, found):
        scored = {t: total(model, row[0], t) / (len(t) + 1) ** length_penalty for t in all_texts(4)}
        best = max(scored, key=scored.__getitem__)
        assert tuple(hypotheses[0].tokens) == best
        assert hypotheses[0].score == pytest.approx(scored[best], rel=1e-5)


def test_scores_are_those_of_the_tokens_and_in_order():
    model = Whimsical(eos_bias=1.0)
    for row, hypotheses in zip(SOURCE, beam_search(model, SOURCE, beam_size=5, n_best=5, length_penalty=0.7)):
        assert len(hypotheses) == 5
        assert [h.score for h in hypotheses] == sorted((h.score for h in hypotheses), reverse=True)
        assert len({tuple(h.tokens) for h in hypotheses}) == 5
        for h in hypotheses:
            assert h.finished
            assert h.score == pytest.approx(total(model, row[0], h.tokens) / (len(h.tokens) + 1) ** 0.7, rel=1e-5)


def test_greedy_takes_the_likeliest_token_each_time():
    model = Whimsical()
    for row, hypothesis in zip(SOURCE, greedy(model, SOURCE, max_length=12)):
        prefix = (BOS,)
        for token in hypothesis.tokens:
            scores = log_probabilities(model.scores(row[0], prefix)[None])[0]
            assert token == scores.argmax()
            prefix = (*prefix, token)
        if hypothesis.finished:
            assert log_probabilities(model.scores(row[0], prefix)[None])[0].argmax() == EOS


def test_a_beam_of_one_is_greedy():
    model = Whimsical()
    beam = beam_search(model, SOURCE, beam_size=1, max_length=12)
    for hypothesis, [other] in zip(greedy(model, SOURCE, max_length=12), beam):
        assert hypothesis.tokens == other.tokens
        assert hypothesis.score == pytest.approx(other.score, rel=1e-5) or not other.finished


def test_rows_do_not_disturb_each_other():
    model = Whimsical()
    together = beam_search(model, SOURCE, beam_size=3)
    for i in range(len(SOURCE)):
        [alone] = beam_search(model, SOURCE[i : i + 1], beam_size=3)
        assert alone == together[i]


def test_sentences_that_are_done_cost_nothing_more():
    model = Whimsical(eos_bias=50.0)
    assert all(h.tokens == [] and h.finished for h in greedy(model, SOURCE))
    assert model.positions == len(SOURCE)


def test_what_does_not_end_is_cut_off_and_says_so():
    model = Whimsical(eos_bias=-50.0)
    for hypothesis in greedy(model, SOURCE, max_length=6):
        assert len(hypothesis.tokens) == 6 and not hypothesis.finished
    for [hypothesis] in beam_search(model, SOURCE, beam_size=2, max_length=6):
        assert len(hypothesis.tokens) == 6 and not hypothesis.finished


def test_padding_and_bos_are_never_written():
    model = Whimsical()
    for hypotheses in beam_search(model, SOURCE, beam_size=4, n_best=4, max_length=10):
        for h in hypotheses:
            assert not {PAD, BOS, EOS} & set(h.tokens)


@pytest.mark.parametrize("options", [{"beam_size": 0}, {"beam_size": 2, "n_best": 3}, {"n_best": 0}, {"max_length": 0}])
def test_bad_sizes_are_refused(options):
    with pytest.raises(UsageError, match="got"):
        beam_search(Whimsical(), SOURCE, **options)
