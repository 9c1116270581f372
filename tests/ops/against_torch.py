"""The same expression in minigrad and in PyTorch: values, dtypes, shapes, gradients, and the kind of exception.

A case is the text of an expression, which is also the name of its test: ``lib`` is the library, the other names are the
tensors of the test's file.
"""

import warnings

import numpy as np
import pytest

import minigrad
from minigrad.errors import MinigradError


def torch():
    """PyTorch; a test that asks for it is skipped where it is not installed."""
    return pytest.importorskip("torch")


#: What the classes of minigrad's exceptions derive from, the most special first.
BUILTIN = (IndexError, TypeError, ValueError, NotImplementedError, RuntimeError)


def _leaves(value):
    if isinstance(value, (tuple, list)):
        return [leaf for part in value for leaf in _leaves(part)]
    return [value]


def _array(value):
    return value.detach().numpy() if hasattr(value, "detach") else value


def _is_float(array) -> bool:
    return np.asarray(array).dtype.kind == "f"


def evaluate(lib, expression: str, arrays: dict, grad: bool = True):
    """The results of an expression, and the gradients of a fixed mixture of them: two lists of arrays."""
    tensors = {name: lib.tensor(np.array(a)) for name, a in arrays.items()}
    inputs = [t for name, t in tensors.items() if grad and _is_float(arrays[name])]
    for t in inputs:
        t.requires_grad_()
    results = _leaves(eval(expression, {"lib": lib, "np": np, "inf": float("inf"), "nan": float("nan"), **tensors}))
    rng = np.random.default_rng(0)
    terms = []
    for result in results:
        if getattr(result, "requires_grad", False):
            weights = rng.standard_normal(tuple(result.shape)).astype(_array(result).dtype)
            terms.append((result * lib.tensor(weights)).sum())
    if terms:
        sum(terms[1:], terms[0]).backward()
    gradients = [np.zeros(t.shape, _array(t).dtype) if t.grad is None else _array(t.grad) for t in inputs]
    return [_array(r) for r in results], gradients if terms else []


def assert_same(expression: str, arrays: dict, grad: bool = True, tolerance: float = 1e-5) -> None:
    """Both libraries give the same for ``expression``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = evaluate(torch(), expression, arrays, grad)
    for what, theirs, ours in zip(("result", "gradient"), expected, evaluate(minigrad, expression, arrays, grad)):
        assert len(theirs) == len(ours)
        for i, (a, b) in enumerate(zip(theirs, ours)):
            if isinstance(a, np.ndarray):
                assert (a.dtype, a.shape) == (b.dtype, b.shape), f"{what} {i}"
            np.testing.assert_allclose(b, a, rtol=tolerance, atol=tolerance, err_msg=f"{what} {i}")


def assert_both_raise(expression: str, arrays: dict) -> None:
    """Both libraries refuse ``expression``, minigrad with an exception that code written for PyTorch catches."""
    with warnings.catch_warnings(), pytest.raises(BUILTIN) as theirs:
        warnings.simplefilter("ignore")
        evaluate(torch(), expression, arrays)
    with pytest.raises(MinigradError) as ours:
        evaluate(minigrad, expression, arrays)
    builtin = next(c for c in BUILTIN if isinstance(theirs.value, c))
    assert isinstance(ours.value, builtin), f"PyTorch raises {builtin.__name__}: {theirs.value}"
    assert len(str(ours.value).splitlines()) == 1


def table(text: str) -> list[str]:
    """The cases of a table: one expression per line."""
    return [line.strip() for line in text.strip().splitlines() if line.strip()]
