from itertools import pairwise

import numpy as np
import pytest

from minigrad.errors import CheckpointError, UsageError
from minigrad.training import checkpoint
from minigrad.word2vec import trainer as module
from minigrad.word2vec.corpus import Corpus
from minigrad.word2vec.options import Options
from minigrad.word2vec.text import prepare
from minigrad.word2vec.trainer import Trainer
from minigrad.word2vec.vocabulary import Vocabulary

KINDS = [(model, loss) for model in ("skipgram", "cbow") for loss in ("ns", "hs")]
SMALL = {"size": 16, "window": 3, "sample": 0.0, "alpha": 0.05, "deterministic": True}


@pytest.fixture
def text(tmp_path, rng):
    """Sentences about one of two subjects, each with words of its own and words of both."""
    words = [[f"{subject}{k}" for k in range(8)] + ["the", "of"] for subject in "ab"]
    lines = [" ".join(words[i % 2][k] for k in rng.integers(0, 10, 9)) for i in range(400)]
    (tmp_path / "text").write_text("\n".join(lines) + "\n")
    return prepare(Corpus(tmp_path / "text"), min_count=1)


def stop_after(reports):
    def report(done):
        reports.append(done)
        if len(reports) == 7:
            raise KeyboardInterrupt

    return report


@pytest.mark.parametrize(("model", "loss"), KINDS)
def test_words_of_a_subject_come_close(text, model, loss):
    trainer = Trainer(text.vocabulary, Options(model=model, loss=loss, epochs=8, **SMALL))
    trainer.fit(text.numbers)
    unit = trainer.vectors / np.linalg.norm(trainer.vectors, axis=1, keepdims=True)
    of = {subject: unit[[i for i, word in enumerate(text.vocabulary.words) if word[0] == subject]] for subject in "ab"}
    within = (of["a"] @ of["a"].T).mean() + (of["b"] @ of["b"].T).mean()
    assert within / 2 > (of["a"] @ of["b"].T).mean() + 0.3
    assert len(trainer.losses) == 8
    assert trainer.losses[-1] < trainer.losses[0] - 0.05


def test_the_first_loss_is_that_of_chance(text):
    """Before it has learned anything, each of a pair's 6 scores is 0, and its loss log 2; fewer if the centre is drawn."""
    trainer = Trainer(text.vocabulary, Options(epochs=1, **{**SMALL, "alpha": 0.0, "min_alpha": 0.0}))
    trainer.fit(text.numbers)
    counts = text.vocabulary.counts
    drawn = counts**0.75 / (counts**0.75).sum()
    expected = 1 + 5 * (1 - (counts / counts.sum() * drawn).sum())
    assert trainer.losses[0] == pytest.approx(expected * np.log(2), rel=0.02)


def test_threads_learn_as_one(text):
    losses = []
    for threads in (1, None):
        trainer = Trainer(text.vocabulary, Options(epochs=4, **{**SMALL, "deterministic": False, "threads": threads}))
        trainer.fit(text.numbers)
        losses.append(trainer.losses[-1])
    assert losses[0] == pytest.approx(losses[1], rel=0.1)


@pytest.mark.parametrize(("model", "loss"), KINDS)
def test_a_stopped_run_goes_on_to_the_same_bits(text, model, loss, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 1000)
    options = Options(model=model, loss=loss, epochs=3, **SMALL)
    whole, stopped = Trainer(text.vocabulary, options), Trainer(text.vocabulary, options)
    whole.fit(text.numbers)
    with pytest.raises(KeyboardInterrupt):
        stopped.fit(text.numbers, report=stop_after([]))
    assert stopped.position
    checkpoint.save(tmp_path / "state", *stopped.state())
    resumed = Trainer.from_state(*checkpoint.load(tmp_path / "state"))
    resumed.fit(text.numbers)
    np.testing.assert_array_equal(resumed.vectors, whole.vectors)
    np.testing.assert_array_equal(resumed.outputs, whole.outputs)
    assert resumed.losses == whole.losses
    assert (stopped.vectors != whole.vectors).any()


def test_reports_say_how_far_it_is(text, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 1000)
    reports = []
    trainer = Trainer(text.vocabulary, Options(epochs=2, **SMALL))
    trainer.fit(text.numbers, report=reports.append)
    assert [report.end_of_epoch for report in reports].count(True) == 2
    last = reports[-1]
    assert (last.epoch, last.words, last.total) == (2, 2 * 3600, 2 * 3600)
    assert last.alpha == pytest.approx(trainer.options.min_alpha)
    assert last.eta == 0 < last.words_per_second
    assert last.epoch_loss == trainer.losses[-1]
    assert all(a.words < b.words and a.alpha > b.alpha for a, b in pairwise(reports))


def test_training_continues_on_further_text_with_new_words(text):
    first = Trainer(text.vocabulary, Options(epochs=2, **SMALL))
    first.fit(text.numbers)
    more = first.continued(Options(epochs=1, **SMALL), {"a0": 5, "new": 7})
    assert more.vocabulary.words == [*first.vocabulary.words, "new"]
    counts = dict(zip(more.vocabulary.words, more.vocabulary.counts.tolist()))
    assert counts["new"] == 7
    assert counts["a0"] == dict(zip(first.vocabulary.words, first.vocabulary.counts.tolist()))["a0"] + 5
    np.testing.assert_array_equal(more.vectors[:-1], first.vectors)
    assert more.vectors[-1].any() and not more.outputs[-1].any()
    before = more.vectors[:-1].copy()
    more.fit(text.numbers)
    assert (more.vectors[:-1] != before).any()
    same = first.continued(Options(epochs=1, **SMALL))
    assert same.vocabulary.words == first.vocabulary.words


def test_what_cannot_continue_says_why(text):
    tree = Trainer(text.vocabulary, Options(loss="hs", **SMALL))
    with pytest.raises(UsageError, match="hierarchical softmax cannot learn new words"):
        tree.continued(Options(loss="hs", **SMALL), {"new": 9})
    with pytest.raises(UsageError, match="continued training keeps loss hs: got ns"):
        tree.continued(Options(**SMALL))
    arrays, values = tree.state()
    with pytest.raises(CheckpointError, match="this is no state of word2vec training"):
        Trainer.from_state({}, values)
    with pytest.raises(CheckpointError, match="this is no state of word2vec training"):
        Trainer.from_state({**arrays, "inputs": arrays["inputs"][:, :3]}, values)


def test_more_negative_words_than_words():
    with pytest.raises(UsageError, match="got negative = 5 for 2 words; give more text"):
        Trainer(Vocabulary(["a", "b"], [1, 1]), Options())
    Trainer(Vocabulary(["a", "b"], [1, 1]), Options(negative=1))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"model": "glove"}, "model is one of skipgram, cbow: got 'glove'"),
        ({"loss": "full"}, "loss is one of ns, hs"),
        ({"size": 0}, "size is an integer from 1: got 0"),
        ({"window": 2.5}, "window is an integer from 1"),
        ({"negative": 0}, "negative is an integer from 1"),
        ({"threads": 0}, "threads is an integer from 1"),
        ({"seed": -1}, "seed is an integer from 0"),
        ({"sample": -1.0}, "sample is 0, to keep all words"),
        ({"sample": float("nan")}, "sample is 0, to keep all words"),
        ({"alpha": 0.1, "min_alpha": 0.2}, "falls from alpha to min_alpha"),
    ],
)
def test_bad_options_are_one_sentence(options, says):
    with pytest.raises(UsageError, match=says):
        Options(**options)


def test_rows_begin_at_cache_lines():
    trainer = Trainer(Vocabulary([f"w{k}" for k in range(9)], range(1, 10)), Options(size=20))
    assert trainer.vectors.shape == trainer.outputs.shape == (9, 20)
    assert trainer.vectors.ctypes.data % 64 == 0 == trainer.vectors.strides[0] % 64
    assert np.abs(trainer.vectors).max() <= 1 / 20
    assert trainer.vectors.std() == pytest.approx(1 / 20 / np.sqrt(3), rel=0.2)
