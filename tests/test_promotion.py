"""The dtype of every result is PyTorch's: for each pair of dtypes, of tensors with and without dimensions and of numbers."""

from itertools import product

import numpy as np
import pytest

import minigrad as mg
from minigrad.promotion import promote_types, result_type, scalar_dtype

DTYPES = ["bool", "uint8", "int32", "int64", "float32", "float64"]
TENSORS = [(dtype, shape) for dtype in DTYPES for shape in [(3,), ()]]
NUMBERS = [True, 2, 2.5]
PAIRS = [(a, b) for a, b in product(TENSORS + NUMBERS, TENSORS + NUMBERS) if isinstance(a, tuple) or isinstance(b, tuple)]

FUNCTIONS = {
    "+": lambda library, a, b: a + b,
    "-": lambda library, a, b: a - b,
    "*": lambda library, a, b: a * b,
    "/": lambda library, a, b: a / b,
    "//": lambda library, a, b: a // b,
    "%": lambda library, a, b: a % b,
    "**": lambda library, a, b: a**b,
    "==": lambda library, a, b: a == b,
    "<": lambda library, a, b: a < b,
    "&": lambda library, a, b: a & b,
    "|": lambda library, a, b: a | b,
    "where": lambda library, a, b: library.where(library.tensor([True, False, True]), a, b),
}
TENSORS_ONLY = {name: lambda library, a, b, name=name: getattr(library, name)(a, b) for name in ["maximum", "minimum", "atan2"]}


def operand(library, kind, seed):
    if not isinstance(kind, tuple):
        return kind
    dtype, shape = kind
    values = np.random.default_rng(seed).integers(1, 4, (3,)).astype(dtype)  # no zeros: dividing by them has its own tests
    return library.tensor(values if shape else values[0].reshape(()))


def answer(library, function, a, b):
    try:
        result = function(library, operand(library, a, 0), operand(library, b, 1))
    except (RuntimeError, TypeError) as error:
        return error
    return np.asarray(result.numpy())


def disagreements(torch, function, pairs):
    for a, b in pairs:
        theirs, ours = answer(torch, function, a, b), answer(mg, function, a, b)
        if isinstance(theirs, Exception) or isinstance(ours, Exception):
            agree = isinstance(theirs, Exception) and isinstance(ours, Exception)
        else:
            agree = theirs.dtype == ours.dtype and np.allclose(theirs, ours, rtol=1e-6, equal_nan=True)
        if not agree:
            yield f"{a} {b}: PyTorch gives {theirs!r}, minigrad {ours!r}"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_as_torch(name):
    torch = pytest.importorskip("torch")
    # PyTorch has bool ** True, though not bool ** bool.
    pairs = [(a, b) for a, b in PAIRS if not (name == "**" and b is True and a[0] == "bool")]
    assert list(disagreements(torch, FUNCTIONS[name], pairs)) == []


@pytest.mark.parametrize("name", TENSORS_ONLY)
def test_as_torch_between_tensors(name):
    torch = pytest.importorskip("torch")
    assert list(disagreements(torch, TENSORS_ONLY[name], product(TENSORS, TENSORS))) == []


def test_promote_types_as_torch():
    torch = pytest.importorskip("torch")
    for a, b in product(DTYPES, DTYPES):
        expected = str(torch.promote_types(getattr(torch, a), getattr(torch, b))).removeprefix("torch.")
        assert promote_types(np.dtype(a), np.dtype(b)) == expected, (a, b)


@pytest.mark.parametrize("number", [2.5, np.float64(2.5), np.float32(2.5), 2, np.int64(2), True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numbers_never_widen_a_floating_tensor(dtype, number):
    x = mg.ones(3, dtype=dtype)
    for result in (x + number, number + x, x * number, number - x if number is not True else x, x / number, x**number):
        assert result.dtype == dtype


def test_a_tensor_without_dimensions_counts_less_than_one_with():
    assert (mg.ones(3) * mg.tensor(2.0, dtype=mg.float64)).dtype == mg.float32
    assert (mg.ones(3, dtype=mg.int64) * mg.tensor(2.0, dtype=mg.float64)).dtype == mg.float64


def test_numpy_scalars_are_numbers():
    assert (mg.ones(3).sum() * np.float64(2)).dtype == mg.float32
    assert (mg.ones(3, dtype=mg.int64) * np.float64(2)).dtype == mg.float32


def test_arrays_count_as_tensors():
    assert (mg.ones(3) * np.ones(3)).dtype == mg.float64
    assert (np.ones(3) * mg.ones(3)).dtype == mg.float64
    assert isinstance(np.ones(3) * mg.ones(3), mg.Tensor)


def test_gradients_come_back_in_the_dtype_of_their_input():
    a = mg.tensor([1.0, 2.0], requires_grad=True)
    b = mg.tensor([3.0, 4.0], dtype=mg.float64, requires_grad=True)
    result = (a * b + a.double()).sum()
    assert result.dtype == mg.float64
    result.backward()
    assert (a.grad.dtype, b.grad.dtype) == (mg.float32, mg.float64)
    assert a.grad.tolist() == [4, 5] and b.grad.tolist() == [1, 2]


def test_rules_state_no_operand():
    assert result_type(np.ones(2, np.int32), 2.5) == np.float32
    assert [scalar_dtype(x) for x in (True, 3, 2.5)] == [np.bool_, np.int64, np.float32]
    with pytest.raises(AssertionError, match="at least one operand"):
        result_type()
