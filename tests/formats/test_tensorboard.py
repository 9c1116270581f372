"""Event files: known checksums, framing, and what TensorBoard itself reads from them."""

import struct

import numpy as np
import pytest

from minigrad.errors import DataError
from minigrad.formats import tensorboard
from minigrad.formats.tensorboard import EventWriter, crc32c, masked, read, write_series


@pytest.mark.parametrize(
    ("data", "crc"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),  # these three: RFC 3720, appendix B.4
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
    ],
)
def test_checksums_are_those_of_the_standard(data, crc):
    assert crc32c(data) == crc


def written(directory):
    with EventWriter(directory) as writer:
        writer.scalar("loss", 1.25, 1)
        writer.scalars({"a/β": -3.5, "big": 1e300}, 2**40)
        writer.histogram("weights", np.arange(10.0), 7)
        writer.histogram("same", np.full((2, 3), 4.0, np.float32), 7)
        writer.histogram("broken", np.array([1.0, np.nan, np.inf, 3.0]), 8)
        writer.histogram("nothing", np.zeros(0), 8)
        writer.scalar("nan", float("nan"), 9)
    return writer.path


def test_the_framing_is_length_crc_data_crc(tmp_path):
    data = written(tmp_path).read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    assert struct.unpack("<I", data[8:12])[0] == masked(crc32c(data[:8]))
    assert struct.unpack("<I", data[12 + length : 16 + length])[0] == masked(crc32c(data[12 : 12 + length]))
    assert data[12:13] == b"\x09"  # field 1, a double: the wall time
    assert data[21:23] == b"\x1a\x0d" and data[23 : 12 + length] == b"brain.Event:2"


def test_what_was_written_is_read_back(tmp_path):
    found = {entry.tag: entry for entry in read(written(tmp_path))}
    assert (found["loss"].step, found["loss"].value) == (1, 1.25)
    assert (found["a/β"].step, found["a/β"].value) == (2**40, -3.5)
    assert found["big"].value == np.inf
    assert np.isnan(found["nan"].value)
    weights = found["weights"].value
    assert [weights[k] for k in ("min", "max", "num", "sum", "sum_squares")] == [0, 9, 10, 45, 285]
    assert sum(weights["counts"]) == 10 and len(weights["limits"]) == len(weights["counts"])
    assert found["same"].value["counts"] == [6]
    assert found["broken"].value["num"] == 2
    assert found["nothing"].value["num"] == 0


def test_damage_is_found(tmp_path):
    path = written(tmp_path)
    data = bytearray(path.read_bytes())
    data[60] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="checksum"):
        list(read(path))
    path.write_bytes(data[:20])
    with pytest.raises(DataError, match="cut short"):
        list(read(path))


def test_series_become_scalars(tmp_path):
    path = write_series({"loss": {"steps": [1, 5], "values": [2.0, None]}}, tmp_path)
    entries = list(read(path))
    assert [(e.step, e.tag) for e in entries] == [(1, "loss"), (5, "loss")]
    assert entries[0].value == 2.0 and np.isnan(entries[1].value)


def test_tensorboard_itself_reads_the_same(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    path = written(tmp_path)
    theirs = accumulator.EventAccumulator(str(tmp_path), size_guidance={"scalars": 0, "histograms": 0})
    theirs.Reload()
    for entry in read(path):
        if isinstance(entry.value, dict):
            (event,) = theirs.Histograms(entry.tag)
            assert event.step == entry.step
            assert event.histogram_value.num == entry.value["num"]
            assert list(event.histogram_value.bucket) == entry.value["counts"]
            assert list(event.histogram_value.bucket_limit) == entry.value["limits"]
        else:
            (event,) = theirs.Scalars(entry.tag)
            assert event.step == entry.step
            assert event.value == entry.value or np.isnan(event.value)
    assert tensorboard.VERSION == "brain.Event:2"


def test_their_files_are_read(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(tmp_path))
    writer.add_event(Event(wall_time=1.0, step=3, summary=Summary(value=[Summary.Value(tag="x", simple_value=0.5)])))
    writer.close()
    (path,) = tmp_path.iterdir()
    assert list(read(path)) == [(3, "x", 0.5)]
