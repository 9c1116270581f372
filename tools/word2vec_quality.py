"""How good word vectors are, next to gensim's: ``python -m tools.word2vec_quality [CORPUS]``.

Both libraries train on the same text with the same settings and several seeds; the table shows means and standard deviations of
the analogies' accuracy (Mikolov et al. 2013a) and of Spearman's correlation with WordSim-353 (Finkelstein et al. 2002).
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from minigrad.word2vec.corpus import Corpus
from minigrad.word2vec.evaluation import evaluate_analogies, evaluate_similarity
from minigrad.word2vec.options import Options
from minigrad.word2vec.text import Text, prepare
from minigrad.word2vec.trainer import Trainer
from minigrad.word2vec.vectors import WordVectors

SIZE, WINDOW, NEGATIVE, SAMPLE, ALPHA, EPOCHS, MIN_COUNT = 100, 5, 5, 1e-4, 0.05, 5, 5
_DATA = Path(os.environ.get("MINIGRAD_DATA", Path(__file__).parents[2] / "shared" / "data"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, evaluate and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tools.word2vec_quality", description=(__doc__ or "").partition("\n\n")[2])
    parser.add_argument("corpus", nargs="?", type=Path, default=_DATA / "wikitext-2" / "wiki.train.txt")
    parser.add_argument("--analogies", type=Path, default=_DATA / "word-eval" / "questions-words.txt")
    parser.add_argument("--similarity", type=Path, default=_DATA / "word-eval" / "wordsim353.tsv")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--losses", nargs="+", default=["ns"], choices=["ns", "hs"])
    options = parser.parse_args(arguments)
    text = prepare(Corpus(options.corpus), min_count=MIN_COUNT)
    print(f"{options.corpus}: {text.words_read:,} words, {len(text.vocabulary):,} different, {options.seeds} seeds")
    print(f"{'':26}{'analogies, %':>16}{'WordSim-353':>18}{'seconds':>10}")
    for loss in options.losses:
        for model in ("skipgram", "cbow"):
            for name, train in (("minigrad", _ours), ("gensim", _gensim)):
                rows = []
                for seed in range(1, options.seeds + 1):
                    started = time.perf_counter()
                    vectors = train(text, options.corpus, model, loss, seed, options.threads)
                    seconds = time.perf_counter() - started
                    accuracy = 100 * evaluate_analogies(vectors, options.analogies).total.accuracy
                    rows.append((accuracy, evaluate_similarity(vectors, options.similarity).spearman, seconds))
                accuracy, correlation, seconds = (_mean_and_spread(values) for values in zip(*rows))
                print(
                    f"{model:10}{loss:4}{name:12}{accuracy[0]:9.2f} ± {accuracy[1]:4.2f}"
                    f"{correlation[0]:11.3f} ± {correlation[1]:.3f}{seconds[0]:10.1f}",
                    flush=True,
                )
    return 0


def _ours(text: Text, corpus: Path, model: str, loss: str, seed: int, threads: int) -> WordVectors:
    chosen = Options(
        model=model, loss=loss, size=SIZE, window=WINDOW, negative=NEGATIVE, sample=SAMPLE, alpha=ALPHA, epochs=EPOCHS,
        seed=seed, threads=threads,
    )  # fmt: skip
    trainer = Trainer(text.vocabulary, chosen)
    trainer.fit(text.numbers)
    return WordVectors(text.vocabulary.words, trainer.vectors, text.vocabulary.counts)


def _gensim(text: Text, corpus: Path, model: str, loss: str, seed: int, threads: int) -> WordVectors:
    from gensim.models import Word2Vec  # pyright: ignore[reportMissingImports]

    lines = [words for line in corpus.open(encoding="utf-8") if (words := line.split())]
    trained = Word2Vec(
        lines, vector_size=SIZE, window=WINDOW, negative=NEGATIVE if loss == "ns" else 0, hs=int(loss == "hs"), sample=SAMPLE,
        sg=int(model == "skipgram"), alpha=ALPHA, min_alpha=Options.min_alpha, epochs=EPOCHS, min_count=MIN_COUNT, seed=seed,
        workers=threads,
    )  # fmt: skip
    return WordVectors(trained.wv.index_to_key, trained.wv.vectors)


def _mean_and_spread(values: Sequence[float]) -> tuple[float, float]:
    return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.0


if __name__ == "__main__":
    sys.exit(main())
