"""Word vectors: ``python -m models.word2vec lesson | train | neighbours | analogy | evaluate | plot | export``.

Mikolov et al. 2013, "Efficient Estimation of Word Representations in Vector Space" and "Distributed Representations of Words
and Phrases and their Compositionality". A word is known by the company it keeps: words that predict the same neighbours get
vectors that point the same way. ``lesson`` shows every gradient on the tape; ``train`` does the same in fused loops on all
cores, and takes the options of the original program, word2vec.c, too.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from minigrad.errors import CheckpointError, MinigradError, UsageError
from minigrad.formats import atomic, projector, word2vec
from minigrad.training import arguments, console
from minigrad.training.arguments import above_0, from_0, listed, whole
from minigrad.training.rundir import find_run
from minigrad.word2vec import evaluation
from minigrad.word2vec import run as training
from minigrad.word2vec.picture import scatter
from minigrad.word2vec.projection import project
from minigrad.word2vec.reading import write_vocabulary
from minigrad.word2vec.vectors import WordVectors
from models import word2vec_lesson

DEFAULTS: dict[str, Any] = {
    "model": "skipgram", "loss": "ns", "size": 100, "window": 5, "negative": 5, "sample": 1e-3, "min_count": 5,
    "lowercase": False, "phrases": 0, "phrase_threshold": 100, "seed": 1, "deterministic": False, "save_every": 600,
    "top": 10, "method": "pca",
}  # fmt: skip
BUILT_IN = {"min_count": 10, "alpha": 0.05}  # a small text, whose rare words would learn little but noise
_RESUMABLE = ("epochs", "threads", "save_every")
_AFTERWARDS = ("verb", "resume", "output", "binary", "debug", "save_vocab")  # what is no option of the training itself
SHOWN = ("array", "integer", "function", "file", "thread", "class")  # whose neighbours a run on the built-in text ends with


class Parser(arguments.Parser):
    """The parser of every verb."""

    defaults = DEFAULTS


def parser() -> Parser:
    """The command line."""
    made = Parser(prog="python -m models.word2vec", description="Learn vectors of words from text, and ask them.")
    verbs = made.add_subparsers(title="verbs", required=True, metavar="lesson|train|neighbours|analogy|evaluate|plot|export")

    def verb(name: str, run: Callable, text: str) -> Parser:
        added = verbs.add_parser(name, help=text, usage="%(prog)s [options]", description=text)
        added.set_defaults(verb=run)
        return added

    lesson_options(verb("lesson", lesson, "see on a few sentences how embeddings come about, gradient by gradient"))
    train_options(verb("train", train, "train vectors on a text"))
    for name, run, text, words in (
        ("neighbours", neighbours, "the words nearest to each word", "+"),
        ("analogy", analogy, "what is to C as B is to A", 3),
    ):
        added = verb(name, run, text)
        added.usage = f"%(prog)s [options] {'WORD ...' if words == '+' else 'A B C'}"
        added.add_argument("words", nargs=words, metavar="WORD")
        added.add_argument("--top", type=whole(1), metavar="N", help="how many words to show")
        run_options(added)
    added = verb("evaluate", evaluate, "accuracy on analogies, and correlation with people's ratings of similarity")
    added.add_argument("--analogies", metavar="FILE", help="such as questions-words.txt")
    added.add_argument("--similarity", metavar="FILE", help="such as wordsim353.tsv: two words and a rating on a line")
    added.add_argument("--restrict-vocab", type=whole(1), metavar="N", help="use the N most frequent words only")
    added.add_argument("--case-sensitive", action="store_true", help="take 'Paris' and 'paris' for different words")
    run_options(added)
    added = verb("plot", plot, "words as points of a plane, an SVG picture")
    added.add_argument("words", nargs="*", metavar="WORD", help="which; the 100 most frequent of some length if left out")
    added.add_argument("--method", choices=("pca", "tsne"), help="how to project; tsne needs scikit-learn")
    added.add_argument("--out", metavar="FILE", help="words.svg in the run directory if left out")
    run_options(added)
    added = verb("export", export, "write the vectors in another format")
    added.add_argument("--format", required=True, choices=("text", "binary", "projector", "safetensors"))
    added.add_argument("--out", required=True, metavar="PATH", help="a file; for projector a directory")
    run_options(added)
    return made


def lesson_options(added: Parser) -> None:
    add = added.add_argument
    add("--model", choices=("skipgram", "cbow"), help="show this model of word2vec instead of the first network")
    add("--loss", choices=("softmax", "ns", "hs"), help="by full softmax, negative sampling or hierarchical softmax")
    add("--seed", type=whole(0), metavar="N", help="of the first vectors")
    add("--out", metavar="FILE", default="lesson.svg", help="where the picture goes (default: %(default)s)")
    added.set_defaults(seed=None)


def train_options(added: Parser) -> None:
    """What to learn from and how. Names with one dash are those of word2vec.c."""
    added.epilog = (
        "On the built-in text --min-count is 10 and --alpha .05 where left out.\n"
        "The options of word2vec.c are understood too: -cbow 0|1, -hs 0|1 and -binary 0|1 beside those named above;\n"
        "but -hs 1 takes the place of negative sampling, where the original adds the two."
    )
    add = added.add_argument_group("text").add_argument
    add("--corpus", "-train", nargs="+", metavar="FILE", help="text, folders of it, or - for standard input, gzip too; "
        "built in are the docstrings of Python, NumPy and Numba")  # fmt: skip
    add("--min-count", "-min-count", type=whole(1), metavar="N", help="leave out words seen less often")
    add("--max-vocab", type=whole(2), metavar="N", help="words to keep at most, the most frequent ones")
    add("--lowercase", action="store_true", default=None, help="turn letters into small ones")
    add("--phrases", type=whole(0), metavar="N", help="join words that often come together into phrases, N times over")
    add("--phrase-threshold", type=from_0, metavar="X", help="of how often, against chance; the higher, the fewer phrases")
    add("--read-vocab", "-read-vocab", metavar="FILE", help="take the vocabulary from there instead of counting")
    add("--save-vocab", "-save-vocab", metavar="FILE", help="write the vocabulary there, too")
    add = added.add_argument_group("model").add_argument
    add("--model", choices=("skipgram", "cbow"), help="each word of a context predicts by itself, or all do together")
    add("-cbow", dest="model", type=_either("skipgram", "cbow"), help=argparse.SUPPRESS)
    add("--loss", choices=("ns", "hs"), help="negative sampling or hierarchical softmax")
    add("-hs", dest="loss", type=_either("ns", "hs"), help=argparse.SUPPRESS)
    add("--size", "-size", type=whole(1), metavar="N", help="numbers in a vector")
    add("--window", "-window", type=whole(1), metavar="N", help="how far a context reaches on either side")
    add("--negative", "-negative", type=whole(0), metavar="N", help="random words for each window")
    add = added.add_argument_group("training").add_argument
    add("--iter", "--epochs", "-iter", dest="epochs", type=whole(1), metavar="N", help="passes through the text: 5, "
        "or up to 25 through one of less than 2 million words")  # fmt: skip
    add("--alpha", "-alpha", type=above_0, metavar="X", help="the first learning rate; .025, or .05 with cbow")
    add("--min-alpha", type=from_0, metavar="X", help="the last learning rate")
    add("--sample", "-sample", type=from_0, metavar="X", help="skip words more frequent than this share of the text; 0: none")
    add("--seed", type=whole(0), metavar="N", help="of all that is random")
    add("--threads", "-threads", type=whole(1), metavar="N", help="processor cores at most; all by default")
    add("--deterministic", action="store_true", default=None, help="one thread: the same bits from the same seed")
    add("--save-every", type=above_0, metavar="SECONDS", help="time between checkpoints")
    add = added.add_argument_group("files").add_argument
    add("--out", metavar="DIR", help="the run directory; runs/word2vec-<text> by default")
    add("--output", "-output", metavar="FILE", help="write the vectors there, too: .safetensors, .bin, or text")
    add("-binary", type=_either("text", "binary"), help=argparse.SUPPRESS)
    add("-debug", help=argparse.SUPPRESS)
    add("--resume", metavar="DIR", help=f"go on with this run; of the options only {listed(_RESUMABLE)} may change")
    add("--start-from", metavar="DIR", help="a new run that goes on from the vectors of this one, on other text")


def run_options(added: Parser) -> None:
    added.add_argument("--run", metavar="DIR", help="the run directory; the newest by default")
    added.add_argument("--vectors", metavar="FILE", help="vectors of any program, in word2vec's text or binary format")


def _either(no: str, yes: str) -> Callable[[str], str]:
    """word2vec.c's 0 or 1 for one of two things."""

    def convert(text: str) -> str:
        if text not in ("0", "1"):
            raise argparse.ArgumentTypeError(f"must be 0 or 1: got {text!r}")
        return yes if text == "1" else no

    return convert


# -- lesson and train -------------------------------------------------------------------------------------------------------


def lesson(given: argparse.Namespace) -> None:
    """``lesson``: the first network, or one of word2vec's models with one of its losses."""
    seed = {} if given.seed is None else {"seed": given.seed}
    if given.model or given.loss:
        picture = word2vec_lesson.word2vec(given.model or "skipgram", given.loss or "ns", **seed)
    else:
        picture = word2vec_lesson.next_word(**seed)
    atomic.write_text(given.out, picture)
    print(f"\nThe picture, before and after, is in {given.out}.")
    if not (given.model or given.loss):
        print("Next: python -m models.word2vec lesson --model skipgram --loss ns")


def train(given: argparse.Namespace) -> None:
    """``train``: a new run, or with ``--resume`` an earlier one."""
    for path in (given.output, given.save_vocab):
        if path and not os.access(Path(path).parent, os.W_OK):  # better said before training than after
            raise UsageError(f"{path} cannot be written: name a file in a directory that exists and that you may write to")
    if given.threads is not None:
        _set_threads(given.threads)
    if given.resume:
        changes = {name: value for name, value in vars(given).items() if value is not None and name not in _AFTERWARDS}
        fixed = [name for name in changes if name not in _RESUMABLE]
        if fixed:
            kept = f"a resumed run keeps the options it began with, but for {listed(_RESUMABLE)}"
            raise UsageError(f"{kept}: leave out {listed(fixed)}, or begin a new run")
        run = training.resume(given.resume, changes)
    else:
        run = training.begin(settle(given))
    with run.run.claimed():
        if run.trainer.epoch >= run.trainer.options.epochs:
            run.say(f"all {run.trainer.epoch} epochs are done; give more --iter to train on")
            return
        run.fit()
    vectors = run.vectors()
    if given.save_vocab:
        write_vocabulary(given.save_vocab, run.trainer.vocabulary)
    if given.output:
        binary = given.output.endswith(".bin") if given.binary is None else given.binary == "binary"
        if given.output.endswith(".safetensors"):
            vectors.save(given.output)
        else:
            word2vec.write(given.output, vectors.words, vectors.vectors, binary=binary)
    frequent = [vectors.words[rank] for rank in (100, 200, 400, 800, 1600) if rank < len(vectors)] or vectors.words[:3]
    words = [word for word in SHOWN if run.built_in and word in vectors] or frequent
    where = f"loss curve in {run.run.path / 'loss.svg'}"
    with contextlib.suppress(MinigradError):  # a picture that cannot be drawn is no reason to fail now
        where += f", words in {draw(vectors, None, DEFAULTS['method'], run.run.path / 'words.svg')}"
    for line in (*nearest(vectors, words, 6), f"{where}; ask more: neighbours WORD ..."):
        run.say(line)


def settle(given: argparse.Namespace) -> dict[str, Any]:
    """The options of a new run with every default filled in. Raises UsageError for those that do not go together."""
    options = {name: value for name, value in vars(given).items() if name not in _AFTERWARDS}
    if options["negative"] == 0:  # word2vec.c's way to say: not by negative sampling
        if options["loss"] != "hs":
            raise UsageError("without negative words there is no loss left: give --loss hs, or --negative 5")
        options["negative"] = None
    if options["start_from"] and (options["read_vocab"] or options["phrases"] or options["corpus"] is None):
        raise UsageError("--start-from keeps its run's words and phrases: give --corpus, but no --read-vocab and no --phrases")
    if options["read_vocab"] and options["phrases"]:
        raise UsageError("--read-vocab names all words and --phrases makes new ones: give one of them")
    for name, value in (DEFAULTS if options["corpus"] else {**DEFAULTS, **BUILT_IN}).items():
        if name in options and options[name] is None and not (options["start_from"] and name in training.TAKEN_OVER):
            options[name] = value
    return options


def _set_threads(count: int) -> None:
    from minigrad.kernels import threads

    threads.set_num_threads(min(count, threads.get_num_threads()))  # word2vec.c's own default is 12


# -- asking -----------------------------------------------------------------------------------------------------------------


def load(given: argparse.Namespace) -> tuple[WordVectors, Path]:
    """The vectors to ask, and where pictures of them go."""
    if given.run and given.vectors:
        raise UsageError("--run names a run directory and --vectors a file: give one of them")
    if given.vectors:
        return WordVectors.load(given.vectors), Path(".")
    run = find_run(given.run, "word2vec")
    if not (run.path / "vectors.safetensors").exists():
        raise CheckpointError(f"{run.path} has no vectors yet: let its training save some, or name another --run")
    return WordVectors.load(run.path / "vectors.safetensors"), run.path


def nearest(vectors: WordVectors, words: Sequence[str], top: int) -> list[str]:
    """A line for each word: its neighbours and their cosines."""
    width = max(map(len, words), default=0)
    return [
        f"{word:<{width}}  " + "  ".join(f"{other} {cosine:.2f}" for other, cosine in vectors.most_similar(word, topn=top))
        for word in words
    ]


def neighbours(given: argparse.Namespace) -> None:
    """``neighbours``: a column of words and cosines for each word."""
    vectors, _ = load(given)
    answers = [vectors.most_similar(word, topn=given.top or DEFAULTS["top"]) for word in given.words]
    for word, answer in zip(given.words, answers):
        print(word)
        for other, cosine in answer:
            print(f"    {cosine:.4f}  {other}")


def analogy(given: argparse.Namespace) -> None:
    """``analogy A B C``: the words nearest to b - a + c."""
    vectors, _ = load(given)
    a, b, c = given.words
    answer = vectors.analogy(a, b, c, topn=given.top or DEFAULTS["top"])
    print(f"{a} is to {b} as {c} is to")
    for word, cosine in answer:
        print(f"    {cosine:.4f}  {word}")


def evaluate(given: argparse.Namespace) -> None:
    """``evaluate``: accuracy by section, and Spearman's correlation."""
    if not (given.analogies or given.similarity):
        raise UsageError("there is nothing to evaluate with: give --analogies FILE, --similarity FILE, or both")
    vectors, _ = load(given)
    how: dict[str, Any] = {"case_insensitive": not given.case_sensitive}
    if given.restrict_vocab:
        how["restrict_vocab"] = given.restrict_vocab
    if given.analogies:
        print(evaluation.evaluate_analogies(vectors, given.analogies, **how))
    if given.similarity:
        print(evaluation.evaluate_similarity(vectors, given.similarity, **how))


def plot(given: argparse.Namespace) -> None:
    """``plot``: a picture of some words."""
    vectors, folder = load(given)
    print(f"words in {draw(vectors, given.words, given.method or DEFAULTS['method'], given.out or folder / 'words.svg')}")


def draw(vectors: WordVectors, words: Sequence[str] | None, method: str, path: str | Path) -> str | Path:
    """Draw words, or the most frequent longer ones, into an SVG file. Returns its path."""
    words = words or [word for word in vectors.words if len(word) > 3][:100] or vectors.words[:100]
    points, axes = project(vectors[words], method)
    atomic.write_text(path, scatter(points, words, title=f"{len(words)} words of {len(vectors):,}", axes=axes))
    return path


def export(given: argparse.Namespace) -> None:
    """``export``: the vectors in a format of other programs."""
    vectors, _ = load(given)
    path = given.out
    if given.format == "projector":
        projector.write(path, vectors.words, vectors.vectors, vectors.counts)
    elif given.format == "safetensors":
        path = path.removesuffix(".safetensors") + ".safetensors"
        vectors.save(path)
    else:
        word2vec.write(path, vectors.words, vectors.vectors, binary=given.format == "binary")
    print(f"{len(vectors):,} vectors of {vectors.size} numbers in {path}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; errors become one sentence on standard error and exit status 2."""
    given = parser().parse_args(argv)
    smaller = "choose a smaller --size, or a greater --min-count"
    return console.run(lambda: given.verb(given), smaller=smaller, status=2)


if __name__ == "__main__":
    sys.exit(main())
