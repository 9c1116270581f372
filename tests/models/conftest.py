"""Runs of the Transformer's command line on a model so small that a step takes milliseconds."""

import os

import pytest

from models.transformer import JOB

SMALL = [
    *("--encoder-layers", "1", "--decoder-layers", "1", "--dim", "16", "--ffn", "16", "--heads", "2", "--warmup", "4"),
    *("--lr", "0.01", "--max-tokens", "128", "--validate-every", "4", "--threads", "1", "--no-pictures"),
]
SIZES = ["--train-size", "60", "--valid-size", "6", "--test-size", "6"]


@pytest.fixture(scope="session", autouse=True)
def _without_fsync():
    """A power cut is not tested here, and waiting for the disk would take most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: None)
        yield


@pytest.fixture(scope="session")
def train():
    """``train(out, *options)``: a run on sequences to copy; returns the exit status."""
    return lambda out, *more: JOB.main(["train", "--data", "copy", "--out", str(out), *SMALL, *SIZES, *map(str, more)])


@pytest.fixture(scope="session")
def train_on():
    """``train_on(files, out, *options)``: the same on files, cut into words."""

    def run(files, out, *more):
        names = ["--train", *map(str, files), "--tokens", "words", "--out", str(out)]
        return JOB.main(["train", *names, *SMALL, "--average", "1", *map(str, more)])

    return run


@pytest.fixture(scope="session")
def trained(train, tmp_path_factory):
    """A run of eight steps."""
    path = tmp_path_factory.mktemp("runs") / "copy"
    assert train(path, "--steps", "8", "--keep", "3") == 0
    return path


@pytest.fixture
def one_sentence(capsys):
    """``one_sentence()``: the last line on standard error, which says why a command failed."""

    def last_line():
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert error.startswith("error: ") and "Traceback" not in error
        return error

    return last_line
