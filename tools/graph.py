"""The compute graph of a script or a model: ``python -m tools.graph WHAT -o graph.svg``.

WHAT is a script, which is run, and the graph of its last backward pass is drawn; a record that was saved (.json); or the name
of a model of models/, of which one training step on random words is drawn. Options that are not listed here go to the script,
or say what the model is like, as for its ``train``:

    python -m tools.graph lesson.py -o graph.svg
    python -m tools.graph transformer --preset tiny --depth 2 -o graph.svg
    python -m tools.graph transformer --focus encoder.layers.0.self_attn --formulas
    python -m tools.graph seq2seq --attention additive --show backward --theme dark
"""

from __future__ import annotations

import argparse
import importlib
import os
import runpy
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

import minigrad as mg
from minigrad import nn, viz
from minigrad.data.batching import Batch, pad
from minigrad.data.vocabulary import BOS, EOS
from minigrad.errors import DataError, UsageError
from minigrad.training import console
from minigrad.training.arguments import Parser, whole
from minigrad.viz.graph import Graph, NoGraphvizWarning
from minigrad.viz.render import ADVICE

_FIRST_WORD = 4  # the numbers before it are those of marks such as <pad>
_OPTIONS = ("depth", "max_nodes", "focus", "show", "theme", "title")


class GraphParser(Parser):
    """The parser of this command."""

    defaults: ClassVar = {
        "output": "graph.svg", "max_nodes": 300, "show": "forward", "theme": "light", "sentences": 4, "words": 8,
        "vocabulary": 1000,
    }  # fmt: skip


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = GraphParser(
        prog="python -m tools.graph", description=__doc__, usage="%(prog)s WHAT [options] [options of the script or model]"
    )
    made.add_argument("what", metavar="WHAT", help=f"a script, a saved record, or {', '.join(MODELS)}")
    add = made.add_argument_group("picture").add_argument
    add("-o", "--output", metavar="FILE", help="ends in .svg, .png, .pdf, .dot, or .json for the record")
    add("--depth", type=whole(0), metavar="N", help="levels of modules that are opened; as many as there is room for")
    add("--max-nodes", type=whole(2), metavar="N", help="boxes at most; modules are closed until they fit")
    add("--focus", metavar="PATH", help="a module to open in full, such as encoder.layers.0.self_attn")
    add("--no-fold", action="store_true", help="draw every layer and time step, rather than one and their number")
    add("--show", choices=("forward", "backward"), help="arrows along the data or along the gradients")
    add("--values", action="store_true", help="mean and standard deviation of values")
    add("--formulas", action="store_true", help="what operations compute")
    add("--constants", action="store_true", help="arrays such as masks")
    add("--theme", choices=("light", "dark"))
    add("--title", metavar="TEXT", help="above the picture")
    add = made.add_argument_group("script").add_argument
    add("--passes", type=whole(1), metavar="N", help="end the script after so many backward passes")
    add = made.add_argument_group("model").add_argument
    add("--sentences", type=whole(1), metavar="N", help="in the batch")
    add("--words", type=whole(1), metavar="N", help="in each sentence")
    add("--vocabulary", type=whole(_FIRST_WORD + 1), metavar="N", help="different words")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; errors become one sentence on standard error and exit status 1."""
    given, others = parser().parse_known_args(arguments)
    for name, value in GraphParser.defaults.items():
        if getattr(given, name) is None:
            setattr(given, name, value)
    return console.run(lambda: draw(given, others), smaller="choose a smaller model or batch, or end the script with --passes")


def draw(given: argparse.Namespace, others: list[str]) -> None:
    """Record, draw and write."""
    output = Path(given.output)
    if output.suffix.lower() not in (".svg", ".png", ".pdf", ".dot", ".json"):
        raise UsageError(f"--output ends in .svg, .png, .pdf, .dot or .json: got {given.output!r}")
    suffix = Path(given.what).suffix
    if given.what in MODELS:
        title, record = _model(given, others)
    elif suffix == ".json":
        if others:
            raise UsageError(f"a record takes no further options: got {' '.join(others)}")
        title, record = None, viz.Record.load(given.what)
    elif suffix == ".py":
        title, record = given.what, _script(given, others)
    else:
        raise UsageError(f"WHAT is a script (.py), a record (.json), or one of {', '.join(MODELS)}: got {given.what!r}")
    options = {name: getattr(given, name) for name in _OPTIONS}
    options["title"] = given.title or title
    shown = viz.graph(
        record, fold=not given.no_fold, values=given.values, formulas=given.formulas, constants=given.constants, **options
    )
    _write(shown, output)


def _write(shown: Graph, output: Path) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", NoGraphvizWarning)
        written = shown.save(output)
    print(f"{written}: {shown.title}")
    for note in shown.notes:
        print(f"    {note}")
    if any(issubclass(w.category, NoGraphvizWarning) for w in caught):
        raise UsageError(f"there is no Graphviz here, so {written} was written instead of {output}: {ADVICE}")
    for warning in caught:
        warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)


# -- scripts ------------------------------------------------------------------------------------------------------------


class _Enough(BaseException):
    """Ends a script; no ``except Exception`` of its own stops that."""


class _Recorder(viz.record):
    """Records until there were so many backward passes."""

    def __init__(self, passes: int | None):
        super().__init__()
        self.passes = passes

    def on_pass_end(self, results) -> None:
        super().on_pass_end(results)
        if not self._depth and len(self.record.passes) == self.passes:
            raise _Enough


def _script(given: argparse.Namespace, others: list[str]) -> viz.Record:
    """The record of a script that runs as if Python had been called with it."""
    if not os.path.isfile(given.what):
        raise DataError(f"there is no script {given.what}")
    before = sys.argv, sys.path[:]
    sys.argv, sys.path[0:0] = [given.what, *others], [str(Path(given.what).resolve().parent)]
    try:
        with _Recorder(given.passes) as record:
            runpy.run_path(given.what, run_name="__main__")
    except _Enough:
        pass
    except SystemExit as error:
        if error.code not in (None, 0):
            raise DataError(f"{given.what} ended with {error.code!r} before anything was drawn") from None
    except Exception as error:
        own = os.path.abspath(given.what)
        lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if os.path.abspath(f.filename) == own]
        where = f", line {lines[-1]}" if lines else ""
        raise DataError(f"{given.what}{where}: {type(error).__name__}: {error}") from None
    finally:
        sys.argv, sys.path[:] = before
    return record


# -- models -------------------------------------------------------------------------------------------------------------


def _model(given: argparse.Namespace, others: list[str]) -> tuple[str, viz.Record]:
    mg.manual_seed(0)
    name, model, step = MODELS[given.what](given, others, np.random.default_rng(0))
    with viz.record(model) as record:
        step().backward()
    size = f"{given.sentences} sentences of {given.words} words"
    return f"{name}, one training step on {size}", record


def _sentences(given: argparse.Namespace, rng: np.random.Generator) -> list[np.ndarray]:
    return [rng.integers(_FIRST_WORD, given.vocabulary, given.words) for _ in range(given.sentences)]


def _translator(given: argparse.Namespace, others: list[str], rng: np.random.Generator):
    """A model that translates, as its command line describes it."""
    job = importlib.import_module(f"models.{given.what}").JOB
    options = job.settle(job.parser().parse_args(["train", *others]))
    model = job.build(options, given.vocabulary)
    source, target = _sentences(given, rng), _sentences(given, rng)
    batch = Batch(np.arange(given.sentences), pad(source, last=EOS), pad(target, first=BOS), pad(target, last=EOS))

    def step() -> mg.Tensor:
        loss, count = model.loss(batch)
        return loss / count

    return f"{type(model).__name__} ({options['preset']})", model, step


def _language_model(given: argparse.Namespace, others: list[str], rng: np.random.Generator):
    from minigrad.data.stream import Segment
    from models import language_model

    options = language_model.settle(vars(language_model.parser().parse_args(["train", *others])))
    names = ("cell", "layers", "size", "dropout", "untied")
    model = language_model.LanguageModel(given.vocabulary, **{name: options[name] for name in names})
    text = np.stack(_sentences(given, rng), axis=1)
    segment = Segment(text, np.roll(text, -1, axis=0), first=True)

    def step() -> mg.Tensor:
        loss, count = model.loss(segment)
        return loss / count

    return f"{type(model).__name__} ({options['cell']})", model, step


def _word2vec(given: argparse.Namespace, others: list[str], rng: np.random.Generator):
    """The lesson's network, which predicts the next word."""
    from models.word2vec_lesson import NextWord

    if others:
        raise UsageError(f"word2vec takes no further options: got {' '.join(others)}")
    model = NextWord(given.vocabulary)
    words = np.concatenate(_sentences(given, rng))
    one_hot = nn.functional.one_hot(mg.tensor(words), given.vocabulary).float()
    return "Word vectors", model, lambda: nn.functional.cross_entropy(model(one_hot), mg.tensor(np.roll(words, -1)))


#: For each model: makes (its name, the module, a function that gives the loss) from the command line.
MODELS: dict[str, Callable] = {
    "transformer": _translator,
    "seq2seq": _translator,
    "language_model": _language_model,
    "word2vec": _word2vec,
}

if __name__ == "__main__":
    sys.exit(main())
