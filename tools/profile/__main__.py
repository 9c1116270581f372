"""The command line: profiles a training step of a Transformer, or compares its peak memory with PyTorch's."""

import argparse
import importlib
import os
import subprocess
import sys
from collections.abc import Sequence

from tools.options import count

SIDES = ("minigrad", "torch")


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    from tools.bench.machine import announce_threads

    announce_threads(options.threads)  # before the libraries are imported
    from models.transformer import PRESETS

    if options.preset not in PRESETS:
        parser.error(f"the presets are {', '.join(PRESETS)}: got {options.preset!r}")
    if options.tokens < options.length:
        parser.error(f"a batch of {options.tokens} tokens holds no sentence of {options.length}: make --tokens larger")
    if options.peak_of:
        print(_peak(options))
    elif options.memory:
        _print_memory(options)
    else:
        _print_profile(options)
    return 0


def _step(options, side: str = "minigrad", tokens: int | None = None):
    from models.transformer import PRESETS
    from tools.bench.groups import train

    batch = train.random_batch(options.length, tokens or options.tokens)
    if side == "minigrad":
        return train.our_step(PRESETS[options.preset], batch)
    torch = importlib.import_module("torch")
    torch.set_num_threads(options.threads)
    return train.torch_step(torch, PRESETS[options.preset], batch)


def _print_profile(options) -> None:
    from tools.bench.machine import describe, load

    from .limits import bandwidth, peak_flops
    from .record import profile

    print(", ".join(describe(load([], options.threads)[0], options.threads).values()))
    flops, bytes_per_second = peak_flops(), bandwidth()
    print(f"limits: {flops / 1e9:,.0f} GFLOP/s of multiply-adds, {bytes_per_second / 1e9:,.1f} GB/s of memory\n")
    result = profile(_step(options), options.steps)
    # With one short sentence arrays are so small that what remains beside the kernels is Python.
    small = profile(_step(options, tokens=options.length), options.steps)
    python = small.seconds - small.in_kernels()
    rows = sorted(result.parts.items(), key=lambda item: -item[1].seconds)
    print(
        f"{options.preset}, {options.tokens:,} tokens in sentences of {options.length}: {_ms(result.seconds, result)} ms a step"
    )
    print(f"{'':26}{'calls':>7}{'ms':>9}{'share':>8}{'rate':>16}{'of the limit':>14}")
    for name, part in rows:
        if part.operations:
            rate, limit, unit = part.operations / part.seconds, flops, "GFLOP/s"
        else:
            rate, limit, unit = part.bytes / part.seconds, bytes_per_second, "GB/s"
        figures = f"{rate / 1e9:,.0f} {unit}"
        print(
            f"{name:26}{part.calls // result.steps:7,}{_ms(part.seconds, result):>9}{part.seconds / result.seconds:8.1%}"
            f"{figures:>16}{rate / limit:14.0%}"
        )
    for name, seconds in (("Python", python), ("the rest: NumPy's passes", result.seconds - result.in_kernels() - python)):
        print(f"{name:33}{_ms(seconds, result):>9}{seconds / result.seconds:8.1%}")


def _ms(seconds: float, profile) -> str:
    return f"{seconds / profile.steps * 1e3:,.1f}"


def _print_memory(options) -> None:
    """The peak of each side, in a process of its own that does nothing else."""
    print(f"peak memory of a process that trains {options.preset}, {options.tokens:,} tokens in sentences of {options.length}:")
    for side in SIDES:
        command = [sys.executable, "-m", "tools.profile", "--peak-of", side, "--preset", options.preset]
        command += ["--length", str(options.length), "--tokens", str(options.tokens), "--threads", str(options.threads)]
        run = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ))
        print(f"{side:10}{run.stdout.strip() or 'is not installed'}")


def _peak(options) -> str:
    import resource  # not there on Windows, and needed here only

    unit = 1 if sys.platform == "darwin" else 1024  # bytes of what ru_maxrss counts

    def peak() -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6

    _step(options, options.peak_of, tokens=options.length)()  # what compiling and the library itself take
    before = peak()
    work = _step(options, options.peak_of)
    for _ in range(options.steps):
        work()
    return f"{peak():,.0f} MB, of which {before:,.0f} MB for a single sentence"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.profile", description=__doc__.split("\n")[0])
    parser.add_argument("--preset", default="tiny", help="of models/transformer.py (default tiny)")
    parser.add_argument("--length", type=count, default=32, help="of the sentences, in tokens (default 32)")
    parser.add_argument("--tokens", type=count, default=4096, help="of a batch, on each side (default 4096)")
    parser.add_argument("--steps", type=count, default=5, help="how many are measured (default 5)")
    parser.add_argument(
        "--threads", type=count, default=1, help="one by default: shares then do not depend on who waits for whom"
    )
    parser.add_argument("--memory", action="store_true", help="compare the peak of memory with PyTorch's instead")
    parser.add_argument("--peak-of", choices=SIDES, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
