"""Exploding and vanishing gradients, seen: ``python -m models.gradient_flow``. A lesson to read from top to bottom.

The task is the oldest test of a memory (Hochreiter 1991; Bengio, Simard and Frasconi 1994): a sequence of symbols, of which
only the first one matters, and at the end the network is to say which it was. The loss is known at the last step alone. What it
teaches about the first step is a product of as many matrices as there are steps between,

    dL/dh_1 = dL/dh_T  dh_T/dh_(T-1)  ...  dh_2/dh_1,

so that its norm shrinks or grows with their number like a power. Where it shrinks, the network cannot learn what it should
remember (the gradient *vanishes*); where it grows, one step of training throws all away that was learnt (it *explodes*).

Two experiments, and a picture of both:

1. A plain RNN beside an LSTM. The LSTM's cell state goes from step to step multiplied by a gate that may stay near 1, so the
   gradient arrives at the first step, and the task is learnt. In the RNN, as its layer is drawn, the gradient vanishes, and
   nothing is learnt.
2. A plain RNN with large recurrent weights, trained with and without clipping. Clipping keeps a gradient's direction but limits
   its norm (Pascanu, Mikolov and Bengio 2013, "On the difficulty of training recurrent neural networks"). With it the large
   weights are a cure for what vanished; without it one explosion follows another.

One run is no proof. Of four seeds that were tried, the RNN of the first experiment stayed at chance with three, and the LSTM
had solved the task at the end with two; with the others it lost it again. Seed 1, the default, shows the contrast that the
gradients explain. Whether a network learns hangs on more than its gradients; whether it can, on them.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

import minigrad as mg
from minigrad import nn, optim
from minigrad.formats import atomic
from minigrad.nn import functional as F
from minigrad.nn.utils import clip_grad_norm_
from minigrad.ops.random import manual_seed
from minigrad.training import arguments, console
from minigrad.training.arguments import whole
from minigrad.training.curves import Panel, Series, figure

SYMBOLS, BATCH, HIDDEN = 4, 32, 32
CLIP = 1.0  # the limit on the norm of all gradients together
LARGE = 1.5  # the gain of recurrent weights under which gradients explode
CHANCE = math.log(SYMBOLS)  # the loss, in nats, of one who knows nothing
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")  # distinct for colour-blind readers too (Okabe and Ito 2008)
GREY = "#7f7f7f"


def problem(random: np.random.Generator, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """A batch: one-hot symbols (steps, batch, 2 * SYMBOLS), and which of the first SYMBOLS each sequence began with (batch,).

    Every later symbol is drawn from the other half, and means nothing.
    """
    first = random.integers(0, SYMBOLS, BATCH)
    symbols = random.integers(SYMBOLS, 2 * SYMBOLS, (steps, BATCH))
    symbols[0] = first
    return np.eye(2 * SYMBOLS, dtype=np.float32)[symbols], first


class Reader(nn.Module):
    """Recurrent layer and output layer: what the last hidden state says about the first symbol.

    Args:
        cell: "RNN" or "LSTM".
        gain: an RNN's recurrent matrix begins as a rotation times this; above 1, states and gradients grow from step to step
            until the tanh flattens them. 0 leaves the matrix as the layer draws it, which makes both smaller.
        remember: the LSTM's forget gate begins with this bias: its sigmoid is the share that a step keeps (Gers et al. 2000).
    """

    def __init__(self, cell: str, gain: float = 0.0, remember: float = 4.0):
        super().__init__()
        self.recurrent = {"RNN": nn.RNN, "LSTM": nn.LSTM}[cell](2 * SYMBOLS, HIDDEN)
        self.output = nn.Linear(HIDDEN, SYMBOLS)
        weights = dict(self.recurrent.named_parameters())
        if gain:
            nn.init.orthogonal_(weights["weight_hh_l0"], gain)
        if cell == "LSTM":
            weights["bias_ih_l0"].data[HIDDEN : 2 * HIDDEN] = remember  # the gates are i, f, g, o

    def forward(self, symbols):
        return self.output(self.recurrent(symbols)[0][-1])


@dataclass
class Record:
    """What happened in a training, update by update.

    Attributes:
        loss: in nats.
        norm: of all gradients together, before clipping.
        flow: (steps,) arrays: |dL/dh_t|, the norm of the gradient of a sequence's loss by its state after step t, the mean over
            the batch. Without a unit, as loss and states have none.
    """

    loss: list[float] = field(default_factory=list)
    norm: list[float] = field(default_factory=list)
    flow: list[np.ndarray] = field(default_factory=list)

    @property
    def reached(self) -> float:
        """The mean loss of the last tenth of the training."""
        return float(np.mean(self.loss[-max(1, len(self.loss) // 10) :]))

    def first_to_last(self, update: int) -> float:
        """|dL/dh_1| / |dL/dh_T| at an update: below 1 the gradient vanishes on its way back, above 1 it grows."""
        return float(self.flow[update][0] / self.flow[update][-1])


def train(cell: str, updates: int, steps: int, clip: float = 0.0, gain: float = 0.0, seed: int = 0) -> Record:
    """Train on the task by gradient descent with momentum, and record.

    Adam would divide every gradient by its own usual size, and so hide how large it is.

    Args:
        cell: "RNN" or "LSTM".
        updates: of the weights.
        steps: of a sequence.
        clip: the greatest norm of all gradients together; 0 for any.
        gain: see :class:`Reader`.
    """
    manual_seed(seed)
    model, random, record = Reader(cell, gain), np.random.default_rng(seed), Record()
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    # The loss is the mean over the batch, so the gradient by one sequence's state is that of its own loss / BATCH.
    model.recurrent.register_gradient_flow_hook(lambda name, norms: record.flow.append(norms.mean(1) * BATCH))
    for _ in range(updates):
        symbols, first = problem(random, steps)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(mg.tensor(symbols)), first)
        loss.backward()
        record.norm.append(clip_grad_norm_(model.parameters(), clip or math.inf).item())
        record.loss.append(loss.item())
        optimizer.step()
    return record


# -- the picture --------------------------------------------------------------------------------------------------------


def through_time(name: str, record: Record, moments: Sequence[int], reach: tuple[float, ...]) -> Panel:
    """|dL/dh_t| from the first step to the last, at some moments of the training."""
    lines = []
    for moment, color in zip(moments, COLORS):
        points = [(t + 1, _positive(value)) for t, value in enumerate(record.flow[moment])]
        lines.append(Series(f"update {moment + 1:,}", color, points))
    return Panel(f"{name}: |dL/dh_t|", 190, lines, log=True, reach=reach)


def over_training(key: str, label: str, records: dict[str, Record], mark: tuple[str, float], log: bool) -> Panel:
    """A figure of each update, for several trainings, and a value to compare with."""
    count = max(len(record.loss) for record in records.values())
    lines = []
    for (name, record), color in zip(records.items(), COLORS):
        values = getattr(record, key)
        lines.append(Series(name, color, [(i + 1, _positive(value) if log else value) for i, value in enumerate(values)]))
    lines.append(Series(mark[0], GREY, [(1, mark[1]), (count, mark[1])]))
    return Panel(label, 170, lines, log=log)


def picture(rnn: Record, lstm: Record, free: Record, clipped: Record) -> str:
    """Both experiments as an SVG file: gradients through time, then over the training."""
    moments = _moments(len(rnn.flow))
    values = [value for record in (rnn, lstm) for m in moments for value in record.flow[m] if value > 0]
    reach = min(values), max(values)
    sections = [
        (
            "step t of the sequence; the symbol to remember is at step 1, the loss at the last",
            [through_time(name, record, moments, reach) for name, record in (("RNN", rnn), ("LSTM", lstm))],
        ),
        (
            "update of the weights, RNN beside LSTM",
            [over_training("loss", "loss (nats)", {"RNN": rnn, "LSTM": lstm}, ("chance", CHANCE), log=False)],
        ),
        (
            "update of the weights, RNN with large recurrent weights",
            [
                over_training(
                    "norm",
                    "gradient norm",
                    {"not clipped": free, "clipped (norm before)": clipped},
                    (f"limit {CLIP:g}", CLIP),
                    log=True,
                ),
                over_training("loss", "loss (nats)", {"not clipped": free, "clipped": clipped}, ("chance", CHANCE), log=False),
            ],
        ),
    ]
    return figure(sections, title="Vanishing and exploding gradients")


def _moments(updates: int) -> list[int]:
    """The first update, and some on the way to the last."""
    return sorted({0, updates // 12, updates // 3, updates - 1})


def _positive(value: float) -> float:
    """No logarithm of 0: a norm that is too small for a number is a gap."""
    return float(value) if value > 0 else math.nan


# -- the command line ---------------------------------------------------------------------------------------------------


def summary(rnn: Record, lstm: Record, free: Record, clipped: Record, steps: int) -> list[str]:
    """What the picture shows, in numbers."""
    lines = [f"1. |dL/dh_1| / |dL/dh_{steps}|, the share of the gradient that arrives at the first step, and the loss:"]
    for name, record in (("RNN", rnn), ("LSTM", lstm)):
        shares = ", ".join(f"{record.first_to_last(m):.1e} at update {m + 1}" for m in _moments(len(record.flow)))
        lines.append(f"   {name:4}  {shares}; loss {record.reached:.3f}, chance is {CHANCE:.3f}")
    lines.append(
        f"2. an RNN with large recurrent weights, without clipping and with a limit of {CLIP:g} on the norm of all gradients:"
    )
    for name, record in (("without", free), ("with", clipped)):
        above = sum(norm > CLIP for norm in record.norm)
        largest = f"largest norm {max(record.norm):.3g}, median {np.median(record.norm):.3g}"
        lines.append(f"   {name:7}  {largest}, {above} of {len(record.norm)} above the limit; loss {record.reached:.3f}")
    return lines


def lesson(given: argparse.Namespace) -> None:
    """Both experiments, their numbers, and the picture."""
    size = {"updates": given.updates, "steps": given.steps, "seed": given.seed}
    print(f"{given.updates} updates of each network on sequences of {given.steps} symbols ...", flush=True)
    rnn, lstm = (train(cell, clip=CLIP, **size) for cell in ("RNN", "LSTM"))
    free, clipped = (train("RNN", clip=clip, gain=LARGE, **size) for clip in (0.0, CLIP))
    print("\n".join(summary(rnn, lstm, free, clipped, given.steps)))
    atomic.write_text(given.out, picture(rnn, lstm, free, clipped))
    print(f"the picture is in {given.out}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the lesson; errors become one sentence on standard error and exit status 1."""
    about = "See gradients vanish in an RNN, arrive in an LSTM, and explode where nothing limits them."
    parser = arguments.Parser(prog="python -m models.gradient_flow", description=about)
    parser.add_argument("--steps", type=whole(2), metavar="N", default=20, help="of a sequence (default: %(default)s)")
    parser.add_argument("--updates", type=whole(2), metavar="N", default=800, help="of the weights (default: %(default)s)")
    parser.add_argument("--seed", type=whole(0), metavar="N", default=1, help="of weights and data (default: %(default)s)")
    parser.add_argument("--out", metavar="FILE", default="gradient_flow.svg", help="the picture (default: %(default)s)")
    given = parser.parse_args(argv)
    return console.run(lambda: lesson(given), smaller="choose fewer --steps")


if __name__ == "__main__":
    sys.exit(main())
