"""The machine, the libraries on it, and how many threads they get.

Importing this module imports no library: :func:`announce_threads` must come before their imports.
"""

import importlib
import os
import platform
import shutil
from collections.abc import Callable
from pathlib import Path

from .measure import OURS, Libraries, Work

PEERS = ("numpy", "torch", "torch.compile", "gensim")  # torch.compile is torch, its models compiled
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
    "MINIGRAD_NUM_THREADS",
)


def available_cores() -> int:
    """The CPUs that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def announce_threads(threads: int) -> None:
    """Tell the libraries, here and in subprocesses, how many threads to use. NumPy's BLAS listens only at its import."""
    for name in _THREAD_VARIABLES:
        os.environ[name] = str(threads)


def load(peers: list[str], threads: int) -> tuple[Libraries, dict[str, str]]:
    """Import minigrad and those of ``peers`` that can run here.

    Args:
        peers: some of :data:`PEERS`.
        threads: how many the libraries get; :func:`announce_threads` has told all but torch, which asks no variable again.

    Returns:
        (libraries by name, the reason of each peer that is missing).
    """
    libraries, missing = {OURS: importlib.import_module("minigrad")}, {}
    for name in peers:
        if name == "torch.compile" and not any(map(shutil.which, (os.environ.get("CXX", "c++"), "g++", "clang++"))):
            missing[name] = "there is no C++ compiler on the path"
            continue
        try:
            libraries[name] = importlib.import_module(name.partition(".")[0])
        except ModuleNotFoundError:
            missing[name] = "it is not installed (pip install -e '.[bench]' brings it)"
            continue
        if name.startswith("torch"):
            libraries[name].set_num_threads(threads)
    return libraries, missing


def on_threads(work: Work, count: int, get: Callable[[], int], set_: Callable[[int], None]) -> Work:
    """``work`` on ``count`` threads; afterwards the library has as many as before."""

    def on_some():
        before = get()
        set_(count)
        try:
            work()
        finally:
            set_(before)

    return on_some


def describe(libraries: Libraries, threads: int) -> dict[str, str]:
    """What the figures depend on, for the report."""
    import numba
    import numpy as np

    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]  # type: ignore[index]
    versions = {"Python": platform.python_version(), "numpy": np.__version__, "numba": numba.__version__}
    versions |= {name: module.__version__ for name, module in libraries.items() if "." not in name}
    return {
        "CPU": f"{_cpu()}, {available_cores()} cores, {_vectors()}",
        "threads": f"{threads} for each library",
        "system": f"{platform.system()} {platform.machine()}",
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "NumPy's BLAS": f"{blas['name']} {blas['version']}",
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _vectors() -> str:
    """The widest vectors that kernels compiled here can use."""
    from llvmlite import binding

    features = binding.get_host_cpu_features()
    names = {"avx512f": "AVX-512", "avx2": "AVX2", "avx": "AVX", "neon": "NEON", "sse2": "SSE2"}
    return next((name for feature, name in names.items() if features.get(feature)), "no vectors known")
