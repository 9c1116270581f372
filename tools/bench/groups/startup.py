"""How long one waits: for ``import``, and for the first step of ``python -m models.transformer train``.

Each repetition is a new process, and its time is all of the process, the start of Python included.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tools.bench.measure import OURS, Contest, Libraries, Work

_CHECKOUT = Path(__file__).parents[3]

# The default job as the command line runs it, which leaves without a word after its first update.
FIRST_STEP = """
import os, sys
from models.transformer import JOB
from minigrad.training.loop import Trainer

update = Trainer.update

def first(self, *arguments):
    update(self, *arguments)
    os._exit(0)

Trainer.update = first
sys.exit(JOB.main(["train", "--out", sys.argv[1]]) or 1)
"""


def run_python(program: str, *arguments: str, cache: str | None = None) -> str:
    """Run a program in a new process, with the kernels' cache in the directory ``cache``; returns what it printed."""
    environment = os.environ | ({} if cache is None else {"NUMBA_CACHE_DIR": cache})
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, check=True, cwd=_CHECKOUT, env=environment, stdout=subprocess.PIPE, text=True).stdout


def _import(module: str) -> Work:
    return lambda: run_python(f"import {module}")


def _first_step(cache: str | None) -> Work:
    """The first step with the kernels compiled in ``cache``, or in a new directory, with nothing compiled."""

    def work():
        with tempfile.TemporaryDirectory() as scratch:
            run_python(FIRST_STEP, f"{scratch}/run", cache=cache or f"{scratch}/cache")

    return work


def contests(libraries: Libraries) -> Iterator[Contest]:
    """Import against the peers' imports; the first step alone, cold and warm."""
    yield Contest("import", {name: _import(name) for name in libraries})
    yield Contest("first training step, nothing compiled", {OURS: _first_step(None)}, once=True)
    with tempfile.TemporaryDirectory() as cache:
        yield Contest("first training step, kernels compiled", {OURS: _first_step(cache)})
