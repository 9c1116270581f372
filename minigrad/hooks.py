"""Hooks: functions that a tensor or a module calls at a certain moment, and the handles that take them away again."""

from __future__ import annotations


class RemovableHandle:
    """What registering a hook returns; ``remove()`` takes the hook away again. Also a context manager."""

    def __init__(self, hooks: dict, key: int):
        self._hooks = hooks
        self._key = key

    def remove(self) -> None:
        """Take the hook away; harmless if it is gone already."""
        self._hooks.pop(self._key, None)

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.remove()


def add_hook(hooks: dict, hook) -> RemovableHandle:
    """Put ``hook`` behind the others in ``hooks``."""
    key = max(hooks, default=-1) + 1
    hooks[key] = hook
    return RemovableHandle(hooks, key)
