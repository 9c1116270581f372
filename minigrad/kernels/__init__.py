"""Numba kernels on plain contiguous arrays. They know nothing of tensors and import nothing of minigrad but each other.

Each family is imported on first use (``kernels.softmax.forward(...)``), because importing Numba takes longer than importing
the rest of minigrad together, and much of what one does at first needs no kernel.
"""

import importlib


def __getattr__(name: str):
    importlib.import_module(f"{__name__}.allocator").keep_freed_memory()
    try:
        return importlib.import_module(f"{__name__}.{name}")  # which also makes it an attribute, so this runs once
    except ModuleNotFoundError as error:
        if error.name != f"{__name__}.{name}":
            raise
        raise AttributeError(f"minigrad.kernels has no family {name!r}") from None
