"""Indexing, index tensors and order, against PyTorch, NumPy and finite differences."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minigrad as mg
from minigrad.errors import DimensionError, DTypeError, ShapeError
from tests.ops.against_torch import assert_both_raise, assert_same, table

rng = np.random.default_rng(1)
ARRAYS = {
    "x": rng.standard_normal((2, 3, 4)).astype(np.float32),
    "m": rng.standard_normal((3, 4)).astype(np.float32),
    "v": rng.standard_normal(4).astype(np.float32),
    "s": np.array(3, np.float32),
    "e": np.zeros((2, 0, 3), np.float32),
    "i": np.array([0, 0, 1]),
    "n": np.array([-1, -1, 0]),
    "mask": np.array([[True, False, True, False], [False, True, True, False], [False] * 4]),
    "idx": np.array([[0, 1, 0], [1, 1, 0]]),
    "wide": np.array([[0, 1, 0, 2], [1, 1, 0, 0], [2, 0, 1, 1]]),
}

SAME = """
m[i]
m[n]
m[i, n]
m[i, :2]
m[:, i]
m[mask]
m[mask[:, 0]]
m[:, mask[0]]
m[mask[:, 0], 1:]
m[mask.any(1)]
x[0, mask]
x[:, mask]
x[..., mask[0]]
x[idx]
x[idx[:, :2]]
x[:, i, :]
x[:, :, i]
x[0, :, i]
x[:, i, :, None][..., 0]
x[:, 0, i]
x[i, 0]
x[i[:2], :, 0]
x[0, ..., i]
x[None, 0, :, i]
x[0, None, :, i]
x[0, :, mask[0]]
x[-1, :, n]
x[i[:2], :, i[:2]]
x[:, i, i]
x[i[:2], None, :, i[:2]]
x[..., i]
x[None]
x[..., None]
x[:, None, i]
x[0]
x[-1, -1, -1]
x[0, ..., 0]
x[::2, ::2]
x[:, 1:3, ::3]
x[:, 5:]
x[1:1]
x[[0, 1]]
x[[0, 1], [1, 2]]
x[[True, False]]
x[[]]
x[()]
x[...]
x[True]
x[False]
x[lib.tensor(1)]
x[lib.tensor([1])]
x[0, :, lib.tensor(1)]
x[lib.tensor(0), :, i]
s[()]
s[...]
s[None]
s[True]
e[:, :, 0]
e[i[:2]]
m[lib.tensor([[0, 1], [2, 2]])]
m[lib.tensor([[0, 1], [2, 2]]), lib.tensor([0, 1])]
m[lib.tensor([[0, 1], [2, 2]]), 1:]
m[1:, lib.tensor([[0, 1], [2, 2]])]
m[lib.tensor([0, 1]).to(lib.int32)]
m[slice(0, 2)]
m[0][1]
m[range(2)]
m[0:lib.tensor(2)]
i[mask[:, 0]]
m.select(0, 1)
m.select(-1, -1)
lib.select(m, dim=1, index=2)
lib.gather(m, 0, idx)
lib.gather(m, dim=1, index=idx)
m.gather(-1, idx)
s.gather(0, lib.tensor(0))
e.gather(1, lib.zeros(2, 0, 2, dtype=lib.int64))
m.gather(1, lib.zeros(3, 9, dtype=lib.int64))
x.gather(1, lib.zeros(2, 5, 4, dtype=lib.int64) + 2)
m.scatter_add(0, wide, 2 * m)
m.scatter_add(1, wide, 2 * m)
m.scatter_add(dim=-1, index=wide, src=m * m)
lib.scatter_add(m, 1, lib.zeros(3, 4, dtype=lib.int64), m)
s.scatter_add(0, lib.tensor(0), s)
m.index_select(0, i)
m.index_select(1, i)
lib.index_select(m, dim=-1, index=i)
m.index_select(0, lib.tensor(1))
s.index_select(0, lib.tensor([0]))
m.index_select(0, i.to(lib.int32))
e.index_select(1, lib.zeros(0, dtype=lib.int64))
lib.take_along_dim(m, wide, 1)
lib.take_along_dim(m, wide[:, :1], 1)
lib.take_along_dim(m, lib.argsort(m, 1), 1)
lib.take_along_dim(m, lib.tensor([5, 0]))
lib.take_along_dim(m, lib.tensor([[5, 0]]))
lib.take_along_dim(m, lib.tensor([[1], [0], [2]]), dim=1)
lib.take_along_dim(m[:1], lib.tensor([[1], [0], [2]]), dim=1)
lib.take_along_dim(x, wide[None], dim=2)
m.masked_select(mask)
lib.masked_select(m, mask[0])
lib.masked_select(v, mask)
s.masked_select(lib.tensor(True))
m.sort()
m.sort(0)
m.sort(dim=0, descending=True)
lib.sort(m, 0, True)
lib.sort(m, stable=True, dim=1)
i.sort(stable=True)
i.sort(descending=True, stable=True)
s.sort()
s.sort(0)
e.sort(1)
lib.argsort(m, 1, True)
m.argsort(dim=0, descending=True)
i.argsort(stable=True)
s.argsort()
m.topk(2)
m.topk(2, 0)
m.topk(2, dim=0, largest=False)
m.topk(0)
lib.topk(m, k=1, dim=-1, sorted=True)
s.topk(1)
x.topk(2, 1, False)
lib.unique(i)
i.unique(return_inverse=True)
i.unique(return_inverse=True, return_counts=True)
i.unique(return_counts=True)
idx.unique(return_inverse=True)
idx.unique(dim=1)
idx.unique(dim=0, return_counts=True, return_inverse=True)
lib.unique(m.detach())
lib.nonzero(mask)
mask.nonzero()
lib.nonzero(mask, as_tuple=True)
lib.nonzero(s.detach())
lib.where(mask)
"""

BOTH_RAISE = """
lib.tensor([1.0])["a"]
lib.gather([1.0], 0, lib.tensor([0]))
lib.masked_select(lib.ones(1), [True])
lib.ones(1).scatter_add(0, lib.tensor([0]), 2.0)
x[5]
x[-3]
x[0, 0, 0, 0]
x[i + 5]
x[1.0]
x[m]
x[[0, 1], [0, 1, 2]]
x[mask]
m[mask[:2]]
m[:, mask]
s[0]
e[:, 0]
e[0, i]
m.select(0, 5)
m.select(2, 0)
s.select(0, 0)
lib.gather(m, 1, idx - 1)
lib.gather(m, 1, idx + 4)
m.gather(0, i)
m.gather(2, idx)
m.gather(0, m)
m.gather(1, lib.zeros(4, 2, dtype=lib.int64))
m.scatter_add(1, idx + 3, m)
m.scatter_add(0, idx, m.double())
m.scatter_add(1, wide, m[:2])
m.index_select(0, n)
m.index_select(0, i + 3)
m.index_select(0, idx)
m.index_select(0, v)
m.index_select(3, i)
lib.take_along_dim(m, idx, 1)
m.take_along_dim(i, 0)
lib.masked_select(m, m)
lib.masked_select(m, mask[:, :3])
m.topk(5)
m.topk(-1)
m.topk(2, 5)
m.sort(2)
"""


@pytest.mark.parametrize("expression", table(SAME))
def test_same_as_torch(expression):
    assert_same(expression, ARRAYS)


@pytest.mark.parametrize("expression", table(BOTH_RAISE))
def test_raises_where_torch_does(expression):
    assert_both_raise(expression, ARRAYS)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("index", [[0, 0, 1], [-1, -1, 0], [[0, 1], [1, 1]], [-1, 2]])
@pytest.mark.parametrize("width", [1, 5])
def test_gradients_of_an_element_chosen_twice_add_up(index, width, dtype):
    x = mg.tensor(np.ones((3, width), dtype), requires_grad=True)
    x[index].sum().backward()
    counts = np.bincount(np.asarray(index).ravel() % 3, minlength=3)
    np.testing.assert_array_equal(x.grad.numpy(), np.repeat(counts[:, None], width, 1))
    assert x.grad.dtype == dtype


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x[[0, 0, 1]],
        lambda x: x[[-1, -1], :, [0, 0]],
        lambda x: x[0, :, [1, 1, 2]],
        lambda x: x[:, [[0, 1], [1, 1]]],
        lambda x: x[x.detach() > 0],
        lambda x: x[:, None, ::2, -1],
        lambda x: x.gather(2, mg.tensor([[[0, 0], [1, 1], [3, 0]]])),
        lambda x: x.scatter_add(1, mg.tensor([[[0, 0], [0, 1]]]), x * x),
        lambda x: x.take_along_dim(mg.tensor([[[0, 0]]]), 2),
        lambda x: x.masked_select(x.detach() < 0.5),
        lambda x: x.index_select(-1, mg.tensor([3, 3, 0])),
        lambda x: x.sort(1).values,
        lambda x: x.topk(2, largest=False).values,
    ],
)
def test_first_and_second_derivatives(function):
    x = mg.tensor(ARRAYS["x"].astype(np.float64), requires_grad=True)
    assert mg.gradcheck(lambda x: function(x * x), x)
    assert mg.gradgradcheck(lambda x: function(x * x), x)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_basic_index_as_numpy(data):
    shape = tuple(data.draw(st.lists(st.integers(0, 4), max_size=4)))
    index = data.draw(hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True))
    _check_against_numpy(shape, index)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_integer_array_index_as_numpy(data):
    shape = tuple(data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)))
    index = data.draw(
        hnp.integer_array_indices(shape, result_shape=hnp.array_shapes(min_dims=1, max_dims=2, min_side=0, max_side=3))
    )
    _check_against_numpy(shape, index)


def _check_against_numpy(shape, index):
    values = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
    x = mg.tensor(values, requires_grad=True)
    y = x[index]
    np.testing.assert_array_equal(y.detach().numpy(), values[index])
    weights = np.arange(1.0, values[index].size + 1).reshape(values[index].shape)
    y.backward(mg.tensor(weights))
    expected = np.zeros(shape)
    np.add.at(expected, index, weights)
    np.testing.assert_array_equal(x.grad.numpy(), expected)


some_numbers = st.sampled_from([-1.0, 0.0, 0.5, 2.0, 3.0, np.inf, -np.inf, np.nan])


@settings(max_examples=150, deadline=None)
@given(hnp.arrays(np.float64, hnp.array_shapes(max_dims=3, max_side=9), elements=some_numbers), st.data())
def test_topk_is_the_head_of_sort(values, data):
    dim = data.draw(st.integers(-values.ndim, values.ndim - 1))
    largest = data.draw(st.booleans())
    k = data.draw(st.integers(0, values.shape[dim]))
    x = mg.tensor(values)
    top = x.topk(k, dim, largest)
    ordered = x.sort(dim, descending=largest)
    np.testing.assert_array_equal(top.values.numpy(), ordered.values.narrow(dim, 0, k).numpy())
    np.testing.assert_array_equal(top.indices.numpy(), ordered.indices.narrow(dim, 0, k).numpy())
    np.testing.assert_array_equal(x.take_along_dim(top.indices, dim).numpy(), top.values.numpy())


@pytest.mark.parametrize(
    "choose",
    [
        lambda x, i: x[i],
        lambda x, i: x[i, 0],
        lambda x, i: x[i.numpy()],
        lambda x, i: x.index_select(0, i),
        lambda x, i: x.gather(0, i.reshape(2, 1)),
    ],
)
def test_the_index_of_the_forward_pass_counts(choose):
    x = mg.ones(3, 2, requires_grad=True)
    i = mg.tensor([0, 1])
    y = choose(x, i)
    i += 1
    y.sum().backward()
    assert x.grad[2].tolist() == [0.0, 0.0] and x.grad[0, 0].item() == 1.0


def test_nan_counts_as_the_largest():
    x = mg.tensor([1.0, float("nan"), 3.0, 2.0, 0.0, 5.0, 4.0, -1.0, 7.0])
    assert x.sort().indices.tolist()[-1] == 1
    assert x.sort(descending=True).indices.tolist()[0] == 1
    assert x.topk(1).indices.tolist() == [1]


def test_equal_values_keep_their_order():
    x = mg.tensor([1.0, 0.0, 1.0, 0.0])
    assert x.sort().indices.tolist() == [1, 3, 0, 2]
    assert x.sort(descending=True).indices.tolist() == [0, 2, 1, 3]


def test_slices_may_step_backwards():
    x = mg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = x[::-1]
    assert y.tolist() == [3.0, 2.0, 1.0]
    y.backward(mg.tensor([1.0, 2.0, 3.0]))
    assert x.grad.tolist() == [3.0, 2.0, 1.0]


def test_basic_indices_give_views_and_arrays_give_copies():
    x = mg.zeros(2, 3)
    x[0].fill_(1)
    x[:, [2]].fill_(5)
    assert x.tolist() == [[1.0] * 3, [0.0] * 3]


def test_iteration_and_unpacking():
    a, b = mg.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert (a.tolist(), b.tolist()) == ([1.0, 2.0], [3.0, 4.0])


def test_errors_say_what_came_in():
    x = mg.ones(2, 3)
    with pytest.raises(DimensionError, match=r"shape \(2, 3\) by \[:, 7\].*size 3"):
        x[:, 7]
    with pytest.raises(DTypeError, match="by position, not by name: got 'a'"):
        x["a"]
    with pytest.raises(DimensionError, match=r"no elements.*item\(\)"):
        x.sum()[0]
    with pytest.raises(DTypeError, match="integer index tensor: got float32"):
        x.gather(0, x)
    with pytest.raises(ShapeError, match="broadcast"):
        x.masked_select(mg.tensor([True, False]))


@pytest.mark.parametrize("order", ["parts first", "whole first", "whole between"])
def test_gradients_of_parts_and_of_the_whole_add_up(order):
    rng = np.random.default_rng(0)
    x = mg.tensor(rng.normal(size=(4, 3)), requires_grad=True)
    w = rng.normal(size=(4, 3))
    parts = [lambda: (x[0] * w[0]).sum(), lambda: (x[1:3] * w[1:3]).sum(), lambda: (x[[0, 0, 3]] * w[:3]).sum()]
    whole = [lambda: (x * w).sum()]
    terms = {"parts first": parts + whole, "whole first": whole + parts, "whole between": parts[:1] + whole + parts[1:]}[order]
    sum(term() for term in terms).backward()
    expected = np.array(w)
    expected[0] += w[0]
    expected[1:3] += w[1:3]
    np.add.at(expected, [0, 0, 3], w[:3])
    assert np.allclose(x.grad.numpy(), expected, atol=1e-12)


def test_reading_a_sequence_step_by_step_makes_no_array_of_its_length_for_each_step():
    import tracemalloc

    x = mg.zeros(400, 1000, requires_grad=True)
    y = x * 1.0
    total = sum((y[t] * 2).sum() for t in range(400))
    tracemalloc.start()
    total.backward()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * x.numpy().nbytes
    assert (x.grad.numpy() == 2).all()
