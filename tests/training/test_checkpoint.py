"""Checkpoints: everything comes back as it was, and nothing that goes wrong costs an earlier one."""

import errno
import json
import math
import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minigrad.errors import CheckpointError, DTypeError, UsageError
from minigrad.formats import safetensors
from minigrad.training import checkpoint

ARRAYS = {
    "model.weight": np.arange(12, dtype=np.float32).reshape(3, 4),
    "model.bias": np.array([1e300, -0.0, np.nan]),
    "adam.step": np.array(17),
    "mask": np.array([True, False]),
}
STATE = {"step": 17, "best": 2.5}

leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
keys = st.text(max_size=3) | st.integers() | st.booleans() | st.none() | st.tuples(st.integers()) | st.just("$")
trees = st.recursive(
    leaves,
    lambda children: (
        st.lists(children, max_size=3) | st.lists(children, max_size=3).map(tuple) | st.dictionaries(keys, children, max_size=3)
    ),
    max_leaves=12,
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "last.safetensors"


def assert_arrays_equal(got, expected):
    assert got.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(got[name], array, strict=True)


def test_arrays_and_state_come_back(path):
    checkpoint.save(path, ARRAYS, STATE)
    arrays, state = checkpoint.load(path)
    assert_arrays_equal(arrays, ARRAYS)
    assert state == STATE


def test_arrays_of_any_layout(path):
    base = np.arange(12, dtype=np.float32).reshape(3, 4)
    arrays = {"transposed": base.T, "strided": base[:, ::2], "scalar": np.array(3.0), "empty": np.empty((0, 2))}
    checkpoint.save(path, arrays, {})
    assert_arrays_equal(checkpoint.load(path)[0], arrays)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(state=st.dictionaries(st.text(max_size=3), trees, max_size=3))
def test_any_tree_of_values_comes_back_with_its_types(path, state):
    checkpoint.save(path, {}, state)
    assert repr(checkpoint.load(path)[1]) == repr(state)  # repr tells (1,) from [1], 1 from True and -0.0 from 0.0


def test_not_finite_numbers_lone_surrogates_and_numpy_scalars(path):
    state = {
        "nan": math.nan,
        "best": math.inf,
        "file": "caf\udce9",
        "lr": np.float32(0.1),
        "n": np.int64(3),
        "ok": np.bool_(True),
    }
    checkpoint.save(path, {}, state)
    _, got = checkpoint.load(path)
    assert math.isnan(got.pop("nan"))
    assert got == {"best": math.inf, "file": "caf\udce9", "lr": float(np.float32(0.1)), "n": 3, "ok": True}
    assert [type(value) for value in got.values()] == [float, str, float, int, bool]


@pytest.mark.parametrize("kind", [np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64])
def test_random_generators_continue_where_they_were(path, kind):
    """Their states hold integers of 128 bits and arrays of 64."""
    generator = np.random.Generator(kind(3))
    generator.random(5)
    checkpoint.save(path, {}, {"rng": generator.bit_generator.state})
    restored = np.random.Generator(kind(0))
    restored.bit_generator.state = checkpoint.load(path)[1]["rng"]
    np.testing.assert_array_equal(restored.random(7), generator.random(7))


def test_an_optimizer_state_with_integer_keys_and_arrays(path):
    moments = {0: {"step": 3, "exp_avg": np.ones(2, np.float32)}, 1: {"step": 3, "exp_avg": np.zeros((2, 2), np.float32)}}
    checkpoint.save(path, ARRAYS, {"optimizer": {"state": moments, "param_groups": [{"betas": (0.9, 0.98), "params": [0, 1]}]}})
    arrays, state = checkpoint.load(path)
    assert_arrays_equal(arrays, ARRAYS)
    assert state["optimizer"]["param_groups"] == [{"betas": (0.9, 0.98), "params": [0, 1]}]
    assert list(state["optimizer"]["state"]) == [0, 1]
    for key, moment in moments.items():
        np.testing.assert_array_equal(state["optimizer"]["state"][key]["exp_avg"], moment["exp_avg"], strict=True)


def test_the_file_is_safetensors_with_json_inside(path):
    library = pytest.importorskip("safetensors")
    checkpoint.save(path, ARRAYS, STATE)
    with library.safe_open(path, framework="np") as file:
        assert set(file.keys()) == set(ARRAYS)
        assert file.metadata()["format"] == "minigrad.checkpoint/1"
        assert json.loads(file.metadata()["state"]) == STATE


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", 1j, lambda: None])
def test_what_cannot_be_stored_is_named_with_its_place(path, value):
    with pytest.raises(UsageError, match=rf"got {type(value).__name__} at state\['schedule'\]\[1\]; convert it first"):
        checkpoint.save(path, {}, {"schedule": [0, value]})
    assert not path.exists()


def test_arrays_of_objects_and_reserved_names_are_refused(path):
    with pytest.raises(DTypeError, match="object for 'x'"):
        checkpoint.save(path, {"x": np.array([object()])}, {})
    with pytest.raises(UsageError, match="reserved"):
        checkpoint.save(path, {"$state.0": np.zeros(1)}, {})


def test_a_full_disk_keeps_the_earlier_checkpoint(path, monkeypatch):
    checkpoint.save(path, ARRAYS, {"step": 1})

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match="the disk is full"):
        checkpoint.save(path, ARRAYS, {"step": 2})
    assert checkpoint.load(path)[1] == {"step": 1}
    assert os.listdir(path.parent) == [path.name]


def test_interruption_keeps_the_earlier_checkpoint(path, monkeypatch):
    checkpoint.save(path, ARRAYS, {"step": 1})

    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "ascontiguousarray", interrupt)  # called between the bytes of two arrays
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(path, ARRAYS, {"step": 2})
    monkeypatch.undo()
    assert checkpoint.load(path)[1] == {"step": 1}
    assert os.listdir(path.parent) == [path.name]


def test_a_truncated_checkpoint(path):
    checkpoint.save(path, ARRAYS, STATE)
    content = path.read_bytes()
    for length in (0, 1, 8, 9, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match=r"last\.safetensors .*truncated"):
            checkpoint.load(path)


def test_a_missing_or_foreign_file(path):
    with pytest.raises(CheckpointError, match=r"there is no file .*last"):
        checkpoint.load(path)
    path.write_bytes(b"\x80\x04\x95 a pickle of some size")
    with pytest.raises(CheckpointError, match="no safetensors file"):
        checkpoint.load(path)
    safetensors.write(path, ARRAYS, {"format": "pt"})
    with pytest.raises(CheckpointError, match="no checkpoint of minigrad; read bare weights"):
        checkpoint.load(path)


def test_another_version(path):
    safetensors.write(path, ARRAYS, {"format": "minigrad.checkpoint/2", "state": "{}"})
    for read in (checkpoint.load, lambda path: checkpoint.average([path])):
        with pytest.raises(CheckpointError, match="version 2, this minigrad reads version 1"):
            read(path)


@pytest.mark.parametrize(
    "state", [None, "{broken", "[" * 100_000, "3", '{"a":{"$":"array","name":"gone"}}', '{"a":{"$":"tuple"}}']
)
def test_a_damaged_state(path, state):
    safetensors.write(path, ARRAYS, {"format": "minigrad.checkpoint/1"} | ({} if state is None else {"state": state}))
    with pytest.raises(CheckpointError, match="its state cannot be understood"):
        checkpoint.load(path)


def test_required_names(path):
    checkpoint.save(path, ARRAYS, STATE)
    checkpoint.load(path, require=["step", "model.weight"])
    with pytest.raises(CheckpointError, match="lacks optimizer, vocabulary;"):
        checkpoint.load(path, require=["step", "optimizer", "vocabulary"])


def test_average_is_the_mean_in_double_precision(tmp_path):
    rng = np.random.default_rng(0)
    weights = [rng.standard_normal((4, 3)).astype(np.float32) * 10.0**i for i in range(5)]
    paths = [tmp_path / str(i) for i in range(5)]
    for i, (path, weight) in enumerate(zip(paths, weights)):
        arrays = {"model.w": weight, "model.count": np.array(i), "adam.m": np.zeros(i + 1)}
        checkpoint.save(path, arrays, {"rng": np.arange(i)})
    mean = checkpoint.average(paths, prefix="model.")
    expected = np.mean(np.stack(weights).astype(np.float64), axis=0).astype(np.float32)
    assert_arrays_equal(mean, {"model.w": expected, "model.count": np.array(4)})


def test_an_average_of_one_is_itself(path):
    arrays = ARRAYS | {"big": np.array([2**63 - 1])}  # float64 cannot hold this integer
    checkpoint.save(path, arrays, {"rng": np.arange(3)})
    assert_arrays_equal(checkpoint.average([path]), arrays)


def test_an_average_of_different_models_is_refused(tmp_path):
    first, reshaped, renamed = (tmp_path / name for name in ("first", "reshaped", "renamed"))
    checkpoint.save(first, {"w": np.zeros((2, 3))}, {})
    checkpoint.save(reshaped, {"w": np.zeros((1, 3))}, {})
    checkpoint.save(renamed, {"w": np.zeros((2, 3)), "b": np.zeros(3)}, {})
    with pytest.raises(CheckpointError, match=r"'w' is \(2, 3\) in .*first and \(1, 3\) in .*reshaped"):
        checkpoint.average([first, reshaped])
    with pytest.raises(CheckpointError, match=r"renamed has 'b' and .*first has not"):
        checkpoint.average([first, renamed])
    with pytest.raises(UsageError, match="at least one checkpoint"):
        checkpoint.average([])
    with pytest.raises(UsageError, match=r"no array in .*first begins with 'model\.'"):
        checkpoint.average([first], prefix="model.")
