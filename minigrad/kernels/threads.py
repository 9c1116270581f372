"""The one thread pool: Numba's. Every parallel kernel of minigrad shares it."""

import os

import numba

from minigrad.errors import UsageError


def set_num_threads(n: int) -> None:
    """Lets the kernels use ``n`` threads from now on: 1 up to the size of Numba's pool.

    The pool has one thread per CPU that this process may run on, or ``NUMBA_NUM_THREADS`` where that is set; the environment
    variable ``MINIGRAD_NUM_THREADS`` calls this function when the first kernel is loaded.

    Raises:
        UsageError: ``n`` is no integer in that range.
    """
    pool = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    if type(n) is not int or not 1 <= n <= pool:
        raise UsageError(f"the number of threads must be an integer from 1 to {pool}, the size of Numba's pool: got {n!r}")
    numba.set_num_threads(n)


def get_num_threads() -> int:
    """The number of threads that the next parallel kernel uses."""
    return numba.get_num_threads()


def _read_environment() -> None:
    wanted = os.environ.get("MINIGRAD_NUM_THREADS")
    if wanted is not None:
        set_num_threads(int(wanted) if wanted.isdecimal() else wanted)  # type: ignore[arg-type]  # which it then refuses


_read_environment()
