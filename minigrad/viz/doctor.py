"""The doctor: what is wrong with a training run, where, since when, and what helps.

    report = viz.doctor(monitor)        # or a Record, a record's file, a run directory
    print(report)
    for finding in report: ...

The rules, with their thresholds and where these come from, are data: :mod:`minigrad.viz.ailments`.
"""

from __future__ import annotations

import math
import os
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import DataError, UsageError
from . import symptoms, symptoms_of_pass
from .ailments import AILMENTS
from .monitor import FILE, Monitor
from .record import Record
from .symptoms import Symptom


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        ailment: what: a name in :data:`minigrad.viz.ailments.AILMENTS`.
        place: the parameter, module or operation.
        line: the user's source line as "file.py:12 (code)", or "" where it is not known.
        step: the first bad training step; 0 where a single pass was recorded.
        until: the step in which it was over, or None.
        value: the worst number, ``threshold`` what it should have kept to, and ``measure`` what it is.
        why: why the threshold lies there, and who says so.
        remedy: what to try.
        note: details.
    """

    ailment: str
    place: str
    line: str
    step: int
    until: int | None
    value: float
    threshold: float
    measure: str
    why: str
    remedy: str
    note: str = ""

    @property
    def since(self) -> str:
        """When, in words."""
        if not self.step:
            return ""
        if AILMENTS[self.ailment].patience == 1:
            return f"step {self.step:,}"
        return f"since step {self.step:,}" if self.until is None else f"from step {self.step:,} to {self.until:,}"

    def __str__(self) -> str:
        lines = [f"{self.ailment}: {self.place}" + (f", {self.since}" if self.since else "")]
        rule = AILMENTS[self.ailment]
        if rule.threshold not in (0, 1):
            side = "above" if rule.release > rule.threshold else "below"
            lines.append(f"{self.measure}: {self.value:.3g}, healthy {side} {self.threshold:g}")
        elif rule.threshold == 0:
            lines.append(f"{self.measure}: {self.value:,.0f}")
        if self.line:
            lines.append(f"where: {self.line}")
        if self.note:
            lines.append(f"more:  {self.note}")
        lines += [f"why:   {self.why}", f"try:   {self.remedy}"]
        return "\n".join(
            "\n".join(textwrap.wrap(text, 100, subsequent_indent="       ", break_on_hyphens=False)) for text in lines
        )


class Report(list[Finding]):
    """Findings, the most pressing first; ``print`` it to read it.

    Attributes:
        seen: what was looked at, in words.
        past: findings that were over before the last look. They are printed, but training got over them by itself.
    """

    def __init__(self, findings: Iterable[Finding], seen: str):
        findings = list(findings)
        super().__init__(f for f in findings if f.until is None)
        self.seen, self.past = seen, [f for f in findings if f.until is not None]

    def __str__(self) -> str:
        count = "nothing wrong found" if not self else "1 finding" if len(self) == 1 else f"{len(self)} findings"
        parts = [f"{count} in {self.seen}"]
        for number, finding in enumerate(self, 1):
            parts.append(textwrap.indent(str(finding), "   ").replace("   ", f"{number}. ", 1))
        parts += [f"over by itself: {str(finding).partition(chr(10))[0]}" for finding in self.past]
        return "\n\n".join(parts)

    __repr__ = __str__


def doctor(what: Monitor | Record | str | os.PathLike) -> Report:
    """Look for what is wrong with a training run.

    Args:
        what: a :class:`~minigrad.viz.Monitor`; a Record, of a monitor or of :func:`minigrad.viz.record`; the file of one; or a
            run directory with a monitor.json.

    Returns:
        a list of findings that prints as a report; empty if nothing was found.

    Raises:
        DataError: if a file cannot be read, or there is nothing in it to judge by.
        UsageError: for anything else than the above.
    """
    record = record_of(what)
    series = record.series
    looks = sorted({step for name, found in series.items() if name.startswith("weight/") for step in found["steps"]})
    broken = symptoms.first_broken(series)
    if not looks and not record.nodes and broken is None:
        raise DataError(
            "there is nothing to judge by: the record has neither a monitor's looks nor a recorded pass; "
            "call monitor.step(loss) at the end of each training step"
        )
    found: list[Symptom] = []
    seen = []
    if looks or broken:
        end = math.inf if broken is None else broken[0]
        for check in symptoms.CHECKS:
            found += check(series, end)
        seen.append(_looked(looks))
    if record.nodes:
        found += symptoms_of_pass.examine(record)
        seen.append(f"a recorded pass of {len(record.nodes):,} nodes")
    return Report(map(_finding, sorted(found, key=_urgency)), " and ".join(seen))


def _looked(looks: list[int]) -> str:
    if len(looks) > 1:
        return f"{len(looks):,} looks at steps {looks[0]:,} to {looks[-1]:,}"
    return f"1 look at step {looks[0]:,}" if looks else "a run that broke off before the first look"


def record_of(what) -> Record:
    """The record of a monitor, a file or a run directory."""
    if isinstance(what, Monitor):
        return what.record
    if isinstance(what, Record):
        return what
    if not isinstance(what, (str, os.PathLike)):
        raise UsageError(f"this takes a Monitor, a Record, the file of one, or a run directory: got {type(what).__name__}")
    path = Path(what)
    if path.is_dir():
        if not (path / FILE).exists():
            raise DataError(f"{path} holds no {FILE}: train with --monitor 10, or save a viz.Monitor there")
        path = path / FILE
    return Record.load(path)


def _urgency(symptom: Symptom) -> tuple:
    """What is broken first, then what has gone on for longer, then what is more likely to be the cause of the rest."""
    return symptom.ailment != "not finite", symptom.until is not None, symptom.step, _CAUSES.index(symptom.ailment)


_CAUSES = (
    "not finite", "gradients not cleared", "parameter outside the optimizer", "unused parameter", "initial loss",
    "updates too large", "exploding activation", "gradient exploding through time", "exploding gradient", "growing gradient",
    "saturated", "dead units", "collapsed attention", "vanishing gradient", "gradient vanishing through time",
    "updates too small",
)  # fmt: skip


def _finding(symptom: Symptom) -> Finding:
    rule = AILMENTS[symptom.ailment]
    return Finding(
        symptom.ailment, symptom.place, symptom.line, symptom.step, symptom.until, symptom.value, symptom.threshold,
        rule.measure, rule.why, rule.remedy, symptom.note,
    )  # fmt: skip
