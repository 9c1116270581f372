"""Freed memory is kept for the next arrays: asked for once in a process, and not where somebody else has chosen."""

import os
import platform
import subprocess
import sys

import pytest

PROGRAM = """
import numpy as np, resource
import minigrad as mg
from minigrad import kernels
kernels.matmul
def faults_of_a_step():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    arrays = [np.ones(size, np.float32) for size in (1_000_000, 1_000_000, 12_000_000)]
    del arrays
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults_of_a_step()
print(kernels.allocator.keep_freed_memory(), faults_of_a_step() < 1000)
"""
ON_GLIBC = sys.platform == "linux" and platform.libc_ver()[0] == "glibc"


def outcome(**environment):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_") and k != "MINIGRAD_KEEP_MEMORY"}
    clean["NUMPY_MADVISE_HUGEPAGE"] = "0"  # faults are counted in pages of 4 KB
    run = subprocess.run([sys.executable, "-c", PROGRAM], env=clean | environment, capture_output=True, text=True, check=True)
    return run.stdout.split()


@pytest.mark.skipif(not ON_GLIBC, reason="this is about glibc")
@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, ["True", "True"]),
        ({"MINIGRAD_KEEP_MEMORY": "0"}, ["False", "False"]),
        ({"MALLOC_MMAP_THRESHOLD_": "131072"}, ["False", "False"]),
        ({"MALLOC_MMAP_MAX_": "65536"}, ["False", "False"]),
    ],
)
def test_pages_are_used_again_unless_somebody_chose_otherwise(environment, expected):
    assert outcome(**environment) == expected
