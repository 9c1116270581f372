"""Replace a file as a whole or not at all.

The new content goes to a temporary file beside the old one, reaches the disk, and only then takes the old one's name. A full
disk, Ctrl-C or a power cut therefore leaves the earlier file as it was.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from minigrad.errors import CheckpointError

_FULL = {errno.ENOSPC, errno.EDQUOT}


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """Open a binary file that becomes ``path`` when the block ends without an exception.

    A symbolic link is followed, so that the file it points to is replaced and the link stays. The temporary file has one
    fixed name per target: what a killed process left behind is overwritten by the next write instead of piling up.

    Raises:
        CheckpointError: the file cannot be written (full disk, missing directory, no permission). The earlier file, if
            there was one, is unchanged and the temporary one is gone.
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.name}.tmp")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException as error:  # KeyboardInterrupt too must not leave half a file behind
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            raise cannot_write(path, error) from error
        raise


def write_text(path: str | os.PathLike, text: str) -> None:
    """Replace ``path`` by ``text`` in UTF-8, as a whole or not at all. Raises CheckpointError as :func:`replacing` does."""
    with replacing(path) as file:
        # A file name with undecodable bytes holds lone surrogates; they become backslash escapes, which JSON reads back.
        file.write(text.encode("utf-8", "backslashreplace"))


def cannot_write(path: str | os.PathLike, error: OSError) -> CheckpointError:
    """The one sentence for a failed write: what failed, why, and what to do."""
    if error.errno in _FULL:
        return CheckpointError(
            f"the disk is full: {path} could not be written; what was saved there earlier is unchanged; "
            "free some space or choose another directory"
        )
    reason = error.strerror or str(error)
    return CheckpointError(f"cannot write {path}: {reason}; choose a directory that exists and that you may write to")
