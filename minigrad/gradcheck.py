"""Finite differences against the gradients of any function.

Central differences in float64 with a step of 1e-6 have an error of about 1e-10, so the tolerances here are tight enough to
catch a rule that is wrong by a thousandth.
"""

from __future__ import annotations

import numpy as np

from .autograd import enable_grad, grad
from .errors import DTypeError, GraphError
from .tensor import Tensor, wrap


def _points(inputs) -> tuple[list, list[int]]:
    """The inputs as a list, and the positions of those to differentiate by, which are float64."""
    inputs = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    checked = [i for i, t in enumerate(inputs) if isinstance(t, Tensor) and t.requires_grad]
    if not checked:
        raise GraphError("gradcheck needs at least one input that requires gradients: got none; set requires_grad=True")
    for i in checked:
        if inputs[i].dtype != np.float64:
            raise DTypeError(f"gradcheck needs float64 inputs: input {i} is {inputs[i].dtype}; use .double()")
    return inputs, checked


def _outputs(value) -> tuple[Tensor, ...]:
    values = value if isinstance(value, (tuple, list)) else (value,)
    return tuple(v for v in values if isinstance(v, Tensor) and v.dtype.kind == "f")


def numerical_jacobian(func, inputs, position: int, eps: float = 1e-6) -> list[np.ndarray]:
    """d(output)/d(input at ``position``) by central differences: one array (outputs, inputs) per output.

    The input itself is moved, so the function may also reach it by another way than its argument, as a module does its weights.
    """
    point = inputs[position]
    data = point._data
    values = np.array(data, dtype=np.float64).reshape(-1)
    columns = []
    try:
        for i in range(values.size):
            ends = []
            for step in (eps, -eps):
                moved = values.copy()
                moved[i] += step
                point._data = moved.reshape(point.shape)
                ends.append([np.array(o._data, np.float64).reshape(-1) for o in _outputs(func(*inputs))])
            columns.append([(up - down) / (2 * eps) for up, down in zip(*ends)])
    finally:
        point._data = data
    return [np.stack(column, 1) for column in zip(*columns)]


def _analytical_jacobian(output: Tensor, point: Tensor) -> np.ndarray:
    rows = []
    for i in range(output.numel()):
        one = np.zeros(output.shape, output.dtype)
        one.reshape(-1)[i] = 1
        (g,) = grad(output, point, wrap(one), retain_graph=True, allow_unused=True)
        rows.append(np.zeros(point.numel()) if g is None else np.array(g._data).reshape(-1))
    return np.stack(rows) if rows else np.zeros((0, point.numel()))


def gradcheck(func, inputs, *, eps: float = 1e-6, atol: float = 1e-7, rtol: float = 1e-5, raise_exception: bool = True) -> bool:
    """Whether the gradients of ``func`` agree with finite differences.

    Args:
        func: takes the inputs, returns a Tensor or several.
        inputs: a Tensor or a sequence; those that require gradients are checked, in float64.
        eps: the step of the differences.
        atol, rtol: agreement means ``|analytical - numerical| <= atol + rtol * |numerical|``.
        raise_exception: raise where they disagree, instead of returning False.

    Raises:
        DTypeError: for inputs that are not float64 (differences of float32 values have three digits).
        GraphError: where the gradients disagree (the message names the input, the element and both numbers), or where there is
            nothing to check.
    """
    inputs, checked = _points(inputs)
    with enable_grad():
        outputs = _outputs(func(*inputs))
        if not outputs:
            raise GraphError(
                "gradcheck needs a function with a floating-point result: it returned none; check what it computes"
            )
        for i in checked:
            numerical = numerical_jacobian(func, inputs, i, eps)
            for k, output in enumerate(outputs):
                if not inputs[i].numel():
                    continue
                exact = np.zeros((output.numel(), inputs[i].numel()))
                if output.requires_grad:
                    exact = _analytical_jacobian(output, inputs[i])
                wrong = ~(np.abs(exact - numerical[k]) <= atol + rtol * np.abs(numerical[k]))
                if wrong.any():
                    if not raise_exception:
                        return False
                    row, column = np.argwhere(wrong)[0]
                    raise GraphError(
                        f"the gradient is not the slope: d(output {k} element {row})/d(input {i} element {column}) is "
                        f"{exact[row, column]:.9g} by the rule and {numerical[k][row, column]:.9g} by finite differences; "
                        f"{wrong.sum()} of {wrong.size} entries disagree"
                    )
    return True


def gradgradcheck(
    func, inputs, *, eps: float = 1e-6, atol: float = 1e-6, rtol: float = 1e-5, raise_exception: bool = True
) -> bool:
    """Whether the second derivatives of ``func`` agree with finite differences of its first; as :func:`gradcheck`.

    The gradient is contracted with fixed random vectors, on both sides, and checked as a function of inputs and vectors.
    """
    inputs, checked = _points(inputs)
    rng = np.random.default_rng(0)
    with enable_grad():
        vectors = [wrap(rng.standard_normal(o.shape), requires_grad=True) for o in _outputs(func(*inputs))]

    def slope(*arguments):
        points, weights = arguments[: len(inputs)], arguments[len(inputs) :]
        outputs = [(o, w) for o, w in zip(_outputs(func(*points)), weights) if o.requires_grad]
        found = grad(
            [o for o, _ in outputs], [points[i] for i in checked], [w for _, w in outputs], create_graph=True, allow_unused=True
        )
        return tuple(points[i] * 0 if g is None else g for i, g in zip(checked, found))

    return gradcheck(slope, [*inputs, *vectors], eps=eps, atol=atol, rtol=rtol, raise_exception=raise_exception)
