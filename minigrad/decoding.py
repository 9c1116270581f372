"""Greedy and beam search, for every model that predicts the next token.

A model takes part by two methods. ``begin(source)`` reads the source sentences ``(batch, time)`` and returns a state, whatever
the model wants to remember: encoder outputs, cached keys and values, a recurrent state. ``advance(state, tokens)`` appends
one token to each row and returns scores for the next, ``(rows, vocabulary)``, before the softmax. The search only ever asks a
state for ``select(rows)``: the same state for the rows given, which may leave some out and repeat others. So each new token
costs one position, whatever has been written before.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from . import kernels
from .autograd import no_grad
from .data.vocabulary import BOS, EOS, PAD
from .errors import UsageError


class State(Protocol):
    """What a model remembers between two tokens, for a number of rows."""

    def select(self, rows: np.ndarray) -> None:
        """Become the state of the given rows, in their order, in place."""


class Decodable(Protocol):
    """A model that translates token by token."""

    def begin(self, source: np.ndarray) -> Any:
        """The state after reading ``source``, int64 (batch, time), padded."""
        ...

    def advance(self, state: Any, tokens: np.ndarray) -> np.ndarray:
        """Append ``tokens`` (rows,) and return the scores of what may follow, (rows, vocabulary)."""
        ...


@dataclass
class Hypothesis:
    """One translation.

    Attributes:
        tokens: without ``<bos>`` and ``<eos>``.
        score: the sum of log-probabilities over (length with ``<eos>``) ** length_penalty; higher is better.
        finished: whether ``<eos>`` came before the greatest length was reached.
        copied: words of the source that stand for unknown ones, by their place among the tokens.
    """

    tokens: list[int]
    score: float
    finished: bool = True
    copied: dict[int, str] = field(default_factory=dict)


def log_probabilities(scores: np.ndarray) -> np.ndarray:
    """Log-softmax of ``scores`` (rows, vocabulary), with the tokens that are never written at -inf."""
    scores = np.array(scores, order="C")
    scores[:, (PAD, BOS)] = -np.inf
    return kernels.softmax.log_softmax(scores)


def longest_output(source: np.ndarray) -> int:
    """How long a translation may grow: twice the source and some more."""
    return 2 * source.shape[1] + 20


@no_grad()
def greedy(model: Decodable, source: np.ndarray, *, max_length: int | None = None) -> list[Hypothesis]:
    """The likeliest next token, again and again, until ``<eos>``.

    Args:
        source: int64 (batch, time), padded; ``<eos>`` at the end of each row if the model was trained so.
        max_length: tokens after which a sentence is cut off.

    Returns:
        one hypothesis for each row.
    """
    limit = _limit(source, max_length)
    state = model.begin(source)
    alive = np.arange(len(source))
    written: list[list[int]] = [[] for _ in alive]
    totals = np.zeros(len(source))
    finished = np.zeros(len(source), np.bool_)
    tokens = np.full(len(source), BOS)
    for _ in range(limit):
        scores = log_probabilities(model.advance(state, tokens))
        tokens = scores.argmax(1)
        totals[alive] += scores[np.arange(len(alive)), tokens]
        ended = tokens == EOS
        for row, token in zip(alive[~ended], tokens[~ended]):
            written[row].append(int(token))
        finished[alive[ended]] = True
        if ended.any():
            kept = np.flatnonzero(~ended)
            alive, tokens = alive[kept], tokens[kept]
            if not len(alive):
                break
            state.select(kept)
    return [Hypothesis(w, float(t) / (len(w) + 1), bool(f)) for w, t, f in zip(written, totals, finished)]


@no_grad()
def beam_search(
    model: Decodable,
    source: np.ndarray,
    *,
    beam_size: int = 5,
    length_penalty: float = 1.0,
    n_best: int = 1,
    max_length: int | None = None,
) -> list[list[Hypothesis]]:
    """Keep the ``beam_size`` best beginnings of each translation, and of those that ended the best.

    A beginning that ends is set aside, and its place goes to the next best one, so that the search does not narrow. A
    sentence is done when ``beam_size`` hypotheses have ended and no beginning would beat the worst of them, did it end now.

    Args:
        source: int64 (batch, time), padded.
        beam_size: beginnings kept for each sentence; 1 is greedy search.
        length_penalty: the exponent of the length that scores are divided by: 0 favours short translations, 1 compares
            the mean log-probability, more favours long ones.
        n_best: hypotheses to return for each sentence, at most ``beam_size``.
        max_length: tokens after which a hypothesis is cut off.

    Returns:
        for each row up to ``n_best`` hypotheses, best first.

    Raises:
        UsageError: for a beam below 1 or ``n_best`` outside 1 .. ``beam_size``.
    """
    if beam_size < 1 or not 1 <= n_best <= beam_size:
        raise UsageError(f"beam search needs a beam of at least 1, and n_best from 1 to the beam: got {beam_size} and {n_best}")
    limit = _limit(source, max_length)
    count = len(source)
    ended: list[list[Hypothesis]] = [[] for _ in range(count)]
    state = model.begin(source)
    state.select(np.repeat(np.arange(count), beam_size))
    sentences = np.arange(count)  # which row of ``source`` each group of beam_size rows belongs to
    written = np.zeros((count, beam_size, 0), np.int64)
    totals = np.full((count, beam_size), -np.inf)
    totals[:, 0] = 0.0  # all beams of a sentence start alike, so only the first may branch
    tokens = np.full(count * beam_size, BOS)
    for length in range(limit + 1):
        scores = log_probabilities(model.advance(state, tokens)).reshape(len(sentences), beam_size, -1)
        if length == limit:  # end here whatever comes
            for group, sentence in enumerate(sentences):
                for beam in range(beam_size):
                    total = totals[group, beam] + scores[group, beam, EOS]
                    if total > -np.inf:
                        cut = _hypothesis(written[group, beam], total, length_penalty, finished=False)
                        _keep(ended[sentence], cut, beam_size)
            break
        beams, choices, values = _best(totals, scores, 2 * beam_size)
        sources = np.zeros((len(sentences), beam_size), np.int64)
        following = np.full((len(sentences), beam_size), EOS)
        new_totals = np.full((len(sentences), beam_size), -np.inf)
        for group, sentence in enumerate(sentences):
            taken = 0
            for rank in range(beams.shape[1]):
                beam, token, total = beams[group, rank], choices[group, rank], values[group, rank]
                if token == EOS:
                    if rank < beam_size and total > -np.inf:
                        _keep(ended[sentence], _hypothesis(written[group, beam], total, length_penalty), beam_size)
                elif taken < beam_size:
                    sources[group, taken], following[group, taken], new_totals[group, taken] = beam, token, total
                    taken += 1
        hopes = new_totals.max(1) / (length + 2) ** length_penalty  # the best there would be, did it end next, and for free
        worst = np.array([ended[s][-1].score if len(ended[s]) == beam_size else -np.inf for s in sentences])
        kept = np.flatnonzero(hopes > worst)
        if not len(kept):
            break
        sources = sources[kept]
        written = np.concatenate([np.take_along_axis(written[kept], sources[:, :, None], 1), following[kept][:, :, None]], 2)
        totals, sentences = new_totals[kept], sentences[kept]
        tokens = following[kept].reshape(-1)
        state.select((kept[:, None] * beam_size + sources).reshape(-1))
    return [found[:n_best] for found in ended]


def _keep(ended: list[Hypothesis], new: Hypothesis, count: int) -> None:
    """Add a hypothesis to the best ``count`` so far, which stay in order."""
    ended.append(new)
    ended.sort(key=lambda h: -h.score)
    del ended[count:]


def _best(totals, scores, count: int):
    """The ``count`` best continuations of each sentence, best first: which beam, which token, which total."""
    groups, _, vocabulary = scores.shape
    count = min(count, vocabulary)
    # The best of a sentence are among the best of each of its beams, so the large sort is over the vocabulary only.
    tokens = np.argpartition(scores, vocabulary - count, 2)[:, :, vocabulary - count :]
    sums = np.take_along_axis(scores, tokens, 2) + totals[:, :, None]
    flat = sums.reshape(groups, -1)
    order = np.argsort(-flat, 1, kind="stable")[:, :count]
    return order // count, np.take_along_axis(tokens.reshape(groups, -1), order, 1), np.take_along_axis(flat, order, 1)


def _hypothesis(tokens, total, length_penalty: float, finished: bool = True) -> Hypothesis:
    return Hypothesis([int(t) for t in tokens], float(total) / (len(tokens) + 1) ** length_penalty, finished)


def _limit(source: np.ndarray, max_length: int | None) -> int:
    if max_length is not None and max_length < 1:
        raise UsageError(f"a translation may have at least one token: got max_length={max_length}")
    return longest_output(source) if max_length is None else max_length
