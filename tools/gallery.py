"""Draw the gallery of the documentation anew, from models trained for it on the spot: ``python -m tools.gallery``.

Three small trainings: CBOW on the eight sentences of the word2vec lesson, an LSTM and a Transformer that learn to write a word
backwards. They take about a minute; the pictures go to docs/gallery/, and docs/gallery.md shows them.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
from minigrad import nn, optim, viz
from minigrad.data import BOS, EOS, SPECIALS, Batch
from minigrad.formats import atomic
from minigrad.nn import functional as F
from minigrad.tensor import raw
from minigrad.viz.style import FORMATS
from models import word2vec_lesson
from models.seq2seq import Seq2Seq
from models.transformer import Transformer

ROOT = Path(__file__).parents[1] / "docs"
LETTERS = "abcdefghijkl"
TOKENS = [*SPECIALS, *LETTERS]


class Entry(NamedTuple):
    """A picture, the words below it, and the call that draws it."""

    name: str
    picture: Any
    words: str
    call: str


# -- three trainings ----------------------------------------------------------------------------------------------------


class Cbow(nn.Module):
    """The mean of the embeddings of a word's neighbours, and a score for each word that may stand between them."""

    def __init__(self, words: int, size: int):
        super().__init__()
        self.embedding = nn.Embedding(words, size)
        self.output = nn.Linear(size, words, bias=False)

    def forward(self, shares: np.ndarray) -> mg.Tensor:
        """Scores (examples, words), given the share of each word in each context (examples, words)."""
        return self.output(mg.tensor(shares) @ self.embedding.weight)


def cbow() -> tuple[dict[int, np.ndarray], list[str], viz.Graph]:
    """CBOW with a full softmax on the lesson's sentences: the embeddings by training step, their words, and the graph."""
    mg.manual_seed(3)
    sentences = [text.split() for text in word2vec_lesson.TEXT]
    words = sorted({word for sentence in sentences for word in sentence})
    places = [(sentence, i) for sentence in sentences for i in range(len(sentence))]
    shares = np.zeros((len(places), len(words)), np.float32)
    for row, (sentence, i) in enumerate(places):
        context = sentence[max(0, i - 2) : i] + sentence[i + 1 : i + 3]
        for word in context:
            shares[row, words.index(word)] += 1 / len(context)
    targets = mg.tensor([words.index(sentence[i]) for sentence, i in places])
    model = Cbow(len(words), 8)
    adam = optim.Adam(model.parameters(), lr=0.03)
    film = {0: model.embedding.weight.detach().numpy().copy()}
    for step in range(1, 121):
        adam.zero_grad()
        F.cross_entropy(model(shares), targets).backward()
        adam.step()
        if step % 12 == 0:
            film[step] = model.embedding.weight.detach().numpy().copy()
    with viz.record(model) as record:
        F.cross_entropy(model(shares), targets).backward()
    return film, words, viz.graph(record, values=True, formulas=True, title="CBOW, one pass over its text")


def batch_of(rng: np.random.Generator, count: int, length: int) -> Batch:
    """Random letters, to be written backwards."""
    letters = rng.integers(len(SPECIALS), len(TOKENS), (count, length))
    column = np.ones((count, 1), np.int64)
    source, target = np.hstack([letters, EOS * column]), np.hstack([letters[:, ::-1], EOS * column])
    return Batch(np.arange(count), source, np.hstack([BOS * column, letters[:, ::-1]]), target)


class Trained(NamedTuple):
    """A model that writes backwards, and what was seen of its training."""

    model: Any
    lines: list[dict]
    monitor: viz.Monitor
    film: dict[int, np.ndarray]


def train(model: Any, steps: int, rate: float, look: Callable[[Any, Batch], np.ndarray]) -> Trained:
    """Train on words of 3 to 8 letters, and look at one of them now and then."""
    rng = np.random.default_rng(0)
    sample = batch_of(np.random.default_rng(5), 1, 8)
    adam = optim.Adam(model.parameters(), lr=rate)
    schedule = optim.lr_scheduler.LambdaLR(adam, lambda step: min((step + 1) / 60, 1 - 0.95 * step / steps))
    monitor = viz.Monitor(model, adam, every=10)
    lines, film = [], {0: look(model, sample)}
    for step in range(1, steps + 1):
        total, count = model.loss(batch_of(rng, 32, int(rng.integers(3, 9))))
        loss = total * (1 / count)
        adam.zero_grad()
        loss.backward()
        lines.append({"step": step, "loss": loss.item(), "lr": schedule.get_last_lr()[0]})
        adam.step()
        schedule.step()
        monitor.step(loss)
        if step % (steps // 5) == 0:
            film[step] = look(model, sample)
            with mg.no_grad():
                total, count = model.loss(batch_of(np.random.default_rng(9), 100, 8))
            lines.append({"step": step, "valid_loss": total.item() / count})
    return Trained(model.eval(), lines, monitor, film)


def transformer(steps: int) -> Trained:
    """Two layers on either side, of two heads and 32 features."""
    mg.manual_seed(1)
    model = Transformer(len(TOKENS), dim=32, ffn=64, heads=2, encoder_layers=2, decoder_layers=2, dropout=0.0)
    return train(model, steps, 4e-3, lambda model, sample: model.attention(sample.source, sample.target_input)[-1, 0])


def lstm(steps: int) -> Trained:
    """One layer of 32 features in each direction, with attention."""
    mg.manual_seed(2)
    model = Seq2Seq(len(TOKENS), dim=32, encoder_hidden=32, decoder_hidden=64, cell="lstm", attention="general")
    return train(model, steps, 6e-3, lambda model, sample: model.align(sample.source, sample.target_input)[0])


# -- the pictures -------------------------------------------------------------------------------------------------------


def entries(steps: int) -> Iterator[Entry]:
    """All pictures, each drawn when it is asked for."""
    film, words, graph = cbow()
    groups = {
        "film": ("troll2", "gymkata", "film"),
        "food": ("pasta", "rice", "meal"),
        "deed": ("watched", "cooked", "laughed", "dined"),
    }
    kinds = [next((kind for kind, members in groups.items() if word in members), "other words") for word in words]
    yield Entry(
        "embedding", viz.embedding(film[120], words, groups=kinds, near=["troll2", "pasta"], neighbours=4),
        "CBOW on eight sentences: words that are used alike have come together. Right: neighbours in all eight dimensions.",
        'viz.embedding(matrix, words, groups=kinds, near=["troll2", "pasta"])',
    )  # fmt: skip
    yield Entry(
        "embedding-film", viz.embedding(film, words, groups=kinds),
        "The same over training, in one fixed projection: what moves is words, not axes.",
        "viz.embedding({0: before, 12: ..., 120: after}, words, groups=kinds)",
    )  # fmt: skip
    yield Entry(
        "graph-cbow", graph,
        "What CBOW computes: shapes on the arrows, formulas, values and the norms of gradients in the boxes.",
        "viz.graph(record, values=True, formulas=True)",
    )  # fmt: skip
    done = transformer(steps)
    yield from _of_transformer(done)
    done = lstm(steps)
    yield from _of_lstm(done)
    mg.manual_seed(0)
    yield Entry(
        "positions", viz.positional(nn.PositionalEncoding(64)),
        "Sinusoidal positions: their waves, their similarity, which depends on distance alone, and the rotation that shifts.",
        "viz.positional(nn.PositionalEncoding(64))",
    )  # fmt: skip


def _of_transformer(done: Trained) -> Iterator[Entry]:
    sample = batch_of(np.random.default_rng(5), 1, 8)
    source, target = ([TOKENS[i] for i in ids[0]] for ids in (sample.source, sample.target))
    with viz.capture_attention(done.model) as seen:
        done.model.loss(sample)[0].backward()
    done.model.zero_grad()
    cross = next(call for call in seen if call.name == "decoder.layers.1.multihead_attn")
    inner = next(call for call in seen if call.name == "decoder.layers.0.self_attn")
    title = "decoder layer 2: where it looks as it writes each letter"
    grad = cross.grad
    assert grad is not None and inner.masked is not None
    for theme in ("light", "dark"):
        yield Entry(
            f"attention-{theme}", viz.attention(cross.weights[0], target, source, grad[0], title=title, theme=theme),
            "A Transformer that writes backwards: its weights, their gradients, and both multiplied: what the loss hangs on.",
            f'viz.attention(weights, target, source, grad, theme="{theme}")',
        )  # fmt: skip
    written = ["<bos>", *target[:-1]]
    yield Entry(
        "attention-masked", viz.attention(inner.weights[0], written, mask=inner.masked[0], title="decoder layer 1, letters"),
        "A decoder does not see what it has not written yet: those cells are hatched.",
        "viz.attention(weights, written, mask=mask)",
    )  # fmt: skip
    yield Entry(
        "attention-film", viz.attention(done.film, target, source),
        "The same layer over training: the counter-diagonal appears.",
        "viz.attention({0: before, 120: ..., 600: after}, target, source)",
    )  # fmt: skip
    yield Entry(
        "grad-flow-transformer", viz.grad_flow(done.monitor, title="Gradient flow of the Transformer"),
        "Gradients by depth and over training, and how large the steps were against the weights.",
        "viz.grad_flow(monitor)",
    )  # fmt: skip
    with viz.record(done.model) as record:
        done.model.loss(sample)[0].backward()
    done.model.zero_grad()
    yield Entry(
        "graph-transformer", viz.graph(record, depth=2, title="The Transformer, closed to its layers"),
        "The compute graph of one pass, closed to layers; arrows are coloured by how much a gradient grew or shrank.",
        "viz.graph(record, depth=2)",
    )  # fmt: skip
    focus = "decoder.layers.1.multihead_attn"
    yield Entry(
        "graph-attention", viz.graph(record, focus=focus, title="One attention of the Transformer, opened"),
        "The same graph, opened at one attention block alone.",
        f'viz.graph(record, focus="{focus}")',
    )  # fmt: skip
    yield Entry(
        "curves", viz.curves(done.lines, title="The Transformer learns to write backwards"),
        "Loss curves: the training loss smoothed over its faint values, the validation loss as points.",
        "viz.curves(run)",
    )  # fmt: skip


def _of_lstm(done: Trained) -> Iterator[Entry]:
    sample = batch_of(np.random.default_rng(5), 1, 8)
    source, target = ([TOKENS[i] for i in ids[0]] for ids in (sample.source, sample.target))
    yield Entry(
        "attention-lstm", viz.attention(done.film, target, source, title="LSTM with attention: where it looks, over training"),
        "An LSTM with attention learns the same.",
        "viz.attention({0: before, 120: ..., 600: after}, target, source)",
    )  # fmt: skip
    yield Entry(
        "grad-flow-lstm", viz.grad_flow(done.monitor, title="Gradient flow of the LSTM"),
        "For a recurrent network: also how the gradient fades through time.",
        "viz.grad_flow(monitor)",
    )  # fmt: skip
    held = batch_of(np.random.default_rng(7), 200, 11)
    with mg.no_grad():
        scores = done.model(held.source, held.target_input).reshape(*held.target.shape, len(TOKENS))
        losses = raw(-F.log_softmax(scores, -1)).astype(np.float64)
    guessed = raw(scores).argmax(-1)
    of_targets = np.take_along_axis(losses, held.target[..., None], 2)[..., 0]
    texts = [[[TOKENS[i] for i in row[:-1]] for row in rows] for rows in (held.target, guessed)]
    names = ["".join(TOKENS[i] for i in row[:-1]) for row in held.source]
    yield Entry(
        "errors", viz.errors(*texts, sources=names, losses=list(of_targets), worst=6),
        "Where the LSTM errs in words of 11 letters, having been trained on 3 to 8, and given the right letters before: the "
        "worst words, letter by letter with their losses; what it takes for what; and at which position.",
        "viz.errors(references, hypotheses, sources=sources, losses=losses)",
    )  # fmt: skip
    with viz.record(done.model) as record:
        done.model.loss(sample)[0].backward()
    done.model.zero_grad()
    yield Entry(
        "graph-lstm", viz.graph(record, title="The LSTM with attention"),
        "The compute graph of the LSTM with attention.",
        "viz.graph(record)",
    )  # fmt: skip


def write(root: Path, steps: int, only: Sequence[str] = (), kind: str = "svg") -> list[str]:
    """Draw into ``root``/gallery and write ``root``/gallery.md. Returns a line for each picture."""
    folder = root / "gallery"
    folder.mkdir(parents=True, exist_ok=True)
    parts, lines = [_HEAD], []
    started = time.perf_counter()
    for entry in entries(steps):
        path = folder / f"{entry.name}.{kind}"
        if not only or entry.name in only:
            entry.picture.save(path)
            lines.append(f"{time.perf_counter() - started:6.1f} s  {path.stat().st_size / 1000:6.1f} kB  {path.name}")
            print(lines[-1], flush=True)
        title = entry.name.replace("-", " ")
        parts.append(f"## {title}\n\n{entry.words}\n\n```python\n{entry.call}\n```\n\n![{title}](gallery/{path.name})\n")
    atomic.write_text(root / "gallery.md", "\n".join(parts))
    return lines


_HEAD = """# A gallery

Pictures that minigrad draws, of models trained for them on the spot: CBOW on eight sentences, and a Transformer and an LSTM
that learn to write a word backwards. `python -m tools.gallery` draws them all anew; `pip install 'minigrad[viz]'` brings what
they need, and `python -m tools.viz --check` says what is there. Each picture is saved as SVG, PNG or PDF by
`.save("name.svg")` and shows itself in a notebook; `theme="dark"` makes it dark.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.gallery", description="Draw the gallery of the documentation anew.")
    parser.add_argument(
        "--out", type=Path, default=ROOT, metavar="DIR", help="where gallery/ and gallery.md go; docs by default"
    )
    parser.add_argument("--steps", type=int, default=600, metavar="N", help="of training, for each model that writes backwards")
    parser.add_argument("--only", nargs="+", default=(), metavar="NAME", help="save these pictures alone")
    parser.add_argument("--format", choices=FORMATS, default="svg", help="svg by default")
    given = parser.parse_args(arguments)
    write(given.out, given.steps, given.only, given.format)
    print(f"the gallery is in {given.out / 'gallery.md'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
