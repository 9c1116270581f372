"""The Transformer's command line: what a run leaves behind, and what is printed."""

import io
import json
import os
import signal
import sys

import numpy as np
import pytest

import minigrad as mg
from minigrad.data import Tokenizer
from minigrad.training import checkpoint
from minigrad.training.loop import Trainer
from minigrad.training.rundir import RunDirectory
from models.transformer import JOB


@pytest.fixture
def typed(monkeypatch):
    """``typed(text)``: what standard input will hold."""
    return lambda text: monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


# -- training from the command line -------------------------------------------------------------------------------------


def test_a_run_leaves_everything_behind(trained):
    for name in ("config.json", "vocabulary.json", "log.txt", "metrics.jsonl", "loss.svg", "samples/step-00000008.txt"):
        assert (trained / name).stat().st_size > 0
    for name in ("best", "last", "step-00000004", "step-00000008"):
        arrays, _ = checkpoint.load(trained / "checkpoints" / f"{name}.safetensors")
        assert any(key.startswith("model.") for key in arrays)
    lines = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert {"loss", "lr", "grad_norm"} <= lines[0].keys()
    assert {"valid_loss", "perplexity", "bleu", "exact_match"} <= lines[-1].keys()


def test_a_resumed_run_ends_with_the_same_bits(train, tmp_path):
    assert train(tmp_path / "parts", "--steps", "8", "--dropout", "0.1", "--schedule", "constant") == 0
    assert train(tmp_path / "one", "--steps", "5", "--dropout", "0.1", "--schedule", "constant") == 0
    assert JOB.main(["train", "--resume", str(tmp_path / "one"), "--steps", "8"]) == 0
    expected, _ = checkpoint.load(tmp_path / "parts" / "checkpoints" / "last.safetensors")
    resumed, _ = checkpoint.load(tmp_path / "one" / "checkpoints" / "last.safetensors")
    assert expected.keys() == resumed.keys()
    assert all(np.array_equal(expected[name], resumed[name]) for name in expected)
    assert RunDirectory.open(tmp_path / "one").config()["options"]["steps"] == 8


def test_the_same_seed_gives_the_same_bits(train, tmp_path, trained):
    assert train(tmp_path / "again", "--steps", "8") == 0
    assert train(tmp_path / "other", "--steps", "8", "--seed", "2") == 0
    first, again, other = (
        checkpoint.load(path / "checkpoints" / "last.safetensors")[0]
        for path in (trained, tmp_path / "again", tmp_path / "other")
    )
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert any(not np.array_equal(first[name], other[name]) for name in first)


def test_accumulated_batches_make_one_update(train, tmp_path):
    assert train(tmp_path / "run", "--steps", "1", "--accumulate", "2") == 0
    _, state = checkpoint.load(tmp_path / "run" / "checkpoints" / "last.safetensors")
    assert (state["progress"]["step"], state["progress"]["batch"]) == (1, 2)


def test_ctrl_c_saves_and_validates(train, tmp_path, monkeypatch, capfd):
    update = Trainer.update

    def interrupted(self, batches):
        result = update(self, batches)
        if self.step == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return result

    monkeypatch.setattr(Trainer, "update", interrupted)
    assert train(tmp_path / "run", "--steps", "100") == 0
    _, state = checkpoint.load(tmp_path / "run" / "checkpoints" / "last.safetensors")
    assert state["progress"]["step"] == 3
    said = capfd.readouterr().err
    assert said.index("press it again to stop at once") < said.index("interrupted: saving and validating")
    assert RunDirectory.open(tmp_path / "run").metrics()[-1]["valid_loss"] > 0


def test_nan_stops_training_names_the_operation_and_keeps_the_checkpoint(train, tmp_path, monkeypatch, capsys):
    update = Trainer.update

    def poisoned(self, batches):
        if self.step == 5:
            with mg.no_grad():
                self.model.source_embedding.weight[4:] = np.inf
        return update(self, batches)

    monkeypatch.setattr(Trainer, "update", poisoned)
    assert train(tmp_path / "run", "--steps", "100") == 1
    message = capsys.readouterr().err
    assert "step 6" in message and "first here" in message and "saved at step 4" in message
    arrays, state = checkpoint.load(tmp_path / "run" / "checkpoints" / "last.safetensors")
    assert state["progress"]["step"] == 4
    assert all(np.isfinite(a).all() for a in arrays.values() if a.dtype.kind == "f")


# -- translate and test -------------------------------------------------------------------------------------------------


def test_translate_gives_a_line_for_a_line(trained, typed, capsys):
    words = Tokenizer.from_json(RunDirectory.open(trained).vocabulary()).vocabulary.words[:3]
    typed(" ".join(words) + "\n\nunheard of\n")
    assert JOB.main(["translate", "--run", str(trained), "--beam", "2", "--threads", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and lines[1] == ""


def test_n_best_gives_as_many_lines_for_every_line(trained, typed, capsys):
    typed("a b\n\nc\n")
    assert JOB.main(["translate", "--run", str(trained), "--beam", "3", "--n-best", "3", "--scores"]) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 9 and lines[3:6] == [["", ""]] * 3
    scores = [float(score) for score, _ in lines[:3]]
    assert scores == sorted(scores, reverse=True)


def test_interactive_takes_a_pipe_too(trained, typed, capsys):
    typed("a b\nc\n")
    assert JOB.main(["translate", "--run", str(trained), "--interactive"]) == 0
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 2 and "Ctrl-D" in printed.err


def test_test_prints_every_figure(trained, tmp_path, capsys):
    assert JOB.main(["test", "--run", str(trained), "--beam", "2", "--output", str(tmp_path / "out.txt")]) == 0
    out = capsys.readouterr().out
    for word in ("BLEU", "chrF", "exact match", "loss", "perplexity", "version:"):
        assert word in out
    assert len((tmp_path / "out.txt").read_text().splitlines()) == 6


def test_checkpoints_can_be_averaged(trained, capsys):
    assert JOB.main(["test", "--run", str(trained), "--beam", "1", "--average", "2"]) == 0
    averaged, _ = checkpoint.load(trained / "checkpoints" / "averaged.safetensors")
    parts = [checkpoint.load(trained / "checkpoints" / f"step-0000000{n}.safetensors")[0] for n in (4, 8)]
    for name, value in averaged.items():
        assert np.allclose(value, (parts[0][name].astype(np.float64) + parts[1][name]) / 2, atol=1e-7)


def test_checkpoints_are_kept_for_the_average_that_was_asked_for(train, tmp_path, capsys):
    assert train(tmp_path / "run", "--steps", "8", "--average", "2") == 0
    assert "the average of the last 2 checkpoints on the test split: 6 sentences" in capsys.readouterr().out


@pytest.fixture(scope="module")
def own(train_on, tmp_path_factory):
    """A run on files, 60 lines each, in lower case; a part is held out for validation, and there is no test."""
    path = tmp_path_factory.mktemp("own")
    lines = [f"A{i % 7} b{i % 5} C{i % 3}" for i in range(60)]
    for name in ("x.src", "x.tgt"):
        (path / name).write_text("\n".join(lines) + "\n")
    assert train_on((path / "x.src", path / "x.tgt"), path / "run", "--steps", 4, "--lowercase") == 0
    return path


def test_files_of_ones_own(own, capsys):
    files = [str(own / "x.src"), str(own / "x.tgt")]
    assert JOB.main(["test", "--run", str(own / "run"), "--test", *files, "--beam", "1"]) == 0
    printed = capsys.readouterr().out
    assert "60 sentences" in printed and "case:lc" in printed


def test_without_test_files_the_validation_split_is_measured(own, one_sentence, capsys):
    assert "on the validation split: 6 sentences" in (own / "run" / "log.txt").read_text()
    assert JOB.main(["test", "--run", str(own / "run"), "--beam", "1"]) == 0
    assert "on the validation split: 6 sentences" in capsys.readouterr().out
    assert JOB.main(["test", "--run", str(own / "run"), "--split", "test"]) == 1
    assert "no test files" in one_sentence()


def test_a_resumed_run_refuses_other_options_and_other_text(own, one_sentence):
    resume = ["train", "--resume", str(own / "run"), "--steps", "6"]
    assert JOB.main([*resume, "--lr", "3"]) == 1
    assert "leave out --lr" in one_sentence()
    source = own / "x.src"
    before = source.read_text()
    source.write_text(before.replace("A0 b0 C0", "A0 b0 C9"))
    assert JOB.main(resume) == 1
    assert "has changed since" in one_sentence()
    source.write_text(before)
    assert JOB.main(resume) == 0


def test_learned_positions_end_where_the_table_ends(train, tmp_path, typed, capsys):
    assert train(tmp_path / "run", "--positions", "learned", "--activation", "gelu", "--steps", "1") == 0
    typed("a " * 1023 + "\n" + "a " * 1024 + "\n")
    capsys.readouterr()
    assert JOB.main(["translate", "--run", str(tmp_path / "run"), "--beam", "1"]) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[1] == "" and "1 line of more than 1,023 tokens" in printed.err
