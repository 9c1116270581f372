"""How cost grows: with the tokens of a batch, with the operations of a graph; and what a second thread brings.

Where the rates of a table's lines agree, the cost is in proportion to the work.
"""

from collections.abc import Iterator, Sequence
from types import ModuleType

import minigrad.kernels.threads as our_threads
from models.transformer import PRESETS
from tools.bench import report
from tools.bench.machine import on_threads
from tools.bench.measure import OURS, Contest, Libraries, Result, Work

from .tape import scalar_chain
from .train import our_step, random_batch, torch_step

LENGTH = 32
TOKENS = (1024, 4096, 16_384, 65_536)
OPERATIONS = (1_000, 10_000, 100_000, 1_000_000)
_BATCHES, _CHAINS, _THREADS = "growing batches", "growing graphs", "threads"


def _step(name: str, library: ModuleType, tokens: int) -> Work:
    batch = random_batch(LENGTH, tokens)
    return our_step(PRESETS["tiny"], batch) if name == OURS else torch_step(library, PRESETS["tiny"], batch)


def contests(libraries: Libraries) -> Iterator[Contest]:
    """A training step of the preset tiny on growing batches, chains of growing length, and the step on 1, 2, .. threads."""
    for tokens in TOKENS:
        sides = {name: _step(name, library, tokens) for name, library in libraries.items()}
        yield Contest(f"training step, {tokens:,} tokens a batch", sides, tokens, "tokens", section=_BATCHES)
    for operations in OPERATIONS:
        sides = {name: scalar_chain(library, operations) for name, library in libraries.items()}
        yield Contest(f"{operations:,} scalar operations", sides, operations, "operations", section=_CHAINS)
    steps = {name: _step(name, library, TOKENS[1]) for name, library in libraries.items()}
    switches = {
        name: (our_threads.get_num_threads, our_threads.set_num_threads)
        if name == OURS
        else (library.get_num_threads, library.set_num_threads)
        for name, library in libraries.items()
    }
    for count in range(1, our_threads.get_num_threads() + 1):
        sides = {name: on_threads(work, count, *switches[name]) for name, work in steps.items()}
        yield Contest(f"training step, threads: {count}", sides, TOKENS[1], "tokens", section=_THREADS)


def remarks(results: Sequence[Result]) -> list[str]:
    """How evenly the cost grows, and how much faster more threads are."""
    lines = []
    for section, unit in ((_BATCHES, "token"), (_CHAINS, "operation")):
        costs = [result.median(OURS) / result.amount for result in results if result.section == section]
        if costs:
            spread = ", ".join(report.duration(cost) for cost in costs)
            lines.append(f"minigrad's time per {unit}: {spread}; the largest is {max(costs) / min(costs):.2f} times the least")
    times = [result.median(OURS) for result in results if result.section == _THREADS]
    if len(times) > 1:
        lines.append(f"minigrad on {len(times)} threads is {times[0] / times[-1]:.2f} times as fast as on 1")
    return lines
