"""A run's directory: nothing of an earlier run is ever overwritten, and every file can be read by other programs."""

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest

from minigrad.errors import CheckpointError, UsageError
from minigrad.training.rundir import RunDirectory


@pytest.fixture
def run(tmp_path):
    run = RunDirectory.create(tmp_path / "run")
    run.write_config({"preset": "tiny"}, seed=1, command=["train"])
    return run


def test_create_makes_the_directory_and_its_parents(tmp_path):
    run = RunDirectory.create(tmp_path / "deep" / "run")
    assert run.path.is_dir()
    assert RunDirectory.create(run.path).path == run.path, "an empty directory is as good as none"


def test_an_earlier_run_is_never_overwritten(run):
    with pytest.raises(CheckpointError, match=r"run already holds a run; continue it with --resume, or give another --out"):
        RunDirectory.create(run.path)


def test_other_files_are_never_mixed_with_a_run(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(CheckpointError, match=r"holds 'thesis.tex'; give another --out"):
        RunDirectory.create(tmp_path)
    with pytest.raises(CheckpointError, match=r"thesis.tex is a file; give another --out"):
        RunDirectory.create(tmp_path / "thesis.tex")
    with pytest.raises(CheckpointError, match=r"thesis.tex is a file; give another --out"):
        RunDirectory.create(tmp_path / "thesis.tex" / "run")


def test_a_directory_without_permission(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere, so permissions cannot be taken
    with pytest.raises(CheckpointError, match="cannot be written: permission denied"):
        RunDirectory.create(tmp_path)


def test_asking_whether_a_run_can_be_made_makes_nothing(tmp_path, run):
    RunDirectory.check_new(tmp_path / "deep" / "run")
    RunDirectory.check_new(root=tmp_path / "runs")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]
    with pytest.raises(CheckpointError, match="already holds a run"):
        RunDirectory.check_new(run.path)


def test_one_process_at_a_time_trains_in_a_directory(run):
    held = sorted(run.path.iterdir())
    with run.claimed():
        with pytest.raises(CheckpointError, match="another process is training in"), run.claimed():
            pass
        assert sorted(run.path.iterdir()) == held
    with run.claimed():  # free again
        pass


def test_a_file_system_without_locks_claims_nothing(run, monkeypatch):
    fcntl = pytest.importorskip("fcntl")

    def refuse(file, operation):
        raise OSError("no locks here")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with run.claimed(), run.claimed():
        pass


def test_other_options_leave_the_rest_of_the_configuration(run):
    before = run.config()
    run.write_options({"preset": "small"})
    assert run.config() == {**before, "options": {"preset": "small"}}


def test_names_are_numbered_when_no_path_is_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = [RunDirectory.create(job="transformer", data="dates").path for _ in range(3)]
    assert paths == [Path("runs/transformer-dates"), Path("runs/transformer-dates-2"), Path("runs/transformer-dates-3")]
    odd = RunDirectory.create(job="rnn", data="../data/train en:de.tsv", root=tmp_path / "elsewhere").path
    assert odd == tmp_path / "elsewhere" / "rnn-train-en-de.tsv"


def test_the_place_of_all_runs_is_a_file(tmp_path):
    (tmp_path / "runs").touch()
    with pytest.raises(CheckpointError, match="runs is a file; give another --out"):
        RunDirectory.create(root=tmp_path / "runs")


def test_open_says_what_is_wrong(tmp_path, run):
    assert RunDirectory.open(run.path).config()["options"] == {"preset": "tiny"}
    with pytest.raises(CheckpointError, match=r"there is no run directory .*missing"):
        RunDirectory.open(tmp_path / "missing")
    with pytest.raises(CheckpointError, match=r"holds no config.json"):
        RunDirectory.open(tmp_path)
    with pytest.raises(CheckpointError, match=r"config.json is a file, no run directory"):
        RunDirectory.open(run.path / "config.json")
    for content, message in (
        (b'{"format": "minigrad', "cannot be read as JSON"),
        (b"\xff\xfe", "cannot be read as JSON"),
        (b'{"format": "minigrad.run/2"}', "has the format 'minigrad.run/2', this minigrad reads 'minigrad.run/1'"),
        (b"[]", "has the format None"),
    ):
        (run.path / "config.json").write_bytes(content)
        with pytest.raises(CheckpointError, match=message):
            RunDirectory.open(run.path)


def test_config_says_how_to_make_the_run_again(run):
    options = {"train": Path("a.en"), "lr": np.float32(0.5), "betas": (0.9, 0.98), "clip": math.inf, "name": "für caf\udce9"}
    run.write_config(options, seed=3, command=["train", "--seed", "3"])
    config = run.config()
    expected = {"train": "a.en", "lr": 0.5, "betas": [0.9, 0.98], "clip": None, "name": "für caf\udce9"}
    assert config["options"] == expected
    assert (config["seed"], config["command"]) == (3, ["train", "--seed", "3"])
    assert config["versions"].keys() == {"python", "minigrad", "numpy", "numba"}
    assert config["versions"]["numpy"] == np.__version__


def test_vocabulary(run):
    with pytest.raises(CheckpointError, match=r"lacks .*vocabulary\.json"):
        run.vocabulary()
    run.write_vocabulary({"words": ["<pad>", "März", "日"]})
    assert run.vocabulary() == {"words": ["<pad>", "März", "日"]}
    assert "März" in (run.path / "vocabulary.json").read_text(encoding="utf-8")


def test_checkpoints_are_listed_in_order_and_pruned(run):
    for name in (9000, 10, 800, "best", "last"):
        run.checkpoint(name).touch()
    assert [path.name for path in run.checkpoints()] == [f"step-{n:08d}.safetensors" for n in (10, 800, 9000)]
    run.prune(keep=2)
    assert [path.name for path in run.checkpoints()] == ["step-00000800.safetensors", "step-00009000.safetensors"]
    for enough in (3, 5):
        run.prune(keep=enough)
        assert len(run.checkpoints()) == 2
    run.prune(keep=0)
    assert run.checkpoints() == []
    assert run.checkpoint("best").exists() and run.checkpoint("last").exists()
    with pytest.raises(UsageError, match="0 or more"):
        run.prune(keep=-1)


def strict(text):
    """Parse as a parser that knows nothing but the JSON standard."""

    def refuse(constant):
        raise ValueError(constant)

    return json.loads(text, parse_constant=refuse)


def test_metrics_are_strict_json_lines_on_disk_at_once(run):
    assert run.metrics() == []
    run.record(1, loss=np.float32(1.5), lr=1e-3)
    run.record(np.int64(2), loss=math.nan, norm=math.inf, note="für")
    expected = [{"step": 1, "loss": 1.5, "lr": 1e-3}, {"step": 2, "loss": None, "norm": None, "note": "für"}]
    assert [strict(line) for line in (run.path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()] == expected
    assert run.metrics() == expected


def test_torn_lines_are_left_out(run):
    run.record(1, loss=1.0)
    with open(run.path / "metrics.jsonl", "ab") as file:
        file.write(b'[1]\n{"loss": 3}\n{"step": 2, "lo')
    assert run.metrics() == [{"step": 1, "loss": 1.0}]


def test_rewind_makes_the_steps_of_a_resumed_run_ascend(run):
    run.rewind(0)  # nothing recorded yet
    for step in range(1, 8):
        run.record(step, loss=1.0 / step)
    with open(run.path / "metrics.jsonl", "ab") as file:
        file.write(b'{"step": 8, "lo')  # killed in the middle of a line
    run.rewind(5)
    run.record(6, loss=0.1)
    assert [line["step"] for line in run.metrics()] == [1, 2, 3, 4, 5, 6]


def test_log_carries_the_time(run):
    run.log("epoch 1\nepoch 2")
    run.log("")
    lines = (run.path / "log.txt").read_text().splitlines()
    assert [line[25:].strip() for line in lines] == ["epoch 1", "epoch 2", ""]


def test_samples(run):
    run.write_samples(40, [("a cat", "eine Katze", "ein Kater")])
    text = (run.path / "samples" / "step-00000040.txt").read_text(encoding="utf-8")
    assert text == "source      a cat\nreference   eine Katze\nhypothesis  ein Kater\n"


def test_curves_are_drawn_from_the_metrics(run):
    assert run.draw_curves() == run.path / "loss.svg"
    assert "nothing recorded yet" in (run.path / "loss.svg").read_text()
    run.record(1, loss=2.0)
    assert "training loss" in run.draw_curves(log_scale=True).read_text()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs the device that is always full")
@pytest.mark.parametrize(("name", "act"), [("log.txt", lambda run: run.log("x")), ("metrics.jsonl", lambda run: run.record(1))])
def test_appending_to_a_full_disk(run, name, act):
    (run.path / name).symlink_to("/dev/full")
    with pytest.raises(CheckpointError, match=f"the disk is full: .*{name}"):
        act(run)


def test_writing_where_the_directory_is_gone(run):
    (run.path / "checkpoints").touch()
    with pytest.raises(CheckpointError, match=r"cannot write .*checkpoints"):
        run.checkpoint("best")
    gone = RunDirectory(run.path / "gone")
    for act in (
        lambda: gone.log("x"),
        lambda: gone.record(1),
        lambda: gone.write_config({}),
        lambda: gone.write_samples(1, []),
    ):
        with pytest.raises(CheckpointError, match=r"cannot write .*gone"):
            act()
