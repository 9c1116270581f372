"""Derivatives of functions: Jacobians, Hessians, and their products with vectors (as ``torch.autograd.functional``)."""

from __future__ import annotations

import numpy as np

from .autograd import enable_grad, grad, set_grad_enabled
from .errors import DTypeError, GraphError, ShapeError
from .ops import reshape, stack
from .tensor import Tensor, wrap


def _tensors(values, what: str) -> tuple[tuple[Tensor, ...], bool]:
    """``values`` as a tuple of tensors, and whether it was a sequence."""
    several = isinstance(values, (tuple, list))
    tensors = tuple(values) if several else (values,)
    for i, t in enumerate(tensors):
        if not isinstance(t, Tensor):
            raise DTypeError(f"{what} {i} is a Tensor: got {type(t).__name__}; wrap it in minigrad.tensor(...)")
    return tensors, several


def _fresh(inputs, create_graph: bool) -> tuple[Tensor, ...]:
    """The inputs as points to differentiate at: copies of their own, still connected to the originals if asked for."""
    points = []
    for t in inputs:
        if t.dtype.kind != "f":
            raise DTypeError(f"derivatives need floating-point inputs: got dtype {t.dtype}; use .float() first")
        points.append(t.clone() if create_graph and t.requires_grad else t.detach().clone().requires_grad_())
    return tuple(points)


def _evaluate(func, inputs, create_graph: bool):
    inputs, several_in = _tensors(inputs, "input")
    with enable_grad():
        points = _fresh(inputs, create_graph)
        outputs, several_out = _tensors(func(*points), "output")
    return points, several_in, outputs, several_out


def _pull_back(output: Tensor, points, g, create_graph: bool) -> tuple[Tensor, ...]:
    """d(output . g)/d(point) for each point; zeros where there is no dependence."""
    if not output.requires_grad:
        return tuple(wrap(np.zeros(p.shape, p.dtype)) for p in points)
    found = grad(output, points, g, retain_graph=True, create_graph=create_graph, allow_unused=True)
    return tuple(wrap(np.zeros(p.shape, p.dtype)) if f is None else f for f, p in zip(found, points))


def jacobian(func, inputs, create_graph: bool = False):
    """All partial derivatives of ``func(*inputs)``, one backward pass per element of its value.

    Args:
        func: takes as many Tensors as there are inputs, returns a Tensor or a tuple of Tensors.
        inputs: a Tensor or a tuple of Tensors.
        create_graph: let the result be differentiated again.

    Returns:
        for one output and one input, a Tensor of shape ``output.shape + input.shape``; with several, nested tuples, outputs
        first.
    """
    points, several_in, outputs, several_out = _evaluate(func, inputs, create_graph)
    rows = []
    for output in outputs:
        parts: list[list[Tensor]] = [[] for _ in points]
        for i in range(output.numel()):
            one = np.zeros(output.shape, output.dtype)
            one.reshape(-1)[i] = 1
            for part, g in zip(parts, _pull_back(output, points, wrap(one), create_graph)):
                part.append(g)
        with set_grad_enabled(create_graph):
            row = tuple(
                reshape(stack(part), (*output.shape, *p.shape)) if part else wrap(np.zeros((*output.shape, *p.shape), p.dtype))
                for part, p in zip(parts, points)
            )
        rows.append(row if several_in else row[0])
    return tuple(rows) if several_out else rows[0]


def hessian(func, inputs, create_graph: bool = False):
    """All second partial derivatives of a function that returns one number.

    Returns:
        for one input, a Tensor of shape ``input.shape + input.shape``; with several, a tuple of tuples.

    Raises:
        ShapeError: if ``func`` returns more than one element.
    """
    _, several = _tensors(inputs, "input")

    def slope(*points):
        value = func(*points)
        if not isinstance(value, Tensor) or value.numel() != 1:
            got = value.shape if isinstance(value, Tensor) else type(value).__name__
            raise ShapeError(f"hessian needs a function that returns one number: got {got}; reduce it with .sum()")
        if not value.requires_grad:
            return tuple(wrap(np.zeros(p.shape, p.dtype)) for p in points)
        found = grad(value, points, wrap(np.ones(value.shape, value.dtype)), create_graph=True, allow_unused=True)
        return tuple(wrap(np.zeros(p.shape, p.dtype)) if f is None else f for f, p in zip(found, points))

    result = jacobian(slope, inputs if several else (inputs,), create_graph)
    return result if several else result[0][0]


def vjp(func, inputs, v=None, create_graph: bool = False):
    """``func(*inputs)``, and the product of a vector with its Jacobian: one backward pass.

    Args:
        v: of the shape(s) of the output(s); may be left out for an output of one element.

    Returns:
        (value, gradients), the gradients as the inputs are: a Tensor or a tuple.
    """
    points, several_in, outputs, several_out = _evaluate(func, inputs, create_graph)
    vectors = _vectors(v, outputs, several_out, "output")
    totals: list[Tensor] | None = None
    for output, vector in zip(outputs, vectors):
        found = _pull_back(output, points, vector, create_graph)
        with set_grad_enabled(create_graph):
            totals = list(found) if totals is None else [a + b for a, b in zip(totals, found)]
    value = tuple(o if create_graph else o.detach() for o in outputs)
    gradients = tuple(totals or ())
    return (value if several_out else value[0]), (gradients if several_in else gradients[0])


def jvp(func, inputs, v=None, create_graph: bool = False):
    """``func(*inputs)``, and the product of its Jacobian with a vector: how the value moves when the inputs move along ``v``.

    The vector-Jacobian product is linear in its vector, so differentiating it once more, by that vector, gives the product
    on the other side (the double-backward trick).

    Args:
        v: of the shape(s) of the input(s); may be left out for an input of one element.

    Returns:
        (value, tangents), the tangents as the outputs are: a Tensor or a tuple.
    """
    points, several_in, outputs, several_out = _evaluate(func, inputs, create_graph)
    vectors = _vectors(v, points, several_in, "input")
    tangents = []
    for output in outputs:
        dummy = wrap(np.zeros(output.shape, output.dtype), requires_grad=True)
        with enable_grad():
            pulled = _pull_back(output, points, dummy, create_graph=True)
            terms = [(p * w).sum() for p, w in zip(pulled, vectors) if p.requires_grad]
        tangent = None
        if terms:
            ones = [wrap(np.ones((), term.dtype)) for term in terms]
            (tangent,) = grad(terms, dummy, ones, retain_graph=True, create_graph=create_graph, allow_unused=True)
        tangents.append(wrap(np.zeros(output.shape, output.dtype)) if tangent is None else tangent)
    value = tuple(o if create_graph else o.detach() for o in outputs)
    return (value if several_out else value[0]), (tuple(tangents) if several_out else tangents[0])


def _vectors(v, like, several: bool, what: str) -> tuple[Tensor, ...]:
    if v is None:
        if len(like) != 1 or like[0].numel() != 1:
            raise GraphError(f"v may be left out for one {what} of one element only: got shapes {[t.shape for t in like]}")
        return (wrap(np.ones(like[0].shape, like[0].dtype)),)
    vectors, _ = _tensors(v, "v")
    if len(vectors) != len(like) or any(a.shape != b.shape for a, b in zip(vectors, like)):
        raise ShapeError(f"v has the shapes of the {what}s, {[t.shape for t in like]}: got {[t.shape for t in vectors]}")
    return vectors
