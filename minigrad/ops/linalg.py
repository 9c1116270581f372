"""Products of vectors and matrices."""

from __future__ import annotations

import math
import re

import numpy as np

from .. import kernels
from ..errors import DTypeError, ShapeError, UsageError
from ..primitive import primitive
from ..tensor import Tensor, array_of, tensor_of
from .arithmetic import mul
from .arrangement import diagonal
from .norms import norm
from .reduction import sum as sum_
from .shaping import permute, reshape, unsqueeze


def _left_rule(g, a_shape, b):
    if len(a_shape) == 1:  # (k) @ (..., k, m)
        if b.ndim == 1:
            return g * b
        return matmul_.on(b, np.expand_dims(g, -1))[..., 0]
    if b.ndim == 1:
        return np.expand_dims(g, -1) * b
    return matmul_.on(g, b.swapaxes(-1, -2))


def _right_rule(g, a, b_shape):
    if a.ndim == 1:
        if len(b_shape) == 1:
            return g * a
        return np.expand_dims(a, -1) * np.expand_dims(g, -2)
    if len(b_shape) == 1:  # (..., n, k) @ (k)
        return matmul_.on(a.swapaxes(-1, -2), np.expand_dims(g, -1))[..., 0]
    if len(b_shape) == 2 and a.ndim > 2:  # one weight under many batches: one flat product instead of a batch to sum
        a, g = np.reshape(a, (-1, a.shape[-1])), np.reshape(g, (-1, g.shape[-1]))
    return matmul_.on(a.swapaxes(-1, -2), g)


@primitive(r"A B", name="matmul")
def matmul_(a, b):
    """The matrix product."""
    try:
        if a.dtype is b.dtype:
            return kernels.matmul.matmul(a, b)
    except (AttributeError, ValueError):
        pass  # a number, or shapes that do not fit: the check says which
    _check(a, b)
    return kernels.matmul.matmul(a, b)


matmul_.vjp(a=_left_rule, b=_right_rule)


def _same_dtype(a, b, name: str) -> None:
    """PyTorch does not mix dtypes in products, and neither do we."""
    for x in (a, b):
        if not isinstance(x, (np.ndarray, np.generic)):
            raise DTypeError(f"{name} multiplies tensors: got {type(x).__name__}; use * for numbers")
    if a.dtype != b.dtype:
        raise DTypeError(f"{name} needs operands of one dtype: got {a.dtype} and {b.dtype}; convert one with .to()")


def _check(a, b) -> None:
    """Say in our words why a product is not possible, if it is not."""
    _same_dtype(a, b, "matmul")
    if not a.ndim or not b.ndim:
        raise ShapeError(f"matmul needs operands with dimensions: got {a.shape} @ {b.shape}; use * for numbers")
    if a.shape[-1] != b.shape[-2 if b.ndim > 1 else -1]:
        hint = ""
        if a.ndim > 1 and b.ndim > 1:
            if a.shape[-1] == b.shape[-1]:
                hint = "; transpose the second operand with .mT"
            elif a.shape[-2] == b.shape[-2]:
                hint = "; transpose the first operand with .mT"
        raise ShapeError(f"matmul needs (.., n, k) @ (.., k, m): got {a.shape} @ {b.shape}{hint}")
    try:
        np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    except ValueError:
        raise ShapeError(f"matmul broadcasts the leading dimensions: {a.shape[:-2]} and {b.shape[:-2]} do not fit") from None


def matmul(input, other) -> Tensor:
    """The matrix product of the last two dimensions, the others broadcasting; vectors count as a row or a column.

    Shapes:
        (..., n, k) @ (..., k, m) gives (..., n, m); (k) @ (k) gives a number.

    Raises:
        ShapeError: if the inner sizes differ, or an operand has no dimensions.
        DTypeError: if the dtypes differ.
    """
    return matmul_(input, other)


def _ranked(name: str, input, other, ranks: tuple[int, int]):
    a, b = array_of(input), array_of(other)
    _same_dtype(a, b, name)
    if (a.ndim, b.ndim) != ranks:
        raise ShapeError(f"{name} takes {ranks[0]} and {ranks[1]} dimensions: got {a.shape} and {b.shape}; matmul takes any")
    return matmul(input, other)


def mm(input, mat2) -> Tensor:
    """(n, k) @ (k, m)."""
    return _ranked("mm", input, mat2, (2, 2))


def bmm(input, mat2) -> Tensor:
    """(batch, n, k) @ (batch, k, m), without broadcasting.

    Raises:
        ShapeError: if the batches differ.
    """
    a, b = array_of(input), array_of(mat2)
    _same_dtype(a, b, "bmm")
    if a.ndim == b.ndim == 3 and a.shape[0] != b.shape[0]:
        raise ShapeError(f"bmm needs one batch size: got {a.shape[0]} and {b.shape[0]}; matmul broadcasts")
    return _ranked("bmm", input, mat2, (3, 3))


def mv(input, vec) -> Tensor:
    """(n, k) @ (k)."""
    return _ranked("mv", input, vec, (2, 1))


def dot(input, tensor) -> Tensor:
    """The inner product of two vectors."""
    return _ranked("dot", input, tensor, (1, 1))


def outer(input, vec2) -> Tensor:
    """The outer product of two vectors: (n) and (m) give (n, m).

    Raises:
        ShapeError: for operands of other shapes.
    """
    a, b = array_of(input), array_of(vec2)
    if a.ndim != 1 or b.ndim != 1:
        raise ShapeError(f"outer takes two vectors: got {a.shape} and {b.shape}")
    return mul(unsqueeze(input, 1), vec2)


def addmm(input, mat1, mat2, *, beta=1, alpha=1) -> Tensor:
    """``beta * input + alpha * (mat1 @ mat2)``; with ``beta`` 0, NaN in ``input`` does not spread.

    Shapes:
        ``input`` broadcasts to (n, m), for matrices (n, k) and (k, m).

    Raises:
        ShapeError, DTypeError: for operands that do not fit.
    """
    product = mm(mat1, mat2)
    x = array_of(input)
    if x.dtype != product.dtype:
        raise DTypeError(f"addmm needs operands of one dtype: got {x.dtype} and {product.dtype}; convert one with .to()")
    if x.ndim > 2 or any(n not in (1, m) for n, m in zip(x.shape[::-1], product.shape[::-1])):
        raise ShapeError(f"addmm adds an input that broadcasts to the product's shape {product.shape}: got {x.shape}")
    if alpha != 1:
        product = mul(product, alpha)
    if beta == 0:
        return product
    return product + (input if beta == 1 else mul(input, beta))


def einsum(equation: str, *operands) -> Tensor:
    """Einstein's summation: each letter is a dimension, letters missing on the right are summed over.

    Pairs of operands are contracted from left to right, each as one (batched) matrix product, so gradients of every order
    come from :func:`matmul`. Supported: implicit and explicit output, ``...``, repeated letters within an operand (diagonals).

    Args:
        equation: such as ``"bqd,bkd->bqk"``.
        operands: the tensors, one for each term of the equation; a single list is accepted too.

    Raises:
        UsageError: if the equation does not parse or does not fit the operands.
        ShapeError: if one letter stands for two sizes.
        DTypeError: if a matrix product would have to mix dtypes.
    """
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    operands = tuple(tensor_of(x) for x in operands)
    if not isinstance(equation, str):
        raise DTypeError(f"einsum takes its equation as text: got a {type(equation).__name__}")
    terms, output = _parse(equation, operands)
    sizes: dict = {}
    tensors = []
    for letters, x in zip(terms, operands):
        x, letters = _diagonal(x, letters, equation)
        for letter, n in zip(letters, x.shape):
            if sizes.setdefault(letter, n) == 1:
                sizes[letter] = n
            elif n not in (1, sizes[letter]):
                raise ShapeError(f"einsum {equation!r}: {letter!r} stands for {sizes[letter]} and for {n}")
        tensors.append((x, letters))
    if any(letter not in sizes for letter in output):
        raise UsageError(f"einsum {equation!r}: the output names a letter that no operand has")
    tensors = [_widened(x, letters, sizes) for x, letters in tensors]
    result, letters = tensors[0]
    for i, (x, others) in enumerate(tensors[1:], 1):
        later = set(output).union(*(t for _, t in tensors[i + 1 :]))
        result, letters = _contract(result, letters, x, others, later)
    gone = tuple(i for i, letter in enumerate(letters) if letter not in output)
    if gone:
        result = sum_(result, gone)
        letters = [letter for letter in letters if letter in output]
    return _ordered(result, letters, output)


_TERM = re.compile(r"([A-Za-z]*)(\.\.\.)?([A-Za-z]*)")


def _parse(equation: str, operands) -> tuple[list[list], list]:
    """The labels of the dimensions of each operand and of the output: letters, and under ``...`` numbers from the right."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(operands):
        raise UsageError(f"einsum {equation!r} names {len(terms)} operands: got {len(operands)}")
    parsed = []
    for term, x in zip(terms, operands):
        before, dots, after = _term(term, equation)
        unnamed = x.ndim - len(before) - len(after)
        if unnamed < 0 or (unnamed and not dots):
            raise UsageError(f"einsum {equation!r}: the term {term!r} does not fit an operand of shape {x.shape}")
        parsed.append([*before, *range(unnamed, 0, -1), *after])
    widest = max((label for term in parsed for label in term if isinstance(label, int)), default=0)
    ellipsis = list(range(widest, 0, -1))
    if arrow:
        before, dots, after = _term(right, equation)
        output = [*before, *(ellipsis if dots else ()), *after]
    else:
        flat = [label for term in parsed for label in term]
        output = [*ellipsis, *sorted(label for label in set(flat) - set(ellipsis) if flat.count(label) == 1)]
    if len(set(output)) != len(output):
        raise UsageError(f"einsum {equation!r}: the output names a letter twice")
    return parsed, output


def _term(term: str, equation: str) -> tuple[str, str | None, str]:
    """The letters of a term before its ``...``, the dots if it has any, and the letters behind them."""
    match = _TERM.fullmatch(term)
    if match is None:
        raise UsageError(f"einsum {equation!r}: a term is letters with at most one ... among them: got {term!r}")
    return match[1], match[2], match[3]


def _diagonal(x, letters, equation: str):
    """A letter repeated within one operand means its diagonal."""
    for letter in dict.fromkeys(letters):
        while letters.count(letter) > 1:
            i = letters.index(letter)
            j = letters.index(letter, i + 1)
            shape = x.shape
            if shape[i] != shape[j]:
                raise ShapeError(f"einsum {equation!r}: {letter!r} stands for {shape[i]} and for {shape[j]}")
            rest = [k for k in range(len(shape)) if k not in (i, j)]
            x = diagonal(x, 0, i, j)
            letters = [*(letters[k] for k in rest), letter]
    return x, letters


def _widened(x, letters, sizes):
    """Size 1 broadcasts against a letter's other size."""
    shape = tuple(sizes[letter] for letter in letters)
    return (x if x.shape == shape else x.expand(shape)), letters


def _contract(a, a_letters, b, b_letters, later):
    """Two operands into one by a batched matrix product: shared letters that are still needed are the batch.

    Where no letter is summed over, the product is one of elements.
    """
    shared = [c for c in a_letters if c in b_letters]
    alone_a = tuple(i for i, c in enumerate(a_letters) if c not in b_letters and c not in later)
    if alone_a:
        a, a_letters = sum_(a, alone_a), [c for i, c in enumerate(a_letters) if i not in alone_a]
    alone_b = tuple(i for i, c in enumerate(b_letters) if c not in a_letters and c not in later)
    if alone_b:
        b, b_letters = sum_(b, alone_b), [c for i, c in enumerate(b_letters) if i not in alone_b]
    batch = [c for c in shared if c in later]
    summed = [c for c in shared if c not in later]
    rows = [c for c in a_letters if c not in shared]
    columns = [c for c in b_letters if c not in shared]
    size = dict(zip(a_letters, a.shape)) | dict(zip(b_letters, b.shape))
    a, b = _ordered(a, a_letters, batch + rows + summed), _ordered(b, b_letters, batch + summed + columns)
    letters = batch + rows + columns
    shape = tuple(size[c] for c in letters)
    if not summed:
        a = _shaped(a, (*a.shape, *(1 for _ in columns)))
        b = _shaped(b, (*shape[: len(batch)], *(1 for _ in rows), *shape[len(batch) + len(rows) :]))
        return mul(a, b), letters
    count = [math.prod(size[c] for c in group) for group in (batch, rows, summed, columns)]
    several = count[:1] if batch else []
    a, b = _shaped(a, (*several, count[1], count[2])), _shaped(b, (*several, count[2], count[3]))
    return _shaped(matmul(a, b), shape), letters


def _ordered(x, letters, wanted):
    """The dimensions of ``x``, named by ``letters``, in the order ``wanted``."""
    return x if letters == wanted else permute(x, tuple(letters.index(c) for c in wanted))


def _shaped(x, shape):
    return x if x.shape == shape else reshape(x, shape)


def cdist(x1, x2, p: float = 2.0) -> Tensor:
    """The p-norm distance between all pairs of rows: (..., n, d) and (..., m, d) give (..., n, m).

    Computed from the differences, not from squares, so that near pairs keep their digits; memory grows with n * m * d. The
    gradient between equal rows is 0.

    Raises:
        ShapeError, DTypeError: for operands that do not fit.
        UsageError: for a negative ``p``.
    """
    a, b = array_of(x1), array_of(x2)
    _same_dtype(a, b, "cdist")
    if p < 0:
        raise UsageError(f"cdist needs p from 0 upward: got {p}")
    if a.ndim < 2 or b.ndim < 2 or a.shape[-1] != b.shape[-1]:
        raise ShapeError(f"cdist needs (.., n, d) and (.., m, d): got {a.shape} and {b.shape}")
    return norm(unsqueeze(x1, -2) - unsqueeze(x2, -3), p, -1)


def trace(input) -> Tensor:
    """The sum of the main diagonal of a matrix."""
    if array_of(input).ndim != 2:
        raise ShapeError(f"trace needs a matrix: got shape {array_of(input).shape}")
    return sum_(diagonal(input))
