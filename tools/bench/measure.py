"""The method: blocks of work, turn about, and ratios within a turn.

A block repeats its work for at least ``BLOCK`` seconds, so that the clock's resolution does not matter. Before a block there is
a pause, because the threads of a library keep spinning for a while after their last work and would take the cores from the
next one; then one repetition that does not count, which wakes the threads that do.

Work of seconds gets fewer turns: as many as fit into ``LONGEST``, and at least ``LEAST_TURNS``.
"""

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType

BLOCK = 0.1  # seconds
PAUSE = 0.2  # seconds; OpenMP runtimes spin for up to this long
LONGEST, LEAST_TURNS = 40.0, 3  # seconds that the turns of one contest may take, unless that makes too few for a median
OURS = "minigrad"

Work = Callable[[], object]
Libraries = Mapping[str, ModuleType]  # by name: minigrad, and the peers that are there


@dataclass(frozen=True)
class Contest:
    """The same work for several libraries.

    Attributes:
        name: what is done, as the table shows it.
        sides: by library, one repetition of the work; ``OURS`` is among them.
        amount, unit: how much one repetition does, for the rate, such as 1,000 "operations".
        once: a repetition changes what the next one finds (a cold start does): run it once, with no rehearsal.
        quantity: what is compared: "seconds", or "bytes", which the work itself measures and returns.
        section: the contests of a section share a geometric mean of their ratios; the ratios of None enter no mean.
    """

    name: str
    sides: Mapping[str, Work]
    amount: float = 0.0
    unit: str = ""
    once: bool = False
    quantity: str = "seconds"
    section: str | None = ""


@dataclass
class Result:
    """What a contest gave.

    Attributes:
        group, name, amount, unit, quantity, section: as in the contest.
        readings: by library, the quantity of one repetition in each turn.
    """

    group: str
    name: str
    amount: float
    unit: str
    readings: dict[str, list[float]] = field(default_factory=dict)
    quantity: str = "seconds"
    section: str | None = ""

    @property
    def peers(self) -> list[str]:
        """The libraries that minigrad was measured against."""
        return [name for name in self.readings if name != OURS]

    def median(self, library: str) -> float:
        """The median of a library's readings."""
        return statistics.median(self.readings[library])

    def ratios(self, peer: str) -> list[float]:
        """Peer's reading / minigrad's, turn by turn: above 1 minigrad takes less."""
        return [theirs / ours for theirs, ours in zip(self.readings[peer], self.readings[OURS])]

    def ratio(self, peer: str) -> float:
        """The median of :meth:`ratios`."""
        return statistics.median(self.ratios(peer))


def measure(group: str, contest: Contest, turns: int, pause: float = PAUSE, block: float = BLOCK) -> Result:
    """Run a contest.

    Args:
        group: goes into the result.
        contest: what to run.
        turns: how often each side has its turn, where its work is short.
        pause: seconds before each block.
        block: seconds that a block lasts at least.
    """
    result = Result(
        group=group,
        name=contest.name,
        amount=contest.amount,
        unit=contest.unit,
        readings={name: [] for name in contest.sides},
        quantity=contest.quantity,
        section=contest.section,
    )
    if contest.quantity == "bytes":
        for name, work in contest.sides.items():
            result.readings[name].append(float(work()))  # pyright: ignore[reportArgumentType]
        return result
    if contest.once:
        counts, turns = dict.fromkeys(contest.sides, 1), 1
    else:
        counts, seconds = {}, 0.0
        for name, work in contest.sides.items():
            counts[name], lasts = _repetitions(work, block)
            seconds += lasts
        turns = _turns(turns, seconds)
    order = list(contest.sides)
    for _ in range(turns):
        for name in order:
            time.sleep(pause)
            result.readings[name].append(_block(contest.sides[name], counts[name]))
        order.reverse()  # whatever going first is worth, each side gets it in turn
    return result


def _turns(wanted: int, seconds: float) -> int:
    """How many of the ``wanted`` turns to take where each lasts so many seconds."""
    return min(wanted, max(LEAST_TURNS, int(LONGEST / seconds))) if seconds > 0 else wanted


def _repetitions(work: Work, block: float) -> tuple[int, float]:
    """How often to repeat ``work`` so that it lasts ``block`` seconds, and how long it lasted then.

    Its first call, which may compile, does not count.
    """
    work()
    count = 1
    while (seconds := _undisturbed(work, count, block)) < block:
        count = max(2 * count, int(1.2 * count * block / max(seconds, 1e-6))) if seconds > block / 50 else 10 * count
    return count, seconds


def _undisturbed(work: Work, count: int, block: float) -> float:
    """Seconds of so many repetitions; if they suffice for a block, of the faster of two runs: one may have been interrupted."""
    seconds = _timed(work, count) * count
    return min(seconds, _timed(work, count) * count) if block <= seconds < 10 * block else seconds


def _block(work: Work, count: int) -> float:
    gc.collect()  # or one side would clear away what the other has left
    if count > 1:
        work()
    return _timed(work, count)


def _timed(work: Work, count: int) -> float:
    """Seconds per repetition."""
    started = time.perf_counter()
    for _ in range(count):
        work()
    return (time.perf_counter() - started) / count


def geometric_mean(ratios: list[float]) -> float:
    """The mean that fits ratios: of 2 and 1/2 it is 1."""
    return statistics.geometric_mean(ratios)
