"""Batches: every pair once, no side over its bound, the same for the same seed and epoch, and resumable."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minigrad.data import BOS, EOS, PAD, ParallelText, Skipped, TextPairs, TokenBatches, pad
from minigrad.errors import DataError, UsageError


def parallel(lengths) -> ParallelText:
    """Pairs of the given lengths; each id tells its pair, so that a batch shows where its rows come from."""
    sources = [np.full(source, 4 + i, dtype=np.int32) for i, (source, _) in enumerate(lengths)]
    targets = [np.full(target, 4 + i, dtype=np.int32) for i, (_, target) in enumerate(lengths)]
    text = TextPairs([""] * len(sources), [""] * len(sources))
    return ParallelText(text, sources, targets, Skipped())


def some_lengths(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 30, (count, 2))


def as_lists(batches) -> list[list[int]]:
    return [indices.tolist() for indices in batches]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 20), st.integers(1, 20)), min_size=1, max_size=60),
    st.integers(25, 200),
    st.one_of(st.none(), st.integers(1, 9)),
    st.booleans(),
)
def test_every_pair_comes_once_and_no_side_passes_its_bound(lengths, max_tokens, max_sentences, shuffle):
    batches = TokenBatches(parallel(lengths), max_tokens, max_sentences=max_sentences, shuffle=shuffle)
    seen = []
    for batch in batches.epoch(3):
        assert batch.source.size <= max_tokens and batch.target.size <= max_tokens
        assert 1 <= len(batch) <= (max_sentences or len(lengths))
        seen += batch.indices.tolist()
    assert sorted(seen) == list(range(len(lengths)))
    assert batches.skipped == 0


def test_a_batch_by_hand():
    text = parallel([(3, 1), (1, 4)])
    (batch,) = TokenBatches(text, 100, shuffle=False).epoch()
    assert batch.indices.tolist() == [0, 1]
    assert batch.source.tolist() == [[4, 4, 4, EOS], [5, EOS, PAD, PAD]]
    assert batch.target_input.tolist() == [[BOS, 4, PAD, PAD, PAD], [BOS, 5, 5, 5, 5]]
    assert batch.target.tolist() == [[4, EOS, PAD, PAD, PAD], [5, 5, 5, 5, EOS]]
    assert {array.dtype for array in (batch.source, batch.target_input, batch.target)} == {np.dtype(np.int64)}
    assert len(batch) == 2 and batch.target_tokens == 7


def test_pad():
    rows = [np.array([7, 8]), np.array([9]), np.array([], dtype=np.int32)]
    assert pad(rows).tolist() == [[7, 8], [9, PAD], [PAD, PAD]]
    assert pad(rows, first=BOS, last=EOS).tolist() == [[BOS, 7, 8, EOS], [BOS, 9, EOS, PAD], [BOS, EOS, PAD, PAD]]


def test_epochs_are_deterministic_and_differ():
    text = parallel(some_lengths(200))
    first = TokenBatches(text, 300, seed=5)
    assert as_lists(first.plan(0)) == as_lists(TokenBatches(text, 300, seed=5).plan(0))
    assert as_lists(first.plan(0)) != as_lists(first.plan(1))
    assert as_lists(first.plan(0)) != as_lists(TokenBatches(text, 300, seed=6).plan(0))


def test_an_epoch_continues_where_it_stopped():
    batches = TokenBatches(parallel(some_lengths(200)), 300, seed=5)
    whole = [batch.source.tolist() for batch in batches.epoch(2)]
    assert [batch.source.tolist() for batch in batches.epoch(2, start=7)] == whole[7:]
    assert list(batches.epoch(2, start=len(whole))) == []


def test_shuffled_batches_come_in_random_order_and_unshuffled_ones_by_length():
    text = parallel(some_lengths(300))
    longest = [text.lengths[indices].max() for indices in TokenBatches(text, 200).plan()]
    assert longest != sorted(longest)
    longest = [text.lengths[indices].max() for indices in TokenBatches(text, 200, shuffle=False).plan()]
    assert longest == sorted(longest)


def test_pairs_of_equal_length_are_shuffled_among_their_batches():
    batches = TokenBatches(parallel([(4, 4)] * 40), 50)
    together = [{frozenset(batch) for batch in as_lists(batches.plan(epoch))} for epoch in (0, 1)]
    assert not together[0] & together[1]


def test_little_is_padding():
    """Sorting by length is worth it: a random order pads about half of these batches."""
    rng = np.random.default_rng(0)
    target = rng.integers(1, 40, 5000)
    source = np.maximum(1, target + rng.integers(-3, 4, 5000))
    batches = list(TokenBatches(parallel(np.stack((source, target), 1)), 1000).epoch())
    for side in ("source", "target"):
        arrays = [getattr(batch, side) for batch in batches]
        assert sum(np.count_nonzero(array) for array in arrays) > 0.9 * sum(array.size for array in arrays)


def test_pairs_over_the_bound_are_left_out_and_counted_or_kept_alone():
    lengths = [(3, 3), (10, 2), (2, 10), (4, 4)]  # with <eos>, 11 ids on a side of the two in the middle
    batches = TokenBatches(parallel(lengths), 10)
    assert batches.skipped == 2
    assert np.sort(np.concatenate(batches.plan())).tolist() == [0, 3]
    batches = TokenBatches(parallel(lengths), 10, keep_long=True)
    assert batches.skipped == 0
    assert sorted(as_lists(batches.plan())) == [[0, 3], [1], [2]]


def test_nothing_fits():
    with pytest.raises(DataError, match=r"no pair fits into a batch of 5 tokens .*the shortest has 9"):
        TokenBatches(parallel([(8, 1), (1, 9)]), 5)


@pytest.mark.parametrize("options", [{"max_tokens": 0}, {"max_tokens": 9, "max_sentences": 0}, {"max_tokens": 9, "seed": -1}])
def test_impossible_options(options):
    with pytest.raises(UsageError, match="at least one token and one sentence"):
        TokenBatches(parallel([(1, 1)]), **options)
