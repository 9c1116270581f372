"""A file is replaced as a whole or not at all, whatever goes wrong in between."""

import errno
import os
import stat

import pytest

from minigrad.errors import CheckpointError
from minigrad.formats import atomic


def write(path, content):
    with atomic.replacing(path) as file:
        file.write(content)


def names(directory):
    return sorted(os.listdir(directory))


def test_content_replaces_the_earlier_file(tmp_path):
    path = tmp_path / "model"
    write(path, b"first, and longer")
    write(path, b"second")
    assert path.read_bytes() == b"second"
    assert names(tmp_path) == ["model"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("a bug")])
def test_an_exception_inside_leaves_the_earlier_file_and_passes_through(tmp_path, error):
    path = tmp_path / "model"
    write(path, b"earlier")
    with pytest.raises(type(error)), atomic.replacing(path) as file:
        file.write(b"half of")
        raise error
    assert path.read_bytes() == b"earlier"
    assert names(tmp_path) == ["model"]


@pytest.mark.parametrize("function", ["fsync", "replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_one_clear_sentence_and_keeps_the_earlier_file(tmp_path, monkeypatch, function, code):
    path = tmp_path / "model"
    write(path, b"earlier")

    def fail(*arguments):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, function, fail)
    with pytest.raises(CheckpointError, match=r"disk is full: .*model could not be written.*unchanged; free some space"):
        write(path, b"later")
    monkeypatch.undo()
    assert path.read_bytes() == b"earlier"
    assert names(tmp_path) == ["model"]


def test_a_write_that_the_system_refuses_half_way_keeps_the_earlier_file(tmp_path):
    """A limit on file sizes makes the kernel itself stop a write in the middle, as a full disk does."""
    resource = pytest.importorskip("resource")
    path = tmp_path / "model"
    write(path, b"earlier")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(CheckpointError, match=r"cannot write .*model: "):
            write(path, bytes(50_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == b"earlier"
    assert names(tmp_path) == ["model"]


def test_a_missing_directory_is_one_clear_sentence(tmp_path):
    with pytest.raises(CheckpointError, match=r"cannot write .*No such file or directory; choose a directory that exists"):
        write(tmp_path / "missing" / "model", b"")


def test_what_a_killed_process_left_behind_is_overwritten(tmp_path):
    path = tmp_path / "model"
    (tmp_path / ".model.tmp").write_bytes(bytes(1000))
    write(path, b"new")
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["model"]


@pytest.mark.skipif(os.name == "nt", reason="symbolic links and file modes are POSIX")
def test_links_stay_links_and_others_may_read(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "model").write_bytes(b"earlier")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "store" / "model")
    umask = os.umask(0o022)
    try:
        write(link, b"later")
    finally:
        os.umask(umask)
    assert link.is_symlink()
    assert (tmp_path / "store" / "model").read_bytes() == b"later"
    assert stat.S_IMODE(os.stat(link).st_mode) == 0o644


def test_text_is_utf8(tmp_path):
    atomic.write_text(tmp_path / "text", "März\n")
    assert (tmp_path / "text").read_bytes() == "März\n".encode()
