"""The command line: measures, prints a table, and writes JSON and a picture where asked."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tools.options import count

from . import machine, picture, report
from .groups import GROUPS, contests, participants, remarks
from .measure import LEAST_TURNS, OURS, Libraries, Result, measure


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit status: 130 where Ctrl-C cut it short, and even then what was measured is written."""
    options = _parser().parse_args(arguments)
    machine.announce_threads(options.threads)
    libraries, missing = machine.load(options.peers, options.threads)
    described = machine.describe(libraries, options.threads)
    for name, text in described.items():
        print(f"{name:13} {text}")
    for name, reason in missing.items():
        print(f"measuring without {name}: {reason}")
    results: list[Result] = []
    try:
        for group in options.groups or GROUPS:
            _run(group, libraries, options.turns, results)
        status = 0
    except KeyboardInterrupt:
        print("\ninterrupted: the results so far are kept", file=sys.stderr)
        status = 130
    if options.json:
        options.json.write_text(report.as_json(results, described), encoding="utf-8")
    if options.picture:
        caption = "\n".join((f"{described['CPU']}; threads: {described['threads']}", described["versions"]))
        options.picture.write_text(picture.draw(results, caption), encoding="utf-8")
    return status


def _run(group: str, libraries: Libraries, turns: int, results: list[Result]) -> None:
    """Measure a group and print its table, adding to ``results`` as it goes."""
    present = participants(group, libraries)
    peers = [name for name in present if name != OURS]
    print(report.heading(group, GROUPS[group].description, peers), flush=True)
    first = len(results)
    for contest in contests(group, present):
        results.append(measure(group, contest, turns))
        print(report.line(results[-1], peers), flush=True)
    if means := report.summary(results[first:], peers):
        print(means)
    for remark in remarks(group, results[first:]):
        print(remark)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench",
        description=_description(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("groups", nargs="*", type=_group, metavar="GROUP", help="which groups to run, all by default")
    parser.add_argument("--json", type=_new_file, metavar="FILE", help="write every measured time there")
    parser.add_argument("--picture", type=_new_file, metavar="FILE", help="draw the ratios there, as SVG")
    parser.add_argument(
        "--turns",
        type=count,
        default=7,
        help=f"how often each library has its turn (default 7; long work has fewer, at least {LEAST_TURNS})",
    )
    parser.add_argument(
        "--threads", type=count, default=machine.available_cores(), help="for each library; all cores by default"
    )
    parser.add_argument(
        "--peers",
        type=_peers,
        default=list(machine.PEERS),
        help=f"libraries to compare with, separated by commas (default {','.join(machine.PEERS)}); one that is missing is left "
        "out. torch.compile is torch with the model of the group train compiled: it needs a C++ compiler, and a minute or two "
        "for each model before its first turn",
    )
    return parser


def _description() -> str:
    rows = "\n".join(f"  {name:9} {group.description} ({group.minutes:g} min)" for name, group in GROUPS.items())
    return (
        "Measure minigrad next to NumPy and PyTorch, which take turns in the same run.\n\n"
        "Each line of a table has minigrad's time, what it does in a second, and for each peer its time and the ratio, peer's\n"
        "time / minigrad's: the median over the turns, and the range. Above 1 minigrad is faster.\n\n"
        f"groups, with the minutes each takes on two cores next to all peers:\n{rows}"
    )


def _group(text: str) -> str:
    if text not in GROUPS:
        raise argparse.ArgumentTypeError(f"the groups are {', '.join(GROUPS)}: got {text!r}")
    return text


def _peers(text: str) -> list[str]:
    names = [name for name in text.split(",") if name]
    for name in names:
        if name not in machine.PEERS:
            raise argparse.ArgumentTypeError(f"the peers are {', '.join(machine.PEERS)}: got {name!r}")
    return names


def _new_file(text: str) -> Path:
    """A path that can be written later: better to learn now that it cannot than after the measuring."""
    path = Path(text)
    if not path.parent.is_dir() or path.is_dir():
        raise argparse.ArgumentTypeError(f"must be a file in an existing directory: got {text!r}")
    return path


if __name__ == "__main__":
    sys.exit(main())
