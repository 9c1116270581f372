"""A training run of word2vec in its run directory: text in, vectors and an honest record out.

::

    runs/word2vec-docstrings/
      config.json          options, seed, command line, versions
      vocabulary.txt       words and their counts, as word2vec.c writes them
      corpus.txt           the built-in text, where that was trained on: another installation has another one
      phrases.safetensors  which words are joined, where phrases were asked for
      checkpoints/         last.safetensors: everything needed to go on
      vectors.safetensors  the result
      metrics.jsonl, loss.svg, log.txt
"""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from minigrad.data import docstrings
from minigrad.errors import CheckpointError, DataError
from minigrad.formats import atomic
from minigrad.training import checkpoint
from minigrad.training.interrupt import finishing_first
from minigrad.training.progress import Progress, format_duration
from minigrad.training.rundir import RunDirectory
from minigrad.word2vec.corpus import Corpus
from minigrad.word2vec.options import Options
from minigrad.word2vec.phrases import Phrases
from minigrad.word2vec.reading import Reading, fingerprint, read_growing, read_vocabulary, write_vocabulary
from minigrad.word2vec.stream import NumberStream
from minigrad.word2vec.text import Text, prepare, prepare_more
from minigrad.word2vec.trainer import Report, Trainer
from minigrad.word2vec.vectors import WordVectors

BUILT_IN = "docstrings"  # the name of a run on the built-in text
_AXES = {"step": "words read", "loss": "loss (nats per pair)"}
TAKEN_OVER = ("model", "loss", "size", "window", "negative")  # what a run on other text takes over from the first
ALPHA = {"skipgram": 0.025, "cbow": 0.05}  # as in word2vec.c
_ENOUGH = 10_000_000  # words to read in all: a smaller text is read several times
_FEWEST, _MOST = 5, 25  # epochs; the first is word2vec.c's


class _Stop(Exception):
    """Ctrl-C was pressed, and the block in hand is done."""


class TrainingRun:
    """A trainer, its text and its run directory.

    Args:
        run: where everything goes.
        trainer: what is trained.
        text: the numbers of its vocabulary's words.
        save_every: seconds between two checkpoints; there is one at the end in any case.
    """

    def __init__(self, run: RunDirectory, trainer: Trainer, text: NumberStream, save_every: float = 600.0) -> None:
        self.run, self.trainer, self.text, self.save_every = run, trainer, text, save_every
        self._stopping = False
        self._saved_at = time.monotonic()
        self._words = 0  # read so far
        self._first: Report | None = None
        self._speed = 0  # words a second

    def fit(self) -> None:
        """Train to the last epoch, or until Ctrl-C; then save, and draw the curve.

        A checkpoint that cannot be written on the way is reported, and training goes on; the last one must be written.

        Raises:
            CheckpointError: at the end, when the disk is full or cannot be written to; it says where the result is instead.
        """
        trainer, text = self.trainer, self.text
        scale = text.words / len(text)
        begun = self._words = round((trainer.epoch * len(text) + trainer.position) * scale)
        total = trainer.options.epochs * text.words
        self.run.rewind(begun + 1)  # what a killed process recorded after its last checkpoint comes again; 1 for rounding
        with (
            Progress(total, initial=begun, unit="words", counting="word") as progress,
            finishing_first(self._stop, "this block of text, then saving"),
        ):
            started = time.perf_counter()
            try:
                trainer.fit(text, report=lambda report: self._report(report, begun, progress))
            except _Stop:
                self.say(f"interrupted in epoch {trainer.epoch + 1}; --resume {self.run.path} goes on from here", progress)
            seconds = time.perf_counter() - started
        try:
            self.save()
        except CheckpointError as error:
            raise self._rescued(error) from None
        read = self._words - begun
        self.say(f"trained on {read:,} words in {format_duration(seconds)}: {self._speed:,} words/s")

    def save(self) -> None:
        """Write the checkpoint, the vectors and the curve; each replaces the earlier one as a whole."""
        arrays, values = self.trainer.state()
        checkpoint.save(self.run.checkpoint("last"), arrays, values)
        self.vectors().save(self.run.path / "vectors.safetensors")
        self.run.draw_curves(**_AXES)
        self._saved_at = time.monotonic()

    def _rescued(self, error: CheckpointError) -> CheckpointError:
        """Save in the directory for temporary files, often another disk, what training has made; the error, and what it did."""
        try:
            folder = Path(tempfile.mkdtemp(prefix="minigrad-rescued-"))
            checkpoint.save(folder / "last.safetensors", *self.trainer.state())
            self.vectors().save(folder / "vectors.safetensors")
        except (CheckpointError, OSError):
            return error
        return CheckpointError(
            f"{error}; nothing is lost: the vectors are in {folder}, and so is last.safetensors, which goes into "
            f"{self.run.path / 'checkpoints'} for --resume"
        )

    def vectors(self) -> WordVectors:
        """The vectors as they are now."""
        vocabulary = self.trainer.vocabulary
        return WordVectors(vocabulary.words, self.trainer.vectors, vocabulary.counts)

    @property
    def built_in(self) -> bool:
        """Whether the text is the built-in one."""
        return (self.run.path / "corpus.txt").exists()

    def fingerprint(self) -> str:
        """What tells whether the text is still the same."""
        return fingerprint(self.text, len(self.trainer.vocabulary))

    def describe(self, text: Text, seconds: float) -> None:
        """Say what is trained on what, and how long it took to read."""
        chosen, words = self.trainer.options, self.trainer.vocabulary.words
        kind = {"cbow": "CBOW", "skipgram": "skip-gram"}[chosen.model]
        by = f"{chosen.negative} negative words" if chosen.loss == "ns" else "hierarchical softmax"
        damaged = f"; {text.damaged:,} that are not UTF-8 left out" if text.damaged else ""
        self.say(f"run directory {self.run.path}")
        others = text.words_read - self.text.words
        rarer = f", without {others:,} rarer ones" if others else ""
        self.say(
            f"text        {self.text.words:,} words{rarer}; vocabulary of {len(words):,}{damaged}; read in {seconds:.1f} s"
        )
        epochs = "1 epoch" if chosen.epochs == 1 else f"{chosen.epochs} epochs"
        self.say(f"model       {kind} with {by}, {chosen.size} dimensions, window {chosen.window}; {epochs}")

    def _report(self, report: Report, begun: int, progress: Progress) -> None:
        words, epochs = begun + report.words, self.trainer.options.epochs
        epoch = f"{min(report.epoch + 1, epochs)}/{epochs}"
        progress.update(words, loss=report.loss, lr=report.alpha, tokens=words - self._words, epoch=epoch)
        self._words = words
        self._measure(report)
        with contextlib.suppress(CheckpointError):  # a full disk need not end training yet: the next checkpoint will tell
            self.run.record(words, loss=report.loss, lr=report.alpha, epoch=report.epoch, words_per_second=self._speed)
        if report.end_of_epoch:
            self.say(f"epoch {report.epoch:>2} of {epochs}: loss {report.epoch_loss:.4f}, {self._speed:,} words/s", progress)
        if self._stopping:
            raise _Stop
        if time.monotonic() - self._saved_at > self.save_every:
            try:
                self.save()
            except CheckpointError as error:
                self._saved_at = time.monotonic()
                self.say(f"{error}; training goes on, and saves again in {format_duration(self.save_every)}", progress)

    def _measure(self, report: Report) -> None:
        """Words a second since the first report, as kernels may have been compiled before it; at the first, until then."""
        if self._first is None:
            self._first, self._speed = report, round(report.words_per_second)
        else:
            seconds = max(report.seconds - self._first.seconds, 1e-9)
            self._speed = round((report.words - self._first.words) / seconds)

    def _stop(self) -> None:
        self._stopping = True

    def say(self, text: str, progress: Progress | None = None) -> None:
        """Show a line, and log it."""
        if progress is not None:
            progress.write(text)
        else:
            print(text, flush=True)
        with contextlib.suppress(CheckpointError):  # as above
            self.run.log(text)


def begin(options: dict[str, Any]) -> TrainingRun:
    """A new run; nothing is written before the text is read and the model is built.

    Args:
        options: see models/word2vec.py; what depends on the text and is None there, ``epochs``, is filled in.

    Raises:
        MinigradError: the text or the options cannot be used, or the run directory is taken.
    """
    began = time.perf_counter()
    RunDirectory.check_new(options["out"])
    earlier = RunDirectory.open(options["start_from"]) if options["start_from"] else None
    before = _last(earlier) if earlier else None
    if before:
        _fill(options, {name: getattr(before.options, name) for name in TAKEN_OVER})
    sentences = docstrings.sentences() if options["corpus"] is None else None
    with _corpus(options, sentences) as corpus, Reading() as reading:
        if before:
            text, new = _read_more(options, corpus, before, _phrases(earlier), reading)
        elif options["read_vocab"]:
            vocabulary = read_vocabulary(options["read_vocab"], options["min_count"])
            text, new = prepare_more(corpus, vocabulary, progress=reading), {}
        else:
            limits = {"min_count": options["min_count"], "max_words": options["max_vocab"]}
            joining = {"phrase_passes": options["phrases"], "phrase_threshold": options["phrase_threshold"]}
            text, new = prepare(corpus, **limits, **joining, progress=reading), {}
    _fill(options, {"epochs": epochs_for(text.numbers.words), "alpha": ALPHA[options["model"]]})
    names = (field.name for field in dataclasses.fields(Options))
    chosen = Options(**{name: options[name] for name in names if options.get(name) is not None})
    _fill(options, chosen.as_dict())
    trainer = before.continued(chosen, new) if before else Trainer(text.vocabulary, chosen)
    run = RunDirectory.create(options["out"], job="word2vec", data=(options["corpus"] or [BUILT_IN])[0])
    made = TrainingRun(run, trainer, text.numbers, options["save_every"])
    run.write_config(options, seed=chosen.seed, data={"text": made.fingerprint()})
    write_vocabulary(run.path / "vocabulary.txt", trainer.vocabulary)
    if sentences is not None:
        atomic.write_text(run.path / "corpus.txt", "\n".join(sentences) + "\n")
    if text.phrases is not None:
        passes = {f"pass {number}": pairs for number, pairs in enumerate(text.phrases.passes)}
        checkpoint.save(run.path / "phrases.safetensors", passes, {"words": text.phrases.words})
    made.describe(text, time.perf_counter() - began)
    return made


def epochs_for(words: int) -> int:
    """How often to read a text of so many words where nothing else is said: a short one more often than a long one."""
    return min(max(round(_ENOUGH / max(words, 1)), _FEWEST), _MOST)


def resume(path: str, changes: Mapping[str, Any]) -> TrainingRun:
    """Go on with the run at ``path``, with ``changes`` to its options: ``epochs``, ``threads`` or ``save_every``.

    Raises:
        CheckpointError: there is no run, or it was stopped before its first checkpoint.
        DataError: its text is no longer the same.
    """
    began = time.perf_counter()
    run = RunDirectory.open(path)
    config = run.config()
    options = {**config["options"], **changes}
    trainer = _last(run, changes)
    with Reading() as reading:
        corpus = Corpus(options["corpus"] or run.path / "corpus.txt", lowercase=options["lowercase"])
        text = prepare_more(corpus, trainer.vocabulary, _phrases(run), progress=reading)
    made = TrainingRun(run, trainer, text.numbers, options["save_every"])
    before, now = config.get("data", {}).get("text"), made.fingerprint()
    if before != now:
        raise DataError(
            f"the text has changed since {run.path} began: {before} then, {now} now; restore it, or go on with other text in "
            f"a new run: --start-from {run.path}"
        )
    run.write_options(options)
    made.describe(text, time.perf_counter() - began)
    return made


def _fill(options: dict[str, Any], values: Mapping[str, Any]) -> None:
    """Let ``values`` hold for options that are None or missing."""
    options |= {name: value for name, value in values.items() if options.get(name) is None}


@contextlib.contextmanager
def _corpus(options: Mapping[str, Any], sentences: list[str] | None) -> Iterator[Corpus]:
    """The text that the options name, or the built-in one, for a while in a file."""
    if sentences is None:
        yield Corpus(options["corpus"], lowercase=options["lowercase"])
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "corpus.txt"
        path.write_text("\n".join(sentences) + "\n", encoding="utf-8")
        yield Corpus(path)


def _read_more(
    options: Mapping[str, Any], corpus: Corpus, before: Trainer, phrases: Phrases | None, reading: Reading
) -> tuple[Text, dict[str, int]]:
    """A further text, and the words that are new in it; none where a Huffman tree is grown, or phrases are settled."""
    if options["loss"] == "hs" or phrases is not None:
        return prepare_more(corpus, before.vocabulary, phrases, progress=reading), {}
    numbers, new, read = read_growing(corpus, before.vocabulary, min_count=options["min_count"], progress=reading)
    return Text(before.vocabulary, numbers, None, read, 0), new


def _last(run: RunDirectory, changes: Mapping[str, Any] | None = None) -> Trainer:
    """The trainer of a run's last checkpoint."""
    path = run.checkpoint("last")
    if not path.exists():
        raise CheckpointError(f"{run.path} has no checkpoint yet: it was stopped too early; begin a new run")
    arrays, values = checkpoint.load(path, require=("options", "words", "progress", "inputs", "outputs", "counts"))
    values["options"] |= {name: value for name, value in (changes or {}).items() if name in values["options"]}
    return Trainer.from_state(arrays, values)


def _phrases(run: RunDirectory | None) -> Phrases | None:
    """The phrases that a run has found."""
    path = run.path / "phrases.safetensors" if run else None
    if path is None or not path.exists():
        return None
    arrays, values = checkpoint.load(path, require=("words",))
    return Phrases(values["words"], [arrays[f"pass {number}"] for number in range(len(arrays))])
