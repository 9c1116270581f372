"""Dates and times written in English, to their written forms in Spanish, German and French.

    <es> Tuesday, March 4, 2025 at 5:30 PM      martes, 4 de marzo de 2025, 17:30
    <de> the fourth of march 1987               4. März 1987
    <fr> 2025-03-04, ten to six in the morning  4 mars 2025, 05:50

The references are those of Unicode's CLDR, as Babel gives them. The source alone decides the target: the tag at its beginning
names the language (as in Johnson et al. 2017, "Google's Multilingual Neural Machine Translation System"), and the way the date
is written names CLDR's form.

    the source                        CLDR's form    in German
    names the weekday                 full           Dienstag, 4. März 2025
    names the month, not the weekday  long           4. März 2025
    is all numbers                    medium         04.03.2025

A time of day, if there is one, follows as the language writes it in 24 hours. Years go from 1950 to 2049, so that ``'87`` can
only be 1987. Which split a date belongs to depends on the date alone: no held-out date is in the training set in any form.
"""

import datetime
import random
from functools import cache
from typing import Literal

from minigrad.data.corpus import TextPairs
from minigrad.data.splits import check_split, split_of

Form = Literal["full", "long", "medium"]
LANGUAGES = ("es", "de", "fr")
FIRST, LAST = datetime.date(1950, 1, 1), datetime.date(2049, 12, 31)

# What a date is written with: {weekday} and {month} in full or short, {day} 4, {th} 4th, {ordinal} fourth, {y} the year.
_FULL = (
    "{weekday}, {month} {day}, {y}",
    "{weekday}, {month} {th}, {y}",
    "{weekday}, {day} {month} {y}",
    "{weekday} {day} {month} {y}",
    "{weekday} the {th} of {month} {y}",
    "{weekday}, the {ordinal} of {month} {y}",
    "{weekday} {iso}",
)
_LONG = (
    "{month} {day}, {y}",
    "{month} {th}, {y}",
    "{day} {month} {y}",
    "{th} {month} {y}",
    "the {th} of {month} {y}",
    "the {ordinal} of {month} {y}",
    "{month} the {ordinal}, {y}",
    "{y} {month} {day}",
)
_MEDIUM = ("{iso}", "{y4}/{mm}/{dd}", "{y4}.{mm}.{dd}")
_FORMS: tuple[tuple[Form, tuple[str, ...]], ...] = (("full", _FULL), ("long", _LONG), ("medium", _MEDIUM))
_JOINED = ("{date} at {time}", "{date}, {time}", "{time} on {date}")

_ORDINALS = [
    *("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh", "twelfth"),
    *("thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth", "eighteenth", "nineteenth", "twentieth"),
    *("twenty-first", "twenty-second", "twenty-third", "twenty-fourth", "twenty-fifth", "twenty-sixth", "twenty-seventh"),
    *("twenty-eighth", "twenty-ninth", "thirtieth", "thirty-first"),
]
_HOURS = ("twelve", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven")
_MINUTES = {5: "five", 10: "ten", 15: "quarter", 20: "twenty", 25: "twenty-five"}


def generate(split: str, size: int, seed: int = 0) -> TextPairs:
    """Pairs of a split.

    Args:
        split: ``train``, ``valid`` or ``test``: 8, 1 and 1 in 10 of all dates.
        size: how many pairs.
        seed: which ones.
    """
    check_split(split, size)
    generator = random.Random(f"{split} {seed}")
    pairs = TextPairs([], [])
    while len(pairs) < size:
        date = datetime.date.fromordinal(generator.randint(FIRST.toordinal(), LAST.toordinal()))
        if split_of(date.isoformat()) != split:
            continue
        time = _some_time(generator) if generator.random() < 0.5 else None
        language = generator.choice(LANGUAGES)
        form, templates = generator.choice(_FORMS)
        english = _written(generator, date, time, generator.choice(templates))
        pairs.sources.append(f"<{language}> {english}")
        pairs.targets.append(reference(date, time, language, form))
    return pairs


def reference(date: datetime.date, time: datetime.time | None, language: str, form: Form) -> str:
    """CLDR's form (``full``, ``long`` or ``medium``) of a date in a language, and its time of day where there is one."""
    from babel import dates

    locale = _locale(language)
    day = dates.format_date(date, form, locale)
    if time is None:
        return day
    clock = dates.format_time(time, "short", locale=locale)
    joined = str(dates.get_datetime_format(form, locale=locale)).replace("'", "")  # quotes mark what is no placeholder
    return joined.replace("{0}", clock).replace("{1}", day)


def _some_time(generator: random.Random) -> datetime.time:
    # Every other one on a multiple of five minutes: the times that can be written in words would else be too few to learn.
    minute = generator.randrange(60) if generator.random() < 0.5 else generator.randrange(0, 60, 5)
    return datetime.time(generator.randrange(24), minute)


def _written(generator: random.Random, date: datetime.date, time: datetime.time | None, template: str) -> str:
    """A date and time in English, in one of many ways."""
    english = _locale("en")
    widths = ("wide", "abbreviated")
    year = f"'{date.year % 100:02d}" if generator.random() < 0.15 else str(date.year)
    text = template.format(
        weekday=english.days["format"][generator.choice(widths)][date.weekday()],
        month=english.months["format"][generator.choice(widths)][date.month],
        day=date.day,
        th=f"{date.day}{_ending(date.day)}",
        ordinal=_ORDINALS[date.day - 1],
        iso=date.isoformat(),
        y=year,
        y4=date.year,
        mm=f"{date.month:02d}",
        dd=f"{date.day:02d}",
    )
    if time is not None:
        text = generator.choice(_JOINED).format(date=text, time=generator.choice(_clocks(time)))
    return text.lower() if generator.random() < 0.25 else text


def _clocks(time: datetime.time) -> list[str]:
    """The ways to write a time of day: by 24 hours, by 12 and, on a multiple of five minutes, in words."""
    hour, half = time.hour % 12 or 12, "AM" if time.hour < 12 else "PM"
    dotted = "a.m." if time.hour < 12 else "p.m."
    ways = [f"{time:%H:%M}", f"{hour}:{time:%M} {half}", f"{hour}:{time:%M}{half.lower()}", f"{hour}.{time:%M} {dotted}"]
    if time.minute == 0:
        ways += [f"{hour} {half}", f"{hour}{half.lower()}"]
    if time.minute % 5 == 0 and (hour, time.minute) != (12, 0):  # nobody says "twelve o'clock in the afternoon"
        ways.append(f"{_spoken(time)} in the {_part(time)}")
    return ways


def _spoken(time: datetime.time) -> str:
    """A time by the twelve-hour clock, in words; its minutes are a multiple of five."""
    this, following = _HOURS[time.hour % 12], _HOURS[(time.hour + 1) % 12]
    if time.minute == 0:
        return f"{this} o'clock"
    if time.minute == 30:
        return f"half past {this}"
    if time.minute < 30:
        return f"{_MINUTES[time.minute]} past {this}"
    return f"{_MINUTES[60 - time.minute]} to {following}"


def _part(time: datetime.time) -> str:
    # The part of the day that the time itself is in, not the hour it names: "ten to twelve in the morning" is 11:50.
    return "morning" if time.hour < 12 else "afternoon" if time.hour < 18 else "evening"


def _ending(day: int) -> str:
    return "th" if 10 < day < 20 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")


@cache
def _locale(language: str):
    from babel import Locale

    return Locale(language)
