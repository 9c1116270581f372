import os
import subprocess
import sys
from pathlib import Path

import numba
import pytest

from minigrad.errors import UsageError
from minigrad.kernels.threads import get_num_threads, set_num_threads

ROOT = Path(__file__).parents[2]


@pytest.fixture
def threads():
    before = get_num_threads()
    yield before
    set_num_threads(before)


def test_what_is_set_is_what_numba_uses(threads):
    for n in (1, threads):
        set_num_threads(n)
        assert get_num_threads() == n == numba.get_num_threads()


@pytest.mark.parametrize("bad", [0, -1, 10_000, 1.5, "two", None, True])
def test_bad_numbers_are_refused(threads, bad):
    with pytest.raises(UsageError, match=r"an integer from 1 to \d+"):
        set_num_threads(bad)
    assert get_num_threads() == threads


def in_a_new_process(value):
    code = "from minigrad.kernels import threads; print(threads.get_num_threads())"
    environment = {**os.environ, "MINIGRAD_NUM_THREADS": value}
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)


def test_the_environment_sets_the_number():
    assert in_a_new_process("1").stdout.strip() == "1"


def test_a_bad_environment_is_refused():
    assert "got 'many'" in in_a_new_process("many").stderr
