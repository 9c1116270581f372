"""Measures of a translation or a language model, and the running figures that a training loop reports."""

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from minigrad.errors import DataError, UsageError


@dataclass(frozen=True)
class Score:
    """A score from 0 to 100 and the signature that says exactly how it was computed, so that others can compare theirs."""

    score: float
    signature: str

    def __str__(self) -> str:
        return f"{self.score:.2f} ({self.signature})"


def bleu(hypotheses: Sequence[str], references: Sequence[str], tokenize: str = "none", lowercase: bool = False) -> Score:
    """Corpus BLEU with one reference per hypothesis, by sacrebleu.

    ``tokenize="none"`` takes words as they stand between spaces and is meant for text that is tokenized already;
    ``"13a"`` splits punctuation from plain text as the WMT evaluations do. Sentences of fewer than four tokens have no
    4-grams: a corpus of such sentences alone scores 0 even when every sentence is right, so use :func:`exact_match` there.

    BLEU = min(1, exp(1 - r/h)) (p1 p2 p3 p4)^(1/4), with h and r the lengths in tokens of hypotheses and references, pn the
    share of the hypotheses' n-grams that occur in their reference. Source: Papineni et al. 2002, section 2.3; Post 2018.

    Raises:
        DataError: no sentences, or two lists of different length.
        UsageError: a tokenizer that sacrebleu does not know.
    """
    from sacrebleu.metrics.bleu import BLEU

    _check_pairs(hypotheses, references)
    if tokenize not in BLEU.TOKENIZERS:
        raise UsageError(f"tokenize must be one of {', '.join(sorted(BLEU.TOKENIZERS))}: got {tokenize!r}; choose one of them")
    # force: no warning when text looks tokenized, which it is on purpose under tokenize="none".
    metric = BLEU(tokenize=tokenize, lowercase=lowercase, force=True)
    score = metric.corpus_score(hypotheses, [references]).score
    return Score(score, str(metric.get_signature()))


def chrf(hypotheses: Sequence[str], references: Sequence[str], lowercase: bool = False) -> Score:
    """Corpus chrF2, the F-score (recall weighs twice) of character 1- to 6-grams, by sacrebleu.

    Source: Popović 2015, equation 1. Raises DataError for no sentences, or two lists of different length.
    """
    from sacrebleu.metrics.chrf import CHRF

    _check_pairs(hypotheses, references)
    metric = CHRF(lowercase=lowercase)
    score = metric.corpus_score(hypotheses, [references]).score
    return Score(score, str(metric.get_signature()))


def exact_match(hypotheses: Sequence, references: Sequence) -> float:
    """The percentage (0 to 100, as BLEU and chrF) of hypotheses equal to their reference; texts or lists of tokens.

    Raises DataError for no sentences, or two lists of different length.
    """
    _check_pairs(hypotheses, references)
    return 100.0 * sum(hypothesis == reference for hypothesis, reference in zip(hypotheses, references)) / len(references)


def perplexity(loss: float) -> float:
    """exp(loss), for a mean negative log-likelihood in nats per token; infinity where that exceeds a float."""
    try:
        return math.exp(loss)
    except OverflowError:
        return math.inf


class Average:
    """A weighted mean of what has been added so far, such as the loss per token over batches of different size."""

    def __init__(self) -> None:
        self.total = 0.0
        self.weight = 0.0

    def add(self, value: float, weight: float = 1.0) -> None:
        """Take in a ``value`` that is itself a mean over ``weight`` things. One NaN makes the average NaN: it is not hidden."""
        if not weight >= 0:
            raise UsageError(f"a weight must be 0 or more: got {weight}; pass the number of tokens in the batch")
        if weight:  # a batch without tokens has no mean, and 0 * NaN would spoil the others
            self.total += float(value) * weight
            self.weight += weight

    @property
    def value(self) -> float:
        """The mean; NaN before anything was added."""
        return self.total / self.weight if self.weight else math.nan

    def reset(self) -> None:
        """Forget everything."""
        self.total = self.weight = 0.0


class Throughput:
    """How many things (tokens, steps) pass per second: lately, over a sliding window, and overall.

    Args:
        window: length of the sliding window, in seconds.
        clock: a function that gives the time in seconds; tests pass their own.
    """

    _MARKS = 32  # marks kept per window: memory stays bounded however often `add` is called

    def __init__(self, window: float = 10.0, clock: Callable[[], float] = time.perf_counter) -> None:
        self.window = window
        self.total = 0.0
        self._clock = clock
        self._start = self._now = clock()
        self._marks: deque[tuple[float, float]] = deque([(self._start, 0.0)])  # (time, total) at that time

    def add(self, count: float) -> None:
        """``count`` things more have passed, just now."""
        self._now = self._clock()
        self.total += count
        if self._now - self._marks[-1][0] >= self.window / self._MARKS:
            self._marks.append((self._now, self.total))
        while len(self._marks) > 2 and self._marks[1][0] <= self._now - self.window:
            self._marks.popleft()

    @property
    def rate(self) -> float:
        """Things per second over the last window; 0 before the first."""
        since, total = self._marks[0]
        return _divide(self.total - total, self._now - since)

    @property
    def overall(self) -> float:
        """Things per second since the beginning; 0 before the first."""
        return _divide(self.total, self._now - self._start)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Time inside this block, such as a validation, does not count."""
        begin = self._clock()
        try:
            yield
        finally:
            pause = self._clock() - begin
            self._start += pause
            self._now += pause
            self._marks = deque((moment + pause, total) for moment, total in self._marks)


def _divide(count: float, seconds: float) -> float:
    return count / seconds if seconds > 0 else 0.0


def _check_pairs(hypotheses: Sequence, references: Sequence) -> None:
    if len(hypotheses) != len(references):
        raise DataError(
            f"every hypothesis needs one reference: got {len(hypotheses)} hypotheses and {len(references)} references; "
            "check that both come from the same file"
        )
    if not references:
        raise DataError("a score needs at least one sentence: got none; check that the test file is not empty")
