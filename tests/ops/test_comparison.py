"""Comparison and logic against PyTorch; how they broadcast and mix dtypes is tested with arithmetic."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import DTypeError
from tests.ops.against_torch import assert_both_raise, assert_same, table

rng = np.random.default_rng(0)
ARRAYS = {
    "x": rng.standard_normal((2, 3, 4)).astype(np.float32),
    "y": rng.standard_normal((2, 3, 4)).astype(np.float32),
    "v": rng.standard_normal(4).astype(np.float32),
    "i": np.array([7, -7, 5, 0]),
    "j": np.array([2, -2, 3, -3]),
    "b": np.array([True, False, True, False]),
    "edges": np.array([0.0, -0.0, 1.0, np.inf, -np.inf, np.nan], np.float32),
}

SAME = """
x == x.double()
lib.tensor([0.1]) == 0.1
lib.tensor([0.1]) == np.float64(0.1)
lib.tensor([0.1]) == lib.tensor(0.1, dtype=lib.float64)
lib.tensor([0.1]) == lib.tensor([0.1], dtype=lib.float64)
lib.tensor([2**24 + 1]) == lib.tensor([2.0**24])
i.floor_divide(np.float64(2))
lib.eq(input=x, other=v)
lib.ge(x, other=0.5)
x.ne(other=v)
lib.logical_and(input=i, other=b)
lib.logical_not(input=i)
lib.bitwise_xor(input=i, other=j)
lib.equal(x, x)
lib.equal(x, v)
x.equal(other=y)
lib.isclose(edges, edges, equal_nan=True)
lib.isclose(input=x, other=x + 1e-7, rtol=1e-6, atol=1e-6)
lib.allclose(x, x)
x.allclose(y, rtol=10, atol=10)
lib.allclose(edges, edges)
i.floor_divide(2)
i.bitwise_and(j)
"""

REFUSED = """
lib.eq(x, None)
lib.lt(x, [1, 2, 3, 4])
lib.logical_xor(x, None)
lib.floor_divide(x, None)
lib.bitwise_and(b, "a")
lib.logical_not("a")
lib.equal(x, [1.0])
lib.isclose(x, x.double())
lib.allclose(x, lib.ones(3))
lib.isclose(x, 1.0)
"""


@pytest.mark.parametrize("expression", table(SAME))
def test_same_as_torch(expression):
    assert_same(expression, ARRAYS, grad=False)


@pytest.mark.parametrize("expression", table(REFUSED))
def test_raises_where_torch_does(expression):
    assert_both_raise(expression, ARRAYS)


def test_equal_is_a_python_bool():
    assert mg.equal(mg.ones(2), mg.ones(2)) is True
    assert mg.allclose(mg.ones(2), mg.zeros(2)) is False


def test_a_list_is_no_operand():
    with pytest.raises(DTypeError, match=r"lt takes tensors, arrays and numbers: got a list; use minigrad\.tensor"):
        mg.lt(mg.ones(2), [1, 2])
