"""Translation as a job: text in, text out, and how good it is. Any model that decodes token by token can be put in."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..autograd import no_grad
from ..data import ParallelText, Skipped, TextPairs, TokenBatches, Tokenizer, builtin_task, pad, read_pairs, train_tokenizer
from ..data.vocabulary import BOS, EOS, UNK
from ..decoding import Hypothesis, beam_search, greedy, longest_output
from ..errors import CheckpointError, DataError, UsageError
from . import checkpoint
from .loop import load_weights
from .metrics import bleu, chrf, exact_match, perplexity
from .rundir import RunDirectory

LONGEST = 4000  # tokens of a sentence to translate or measure; the memory for attention grows with their square


@dataclass
class Decoding:
    """How to search for a translation.

    Attributes:
        beam: beginnings kept; 1 is greedy.
        length_penalty: see :func:`minigrad.decoding.beam_search`.
        n_best: translations for each sentence.
        batch: sentences searched together.
        replace_unknown: write the word of the source that the model looked at most in place of an unknown one.
    """

    beam: int = 5
    length_penalty: float = 1.0
    n_best: int = 1
    batch: int = 64
    replace_unknown: bool = False


# -- data ---------------------------------------------------------------------------------------------------------------


def read_split(options: dict[str, Any], split: str) -> TextPairs | None:
    """The text of one split, "train", "valid" or "test", as the options say, or None if they name no files for it."""
    if not options["train_files"]:
        return builtin_task(options["data"]).generate(split, options[f"{split}_size"], options["data_seed"])
    paths = options[f"{split}_files"]
    if options.get("holdout") and split != "valid":
        training, tested = hold_out(_read(options, options["train_files"]), options["holdout"], options["seed"])
        return training if split == "train" else tested
    return _read(options, paths) if paths else None


def _read(options: dict[str, Any], paths: list[str]) -> TextPairs:
    return read_pairs(paths, columns=tuple(options["columns"]))


def training_text(options: dict[str, Any]) -> tuple[TextPairs, TextPairs]:
    """The text to train on and that to validate on; without files for the latter it is a part of the former."""
    training, validation = read_split(options, "train"), read_split(options, "valid")
    assert training is not None
    if validation is not None:
        return training, validation
    return hold_out(training, min(1000, max(1, len(training) // 10)), options["seed"])


def make_tokenizer(options: dict[str, Any], pairs: TextPairs) -> Tokenizer:
    """A tokenizer shared by both languages, trained on the training text."""
    texts = [*pairs.sources, *pairs.targets]
    return train_tokenizer(
        options["tokens"], texts, size=options["vocab_size"], min_count=options["min_count"], lowercase=options["lowercase"]
    )


def hold_out(pairs: TextPairs, count: int, seed: int) -> tuple[TextPairs, TextPairs]:
    """Training and validation text from one text: the pairs of ``count`` sources drawn at random, and those of all others.

    Raises:
        DataError: if there are not more than ``count`` different sources.
    """
    sources = list(dict.fromkeys(pairs.sources))
    if len(sources) <= count:
        raise DataError(
            f"{len(sources)} different source sentences are too few to hold {count} out: give more text, or --valid"
        )
    held = {sources[i] for i in np.random.default_rng(seed).choice(len(sources), count, replace=False)}

    def part(inside: bool) -> TextPairs:
        kept = [(x, y) for x, y in pairs if (x in held) == inside]
        return TextPairs([x for x, _ in kept], [y for _, y in kept], pairs.skipped if not inside else Skipped())

    return part(False), part(True)


# -- translating --------------------------------------------------------------------------------------------------------


def longest(model: Any) -> int:
    """The tokens that a sentence may have; a model whose positions come to an end says so by an attribute ``longest``."""
    return min(LONGEST, getattr(model, "longest", LONGEST))


def translate(model: Any, tokenizer: Tokenizer, texts: Sequence[str], how: Decoding) -> list[list[Hypothesis]]:
    """Hypotheses for each text, best first, in the order of ``texts``; short sentences are searched with short ones.

    A text without tokens, or with more than ``longest(model)``, has no hypotheses.
    """
    encoded = [np.array(ids, np.int64) for ids in tokenizer.encode_all(texts)]
    results: list[list[Hypothesis]] = [[] for _ in texts]
    order = sorted((i for i in range(len(texts)) if 0 < encoded[i].size <= longest(model)), key=lambda i: encoded[i].size)
    while order:
        rows = _together([encoded[i].size for i in order], how.batch)
        rows, order = order[:rows], order[rows:]
        source = pad([encoded[i] for i in rows], last=EOS)
        limit = min(longest_output(source), longest(model))
        if how.beam == 1:
            found = [[h] for h in greedy(model, source, max_length=limit)]
        else:
            found = beam_search(
                model, source, beam_size=how.beam, length_penalty=how.length_penalty, n_best=how.n_best, max_length=limit
            )
        for i, hypotheses in zip(rows, found):
            results[i] = hypotheses
    if how.replace_unknown:
        for text, hypotheses in zip(texts, results):
            for hypothesis in hypotheses:
                copy_unknown(model, tokenizer, text, hypothesis)
    return results


def alignment(model: Any, tokenizer: Tokenizer, text: str, hypothesis: Hypothesis) -> np.ndarray:
    """How much a model looked at each source token as it wrote each token, ``<eos>`` last on both sides: (written, source).

    Raises:
        UsageError: for a model without attention.
    """
    source = pad([np.array(tokenizer.encode(text), np.int64)], last=EOS)
    return model.align(source, pad([np.array(hypothesis.tokens, np.int64)], first=BOS))[0]


def copy_unknown(model: Any, tokenizer: Tokenizer, text: str, hypothesis: Hypothesis) -> None:
    """Let the source word that the model looked at most stand for each unknown word of a translation.

    Source:
        Luong et al. 2015, "Addressing the Rare Word Problem in Neural Machine Translation", with the attention as alignment
        (Jean et al. 2015, section 3.3).
    """
    unknown = [place for place, token in enumerate(hypothesis.tokens) if token == UNK]
    if unknown:
        words = tokenizer.split(text.lower() if tokenizer.lowercase else text)
        weights = alignment(model, tokenizer, text, hypothesis)[:, : len(words)]  # not <eos>, which is no word
        hypothesis.copied = {place: words[weights[place].argmax()] for place in unknown}


def spelled(tokenizer: Tokenizer, hypothesis: Hypothesis) -> str:
    """The text of a translation."""
    if not hypothesis.copied:
        return tokenizer.decode(hypothesis.tokens)
    written = tokenizer.vocabulary.decode(hypothesis.tokens)
    return tokenizer.join([hypothesis.copied.get(place, token) for place, token in enumerate(written)])


def _together(lengths: Sequence[int], batch: int) -> int:
    """How many of the first sentences make a batch: ``batch``, or fewer where they are longer than 128 tokens."""
    for count, length in enumerate(lengths[:batch]):
        if count and (count + 1) * length > batch * 128:
            return count
    return min(batch, len(lengths))


def best_texts(tokenizer: Tokenizer, hypotheses: Iterable[list[Hypothesis]]) -> list[str]:
    """The text of the best hypothesis of each sentence; empty where there is none."""
    return [spelled(tokenizer, found[0]) if found else "" for found in hypotheses]


@no_grad()
def mean_loss(model: Any, text: ParallelText, max_tokens: int) -> float:
    """The mean negative log-likelihood of the targets, in nats per token, without label smoothing."""
    total = count = 0.0
    for batch in TokenBatches(text, max_tokens, shuffle=False, keep_long=True).epoch():
        loss, tokens = model.loss(batch, label_smoothing=0.0)
        total += loss.item()
        count += tokens
    return total / count


class Validation:
    """What is measured while training: the loss on all of the validation text, translations of a part of it.

    Args:
        limit: how many sentences to translate, greedily.
        tokenize: how BLEU cuts the text into tokens, "none" or "13a".
        show: how many samples to return.
    """

    def __init__(
        self, model: Any, tokenizer: Tokenizer, text: ParallelText, *, max_tokens: int, limit: int, tokenize: str, show: int = 3
    ):
        self.model, self.tokenizer, self.text = model, tokenizer, text
        self.max_tokens, self.limit, self.tokenize, self.show = max_tokens, limit, tokenize, show

    def __call__(self) -> tuple[dict[str, float], list[tuple[str, str, str]]]:
        loss = mean_loss(self.model, self.text, self.max_tokens)
        sources, references = self.text.text.sources[: self.limit], self.text.text.targets[: self.limit]
        found = best_texts(self.tokenizer, translate(self.model, self.tokenizer, sources, Decoding(beam=1, batch=128)))
        metrics = {
            "valid_loss": loss,
            "perplexity": perplexity(loss),
            "bleu": bleu(found, references, tokenize=self.tokenize, lowercase=self.tokenizer.lowercase).score,
            "exact_match": exact_match(*(_as_measured(side, self.tokenizer) for side in (found, references))),
        }
        return metrics, list(zip(sources, references, found))[: self.show]


def _as_measured(texts: Sequence[str], tokenizer: Tokenizer) -> list[str]:
    """A model of lower-case text is measured without regard to case; BLEU's and chrF's signatures say it too."""
    return [text.lower() for text in texts] if tokenizer.lowercase else list(texts)


def test(
    model: Any, tokenizer: Tokenizer, pairs: TextPairs, how: Decoding, *, max_tokens: int, tokenize: str
) -> tuple[dict, list[str]]:
    """Translate ``pairs`` and measure: BLEU and chrF with their signatures, exact match, loss, perplexity, speed.

    Returns:
        (metrics, hypotheses).
    """
    text = ParallelText.encode(pairs, tokenizer, max_tokens=longest(model))
    loss = mean_loss(model, text, max_tokens)
    started = time.perf_counter()
    found = best_texts(tokenizer, translate(model, tokenizer, text.text.sources, how))
    seconds = time.perf_counter() - started
    references = text.text.targets
    return {
        "bleu": bleu(found, references, tokenize=tokenize, lowercase=tokenizer.lowercase),
        "chrf": chrf(found, references, lowercase=tokenizer.lowercase),
        "exact_match": exact_match(_as_measured(found, tokenizer), _as_measured(references, tokenizer)),
        "loss": loss,
        "perplexity": perplexity(loss),
        "sentences": len(found),
        "skipped": text.skipped,
        "sentences_per_second": len(found) / seconds,
    }, found


# -- runs ---------------------------------------------------------------------------------------------------------------


def load_checkpoint(run: RunDirectory, which: str, model: Any) -> None:
    """Put the weights of a checkpoint into ``model``: "best", "last", "averaged", a step number, or a file.

    Raises:
        CheckpointError: for one that is not there, or that cannot be read, or is of another model.
    """
    if which.endswith(".safetensors"):
        path = Path(which)
    else:
        held = {_short(path): path for path in sorted((run.path / "checkpoints").glob("*.safetensors"))}
        if which not in held:
            there = f"it holds {', '.join(held)}" if held else "it holds none yet; train until the first validation"
            raise CheckpointError(f"{run.path} holds no checkpoint {which!r}: {there}")
        path = held[which]
    arrays, _ = checkpoint.load(path)
    load_weights(model, arrays, path)


def _short(path: Path) -> str:
    """``step-00000400.safetensors`` is "400", ``best.safetensors`` is "best"."""
    number = path.stem.removeprefix("step-")
    return str(int(number)) if number.isdecimal() else path.stem


def average_checkpoints(run: RunDirectory, model: Any, count: int) -> int:
    """Put the mean of the last ``count`` numbered checkpoints into ``model`` and save it as "averaged".

    Returns:
        how many there were.

    Source:
        Vaswani et al. 2017, section 6.1.
    """
    if count < 1:
        raise UsageError(f"an average is over at least one checkpoint: got {count}")
    paths = run.checkpoints()[-count:]
    if not paths:
        raise CheckpointError(f"{run.path} holds no numbered checkpoints to average: train with --keep")
    arrays = checkpoint.average(paths, prefix="model.")
    load_weights(model, arrays, paths[-1])
    checkpoint.save(run.checkpoint("averaged"), arrays, {"averaged": [p.name for p in paths]})
    return len(paths)
