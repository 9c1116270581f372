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

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # parameters of mallopt, as in <malloc.h>
_LARGEST_KEPT = 32 << 20  # bytes; the largest threshold that glibc takes. Larger arrays go back to the system as before
_FREE_AT_MOST = 2**31 - 1  # bytes at the end of the heap; the largest int


@functools.cache
def keep_freed_memory() -> bool:
    """Set the C library so, once in a process: Linux with glibc only; returns whether that was done.

    The setting holds for the whole process. ``MINIGRAD_KEEP_MEMORY=0`` in the environment leaves the library as it is, and so
    does a choice that was made already, by ``MALLOC_MMAP_THRESHOLD_`` or ``MALLOC_TRIM_THRESHOLD_``.
    """
    chosen = {"MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"} & os.environ.keys()
    if sys.platform != "linux" or os.environ.get("MINIGRAD_KEEP_MEMORY") == "0" or chosen:
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):  # another C library may have a mallopt of its own
        return False
    kept = library.mallopt(_M_MMAP_THRESHOLD, _LARGEST_KEPT)
    return bool(kept and library.mallopt(_M_TRIM_THRESHOLD, _FREE_AT_MOST))
