"""The command line of word2vec, given what it cannot use: one sentence, exit status 2, and nothing lost."""

import errno
import gzip
import os
import tempfile

import pytest

from minigrad.training.rundir import RunDirectory
from minigrad.word2vec.vectors import WordVectors
from models.word2vec import main

ENOUGH = "one two three four five six seven eight\n" * 20


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of a moment."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "text").write_text(ENOUGH)
    assert main(["train", "--corpus", str(folder / "text"), "--out", str(folder / "run"), "--size", "4", "--iter", "1"]) == 0
    return folder / "run"


@pytest.fixture
def refused(one_sentence):
    """``refused(*arguments)``: the sentence with which a command fails."""

    def run(*arguments):
        assert main([str(argument) for argument in arguments]) == 2
        return one_sentence()

    return run


@pytest.mark.parametrize(
    "content, said",
    [
        (b"", "holds no words"),
        (b"  \n\n", "holds no words"),
        (b"alone " * 9, "two different words"),
        (b"each word comes but once", "min_count"),
        (b"one two " * 9, "negative"),
        (b"one\0two", "binary"),
        ("one two".encode("utf-16"), "UTF-16"),
        (gzip.compress(ENOUGH.encode())[:40], "whole gzip file"),
    ],
    ids=["empty", "blank", "one word", "rare words", "fewer words than negatives", "binary", "utf-16", "cut gzip"],
)
def test_text_that_cannot_be_used_leaves_no_directory_behind(refused, tmp_path, content, said):
    (tmp_path / "text").write_bytes(content)
    assert said in refused("train", "--corpus", tmp_path / "text", "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_folder_without_text_and_a_file_that_is_not_there(refused, tmp_path):
    (tmp_path / "folder").mkdir()
    assert "folder holds none" in refused("train", "--corpus", tmp_path / "folder")
    assert "does not exist" in refused("train", "--corpus", tmp_path / "gone")


@pytest.mark.parametrize(
    "arguments, said",
    [
        ("--negative 0", "--loss hs"),
        ("--start-from run", "give --corpus"),
        ("--read-vocab words --phrases 1", "give one of them"),
        ("--output nowhere/v.bin", "cannot be written"),
        ("--resume run --size 5", "leave out --size"),
        ("--resume nowhere", "no run directory nowhere"),
    ],
)
def test_options_that_do_not_go_together(refused, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    assert said in refused("train", *arguments.split())
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", ["--size 0", "--size many", "--alpha 0", "--model glove", "-cbow 2", "--sample -1"])
def test_values_outside_their_rule(arguments, one_sentence):
    with pytest.raises(SystemExit) as stopped:
        main(["train", *arguments.split()])
    assert stopped.value.code == 2
    assert arguments.split()[0] in one_sentence()


def test_a_used_directory_is_refused(refused, trained):
    before = (trained / "vectors.safetensors").read_bytes()
    assert "--resume" in refused("train", "--corpus", trained.parent / "text", "--out", trained)
    assert (trained / "vectors.safetensors").read_bytes() == before


def test_a_vocabulary_file_that_is_none(refused, trained, tmp_path):
    (tmp_path / "words").write_text("one 5\ntwo\n")
    said = refused("train", "--corpus", trained.parent / "text", "--read-vocab", tmp_path / "words")
    assert "'two' on line 2" in said


def test_text_that_has_changed(refused, tmp_path):
    (tmp_path / "text").write_text(ENOUGH)
    command = ["train", "--corpus", str(tmp_path / "text"), "--out", str(tmp_path / "run"), "--size", "4", "--iter", "1"]
    assert main(command) == 0
    (tmp_path / "text").write_text(ENOUGH + "one two\n")
    assert "the text has changed" in refused("train", "--resume", tmp_path / "run", "--iter", "2")


def test_a_run_that_was_stopped_before_it_saved(refused, trained, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_bytes((trained / "config.json").read_bytes())
    assert "no checkpoint yet" in refused("train", "--resume", tmp_path / "run")
    assert "no vectors yet" in refused("neighbours", "--run", tmp_path / "run", "one")


def test_two_processes_do_not_train_in_one_directory(refused, trained):
    with RunDirectory.open(trained).claimed():
        assert "another process is training" in refused("train", "--resume", trained, "--iter", "9")


def test_other_text_without_a_known_word_under_hierarchical_softmax(refused, tmp_path):
    (tmp_path / "text").write_text(ENOUGH)
    command = ["train", "--corpus", str(tmp_path / "text"), "--out", str(tmp_path / "run"), "--loss", "hs", "--size", "4"]
    assert main([*command, "--iter", "1"]) == 0
    (tmp_path / "other").write_text("uno dos tres\n" * 9)
    said = refused("train", "--start-from", tmp_path / "run", "--corpus", tmp_path / "other", "--out", tmp_path / "next")
    assert "no known word" in said


def test_a_full_disk_keeps_the_earlier_result(refused, tmp_path, monkeypatch):
    (tmp_path / "text").write_text(ENOUGH)
    command = ["train", "--corpus", str(tmp_path / "text"), "--out", str(tmp_path / "run"), "--size", "4", "--iter", "1"]
    assert main(command) == 0
    before = (tmp_path / "run" / "vectors.safetensors").read_bytes()
    _fill_disk(monkeypatch)
    assert "the disk is full" in refused("train", "--resume", tmp_path / "run", "--iter", "2")
    assert (tmp_path / "run" / "vectors.safetensors").read_bytes() == before
    monkeypatch.undo()
    assert main(["train", "--resume", str(tmp_path / "run"), "--iter", "2"]) == 0


def test_a_disk_that_is_full_for_a_while_does_not_end_training(tmp_path, monkeypatch, capsys):
    (tmp_path / "text").write_text(ENOUGH)
    record = RunDirectory.record

    def filling(self, step, **values):
        record(self, step, **values)
        if values["epoch"] == 1:
            _fill_disk(monkeypatch)
        elif values["epoch"] == 3:
            monkeypatch.undo()

    monkeypatch.setattr(RunDirectory, "record", filling)
    command = ["train", "--corpus", str(tmp_path / "text"), "--out", str(tmp_path / "run"), "--size", "4", "--iter", "3"]
    assert main([*command, "--save-every", "1e-9"]) == 0
    assert "the disk is full" in capsys.readouterr().err
    assert len(WordVectors.load(tmp_path / "run" / "vectors.safetensors")) == 8


def test_what_does_not_fit_on_the_disk_goes_to_another(refused, tmp_path, monkeypatch):
    (tmp_path / "text").write_text(ENOUGH)
    (tmp_path / "other").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "other"))
    _fill_disk(monkeypatch, "run/checkpoints")
    run = tmp_path / "run"
    command = ["train", "--corpus", tmp_path / "text", "--out", run, "--size", "4", "--iter", "1", "--deterministic"]
    said = refused(*command)
    assert "the disk is full" in said
    (folder,) = (tmp_path / "other").glob("minigrad-rescued-*")
    assert str(folder) in said
    monkeypatch.undo()
    rescued = WordVectors.load(folder / "vectors.safetensors")
    (folder / "last.safetensors").rename(run / "checkpoints" / "last.safetensors")
    assert main(["train", "--resume", str(run), "--iter", "2"]) == 0
    assert rescued.words == WordVectors.load(run / "vectors.safetensors").words


def _fill_disk(monkeypatch, where=""):
    replace = os.replace

    def no_space(old, new):
        if where in str(new):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(old, new)

    monkeypatch.setattr(os, "replace", no_space)


def test_unknown_words(refused, trained):
    assert "did you mean 'three'" in refused("neighbours", "--run", trained, "thre")
    assert "'nine' is not among" in refused("analogy", "--run", trained, "one", "two", "nine")
    assert "'nine' is not among" in refused("plot", "--run", trained, "one", "nine")


def test_questions_without_what_they_need(refused, trained, tmp_path):
    assert "give --analogies FILE" in refused("evaluate", "--run", trained)
    assert "does not exist" in refused("evaluate", "--run", trained, "--similarity", tmp_path / "gone")
    assert "give one of them" in refused("neighbours", "--run", trained, "--vectors", "v.bin", "one")
    assert "no file" in refused("neighbours", "--vectors", tmp_path / "gone.txt", "one")
    assert "two vectors" in refused("plot", "--run", trained, "one")
    assert "cannot write" in refused("export", "--run", trained, "--format", "text", "--out", tmp_path / "nowhere" / "v.txt")


def test_no_run_at_all(refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "train one first" in refused("neighbours", "one")
