"""The tasks that need no file."""

from collections.abc import Callable
from dataclasses import dataclass

from minigrad.data import algorithmic, dates, phrases
from minigrad.data.corpus import TextPairs
from minigrad.errors import UsageError


@dataclass(frozen=True)
class Task:
    """A source of parallel text.

    Attributes:
        generate: ``generate(split, size, seed=0)`` makes pairs of a split; the splits of a task share no example.
        tokens: the kind of tokenizer that suits it.
    """

    generate: Callable[..., TextPairs]
    tokens: str


TASKS = {
    "dates": Task(dates.generate, tokens="pieces"),
    "phrases": Task(phrases.generate, tokens="pieces"),
    "reverse": Task(algorithmic.reverse, tokens="words"),
    "copy": Task(algorithmic.copy, tokens="words"),
}


def builtin_task(name: str) -> Task:
    """The task of this name. Raises :class:`UsageError` for an unknown one."""
    if name not in TASKS:
        raise UsageError(f"the built-in data are {', '.join(TASKS)}: got {name!r}; give files for any other")
    return TASKS[name]
