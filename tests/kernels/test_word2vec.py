import numba
import numpy as np
import pytest

import minigrad as mg
from minigrad.kernels import word2vec as kernel
from minigrad.kernels.dropout import GAMMA, key_of, mix
from minigrad.kernels.huffman import huffman
from minigrad.kernels.word2vec_lanes import group
from minigrad.kernels.word2vec_rows import padded
from minigrad.nn import functional as F

N, SIZE, WINDOW, RATE = 1000, 20, 3, 0.2
SENTENCES = [[3, 1, 4, 150, 9, 2, 6], [50, 35], [8], [97, 93, 23, 84, 62, 64, 33, 83, 27]]
STREAM = np.array([number for words in SENTENCES for number in (*words, kernel.END)], np.int32)


def random_bits(state):
    return np.uint64(mix(state))  # compiled, it returns a Python integer


def tables(dtype, targets=N):
    generator = np.random.default_rng(3)
    made = []
    for rows in (N, targets):
        table = np.zeros((rows, padded(SIZE, np.dtype(dtype).itemsize)), dtype)
        table[:, :SIZE] = generator.standard_normal((rows, SIZE)) / 3
        made.append(table)
    return kernel.Tables(*made)


def words(counts, hierarchical):
    keep = np.full(counts.size, 2**32 - 1, np.uint32)
    none = np.zeros(1, np.int64), np.empty(0, np.int32), np.empty(0, np.uint8)
    return kernel.Words(keep, kernel.alias_table(counts**0.75), *(huffman(counts) if hierarchical else none))


def windows(words, negative, seed):
    """The windows that the kernel sees: (contexts, targets, labels), with its random numbers drawn again."""
    with np.errstate(over="ignore"):
        state = np.uint64(key_of(np.uint64(seed), np.uint64(0)))
        for sentence in SENTENCES:
            for _ in sentence:  # whether the word is kept
                state += GAMMA
            targets = []
            for i in range(-1, len(sentence)):
                now = targets
                if i + 1 < len(sentence):
                    centre = sentence[i + 1]
                    if negative:
                        targets = [(centre, 1)]
                        for _ in range(negative):
                            state += GAMMA
                            drawn = int(kernel.draw_word(random_bits(state), words.alias))
                            targets += [(drawn, 0)] if drawn != centre else []
                    else:
                        way = slice(words.starts[centre], words.starts[centre + 1])
                        targets = [(int(node), 1 - int(code)) for node, code in zip(words.nodes[way], words.codes[way])]
                if i < 0:
                    continue
                state += GAMMA
                reach = WINDOW - int(random_bits(state) >> np.uint64(32)) * WINDOW // 2**32
                contexts = [sentence[j] for j in range(max(0, i - reach), min(len(sentence), i + reach + 1)) if j != i]
                if contexts:
                    yield contexts, *zip(*now)


def step_on_the_tape(inputs, outputs, contexts, targets, labels, cbow, mean):
    """One step of gradient descent by the tape, in place; returns the loss."""
    u, v = (mg.tensor(table, requires_grad=True) for table in (inputs, outputs))
    heads = u[list(contexts)]
    if cbow:
        heads = (heads.mean(0) if mean else heads.sum(0)).unsqueeze(0)
    scores = heads @ v[list(targets)].T
    signs = mg.tensor(1 - 2 * np.array(labels, inputs.dtype))
    loss = F.softplus(scores * signs).sum()
    loss.backward()
    # As in word2vec.c, each context of a mean moves by the whole of the mean's gradient, not by its share.
    inputs -= RATE * np.array(u.grad.data) * (len(contexts) if cbow and mean else 1)
    outputs -= RATE * np.array(v.grad.data)
    return loss.item()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("negative", [0, 5, 11])
@pytest.mark.parametrize("model", ["skipgram", "cbow", "cbow-sum"])
def test_each_window_is_one_step_by_the_gradients_of_the_tape(model, negative, dtype):
    counts = np.full(N, 100) if negative else np.arange(N, 0, -1) ** 2
    cbow, mean = model != "skipgram", model == "cbow"
    known = words(counts, negative == 0)
    # Where a word is drawn twice for a window, its second change may see the first: take a seed without such a window.
    seed = next(
        seed for seed in range(100) if all(len(set(drawn)) == len(drawn) for _, drawn, _ in windows(known, negative, seed))
    )
    fast = tables(dtype, N if negative else N - 1)
    slow = [table.copy() for table in fast]
    rates = kernel.Rates(RATE, RATE, 0, 1)
    loss, pairs = kernel.train(STREAM, fast, known, kernel.Settings(cbow, mean, negative, WINDOW), rates, seed, 1)
    seen = list(windows(known, negative, seed))
    losses = [step_on_the_tape(*slow, *window, cbow, mean) for window in seen]
    tolerance = 1e-12 if dtype == np.float64 else 2e-5
    for got, expected in zip(fast, slow):
        np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)
    assert not any(table[:, SIZE:].any() for table in fast)
    assert pairs == (1 if cbow else len(seen[0][0]))  # one window of LOSS_EVERY, here the first, is measured
    assert loss == pytest.approx(losses[0], rel=10 * tolerance)


def test_one_part_gives_the_same_bits_and_another_seed_others():
    known, settings, rates = (
        words(np.arange(N, 0, -1), False),
        kernel.Settings(False, True, 5, WINDOW),
        kernel.Rates(1, 0, 0, 20),
    )
    made = []
    for seed in (7, 7, 8):
        made.append(tables(np.float32))
        kernel.train(STREAM, made[-1], known, settings, rates, seed, 1)
    np.testing.assert_array_equal(made[0].inputs, made[1].inputs)
    assert (made[0].inputs != made[2].inputs).any()


def test_parts_see_every_sentence_once():
    """Two parts change the same input rows as one, since each sentence is whole in one of them."""
    known, settings, rates = words(np.arange(N, 0, -1), False), kernel.Settings(False, True, 5, 1), kernel.Rates(1, 1, 0, 1)
    changed = []
    for parts in (1, 2, 5):
        before = tables(np.float32)
        after = tables(np.float32)
        kernel.train(STREAM, after, known, settings, rates, 1, parts)
        changed.append(np.flatnonzero((after.inputs != before.inputs).any(1)))
    expected = sorted(word for sentence in SENTENCES if len(sentence) > 1 for word in sentence)
    for rows in changed:
        assert rows.tolist() == expected


def test_cuts_lie_behind_sentence_ends():
    ids = np.zeros(1000, np.int32)
    ids[99::100] = kernel.END
    cuts = kernel._cuts(ids, 4)
    assert cuts.tolist() == [0, 300, 500, 800, 1000] or cuts.tolist() == [0, 300, 600, 800, 1000]
    assert kernel._cuts(np.zeros(10, np.int32), 2).tolist() == [0, 5, 10]


def test_rare_words_are_kept_and_frequent_ones_skipped():
    counts = np.full(N, 10)
    known, settings = words(counts, False), kernel.Settings(False, True, 5, 1)
    known.keep[:] = 0  # one in 2^32
    before, after = tables(np.float32), tables(np.float32)
    kernel.train(STREAM, after, known, settings, kernel.Rates(1, 1, 0, 1), 1, 1)
    np.testing.assert_array_equal(before.inputs, after.inputs)


def test_the_rate_falls_linearly_with_the_words_behind():
    """A rate of zero at the end of the run changes nothing."""
    known, settings = words(np.arange(N, 0, -1), False), kernel.Settings(False, True, 5, 1)
    before, after = tables(np.float32), tables(np.float32)
    kernel.train(STREAM, after, known, settings, kernel.Rates(1, 0, 100, 100), 1, 1)
    np.testing.assert_array_equal(before.inputs, after.inputs)


@pytest.mark.parametrize("weights", [[1, 1], [1, 2, 3, 4], [1e-3, 1, 1000], "zipf"])
def test_the_alias_table_holds_the_distribution_exactly(weights):
    weights = 1 / np.arange(1, 3001) if weights == "zipf" else np.array(weights, np.float64)
    table = kernel.alias_table(weights)
    mine = (table >> np.uint64(32)) / 2.0**32
    share = mine.copy()
    np.add.at(share, (table & np.uint64(0xFFFFFFFF)).astype(int), 1 - mine)
    np.testing.assert_allclose(share / weights.size, weights / weights.sum(), atol=2.0**-31)


def test_drawn_words_follow_the_distribution():
    weights = np.array([5.0, 3.0, 1.0, 1.0])
    table = kernel.alias_table(weights)
    with np.errstate(over="ignore"):
        draws = [int(kernel.draw_word(random_bits(np.uint64(k) * GAMMA), table)) for k in range(4000)]
    counts, expected = np.bincount(draws, minlength=4), 400 * weights
    assert ((counts - expected) ** 2 / expected).sum() < 20  # chi-squared, 3 degrees of freedom


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="a look at compiled code")
def test_a_group_fits_the_registers():
    for itemsize in (4, 8):
        assert padded(1, itemsize) % group(itemsize) == 0
