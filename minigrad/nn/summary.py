"""A table of a module's parts."""

from __future__ import annotations

import math

from ..autograd import no_grad
from ..tensor import Tensor
from .module import Module


def summary(module: Module, inputs: tuple = (), kwargs: dict | None = None) -> str:
    """One line for each part: its name and class, the shape of its output, and how many numbers it learns.

    Args:
        module: the module.
        inputs, kwargs: arguments to call it with, in evaluation mode and off the tape; without any, shapes are left out. A part
            that is called several times shows its last output.

    The count of a part includes that of its own parts, and a tied parameter counts once in each line it belongs to, and once
    in the total.
    """
    shapes = _output_shapes(module, inputs, kwargs or {}) if inputs or kwargs else {}
    rows = [("layer", "class", "output", "parameters")]
    for path, part in module.named_modules():
        indent = "  " * (path.count(".") + 1) if path else ""
        count = sum(math.prod(p.shape) for p in part.parameters())
        rows.append((indent + path.rpartition(".")[2], type(part).__name__, shapes.get(id(part), ""), f"{count:,}"))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = [
        f"{name:<{widths[0]}}  {kind:<{widths[1]}}  {shape:<{widths[2]}}  {count:>{widths[3]}}".rstrip()
        for name, kind, shape, count in rows
    ]
    rule = "-" * max(map(len, lines))
    parameters = list(module.parameters())
    total = sum(p.numel() for p in parameters)
    trained = sum(p.numel() for p in parameters if p.requires_grad)
    size = sum(p.numel() * p.element_size() for p in parameters)
    lines = [lines[0], rule, *lines[1:], rule, f"{total:,} parameters, {trained:,} of them trained, {size / 2**20:.2f} MiB"]
    return "\n".join(lines)


def _output_shapes(module: Module, inputs: tuple, kwargs: dict) -> dict[int, str]:
    shapes: dict[int, str] = {}

    def note(part, args, output):
        shapes[id(part)] = _shape_of(output)

    parts = list(module.modules())
    modes = [part.training for part in parts]
    handles = [part.register_forward_hook(note) for part in parts]
    try:
        with no_grad():
            module.eval()(*inputs, **kwargs)
    finally:
        for handle in handles:
            handle.remove()
        for part, mode in zip(parts, modes):
            part.training = mode
    return shapes


def _shape_of(output) -> str:
    if isinstance(output, Tensor):
        return str(output.shape)
    if isinstance(output, (tuple, list)):
        return ", ".join(filter(None, map(_shape_of, output)))
    return ""
