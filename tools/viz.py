"""Which pictures can be drawn here: ``python -m tools.viz --check``."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import NamedTuple

_SECONDS = 20  # for a back end to answer; the first drawing of matplotlib looks for fonts


class BackEnd(NamedTuple):
    """One program or package that pictures may use.

    Attributes:
        name, purpose: what it is, and what needs it.
        advice: the line that brings it.
        version: says the version of what was found; raises where there is none, or where it does not work.
    """

    name: str
    purpose: str
    advice: str
    version: Callable[[], str]


def _dot() -> str:
    if shutil.which("dot") is None:
        raise FileNotFoundError("no program of that name in PATH")
    said = subprocess.run(["dot", "-V"], capture_output=True, text=True, timeout=_SECONDS, check=True).stderr
    drawn = subprocess.run(["dot", "-Tsvg"], input=b"digraph { a -> b }", capture_output=True, timeout=_SECONDS, check=True)
    if b"<svg" not in drawn.stdout:
        raise RuntimeError("dot -Tsvg drew nothing")
    return said.split("version")[-1].split("(")[0].strip()


def _package(name: str, trial: str) -> Callable[[], str]:
    """Tries a package in a process of its own, so that what it loads, or breaks, stays there."""

    def version() -> str:
        found = metadata.version(name)
        tried = subprocess.run([sys.executable, "-c", trial], capture_output=True, text=True, timeout=_SECONDS)
        if tried.returncode:
            raise RuntimeError((tried.stderr.strip().splitlines() or [f"exit status {tried.returncode}"])[-1])
        return found

    return version


_VIZ = "pip install 'minigrad[viz]'"
BACK_ENDS = (
    BackEnd("dot", "compute graphs, laid out by the Graphviz of the system", "apt install graphviz", _dot),
    BackEnd(
        "pygraphviz", "compute graphs where there is no dot", _VIZ,
        _package("pygraphviz", "import pygraphviz as p; assert p.AGraph('digraph { a -> b }').draw(None, 'svg', 'dot')"),
    ),
    BackEnd(
        "matplotlib", "attention, positions, embeddings, errors, gradient flow", _VIZ,
        _package("matplotlib", "from matplotlib.figure import Figure; import io; Figure().savefig(io.BytesIO(), format='svg')"),
    ),
    BackEnd("scikit-learn", "t-SNE of embeddings", _VIZ, _package("scikit-learn", "import sklearn.manifold")),
    BackEnd("IPython", "pictures shown in notebooks", "pip install notebook", _package("ipython", "import IPython.display")),
    BackEnd(
        "TensorBoard", "a browser for scalars and histograms over training", "pip install tensorboard",
        _package("tensorboard", "import tensorboard"),
    ),
)  # fmt: skip


def check() -> list[str]:
    """A line for each back end: whether it works, its version or how to get it, and what it is for."""
    lines = []
    for end in BACK_ENDS:
        try:
            state = end.version()
        except (metadata.PackageNotFoundError, FileNotFoundError):
            state = f"not here: {end.advice}"
        except Exception as error:
            state = f"does not work ({' '.join(str(error).split())[:60]}): {end.advice}"
        lines.append(f"{end.name:<13} {state:<46}  {end.purpose}")
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.viz", description="Which pictures can be drawn here.")
    parser.add_argument("--check", action="store_true", required=True, help="try each back end")
    parser.parse_args(arguments)
    for line in check():
        print(line, flush=True)
    print("Loss curves, word2vec's pictures and attention of models.seq2seq need none of these: they are SVG as it is.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
