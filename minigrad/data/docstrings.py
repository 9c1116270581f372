"""Some 400,000 words of English that every user has: the docstrings of the standard library, of NumPy and of Numba.

The pages of Python's own ``help()`` on its syntax come with them. The source files are read as text; no module is imported and
nothing is run. What is not prose is left out: examples, code, headings, tables, signatures and markup. The same installation
always gives the same sentences in the same order.
"""

import ast
import importlib.util
import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from minigrad.errors import DataError

PACKAGES = ("numpy", "numba")
_NOT_READ = {"site-packages", "dist-packages", "test", "tests", "testing", "idle_test", "lib2to3", "__pycache__"}
_TOPICS = ("pydoc_data", "topics.py")
_SHORTEST = 4  # words: what is shorter is mostly a heading or an item of a list

# What a scan must step over as a whole, so that a quote in a comment or in another string does not begin a string: a comment,
# a string in triple quotes, one in single quotes. A docstring begins its line; so do the texts that NumPy adds to compiled
# code.
_LITERALS = re.compile(
    r"""
    \#[^\n]*
    | (?P<indent>^[ \t]*)? [rRuU]? (?P<quotes>\"{3}|'{3}) (?P<text>(?:[^\\]|\\.)*?) (?P=quotes)
    | "(?:[^"\\\n]|\\.)*" | '(?:[^'\\\n]|\\.)*'
    """,
    re.MULTILINE | re.DOTALL | re.VERBOSE,
)
_UNDERLINE = re.compile(r"\s*([-=~^*+#])\1{2,}\s*$")
_MARKUP = (
    (re.compile(r":math:`[^`]*`|\w+://\S+|\\x?\w+"), " "),  # formulas, addresses, escape sequences
    (re.compile(r":[\w:-]+:`~?(?:[\w.]*\.)?([^`<]*)[^`]*`"), r"\1"),  # :class:`collections.OrderedDict`
    (re.compile(r"^\s*:\w+[^:]*:"), " "),  # :param name:
    (re.compile(r"[`*|\"]+|'s\b"), ""),  # "the array's shape" is about the word array
)
_SENTENCE_END = re.compile(r"[.!?:;]+(?:\s+|$)| -- ")
_WORD = re.compile(r"[a-z]+(?:['_-][a-z]+)*")
_AROUND = ".,;:!?'()[]{}<>-"


def sentences() -> list[str]:
    """The corpus: sentences of lower-case words between single spaces, each once.

    Raises:
        DataError: an installation without source files.
    """
    found = dict.fromkeys(sentence for path in _sources() for text in _texts(path) for sentence in prose(text))
    if not found:
        raise DataError("the built-in text is the docstrings of the installation, and it has no sources: name a text file")
    return list(found)


def docstrings(source: str) -> Iterator[str]:
    """The texts in triple quotes that begin a line of a Python source file."""
    for literal in _LITERALS.finditer(source):
        if literal["indent"] is not None:
            yield literal["text"]


def prose(docstring: str) -> Iterator[str]:
    """The sentences of a docstring, in lower case and without punctuation."""
    for paragraph in _paragraphs(docstring.expandtabs().split("\n")):
        for pattern, replacement in _MARKUP:
            paragraph = pattern.sub(replacement, paragraph)
        for sentence in _SENTENCE_END.split(paragraph.lower()):
            tokens = [token.strip(_AROUND) for token in sentence.split()]
            words = [token for token in tokens if _WORD.fullmatch(token)]
            if len(words) >= max(_SHORTEST, 0.75 * len(tokens)):  # where symbols abound, it is code or a table
                yield " ".join(words)


def _paragraphs(lines: list[str]) -> Iterator[str]:
    """The paragraphs that are prose, each on one line. A deeper or shallower line begins another one."""
    paragraph: list[str] = []
    depth = 0  # columns before the paragraph
    code: int | None = None  # what is deeper than this is an example
    skipping = False  # up to the next empty line
    for line in [*lines, ""]:
        text = line.strip()
        here = len(line) - len(line.lstrip())
        if paragraph and _UNDERLINE.match(line):
            paragraph.pop()  # a heading
            continue
        if not text or here != depth:
            if paragraph:
                yield " ".join(paragraph)
                if paragraph[-1].endswith("::"):
                    code = depth
            paragraph, depth = [], here
        if not text:
            skipping = False
            continue
        if code is not None and here <= code:
            code = None
        if text.startswith((">>>", "..")):  # an example; a directive of reStructuredText, whose block is deeper
            skipping = True
            code = here if text.startswith(".. ") else code
        if not skipping and code is None and not re.match(r"[\w*, ]+ : ", text):  # "name : type" of a parameter
            paragraph.append(text)


def _sources() -> list[Path]:
    """The files to read, in an order that depends on their names alone."""
    roots = [Path(sysconfig.get_paths()["stdlib"])]
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)  # of a package without a dot in its name: this imports nothing
        roots += [Path(place) for place in (spec and spec.submodule_search_locations) or ()]
    return [file for root in roots for file in sorted(root.rglob("*.py")) if not _NOT_READ & {*file.relative_to(root).parts}]


def _texts(path: Path) -> Iterator[str]:
    try:
        source = path.read_text(encoding="utf-8", errors="replace")
    except OSError:  # a broken link, or a file that this user may not read: the others are enough
        return iter(())
    return _topics(source) if path.parts[-2:] == _TOPICS else docstrings(source)


def _topics(source: str) -> Iterator[str]:
    """The pages of ``help()``: the values of a dictionary, in several strings or in one, as Python's version has it."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "\n" in node.value:
            yield node.value
