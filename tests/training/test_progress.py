"""The progress display, on a terminal and in a pipe, with a clock that the tests move."""

import io
import math
import re

import pytest

from minigrad.errors import UsageError
from minigrad.training.progress import Progress, format_duration, format_perplexity


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


class Terminal(io.StringIO):
    def isatty(self):
        return True


def train(progress, clock, steps, seconds=1.0, **figures):
    for _ in range(steps):
        clock.now += seconds
        progress.update(progress.step + 1, **figures)


def test_a_pipe_gets_plain_lines_at_an_interval():
    out, clock = io.StringIO(), Clock()
    with Progress(100, stream=out, clock=clock) as progress:
        train(progress, clock, 100, loss=math.log(8), lr=5e-4, grad_norm=0.731, tokens=250, accuracy=0.5)
    text = out.getvalue()
    assert "\r" not in text and "\x1b" not in text
    lines = text.splitlines()
    steps = [int(re.match(r"step (\d+)/100 ", line)[1]) for line in lines]
    assert steps == [1, 11, 21, 31, 41, 51, 61, 71, 81, 91, 100]
    assert lines[4] == "step 41/100  41%  ETA 0:59  loss 2.079  ppl 8  lr 0.0005  grad 0.731  accuracy 0.5  250 tok/s"


def test_lines_at_an_interval_of_steps():
    out, clock = io.StringIO(), Clock()
    with Progress(1000, stream=out, every=400, clock=clock) as progress:
        for step in range(3, 1001, 3):  # steps may advance by more than one
            progress.update(step)
    assert re.findall(r"step ([\d,]+)/1,000", out.getvalue()) == ["3", "402", "801", "999"]


def test_every_line_is_flushed():
    class Pipe(io.StringIO):
        flushed = 0

        def flush(self):
            self.flushed = len(self.getvalue())

    out = Pipe()
    with Progress(10, stream=out, interval=0) as progress:
        for step in range(1, 6):
            progress.update(step)
            assert out.flushed == len(out.getvalue())
        progress.write("note")
        assert out.flushed == len(out.getvalue())


def test_loss_is_the_mean_since_the_last_line_weighted_by_tokens():
    out, clock = io.StringIO(), Clock()
    with Progress(10, stream=out, interval=100, clock=clock) as progress:
        progress.update(1, loss=9.0, tokens=1)
        progress.update(2, loss=1.0, tokens=30)
        clock.now = 100
        progress.update(3, loss=3.0, tokens=10)
    assert re.findall(r"loss (\S+)", out.getvalue()) == ["9", "1.5"]


def test_a_loss_that_is_not_finite_is_shown_as_such():
    out = io.StringIO()
    with Progress(10, stream=out, interval=0) as progress:
        progress.update(1, loss=math.nan)
        progress.update(2, loss=1e9)
    assert "loss nan  ppl nan" in out.getvalue()
    assert "ppl inf" in out.getvalue()


def test_remaining_time_after_a_resume_and_a_pause():
    clock = Clock()
    progress = Progress(100, initial=80, stream=io.StringIO(), clock=clock)
    assert math.isnan(progress.eta)
    train(progress, clock, 5, seconds=2, tokens=10)
    with progress.paused():
        clock.now += 1000
    assert progress.eta == pytest.approx(15 * 2)
    assert progress.tokens.overall == pytest.approx(5)


def test_a_run_stopped_early_shows_its_last_step_once():
    out, clock = io.StringIO(), Clock()
    with pytest.raises(KeyboardInterrupt), Progress(100, stream=out, clock=clock) as progress:
        train(progress, clock, 5, seconds=0.1, lr=1e-3)
        progress.update(6, lr=2e-3)
        raise KeyboardInterrupt
    progress.close()
    lines = out.getvalue().splitlines()
    assert [line.split()[1] for line in lines] == ["1/100", "6/100"]
    assert "lr 0.002" in lines[-1]


def test_nothing_done_shows_nothing():
    out = io.StringIO()
    with Progress(100, stream=out):
        pass
    assert out.getvalue() == ""


def test_a_terminal_gets_a_bar_that_is_redrawn_in_place(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    out, clock = Terminal(), Clock()
    with Progress(100, stream=out, clock=clock) as progress:
        train(progress, clock, 40, loss=1.0, lr=1e-3, tokens=100)
        progress.write("validation loss 2.0")
        train(progress, clock, 60, loss=1.0, lr=1e-3, tokens=100)
    text = out.getvalue()
    assert text.count("\r") > 50
    assert "\nvalidation loss 2.0\n" in text.replace("\r", "\n")
    assert re.search(r"40% .*40/100  ETA 1:00  loss 1  ppl 2.718  lr 0.001  100 tok/s", text)
    assert re.search(r"100% .*100/100  ETA 0:00", text)


@pytest.mark.parametrize(("term", "bar"), [("xterm", True), ("dumb", False)])
def test_a_dumb_terminal_gets_lines(monkeypatch, term, bar):
    monkeypatch.setenv("TERM", term)
    out = Terminal()
    with Progress(2, stream=out) as progress:
        progress.update(1)
    assert ("\r" in out.getvalue()) == bar


def test_bad_arguments():
    for total, initial in ((0, 0), (10, 11), (10, -1)):
        with pytest.raises(UsageError, match="1 step or more"):
            Progress(total, initial=initial)
    with pytest.raises(UsageError, match="1 or more: got 0"):
        Progress(10, every=0)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (75.4, "1:15"), (3599.6, "1:00:00"), (90061, "25:01:01"), (math.nan, "-"), (math.inf, "-")],
)
def test_durations(seconds, text):
    assert format_duration(seconds) == text


@pytest.mark.parametrize(("value", "text"), [(1.00321, "1.003"), (24.911, "24.91"), (321456.0, "3.2e+05"), (math.inf, "inf")])
def test_perplexities(value, text):
    assert format_perplexity(value) == text


def test_words_are_counted_under_their_own_name_and_without_a_perplexity():
    out = io.StringIO()
    with Progress(10, stream=out, counting="word", unit="words") as progress:
        progress.update(10, loss=2.0, tokens=10)
    assert out.getvalue().startswith("word 10/10 100%") and "loss 2" in out.getvalue() and "ppl" not in out.getvalue()
