"""The primitives that are public as they are, under PyTorch's argument names: ``exp(input=x)``, ``mul(x, other=y)``.

A primitive takes its arguments by position alone, because a call that may also take them by name is slower, and names them as
its formula does. These functions add the names; operators such as ``x * y``, and the gradient rules, call the primitives.
"""

from __future__ import annotations

from collections.abc import Callable

from ..primitive import Primitive
from ..tensor import Tensor
from . import arithmetic, elementwise


def _of_one(operation: Primitive) -> Callable[..., Tensor]:
    def function(input) -> Tensor:
        return operation(input)

    return _described(function, operation)


def _of_two(operation: Primitive) -> Callable[..., Tensor]:
    def function(input, other) -> Tensor:
        return operation(input, other)

    return _described(function, operation)


def _described(function, operation: Primitive):
    function.__name__ = function.__qualname__ = operation.name
    there = [f"{theirs} is ``{ours}``" for theirs, ours in zip(operation.argnames, ("input", "other"))]
    function.__doc__ = f"{operation.__doc__}\n\n    Here {' and '.join(there)}.\n    "
    return function


mul = _of_two(arithmetic.mul)
maximum = _of_two(arithmetic.maximum)
minimum = _of_two(arithmetic.minimum)
atan2 = _of_two(arithmetic.atan2)
remainder = _of_two(arithmetic.remainder)
neg = _of_one(arithmetic.neg)
square = _of_one(arithmetic.square)
exp = _of_one(elementwise.exp)
expm1 = _of_one(elementwise.expm1)
log = _of_one(elementwise.log)
log1p = _of_one(elementwise.log1p)
log2 = _of_one(elementwise.log2)
sqrt = _of_one(elementwise.sqrt)
rsqrt = _of_one(elementwise.rsqrt)
reciprocal = _of_one(elementwise.reciprocal)
sign = _of_one(elementwise.sign)
sin = _of_one(elementwise.sin)
cos = _of_one(elementwise.cos)
tan = _of_one(elementwise.tan)
tanh = _of_one(elementwise.tanh)
sigmoid = _of_one(elementwise.sigmoid)
erf = _of_one(elementwise.erf)
floor = _of_one(elementwise.floor)
