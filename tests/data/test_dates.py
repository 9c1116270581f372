"""The dates task: one target for each source, no date in two splits, and references as CLDR writes them."""

import datetime
import itertools

import pytest

from minigrad.data import UNK, PieceTokenizer, builtin_task, dates, split_of
from minigrad.errors import UsageError

DAY, TIME = datetime.date(2025, 3, 4), datetime.time(17, 30)


class _Always:
    """A random generator that draws the first, or the last, of what it is offered; and a share of 1, or 0."""

    def __init__(self, index):
        self.index = index

    def choice(self, options):
        return options[self.index]

    def random(self):
        return 0.0 if self.index else 1.0


@pytest.fixture(scope="module")
def splits():
    return {split: dates.generate(split, size) for split, size in (("train", 20_000), ("valid", 2_000), ("test", 2_000))}


@pytest.mark.parametrize(
    "language, form, expected",
    [
        ("es", "full", "martes, 4 de marzo de 2025"),
        ("es", "long", "4 de marzo de 2025"),
        ("es", "medium", "4 mar 2025"),
        ("de", "full", "Dienstag, 4. März 2025"),
        ("de", "long", "4. März 2025"),
        ("de", "medium", "04.03.2025"),
        ("fr", "full", "mardi 4 mars 2025"),
        ("fr", "long", "4 mars 2025"),
        ("fr", "medium", "4 mars 2025"),
    ],
)
def test_references(language, form, expected):
    assert dates.reference(DAY, None, language, form) == expected
    with_time = dates.reference(DAY, TIME, language, form)
    assert with_time.startswith(expected) and with_time.endswith("17:30")
    assert not set("{}'") & set(with_time)


def test_a_seed_gives_the_same_pairs():
    assert list(dates.generate("train", 50, 3)) == list(dates.generate("train", 50, 3))
    assert list(dates.generate("train", 50, 3)) != list(dates.generate("train", 50, 4))
    assert list(dates.generate("train", 50, 3)) == list(dates.generate("train", 80, 3))[:50]


def test_held_out_dates_are_never_in_training(monkeypatch):
    """Every date that a split writes is a date of that split, and the splits are disjoint and hold all dates."""
    written = {}
    original = dates.reference

    def recording(date, time, language, form):
        written.setdefault(split, set()).add(date)
        return original(date, time, language, form)

    monkeypatch.setattr(dates, "reference", recording)
    for split, seed in itertools.product(("train", "valid", "test"), (0, 1)):
        dates.generate(split, 1_500, seed)
    assert all(split_of(date.isoformat()) == split for split in written for date in written[split])
    assert not any(written[a] & written[b] for a, b in itertools.combinations(written, 2))


def test_share_of_each_split():
    days = range(dates.FIRST.toordinal(), dates.LAST.toordinal() + 1)
    of = [split_of(datetime.date.fromordinal(day).isoformat()) for day in days]
    assert len(of) == 36_525
    for split, share in (("train", 0.8), ("valid", 0.1), ("test", 0.1)):
        assert of.count(split) / len(of) == pytest.approx(share, abs=0.01)


def test_no_source_has_two_targets():
    """Of every way to write each of many moments, no two that mean different things read alike."""
    meanings = {}
    days = [datetime.date(1950 + i % 100, 1 + i % 12, 1 + i % 28) for i in range(0, 300, 7)]
    minutes = [datetime.time(hour, minute) for hour in range(24) for minute in (0, 4, 5, 12, 15, 20, 30, 35, 40, 45, 55)]
    for day, (form, templates) in itertools.product(days, dates._FORMS):
        for template, generator in itertools.product(templates, (_Always(0), _Always(-1))):
            english = dates._written(generator, day, None, template).lower()
            assert meanings.setdefault(english, (day, form)) == (day, form)
    clocks = {}
    for time in minutes:
        for clock in dates._clocks(time):
            assert clocks.setdefault(clock.lower(), time) == time


def test_generated_sources_have_one_target_each(splits):
    targets = {}
    for pairs in splits.values():
        for source, target in pairs:
            assert targets.setdefault(source, target) == target


@pytest.mark.parametrize(
    "hour, minute, clocks",
    [
        (0, 0, {"00:00", "12:00 AM", "12:00am", "12.00 a.m.", "12 AM", "12am"}),
        (0, 10, {"00:10", "12:10 AM", "12:10am", "12.10 a.m.", "ten past twelve in the morning"}),
        (11, 50, {"11:50", "11:50 AM", "11:50am", "11.50 a.m.", "ten to twelve in the morning"}),
        (12, 0, {"12:00", "12:00 PM", "12:00pm", "12.00 p.m.", "12 PM", "12pm"}),
        (12, 45, {"12:45", "12:45 PM", "12:45pm", "12.45 p.m.", "quarter to one in the afternoon"}),
        (17, 30, {"17:30", "5:30 PM", "5:30pm", "5.30 p.m.", "half past five in the afternoon"}),
        (21, 0, {"21:00", "9:00 PM", "9:00pm", "9.00 p.m.", "9 PM", "9pm", "nine o'clock in the evening"}),
        (23, 7, {"23:07", "11:07 PM", "11:07pm", "11.07 p.m."}),
    ],
)
def test_clocks(hour, minute, clocks):
    assert set(dates._clocks(datetime.time(hour, minute))) == clocks


def test_ordinals():
    assert [dates._ORDINALS[day - 1] for day in (1, 12, 20, 21, 29, 30, 31)] == [
        "first", "twelfth", "twentieth", "twenty-first", "twenty-ninth", "thirtieth", "thirty-first",
    ]  # fmt: skip
    assert len(dates._ORDINALS) == 31
    endings = {
        1: "st",
        2: "nd",
        3: "rd",
        4: "th",
        11: "th",
        12: "th",
        13: "th",
        21: "st",
        22: "nd",
        23: "rd",
        30: "th",
        31: "st",
    }
    assert {day: dates._ending(day) for day in endings} == endings


def test_the_tokenizer_of_the_task_writes_every_reference(splits):
    """No held-out pair has an unknown token, and every text comes back exactly: 100 % can be reached."""
    assert builtin_task("dates").tokens == PieceTokenizer.kind
    tokenizer = PieceTokenizer.train(splits["train"].sources + splits["train"].targets)
    for split in ("valid", "test"):
        for text in splits[split].sources + splits[split].targets:
            ids = tokenizer.encode(text)
            assert UNK not in ids
            assert tokenizer.decode(ids) == text
            assert len(ids) <= 26


def test_the_task_is_not_a_copy(splits):
    """Weekdays, months, order, the clock and the century have to be learnt."""
    some = list(splits["train"])[:2000]
    assert {target[:2] for _, target in some} >= {"ma", "lu", "Di", "Mo", "1 "}
    assert any(" in the evening" in source for source, _ in some)
    assert any("'" in source for source, _ in some) and not any("'" in target for _, target in some)


@pytest.mark.parametrize(
    "arguments, message", [(("dev", 5), "one of train, valid, test: got 'dev'"), (("train", 0), "got size 0")]
)
def test_bad_arguments(arguments, message):
    with pytest.raises(UsageError, match=message):
        dates.generate(*arguments)
