"""Writing in place: the operations with an underscore, and what the tape says to writes that it must not miss."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad.errors import DTypeError, GraphError, ShapeError
from tests.ops.against_torch import assert_same, table

# -- operations in place ------------------------------------------------------------------------------------------------

ARRAYS = {"x": np.array([1.0, -2.0, 3.0], np.float32), "w": np.array([0.5, 2.0, -1.0], np.float32)}

IN_PLACE = """
(x * 1).masked_fill_(w > 0, 5.0)
(x * 1).masked_fill_(mask=w > 0, value=0)
(x * 1).pow_(2)
(x * 1).pow_(exponent=3)
(x * 1).add_(w)
(x * 1).add_(w, alpha=2)
(x * 1).sub_(w, alpha=2)
(x * 1).mul_(w)
(x * 1).div_(w)
(x * 2).mul_(x * 1)
(x * 1).copy_(w)
(x * 1).fill_(2.0)
(x * 1).zero_()
(x * 1).clamp_(-1, 2)
(x * 1).mul_(w).mul_(w).add_(x)
x.detach().clone().mul_(w)
(x * 1).add_(w.double())
"""


@pytest.mark.parametrize("expression", table(IN_PLACE))
def test_in_place_as_torch(expression):
    assert_same(expression, ARRAYS)


def test_augmented_assignment_keeps_the_tensor_and_its_memory():
    x = mg.ones(3)
    y, alias = x, x.detach()
    x += 1
    x *= 3
    x -= 2
    x /= 4
    assert y is x and alias.tolist() == [1.0, 1.0, 1.0]


def test_in_place_keeps_shape_and_dtype():
    with pytest.raises(ShapeError, match=r"keeps the shape \(3,\)"):
        mg.ones(3).add_(mg.ones(2, 3))
    with pytest.raises(DTypeError, match="keeps the dtype int64"):
        mg.arange(3).add_(0.5)
    assert mg.zeros(2, dtype="uint8").add_(mg.ones(2, dtype="int64")).dtype == np.uint8


# -- what is refused at once --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("write", [lambda x: x.add_(1), lambda x: x.zero_(), lambda x: x.__setitem__(0, 9.0)])
def test_a_leaf_that_requires_gradients_is_written_to_under_no_grad_only(write):
    x = mg.ones(3, requires_grad=True)
    with pytest.raises(GraphError, match="leaf"):
        write(x)
    assert x.tolist() == [1.0, 1.0, 1.0]
    with mg.no_grad():
        write(x)
    assert x.is_leaf and x.requires_grad and x.tolist() != [1.0, 1.0, 1.0]


def test_a_view_is_not_written_to_while_recording():
    x = mg.ones(2, 3, requires_grad=True)
    y = x * 1
    with pytest.raises(GraphError, match="view"):
        y[0].mul_(2)
    with pytest.raises(GraphError, match="view"):
        y.T[0] = 5.0
    buffer = mg.zeros(2, 3)
    row = buffer[0]
    with pytest.raises(GraphError, match="view"):
        row[0] = x.sum()
    with mg.no_grad():
        x[0].mul_(2)
    assert x.tolist() == [[2.0] * 3, [1.0] * 3]


@pytest.mark.parametrize("alias", [lambda x: x[0], lambda x: x.reshape(-1), lambda x: x.detach()])
def test_a_constant_that_others_show_does_not_get_a_history(alias):
    buffer = mg.zeros(2, 3)
    other = alias(buffer)
    with pytest.raises(GraphError, match="would not notice"):
        buffer[0] = mg.ones(3, requires_grad=True)
    assert not other.any()
    del other
    buffer[0] = mg.ones(3, requires_grad=True)
    assert buffer.requires_grad


def test_expanded_memory_is_not_written_to():
    x = mg.ones(3).expand(2, 3)
    with pytest.raises(GraphError, match="clone"):
        x += 1
    with pytest.raises(GraphError, match="clone"):
        x[0] = 1


# -- writes that the tape must notice -----------------------------------------------------------------------------------

BREAKING = {
    "setitem": lambda t: t.__setitem__(0, 9.0),
    "add_": lambda t: t.add_(1),
    "zero_": lambda t: t.zero_(),
    "data": lambda t: t.data.__setitem__(0, 9.0),
    "numpy": lambda t: t.numpy().__setitem__(0, 9.0),
    "asarray": lambda t: np.asarray(t).__setitem__(0, 9.0),
    "detach": lambda t: t.detach().__setitem__(0, 9.0),
    "view": lambda t: t.detach()[1:].zero_(),
}


@pytest.mark.parametrize("way", BREAKING)
@pytest.mark.parametrize(
    ("operation", "function", "output"),
    [
        ("mul", lambda a, b: a * b, False),
        ("matmul", lambda a, b: a @ b, False),
        ("exp", lambda a, b: mg.exp(a), True),
        ("softmax", lambda a, b: mg.softmax(a, 0), True),
    ],
)
def test_a_value_that_is_still_needed_was_changed(operation, function, output, way):
    a = mg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    b = mg.tensor([4.0, 5.0, 6.0], requires_grad=True)
    y = function(a, b)
    with mg.no_grad():
        BREAKING[way](y if output else a)
    with pytest.raises(GraphError, match=rf"{operation} needs the value of .* changed in place"):
        y.backward(mg.ones(y.shape))


@pytest.mark.parametrize("when", ["before", "between"])
def test_an_array_handed_out_earlier_is_watched(when):
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    held = x.numpy()
    y = x * x
    if when == "before":
        held[0] = 5.0
        with pytest.raises(GraphError, match="mul"):
            y.sum().backward()
    else:
        y.sum().backward()
        held[0] = 5.0
        (x * x).sum().backward()
        assert x.grad.tolist() == [12.0, 8.0]


def test_an_array_brought_in_is_watched():
    source = np.array([1.0, 2.0], np.float32)
    x = mg.from_numpy(source)
    w = mg.ones(2, requires_grad=True)
    y = (w * x).sum()
    source[0] = 7.0
    with pytest.raises(GraphError, match="mul"):
        y.backward()


def test_a_view_taken_before_the_write_is_stale():
    x = mg.ones(3, requires_grad=True)
    y = x * 1
    view = y[:2]
    y[0] = 5.0
    with pytest.raises(GraphError, match="take the view again"):
        view * 2


def test_a_view_sees_a_write_that_is_not_recorded():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    y = x * 3
    view = y[:1]
    with mg.no_grad():
        y[0] = 9.0
    z = (view * 2).sum()
    assert z.item() == 18.0
    z.backward()
    assert x.grad.tolist() == [6.0, 0.0]


# -- writes that do no harm ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", BREAKING)
def test_operands_that_no_rule_reads_may_change(way):
    a = mg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    b = mg.tensor([4.0, 5.0, 6.0])
    y = (a + b) - b
    with mg.no_grad():
        BREAKING[way](b)
        BREAKING[way](a)
    y.sum().backward()
    assert a.grad.tolist() == [1.0, 1.0, 1.0]


def test_after_backward_everything_may_change():
    w = mg.ones(3, requires_grad=True)
    for _ in range(3):
        (w * w).sum().backward()
        w.data[0] += 1
        with mg.no_grad():
            w.mul_(2)
            w.grad.zero_()
    assert w.grad.tolist() == [0.0] * 3


def test_in_place_in_the_middle_of_a_graph():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    y = x + 1
    y *= x
    y += y
    y.sum().backward()
    assert x.grad.tolist() == [6.0, 10.0]  # d 2x(x + 1) = 4x + 2


def test_multiplying_in_place_keeps_the_old_value_for_the_other_factor():
    x = mg.tensor([2.0], requires_grad=True)
    w = mg.tensor([3.0], requires_grad=True)
    y = x * 1
    y *= w
    y.sum().backward()
    assert (x.grad.tolist(), w.grad.tolist()) == ([3.0], [2.0])


@pytest.mark.parametrize("style", ["no_grad", "data", "data_array"])
def test_training_loops_of_many_steps(style):
    w = mg.tensor([5.0, -3.0], requires_grad=True)
    for _ in range(200):
        ((w - 1) * (w - 1)).sum().backward()
        if style == "no_grad":
            with mg.no_grad():
                w -= 0.1 * w.grad
                w.grad.zero_()
        elif style == "data":
            w.data -= 0.1 * w.grad.data
            w.grad = None
        else:
            array = w.data
            array -= 0.1 * w.grad.numpy()
            w.grad = None
    np.testing.assert_allclose(w.detach().numpy(), [1.0, 1.0], atol=1e-5)
    assert w.is_leaf and w.requires_grad


def test_replacing_the_data_of_a_leaf():
    w = mg.ones(2, requires_grad=True)
    w.data = np.array([3.0, 4.0], np.float32)
    (w * w).sum().backward()
    assert w.grad.tolist() == [6.0, 8.0]


def test_gradients_share_no_memory():
    a, b = mg.ones(3, requires_grad=True), mg.ones(3, requires_grad=True)
    seed = mg.ones(3)
    for create_graph in (False, True):
        a.grad = b.grad = None
        (a + b).backward(seed, create_graph=create_graph)
        arrays = [t.detach().numpy() for t in (a.grad, b.grad, seed)]
        assert not any(np.shares_memory(arrays[i], arrays[j]) for i, j in [(0, 1), (0, 2), (1, 2)])
        with mg.no_grad():
            a.grad.zero_()
        assert b.grad.tolist() == seed.tolist() == [1.0] * 3


# -- any program --------------------------------------------------------------------------------------------------------

#: What a step does with the list of tensors so far: two of them, t and u, and a row number.
STEPS = {
    "mul": lambda live, t, u, row: live.append(t * u),
    "add": lambda live, t, u, row: live.append(t + u),
    "tanh": lambda live, t, u, row: live.append(t.tanh()),
    "exp": lambda live, t, u, row: live.append((t * 0.1).exp()),
    "row": lambda live, t, u, row: live.append(t[row].expand(2, 3) * 1),
    "reshape": lambda live, t, u, row: live.append(t.reshape(3, 2).reshape(2, 3)),
    "join": lambda live, t, u, row: live.append(mg.cat([t, u])[row : row + 2]),
    "set row": lambda live, t, u, row: t.__setitem__(row, u[1 - row]),
    "set number": lambda live, t, u, row: t.__setitem__((row, 0), 2.0),
    "set places": lambda live, t, u, row: t.__setitem__(([0, 1], [1, row]), u[:, 0]),
    "add_": lambda live, t, u, row: t.add_(u),
    "sub_": lambda live, t, u, row: t.sub_(u),
    "mul_": lambda live, t, u, row: t.mul_(u),
}
steps = st.lists(st.tuples(st.sampled_from(sorted(STEPS)), st.integers(0, 9), st.integers(0, 9), st.integers(0, 1)), max_size=7)


def _run(program, values):
    x = mg.tensor(values, requires_grad=True)
    live = [x * 1, x * x, mg.tensor([[1.5, 0.5, -1.0], [0.75, 1.0, 0.5]], dtype="float64")]
    for step, a, b, row in program:
        STEPS[step](live, live[a % len(live)], live[b % len(live)], row)
    return x, sum(((t * t).tanh().sum() for t in live), mg.tensor(0.0, dtype="float64"))


@settings(max_examples=200, deadline=None)
@given(steps)
def test_any_program_has_the_right_gradient_or_none(program):
    values = np.array([[0.5, -1.0, 0.75], [0.25, 1.0, -0.5]])
    direction = np.array([[0.3, -0.2, 0.5], [-0.7, 0.4, 0.1]])
    try:
        x, y = _run(program, values)
        y.backward()
    except GraphError:
        return  # refusing is right; what must not happen is a wrong number
    ends = [_run(program, values + step * direction)[1].item() for step in (1e-6, -1e-6)]
    np.testing.assert_allclose(np.vdot(x.grad.numpy(), direction), (ends[0] - ends[1]) / 2e-6, rtol=1e-4, atol=1e-6)
