"""Scores against their definitions, and running figures against closed forms."""

import math
from collections import Counter

import pytest

from minigrad.errors import DataError, UsageError
from minigrad.training import metrics

HYPOTHESES = ["the cat sat on the mat today", "a dog barks at the moon", "birds sing"]
REFERENCES = ["the cat sat on a mat today", "a dog barks at the full moon", "birds sing"]


def bleu_by_definition(hypotheses, references):
    """Papineni et al. 2002, section 2.3, for corpora in which every order has a match."""
    log_precision = 0.0
    for n in range(1, 5):
        matches = total = 0
        for hypothesis, reference in zip(hypotheses, references):
            counts = [Counter(zip(*(text.split()[i:] for i in range(n)))) for text in (hypothesis, reference)]
            matches += sum((counts[0] & counts[1]).values())
            total += sum(counts[0].values())
        log_precision += math.log(matches / total) / 4
    lengths = [sum(len(text.split()) for text in texts) for texts in (hypotheses, references)]
    return 100 * math.exp(min(0, 1 - lengths[1] / lengths[0]) + log_precision)


def test_bleu_is_its_definition():
    assert metrics.bleu(HYPOTHESES, REFERENCES).score == pytest.approx(bleu_by_definition(HYPOTHESES, REFERENCES))
    assert metrics.bleu(REFERENCES, REFERENCES).score == pytest.approx(100)


def test_the_signature_says_how_bleu_was_computed():
    plain = metrics.bleu(HYPOTHESES, REFERENCES)
    other = metrics.bleu(HYPOTHESES, REFERENCES, tokenize="13a", lowercase=True)
    assert "tok:none" in plain.signature and "case:mixed" in plain.signature and "version:" in plain.signature
    assert "tok:13a" in other.signature and "case:lc" in other.signature
    assert str(plain) == f"{plain.score:.2f} ({plain.signature})"


def test_13a_splits_punctuation_and_lowercase_ignores_case():
    hypotheses, references = ["The cat, the mat."], ["the cat , the mat ."]
    assert metrics.bleu(hypotheses, references, tokenize="13a", lowercase=True).score == pytest.approx(100)
    assert metrics.bleu(hypotheses, references, tokenize="13a").score < 100


def test_chrf():
    assert metrics.chrf(REFERENCES, REFERENCES).score == pytest.approx(100)
    assert 0 < metrics.chrf(HYPOTHESES, REFERENCES).score < 100
    assert metrics.chrf(["ABC"], ["abc"]).score == 0
    assert metrics.chrf(["ABC"], ["abc"], lowercase=True).score == pytest.approx(100)
    assert "nc:6" in metrics.chrf(HYPOTHESES, REFERENCES).signature


def test_exact_match_is_a_percentage_and_takes_tokens_too():
    assert metrics.exact_match(HYPOTHESES, REFERENCES) == pytest.approx(100 / 3)
    assert metrics.exact_match([[1, 2], [3]], [[1, 2], [4]]) == 50


@pytest.mark.parametrize("score", [metrics.bleu, metrics.chrf, metrics.exact_match])
def test_scores_refuse_lists_that_do_not_pair(score):
    with pytest.raises(DataError, match="1 hypotheses and 2 references"):
        score(["a"], ["a", "b"])
    with pytest.raises(DataError, match="at least one sentence"):
        score([], [])


def test_an_unknown_tokenizer_is_named():
    with pytest.raises(UsageError, match=r"13a.*got 'moses'"):
        metrics.bleu(["a"], ["a"], tokenize="moses")


def test_perplexity():
    assert metrics.perplexity(0) == 1
    assert metrics.perplexity(math.log(50)) == pytest.approx(50)
    assert metrics.perplexity(1e6) == math.inf
    assert metrics.perplexity(math.inf) == math.inf
    assert math.isnan(metrics.perplexity(math.nan))


def test_average_is_weighted():
    average = metrics.Average()
    assert math.isnan(average.value)
    average.add(2.0, weight=30)
    average.add(4.0, weight=10)
    assert average.value == 2.5
    average.add(math.nan, weight=0)
    assert average.value == 2.5
    average.add(math.nan)
    assert math.isnan(average.value)
    average.reset()
    average.add(1.0)
    assert average.value == 1
    for weight in (-1, math.nan):
        with pytest.raises(UsageError, match="weight must be 0 or more"):
            average.add(1.0, weight=weight)


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def test_throughput_over_a_window_and_overall():
    clock = Clock()
    throughput = metrics.Throughput(window=10, clock=clock)
    assert throughput.rate == throughput.overall == 0
    for _ in range(100):  # 10 a second for 100 seconds
        clock.now += 1
        throughput.add(10)
    assert throughput.rate == throughput.overall == 10
    for _ in range(20):  # then 30 a second for 20
        clock.now += 1
        throughput.add(30)
    assert throughput.rate == 30
    assert throughput.overall == pytest.approx(1600 / 120)


def test_throughput_does_not_count_pauses():
    clock = Clock()
    throughput = metrics.Throughput(window=10, clock=clock)
    clock.now += 2
    throughput.add(20)
    with pytest.raises(KeyboardInterrupt), throughput.paused():
        clock.now += 500
        raise KeyboardInterrupt
    clock.now += 2
    throughput.add(20)
    assert throughput.rate == throughput.overall == 10


def test_throughput_keeps_few_marks_however_often_it_is_called():
    clock = Clock()
    throughput = metrics.Throughput(window=10, clock=clock)
    for _ in range(5000):
        clock.now += 2**-7  # exact, so that the rate is too
        throughput.add(1)
    assert throughput.rate == pytest.approx(128)
    assert len(throughput._marks) <= throughput._MARKS + 2
