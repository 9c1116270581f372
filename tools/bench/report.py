"""Results as lines of a table and as JSON."""

import json
import math
from collections.abc import Mapping, Sequence

from .measure import BLOCK, OURS, PAUSE, Result, geometric_mean

_NAME, _TIME, _RATE, _RATIO = 40, 11, 22, 22  # columns of characters


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
            spread = f"{ratio(result.ratio(peer))} ({ratio(min(ratios))}-{ratio(max(ratios))})"
            text += f"{show(result.median(peer)):>{_TIME}}{spread:>{_RATIO}}"
        else:
            text += " " * (_TIME + _RATIO)
    return text.rstrip()


def summary(results: Sequence[Result], peers: Sequence[str]) -> str:
    """The lines below a group's table: the geometric mean of each section's ratios, and of all where there are several.

    A section of one, or without peers, has no line.
    """
    sections = means(results)
    lines = []
    for section, found in sections.items():
        text = f"{f'geometric mean: {section}' if section else 'geometric mean of the ratios':{_NAME + _TIME + _RATE}}"
        for peer in peers:
            text += f"{found[peer]:{_TIME + _RATIO}.2f}" if peer in found else " " * (_TIME + _RATIO)
        lines.append(text.rstrip())
    return "\n".join(lines)


def means(results: Sequence[Result]) -> dict[str, dict[str, float]]:
    """By section and peer, the geometric mean of at least two ratios; that of several sections together is called "all"."""
    sections: dict[str, list[Result]] = {}
    for result in results:
        if result.section is not None:
            sections.setdefault(result.section, []).append(result)
    if len(sections) > 1:
        sections["all"] = [result for section in sections.values() for result in section]
    found = {}
    for section, members in sections.items():
        ratios: dict[str, list[float]] = {}
        for result in members:
            for peer in result.peers:
                ratios.setdefault(peer, []).append(result.ratio(peer))
        if several := {peer: geometric_mean(values) for peer, values in ratios.items() if len(values) > 1}:
            found[section] = several
    return found


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


def percent(share: float) -> str:
    """A share with three digits."""
    return f"{_three_digits(100 * share)} %"


def ratio(value: float) -> str:
    """A ratio with two decimals; near 0 with one digit, and from 100 with none behind the point."""
    return f"{value:.0f}" if value >= 99.995 else f"{value:.2f}" if value >= 0.095 else f"{value:.1g}"


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
                "section": result.section,
                "name": result.name,
                "amount": result.amount,
                "unit": result.unit,
                result.quantity: result.readings,
                "median_ratio": {peer: result.ratio(peer) for peer in result.peers},
            }
            for result in results
        ],
        "geometric_means": {
            group: means([result for result in results if result.group == group])
            for group in dict.fromkeys(result.group for result in results)
        },
    }
    return json.dumps(content, indent=2) + "\n"
