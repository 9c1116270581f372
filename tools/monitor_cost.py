"""What watching costs: ``python -m tools.monitor_cost``.

A Transformer takes training steps that a monitor looks at and steps that it does not, turn about. From the medians follows what
a look every ``--every`` steps adds to training.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Sequence

import numpy as np

import minigrad as mg
from minigrad import optim, viz
from minigrad.data.batching import Batch
from minigrad.nn.utils import clip_grad_norm_
from models.transformer import PRESETS, Transformer
from tools.options import count


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tools.monitor_cost", description=(__doc__ or "").partition("\n\n")[2])
    parser.add_argument("--preset", choices=tuple(PRESETS), default="tiny")
    parser.add_argument("--sentences", type=count, default=64, metavar="N", help="in a batch (default: 64)")
    parser.add_argument("--length", type=count, default=32, metavar="N", help="tokens of each, on both sides (default: 32)")
    parser.add_argument("--vocabulary", type=count, default=10_000, metavar="N", help="(default: 10000)")
    parser.add_argument("--every", type=count, default=10, metavar="N", help="steps from look to look (default: 10)")
    parser.add_argument("--turns", type=count, default=15, metavar="N", help="steps of each kind (default: 15)")
    options = parser.parse_args(arguments)
    mg.manual_seed(0)
    model = Transformer(options.vocabulary, dropout=0.1, **PRESETS[options.preset])
    optimizer = optim.Adam(model.parameters(), lr=1e-4)
    tokens = np.random.default_rng(0).integers(4, options.vocabulary, (options.sentences, options.length))
    batch = Batch(np.arange(options.sentences), tokens, tokens, np.roll(tokens, -1, 1))
    monitor = viz.Monitor(model, optimizer, every=2)

    def step() -> tuple[float, float]:
        """The time of a step, and of what comes after it: where the next one is looked at, getting ready for that."""
        started = time.perf_counter()
        optimizer.zero_grad()
        loss, scored = model.loss(batch)
        (loss * (1 / scored)).backward()
        clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        value, done = loss.item() / scored, time.perf_counter()
        monitor.step(value)
        return done - started, time.perf_counter() - done

    plain_steps, looked_steps, ready = [], [], 0.0
    for number in range(1, 2 * options.turns + 5):
        took, after = step()
        if number > 4 and number % 2:
            plain_steps.append(took)
        elif number > 4:
            looked_steps.append(ready + took + after)
        ready = after
    monitor.close()
    plain, looked = (1000 * statistics.median(times) for times in (plain_steps, looked_steps))
    share = 100 * (looked - plain) / (options.every * plain)
    print(
        f"Transformer {options.preset}, {sum(p.numel() for p in model.parameters()):,} parameters, {options.sentences} x "
        f"{options.length} tokens a side: {plain:.1f} ms a step, {looked:.1f} ms with a look; "
        f"a look every {options.every} steps costs {share:.2f} %"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
