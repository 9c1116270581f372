"""Results as lines of a table and as JSON."""

import json
import math
from collections.abc import Mapping, Sequence

from .measure import BLOCK, OURS, PAUSE, Result, geometric_mean

_NAME, _TIME, _RATE, _RATIO = 40, 11, 22, 20  # columns of characters


def heading(group: str, description: str, peers: Sequence[str]) -> str:
    """The lines above a group's table."""
    columns = "".join(f"{peer:>{_TIME}}{'ratio (range)':>{_RATIO}}" for peer in peers)
    return f"\n{group}: {description}\n{'':{_NAME}}{OURS:>{_TIME}}{'':{_RATE}}{columns}"


def line(result: Result, peers: Sequence[str]) -> str:
    """One line of the table: what one repetition took, and for each peer the median ratio and its range over the turns."""
    show = size if result.quantity == "bytes" else duration
    text = f"{result.name:{_NAME}}{show(result.median(OURS)):>{_TIME}}{rate(result):>{_RATE}}"
    for peer in peers:
        if peer in result.readings:
            ratios = result.ratios(peer)
            spread = f"{result.ratio(peer):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
            text += f"{show(result.median(peer)):>{_TIME}}{spread:>{_RATIO}}"
        else:
            text += " " * (_TIME + _RATIO)
    return text.rstrip()


def summary(results: Sequence[Result], peers: Sequence[str]) -> str:
    """The line below a group's table: the geometric mean of its ratios; empty for a group of one, or without peers."""
    text = f"{'geometric mean of the ratios':{_NAME + _TIME + _RATE}}"
    ratios = {peer: [result.ratio(peer) for result in results if peer in result.readings] for peer in peers}
    for peer in peers:
        text += f"{geometric_mean(ratios[peer]):{_TIME + _RATIO}.2f}" if len(ratios[peer]) > 1 else " " * (_TIME + _RATIO)
    return text.rstrip() if any(len(found) > 1 for found in ratios.values()) else ""


def duration(seconds: float) -> str:
    """A time with three digits and its unit."""
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "us")):
        if seconds * factor >= 1 or unit == "us":
            return f"{_three_digits(seconds * factor)} {unit}"
    raise AssertionError  # microseconds take all the rest


def size(count: float) -> str:
    """An amount of memory with three digits, in MB."""
    return f"{_three_digits(count / 1e6)} MB"


def rate(result: Result) -> str:
    """How much minigrad does in a second, as ``312 GFLOP/s``; empty where the contest has no amount."""
    return f"{_three_digits(result.amount / result.median(OURS))} {result.unit}/s" if result.amount else ""


def _three_digits(value: float) -> str:
    decimals = 2 - math.floor(math.log10(value)) if value > 0 else 0
    return f"{round(value, decimals):,.{max(0, decimals)}f}"


def as_json(results: Sequence[Result], machine: Mapping[str, str]) -> str:
    """Everything that was measured, each turn of it."""
    content = {
        "machine": dict(machine),
        "method": {"block_seconds": BLOCK, "pause_seconds": PAUSE, "ratio": f"peer's / {OURS}'s, median over the turns"},
        "results": [
            {
                "group": result.group,
                "name": result.name,
                "amount": result.amount,
                "unit": result.unit,
                result.quantity: result.readings,
                "median_ratio": {peer: result.ratio(peer) for peer in result.peers},
            }
            for result in results
        ],
    }
    return json.dumps(content, indent=2) + "\n"
