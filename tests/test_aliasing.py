"""Writes to values that the backward pass still needs are found out, however they were made; nothing else is."""

import gc

import numpy as np
import pytest

import minigrad as mg
from minigrad import aliasing
from minigrad.errors import GraphError


def leaf(*values):
    return mg.tensor(values, dtype="float64", requires_grad=True)


def through_setitem(x):
    x[0] = 7.0


def through_operator(x):
    x += 1


def through_copy(x):
    x.copy_(mg.zeros(*x.shape))


def through_detached_view(x):
    x.detach()[1:][0] = 7.0


def through_data(x):
    x.data[0] = 7.0


def through_numpy_slice(x):
    part = x.numpy()[:2][1:]
    part[:] = 7.0


def through_asarray(x):
    np.asarray(x)[...] *= 2


def through_from_numpy(x):
    mg.from_numpy(x.numpy())[0] = 7.0


def through_assignment(x):
    x.data = np.full(x.shape, 7.0)


def through_sorting(x):
    x.data.sort()  # the values stay, their places do not


WRITES = [
    through_setitem,
    through_operator,
    through_copy,
    through_detached_view,
    through_data,
    through_numpy_slice,
    through_asarray,
    through_from_numpy,
    through_assignment,
    through_sorting,
]


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("create_graph", [False, True])
def test_a_saved_value_that_was_written_to(write, create_graph):
    x = leaf(3.0, 2.0, 1.0)
    y = (x * x).sum()
    with mg.no_grad():
        write(x)
    with pytest.raises(GraphError, match=r"mul needs the value of 'b' .*changed in place.*\.clone\(\)"):
        y.backward(create_graph=create_graph)
    assert x.grad is None


@pytest.mark.parametrize("write", WRITES)
def test_a_saved_result_that_was_written_to(write):
    x = leaf(3.0, 2.0, 1.0)
    y = mg.exp(x)
    z = y.sum()
    with mg.no_grad():
        write(y)
    with pytest.raises(GraphError, match="exp needs the value of 'out'"):
        z.backward()


@pytest.mark.parametrize("write", [w for w in WRITES if w is not through_assignment])
def test_a_saved_view_whose_memory_was_written_to(write):
    x = leaf(3.0, 2.0, 1.0)
    y = (x.reshape(3, 1) * x.reshape(1, 3)).sum()
    with mg.no_grad():
        write(x)
    with pytest.raises(GraphError, match="mul needs"):
        y.backward()


@pytest.mark.parametrize("write", WRITES)
def test_writes_after_backward_and_before_forward_are_nobodys_business(write):
    x = leaf(3.0, 2.0, 1.0)
    for _ in range(3):
        x.grad = None
        y = (x * x).sum()
        y.backward()
        np.testing.assert_allclose(x.grad.numpy(), 2 * x.numpy())
        with mg.no_grad():
            write(x)


@pytest.mark.parametrize("write", WRITES)
def test_writes_to_values_that_no_rule_reads(write):
    x = leaf(3.0, 2.0, 1.0)
    y = x * 2
    z = (y + 1).sum()
    with mg.no_grad():
        write(x)
        write(y)
    z.backward()
    assert x.grad.tolist() == [2, 2, 2]


def test_writing_while_holding_the_array():
    x = leaf(1.0, 2.0)
    array = x.data
    array[0] = 5
    y = (x * x).sum()
    y.backward()
    assert x.grad.tolist() == [10, 4]
    y = (x * x).sum()
    array[0] = 6
    z = (x * x * x).sum()
    with pytest.raises(GraphError):
        y.backward()
    x.grad = None
    z.backward()
    assert x.grad.tolist() == [3 * 36, 12]


def test_one_write_between_two_recordings():
    x = leaf(1.0, 2.0)
    array = x.data
    early = mg.sin(x)
    array[0] = 5
    late = mg.cos(x)
    late.sum().backward()
    with pytest.raises(GraphError, match="sin needs"):
        early.sum().backward()


def test_a_write_that_is_taken_back_in_time():
    x = leaf(1.0, 2.0)
    y = (x * x).sum()
    x.data[0] = 5
    x.data[0] = 1
    with pytest.raises(GraphError):  # the first array was handed back changed: from then on the graph is doubtful
        y.backward()
    array = x.data
    y = (x * x).sum()
    array[0] = 5
    array[0] = 1
    y.backward()
    assert x.grad.tolist() == [2, 4]


def test_an_array_that_came_from_the_user():
    array = np.array([1.0, 2.0])
    x = mg.from_numpy(array).requires_grad_()
    y = (x * x).sum()
    array[0] = 7
    with pytest.raises(GraphError):
        y.backward()
    w = leaf(1.0, 2.0)
    w.data = array
    y = (w * w).sum()
    array[0] = 8
    with pytest.raises(GraphError):
        y.backward()


def test_an_operand_changed_in_place():
    x, w = leaf(1.0, 2.0), mg.tensor([3.0, 4.0], dtype="float64")
    y = (x * w).sum()
    w += 1
    with pytest.raises(GraphError, match="mul needs the value of 'b'"):
        y.backward()


def test_an_update_between_two_backward_passes():
    x = leaf(1.0, 2.0)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    with mg.no_grad():
        x -= 0.1
    with pytest.raises(GraphError, match="changed in place"):
        y.backward()


def test_the_arguments_of_a_fused_operation_matter_to_second_derivatives_only():
    def linear_sum():
        x = leaf(1.0, 2.0)
        bias = x * 1
        y = (mg.nn.functional.linear(mg.ones(3, 2, dtype="float64"), mg.eye(2, dtype="float64"), bias) ** 2).sum()
        with mg.no_grad():
            bias[0] = 5.0
        return x, y

    x, y = linear_sum()
    y.backward()  # reads no bias
    x, y = linear_sum()
    with pytest.raises(GraphError, match="linear needs"):
        mg.grad(y, x, create_graph=True)


def test_where_plain_rules_are_stated_they_alone_matter():
    x = leaf(1.0, 2.0)
    inner = x * 1
    y = (mg.softmax(inner, 0) * mg.tensor([1.0, 2.0])).sum()
    with mg.no_grad():
        inner[0] = 5.0
    (g,) = mg.grad(y, x, create_graph=True)  # reads the output, which is as it was
    assert mg.grad(g[0], x)[0].numpy().any()


def test_a_stale_view_is_refused():
    x = leaf(1.0, 2.0)
    base = x * 1
    view = base[:1]
    base[0] = 9.0
    with pytest.raises(GraphError, match="view made by getitem"):
        view * 2
    fresh = base[:1] * 2
    fresh.sum().backward()


# -- what it costs ------------------------------------------------------------------------------------------------------


def test_a_loan_ends_with_the_last_view():
    x = leaf(1.0, 2.0, 3.0)
    array = x.data
    part = array[1:][:1].T
    del array
    assert len(aliasing.lent) == 1
    del part
    assert not aliasing.lent


def test_tables_forget_what_is_gone():
    gc.collect()
    written = len(aliasing.written)
    x = leaf(1.0, 2.0)
    with mg.no_grad():
        x += 1
    y = mg.from_numpy(np.ones(3))
    assert len(aliasing.written) == written + 1 and len(aliasing.lent) == 1
    del x, y
    assert len(aliasing.written) == written and not aliasing.lent


@pytest.fixture
def checksums(monkeypatch):
    """How many arrays were read through for a checksum."""
    counted = []
    original = aliasing.checksum
    monkeypatch.setattr(aliasing, "checksum", lambda array: counted.append(array.size) or original(array))
    return counted


def test_looking_at_a_weight_costs_nothing_later(checksums):
    weight = mg.tensor(np.ones((50, 50)), requires_grad=True)
    weight.data[0, 0] = 2.0
    assert weight.numpy().max() == 2
    assert not checksums, "no graph needs the weight"
    for _ in range(3):
        (weight @ weight).sum().backward()
    assert not checksums


def test_a_weight_made_of_ones_own_array_costs_only_while_it_is_kept(checksums):
    array = np.ones((50, 50))
    weight = mg.tensor(0.0, requires_grad=True)
    weight.data = array
    (weight @ weight).sum().backward()
    kept = len(checksums)
    assert kept > 0
    del array
    (weight @ weight).sum().backward()
    after = len(checksums)
    for _ in range(3):
        (weight @ weight).sum().backward()
    assert len(checksums) == after and not aliasing.lent


def test_updates_by_hand_cost_nothing_later(checksums):
    weight = mg.tensor(np.ones(50), requires_grad=True)
    for _ in range(3):
        weight.grad = None
        (weight * weight).sum().backward()
        weight.data -= 0.1 * weight.grad.data
    assert not checksums


def test_data_handed_from_tensor_to_tensor_is_no_loan():
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    a.data = b.data
    assert not aliasing.lent and np.shares_memory(a.numpy(), b.numpy())
    a.data = b
    assert not aliasing.lent
