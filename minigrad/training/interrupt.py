"""Ctrl-C that lets a step finish."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def finishing_first(stop: Callable[[], object], step: str = "this step, then saving and validating") -> Iterator[None]:
    """The first Ctrl-C inside this block calls ``stop``, which is to end it soon; a second one raises KeyboardInterrupt.

    Args:
        stop: called in the main thread between two instructions; it should do no more than leave a note.
        step: what is done before the end, for the message.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed = False

    def note(number, frame):
        nonlocal pressed
        if pressed:
            raise KeyboardInterrupt
        pressed = True
        stop()
        # Said at once, as the step in hand may take a while, and past Python's buffers, which may be in use just now.
        with contextlib.suppress(OSError):
            os.write(2, f"\nCtrl-C: finishing {step}; press it again to stop at once\n".encode())

    earlier = signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, earlier)
