"""By how much the resident memory of a process grows at its peak, when it trains; by the size of its batches.

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
from .train import our_step, random_batch, torch_step

LENGTH = 32
TOKENS = (1024, 4096, 16_384, 65_536)
_STEPS = 3  # the optimizer's state comes with the first; buffers that are kept are found again from the second on


def trained_peak(library: str, tokens: int, preset: str = "tiny") -> int:
    """By how many bytes this process grows while it trains on batches of ``tokens`` tokens; for a process of its own."""
    step_on = _steps(library, PRESETS[preset])
    before = _resident("VmRSS")
    step_on(2 * LENGTH)()
    _forget_peak()
    work = step_on(tokens)
    for _ in range(_STEPS):
        work()
    return _resident("VmHWM") - before


def _steps(library: str, preset):
    if library == OURS:
        return lambda tokens: our_step(preset, random_batch(LENGTH, tokens))
    torch = importlib.import_module(library)
    return lambda tokens: torch_step(torch, preset, random_batch(LENGTH, tokens))


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


def _measured(library: str, tokens: int) -> Work:
    program = f"from tools.bench.groups import memory; print(memory.trained_peak({library!r}, {tokens}))"
    return lambda: int(run_python(program))


def contests(libraries: Libraries) -> Iterator[Contest]:
    """The preset tiny, with batches from 1,024 to 65,536 tokens."""
    for tokens in TOKENS:
        sides = {name: _measured(name, tokens) for name in libraries}
        yield Contest(f"tiny, {tokens:,} tokens a batch", sides, quantity="bytes")
