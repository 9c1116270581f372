"""detect_anomaly: who made the first NaN or infinity, and on which line."""

import inspect

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import AnomalyError


def leaf(*values):
    return mg.tensor(values if len(values) > 1 else values[0], dtype="float64", requires_grad=True)


def here() -> int:
    """The line of the caller."""
    return inspect.currentframe().f_back.f_lineno


@pytest.mark.parametrize(
    ("make", "name", "what"),
    [
        (lambda x: mg.log(x - 1), "log", "infinite"),
        (lambda x: mg.sqrt(-x), "sqrt", "NaN"),
        (lambda x: x / (x - 1), "div", "infinite"),
        (lambda x: (x - 1) / (x - 1), "div", "NaN"),
        (lambda x: mg.exp(x * 1e4), "exp", "infinite"),
    ],
)
def test_value_that_became_bad(make, name, what):
    x = leaf(1.0)
    with mg.detect_anomaly(), pytest.raises(AnomalyError, match=f"value of {name} became {what}"):
        make(x)


def test_the_users_line_is_named():
    x = mg.tensor([1.0, 0.0])
    with mg.detect_anomaly(), pytest.raises(AnomalyError) as caught:
        line = here() + 1
        y = mg.log(x)  # the culprit
        y.sum()
    message = str(caught.value)
    assert f"test_anomaly.py:{line} (y = mg.log(x)  # the culprit)" in message and "shape (2,)" in message


def test_the_line_is_not_that_of_a_layer():
    x = mg.tensor([[1.0, 0.0]])
    with mg.detect_anomaly(), pytest.raises(AnomalyError) as caught:
        line = here() + 1
        mg.std(x * 0, 1).log()
    assert f"test_anomaly.py:{line}" in str(caught.value)


def test_gradient_that_became_bad():
    x = leaf(0.0, 1.0)
    with mg.detect_anomaly():
        line = here() + 1
        y = x**0.5
        z = y.sum()
        with pytest.raises(AnomalyError, match="gradient of pow became infinite") as caught:
            z.backward()
    assert f"test_anomaly.py:{line} (y = x**0.5)" in str(caught.value) and "'a'" in str(caught.value)


def test_gradient_of_an_operation_recorded_outside():
    y = (leaf(0.0) ** 0.5) * 1
    with mg.detect_anomaly(), pytest.raises(AnomalyError, match="a line outside detect_anomaly"):
        y.backward()


def test_gradients_that_add_up_to_infinity():
    x = leaf(0.1)
    y = x * 1
    with mg.detect_anomaly():
        z = y * 1e308 + y * 1e308
        with pytest.raises(AnomalyError, match=r"result of mul .* is infinite: .*several uses"):
            z.backward()


def test_gradients_that_come_in_bad():
    x = leaf(1.0, 2.0)
    with mg.detect_anomaly():
        with pytest.raises(AnomalyError, match=r"is NaN: it came into backward\(\)"):
            (x * 2).backward(mg.tensor([np.nan, 1.0]))
        y = x * 2
        y.register_hook(lambda g: g * np.inf)
        with pytest.raises(AnomalyError, match="a hook"):
            y.sum().backward()


def test_bad_second_derivative():
    x = leaf(0.0)
    (g,) = mg.grad(x**1.5, x, create_graph=True)
    with mg.detect_anomaly(), pytest.raises(AnomalyError, match="gradient of"):
        g.backward()


def test_a_nan_that_came_in_is_blamed_on_its_maker():
    x = mg.tensor([np.nan, 1.0])
    with mg.detect_anomaly(), pytest.raises(AnomalyError, match=r"mul at .* was given a NaN as its argument 'a'"):
        x * 2


def test_a_nan_that_goes_away_is_no_anomaly():
    x = mg.tensor([np.nan, 1.0], requires_grad=True)
    with mg.detect_anomaly():
        y = mg.where(mg.isnan(x), 0.0, x)
        y.sum().backward()
    assert x.grad.tolist() == [0, 1]


def test_infinite_masks_are_legitimate():
    x = leaf(1.0, 2.0, 3.0)
    hidden = mg.tensor([False, True, False])
    with mg.detect_anomaly():
        for masked in (
            x.masked_fill(hidden, -np.inf),
            mg.where(hidden, -np.inf, x),
            x + mg.tensor([0.0, -np.inf, 0.0]),
        ):
            mg.softmax(masked, 0)[0].backward(retain_graph=True)
            mg.logsumexp(masked, 0).backward()
    assert np.isfinite(x.grad.numpy()).all() and x.grad[1].item() == 0


def test_nan_from_an_infinity():
    x = leaf(np.inf, 1.0)
    with mg.detect_anomaly(), pytest.raises(AnomalyError, match=r"sub became NaN .* infinite 'a'"):
        x - x


def test_only_inside_and_only_in_this_thread():
    x = leaf(1.0)
    with mg.detect_anomaly():
        pass
    assert np.isinf(mg.log(x - 1).item())
    with pytest.raises(KeyError), mg.detect_anomaly():
        raise KeyError
    assert np.isinf(mg.log(x - 1).item())


def test_nests_and_decorates_nothing_away():
    x = leaf(1.0)
    with mg.detect_anomaly():
        with mg.detect_anomaly():
            pass
        with pytest.raises(AnomalyError):
            mg.log(x - 1)


def test_lines_only():
    with mg.detect_anomaly(check_nan=False):
        y = mg.log(leaf(1.0) - 1)
    assert "test_anomaly.py" in y.grad_fn.extra["line"]


def test_finite_computations_pass_unchanged(rng):
    values = rng.standard_normal((3, 3))
    found = []
    for watched in (False, True):
        x = mg.tensor(values, requires_grad=True)
        if watched:
            with mg.detect_anomaly():
                mg.tanh(x @ x).sum().backward()
        else:
            mg.tanh(x @ x).sum().backward()
        found.append(x.grad.numpy().tobytes())
    assert found[0] == found[1]


def test_inside_a_checkpoint():
    x = leaf(0.0)
    y = mg.checkpoint(lambda a: a**0.5, x)
    with mg.detect_anomaly(), pytest.raises(AnomalyError, match="gradient of pow became infinite"):
        y.backward()
