"""The language model and its command line, on a text whose every word follows from the one before."""

import json
import math
import os
import signal

import numpy as np
import pytest

import minigrad as mg
from minigrad.data import PAD, WordTokenizer
from minigrad.data.stream import Segments, Stream
from minigrad.errors import AnomalyError
from minigrad.tensor import raw
from minigrad.training import checkpoint
from minigrad.training.loop import Trainer
from minigrad.training.rundir import RunDirectory
from models import language_model
from models.language_model import LanguageModel, main, mean_loss, spelt, write

CIRCLE = "one two three four five six seven eight"
SMALL = [*("--layers", "1", "--size", "32", "--batch", "4", "--bptt", "6", "--dropout", "0")]
SMALL += ["--lr", "0.05", "--warmup", "2", "--threads", "1"]


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "circle.txt"
    path.write_text((CIRCLE + "\n") * 40)
    return path


@pytest.fixture(scope="module")
def train(text):
    return lambda out, *more: main(["train", "--train", str(text), "--out", str(out), *SMALL, *map(str, more)])


@pytest.fixture(scope="module")
def trained(train, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "circle"
    assert train(path, "--epochs", 6) == 0
    return path


def small_model(cell="lstm", **options):
    mg.manual_seed(0)
    return LanguageModel(14, cell, size=6, dropout=0.0, **options).eval()


def circle():
    return Stream([CIRCLE] * 5, WordTokenizer.train([CIRCLE]))


# -- the model ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_a_text_read_in_segments_is_predicted_as_one_read_at_once(cell):
    model, stream = small_model(cell), circle()
    (whole,) = Segments(stream, 2, 1000).epoch()
    expected = model.score(whole, None)[0].item()
    total = sum(model.loss(segment)[0].item() for segment in Segments(stream, 2, 7).epoch())
    assert total == pytest.approx(expected, rel=1e-5)
    (columns,) = Segments(stream, 10, 99).epoch()
    assert mean_loss(model, stream) == pytest.approx(model.score(columns, None)[0].item() / 45, rel=1e-5)


def test_the_loss_is_that_of_the_scores():
    model = small_model()
    (segment,) = Segments(circle(), 4, 1000).epoch()
    hidden, _ = model.read(segment.input, None)
    scores = raw(model.output(hidden)).astype(np.float64)
    chances = scores - np.log(np.exp(scores).sum(-1, keepdims=True))
    picked = np.take_along_axis(chances, segment.target[..., None], -1)[..., 0]
    assert model.loss(segment)[0].item() == pytest.approx(-picked[segment.target != PAD].sum(), rel=1e-5)
    assert (segment.target == PAD).sum() == 3


def test_gradients_end_with_the_segment_and_states_do_not():
    model = small_model()
    first, second = list(Segments(circle(), 3, 8).epoch())
    model.loss(first)
    assert model.carried is not None and all(np.any(s != 0) for s in model.carried)
    model.loss(second)[0].backward()
    grads = [np.array(raw(p.grad)) for p in model.parameters()]
    model.zero_grad()
    _, after = model.score(first, None)
    model.score(second, tuple(np.array(s) for s in after))[0].backward()
    for p, expected in zip(model.parameters(), grads):
        np.testing.assert_array_equal(raw(p.grad), expected)


def test_tied_weights_are_one_matrix():
    assert [len(list(small_model(untied=untied).parameters())) for untied in (False, True)] == [10, 11]


def test_words_are_drawn_by_their_chances_and_never_unknown():
    model = small_model()
    dict(model.named_parameters())["output.bias"].data[:4] = 5.0  # <pad>, <unk>, <bos>, <eos>
    first = [next(write(model, (5,), 1.0, np.random.default_rng(seed))) for seed in range(300)]
    scores, _ = model.advance(5, model.advance(3, None)[1])
    chances = np.exp(scores.astype(np.float64))
    chances[:3] = 0
    share = np.bincount(first, minlength=14) / 300
    assert abs(share - chances / chances.sum()).max() < 0.08 and not share[:3].any()
    assert next(write(model, (5,), 0.0, np.random.default_rng(0))) == 3


# -- the command line ---------------------------------------------------------------------------------------------------


def test_training_learns_what_follows(trained, capsys):
    metrics = RunDirectory.open(trained).metrics()
    losses = [line["valid_loss"] for line in metrics if "valid_loss" in line]
    assert len(losses) == 6 and losses[-1] < 0.1 < 0.5 < losses[0]
    assert (trained / "loss.svg").read_text().startswith("<svg")
    assert main(["sample", "--run", str(trained), "--prompt", "three four", "--words", "15", "--temperature", "0"]) == 0
    assert capsys.readouterr().out == "three four five six seven eight\none two three four five six seven eight\none\n"


def test_the_same_seed_writes_the_same(trained, capsys):
    written = []
    for seed in ("3", "3", "4"):
        assert main(["sample", "--run", str(trained), "--words", "30", "--temperature", "5", "--seed", seed]) == 0
        written.append(capsys.readouterr().out)
    assert written[0] == written[1] != written[2]


def test_an_unknown_word_in_the_prompt_is_said(trained, capsys):
    assert main(["sample", "--run", str(trained), "--prompt", "one zebra", "--words", "2"]) == 0
    assert capsys.readouterr().err == "not in the vocabulary, and read as <unk>: zebra\n"


def test_perplexity_of_the_runs_own_text_and_of_another(trained, text, tmp_path, capsys):
    assert main(["test", "--run", str(trained)]) == 0
    said = capsys.readouterr().out
    loss = checkpoint.load(trained / "checkpoints" / "best.safetensors")[1]["progress"]["best"][0]
    assert f"on the valid text: perplexity {math.exp(-loss):.2f}" in said and "36 words" in said and "words/s" in said
    (tmp_path / "other").write_text("eight seven six five\n")
    assert main(["test", "--run", str(trained), "--test", str(tmp_path / "other")]) == 0
    said = capsys.readouterr().out
    assert float(said.split("perplexity ")[1].split(",")[0]) > 20 and "5 words" in said


@pytest.mark.parametrize("stop", [3, 8])  # in the middle of an epoch, where states are carried on, and behind its end
def test_an_interrupted_run_goes_on_to_the_same_bits(train, tmp_path, monkeypatch, capfd, stop):
    options = "--epochs", 2, "--validate-every", 100, "--dropout", 0.1
    assert train(tmp_path / "whole", *options) == 0
    update = Trainer.update

    def interrupted(self, batches):
        result = update(self, batches)
        if self.step == stop - 1:
            os.kill(os.getpid(), signal.SIGINT)
        return result

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "update", interrupted)
        assert train(tmp_path / "cut", *options) == 0
    assert "interrupted: saving and validating" in capfd.readouterr().err
    assert main(["train", "--resume", str(tmp_path / "cut")]) == 0
    (whole, state), (cut, again) = (
        checkpoint.load(tmp_path / name / "checkpoints" / "last.safetensors") for name in ("whole", "cut")
    )
    assert state["progress"]["step"] == again["progress"]["step"] == 28
    for name, array in whole.items():
        np.testing.assert_array_equal(array, cut[name], err_msg=name)


def test_a_nan_leaves_the_carried_states_alone(trained, monkeypatch):
    stream = circle()
    model = small_model()
    segments = list(Segments(stream, 3, 4).epoch())
    model.loss(segments[0])
    before = model.carried
    trainer = Trainer.__new__(Trainer)
    trainer.model, trainer.schedule = model, language_model.Schedule(1)
    trainer.step = trainer.validated_at = 0
    trainer.optimizer = mg.optim.SGD(model.parameters(), 1.0)
    dict(model.named_parameters())["output.bias"].data[:] = np.nan
    with pytest.raises(AnomalyError):
        trainer.update(segments[1:2])
    assert model.carried is before


def test_spelling():
    tokenizer = WordTokenizer.train([CIRCLE])
    assert spelt(tokenizer, [*tokenizer.encode("one two"), 3, *tokenizer.encode("three"), 3]) == "one two\nthree"


@pytest.mark.parametrize(
    "arguments, said",
    [
        ("train --train nowhere.txt", "nowhere.txt does not exist"),
        ("train --valid nowhere.txt", "--valid and --test files go with --train files"),
        ("train --resume nowhere", "there is no run directory nowhere"),
        ("sample --run nowhere", "there is no run directory nowhere"),
        ("test --run RUN --split test", "this run was given no test files"),
        ("test --run RUN --split valid --test x", "--split is of the run's own text"),
        ("test --run RUN --checkpoint 7", "holds no checkpoint '7'"),
        ("train --resume RUN --size 8", "leave out --size"),
    ],
)
def test_bad_input_is_one_sentence(trained, tmp_path, monkeypatch, capsys, arguments, said):
    monkeypatch.chdir(tmp_path)
    assert main([str(trained) if word == "RUN" else word for word in arguments.split()]) == 1
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1 and error.startswith("error: ")


def test_a_changed_text_is_not_trained_on(train, text, tmp_path, capsys):
    changed = tmp_path / "mine.txt"
    changed.write_text(text.read_text())
    assert main(["train", "--train", str(changed), "--out", str(tmp_path / "run"), *SMALL, "--epochs", "1"]) == 0
    changed.write_text(text.read_text().replace("one", "two", 1))
    assert main(["train", "--resume", str(tmp_path / "run"), "--epochs", "2"]) == 1
    assert "the train text has changed" in capsys.readouterr().err


def test_a_run_of_another_model_is_refused(trained, tmp_path, capsys):
    config = json.loads((trained / "config.json").read_text())
    del config["options"]["cell"]
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    assert main(["sample", "--run", str(tmp_path / "run")]) == 1
    assert "describes no language_model" in capsys.readouterr().err
