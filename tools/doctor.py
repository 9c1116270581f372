"""What is wrong with a training run, and what helps: ``python -m tools.doctor RUN``.

RUN is a run directory with a monitor.json, which training with ``--monitor`` writes, or the file of a record. Exit status: 0 if
nothing was found, 1 if something was, 2 if RUN cannot be judged.
"""

import sys
from collections.abc import Sequence

from minigrad.training import arguments, console
from minigrad.viz.doctor import Report, doctor


def main(arguments_: Sequence[str] | None = None) -> int:
    """Print the report."""
    parser = arguments.Parser(prog="python -m tools.doctor", description=(__doc__ or "").partition("\n\n")[2])
    parser.add_argument("run", metavar="RUN", help="a run directory, or the file of a record such as monitor.json")
    given = parser.parse_args(arguments_)
    reports: list[Report] = []

    def command() -> None:
        reports.append(doctor(given.run))
        console.write_utf8()
        print(f"{given.run}: {reports[0]}")

    status = console.run(command, smaller="give a record of fewer nodes", status=2)
    return status or (1 if reports[0] else 0)


if __name__ == "__main__":
    sys.exit(main())
