"""Translation as a job, on a model that knows the answer: it copies its source."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.data import EOS, PAD, ParallelText, Skipped, TextPairs, train_tokenizer
from minigrad.errors import CheckpointError, DataError, UsageError
from minigrad.training import checkpoint
from minigrad.training.rundir import RunDirectory, find_run
from minigrad.training.translation import (
    Decoding,
    Validation,
    average_checkpoints,
    best_texts,
    hold_out,
    load_checkpoint,
    mean_loss,
    training_text,
    translate,
)
from minigrad.training.translation import test as measure

TEXTS = ["one two", "three", "", "two two two one", "three one two three two"]


@pytest.fixture
def tokenizer():
    return train_tokenizer("words", TEXTS)


class Copying:
    """Writes its source; its loss is 0.5 nats for each target token."""

    def begin(self, source):
        return Sources(source, 0)

    def advance(self, state, tokens):
        scores = np.full((len(tokens), 9), -5.0, np.float32)
        row = state.source[:, state.time] if state.time < state.source.shape[1] else np.full(len(tokens), EOS)
        scores[np.arange(len(tokens)), np.where(row == PAD, EOS, row)] = 5.0
        state.time += 1
        return scores

    def loss(self, batch, label_smoothing=None):
        count = batch.target_tokens
        return mg.tensor(0.5 * count), count


class Sources:
    def __init__(self, source, time):
        self.source, self.time = source, time

    def select(self, rows):
        self.source = self.source[rows]


@pytest.mark.parametrize("how", [Decoding(beam=1, batch=2), Decoding(beam=3, batch=2), Decoding(beam=3, batch=64)])
def test_translations_come_in_the_order_of_the_texts(tokenizer, how):
    assert best_texts(tokenizer, translate(Copying(), tokenizer, TEXTS, how)) == TEXTS


def test_n_best(tokenizer):
    found = translate(Copying(), tokenizer, TEXTS, Decoding(beam=4, n_best=3))
    assert [len(hypotheses) for hypotheses in found] == [3, 3, 0, 3, 3]


def test_long_sentences_share_a_batch_with_few_others(tokenizer):
    shapes = []

    class Counting(Copying):
        def begin(self, source):
            shapes.append(source.shape)
            return super().begin(source)

    texts = ["one"] * 5 + ["two " * 300] * 3
    assert [len(found) for found in translate(Counting(), tokenizer, texts, Decoding(beam=1, batch=4))] == [1] * 8
    assert [rows for rows, _ in shapes] == [4, 1, 1, 1, 1]
    assert max(rows * time for rows, time in shapes) <= 4 * 128


def test_what_a_model_cannot_hold_is_not_translated(tokenizer):
    model = Copying()
    model.longest = 3
    found = translate(model, tokenizer, TEXTS, Decoding(beam=2))
    assert best_texts(tokenizer, found) == ["one two", "three", "", "", ""]
    metrics, hypotheses = measure(model, tokenizer, pairs_of(t for t in TEXTS if t), Decoding(), max_tokens=8, tokenize="none")
    assert metrics["sentences"] == len(hypotheses) == 2 and metrics["skipped"].long == 2


def test_lower_case_models_are_measured_without_regard_to_case():
    tokenizer = train_tokenizer("words", TEXTS, lowercase=True)
    pairs = pairs_of(["One Two three two", "THREE"])
    metrics, _ = measure(Copying(), tokenizer, pairs, Decoding(beam=1), max_tokens=8, tokenize="none")
    assert metrics["exact_match"] == 100 and metrics["bleu"].score == pytest.approx(100)
    assert "case:lc" in metrics["bleu"].signature
    text = ParallelText.encode(pairs, tokenizer)
    assert Validation(Copying(), tokenizer, text, max_tokens=8, limit=3, tokenize="none")()[0]["exact_match"] == 100


def pairs_of(texts):
    texts = list(texts)
    return TextPairs(texts, list(texts), Skipped())


def test_the_loss_is_a_mean_over_tokens(tokenizer):
    text = ParallelText.encode(pairs_of(t for t in TEXTS if t), tokenizer)
    assert mean_loss(Copying(), text, max_tokens=8) == pytest.approx(0.5)


def test_validation_measures_and_shows(tokenizer):
    text = ParallelText.encode(pairs_of(t for t in TEXTS if t), tokenizer)
    metrics, samples = Validation(Copying(), tokenizer, text, max_tokens=8, limit=3, tokenize="none", show=2)()
    assert metrics["exact_match"] == 100
    assert metrics["perplexity"] == pytest.approx(np.exp(0.5))
    assert samples == [("one two", "one two", "one two"), ("three", "three", "three")]


def test_nothing_held_out_is_trained_on():
    pairs = TextPairs([f"s{i % 20}" for i in range(60)], [f"t{i}" for i in range(60)], Skipped(1, 2))
    train, valid = hold_out(pairs, 5, seed=3)
    assert len(set(valid.sources)) == 5 and len(train) + len(valid) == 60
    assert not set(train.sources) & set(valid.sources)
    assert set(train) | set(valid) == set(pairs)
    assert hold_out(pairs, 5, seed=3)[1].sources == valid.sources
    assert hold_out(pairs, 5, seed=4)[1].sources != valid.sources
    with pytest.raises(DataError, match="20 different"):
        hold_out(pairs, 20, seed=0)


def test_validation_text_is_held_out_of_the_training_files_unless_it_has_its_own(tmp_path):
    (tmp_path / "t.tsv").write_text("".join(f"s{i}\tt{i}\n" for i in range(50)))
    (tmp_path / "v.tsv").write_text("x\ty\n")
    options = {"train_files": [tmp_path / "t.tsv"], "valid_files": None, "columns": [0, 1], "seed": 1}
    training, validation = training_text(options)
    assert (len(training), len(validation)) == (45, 5)
    training, validation = training_text({**options, "valid_files": [tmp_path / "v.tsv"]})
    assert (len(training), validation.sources) == (50, ["x"])


@pytest.fixture
def run(tmp_path):
    run = RunDirectory.create(tmp_path / "run")
    run.write_config({})
    return run


def test_averaging(run):
    model = mg.nn.Linear(2, 2)
    with pytest.raises(CheckpointError, match="--keep"):
        average_checkpoints(run, model, 3)
    for step, value in ((1, 9.0), (2, 1.0), (3, 2.0)):
        arrays = {"model.weight": np.full((2, 2), value, np.float32), "model.bias": np.zeros(2, np.float32)}
        checkpoint.save(run.checkpoint(step), arrays, {})
    assert average_checkpoints(run, model, 2) == 2
    assert (model.weight.numpy() == 1.5).all()
    load_checkpoint(run, "1", model)
    assert (model.weight.numpy() == 9).all()
    load_checkpoint(run, str(run.checkpoint(2)), model)
    assert (model.weight.numpy() == 1).all()
    load_checkpoint(run, "averaged", model)
    assert (model.weight.numpy() == 1.5).all()
    with pytest.raises(UsageError):
        average_checkpoints(run, model, 0)
    with pytest.raises(CheckpointError, match="it holds averaged, 1, 2, 3"):
        load_checkpoint(run, "best", model)


def test_the_newest_run_is_found(tmp_path, monkeypatch):
    import os

    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="--run"):
        find_run(None, "toy")
    for name, moment in (("toy-a", 100), ("toy-b", 300), ("toy-c", 200), ("other-d", 400)):
        RunDirectory.create(f"runs/{name}").write_config({})
        os.utime(f"runs/{name}/config.json", (moment, moment))
    assert find_run(None, "toy").path.name == "toy-b"
    assert find_run("runs/toy-a", "toy").path.name == "toy-a"
