"""The safetensors format against the library that defines it, and against files that are damaged in every way."""

import json
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minigrad.errors import CheckpointError, DTypeError, UsageError
from minigrad.formats import safetensors

DTYPES = ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?"]

any_arrays = st.dictionaries(
    st.text(st.characters(codec="utf-8"), max_size=8).filter(lambda name: name != "__metadata__"),
    st.sampled_from(DTYPES).flatmap(lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0))),
    max_size=4,
)
in_one_directory = settings(
    max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def assert_equal(got, expected):
    assert got.keys() == expected.keys()
    for name, array in expected.items():
        assert got[name].dtype == array.dtype.newbyteorder("=")
        np.testing.assert_array_equal(got[name], array, strict=array.dtype.isnative)


def raw(path, header, data=b""):
    """Write a file with this header, which may be wrong on purpose."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


@in_one_directory
@given(arrays=any_arrays)
def test_round_trip(tmp_path, arrays):
    safetensors.write(tmp_path / "a", arrays, {"format": "test", "Wörter": "ja"})
    got, metadata = safetensors.read(tmp_path / "a")
    assert_equal(got, arrays)
    assert list(got) == list(arrays)
    assert metadata == {"format": "test", "Wörter": "ja"}


@in_one_directory
@given(arrays=any_arrays)
def test_the_reference_library_reads_what_we_write(tmp_path, arrays):
    library = pytest.importorskip("safetensors.numpy")
    safetensors.write(tmp_path / "a", arrays, {"format": "test"})
    assert_equal(library.load_file(tmp_path / "a"), arrays)


@in_one_directory
@given(arrays=any_arrays)
def test_we_read_what_the_reference_library_writes(tmp_path, arrays):
    library = pytest.importorskip("safetensors.numpy")
    library.save_file(arrays, tmp_path / "a", {"format": "test"})
    got, metadata = safetensors.read(tmp_path / "a")
    assert_equal(got, arrays)
    assert metadata == {"format": "test"}


def test_any_layout_is_stored_by_its_values(tmp_path):
    base = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    arrays = {
        "transposed": base.T,
        "every second": base[:, ::2],
        "backwards": base[..., ::-1],
        "fortran": np.asfortranarray(base),
        "broadcast": np.broadcast_to(base[0, 0], (5, 4)),
        "unaligned": np.frombuffer(bytes(1) + base.tobytes(), np.uint8)[1:].view(np.float32),
        "big-endian": base.astype(">f4"),
        "scalar": np.array(7, dtype=np.int64),
        "empty": np.empty((0, 3), np.float64),
    }
    safetensors.write(tmp_path / "a", arrays)
    assert_equal(safetensors.read(tmp_path / "a")[0], arrays)


def test_data_are_aligned_to_their_item_size(tmp_path):
    arrays = {"bytes": np.zeros(3, np.uint8), "halves": np.zeros(3, np.float16), "doubles": np.zeros(3)}
    safetensors.write(tmp_path / "a", arrays)
    content = (tmp_path / "a").read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    assert length % 8 == 0
    for name, entry in json.loads(content[8 : 8 + length]).items():
        assert entry["data_offsets"][0] % arrays[name].itemsize == 0


def test_arrays_read_can_be_written_to(tmp_path):
    safetensors.write(tmp_path / "a", {"x": np.zeros(2)})
    arrays, _ = safetensors.read(tmp_path / "a")
    arrays["x"] += 1
    assert arrays["x"].flags.owndata


@in_one_directory
@given(arrays=any_arrays)
def test_mapped_arrays_are_those_read(tmp_path, arrays):
    safetensors.write(tmp_path / "a", arrays, {"k": "v"})
    got, metadata = safetensors.memory_map(tmp_path / "a")
    assert metadata == {"k": "v"}
    assert got.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(got[name], array)
        assert not (got[name].size and got[name].flags.writeable)
    with pytest.raises(CheckpointError, match=r"there is no file .*missing"):
        safetensors.memory_map(tmp_path / "missing")


def test_only_selected_arrays_are_read(tmp_path):
    safetensors.write(tmp_path / "a", {"model.w": np.ones(2), "adam.m": np.zeros(2)})
    arrays, _ = safetensors.read(tmp_path / "a", lambda name: name.startswith("model."))
    assert_equal(arrays, {"model.w": np.ones(2)})


def test_bfloat16_becomes_float32(tmp_path):
    values = np.array([1.0, -2.5, np.inf, np.nan, 2.0**-130], np.float32)  # each exact in bfloat16, the last one subnormal
    data = (values.view(np.uint32) >> 16).astype("<u2").tobytes()
    raw(tmp_path / "a", {"w": {"dtype": "BF16", "shape": [5], "data_offsets": [0, 10]}}, data)
    assert_equal(safetensors.read(tmp_path / "a")[0], {"w": values})


@pytest.mark.parametrize("value", [np.array([object()]), np.array(["a"]), np.zeros(2, complex), [1.0, 2.0], 3.0])
def test_other_kinds_of_values_are_refused(tmp_path, value):
    with pytest.raises(DTypeError, match=r"got .* for 'x'; convert it first"):
        safetensors.write(tmp_path / "a", {"x": value})
    assert not (tmp_path / "a").exists()


def test_reserved_names_and_metadata_that_is_no_text_are_refused(tmp_path):
    with pytest.raises(UsageError, match="__metadata__"):
        safetensors.write(tmp_path / "a", {"__metadata__": np.zeros(1)})
    with pytest.raises(UsageError, match="'step': 3; encode it"):
        safetensors.write(tmp_path / "a", {}, {"step": 3})


def test_every_truncation_is_noticed(tmp_path):
    safetensors.write(tmp_path / "a", {"x": np.arange(5.0), "y": np.arange(3, dtype=np.int8)}, {"k": "v"})
    content = (tmp_path / "a").read_bytes()
    for length in range(len(content)):
        (tmp_path / "cut").write_bytes(content[:length])
        with pytest.raises(CheckpointError, match="truncated"):
            safetensors.read(tmp_path / "cut")


def entry(shape=(2,), start=0, stop=8, dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, stop]}


@pytest.mark.parametrize(
    ("header", "size", "message"),
    [
        pytest.param(b"[1, 2]", 0, "no safetensors file", id="no object"),
        pytest.param(b"{broken", 0, "header cannot be understood", id="no JSON"),
        pytest.param(b'{"x": \xff}', 0, "header cannot be understood", id="no UTF-8"),
        pytest.param({"x": 3}, 0, "header cannot be understood", id="entry no object"),
        pytest.param({"x": {"dtype": "F32"}}, 0, "header cannot be understood", id="no shape"),
        pytest.param({"x": {**entry(), "data_offsets": [0, 4, 8]}}, 8, "header cannot be understood", id="three offsets"),
        pytest.param({"x": {**entry(), "shape": ["two"]}}, 8, "header cannot be understood", id="shape of words"),
        pytest.param({"__metadata__": ["k"]}, 0, "header cannot be understood", id="metadata no object"),
        pytest.param({"x": entry(dtype=["F32"])}, 8, "which NumPy lacks", id="dtype no text"),
        pytest.param({"x": entry(dtype="F8_E4M3")}, 8, "dtype F8_E4M3, which NumPy lacks", id="unknown dtype"),
        pytest.param({"x": entry(shape=(3,))}, 8, "damaged: .*'x'", id="shape and bytes differ"),
        pytest.param({"x": entry(shape=(-1, -2))}, 8, "damaged: .*'x'", id="negative shape"),
        pytest.param({"x": entry(), "y": entry()}, 8, "damaged", id="overlap"),
        pytest.param({"x": entry(start=4, stop=12)}, 12, "damaged", id="gap"),
        pytest.param({"x": entry(shape=(2**60,), stop=2**62)}, 8, "truncated", id="more than any memory"),
        pytest.param({"x": entry()}, 11, "3 bytes belong to no array", id="bytes too many"),
    ],
)
def test_damaged_headers(tmp_path, header, size, message):
    path = raw(tmp_path / "a", header, bytes(size))
    with pytest.raises(CheckpointError, match=message):
        safetensors.read(path)


def test_files_of_another_kind(tmp_path):
    path = tmp_path / "a"
    for content in (
        b"PK\x03\x04 a zip archive, as torch.save writes",
        b"\x80\x04}q\x00. a pickle",
        b"the cat sat on the mat\n",
    ):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="no safetensors file"):
            safetensors.read(path)
    with pytest.raises(CheckpointError, match="is a directory; name a file"):
        safetensors.read(tmp_path)
    with pytest.raises(CheckpointError, match=r"there is no file .*missing"):
        safetensors.read(tmp_path / "missing")


def test_an_array_with_gaps_is_written_in_runs_of_rows(tmp_path, monkeypatch, rng):
    monkeypatch.setattr(safetensors, "_COPIED", 100)
    table = rng.standard_normal((37, 16))
    safetensors.write(tmp_path / "x", {"rows": table[:, :5], "columns": table.T, "none": table[:0, :3]})
    arrays, _ = safetensors.read(tmp_path / "x")
    np.testing.assert_array_equal(arrays["rows"], table[:, :5])
    np.testing.assert_array_equal(arrays["columns"], table.T)
    assert arrays["none"].shape == (0, 3)
