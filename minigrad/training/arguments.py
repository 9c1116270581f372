"""What every command line here shares: a parser that is brief about errors, and what a number may be."""

from __future__ import annotations

import argparse
import functools
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any


class Parser(argparse.ArgumentParser):
    """A parser that says in one sentence what is wrong, and in its help what holds where an option is left out.

    Its options are None unless they were given, so that what the user chose can be told from what was filled in. A subclass
    names in ``defaults`` what is filled in; the parsers of verbs are of the same class.
    """

    defaults: Mapping[str, Any] = {}

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, formatter_class=functools.partial(_Help, defaults=self.defaults), **options)

    def error(self, message: str):
        """Exit with status 2; without the list of all options, under which the reason would be hard to find."""
        self.exit(2, f"error: {message}; '{self.prog} --help' lists what there is\n")


class _Help(argparse.RawDescriptionHelpFormatter):
    def __init__(self, *arguments: Any, defaults: Mapping[str, Any], **options: Any):
        super().__init__(*arguments, **options)
        self._defaults = defaults

    def _get_help_string(self, action: argparse.Action) -> str:
        default = self._defaults.get(action.dest)
        text = action.help or ""
        if default is None or action.nargs == 0:
            return text
        shown = " ".join(map(str, default)) if isinstance(default, tuple) else default
        return f"{text} (default: {shown})"


def whole(low: int) -> Callable[[str], int]:
    """A type for argparse: integers from ``low`` up."""

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"must be a whole number: got {text!r}") from None
        if value < low:
            raise argparse.ArgumentTypeError(f"must be {low} or more: got {text}")
        return value

    return convert


def number(rule: str = "a finite number", allowed: Callable[[float], bool] = math.isfinite) -> Callable[[str], float]:
    """A type for argparse: the finite numbers that ``allowed`` accepts, which are what ``rule`` says."""

    def convert(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and allowed(value)):
            raise argparse.ArgumentTypeError(f"must be {rule}: got {text!r}")
        return value

    return convert


above_0 = number("a number above 0", lambda value: value > 0)
from_0 = number("a number from 0 up", lambda value: value >= 0)
share = number("a number from 0 to below 1", lambda value: 0 <= value < 1)


def flag(name: str) -> str:
    """The option that fills the attribute ``name``."""
    return "--" + name.removesuffix("_files").replace("_", "-")


def listed(names: Iterable[str]) -> str:
    """The options that fill these attributes, between commas."""
    return ", ".join(map(flag, names))
