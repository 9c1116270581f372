"""Word2vec's training loop: windows of words in, two tables of vectors changed in place.

Each window is one step of stochastic gradient descent on the summed loss of its words, with closed-form gradients. Threads
share the tables without locks (Recht et al., "Hogwild!", 2011): a rare lost update does no harm, since most rows are rare.

Model and losses: Mikolov et al., "Efficient Estimation of Word Representations in Vector Space", 2013 (CBOW, skip-gram) and
"Distributed Representations of Words and Phrases and their Compositionality", 2013 (negative sampling, section 2.2;
hierarchical softmax, 2.1; subsampling, 2.3). The negative words are drawn once for a window, not for each of its words: Ji
et al., "Parallelizing Word2Vec in Shared and Distributed Memory", 2016.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import prange

from minigrad.kernels.dropout import GAMMA, MASK64, key_of, mix
from minigrad.kernels.jit import core, driver
from minigrad.kernels.vectormath import sigmoid, softplus
from minigrad.kernels.word2vec_lanes import group, lone_group
from minigrad.kernels.word2vec_rows import add_row, dots, fetch, lone_dots, lone_update, sum_rows, update

END = -1  # in a stream of word numbers, the end of a sentence
MAX_SENTENCE = 10_000  # words; a longer line is trained in pieces
LOSS_EVERY = 32  # windows; the loss is measured on one of so many, since its logarithms would cost more than the step itself
_HIGH = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)
_BLOCK = 16  # scores whose sigmoids are computed at once


class Tables(NamedTuple):
    """What training changes: ``inputs`` (words, columns), the word vectors, and ``outputs``, those of the targets.

    Under negative sampling the targets are the words, under hierarchical softmax the inner nodes of the Huffman tree. The
    columns are :func:`minigrad.kernels.word2vec_rows.padded`, those beyond the vectors' size zero.
    """

    inputs: Any
    outputs: Any


class Words(NamedTuple):
    """What training knows of each word.

    Attributes:
        keep: ``(words,)`` uint32, the probability that an occurrence is kept, in units of 2^-32, less one.
        alias: ``(words,)`` uint64, the distribution of negative words, as :func:`alias_table` makes it.
        starts: ``(words + 1,)`` int64, where each word's path begins in ``nodes`` and ``codes``.
        nodes: int32, the inner nodes from the root of the Huffman tree to each word.
        codes: uint8, the branch taken at each.
    """

    keep: Any
    alias: Any
    starts: Any
    nodes: Any
    codes: Any


class Settings(NamedTuple):
    """The model: skip-gram or CBOW (``mean`` or sum of the contexts), negative sampling, or hierarchical (``negative`` 0)."""

    cbow: bool
    mean: bool
    negative: int
    window: int


class Rates(NamedTuple):
    """The learning rate falls linearly from ``first`` at 0 words to ``last`` at ``total`` words, ``done`` being behind us."""

    first: float
    last: float
    done: int
    total: int


def train(ids, tables: Tables, words: Words, settings: Settings, rates: Rates, seed: int, parts: int) -> tuple[float, int]:
    """Train on a stream of word numbers, in ``parts`` parts at a time.

    Args:
        ids: ``(n,)`` int32, word numbers and ``END`` between sentences.
        tables, words, settings, rates: as described there.
        seed: of all that is random; another one for each call.
        parts: how many threads share the stream, each its own stretch. One part gives the same bits every time.

    Returns:
        the loss, summed over a sample of pairs, in nats, and the number of pairs in the sample. A pair is a context with its
        target and the negative words, or with its target's path; in CBOW, all contexts together.
    """
    measured = np.zeros((parts, 8))  # a cache line each
    seeds = np.empty(parts, np.uint64)
    width = (lone_group if settings.cbow else group)(tables.inputs.itemsize)
    with np.errstate(over="ignore"):
        for part in range(parts):
            seeds[part] = key_of(np.uint64(seed & MASK64), np.uint64(part))
        if parts == 1:
            _train(ids, 0, ids.size, 1, tables, words, settings, rates, width, seeds[0], measured[0])
        else:
            cuts = _cuts(ids, parts)
            _train_parts(ids, cuts, tables, words, settings, rates, width, seeds, measured)
    return float(measured[:, 0].sum()), int(measured[:, 1].sum())


def _cuts(ids, parts):
    """Where each part begins, after a sentence's end where there is one nearby, and where the last ends."""
    cuts = np.arange(parts + 1) * ids.size // parts
    for part in range(1, parts):
        ahead = ids[cuts[part] : cuts[part] + MAX_SENTENCE]
        ends = np.flatnonzero(ahead == END)
        cuts[part] += int(ends[0]) + 1 if ends.size else 0
    return np.maximum.accumulate(cuts)


@driver
def _train_parts(ids, cuts, tables, words, settings, rates, width, seeds, measured):
    parts = seeds.size
    for part in prange(parts):
        _train(ids, cuts[part], cuts[part + 1], parts, tables, words, settings, rates, width, seeds[part], measured[part])


@core
def _train(ids, start, stop, parts, tables, words, settings, rates, width, seed, measured):
    # No views of arrays and no fields of tuples in the loops: Numba counts each such reference with an atomic instruction.
    inputs, outputs = tables.inputs, tables.outputs
    keep, alias, starts, nodes, codes = words
    cbow, mean, negative, window = settings
    number = inputs.dtype.type
    state = seed
    most = negative + 1 if negative > 0 else _longest(starts)
    stride = -(-most // width) * width
    # Whole blocks of scores; the last rows are only there to be computed with.
    slopes = np.zeros((-(-2 * window // _BLOCK) * _BLOCK, stride), inputs.dtype)
    flat = slopes.reshape(-1)
    targets, labels = np.zeros(most, np.int64), np.zeros(most, inputs.dtype)
    coming, coming_labels = np.zeros(most, np.int64), np.zeros(most, inputs.dtype)
    coming_labels[0] = 1
    contexts = np.zeros(2 * window, np.int64)
    order = np.arange(2 * window)
    copies = np.zeros((1 if cbow else 2 * window, inputs.shape[1]), inputs.dtype)
    error = np.zeros((1, inputs.shape[1]), inputs.dtype)
    sentence = np.empty(MAX_SENTENCE, np.int64)
    windows, pairs, loss = 0, 0, 0.0

    position = start
    while position < stop:
        length = 0
        while position < stop and length < MAX_SENTENCE:
            word = ids[position]
            position += 1
            if word == END:
                break
            state += GAMMA
            if (mix(state) >> _HIGH) <= keep[word]:
                sentence[length] = word
                length += 1
        if length == 0:
            continue
        done = min(1.0, (rates.done + (position - start) * parts) / rates.total)
        rate = number(rates.first + (rates.last - rates.first) * done)

        following = 0
        for i in range(-1, length):
            # The next window's targets are on their way from memory while this window is computed.
            n = following
            for q in range(n):
                targets[q], labels[q] = coming[q], coming_labels[q]
            if i + 1 < length:
                centre = sentence[i + 1]
                if negative > 0:
                    following, state = _choose(centre, negative, alias, state, coming)
                else:
                    following = _path(centre, starts, nodes, codes, coming, coming_labels)
                fetch(outputs, coming, 0, following)
            if i < 0:
                fetch(inputs, sentence, 0, min(length, window + 1))
                continue
            if i + window + 1 < length:
                fetch(inputs, sentence, i + window + 1, 1)

            state += GAMMA
            reach = window - np.int64(((mix(state) >> _HIGH) * np.uint64(window)) >> _HIGH)
            m = 0
            for j in range(max(0, i - reach), min(length, i + reach + 1)):
                if j != i:
                    contexts[m] = sentence[j]
                    m += 1
            if m == 0:
                continue

            if cbow:
                sum_rows(inputs, contexts, m, number(1) / number(m) if mean else number(1), copies)
                heads = 1
                lone_dots(copies, outputs, targets, n, slopes)
            else:
                heads = m
                dots(inputs, contexts, heads, outputs, targets, n, slopes)

            if windows % LOSS_EVERY == 0:
                pairs += heads
                for j in range(heads):
                    for q in range(n):
                        loss += softplus(-slopes[j, q] if labels[q] > 0 else slopes[j, q])
            windows += 1

            # One loop over whole blocks: LLVM unrolls an inner loop of known length before it could make vectors of it.
            for k in range(-(-heads * stride // _BLOCK) * _BLOCK):
                flat[k] = -rate * sigmoid(flat[k])
            for q in range(n if negative == 0 else 1):
                for j in range(heads):
                    slopes[j, q] += rate * labels[q]

            if cbow:
                lone_update(copies, error, outputs, targets, n, slopes)
                add_row(inputs, contexts, m, error)
            elif n <= width:
                update(inputs, contexts, inputs, contexts, heads, outputs, targets, n, slopes)
            else:  # one group of targets after the other: the later ones must not see what the earlier ones changed
                for j in range(m):
                    for k in range(inputs.shape[1]):
                        copies[j, k] = inputs[contexts[j], k]
                update(copies, order, inputs, contexts, heads, outputs, targets, n, slopes)
    measured[0] += loss
    measured[1] += pairs


@core
def _choose(centre, negative, alias, state, targets):
    """Fill in a window's targets, the centre and the negative words; returns their number, and the generator's state."""
    targets[0] = centre
    n = 1
    for _ in range(negative):
        state += GAMMA
        word = draw_word(mix(state), alias)
        if word != centre:
            targets[n] = word
            n += 1
    return n, state


@core
def _path(centre, starts, nodes, codes, targets, labels):
    """Fill in the centre's path, and label 1 where it takes the branch 0; returns the path's length."""
    first = starts[centre]
    n = starts[centre + 1] - first
    for q in range(n):
        targets[q] = nodes[first + q]
        labels[q] = 1 - codes[first + q]
    return n


@core
def _longest(starts):
    longest = 1
    for word in range(starts.size - 1):
        longest = max(longest, starts[word + 1] - starts[word])
    return longest


@core
def draw_word(bits, alias):
    """A word from 64 random bits: the high half picks a column of the alias table, the low half one of its two words."""
    column = np.int64(((bits >> _HIGH) * np.uint64(alias.size)) >> _HIGH)
    entry = alias[column]
    return column if (bits & _LOW) < (entry >> _HIGH) else np.int64(entry & _LOW)


def alias_table(weights):
    """The alias table of a distribution: one draw of a number of any probability takes one look.

    Each entry holds a probability in units of 2^-32 (high half), that of its own number, and another number (low half), which
    has the rest. Source: Vose, "A Linear Algorithm for Generating Random Numbers with a Given Distribution", 1991.

    Args:
        weights: ``(n,)`` float64, positive.

    Returns:
        ``(n,)`` uint64. The probabilities are right to 2^-32 / n.
    """
    share = weights * (weights.size / weights.sum())
    table = np.empty(weights.size, np.uint64)
    _fill_alias(share, table)
    return table


@core
def _fill_alias(share, table):
    n = share.size
    small, large = np.empty(n, np.int64), np.empty(n, np.int64)
    smalls = larges = 0
    for i in range(n):
        if share[i] < 1:
            small[smalls] = i
            smalls += 1
        else:
            large[larges] = i
            larges += 1
    while smalls and larges:
        smalls -= 1
        less, more = small[smalls], large[larges - 1]
        table[less] = (np.uint64(share[less] * 4294967296.0) << _HIGH) | np.uint64(more)
        share[more] -= 1 - share[less]
        if share[more] < 1:
            larges -= 1
            small[smalls] = more
            smalls += 1
    for i in range(smalls):  # what is left has probability 1, but for rounding
        table[small[i]] = (_LOW << _HIGH) | np.uint64(small[i])
    for i in range(larges):
        table[large[i]] = (_LOW << _HIGH) | np.uint64(large[i])
