"""Tensor: construction, attributes, conversions both ways with NumPy, copies."""

import copy
import operator
import pickle

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import DTypeError, GraphError, ShapeError, UsageError

# -- making one ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (1.5, "float32"),
        (3, "int64"),
        (True, "bool"),
        ([1.0, 2.0], "float32"),
        ([1, 2.5], "float32"),
        ([[1, 2], [3, 4]], "int64"),
        ([True, False], "bool"),
        (np.zeros(3), "float64"),
        (np.float64(2), "float64"),
        (np.zeros(3, np.int32), "int32"),
        ([np.float64(1), np.float64(2)], "float64"),
        ([], "float32"),
        (range(3), "int64"),
    ],
)
def test_dtype_of_new_tensor(data, dtype):
    assert mg.tensor(data).dtype == np.dtype(dtype)


def test_attributes():
    x = mg.tensor([[1.0, 2.0, 3.0]], requires_grad=True)
    assert (x.shape, x.ndim, x.size(), x.size(1), x.numel(), x.dim(), len(x)) == ((1, 3), 2, (1, 3), 3, 3, 2, 1)
    assert x.requires_grad and x.is_leaf and x.grad is None and x.grad_fn is None
    y = x * 2
    assert y.requires_grad and not y.is_leaf and y.grad_fn.name == "mul"


def test_new_tensor_copies():
    array = np.zeros(3)
    x = mg.tensor(array)
    array[0] = 1
    assert x.tolist() == [0, 0, 0]


def test_dtype_argument():
    assert mg.tensor([1, 2], dtype=mg.float64).dtype == np.float64
    assert mg.tensor([1.9], dtype="int64").tolist() == [1]
    assert mg.tensor([1.0], dtype=float).dtype == np.float64  # as in PyTorch and NumPy


def test_nested_lists_of_tensors():
    assert mg.tensor([mg.tensor(1.0), mg.tensor(2.0)]).tolist() == [1, 2]


def test_big_endian_becomes_native():
    x = mg.tensor(np.arange(3, dtype=">f4"))
    assert x.dtype.isnative and x.tolist() == [0, 1, 2]


@pytest.mark.parametrize("data", [[[1, 2], [3]], [[1.0], 2.0]])
def test_ragged_rows(data):
    with pytest.raises(ShapeError, match="one length"):
        mg.tensor(data)


@pytest.mark.parametrize("data", ["text", None, {"a": 1}, 1j, np.array(["a"]), object()])
def test_not_numeric(data):
    with pytest.raises(DTypeError, match="numbers or booleans"):
        mg.tensor(data)


def test_unknown_dtype():
    with pytest.raises(DTypeError, match=r"minigrad\.float32"):
        mg.tensor(1.0, dtype="complex64")


@pytest.mark.parametrize("dtype", [mg.int64, mg.bool, mg.uint8])
def test_only_floats_require_gradients(dtype):
    with pytest.raises(DTypeError, match="floating-point"):
        mg.tensor([1, 0], dtype=dtype, requires_grad=True)
    with pytest.raises(DTypeError, match=r"\.float\(\)"):
        mg.tensor([1, 0], dtype=dtype).requires_grad_()


# -- values out ---------------------------------------------------------------------------------------------------------


def test_item_and_conversions():
    assert mg.tensor([[2.5]]).item() == 2.5 and isinstance(mg.tensor(2.5).item(), float)
    assert isinstance(mg.tensor(2).item(), int) and isinstance(mg.tensor(True).item(), bool)
    assert float(mg.tensor(2.5)) == 2.5 and int(mg.tensor(2.5)) == 2 and [5, 6, 7][mg.tensor(1)] == 6
    assert f"{mg.tensor(2.5):.2f}" == "2.50" and bool(mg.tensor(1.0)) and not mg.tensor(0.0)
    assert mg.tensor([[1.0, 2.0]]).tolist() == [[1.0, 2.0]]


def test_conversions_that_make_no_sense():
    with pytest.raises(ShapeError, match="one element"):
        mg.tensor([1.0, 2.0]).item()
    with pytest.raises(UsageError, match=r"\.any\(\) or \.all\(\)"):
        bool(mg.tensor([True, False]))
    with pytest.raises(DTypeError, match="dimensions"):
        len(mg.tensor(1.0))
    with pytest.raises(DTypeError, match="iterated"):
        iter(mg.tensor(1.0))
    with pytest.raises(DTypeError, match="index"):
        [1, 2][mg.tensor(1.0)]


def test_iteration_and_contains():
    x = mg.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert [row.tolist() for row in x] == [[1, 2], [3, 4]]
    assert 3 in x and 7 not in x


def test_equality_is_elementwise_and_hash_is_identity():
    x = mg.tensor([1.0, 2.0])
    assert (x == mg.tensor([1.0, 3.0])).tolist() == [True, False]
    assert (x == None) is False and (x != None) is True  # noqa: E711 - the operator is under test
    assert {x: 1}[x] == 1 and hash(x) != hash(x.clone())


def test_repr():
    assert repr(mg.tensor([1.0, 2.5])) == "tensor([1. , 2.5])"
    assert repr(mg.tensor([1, 2])) == "tensor([1, 2])"
    assert repr(mg.tensor(1.0, requires_grad=True)) == "tensor(1., requires_grad=True)"
    assert repr(mg.tensor([1.0], dtype="float64")) == "tensor([1.], dtype=float64)"
    assert "grad_fn=<tanh>" in repr(mg.tanh(mg.tensor([1.0], requires_grad=True)))
    assert "size=(0, 3)" in repr(mg.zeros(0, 3))
    lines = repr(mg.zeros(2, 2)).splitlines()
    assert len(lines) == 2 and lines[1].index("[") == lines[0].index("[") + 1
    assert len(repr(mg.zeros(100, 100))) < 1000


def test_repr_leaves_print_options_alone():
    before = np.get_printoptions()
    repr(mg.tensor([1.0]))
    assert np.get_printoptions() == before


# -- NumPy, both ways ---------------------------------------------------------------------------------------------------


def test_data_and_numpy_share_memory():
    x = mg.tensor([1.0, 2.0])
    x.data[0] = 7
    x.numpy()[1] = 8
    assert x.tolist() == [7, 8]
    assert type(x.numpy()) is np.ndarray and x.numpy().dtype is x.dtype
    assert np.shares_memory(np.asarray(x), x.numpy()) and np.shares_memory(mg.from_numpy(x.numpy()).numpy(), x.numpy())


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "uint8", "int16", "int32", "int64", "bool"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (2, 0, 3)])
def test_numpy_shows_the_same_array(dtype, shape):
    x = mg.zeros(*shape, dtype=dtype)
    array = x.numpy()
    assert (array.shape, array.dtype, array.flags.writeable) == (shape, np.dtype(dtype), True)


def test_numpy_of_views():
    x = mg.tensor(np.arange(12.0).reshape(3, 4))
    for y in (x.T, x[1:, ::2], x[0], x.expand(2, 3, 4)):
        assert np.array_equal(y.numpy(), y.tolist()) and np.shares_memory(y.numpy(), x.numpy())


def test_value_without_dimensions_can_be_written():
    x = mg.tensor([1.0, 2.0]).sum()
    x.data[...] = 5
    assert x.item() == 5


def test_assigning_data():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    array = np.array([3.0, 4.0], np.float32)
    x.data = array
    array[0] = 9
    assert x.tolist() == [9, 4] and x.requires_grad
    y = mg.tensor([5.0])
    x.data = y
    assert np.shares_memory(x.numpy(), y.numpy())
    x.data = [1.0, 2.0]
    assert x.dtype == np.float32
    with pytest.raises(DTypeError, match="floating-point"):
        x.data = np.array([1, 2])


def test_np_asarray_and_np_array():
    x = mg.tensor([1.0, 2.0])
    assert np.array(x).dtype == np.float32 and not np.shares_memory(np.array(x), x.numpy())
    assert np.asarray(x, np.float64).dtype == np.float64
    with pytest.raises(DTypeError, match="copy"):
        np.array(x, np.float64, copy=False)
    assert np.array(x, copy=False).dtype == np.float32


@pytest.mark.parametrize("combine", [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow, operator.matmul])
def test_array_with_tensor_is_a_tensor(combine, rng):
    array = rng.random((3, 3))
    x = mg.tensor(rng.random((3, 3)), requires_grad=True)
    for left, right in ((array, x), (x, array)):
        y = combine(left, right)
        assert isinstance(y, mg.Tensor) and y.requires_grad
        np.testing.assert_allclose(y.numpy(), combine(np.asarray(left), np.asarray(right)))


def test_numpy_scalar_with_tensor():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    for y in (np.float64(2) * x, x * np.float64(2), np.float32(2) * x, np.int64(2) * x, x * np.int64(2)):
        assert isinstance(y, mg.Tensor) and y.dtype == np.float32 and y.requires_grad and y.tolist() == [2, 4]
    assert (mg.tensor(2.0) * np.float64(2)).dtype == np.float32


def test_numpy_functions_are_recorded(rng):
    x = mg.tensor(rng.random((2, 3)), requires_grad=True)
    np.sum(np.exp(x)).backward()
    np.testing.assert_allclose(x.grad.numpy(), np.exp(x.numpy()))


def test_what_numpy_cannot_do_to_tensors():
    x = mg.tensor([1.0])
    with pytest.raises(DTypeError, match=r"numpy\.add\.reduce"):
        np.add.reduce(x)
    with pytest.raises(DTypeError, match=r"numpy\.partition"):
        np.partition(x, 0)


# -- no scalar widens -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scalar", [2, 2.5, True, 1e-8])
def test_python_scalars_never_widen(scalar):
    for dtype in ("float16", "float32", "float64"):
        for x in (mg.tensor([1.0, 2.0], dtype=dtype), mg.tensor(1.0, dtype=dtype)):
            for y in (x + scalar, x * scalar, scalar / x, x**scalar, mg.maximum(x, mg.tensor(scalar).to(dtype))):
                assert y.dtype == x.dtype


def test_gradients_keep_their_tensors_dtype():
    a = mg.tensor([1.0, 2.0], dtype="float32", requires_grad=True)
    b = mg.tensor([3.0, 4.0], dtype="float64", requires_grad=True)
    y = a * b
    assert y.dtype == np.float64
    y.sum().backward()
    assert a.grad.dtype == np.float32 and b.grad.dtype == np.float64
    assert a.grad.tolist() == [3, 4] and b.grad.tolist() == [1, 2]


# -- copies ---------------------------------------------------------------------------------------------------------------


def test_detach_shares_and_forgets():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    y = (x * 2).detach()
    assert not y.requires_grad and y.is_leaf
    assert np.shares_memory(x.detach().numpy(), x.numpy())


def test_clone_owns_its_memory_and_passes_gradients():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    y = x.clone()
    assert not np.shares_memory(x.numpy(), y.numpy())
    (y * 3).sum().backward()
    assert x.grad.tolist() == [3, 3]


def test_deepcopy_of_a_leaf():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    (x * 2).sum().backward()
    y = copy.deepcopy({"x": x, "again": x})
    assert y["x"] is y["again"] and y["x"] is not x
    assert y["x"].requires_grad and y["x"].grad.tolist() == [2, 2]
    assert not np.shares_memory(y["x"].numpy(), x.numpy()) and not np.shares_memory(y["x"].grad.numpy(), x.grad.numpy())


def test_deepcopy_of_a_result():
    with pytest.raises(GraphError, match=r"\.detach\(\)\.clone\(\)"):
        copy.deepcopy(mg.tensor([1.0], requires_grad=True) * 2)


def test_shallow_copy_shares():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    y = copy.copy(x)
    assert y is not x and y.requires_grad and np.shares_memory(x.numpy(), y.numpy())


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickling_is_refused_with_advice(protocol):
    with pytest.raises(DTypeError, match=r"numpy\.save"):
        pickle.dumps(mg.tensor([1.0]), protocol)


# -- switches on the tensor ---------------------------------------------------------------------------------------------


def test_requires_grad_switch():
    x = mg.tensor([1.0])
    assert x.requires_grad_() is x and x.requires_grad
    x.requires_grad = False
    assert not x.requires_grad
    y = mg.tensor([1.0], requires_grad=True) * 2
    with pytest.raises(GraphError, match="leaf"):
        y.requires_grad_(False)


def test_assigning_grad():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    x.grad = mg.tensor([5.0, 6.0])
    (x * 2).sum().backward()
    assert x.grad.tolist() == [7, 8]
    x.grad = None
    (x * 2).sum().backward()
    assert x.grad.tolist() == [2, 2]
    with pytest.raises(ShapeError, match="shape and dtype"):
        x.grad = mg.tensor([1.0])
    with pytest.raises(ShapeError, match="float64"):
        x.grad = mg.tensor([1.0, 2.0], dtype="float64")
    with pytest.raises(DTypeError, match=r"minigrad\.tensor"):
        x.grad = np.zeros(2)
