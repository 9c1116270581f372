"""How far a training run is: a bar on a terminal, plain lines in a pipe or a file.

Both show the same figures: loss and perplexity (the mean over the steps since the last display, weighted by tokens), learning
rate, gradient norm, tokens per second, and the time that the remaining steps will take at the present speed.
"""

import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from minigrad.errors import UsageError
from minigrad.training.metrics import Average, Throughput, perplexity

_BAR_REFRESH = 0.5  # seconds: shorter is restless, longer looks stuck
_LINE_INTERVAL = 10.0  # seconds


class Progress:
    """Shows a run's progress; a context manager.

    Args:
        total_steps: steps of the whole run, those before a resume included.
        initial: steps done before, when a run is resumed.
        stream: where to write; standard error by default, so that standard output stays free for results.
        interval: seconds between two displays; by default 0.5 for a bar and 10 for lines.
        every: steps between two lines in a pipe, instead of seconds.
        terminal: True for a bar, False for lines; by default a bar if ``stream`` is a terminal that can draw one.
        unit: what ``tokens`` counts.
        counting: what a step is; of a loss over anything but steps no perplexity is shown.
        clock: a function that gives the time in seconds; tests pass their own.
    """

    def __init__(
        self,
        total_steps: int,
        *,
        initial: int = 0,
        stream: TextIO | None = None,
        interval: float | None = None,
        every: int | None = None,
        terminal: bool | None = None,
        unit: str = "tok",
        counting: str = "step",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if total_steps < 1 or not 0 <= initial <= total_steps:
            raise UsageError(f"a run has 1 step or more, and at most all of them done: got {initial} of {total_steps}")
        if every is not None and every < 1:
            raise UsageError(f"every counts steps between two lines, 1 or more: got {every}")
        self.total_steps = total_steps
        self.step = initial
        self.tokens = Throughput(clock=clock)
        self._steps = Throughput(clock=clock)
        self._stream = sys.stderr if stream is None else stream
        self._terminal = _is_terminal(self._stream) if terminal is None else terminal
        self._every = None if self._terminal else every
        self._interval = interval if interval is not None else _BAR_REFRESH if self._terminal else _LINE_INTERVAL
        self._unit, self._counting = unit, counting
        self._clock = clock
        self._loss = Average()
        self._latest: dict[str, float | str | None] = {}
        self._shown_step: int | None = None  # None: the first step is shown at once, it says that training has begun
        self._shown_at = clock()
        self._bar = self._make_bar() if self._terminal else None

    def update(
        self,
        step: int,
        *,
        loss: float | None = None,
        lr: float | None = None,
        grad_norm: float | None = None,
        tokens: int = 0,
        **extra: float | str,
    ) -> None:
        """Say that ``step`` steps are done.

        Args:
            step: steps done, counted from the beginning of the run.
            loss: mean loss of this step, in nats per token.
            lr: learning rate.
            grad_norm: norm of all gradients before clipping.
            tokens: tokens in this step.
            **extra: further figures to show under their names.
        """
        self._steps.add(step - self.step)
        self.tokens.add(tokens)
        self.step = step
        if loss is not None:
            self._loss.add(float(loss), tokens or 1)
        self._latest = {"lr": lr, "grad": grad_norm, **extra}
        if self._is_due():
            self._show()

    def write(self, text: str) -> None:
        """Print ``text`` on lines of its own, above the bar if there is one."""
        if self._bar is not None:
            self._bar.clear()
            print(text, file=self._stream, flush=True)
            self._bar.refresh()
        else:
            print(text, file=self._stream, flush=True)

    @property
    def eta(self) -> float:
        """Seconds that the remaining steps will take at the present speed; NaN as long as no speed is known."""
        rate = self._steps.rate or self._steps.overall
        return (self.total_steps - self.step) / rate if rate else math.nan

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Time inside this block, such as a validation, counts neither for tokens per second nor for the remaining time."""
        if self._bar is not None and self._shown_step not in (None, self.step):
            self._show()  # the bar will stand still: let it stand at the step that was reached
        with self.tokens.paused(), self._steps.paused():
            yield

    def close(self) -> None:
        """Show the last step, if it has not been shown, and leave the bar where it is. Calling it again does nothing."""
        if self._shown_step is not None and self._shown_step != self.step:
            self._show()
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _is_due(self) -> bool:
        if self._shown_step is None or self.step >= self.total_steps:
            return True
        if self._every is not None:
            return self.step // self._every > self._shown_step // self._every
        return self._clock() - self._shown_at >= self._interval

    def _show(self) -> None:
        figures = self._figures()
        if self._bar is not None:
            self._bar.n = self.step
            self._bar.set_description_str(figures, refresh=False)
            self._bar.refresh()
        else:
            percent = math.floor(100 * self.step / self.total_steps)
            done = f"{self._counting} {self.step:,}/{self.total_steps:,} {percent:3d}%"
            print(f"{done}  {figures}", file=self._stream, flush=True)
        self._loss.reset()
        self._shown_step, self._shown_at = self.step, self._clock()

    def _figures(self) -> str:
        figures = {"ETA": format_duration(self.eta)}  # in front: a narrow terminal cuts off the end
        if self._loss.weight:
            figures["loss"] = f"{self._loss.value:.4g}"
            if self._counting == "step":
                figures["ppl"] = format_perplexity(perplexity(self._loss.value))
        for name, value in self._latest.items():
            if value is not None:
                figures[name] = value if isinstance(value, str) else f"{value:.3g}"
        parts = [f"{name} {text}" for name, text in figures.items()]
        if self.tokens.total:
            parts.append(f"{self.tokens.rate:,.0f} {self._unit}/s")
        return "  ".join(parts)

    def _make_bar(self) -> Any:
        from tqdm import tqdm

        bar_format = "{percentage:3.0f}% {bar} {n_fmt}/{total_fmt}  {desc}"
        return tqdm(
            total=self.total_steps, initial=self.step, file=self._stream, dynamic_ncols=True, bar_format=bar_format, leave=True
        )


def format_duration(seconds: float) -> str:
    """``75`` becomes ``1:15``, ``3675`` becomes ``1:01:15``, NaN and infinity become ``-``."""
    if not math.isfinite(seconds):
        return "-"
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


def format_perplexity(value: float) -> str:
    """Four digits that matter: ``1.003``, ``24.91``, ``3.2e+05``, ``inf``."""
    return f"{value:.4g}" if not 1e4 <= value < math.inf else f"{value:.1e}"


def _is_terminal(stream: TextIO) -> bool:
    """Whether a bar can be redrawn in place; a "dumb" terminal, such as an editor's shell, cannot."""
    return hasattr(stream, "isatty") and stream.isatty() and os.environ.get("TERM") != "dumb"
