import subprocess
import sys

HEAVY = ["numba", "llvmlite", "matplotlib", "graphviz", "babel", "sacrebleu", "tqdm", "torch", "sentencepiece", "safetensors"]


def test_import_brings_no_heavy_package():
    code = f"import sys, minigrad; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_import_leaves_numpy_as_it_was():
    code = "import numpy; a = numpy.geterr(), numpy.get_printoptions(); import minigrad; "
    code += "print(a == (numpy.geterr(), numpy.get_printoptions()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "True", done.stdout + done.stderr
