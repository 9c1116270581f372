"""Memory that one training step frees is kept for the next, instead of going back to the operating system.

The C library of Linux returns large blocks to the system when they are freed, and then gets them anew, page by page, each
cleared by the system. A training step frees and allocates the same hundreds of megabytes again and again: with pages of 4 KB
that costs a fifth of its time, with the huge pages that NumPy asks for still a twentieth. Told to keep them, the library hands
the same pages out again. The peak of memory stays where it was.

A pool of buffers in minigrad itself would save no more, and every kernel and operation would have to know it.
"""

import ctypes
import functools
import os
import sys

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # parameters of mallopt, as in <malloc.h>
_NEVER = -1  # as a threshold of free bytes at the end of the heap: more than there can be
_NONE = 0  # of the blocks are mapped one by one, and so go back one by one; the other way, a threshold, ends at 32 MB a block


@functools.cache
def keep_freed_memory() -> bool:
    """Set the C library so, once in a process: Linux with glibc only; returns whether that was done.

    The setting holds for the whole process. ``MINIGRAD_KEEP_MEMORY=0`` in the environment leaves the library as it is, and so
    does a choice that was made already, by one of the variables ``MALLOC_MMAP_MAX_``, ``MALLOC_MMAP_THRESHOLD_`` and
    ``MALLOC_TRIM_THRESHOLD_``.
    """
    chosen = {"MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"} & os.environ.keys()
    if sys.platform != "linux" or os.environ.get("MINIGRAD_KEEP_MEMORY") == "0" or chosen:
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):  # another C library may have a mallopt of its own
        return False
    return bool(library.mallopt(_M_MMAP_MAX, _NONE) and library.mallopt(_M_TRIM_THRESHOLD, _NEVER))
