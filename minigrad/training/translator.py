"""The command line that every translator shares: ``train``, ``translate`` and ``test``.

A model brings its own options and presets, and a function that builds it; see models/transformer.py.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from ..data import ParallelText, TokenBatches, Tokenizer
from ..errors import MinigradError, UsageError
from ..ops.random import manual_seed
from .loop import Schedule, Trainer
from .rundir import RunDirectory
from .translation import (
    Decoding,
    Validation,
    average_checkpoints,
    find_run,
    hold_out,
    load_checkpoint,
    make_tokenizer,
    read_split,
    translate,
)
from .translation import test as measure

MAX_LINE = 4000  # tokens of a line to translate; beyond it attention would need gigabytes


class Translator:
    """One translator's command line.

    Args:
        job: its name, as in ``runs/<job>-<data>``.
        description: for ``--help``.
        add_options: adds the model's own options to a parser.
        build: makes the model from (options, vocabulary size).
        recipes: defaults by kind of data: "dates", "reverse", "copy", and "text" for files.
        presets: sizes by name; a preset's values are defaults too.
        make_optimizer: makes (optimizer, scheduler) from (options, model).
    """

    def __init__(
        self,
        job: str,
        description: str,
        add_options: Callable[[argparse.ArgumentParser], None],
        build: Callable[[dict, int], Any],
        recipes: dict[str, dict],
        presets: dict[str, dict],
        make_optimizer: Callable[[dict, Any], tuple[Any, Any]],
    ) -> None:
        self.job, self.description, self.add_options, self.build = job, description, add_options, build
        self.recipes, self.presets, self.make_optimizer = recipes, presets, make_optimizer

    # -- the command line -----------------------------------------------------------------------------------------------

    def main(self, arguments: Sequence[str] | None = None) -> int:
        """Run a command; errors become one sentence on standard error and exit status 1."""
        options = self.parser().parse_args(arguments)
        try:
            options.run_verb(options)
        except MinigradError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return 130
        except BrokenPipeError:  # the reader of our output has gone
            sys.stderr.close()
            return 1
        return 0

    def parser(self) -> argparse.ArgumentParser:
        """The parser of all verbs."""
        parser = argparse.ArgumentParser(prog=f"python -m models.{self.job}", description=self.description)
        verbs = parser.add_subparsers(title="verbs", required=True, metavar="train|translate|test")
        train = verbs.add_parser("train", help="train a model", formatter_class=argparse.ArgumentDefaultsHelpFormatter)
        _data_options(train)
        self.add_options(train)
        _training_options(train, self.presets)
        _decoding_options(train)
        train.set_defaults(run_verb=self.train)
        translator = verbs.add_parser("translate", help="translate standard input", formatter_class=argparse.ArgumentDefaultsHelpFormatter)
        _run_options(translator)
        _decoding_options(translator)
        translator.add_argument("--interactive", action="store_true", help="translate each line as it is typed")
        translator.add_argument("--scores", action="store_true", help="print the score of each translation before it")
        translator.set_defaults(run_verb=self.translate)
        tester = verbs.add_parser("test", help="measure a model on held-out text", formatter_class=argparse.ArgumentDefaultsHelpFormatter)
        _run_options(tester)
        _decoding_options(tester)
        tester.add_argument("--test", dest="test_files", nargs="+", metavar="FILE", help="source and target files, or one .tsv; the run's own by default")
        tester.add_argument("--split", choices=("valid", "test"), default="test", help="which split of the run's data")
        tester.add_argument("--tokenize", choices=("none", "13a"), help="how BLEU cuts text into tokens; the run's own by default")
        tester.add_argument("--output", metavar="FILE", help="write the translations there")
        tester.set_defaults(run_verb=self.test)
        return parser

    def settle(self, given: argparse.Namespace) -> dict[str, Any]:
        """The options with every default filled in: what was given, else the preset's, else the data's recipe.

        Raises:
            UsageError: for options that exclude each other.
        """
        options = {name: value for name, value in vars(given).items() if name != "run_verb"}
        if options["train_files"] and options["data"]:
            raise UsageError("--data names built-in data and --train files of your own: give one of them")
        if (options["valid_files"] or options["test_files"]) and not options["train_files"]:
            raise UsageError("--valid and --test files go with --train files")
        options["data"] = options["data"] or (None if options["train_files"] else "dates")
        recipe = self.recipes["text" if options["train_files"] else options["data"]]
        preset = options["preset"] or recipe["preset"]
        for name, value in {**recipe, **self.presets[preset], "preset": preset}.items():
            if options.get(name) is None:
                options[name] = value
        return options

    # -- verbs ----------------------------------------------------------------------------------------------------------

    def train(self, given: argparse.Namespace) -> None:
        """``train``: a new run, or with ``--resume`` one that goes on."""
        started = time.perf_counter()
        _set_threads(given.threads)
        if given.resume:
            run = RunDirectory.open(given.resume)
            options = run.config()["options"]
            for name in ("steps", "patience"):  # what may change when a run goes on
                if getattr(given, name) is not None:
                    options[name] = getattr(given, name)
            tokenizer = Tokenizer.from_json(run.vocabulary())
        else:
            options = self.settle(given)
            run = tokenizer = None
        pairs = read_split(options, "train")
        assert pairs is not None
        held = read_split(options, "valid")
        if held is None:
            pairs, held = hold_out(pairs, min(1000, max(1, len(pairs) // 10)), options["seed"])
        tokenizer = tokenizer or make_tokenizer(options, pairs)
        training = ParallelText.encode(pairs, tokenizer, max_tokens=options["max_length"])
        validation = ParallelText.encode(held, tokenizer)
        if run is None:
            run = RunDirectory.create(options["out"], job=self.job, data=options["data"] or options["train_files"][0])
            run.write_config(options, seed=options["seed"])
            run.write_vocabulary(tokenizer.to_json())
        manual_seed(options["seed"])
        model = self.build(options, len(tokenizer))
        optimizer, scheduler = self.make_optimizer(options, model)
        batches = TokenBatches(training, options["max_tokens"], seed=options["seed"])
        check = Validation(
            model, tokenizer, validation, max_tokens=options["max_tokens"], limit=options["valid_sentences"], tokenize=options["tokenize"]
        )
        schedule = Schedule(
            steps=options["steps"],
            accumulate=options["accumulate"],
            clip=options["clip"],
            validate_every=options["validate_every"],
            patience=options["patience"],
            keep=options["keep"],
            metric=options["metric"],
            enough=options["enough"],
        )
        trainer = Trainer(model, optimizer, scheduler, batches, run, check, schedule)
        trainer.say(None, f"run directory {run.path}")
        trainer.say(None, f"training    {training.describe()}")
        trainer.say(None, f"validation  {validation.describe()}")
        if batches.skipped:
            trainer.say(None, f"left out {batches.skipped:,} pairs longer than --max-tokens {options['max_tokens']}")
        count = sum(p.numel() for p in model.parameters())
        trainer.say(
            None,
            f"model       {options['preset']}, {count:,} parameters, vocabulary of {len(tokenizer):,} {options['tokens']}; "
            f"{_threads()} threads; ready after {time.perf_counter() - started:.1f} s",
        )
        if given.resume:
            trainer.resume()
            trainer.say(None, f"going on after step {trainer.step:,}")
        if trainer.step >= schedule.steps:
            trainer.say(None, f"all {schedule.steps:,} steps are done; give more --steps to train on")
            return
        trainer.fit()
        self._finish(run, model, tokenizer, options)

    def _finish(self, run: RunDirectory, model: Any, tokenizer: Tokenizer, options: dict) -> None:
        """After training: the best checkpoint, or the average of the last, on the test split."""
        model.eval()
        if options["average"] > 1:
            count = average_checkpoints(run, model, options["average"])
            which = f"the average of the last {count} checkpoints"
        else:
            load_checkpoint(run, "best", model)
            which = "the best checkpoint"
        split = "test" if options["test_files"] or not options["train_files"] else "valid"
        pairs = read_split(options, split)
        if pairs is None:
            return
        self._report(run, model, tokenizer, pairs, options, _decoding(options), f"{which} on the {split} split")

    def _report(self, run, model, tokenizer, pairs, options: dict, how: Decoding, what: str) -> list[str]:
        metrics, found = measure(model, tokenizer, pairs, how, max_tokens=options["max_tokens"], tokenize=options["tokenize"])
        lines = [
            f"{what}: {metrics['sentences']:,} sentences, {metrics['sentences_per_second']:.1f} a second",
            f"  BLEU         {metrics['bleu'].score:.2f}  ({metrics['bleu'].signature})",
            f"  chrF         {metrics['chrf'].score:.2f}  ({metrics['chrf'].signature})",
            f"  exact match  {metrics['exact_match']:.2f} %",
            f"  loss         {metrics['loss']:.4f} nats a token, perplexity {metrics['perplexity']:.4g}",
        ]
        for line in lines:
            print(line, flush=True)
        run.log("\n".join(lines))
        return found

    def translate(self, given: argparse.Namespace) -> None:
        """``translate``: lines from standard input, their translations to standard output."""
        run, options, tokenizer, model = self._open(given)
        how = _decoding(vars(given))
        terminal = given.interactive
        if terminal:
            print(f"{run.path}: type a sentence, or end with Ctrl-D", file=sys.stderr)
        skipped = 0
        for texts in _chunks(sys.stdin, 1 if terminal else 1000):
            long = [len(tokenizer.encode(text)) > MAX_LINE for text in texts]
            skipped += sum(long)
            found = translate(model, tokenizer, ["" if cut else text for text, cut in zip(texts, long)], how)
            for hypotheses in found:
                for hypothesis in hypotheses or [None]:
                    score = f"{hypothesis.score:.4f}\t" if given.scores and hypothesis else ""
                    print(score + (tokenizer.decode(hypothesis.tokens) if hypothesis else ""), flush=terminal)
        if skipped:
            print(f"{skipped} lines of more than {MAX_LINE} tokens were not translated: their lines are empty", file=sys.stderr)

    def test(self, given: argparse.Namespace) -> None:
        """``test``: translate held-out text, and say how good it is."""
        run, options, tokenizer, model = self._open(given)
        if given.test_files:
            options = {**options, "test_files": given.test_files, "train_files": options["train_files"] or given.test_files}
            split = "test"
        else:
            split = given.split
        if given.tokenize:
            options["tokenize"] = given.tokenize
        pairs = read_split(options, split)
        if pairs is None:
            raise UsageError(f"this run was given no {split} files: name them with --test SOURCE TARGET")
        found = self._report(run, model, tokenizer, pairs, options, _decoding(vars(given)), f"{run.path} on the {split} split")
        if given.output:
            from ..formats import atomic

            atomic.write_text(given.output, "".join(line + "\n" for line in found))

    def _open(self, given: argparse.Namespace):
        _set_threads(given.threads)
        run = find_run(given.run, self.job)
        options = run.config()["options"]
        tokenizer = Tokenizer.from_json(run.vocabulary())
        model = self.build(options, len(tokenizer))
        if given.average:
            average_checkpoints(run, model, given.average)
        else:
            load_checkpoint(run, given.checkpoint, model)
        model.eval()
        return run, options, tokenizer, model


# -- options ------------------------------------------------------------------------------------------------------------


def _positive(kind):
    def convert(text: str):
        value = kind(text)
        if value <= 0:
            raise argparse.ArgumentTypeError(f"must be above 0: got {text}")
        return value

    return convert


def _data_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("data")
    group.add_argument("--data", choices=("dates", "reverse", "copy"), help="built-in data; dates if no files are given")
    for split in SPLIT_HELP:
        group.add_argument(f"--{split}", dest=f"{split}_files", nargs="+", metavar="FILE", help=SPLIT_HELP[split])
    group.add_argument("--columns", nargs=2, type=int, default=(0, 1), metavar="N", help="columns of a .tsv that hold source and target, from 0")
    group.add_argument("--tokens", choices=("words", "chars", "pieces", "subwords"), help="what a token is; subwords are trained on the spot")
    group.add_argument("--vocab-size", type=_positive(int), help="tokens at most, both languages together")
    group.add_argument("--min-count", type=_positive(int), default=1, help="leave out tokens seen less often")
    group.add_argument("--lowercase", action="store_true", help="lower-case all text")
    group.add_argument("--max-length", type=_positive(int), default=256, help="skip training pairs with more tokens on a side")
    for split in ("train", "valid", "test"):
        group.add_argument(f"--{split}-size", type=_positive(int), help=f"pairs in the {split} split of built-in data")
    group.add_argument("--data-seed", type=int, default=0, help="seed of built-in data")


SPLIT_HELP = {
    "train": "source and target files, or one .tsv",
    "valid": "the same for validation; by default a part of the training text is held out",
    "test": "the same for the test after training",
}


def _training_options(parser: argparse.ArgumentParser, presets: dict) -> None:
    group = parser.add_argument_group("training")
    group.add_argument("--preset", choices=tuple(presets), help="the size of the model")
    group.add_argument("--steps", type=_positive(int), help="parameter updates at most")
    group.add_argument("--max-tokens", type=_positive(int), help="tokens in a batch on either side, padding included")
    group.add_argument("--accumulate", type=_positive(int), default=1, help="batches for one update")
    group.add_argument("--lr", type=_positive(float), help="the highest learning rate")
    group.add_argument("--warmup", type=_positive(int), help="updates until it is reached")
    group.add_argument("--clip", type=float, default=1.0, help="the greatest gradient norm; 0 for any")
    group.add_argument("--label-smoothing", type=float, help="the share of the target's probability spread over all tokens")
    group.add_argument("--weight-decay", type=float, default=0.0, help="decoupled weight decay (AdamW)")
    group.add_argument("--validate-every", type=_positive(int), help="updates between validations; each epoch if left out")
    group.add_argument("--valid-sentences", type=_positive(int), default=500, help="sentences translated in a validation")
    group.add_argument("--metric", choices=("valid_loss", "bleu", "exact_match"), help="what the best checkpoint is best at")
    group.add_argument("--enough", type=float, help="stop when the metric reaches this")
    group.add_argument("--patience", type=int, help="validations without improvement before stopping; 0 for never")
    group.add_argument("--keep", type=_positive(int), help="numbered checkpoints to keep")
    group.add_argument("--average", type=_positive(int), help="average so many of them for the final test")
    group.add_argument("--tokenize", choices=("none", "13a"), help="how BLEU cuts text into tokens")
    group.add_argument("--seed", type=int, default=1, help="of the weights, the order of the data and dropout")
    group.add_argument("--threads", type=_positive(int), help="processor cores to use; all by default")
    group.add_argument("--out", metavar="DIR", help="the run directory; runs/<model>-<data> by default")
    group.add_argument("--resume", metavar="DIR", help="go on with the run in this directory; other options but --steps and --patience are its own")


def _decoding_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("decoding")
    group.add_argument("--beam", type=_positive(int), default=5, help="beam size; 1 is greedy")
    group.add_argument("--length-penalty", type=float, default=1.0, help="scores are divided by length to this power")
    group.add_argument("--n-best", type=_positive(int), default=1, help="translations of each sentence")
    group.add_argument("--decode-batch", type=_positive(int), default=64, help="sentences translated together")


def _run_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run", metavar="DIR", help="the run directory; the newest by default")
    parser.add_argument("--checkpoint", default="best", help="best, last, averaged, a step number, or a file")
    parser.add_argument("--average", type=_positive(int), help="average so many numbered checkpoints instead")
    parser.add_argument("--threads", type=_positive(int), help="processor cores to use; all by default")


def _decoding(options: dict) -> Decoding:
    if options["n_best"] > options["beam"]:
        raise UsageError(f"--n-best is at most --beam: got {options['n_best']} and {options['beam']}")
    return Decoding(options["beam"], options["length_penalty"], options["n_best"], options["decode_batch"])


def _chunks(stream, size: int):
    """Lines without their ends, up to ``size`` at a time.

    Raises:
        UsageError: for input that is not UTF-8.
    """
    lines: list[str] = []
    try:
        for line in stream:
            lines.append(line.rstrip("\r\n"))
            if len(lines) == size:
                yield lines
                lines = []
    except UnicodeDecodeError as error:
        raise UsageError(f"standard input is not UTF-8 text: {error}; re-encode it, for example with iconv") from None
    if lines:
        yield lines


def _set_threads(count: int | None) -> None:
    if count is not None:
        from ..kernels import threads

        threads.set_num_threads(count)


def _threads() -> int:
    from ..kernels import threads

    return threads.get_num_threads()


