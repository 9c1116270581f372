"""The options of a translator's command line: which there are, what each may be, and what holds where one is left out.

Every option of ``train`` is None unless it was given, so that what the user chose can be told from what was filled in: a
preset and a recipe fill in what is left, and ``--resume`` refuses what a run has settled when it began.
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Mapping
from typing import Any

from ..errors import UsageError
from . import arguments
from .arguments import above_0, flag, from_0, listed, number, share, whole
from .translation import Decoding

DEFAULTS: dict[str, Any] = {  # for every kind of data; recipes and presets add to these
    "columns": (0, 1), "holdout": 0, "min_count": 1, "lowercase": False, "max_length": 256, "data_seed": 0,
    "batch_sentences": 0, "accumulate": 1, "clip": 1.0, "weight_decay": 0.0, "valid_sentences": 500, "seed": 1,
    "monitor": 50,
    "checkpoint": "best", "beam": Decoding.beam, "length_penalty": Decoding.length_penalty, "n_best": Decoding.n_best,
    "decode_batch": Decoding.batch, "replace_unknown": Decoding.replace_unknown, "pictures": True,
}  # fmt: skip

_RESUMABLE = ("resume", "steps", "patience", "enough", "monitor", "threads", "pictures")  # what may change when a run goes on
_BUILT_IN_ONLY = ("train_size", "valid_size", "test_size", "data_seed")


class Parser(arguments.Parser):
    """A translator's parser."""

    defaults = DEFAULTS


# -- the groups ---------------------------------------------------------------------------------------------------------


def data_options(parser: argparse.ArgumentParser, recipes: Mapping[str, Any]) -> None:
    """What to learn from."""
    add = parser.add_argument_group("data").add_argument
    built_in = tuple(name for name in recipes if name != "text")
    add("--data", choices=built_in, help=f"built-in data; {built_in[0]} if no files are given")
    add("--train", dest="train_files", nargs="+", metavar="FILE", help="source and target, or one file of columns (.tsv)")
    add("--valid", dest="valid_files", nargs="+", metavar="FILE", help="for validation; else a part of --train is held out")
    add("--test", dest="test_files", nargs="+", metavar="FILE", help="for the test after training; else that of --valid")
    add("--holdout", type=whole(0), metavar="N", help="without --test files, the pairs of N sources are kept out for the test")
    add("--columns", nargs=2, type=whole(0), metavar="N", help="which columns hold source and target, from 0")
    add("--tokens", choices=("words", "chars", "pieces", "subwords"), help="what a token is")
    add("--vocab-size", type=whole(1), metavar="N", help="tokens at most, both languages together")
    add("--min-count", type=whole(1), metavar="N", help="leave out tokens seen less often")
    add("--lowercase", action="store_true", default=None, help="lower-case the text; scores disregard case")
    add("--max-length", type=whole(1), metavar="N", help="skip training pairs with more tokens on a side")
    for split in ("train", "valid", "test"):
        add(f"--{split}-size", type=whole(1), metavar="N", help=f"pairs in the {split} split of built-in data")
    add("--data-seed", type=whole(0), metavar="N", help="seed of built-in data")


def training_options(parser: argparse.ArgumentParser, presets: Mapping[str, Any]) -> None:
    """How to learn."""
    add = parser.add_argument_group("training").add_argument
    add("--preset", choices=tuple(presets), help="the size of the model")
    add("--steps", type=whole(1), metavar="N", help="parameter updates at most")
    add("--max-tokens", type=whole(1), metavar="N", help="tokens in a batch on either side, padding included")
    add("--batch-sentences", type=whole(0), metavar="N", help="sentences in a batch at most; 0: as many as the tokens allow")
    add("--accumulate", type=whole(1), metavar="N", help="batches for one update")
    add("--lr", type=above_0, metavar="X", help="the highest learning rate")
    add("--warmup", type=whole(1), metavar="N", help="updates until it is reached")
    add("--clip", type=from_0, metavar="X", help="the greatest gradient norm; 0 for any")
    add("--label-smoothing", type=share, metavar="X", help="the share of a target spread over all tokens")
    add("--weight-decay", type=from_0, metavar="X", help="decoupled weight decay (AdamW)")
    add("--validate-every", type=whole(1), metavar="N", help="updates between validations; else each epoch")
    add("--valid-sentences", type=whole(1), metavar="N", help="sentences translated in a validation")
    add("--metric", choices=("valid_loss", "bleu", "exact_match"), help="what the best checkpoint is best at")
    add("--enough", type=number(), metavar="X", help="stop when the metric reaches this")
    add("--patience", type=whole(0), metavar="N", help="stop after so many validations without improvement; 0: never")
    add("--keep", type=whole(1), metavar="N", help="numbered checkpoints to keep, if more than 1, beside best and last")
    add("--average", type=whole(1), metavar="N", help="how many of them to average for the test; 1: take the best")
    add("--monitor", type=whole(0), metavar="N", help="look at gradient flow every N updates; 0: never")
    add("--tokenize", choices=("none", "13a"), help="how BLEU cuts text into tokens")
    add("--seed", type=whole(0), metavar="N", help="of the weights, the order of the data and dropout")
    add("--threads", type=whole(1), metavar="N", help="processor cores to use; all by default")
    switch = argparse.BooleanOptionalAction
    add("--pictures", action=switch, help="draw the trained model, where matplotlib is there")
    add("--out", metavar="DIR", help="the run directory; runs/<model>-<data> by default")
    add("--resume", metavar="DIR", help=f"go on with this run; of the options only {listed(_RESUMABLE[1:])} may change")


def run_options(parser: argparse.ArgumentParser) -> None:
    """Which trained model."""
    parser.add_argument("--run", metavar="DIR", help="the run directory; the newest by default")
    parser.add_argument("--checkpoint", help="best, last, averaged, a step number, or a file")
    parser.add_argument("--average", type=whole(1), metavar="N", help="average so many numbered checkpoints instead")
    parser.add_argument("--threads", type=whole(1), metavar="N", help="processor cores to use; all by default")


def decoding_options(parser: argparse.ArgumentParser, aligns: bool = False) -> Any:
    """How to search for a translation, with or without what needs a model that ``aligns``. Returns the group, to add to."""
    group = parser.add_argument_group("decoding")
    group.add_argument("--beam", type=whole(1), metavar="N", help="beam size; 1 is greedy")
    group.add_argument("--length-penalty", type=number(), metavar="X", help="scores are divided by length to this power")
    group.add_argument("--decode-batch", type=whole(1), metavar="N", help="sentences translated together")
    if aligns:
        switch = argparse.BooleanOptionalAction
        group.add_argument("--replace-unknown", action=switch, help="copy the source word most looked at in place of <unk>")
    return group


def epilog(recipes: Mapping[str, Mapping], presets: Mapping[str, Mapping]) -> str:
    """The end of the help of ``train``: what presets and recipes stand for."""
    named = [(f"--preset {name}", values) for name, values in presets.items()]
    named += [("--train FILE ..." if name == "text" else f"--data {name}", values) for name, values in recipes.items()]
    parts = ["what holds where an option is left out:"]
    for name, values in named:
        text = f"{name:<18}" + " ".join(f"{flag(key)} {value}" for key, value in values.items())
        parts += textwrap.wrap(text, 100, initial_indent="  ", subsequent_indent=" " * 20, break_on_hyphens=False)
    return "\n".join(parts)


# -- from what was given to what holds ----------------------------------------------------------------------------------


def settle(given: Mapping[str, Any], recipes: Mapping[str, Mapping], presets: Mapping[str, Mapping]) -> dict[str, Any]:
    """The options of a new run with every default filled in: what was given, else the preset's, else the recipe's.

    Raises:
        UsageError: for options that exclude each other.
    """
    options = {name: value for name, value in given.items() if name != "verb"}
    if options["train_files"] and options["data"]:
        raise UsageError("--data names built-in data and --train files of your own: give one of them")
    if (options["valid_files"] or options["test_files"]) and not options["train_files"]:
        raise UsageError("--valid and --test files go with --train files: give these too, or leave those out")
    idle = [name for name in _BUILT_IN_ONLY if options["train_files"] and options[name] is not None]
    if idle:
        raise UsageError(f"{listed(idle)} goes with built-in data, and --train files are all used: leave it out")
    if options["holdout"] and (options["test_files"] or not options["train_files"]):
        raise UsageError("--holdout takes the test text out of --train files: leave it out with --test files or built-in data")
    options["data"] = options["data"] or (None if options["train_files"] else next(iter(recipes)))
    recipe = recipes[options["data"] or "text"]
    options["preset"] = options["preset"] or recipe["preset"]
    if options["average"] and not options["keep"]:
        options["keep"] = max(options["average"], recipe["keep"])
    if options["keep"] and not options["average"]:
        options["average"] = min(options["keep"], recipe["average"])
    common = {name: value for name, value in DEFAULTS.items() if name in options}
    for name, value in {**common, **recipe, **presets[options["preset"]]}.items():
        if options.get(name) is None:
            options[name] = value
    if options["average"] > options["keep"]:
        found = f"--average {options['average']} and --keep {options['keep']}"
        raise UsageError(f"the average is over checkpoints that are kept: got {found}; keep as many")
    return options


def resettle(settled: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a run that goes on: as they were ``settled``, but for those that may change.

    Raises:
        UsageError: for a given option that may not.
    """
    fixed = [name for name, value in given.items() if value is not None and name not in (*_RESUMABLE, "verb")]
    if fixed:
        raise UsageError(
            f"a resumed run keeps the options it began with, but for {listed(_RESUMABLE[1:])}: "
            f"leave out {listed(fixed)}, or begin a new run"
        )
    return {**settled, **{name: given[name] for name in _RESUMABLE[1:] if given[name] is not None}}


def decoding(options: Mapping[str, Any]) -> Decoding:
    """How the options say to search. Raises UsageError for more translations of a sentence than the search keeps."""
    names = ("beam", "length_penalty", "n_best", "decode_batch", "replace_unknown")
    beam, power, n_best, batch, replace = (DEFAULTS[name] if options.get(name) is None else options[name] for name in names)
    if n_best > beam:
        raise UsageError(f"--n-best is at most --beam: got {n_best} and {beam}")
    return Decoding(beam, power, n_best, batch, replace)
