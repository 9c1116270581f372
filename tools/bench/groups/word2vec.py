"""Words per second of word2vec training, next to gensim: the same text, vocabulary, model and number of threads.

The text is the file that the environment variable ``MINIGRAD_CORPUS`` names, else WikiText-2 where the data folder has it, else
random words under Zipf's law. Reading and counting it is not measured, one epoch of training is.
"""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np

from minigrad.kernels.threads import get_num_threads
from minigrad.word2vec.corpus import Corpus
from minigrad.word2vec.options import Options
from minigrad.word2vec.text import Text, prepare
from minigrad.word2vec.trainer import Trainer
from tools.bench.measure import OURS, Contest, Libraries, Work

SIZE, WINDOW, NEGATIVE, SAMPLE, MIN_COUNT = 100, 5, 5, 1e-4, 5
_MODELS = [(model, loss) for loss in ("ns", "hs") for model in ("skipgram", "cbow")]
_CHECKOUT = Path(__file__).parents[3]


def corpus_file(scratch: str) -> Path:
    """The text to train on; made in the folder ``scratch`` where there is no other."""
    if named := os.environ.get("MINIGRAD_CORPUS"):
        return Path(named)
    data = Path(os.environ.get("MINIGRAD_DATA", _CHECKOUT.parent / "shared" / "data"))
    file = data / "wikitext-2" / "wiki.train.txt"
    return file if file.exists() else _zipf_text(Path(scratch) / "zipf.txt", 1_000_000, 30_000)


def _zipf_text(file: Path, words: int, different: int) -> Path:
    """Lines of 20 random words; the k-th most frequent word has a share of about 1 / k."""
    generator = np.random.default_rng(0)
    drawn = np.exp(generator.random((words // 20, 20)) * np.log(different)).astype(int)
    file.write_text("\n".join(" ".join(map("w{}".format, line)) for line in drawn) + "\n", encoding="utf-8")
    return file


def our_epoch(text: Text, model: str, loss: str, threads: int) -> Work:
    """One epoch of minigrad's trainer, on the vectors that the last one left."""
    names = {"size": SIZE, "window": WINDOW, "negative": NEGATIVE, "sample": SAMPLE}
    trainer = Trainer(text.vocabulary, Options(model=model, loss=loss, epochs=1, threads=threads, **names))

    def work():
        trainer.epoch = trainer.position = 0
        trainer.fit(text.numbers)

    return work


def gensim_epoch(gensim: ModuleType, lines: list[list[str]], model: str, loss: str, threads: int) -> Work:
    """One epoch of gensim's, from a list of sentences in memory, the quickest source it has."""
    from gensim.models import Word2Vec  # pyright: ignore[reportMissingImports]

    ns = loss == "ns"
    trained = Word2Vec(
        vector_size=SIZE, window=WINDOW, negative=NEGATIVE if ns else 0, hs=int(not ns), sg=int(model == "skipgram"),
        sample=SAMPLE, min_count=MIN_COUNT, workers=threads,
    )  # fmt: skip
    trained.build_vocab(lines)
    return lambda: trained.train(lines, total_examples=len(lines), epochs=1)


def contests(libraries: Libraries) -> Iterator[Contest]:
    """Each model under each loss, on one thread and on all."""
    with tempfile.TemporaryDirectory() as scratch:
        file = corpus_file(scratch)
        text = prepare(Corpus(file), min_count=MIN_COUNT)
        lines = [words for line in file.open(encoding="utf-8") if (words := line.split())] if len(libraries) > 1 else []
        for threads in sorted({1, get_num_threads()}):
            for model, loss in _MODELS:
                sides = {OURS: our_epoch(text, model, loss, threads)}
                if "gensim" in libraries:
                    sides["gensim"] = gensim_epoch(libraries["gensim"], lines, model, loss, threads)
                yield Contest(f"{model}, {loss}, {threads} thread(s)", sides, text.words_read, "words")
