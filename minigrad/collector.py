"""Python's garbage collector passes over a large graph once, not again and again.

The tape makes no reference cycles, so the collector never finds anything in it. Yet it looks through all objects of the process
each time their number has grown by a quarter: while long graphs are recorded, these full passes take half of the time. What one
has found alive is therefore set aside (``gc.freeze``), so that the next looks at what came since. Nothing is forgotten: every
tenth full pass, every one asked for (``gc.collect()``), and every one before which hardly anything was recorded looks at
everything again. A program that has set objects aside itself is left alone; ``gc.unfreeze()`` takes back what is set aside now.
"""

import gc
import sys

from .aliasing import clock

_MANY = 10_000  # recorded operations since the last full pass, above which its time is the graph's
_ALL_EVERY = 10  # full passes


class Watch:
    """Called by the collector before and after each of its passes."""

    def __init__(self):
        self.passes = 0
        self.time = 0
        self.frozen = self.recorded_much = False

    def __call__(self, phase, info):
        if info["generation"] < 2:
            return
        if phase == "start":
            now = next(clock)
            self.recorded_much, self.time = now - self.time > _MANY, now
            self.passes += 1
            caller = sys._getframe().f_back
            called_for = caller is None or "collect" in caller.f_code.co_names
            if called_for or not self.recorded_much or self.passes % _ALL_EVERY == 0:
                self.thaw()
        elif self.recorded_much and (self.frozen or not gc.get_freeze_count()):
            gc.freeze()
            self.frozen = True

    def thaw(self) -> None:
        """Take back what was set aside."""
        if self.frozen:
            gc.unfreeze()
            self.frozen = False


watch = Watch()
gc.callbacks.append(watch)
