"""The best answers to many analogies at once, from the similarities of a few words to all."""

import numpy as np
from numba import prange

from minigrad.kernels.jit import chunk_count, core, driver

BLOCK = 512  # words of which it is first asked whether any beats the best so far: most blocks hold none, and vectors tell
PER_CHUNK = 262_144  # scores below which a second thread does not pay


def best_answers(similarities, questions, groups, best_scores, best_words, offset):
    """Let a block of words compete for the best answers to "a is to b as c is to ?".

    The score of a word is its similarity to b, plus that to c, minus that to a; a word in the group of a, b or c is no answer.

    Args:
        similarities: ``(m, words)`` float32: of each of m words to those of this block.
        questions: ``(q, 3)`` int64: the rows of ``similarities`` that are a, b and c.
        groups: ``(words + m,)`` int64: to which group each word of the block belongs, then each of the m words.
        best_scores: ``(q,)`` float32, the best so far; updated.
        best_words: ``(q,)`` int64, whose score that is; updated.
        offset: the number of the block's first word.
    """
    work = questions.shape[0] * similarities.shape[1]
    chunks = min(chunk_count(work, PER_CHUNK), questions.shape[0])
    if chunks <= 1:
        _best(similarities, questions, groups, best_scores, best_words, offset, 0, questions.shape[0])
    else:
        _best_chunks(similarities, questions, groups, best_scores, best_words, offset, chunks)


@core
def _best(similarities, questions, groups, best_scores, best_words, offset, start, stop):
    words = similarities.shape[1]
    for left in range(0, words, BLOCK):
        right = min(left + BLOCK, words)
        for q in range(start, stop):
            a, b, c = questions[q, 0], questions[q, 1], questions[q, 2]
            minus, plus, more = similarities[a], similarities[b], similarities[c]
            best = best_scores[q]
            any_better = False
            for j in range(left, right):
                any_better |= plus[j] + more[j] - minus[j] > best
            if not any_better:
                continue
            for j in range(left, right):
                score = np.float32(plus[j] + more[j] - minus[j])
                if score > best:
                    group = groups[j]
                    if group != groups[words + a] and group != groups[words + b] and group != groups[words + c]:
                        best = score
                        best_words[q] = offset + j
            best_scores[q] = best


@driver
def _best_chunks(similarities, questions, groups, best_scores, best_words, offset, chunks):
    n = questions.shape[0]
    for k in prange(chunks):
        _best(similarities, questions, groups, best_scores, best_words, offset, k * n // chunks, (k + 1) * n // chunks)
