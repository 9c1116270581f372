"""How cost grows: with the tokens of a batch, with the operations of a graph; and what a second thread brings.

Where the rates of a table's lines agree, the cost is in proportion to the work.
"""

from collections.abc import Callable, Iterator
from types import ModuleType

import minigrad.kernels.threads as our_threads
from models.transformer import PRESETS
from tools.bench.measure import OURS, Contest, Libraries, Work

from .tape import scalar_chain
from .train import our_step, random_batch, torch_step

LENGTH = 32
TOKENS = (1024, 4096, 16_384, 65_536)
OPERATIONS = (1_000, 10_000, 100_000, 1_000_000)


def _step(name: str, library: ModuleType, tokens: int) -> Work:
    batch = random_batch(LENGTH, tokens)
    return our_step(PRESETS["tiny"], batch) if name == OURS else torch_step(library, PRESETS["tiny"], batch)


def on_threads(work: Work, count: int, get: Callable[[], int], set_: Callable[[int], None]) -> Work:
    """``work`` on ``count`` threads; afterwards the library has as many as before."""

    def on_some():
        before = get()
        set_(count)
        try:
            work()
        finally:
            set_(before)

    return on_some


def contests(libraries: Libraries) -> Iterator[Contest]:
    """A training step of the preset tiny on growing batches, chains of growing length, and the step on 1, 2, .. threads."""
    for tokens in TOKENS:
        sides = {name: _step(name, library, tokens) for name, library in libraries.items()}
        yield Contest(f"training step, {tokens:,} tokens a batch", sides, tokens, "tokens")
    for operations in OPERATIONS:
        sides = {name: scalar_chain(library, operations) for name, library in libraries.items()}
        yield Contest(f"{operations:,} scalar operations", sides, operations, "operations")
    steps = {name: _step(name, library, TOKENS[1]) for name, library in libraries.items()}
    switches = {
        name: (our_threads.get_num_threads, our_threads.set_num_threads)
        if name == OURS
        else (library.get_num_threads, library.set_num_threads)
        for name, library in libraries.items()
    }
    for count in range(1, our_threads.get_num_threads() + 1):
        sides = {name: on_threads(work, count, *switches[name]) for name, work in steps.items()}
        yield Contest(f"training step, threads: {count}", sides, TOKENS[1], "tokens")
