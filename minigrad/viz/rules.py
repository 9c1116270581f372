"""What a gradient rule computes, in the words of its own source: ``g * b`` for ``mul.vjp(a=lambda g, b: g * b)``."""

from __future__ import annotations

import ast
import functools
import inspect
from typing import Any

from ..primitive import Fused, Primitive

_LONGEST = 200  # characters of a rule that are shown


def describe(primitive: Primitive) -> dict[str, Any]:
    """An operation as records state it: its formula, its arguments, and its gradient rules.

    Returns:
        ``formula`` in LaTeX; ``summary``, the first line of its docstring; ``arguments``, their names; ``fused``, whether one
        kernel hides several steps; ``rules``, for each argument ``formula``, a line of Python, and
        ``reads``, what it reads besides g.
    """
    result: dict[str, Any] = {
        "formula": primitive.formula,
        "summary": (primitive.__doc__ or "").strip().partition("\n")[0],
        "arguments": list(primitive.argnames),
        "fused": isinstance(primitive, Fused),
        "rules": {},
    }
    if isinstance(primitive, Fused):
        reads = list(primitive._backward_reads)
        for argument in primitive.differentiable:
            text = f"one kernel for {', '.join(primitive.differentiable)}"
            result["rules"][argument] = {"formula": text, "reads": [name for name in reads if name != "needs"]}
        return result
    for argument, (rule, reads) in primitive.rule_of.items():
        result["rules"][argument] = {"formula": text_of(rule), "reads": list(reads)}
    return result


@functools.lru_cache(maxsize=4096)
def text_of(rule) -> str:
    """The expression of a lambda, the name of any other function; "" where its source is not at hand."""
    name = getattr(rule, "__name__", "")
    if name != "<lambda>":
        return f"{name}({', '.join(_names(rule))})" if name else ""
    try:
        path = inspect.getsourcefile(rule)
    except TypeError:
        path = None
    code = rule.__code__
    wanted = list(code.co_varnames[: code.co_argcount])
    for node in _lambdas(path):
        if node.lineno == code.co_firstlineno and [a.arg for a in node.args.args] == wanted:
            text = ast.unparse(node.body)
            return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    return ""


def _names(rule) -> list[str]:
    try:
        return list(inspect.signature(rule).parameters)
    except (TypeError, ValueError):
        return []


@functools.lru_cache(maxsize=256)
def _lambdas(path: str | None) -> list[ast.Lambda]:
    if path is None:
        return []
    try:
        with open(path, encoding="utf-8") as file:
            tree = ast.parse(file.read())
    except (OSError, SyntaxError, ValueError):
        return []
    return [node for node in ast.walk(tree) if isinstance(node, ast.Lambda)]
