"""The Transformer's command line, given what it cannot use: one sentence, an exit status, and nothing lost."""

import errno
import io
import json
import os
import sys

import pytest

from minigrad.training import checkpoint
from minigrad.training.rundir import RunDirectory
from models.transformer import JOB


def test_a_used_directory_is_refused(train, trained, one_sentence):
    before = (trained / "config.json").read_bytes()
    assert train(trained, "--steps", "2") == 1
    assert "--resume" in one_sentence()
    assert (trained / "config.json").read_bytes() == before


@pytest.mark.parametrize(
    "content, said",
    [(None, "not"), (b"", "empty"), (b"\x00\x01\x02" * 50, "binary"), ("käse\n".encode("latin-1") * 9, "UTF-8")],
    ids=["missing", "empty", "binary", "latin-1"],
)
def test_unusable_files(train_on, tmp_path, one_sentence, content, said):
    (tmp_path / "good").write_text("a b c\n" * 9)
    if content is not None:
        (tmp_path / "bad").write_bytes(content)
    assert train_on((tmp_path / "bad", tmp_path / "good"), tmp_path / "run") == 1
    error = one_sentence()
    assert "bad" in error and said in error
    assert not (tmp_path / "run").exists()


def test_sides_of_different_length(train_on, tmp_path, one_sentence):
    (tmp_path / "a").write_text("x\n" * 5)
    (tmp_path / "b").write_text("x\n" * 7)
    assert train_on((tmp_path / "a", tmp_path / "b"), tmp_path / "run") == 1
    error = one_sentence()
    assert "5" in error and "7" in error and "6" in error


@pytest.mark.parametrize("tokens, line", [("words", "a " * 100_000), ("chars", "a" * 100_000)], ids=["words", "chars"])
def test_a_very_long_line_is_skipped_and_counted(train_on, tmp_path, capsys, tokens, line):
    (tmp_path / "x").write_text("".join(f"a{i} b c d\n" for i in range(30)) + line + "\n")
    (tmp_path / "v").write_text(f"a1 b\n{line}\n")
    files = [tmp_path / "x"] * 2
    more = ["--valid", tmp_path / "v", tmp_path / "v", "--tokens", tokens, "--max-tokens", 512, "--steps", 1]
    assert train_on(files, tmp_path / "run", *more) == 0
    printed = capsys.readouterr().out.splitlines()
    for kind in ("training", "validation", "the best checkpoint"):
        assert "skipped: 1 too long" in next(line for line in printed if line.startswith(kind))


def test_a_vocabulary_of_one_word(train_on, tmp_path, one_sentence):
    (tmp_path / "x").write_text("".join("a " * n + "a\n" for n in range(30)))
    assert train_on([tmp_path / "x"] * 2, tmp_path / "run") == 1
    assert "vocabulary" in one_sentence()
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "arguments, said",
    [
        ("--no-such-option", "unrecognized arguments: --no-such-option"),
        ("--preset enormous", "--preset: invalid choice: 'enormous'"),
        ("--data weather", "--data: invalid choice: 'weather'"),
        ("--steps 0", "--steps: must be 1 or more: got 0"),
        ("--steps many", "--steps: must be a whole number: got 'many'"),
        ("--seed -1", "--seed: must be 0 or more: got -1"),
        ("--warmup 0", "--warmup: must be 1 or more: got 0"),
        ("--encoder-layers -1", "--encoder-layers: must be 1 or more: got -1"),
        ("--lr nan", "--lr: must be a number above 0: got 'nan'"),
        ("--lr inf", "--lr: must be a number above 0: got 'inf'"),
        ("--clip -1", "--clip: must be a number from 0 up: got '-1'"),
        ("--dropout 1.5", "--dropout: must be a number from 0 to below 1: got '1.5'"),
        ("--attention-dropout -1", "--attention-dropout: must be a number from 0 to below 1: got '-1'"),
        ("--label-smoothing 2", "--label-smoothing: must be a number from 0 to below 1: got '2'"),
        ("--length-penalty inf", "--length-penalty: must be a finite number: got 'inf'"),
    ],
)
def test_options_outside_their_rule_exit_with_2(arguments, said, capsys):
    with pytest.raises(SystemExit) as stopped:
        JOB.main(["train", *arguments.split()])
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert said in error and len(error.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments, said",
    [
        ("--heads 3", "--heads divides --dim: got 3 and 16"),
        ("--positions learned --max-length 1024", "learned positions reach 1,023 tokens"),
        ("--average 3 --keep 2", "got --average 3 and --keep 2"),
        ("--max-tokens 2", "no pair fits into a batch of 2 tokens"),
        ("--threads 9999", "the number of threads"),
        ("--ffn 10000000000000", "out of memory"),
        ("--test a b", "--valid and --test files go with --train files"),
        ("--train a b", "give one of them"),
    ],
)
def test_options_that_do_not_go_together_leave_no_directory_behind(train, tmp_path, one_sentence, arguments, said):
    assert train(tmp_path / "run", *arguments.split()) == 1
    assert said in one_sentence()
    assert not (tmp_path / "run").exists()


def test_sizes_are_of_built_in_data(train_on, tmp_path, one_sentence):
    assert train_on(["a", "b"], tmp_path / "run", "--train-size", 9) == 1
    assert "--train-size goes with built-in data" in one_sentence()


def test_missing_test_files_are_missed_before_training(train_on, tmp_path, one_sentence):
    (tmp_path / "x").write_text("a b\nc d\ne f\n")
    assert train_on([tmp_path / "x"] * 2, tmp_path / "run", "--test", tmp_path / "gone", tmp_path / "x") == 1
    assert "gone does not exist" in one_sentence()
    assert not (tmp_path / "run").exists()


def test_an_unknown_column(train_on, tmp_path, one_sentence):
    (tmp_path / "x.tsv").write_text("a\tb\n" * 9)
    assert train_on([tmp_path / "x.tsv"], tmp_path / "run", "--columns", 0, 5) == 1
    assert "column" in one_sentence()


def test_an_output_that_cannot_be_written_is_refused_before_translating(trained, tmp_path, one_sentence):
    assert JOB.main(["test", "--run", str(trained), "--output", str(tmp_path / "nowhere" / "out.txt")]) == 1
    assert "--output" in one_sentence()


def test_two_processes_do_not_train_in_one_directory(trained, one_sentence):
    with RunDirectory.open(trained).claimed():
        assert JOB.main(["train", "--resume", str(trained), "--steps", "12"]) == 1
    assert "another process is training" in one_sentence()


def test_a_full_disk_keeps_the_earlier_checkpoint(train, tmp_path, monkeypatch, one_sentence):
    save = checkpoint.save

    def full(path, arrays, state):
        if state["progress"]["step"] == 8:
            monkeypatch.setattr(os, "replace", no_space)
        save(path, arrays, state)

    def no_space(*names):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(checkpoint, "save", full)
    assert train(tmp_path / "run", "--steps", "12") == 1
    assert "the disk is full" in one_sentence()
    assert checkpoint.load(tmp_path / "run" / "checkpoints" / "last.safetensors")[1]["progress"]["step"] == 4


def damaged(trained, tmp_path, damage):
    """A copy of a run with its best checkpoint changed."""
    run = tmp_path / "damaged"
    (run / "checkpoints").mkdir(parents=True)
    for name in ("config.json", "vocabulary.json"):
        (run / name).write_bytes((trained / name).read_bytes())
    (run / "checkpoints" / "best.safetensors").write_bytes(damage((trained / "checkpoints" / "best.safetensors").read_bytes()))
    return run


def test_a_truncated_checkpoint(trained, tmp_path, one_sentence):
    run = damaged(trained, tmp_path, lambda content: content[: len(content) // 2])
    assert JOB.main(["test", "--run", str(run)]) == 1
    assert "best.safetensors" in one_sentence()


def test_a_checkpoint_of_another_version(trained, tmp_path, one_sentence):
    run = damaged(trained, tmp_path, lambda content: content.replace(b"minigrad.checkpoint/1", b"minigrad.checkpoint/9"))
    assert JOB.main(["test", "--run", str(run)]) == 1
    assert "version 9" in one_sentence()


def test_a_checkpoint_of_another_shape(trained, tmp_path, one_sentence):
    run = damaged(trained, tmp_path, lambda content: content)
    config = json.loads((run / "config.json").read_text())
    config["options"]["dim"] = 32
    (run / "config.json").write_text(json.dumps(config))
    assert JOB.main(["test", "--run", str(run)]) == 1
    error = one_sentence()
    assert "does not fit this model" in error and len(error) < 1000


@pytest.mark.parametrize(
    "options, said",
    [({}, "'preset'"), ({"dim": "wide"}, "'dim'"), ({"preset": ["tiny"]}, "'preset'"), ({"heads": 0}, "--heads divides --dim")],
    ids=["none", "text for a number", "a list for a name", "no heads"],
)
def test_a_damaged_configuration(trained, tmp_path, one_sentence, options, said):
    run = damaged(trained, tmp_path, lambda content: content)
    config = json.loads((run / "config.json").read_text())
    config["options"] = {**config["options"], **options} if options else {}
    (run / "config.json").write_text(json.dumps(config))
    assert JOB.main(["test", "--run", str(run)]) == 1
    assert said in one_sentence()


@pytest.mark.parametrize("content", ["{}", '{"format"', "[]"])
def test_a_damaged_vocabulary(trained, tmp_path, one_sentence, content):
    run = damaged(trained, tmp_path, lambda content: content)
    (run / "vocabulary.json").write_text(content)
    assert JOB.main(["test", "--run", str(run)]) == 1
    assert "vocabulary.json" in one_sentence()


def test_a_checkpoint_that_is_not_there(trained, tmp_path, one_sentence):
    for name in ("nonsense", "²", "9"):
        assert JOB.main(["test", "--run", str(trained), "--checkpoint", name]) == 1
        assert "it holds best, last" in one_sentence()
    run = damaged(trained, tmp_path, lambda content: content)
    (run / "checkpoints" / "best.safetensors").unlink()
    assert JOB.main(["test", "--run", str(run)]) == 1
    assert "none yet" in one_sentence()
    assert JOB.main(["train", "--resume", str(run), "--steps", "20"]) == 1
    assert "no checkpoint yet" in one_sentence()


def test_a_missing_run(tmp_path, one_sentence):
    assert JOB.main(["test", "--run", str(tmp_path / "nowhere")]) == 1
    assert "nowhere" in one_sentence()


def test_input_that_is_not_utf_8_is_translated_up_to_there(trained, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a b\nk\xe4se\nc\n")))
    assert JOB.main(["translate", "--run", str(trained), "--beam", "1"]) == 1
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 1
    assert "line 2 holds the byte 0xe4" in printed.err


def test_a_line_of_100_000_tokens_is_not_translated(trained, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a " * 100_000 + b"\na b\n")))
    assert JOB.main(["translate", "--run", str(trained), "--beam", "1"]) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[0] == "" and len(printed.out.splitlines()) == 2
    assert "1 line of more than 4,000 tokens" in printed.err
