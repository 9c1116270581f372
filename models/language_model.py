"""A recurrent language model: ``python -m models.language_model train | test | sample``.

It reads a text word by word and says at each what comes next. The state of an LSTM (or a GRU, or a plain RNN) carries what it
has read; gradients go back through a segment of some dozen words, the state itself through the whole text (truncated
backpropagation through time). The matrix that turns words into vectors turns states into scores again (Press & Wolf 2017),
and dropout stands between the layers but never on the way through time (Zaremba et al. 2014).
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import math
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import nn, optim
from minigrad.data import BOS, EOS, PAD, SPLITS, UNK, Tokenizer, train_tokenizer
from minigrad.data.stream import Segment, Segments, Stream, read_text, splits
from minigrad.errors import CheckpointError, DataError, UsageError
from minigrad.kernels import threads
from minigrad.nn import functional as F
from minigrad.ops.random import manual_seed
from minigrad.tensor import raw
from minigrad.training import arguments, console
from minigrad.training.arguments import above_0, flag, from_0, listed, share, whole
from minigrad.training.loop import Schedule, Trainer
from minigrad.training.metrics import perplexity
from minigrad.training.rundir import RunDirectory, find_run
from minigrad.training.translation import load_checkpoint

JOB, BUILT_IN = "language_model", "docstrings"
LAYERS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
DEFAULTS: dict[str, Any] = {
    "min_count": 1, "lowercase": False, "cell": "lstm", "layers": 2, "size": 200, "dropout": 0.2, "untied": False,
    "epochs": 6, "batch": 20, "bptt": 35, "lr": 4e-3, "warmup": 200, "clip": 0.5, "weight_decay": 0.0, "patience": 0, "seed": 1,
    "monitor": 50, "checkpoint": "best", "temperature": 0.8, "words": 100,
}  # fmt: skip
SMALL = {"min_count": 5, "size": 128, "epochs": 3, "lr": 8e-3}  # what holds for the built-in text instead
_RESUMABLE = ("resume", "epochs", "patience", "monitor", "threads")  # what may change when a run goes on
_EVALUATION = 10, 70  # columns and words of a segment


class LanguageModel(nn.Module):
    """Predicts each word from those before it.

    Args:
        vocabulary: how many words there are.
        cell: "lstm", "gru" or "rnn".
        layers, size: recurrent layers, and the features of each, and of a word's vector.
        dropout: on the words' vectors, between the layers, and on what the last one says.
        untied: whether the output layer has a matrix of its own.

    Attributes:
        carried: the states (layers, batch, size) with which the next training segment begins; None at the beginning.
    """

    def __init__(
        self,
        vocabulary: int,
        cell: str = "lstm",
        layers: int = 2,
        size: int = 200,
        dropout: float = 0.2,
        untied: bool = False,
    ):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, size)
        self.dropout = nn.Dropout(dropout)
        self.recurrent = LAYERS[cell](size, size, layers, dropout=dropout if layers > 1 else 0.0)
        self.output = nn.Linear(size, vocabulary)
        if not untied:
            self.output.weight = self.embedding.weight
        for name, p in self.named_parameters():
            if not name.startswith("recurrent"):
                nn.init.uniform_(p, -0.1 * (p.ndim > 1), 0.1 * (p.ndim > 1))  # biases begin at 0
        self.carried: tuple[np.ndarray, ...] | None = None

    def read(self, words: np.ndarray, state: tuple | None) -> tuple[mg.Tensor, tuple[np.ndarray, ...]]:
        """What is said after each of the ``words`` (time, batch): (time, batch, size), and the states after the last."""
        if state is not None and len(state) == 1:
            state = state[0]
        hidden, after = self.recurrent(self.dropout(self.embedding(words)), state)
        # As arrays the states carry no gradient: this is where backpropagation through time is cut.
        return self.dropout(hidden), tuple(raw(s) for s in (after if isinstance(after, tuple) else (after,)))

    def score(self, segment: Segment, state: tuple | None) -> tuple[mg.Tensor, tuple[np.ndarray, ...]]:
        """The summed negative log-likelihood of a segment's targets, begun with ``state``, and the states after it."""
        hidden, after = self.read(segment.input, state)
        loss = F.linear_cross_entropy(
            hidden, self.output.weight, segment.target, linear_bias=self.output.bias, reduction="sum", ignore_index=PAD
        )
        return loss, after

    def loss(self, segment: Segment) -> tuple[mg.Tensor, int]:
        """What training takes: the summed loss and the number of targets. The states go on to the next segment."""
        loss, self.carried = self.score(segment, None if segment.first else self.carried)
        return loss, segment.target_tokens

    @mg.no_grad()
    def advance(self, word: int, state: tuple | None) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
        """Read one more word: scores (vocabulary,) for the next one, and the states."""
        hidden, state = self.read(np.array([[word]]), state)
        return raw(self.output(hidden[0, 0])), state


# -- measuring and writing ----------------------------------------------------------------------------------------------


@mg.no_grad()
def mean_loss(model: LanguageModel, stream: Stream) -> float:
    """The mean negative log-likelihood of all words, in nats. ``model`` should be in evaluation mode."""
    total, state = 0.0, None
    for segment in Segments(stream, *_EVALUATION).epoch():
        loss, state = model.score(segment, state)
        total += loss.item()
    return total / len(stream)


def write(model: LanguageModel, prompt: Sequence[int], temperature: float, random: np.random.Generator) -> Iterator[int]:
    """Words that the model makes up, without end, each drawn from what it predicts; never ``<unk>``.

    Args:
        prompt: the words that come before; the text begins behind an ``<eos>``.
        temperature: scores are divided by it: below 1 the likely becomes more likely; at 0 the likeliest word is taken.
    """
    state, begun = None, [EOS, *prompt]
    for word in begun[:-1]:
        _, state = model.advance(word, state)
    word = begun[-1]
    while True:
        scores, state = model.advance(word, state)
        scores = scores.astype(np.float64)
        scores[[PAD, UNK, BOS]] = -math.inf
        if temperature:
            chances = np.exp((scores - scores.max()) / temperature)
            word = int(random.choice(len(chances), p=chances / chances.sum()))
        else:
            word = int(scores.argmax())
        yield word


def spelt(tokenizer: Tokenizer, words: Sequence[int]) -> str:
    """Words as text; a line ends where ``<eos>`` stands."""
    lines = [[]]
    for word in words:
        lines.append([]) if word == EOS else lines[-1].append(word)
    return "\n".join(tokenizer.decode(line) for line in lines).strip("\n")


# -- the command line ---------------------------------------------------------------------------------------------------


class Parser(arguments.Parser):
    """The parser of every verb."""

    defaults = DEFAULTS


def parser() -> Parser:
    """The command line."""
    made = Parser(prog="python -m models.language_model", description="Learn to say which word comes next, and make up text.")
    verbs = made.add_subparsers(title="verbs", required=True, metavar="train|test|sample")
    usage = "%(prog)s [options]"
    small = " ".join(f"{flag(name)} {value}" for name, value in SMALL.items())
    train_options(verbs.add_parser("train", help="train a model", usage=usage, epilog=f"on the built-in text: {small}"))
    tester = verbs.add_parser("test", help="its perplexity on held-out text", usage=usage)
    run_options(tester)
    tester.add_argument("--test", dest="test_files", nargs="+", metavar="FILE", help="other text than the run's own")
    tester.add_argument("--split", choices=("valid", "test"), help="of the run's text; test, if it has one")
    tester.set_defaults(verb=test)
    sampler = verbs.add_parser("sample", help="let it make up text", usage=usage)
    run_options(sampler)
    sampler.add_argument("--prompt", metavar="TEXT", help="how the text begins")
    sampler.add_argument("--words", type=whole(1), metavar="N", help="how many to write")
    sampler.add_argument("--temperature", type=from_0, metavar="X", help="below 1 more likely words, 0 the likeliest alone")
    sampler.add_argument("--seed", type=whole(0), metavar="N", help="the same seed writes the same text")
    sampler.set_defaults(verb=sample)
    return made


def train_options(added: argparse.ArgumentParser) -> None:
    """What to learn from, what is built, and how it learns."""
    add = added.add_argument_group("data").add_argument
    files: dict[str, Any] = {"nargs": "+", "metavar": "FILE"}
    add("--train", dest="train_files", **files, help="text, a sentence or paragraph a line, words between spaces; "
        "built in are the docstrings of Python, NumPy and Numba")  # fmt: skip
    add("--valid", dest="valid_files", **files, help="for validation; else the end of --train is held out")
    add("--test", dest="test_files", **files, help="for the test after training; else that of --valid")
    add("--vocab-size", type=whole(6), metavar="N", help="words at most, <unk> and <eos> among them")
    add("--min-count", type=whole(1), metavar="N", help="words seen less often become <unk>")
    add("--lowercase", action="store_true", default=None, help="turn letters into small ones")
    add = added.add_argument_group("model").add_argument
    add("--cell", choices=tuple(LAYERS), help="what the layers are made of")
    add("--layers", type=whole(1), metavar="N")
    add("--size", type=whole(1), metavar="N", help="features of a layer and of a word's vector")
    add("--dropout", type=share, metavar="X", help="on vectors of words, between layers, and on the output")
    add("--untied", action="store_true", default=None, help="an output layer with a matrix of its own")
    add = added.add_argument_group("training").add_argument
    add("--epochs", type=whole(1), metavar="N", help="passes through the text; the learning rate falls to their end")
    add("--batch", type=whole(1), metavar="N", help="columns of text that are read side by side")
    add("--bptt", type=whole(1), metavar="N", help="words of a segment: how far gradients go back")
    add("--lr", type=above_0, metavar="X", help="the highest learning rate")
    add("--warmup", type=whole(1), metavar="N", help="updates until it is reached")
    add("--clip", type=from_0, metavar="X", help="the greatest gradient norm; 0 for any")
    add("--weight-decay", type=from_0, metavar="X", help="decoupled weight decay (AdamW)")
    add("--validate-every", type=whole(1), metavar="N", help="updates between validations; else each epoch")
    add("--patience", type=whole(0), metavar="N", help="stop after so many validations without improvement; 0: never")
    add("--monitor", type=whole(0), metavar="N", help="look at gradient flow every N updates; 0: never")
    add("--seed", type=whole(0), metavar="N", help="of the weights and of dropout")
    add("--threads", type=whole(1), metavar="N", help="processor cores to use; all by default")
    add("--out", metavar="DIR", help="the run directory; runs/language_model-<data> by default")
    add("--resume", metavar="DIR", help=f"go on with this run; of the options only {listed(_RESUMABLE[1:])} may change")
    added.set_defaults(verb=train)


def run_options(added: argparse.ArgumentParser) -> None:
    """Which trained model."""
    added.add_argument("--run", metavar="DIR", help="the run directory; the newest by default")
    added.add_argument("--checkpoint", help="best, last, or a file")
    added.add_argument("--threads", type=whole(1), metavar="N", help="processor cores to use; all by default")


def settle(given: dict[str, Any]) -> dict[str, Any]:
    """The options of a new run with every default filled in. Raises UsageError for those that do not go together."""
    options = {name: value for name, value in given.items() if name != "verb"}
    if (options["valid_files"] or options["test_files"]) and not options["train_files"]:
        raise UsageError("--valid and --test files go with --train files: give these too, or leave those out")
    for name, value in (DEFAULTS if options["train_files"] else {**DEFAULTS, **SMALL}).items():
        if name in options and options[name] is None:
            options[name] = value
    return options


def resettle(run: RunDirectory, given: dict[str, Any]) -> dict[str, Any]:
    """The options of a run that goes on. Raises UsageError for a given one that may not change."""
    fixed = [name for name, value in given.items() if value is not None and name not in (*_RESUMABLE, "verb")]
    if fixed:
        kept = f"a resumed run keeps the options it began with, but for {listed(_RESUMABLE[1:])}"
        raise UsageError(f"{kept}: leave out {listed(fixed)}, or begin a new run")
    return {**saved_options(run), **{name: given[name] for name in _RESUMABLE[1:] if given[name] is not None}}


def saved_options(run: RunDirectory) -> dict[str, Any]:
    """The options in a run's configuration. Raises CheckpointError where they describe no language model."""
    options = run.config().get("options")
    expected = vars(parser().parse_args(["train"]))
    if not isinstance(options, dict) or options.get("cell") not in LAYERS or {*expected} - {"verb"} - {*options}:
        path = run.path / "config.json"
        raise CheckpointError(f"{path} describes no {JOB}: name a run of {JOB} with --run, restore the file, or train again")
    return options


def build(options: dict[str, Any], tokenizer: Tokenizer) -> LanguageModel:
    """The model that the options describe."""
    return LanguageModel(len(tokenizer), **{name: options[name] for name in ("cell", "layers", "size", "dropout", "untied")})


def make_optimizer(
    options: dict[str, Any], model: nn.Module, steps: int
) -> tuple[optim.Optimizer, optim.lr_scheduler.LRScheduler]:
    """Adam, its learning rate rising to ``--lr`` and from there falling to almost nothing at the last step."""
    adam = optim.AdamW(model.parameters(), lr=options["lr"], weight_decay=options["weight_decay"])
    warmup = options["warmup"]

    def factor(step: int) -> float:
        return min((step + 1) / warmup, max(0.01, (steps - step) / max(steps - warmup, 1)))

    return adam, optim.lr_scheduler.LambdaLR(adam, factor)


def train(given: argparse.Namespace) -> None:
    """``train``: a new run, or with ``--resume`` an earlier one. Nothing is written before all is read and built."""
    started = time.perf_counter()
    run = RunDirectory.open(given.resume) if given.resume else None
    options = resettle(run, vars(given)) if run else settle(vars(given))
    if run is None:
        RunDirectory.check_new(options["out"])
    _set_threads(options["threads"])
    found = splits(*(options[f"{name}_files"] for name in SPLITS))
    choice = {"size": options["vocab_size"], "min_count": options["min_count"], "lowercase": options["lowercase"]}
    tokenizer = saved_tokenizer(run) if run else train_tokenizer("words", found["train"], **choice)
    streams = {name: Stream(lines, tokenizer) for name, lines in found.items()}
    fingerprints = {name: streams[name].fingerprint() for name in ("train", "valid")}
    if run and (changed := [name for name, text in fingerprints.items() if run.config()["data"].get(name, text) != text]):
        raise DataError(f"the {changed[0]} text has changed since {run.path} began; restore it, or begin a new run")
    segments = Segments(streams["train"], options["batch"], options["bptt"])
    steps = options["epochs"] * len(segments.plan())
    manual_seed(options["seed"])
    model = build(options, tokenizer)
    optimizer, scheduler = make_optimizer(options, model, steps)
    if run is None:
        run = RunDirectory.create(options["out"], job=JOB, data=(options["train_files"] or [BUILT_IN])[0])
    with run.claimed():
        if not given.resume:
            run.write_vocabulary(tokenizer.to_json())
            run.write_config(options, seed=options["seed"], data=fingerprints)

        def validate() -> tuple[dict[str, float], list]:
            loss = mean_loss(model, streams["valid"])
            return {"valid_loss": loss, "perplexity": perplexity(loss)}, []

        limits = {"clip": options["clip"], "validate_every": options["validate_every"], "patience": options["patience"]}
        schedule = Schedule(steps, **limits)
        trainer = Trainer(model, optimizer, scheduler, segments, run, validate, schedule, options["monitor"])
        layers = f"{options['layers']} {options['cell'].upper()} layer{'s' * (options['layers'] > 1)} of {options['size']}"
        count, cores = sum(p.numel() for p in model.parameters()), threads.get_num_threads()
        for line in (
            f"run directory {run.path}",
            f"training    {streams['train'].describe()}; {options['epochs']} epochs of {len(segments.plan()):,} segments",
            f"validation  {streams['valid'].describe()}",
            f"model       {layers}, {count:,} parameters, vocabulary of {len(tokenizer):,} words; "
            f"{cores} thread{'s' * (cores > 1)}; ready after {time.perf_counter() - started:.1f} s",
        ):
            trainer.say(None, line)
        if given.resume:
            trainer.resume()
            run.write_options(options)
            trainer.say(None, f"going on after step {trainer.step:,}")
        if trainer.step >= steps:
            trainer.say(None, f"all {options['epochs']} epochs are done; give more --epochs to train on")
            return
        trainer.fit()
        load_checkpoint(run, "best", model)
        model.eval()
        split = "test" if "test" in streams else "valid"
        words = list(itertools.islice(write(model, (), DEFAULTS["temperature"], np.random.default_rng(options["seed"])), 40))
        for line in (
            f"the best checkpoint on the {split} text: {measured(model, streams[split])}",
            "it writes:",
            *(f"    {line}" for line in spelt(tokenizer, words).splitlines()),
            f"loss curves in {run.path / 'loss.svg'}; more text: python -m models.language_model sample",
        ):
            trainer.say(None, line)


def measured(model: LanguageModel, stream: Stream) -> str:
    """How well a text is predicted, in one line."""
    started = time.perf_counter()
    loss = mean_loss(model, stream)
    speed = len(stream) / (time.perf_counter() - started)
    return f"perplexity {perplexity(loss):.2f}, loss {loss:.4f} nats a word; {stream.describe()}; {speed:,.0f} words/s"


def test(given: argparse.Namespace) -> None:
    """``test``: perplexity on held-out text."""
    if given.test_files and given.split:
        raise UsageError("--split is of the run's own text and --test names other files: give one of them")
    run, options, tokenizer, model = opened(given)
    if given.test_files:
        which, lines = " and ".join(given.test_files), read_text(given.test_files)
    else:
        found = splits(*(options[f"{name}_files"] for name in SPLITS))
        split = given.split or ("test" if "test" in found else "valid")
        if split not in found:
            raise UsageError("this run was given no test files: name them with --test FILE, or measure --split valid")
        which, lines = f"the {split} text", found[split]
    text = f"{run.path} on {which}: {measured(model, Stream(lines, tokenizer))}"
    print(text, flush=True)
    with contextlib.suppress(CheckpointError):  # the run of another user can be measured, though not be written to
        run.log(text)


def sample(given: argparse.Namespace) -> None:
    """``sample``: text to standard output, word by word."""
    _, _, tokenizer, model = opened(given)
    prompt = tokenizer.encode(given.prompt or "")
    if UNK in prompt:
        unknown = [word for word in (given.prompt or "").split() if tokenizer.encode(word) == [UNK]]
        print(f"not in the vocabulary, and read as <unk>: {', '.join(unknown)}", file=sys.stderr)
    temperature = DEFAULTS["temperature"] if given.temperature is None else given.temperature
    words = write(model, prompt, temperature, np.random.default_rng(given.seed))
    console.write_utf8()
    print(given.prompt or "", end="")
    line_begun = bool(given.prompt)
    for word in itertools.islice(words, given.words or DEFAULTS["words"]):
        print("\n" if word == EOS else " " * line_begun + tokenizer.decode([word]), end="", flush=True)
        line_begun = word != EOS
    print(end="\n" * line_begun)


def opened(given: argparse.Namespace) -> tuple[RunDirectory, dict[str, Any], Tokenizer, LanguageModel]:
    """The run that the command line names: its options, vocabulary, and model, ready to predict."""
    _set_threads(given.threads)
    run = find_run(given.run, JOB)
    options, tokenizer = saved_options(run), saved_tokenizer(run)
    model = build(options, tokenizer)
    load_checkpoint(run, given.checkpoint or DEFAULTS["checkpoint"], model)
    model.eval()
    return run, options, tokenizer, model


def saved_tokenizer(run: RunDirectory) -> Tokenizer:
    """The vocabulary of a run. Raises CheckpointError where it cannot be used."""
    try:
        return Tokenizer.from_json(run.vocabulary())
    except DataError as error:
        raise CheckpointError(f"{run.path / 'vocabulary.json'} cannot be used: {error}") from None


def _set_threads(count: int | None) -> None:
    if count is not None:
        threads.set_num_threads(count)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; errors become one sentence on standard error and exit status 1."""
    given = parser().parse_args(argv)
    return console.run(lambda: given.verb(given), smaller="choose a smaller --size, --batch or --vocab-size")


if __name__ == "__main__":
    sys.exit(main())
