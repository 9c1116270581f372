"""The command line that every translator shares: ``train``, ``translate`` and ``test``, and ``attention`` where there is one.

A model brings its own options and presets, and a function that builds it; see models/transformer.py.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..data import ParallelText, TextPairs, TokenBatches, Tokenizer
from ..errors import CheckpointError, DataError, UsageError
from ..formats import atomic
from ..ops.random import manual_seed
from . import alignment as pictures
from . import console
from . import options as command_line
from .arguments import whole
from .loop import Schedule, Trainer
from .pictures import Makers, leave
from .rundir import RunDirectory, find_run
from .translation import (
    Decoding,
    Validation,
    alignment,
    average_checkpoints,
    load_checkpoint,
    longest,
    make_tokenizer,
    read_split,
    spelled,
    training_text,
    translate,
)
from .translation import test as measure


class Translator:
    """One translator's command line.

    Args:
        job: its name, as in ``runs/<job>-<data>``.
        description: for ``--help``.
        add_options: adds the model's own options to a parser, all None where left out.
        check: raises UsageError for values of these options that do not go together.
        build: makes the model from (options, vocabulary size).
        recipes: defaults by kind of data: the built-in ones, the first of which is the default, and "text" for files.
        presets: sizes by name; a preset's values are defaults too.
        make_optimizer: makes (optimizer, scheduler) from (options, model).
        begin_with: puts given weights into a new model, from (options, model, tokenizer), and returns lines that say so.
        aligns: whether models have ``align(source, target_input)``, which says where they look as they write.
        pictures: draws the trained model, from (model, tokenizer, pairs): yields names and pictures; see :mod:`.pictures`.
    """

    def __init__(
        self,
        job: str,
        description: str,
        add_options: Callable[[argparse.ArgumentParser], None],
        check: Callable[[dict], None],
        build: Callable[[dict, int], Any],
        recipes: dict[str, dict],
        presets: dict[str, dict],
        make_optimizer: Callable[[dict, Any], tuple[Any, Any]],
        *,
        begin_with: Callable[[dict, Any, Tokenizer], list[str]] | None = None,
        aligns: bool = False,
        pictures: Makers | None = None,
    ) -> None:
        self.job, self.description, self.add_options, self.check, self.build = job, description, add_options, check, build
        self.recipes, self.presets, self.make_optimizer = recipes, presets, make_optimizer
        self.begin_with, self.aligns, self.pictures = begin_with, aligns, pictures

    # -- the command line -----------------------------------------------------------------------------------------------

    def main(self, arguments: Sequence[str] | None = None) -> int:
        """Run a command; errors become one sentence on standard error and exit status 1."""
        given = self.parser().parse_args(arguments)
        return console.run(lambda: given.verb(given), smaller="choose a smaller model, --max-tokens or --decode-batch")

    def parser(self) -> argparse.ArgumentParser:
        """The parser of all verbs."""
        parser = command_line.Parser(prog=f"python -m models.{self.job}", description=self.description)
        names = "train|translate|test|attention" if self.aligns else "train|translate|test"
        verbs = parser.add_subparsers(title="verbs", required=True, metavar=names)
        usage = "%(prog)s [options]"  # argparse would list them all, twice

        train = verbs.add_parser(
            "train", help="train a model", usage=usage, epilog=command_line.epilog(self.recipes, self.presets)
        )
        command_line.data_options(train, self.recipes)
        self.add_options(train)
        command_line.training_options(train, self.presets)
        command_line.decoding_options(train, self.aligns)
        train.set_defaults(verb=self.train)

        translator = verbs.add_parser("translate", help="translate standard input", usage=usage)
        command_line.run_options(translator)
        group = command_line.decoding_options(translator, self.aligns)
        group.add_argument("--n-best", type=whole(1), metavar="N", help="lines for each line, best first")
        group.add_argument("--scores", action="store_true", help="the score and a tab before each translation")
        translator.add_argument("--interactive", action="store_true", help="translate each line as it is typed")
        translator.set_defaults(verb=self.translate)

        tester = verbs.add_parser("test", help="measure a model on held-out text", usage=usage)
        command_line.run_options(tester)
        command_line.decoding_options(tester, self.aligns)
        tester.add_argument("--test", dest="test_files", nargs="+", metavar="FILE", help="other files than the run's own")
        tester.add_argument("--split", choices=("valid", "test"), help="of the run's data; test, if it has one")
        tester.add_argument("--tokenize", choices=("none", "13a"), help="how BLEU cuts text; as the run does by default")
        tester.add_argument("--output", metavar="FILE", help="write the translations there")
        tester.set_defaults(verb=self.test)

        if self.aligns:
            usage = "%(prog)s [options] SENTENCE"
            looker = verbs.add_parser("attention", help="draw where a model looks as it translates a sentence", usage=usage)
            looker.add_argument("sentence", metavar="SENTENCE")
            command_line.run_options(looker)
            command_line.decoding_options(looker, self.aligns)
            looker.add_argument(
                "--out", metavar="FILE", help="the picture, an SVG; attention.svg in the run directory by default"
            )
            looker.set_defaults(verb=self.attention)
        return parser

    def settle(self, given: argparse.Namespace) -> dict[str, Any]:
        """The options of a new run with every default filled in. Raises UsageError for those that do not go together."""
        options = command_line.settle(vars(given), self.recipes, self.presets)
        command_line.decoding(options)
        self.check(options)
        return options

    # -- train ----------------------------------------------------------------------------------------------------------

    def train(self, given: argparse.Namespace) -> None:
        """``train``: a new run, or with ``--resume`` an earlier one. Nothing is written before all is read and built."""
        started = time.perf_counter()
        run = config = None
        if given.resume:
            run = RunDirectory.open(given.resume)
            config = run.config()
            options = command_line.resettle(self._saved_options(run), vars(given))
        else:
            options = self.settle(given)
            RunDirectory.check_new(options["out"])
        _set_threads(options["threads"])
        training_pairs, held = training_text(options)
        tested = read_split(options, "test")
        fingerprints = {"training": training_pairs.fingerprint(), "validation": held.fingerprint()}
        if run and config:
            _check_unchanged(run, config.get("data", {}), fingerprints)
        tokenizer = _saved_tokenizer(run) if run else make_tokenizer(options, training_pairs)
        training = ParallelText.encode(training_pairs, tokenizer, max_tokens=options["max_length"])
        sentences = options["batch_sentences"] or None
        batches = TokenBatches(training, options["max_tokens"], max_sentences=sentences, seed=options["seed"])
        manual_seed(options["seed"])
        model = self.build(options, len(tokenizer))
        given_weights = self.begin_with(options, model, tokenizer) if self.begin_with and run is None else []
        optimizer, scheduler = self.make_optimizer(options, model)
        validation = ParallelText.encode(held, tokenizer, max_tokens=longest(model))
        if run is None:
            run = RunDirectory.create(options["out"], job=self.job, data=options["data"] or options["train_files"][0])
        with run.claimed():
            if not given.resume:
                run.write_vocabulary(tokenizer.to_json())
                run.write_config(options, seed=options["seed"], data=fingerprints)
            limits = {"max_tokens": options["max_tokens"], "limit": options["valid_sentences"]}
            check = Validation(model, tokenizer, validation, tokenize=options["tokenize"], **limits)
            schedule = Schedule(**{field.name: options[field.name] for field in fields(Schedule)})
            trainer = Trainer(model, optimizer, scheduler, batches, run, check, schedule, options["monitor"])
            skipped = f"; skipped: {batches.skipped:,} longer than a batch" if batches.skipped else ""
            for line in (
                f"run directory {run.path}",
                f"training    {training.describe()}{skipped}",
                f"validation  {validation.describe()}",
                f"model       {self._size(options, model)}, vocabulary of {len(tokenizer):,} {options['tokens']}; "
                f"{_threads()}; ready after {time.perf_counter() - started:.1f} s",
                *given_weights,
            ):
                trainer.say(None, line)
            if given.resume:
                trainer.resume()
                run.write_options(options)
                trainer.say(None, f"going on after step {trainer.step:,}")
            if trainer.step >= schedule.steps:
                trainer.say(None, f"all {schedule.steps:,} steps are done; give more --steps to train on")
                return
            trainer.fit()
            split = "test" if tested else "validation"
            self._finish(trainer, tokenizer, tested or held, options, f"the {split} split")

    def _size(self, options: dict, model: Any) -> str:
        preset = self.presets[options["preset"]]
        changed = [f"{name} {options[name]}" for name, value in preset.items() if options[name] != value]
        count = sum(p.numel() for p in model.parameters())
        return f"{options['preset']}{' but ' + ', '.join(changed) if changed else ''}, {count:,} parameters"

    def _finish(self, trainer: Trainer, tokenizer: Tokenizer, pairs: TextPairs, options: dict, split: str) -> None:
        """After training: measure the best checkpoint, or the average of the last, and say where the results are."""
        model, run = trainer.model, trainer.run
        model.eval()
        if options["average"] > 1:
            count = average_checkpoints(run, model, options["average"])
            which = f"the average of the last {count} checkpoints" if count > 1 else "the last checkpoint"
        else:
            load_checkpoint(run, "best", model)
            which = "the best checkpoint"
        trainer.say(None, f"translating {split}, {len(pairs):,} sentences, with {which} ...")
        lines, found = _measured(model, tokenizer, pairs, options, command_line.decoding(options))
        for line in (f"{which} on {split}: {lines[0]}", *lines[1:], f"loss curves in {run.path / 'loss.svg'}"):
            trainer.say(None, line)
        if options["pictures"]:
            trainer.say(None, leave(run, self.pictures, model, tokenizer, pairs, found))

    # -- translate and test ---------------------------------------------------------------------------------------------

    def translate(self, given: argparse.Namespace) -> None:
        """``translate``: lines from standard input, their translations to standard output, line by line."""
        how = command_line.decoding(vars(given))
        run, _, tokenizer, model = self._open(given)
        self._check_alignment(model, how.replace_unknown)
        if given.interactive:
            print(f"{run.path}: type a sentence, or end with Ctrl-D", file=sys.stderr)
        console.write_utf8()
        lines = console.typed_lines() if given.interactive else console.piped_lines()
        skipped = 0
        for texts in console.chunks(lines, 1 if given.interactive else 1000):
            skipped += sum(len(tokenizer.encode(text)) > longest(model) for text in texts)
            for hypotheses in translate(model, tokenizer, texts, how):
                for rank in range(how.n_best):  # as many lines for each, so that line i of the output belongs to line i // n
                    found = hypotheses[rank] if rank < len(hypotheses) else None
                    score = (f"{found.score:.4f}" if found else "") + "\t"
                    print((score if given.scores else "") + (spelled(tokenizer, found) if found else ""))
            sys.stdout.flush()
        if skipped:
            some = "1 line" if skipped == 1 else f"{skipped:,} lines"
            print(f"{some} of more than {longest(model):,} tokens not translated, but left empty", file=sys.stderr)

    def test(self, given: argparse.Namespace) -> None:
        """``test``: translate held-out text, and say how good it is."""
        how = command_line.decoding(vars(given))
        if given.test_files and given.split:
            raise UsageError("--split is of the run's own data and --test names other files: give one of them")
        if given.output and not os.access(Path(given.output).parent, os.W_OK):
            raise UsageError(f"--output {given.output} cannot be written: name a file in a directory that you may write to")
        run, options, tokenizer, model = self._open(given)
        self._check_alignment(model, how.replace_unknown)
        if given.test_files:
            options = {
                **options,
                "test_files": given.test_files,
                "holdout": 0,
                "train_files": options["train_files"] or given.test_files,
            }
        if given.tokenize:
            options["tokenize"] = given.tokenize
        pairs = None if given.split == "valid" else read_split(options, "test")
        if pairs is None and given.split == "test":
            raise UsageError("this run was given no test files: name them with --test SOURCE TARGET, or measure --split valid")
        split = "the test split" if pairs else "the validation split"
        if given.test_files:
            split = " and ".join(given.test_files)
        lines, found = _measured(model, tokenizer, pairs or training_text(options)[1], options, how)
        lines[0] = f"{run.path} on {split}: {lines[0]}"
        print("\n".join(lines), flush=True)
        if given.output:
            atomic.write_text(given.output, "".join(line + "\n" for line in found))
        with contextlib.suppress(CheckpointError):  # the run of another user can be measured, though not be written to
            run.log("\n".join(lines))

    def attention(self, given: argparse.Namespace) -> None:
        """``attention``: translate a sentence, and draw where the model looked."""
        how = command_line.decoding(vars(given))
        if given.out and not os.access(Path(given.out).parent, os.W_OK):
            raise UsageError(f"--out {given.out} cannot be written: name a file in a directory that you may write to")
        run, _, tokenizer, model = self._open(given)
        self._check_alignment(model, True)
        found = translate(model, tokenizer, [given.sentence], how)[0]
        if not found:
            raise UsageError(f"there is a picture of a sentence of 1 to {longest(model):,} tokens: got {given.sentence[:60]!r}")
        source = tokenizer.split(given.sentence.lower() if tokenizer.lowercase else given.sentence)
        written = tokenizer.vocabulary.decode(found[0].tokens)
        written = [found[0].copied.get(place, token) for place, token in enumerate(written)]
        weights = alignment(model, tokenizer, given.sentence, found[0])
        path = Path(given.out) if given.out else run.path / "attention.svg"
        atomic.write_text(path, pictures.draw(weights, [*source, "<eos>"], [*written, "<eos>"]))
        console.write_utf8()
        print(f"{spelled(tokenizer, found[0])}\nthe picture is in {path}")

    def _check_alignment(self, model: Any, asked: bool) -> None:
        """Raise UsageError where what needs attention is asked of a model without."""
        if asked and not (self.aligns and model.aligns):
            raise UsageError(
                "this model has no attention, so nothing shows where it looked: train one with --attention general"
            )

    def _open(self, given: argparse.Namespace) -> tuple[RunDirectory, dict[str, Any], Tokenizer, Any]:
        _set_threads(given.threads)
        run = find_run(given.run, self.job)
        options, tokenizer = self._saved_options(run), _saved_tokenizer(run)
        model = self.build(options, len(tokenizer))
        if given.average and given.checkpoint:
            raise UsageError("--average makes a checkpoint out of several and --checkpoint names one: give one of them")
        if given.average:
            average_checkpoints(run, model, given.average)
        else:
            load_checkpoint(run, given.checkpoint or command_line.DEFAULTS["checkpoint"], model)
        model.eval()
        return run, options, tokenizer, model

    def _saved_options(self, run: RunDirectory) -> dict[str, Any]:
        """The options in a run's configuration, checked as those of a command line are."""
        saved = run.config().get("options")
        saved = saved if isinstance(saved, dict) else {}
        options = {**command_line.DEFAULTS, **saved}  # what runs had no option for yet has its default
        known = {"preset": [*self.presets], "data": [None, *self.recipes]}
        wrong = [name for name, values in known.items() if options.get(name, "missing") not in values]
        if not wrong:
            expected = {**command_line.DEFAULTS, **self.recipes[options["data"] or "text"], **self.presets[options["preset"]]}
            wrong = [name for name, value in expected.items() if _kind(options.get(name)) not in (_kind(value), type(None))]
            wrong += [name for name in expected if name not in options]
        if wrong:
            path = run.path / "config.json"
            raise CheckpointError(f"{path} describes no {self.job}: see its {wrong[0]!r}; restore the file, or train again")
        self.check(options)
        return options


def _kind(value: Any) -> type:
    """The type of an option, as JSON keeps it apart: one of numbers, one of sequences."""
    return float if isinstance(value, (int, float)) else list if isinstance(value, tuple) else type(value)


def _measured(model: Any, tokenizer: Tokenizer, pairs: TextPairs, options: dict, how: Decoding) -> tuple[list[str], list[str]]:
    """How good a model is, in lines to print, and its translations."""
    metrics, found = measure(model, tokenizer, pairs, how, max_tokens=options["max_tokens"], tokenize=options["tokenize"])
    skipped = f"; skipped: {metrics['skipped']}" if metrics["skipped"] else ""
    lines = [
        f"{metrics['sentences']:,} sentences, {metrics['sentences_per_second']:.1f} a second{skipped}",
        f"  BLEU         {metrics['bleu'].score:.2f}  ({metrics['bleu'].signature})",
        f"  chrF         {metrics['chrf'].score:.2f}  ({metrics['chrf'].signature})",
        f"  exact match  {metrics['exact_match']:.2f} %",
        f"  loss         {metrics['loss']:.4f} nats a token, perplexity {metrics['perplexity']:.4g}",
    ]
    return lines, found


def _saved_tokenizer(run: RunDirectory) -> Tokenizer:
    try:
        return Tokenizer.from_json(run.vocabulary())
    except DataError as error:
        raise CheckpointError(f"{run.path / 'vocabulary.json'} cannot be used: {error}") from None


def _check_unchanged(run: RunDirectory, before: dict[str, str], now: dict[str, str]) -> None:
    """Raise DataError where a run's text is no longer what it began with: the order of its batches would be another."""
    for name, text in now.items():
        if before.get(name, text) != text:
            was = f"the {name} text has changed since {run.path} began"
            raise DataError(f"{was}: {before[name]} then, {text} now; restore it, or begin a new run")


def _set_threads(count: int | None) -> None:
    if count is not None:
        from ..kernels import threads

        threads.set_num_threads(count)


def _threads() -> str:
    from ..kernels import threads

    count = threads.get_num_threads()
    return "1 thread" if count == 1 else f"{count} threads"
