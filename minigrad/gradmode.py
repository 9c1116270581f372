"""Switching the tape on and off, for the thread that asks."""

from __future__ import annotations

import functools
from typing import Any

from .primitive import state


class _Switch:
    """Sets whether operations are recorded: a context manager, nestable and re-entrant, and a decorator."""

    mode = True

    def __new__(cls, function=None) -> Any:
        self = object.__new__(cls)
        if function is None:
            return self
        self.__init__()
        return self(function)  # @no_grad without parentheses

    def __init__(self, function=None):
        self._before: list[bool] = []

    def __enter__(self):
        self._before.append(state.recording)
        state.recording = self.mode

    def __exit__(self, *exc_info):
        state.recording = self._before.pop()

    def __call__(self, function):
        mode = self.mode

        @functools.wraps(function)
        def switched(*args, **kwargs):
            before = state.recording  # in a local, not in self: several threads may be in here
            state.recording = mode
            try:
                return function(*args, **kwargs)
            finally:
                state.recording = before

        return switched


class no_grad(_Switch):
    """Context manager and decorator: operations inside are not recorded."""

    mode = False


class enable_grad(_Switch):
    """Context manager and decorator: operations inside are recorded, even within :class:`no_grad`."""

    mode = True


class set_grad_enabled(_Switch):
    """Context manager and decorator that records operations if ``mode`` says so.

    As in PyTorch it takes effect at once, without ``with`` too; as a decorator, only inside the function.
    """

    def __new__(cls, mode: bool) -> Any:
        return object.__new__(cls)

    def __init__(self, mode: bool):
        super().__init__()
        self._start: bool | None = state.recording  # what the first ``with`` goes back to
        self.mode = state.recording = bool(mode)

    def __enter__(self):
        super().__enter__()
        if self._start is not None:
            self._before[-1], self._start = self._start, None

    def __call__(self, function):
        if self._start is not None:
            state.recording, self._start = self._start, None
        return super().__call__(function)


def is_grad_enabled() -> bool:
    """Whether operations are being recorded in this thread."""
    return state.recording
