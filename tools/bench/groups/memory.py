"""By how much the resident memory of a process grows at its peak, when it trains: both presets, and batches of any size.

Each figure comes from a new process and counts from where its imports are done, since PyTorch's process imports minigrad too,
for the batches. The parameters, the optimizer's state and the loaded kernels count; what the kernels take to compile does not,
for a small batch goes first.
"""

import importlib
from collections.abc import Iterator
from pathlib import Path

from models.transformer import PRESETS
from tools.bench.measure import OURS, Contest, Libraries, Work

from .startup import run_python
from .train import TOKENS as _BATCH
from .train import our_step, random_batch, torch_step

STEPS = (("tiny", 32), ("tiny", 128), ("small", 32), ("small", 128))  # presets and lengths, with batches of 4,096 tokens
TOKENS = (1024, 16_384, 65_536)  # of other batches, for the first of them
_STEPS = 3  # the optimizer's state comes with the first; buffers that are kept are found again from the second on


def trained_peak(library: str, preset: str, length: int, tokens: int) -> int:
    """By how many bytes this process grows while it trains on batches of ``tokens`` tokens; for a process of its own."""
    step_on = _steps(library, PRESETS[preset], length)
    before = _resident("VmRSS")
    step_on(2 * length)()
    _forget_peak()
    work = step_on(tokens)
    for _ in range(_STEPS):
        work()
    return _resident("VmHWM") - before


def _steps(library: str, preset, length: int):
    if library == OURS:
        return lambda tokens: our_step(preset, random_batch(length, tokens))
    torch = importlib.import_module(library)
    return lambda tokens: torch_step(torch, preset, random_batch(length, tokens))


def _forget_peak() -> None:
    """Let the peak start again from what the process holds now; only Linux can."""
    reset = Path("/proc/self/clear_refs")
    if reset.exists():
        reset.write_text("5", encoding="ascii")


def _resident(which: str) -> int:
    """What the process holds now ("VmRSS") or held at its peak ("VmHWM"), in bytes; elsewhere than on Linux always the peak."""
    status = Path("/proc/self/status")
    if status.exists():
        return next(1024 * int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith(which))
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS gives bytes


def _contest(libraries: Libraries, preset: str, length: int, tokens: int, section: str) -> Contest:
    sides = {name: _measured(name, preset, length, tokens) for name in libraries}
    return Contest(f"{preset}, sentences of {length}, {tokens:,} tokens", sides, quantity="bytes", section=section)


def _measured(*arguments: str | int) -> Work:
    program = f"from tools.bench.groups import memory; print(memory.trained_peak(*{arguments!r}))"
    return lambda: int(run_python(program))


def contests(libraries: Libraries) -> Iterator[Contest]:
    """The steps of the group train, then the first of them with batches from 1,024 to 65,536 tokens."""
    for preset, length in STEPS:
        yield _contest(libraries, preset, length, _BATCH, f"{_BATCH:,} tokens a batch")
    for tokens in TOKENS:
        yield _contest(libraries, *STEPS[0], tokens, "other batches")
