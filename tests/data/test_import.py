"""Importing the package costs no optional package, and no compiler."""

import subprocess
import sys


def test_import_is_light():
    program = (
        "import sys, minigrad.errors; before = set(sys.modules); import minigrad.data; "
        "print(*{'babel', 'sentencepiece', 'numba', 'matplotlib'} & (set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
