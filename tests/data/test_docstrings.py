"""The built-in text: docstrings found without running anything, and prose made of them."""

import ast
import subprocess
import sys
import sysconfig
import zlib
from pathlib import Path

import pytest

from minigrad.data import docstrings
from minigrad.errors import DataError


@pytest.fixture(scope="module")
def sentences():
    return docstrings.sentences()


def test_hundreds_of_thousands_of_words_of_prose(sentences):
    words = [word for sentence in sentences for word in sentence.split()]
    assert len(words) > 250_000
    assert len(set(sentences)) == len(sentences)
    common = {"array", "integer", "function", "file", "string", "thread"}
    assert all(words.count(word) > 100 for word in common)
    assert all(sentence == sentence.lower() and sentence.isascii() for sentence in sentences)


def test_the_same_text_every_time_and_no_module_is_imported(sentences):
    program = (
        "import sys, zlib; from minigrad.data import docstrings; before = set(sys.modules); "
        "print(zlib.crc32('\\n'.join(docstrings.sentences()).encode()), set(sys.modules) - before)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == str(zlib.crc32("\n".join(sentences).encode()))
    assert not any(f"'{name}'" in done.stdout for name in ("numba", "tkinter", "turtle", "distutils", "unittest"))


@pytest.mark.parametrize("name", ["argparse.py", "heapq.py", "json/decoder.py", "statistics.py", "tokenize.py", "textwrap.py"])
def test_every_docstring_in_triple_quotes_is_found(name):
    source = Path(sysconfig.get_paths()["stdlib"], name).read_text(encoding="utf-8")
    found = {ast.literal_eval(f'"""{text}"""') for text in docstrings.docstrings(source) if '"""' not in text}
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    expected = {ast.get_docstring(node, clean=False) for node in ast.walk(ast.parse(source)) if isinstance(node, kinds)}
    assert {text for text in expected if text and "\n" in text} <= found


def test_strings_that_are_no_docstrings_are_left_alone():
    source = "x = '''not\nthis'''  # nor '''this\ny = 'nor \"\"\" this'\nf(\n    '''but\n    this''')\n"
    assert list(docstrings.docstrings(source)) == ["but\n    this"]


DOCSTRING = """Return the sum of all elements. See `numpy.add` and :class:`collections.OrderedDict`!

    Parameters
    ----------
    a : array_like
        The Elements to *sum* up; any ``shape`` will do
        as long as it isn't empty.
    out : ndarray, optional

    :param axis: the axis along which it is computed

    The array's own shape -- if it has any -- is left alone here.

    >>> add([1, 2])
    3

    An example of how it is called::

        total = add(x) + add(y) and some more words of code

    Back in the text, at http://example.org/page there is more to read
    """


def test_prose():
    assert list(docstrings.prose(DOCSTRING)) == [
        "return the sum of all elements",
        "the elements to sum up",
        "any shape will do as long as it isn't empty",
        "the axis along which it is computed",
        "the array own shape",
        "if it has any",
        "is left alone here",
        "an example of how it is called",
        "back in the text at there is more to read",
    ]


def test_an_installation_without_sources(monkeypatch):
    monkeypatch.setattr(docstrings, "_sources", lambda: [Path("gone.py")])
    with pytest.raises(DataError, match="name a text file"):
        docstrings.sentences()
