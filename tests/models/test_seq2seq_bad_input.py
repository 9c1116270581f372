"""The recurrent translator's command line, given what it cannot use; what translators share is tested with the Transformer."""

import io
import json
import sys

import pytest

from models.seq2seq import JOB

SMALL = [
    *("--dim", "8", "--encoder-hidden", "8", "--decoder-hidden", "12", "--max-tokens", "128", "--threads", "1"),
    "--no-pictures",
    *("--train-size", "60", "--valid-size", "6", "--test-size", "6"),
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "copy"
    assert JOB.main(["train", "--data", "copy", "--out", str(path), "--steps", "2", *SMALL]) == 0
    return path


@pytest.mark.parametrize(
    "arguments, said",
    [
        ("--cell rnn", "--cell: invalid choice: 'rnn'"),
        ("--attention multihead", "--attention: invalid choice: 'multihead'"),
        ("--layers 0", "--layers: must be 1 or more: got 0"),
        ("--encoder-hidden x", "--encoder-hidden: must be a whole number: got 'x'"),
        ("--scheduled-sampling 1", "--scheduled-sampling: must be a number from 0 to below 1: got '1'"),
        ("--start pad", "--start: invalid choice: 'pad'"),
        ("--data weather", "--data: invalid choice: 'weather'"),
        ("--batch-sentences -1", "--batch-sentences: must be 0 or more: got -1"),
        ("--heads 2", "unrecognized arguments: --heads 2"),
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
        ("--attention dot", "--attention dot needs --encoder-hidden times directions to be --decoder-hidden: got 8 x 2 and 12"),
        ("--bridge copy", "--bridge copy needs --encoder-hidden times directions to be --decoder-hidden: got 8 x 2 and 12"),
        ("--freeze-embeddings", "name them with --source-vectors"),
        ("--source-vectors a --target-vectors b", "--tie all has one matrix for both sides"),
        ("--source-vectors nowhere.txt", "nowhere.txt"),
        ("--holdout 5", "--holdout takes the test text out of --train files"),
        ("--replace-unknown --attention none", "--replace-unknown needs a model with attention"),
        ("--encoder-hidden 10000000000000", "out of memory"),
    ],
)
def test_options_that_do_not_go_together_leave_no_directory_behind(tmp_path, one_sentence, arguments, said):
    out = tmp_path / "run"
    assert JOB.main(["train", "--data", "copy", "--out", str(out), "--steps", "2", *SMALL, *arguments.split()]) == 1
    assert said in one_sentence()
    assert not out.exists()


def test_a_holdout_larger_than_the_text(tmp_path, one_sentence):
    (tmp_path / "x.tsv").write_text("a b\tc d\nb a\td c\n")
    names = ["train", "--train", str(tmp_path / "x.tsv"), "--tokens", "words", "--out", str(tmp_path / "run")]
    assert JOB.main([*names, "--holdout", "9"]) == 1
    assert "too few to hold 9 out" in one_sentence()


@pytest.mark.parametrize(
    "options, said",
    [
        ({"cell": 3}, "'cell'"),
        ({"start": "pad"}, "--start is one of bos, eos"),
        ({"bidirectional": "yes"}, "'bidirectional'"),
        ({"attention": "dot"}, "--attention dot needs"),
    ],
)
def test_a_damaged_configuration(trained, tmp_path, one_sentence, options, said):
    run = tmp_path / "damaged"
    (run / "checkpoints").mkdir(parents=True)
    for name in ("vocabulary.json", "checkpoints/best.safetensors"):
        (run / name).write_bytes((trained / name).read_bytes())
    config = json.loads((trained / "config.json").read_text())
    config["options"] = {**config["options"], **options}
    (run / "config.json").write_text(json.dumps(config))
    assert JOB.main(["test", "--run", str(run)]) == 1
    assert said in one_sentence()


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


def test_a_missing_run(tmp_path, one_sentence):
    for verb in (["translate"], ["test"], ["attention", "a b"]):
        assert JOB.main([*verb, "--run", str(tmp_path / "nowhere")]) == 1
        assert "nowhere" in one_sentence()
