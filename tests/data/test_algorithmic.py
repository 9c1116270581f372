"""Copy and reverse: the right answers, and no source in two splits."""

import itertools

import pytest

from minigrad.data import SPLITS, TASKS, algorithmic, builtin_task
from minigrad.errors import UsageError


@pytest.mark.parametrize("task, step", [(algorithmic.copy, 1), (algorithmic.reverse, -1)])
def test_answers(task, step):
    pairs = task("train", 500, lengths=(2, 9))
    assert len(pairs) == 500
    assert all(target.split() == source.split()[::step] for source, target in pairs)
    assert {len(source.split()) for source in pairs.sources} == set(range(2, 10))


@pytest.mark.parametrize("name", TASKS)
def test_splits_are_disjoint_and_seeded(name):
    generate = builtin_task(name).generate
    sources = {split: {source for seed in (0, 1) for source in generate(split, 1000, seed).sources} for split in SPLITS}
    assert not any(sources[a] & sources[b] for a, b in itertools.combinations(SPLITS, 2))
    assert list(generate("test", 20, 7)) == list(generate("test", 20, 7))
    assert list(generate("test", 20, 7)) != list(generate("test", 20, 8))


@pytest.mark.parametrize("lengths", [(1, 5), (6, 5)])
def test_impossible_lengths(lengths):
    with pytest.raises(UsageError, match="got lengths"):
        algorithmic.reverse("train", 5, lengths=lengths)


def test_unknown_split():
    with pytest.raises(UsageError, match="got 'dev'"):
        algorithmic.copy("dev", 5)


def test_unknown_task():
    with pytest.raises(UsageError, match="the built-in data are dates, phrases, reverse, copy: got 'poems'"):
        builtin_task("poems")
