"""The command line of word2vec: every verb on a run of a second, and runs that stop and go on."""

import os
import random
import signal

import numpy as np
import pytest

from minigrad.formats import word2vec
from minigrad.training.rundir import RunDirectory
from minigrad.word2vec.vectors import WordVectors
from models.word2vec import main, parser, settle

SMALL = ["--size", "16", "--min-count", "1", "--threads", "1", "--seed", "3"]
PLACES = {"paris": "france", "rome": "italy", "madrid": "spain", "berlin": "germany"}


def write_text(path, sentences=400, seed=0):
    """Sentences in which a capital and its country have the same neighbours."""
    generator = random.Random(seed)
    lines = []
    for _ in range(sentences):
        city, country = generator.choice([*PLACES.items()])
        lines.append(f"{generator.choice((city, country))} has {city[0]}one {city[1:]}two and {city}three")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    return write_text(tmp_path_factory.mktemp("text") / "cities.txt")


@pytest.fixture(scope="module")
def trained(text, tmp_path_factory):
    """A run of a second."""
    path = tmp_path_factory.mktemp("runs") / "cities"
    assert main(["train", "--corpus", str(text), "--out", str(path), *SMALL]) == 0
    return path


def test_a_run_leaves_all_that_is_promised(trained):
    names = {"config.json", "vocabulary.txt", "checkpoints", "vectors.safetensors", "metrics.jsonl", "log.txt"}
    assert {path.name for path in trained.iterdir()} == names | {"loss.svg", "words.svg"}
    run = RunDirectory.open(trained)
    options = run.config()["options"]
    assert (options["size"], options["window"], options["alpha"], options["epochs"]) == (16, 5, 0.025, 25)
    lines = run.metrics()
    assert len(lines) == 25 and lines[-1]["epoch"] == 25 and lines[-1]["loss"] < 0.8 * lines[0]["loss"]
    assert "epoch 25 of 25: loss" in (trained / "log.txt").read_text()
    assert "words read" in (trained / "loss.svg").read_text()


def test_neighbours(trained, capsys):
    assert main(["neighbours", "--run", str(trained), "--top", "2", "paris", "rome"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line for line in printed if not line.startswith(" ")] == ["paris", "rome"] and len(printed) == 6
    assert float(printed[1].split()[0]) >= float(printed[2].split()[0])


def test_analogy(trained, capsys):
    assert main(["analogy", "--run", str(trained), "--top", "1", "paris", "france", "rome"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "paris is to france as rome is to"


def test_evaluate(trained, tmp_path, capsys):
    (tmp_path / "questions").write_text(": capitals\nparis france rome italy\nParis France Oslo Norway\n")
    (tmp_path / "pairs").write_text("paris\tfrance\t9\nrome\tspain\t2\nrome\titaly\t8\n")
    files = ["--analogies", str(tmp_path / "questions"), "--similarity", str(tmp_path / "pairs")]
    assert main(["evaluate", "--run", str(trained), *files]) == 0
    printed = capsys.readouterr().out
    assert "capitals" in printed and "50.00 %" in printed and "Spearman" in printed


def test_plot(trained, tmp_path, capsys):
    assert main(["plot", "--run", str(trained)]) == 0
    assert "three" in (trained / "words.svg").read_text()
    assert main(["plot", "--run", str(trained), "--out", str(tmp_path / "p.svg"), "paris", "rome", "spain"]) == 0
    assert (tmp_path / "p.svg").read_text().count("<circle") == 3


def test_export(trained, tmp_path):
    before = WordVectors.load(trained / "vectors.safetensors")
    for kind, name in (("text", "a.txt"), ("binary", "a.bin"), ("safetensors", "a.safetensors")):
        assert main(["export", "--run", str(trained), "--format", kind, "--out", str(tmp_path / name)]) == 0
        after = WordVectors.load(tmp_path / name)
        assert after.words == before.words
        np.testing.assert_allclose(after.vectors, before.vectors, rtol=1e-6, atol=1e-7)
    assert main(["export", "--run", str(trained), "--format", "projector", "--out", str(tmp_path / "p")]) == 0
    assert len((tmp_path / "p" / "metadata.tsv").read_text().splitlines()) == len(before) + 1


def test_vectors_of_any_program_can_be_asked(tmp_path, capsys):
    word2vec.write(tmp_path / "v.txt", ["a", "b", "c"], np.array([[1, 0], [0.9, 0.1], [0, 1]], np.float32))
    assert main(["neighbours", "--vectors", str(tmp_path / "v.txt"), "--top", "1", "a"]) == 0
    assert capsys.readouterr().out.split() == ["a", "0.9939", "b"]


def test_the_newest_run_is_taken(text, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert main(["train", "--corpus", str(text), *SMALL, "--iter", "1"]) == 0
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["word2vec-cities.txt", "word2vec-cities.txt-2"]
    os.utime(tmp_path / "runs" / "word2vec-cities.txt" / "config.json", (1, 1))
    capsys.readouterr()
    assert main(["plot"]) == 0
    assert "word2vec-cities.txt-2" in capsys.readouterr().out


def test_the_options_of_the_original_program(text, tmp_path):
    files = ["-train", str(text), "-output", str(tmp_path / "v.bin"), "-save-vocab", str(tmp_path / "words")]
    model = "-cbow 1 -size 8 -window 3 -negative 0 -hs 1"
    rest = "-sample 1e-4 -threads 20 -iter 2 -min-count 1 -alpha 0.05 -binary 1 -debug 2"
    assert main(["train", *files, *model.split(), *rest.split(), "--out", str(tmp_path / "run")]) == 0
    options = RunDirectory.open(tmp_path / "run").config()["options"]
    expected = {"model": "cbow", "loss": "hs", "size": 8, "window": 3, "sample": 1e-4, "epochs": 2, "alpha": 0.05}
    assert {name: options[name] for name in expected} == expected
    vectors = word2vec.read(tmp_path / "v.bin", binary=True)
    assert vectors.vectors.shape == (len(vectors.words), 8)
    assert (tmp_path / "words").read_text() == (tmp_path / "run" / "vocabulary.txt").read_text()
    assert vectors.words[0] == "has" and (tmp_path / "words").read_text().startswith("has 400\n")


def test_a_vocabulary_file_instead_of_counting(text, tmp_path):
    (tmp_path / "words").write_text("</s> 0\nparis 50\nfrance 40\nhas 9\nrare 1\n")
    more = ["--read-vocab", str(tmp_path / "words"), "--iter", "1", "--negative", "1", "--min-count", "2", "--sample", "0"]
    assert main(["train", "--corpus", str(text), "--out", str(tmp_path / "run"), "--size", "4", *more]) == 0
    assert WordVectors.load(tmp_path / "run" / "vectors.safetensors").words == ["paris", "france", "has"]


def test_deterministic_runs_are_the_same_to_the_bit(text, tmp_path):
    for name in ("a", "b"):
        assert main(["train", "--corpus", str(text), "--out", str(tmp_path / name), "--deterministic", "--iter", "2"]) == 0
    first, second = (WordVectors.load(tmp_path / name / "vectors.safetensors").vectors for name in ("a", "b"))
    np.testing.assert_array_equal(first, second)


def test_more_epochs_for_a_run_that_is_done(text, tmp_path, capsys):
    command = ["train", "--corpus", str(text), "--out", str(tmp_path / "run"), *SMALL, "--iter", "2", "--deterministic"]
    assert main(command) == 0
    assert main(["train", "--resume", str(tmp_path / "run")]) == 0
    assert "give more --iter" in capsys.readouterr().out
    run = RunDirectory.open(tmp_path / "run")
    run.record(10_000_000, epoch=9)  # by a process that was killed before its next checkpoint
    assert main(["train", "--resume", str(tmp_path / "run"), "--iter", "3"]) == 0
    assert [line["epoch"] for line in run.metrics()] == [1, 2, 3]


def test_an_interrupted_run_goes_on_to_the_same_vectors(tmp_path, monkeypatch, capsys):
    """One thread: interruption and resumption give the bits of a run in one go."""
    from minigrad.word2vec import trainer

    monkeypatch.setattr(trainer, "BLOCK", 2000)  # so that a run has many places to stop at
    text = write_text(tmp_path / "text", 4000)
    train = [
        "train",
        "--corpus",
        str(text),
        *SMALL,
        "--deterministic",
        "--iter",
        "3",
        "--phrases",
        "1",
        "--phrase-threshold",
        "2",
    ]
    assert main([*train, "--out", str(tmp_path / "whole")]) == 0
    monkeypatch.setattr(RunDirectory, "record", _interrupting(RunDirectory.record, at=7))
    assert main([*train, "--out", str(tmp_path / "parts")]) == 0
    assert "--resume" in capsys.readouterr().err
    assert len(RunDirectory.open(tmp_path / "parts").metrics()) == 7
    assert main(["train", "--resume", str(tmp_path / "parts")]) == 0
    whole, parts = (WordVectors.load(tmp_path / name / "vectors.safetensors") for name in ("whole", "parts"))
    assert whole.words == parts.words and any("_" in word for word in whole.words)
    np.testing.assert_array_equal(whole.vectors, parts.vectors)


def _interrupting(record, at):
    """``record``, that presses Ctrl-C when it is called for the ``at``-th time."""
    calls = []

    def pressing(self, step, **values):
        record(self, step, **values)
        calls.append(step)
        if len(calls) == at:
            os.kill(os.getpid(), signal.SIGINT)

    return pressing


def test_going_on_with_other_text(trained, tmp_path):
    more = tmp_path / "more.txt"
    more.write_text("oslo has oone slotwo and oslothree\nparis has pone aristwo and paristhree\n" * 50)
    assert (
        main(["train", "--start-from", str(trained), "--corpus", str(more), "--out", str(tmp_path / "run"), "--iter", "2"]) == 0
    )
    before = WordVectors.load(trained / "vectors.safetensors")
    after = WordVectors.load(tmp_path / "run" / "vectors.safetensors")
    assert after.words[: len(before)] == before.words and "oslo" in after and after.size == before.size
    np.testing.assert_array_equal(after["rome"], before["rome"])  # which the other text does not mention
    assert not np.array_equal(after["paris"], before["paris"])


def test_standard_input(text, tmp_path, monkeypatch):
    with open(text) as file:
        monkeypatch.setattr("sys.stdin", file)
        assert main(["train", "--corpus", "-", "--out", str(tmp_path / "run"), *SMALL, "--iter", "1"]) == 0
    assert "paris" in WordVectors.load(tmp_path / "run" / "vectors.safetensors")


def test_left_out_options_have_the_defaults_that_the_help_promises():
    options = settle(parser().parse_args(["train", "--corpus", "text"]))
    assert (options["model"], options["loss"], options["size"], options["min_count"]) == ("skipgram", "ns", 100, 5)
    built_in = settle(parser().parse_args(["train", "--alpha", "0.1"]))
    assert (built_in["min_count"], built_in["alpha"]) == (10, 0.1)
