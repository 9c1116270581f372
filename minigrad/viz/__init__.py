"""Pictures of what really happened: attention, positions, embeddings, errors, losses.

A name is loaded when it is first used, and matplotlib when something is first drawn; ``pip install 'minigrad[viz]'`` brings it.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .attention import attention
    from .capture import Attended, capture_attention
    from .curves import curves
    from .doctor import Finding, Report, doctor
    from .embedding import embedding
    from .errors import errors
    from .flow import grad_flow
    from .graph import Graph, graph
    from .monitor import Monitor
    from .positional import check_rotation, positional, rotation_matrix
    from .record import Record
    from .recorder import record
    from .style import DARK, LIGHT, Picture, Theme
    from .why import Why, why

# Where each public name lives.
_PLACES = {
    "Attended": "capture",
    "attention": "attention",
    "capture_attention": "capture",
    "curves": "curves",
    "embedding": "embedding",
    "errors": "errors",
    "Finding": "doctor",
    "Report": "doctor",
    "doctor": "doctor",
    "grad_flow": "flow",
    "Monitor": "monitor",
    "check_rotation": "positional",
    "graph": "graph",
    "positional": "positional",
    "rotation_matrix": "positional",
    "DARK": "style",
    "Graph": "graph",
    "LIGHT": "style",
    "Picture": "style",
    "Record": "record",
    "Theme": "style",
    "Why": "why",
    "record": "recorder",
    "why": "why",
}

__all__ = [*_PLACES]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})


class _Gathering(ModuleType):
    """Python binds a submodule to its package under its own name; where a function has that name, the function is meant."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _PLACES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Gathering
