"""no_grad, enable_grad and set_grad_enabled, with ``with`` and as decorators."""

import threading

import numpy as np
import pytest

import minigrad as mg


def leaf(*values):
    return mg.tensor(values if len(values) > 1 else values[0], dtype="float64", requires_grad=True)


def test_no_grad_and_enable_grad_nest():
    x = leaf(1.0)
    with mg.no_grad():
        assert not (x * 2).requires_grad and not mg.is_grad_enabled()
        with mg.enable_grad():
            assert (x * 2).requires_grad
            with mg.no_grad():
                assert not (x * 2).requires_grad
        assert not (x * 2).requires_grad
    assert (x * 2).requires_grad


def test_switches_end_with_exceptions():
    with pytest.raises(KeyError), mg.no_grad():
        raise KeyError
    assert mg.is_grad_enabled()

    @mg.no_grad()
    def fails():
        raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert mg.is_grad_enabled()


def test_a_switch_can_be_entered_again():
    switch = mg.no_grad()
    with switch, switch:
        assert not mg.is_grad_enabled()
    with switch:
        assert not mg.is_grad_enabled()
    assert mg.is_grad_enabled()


@pytest.mark.parametrize("decorator", [mg.no_grad, mg.no_grad(), mg.set_grad_enabled])
def test_switches_decorate(decorator):
    if decorator is mg.set_grad_enabled:
        decorator = mg.set_grad_enabled(False)

    @decorator
    def value(depth=3):
        """Its own documentation."""
        assert not mg.is_grad_enabled()
        return value(depth - 1) if depth else mg.is_grad_enabled()

    assert mg.is_grad_enabled(), "decorating must not switch"
    assert value() is False and value() is False and mg.is_grad_enabled()
    assert value.__name__ == "value" and value.__doc__ == "Its own documentation."


def test_enable_grad_decorates():
    @mg.enable_grad()
    def value(x):
        return x * 2

    with mg.no_grad():
        assert value(leaf(1.0)).requires_grad
        assert not mg.is_grad_enabled()


def test_set_grad_enabled():
    with mg.set_grad_enabled(False):
        assert not mg.is_grad_enabled()
        with mg.set_grad_enabled(True):
            assert mg.is_grad_enabled()
    assert mg.is_grad_enabled()
    mg.set_grad_enabled(False)
    assert not mg.is_grad_enabled()
    switch = mg.set_grad_enabled(True)
    assert mg.is_grad_enabled()
    with switch:
        pass
    assert not mg.is_grad_enabled(), "leaving goes back to what was before the call"
    mg.set_grad_enabled(True)


def test_switches_are_per_thread():
    seen = {}
    inside, done = threading.Event(), threading.Event()

    @mg.no_grad()
    def worker():
        seen["in"] = mg.is_grad_enabled()
        inside.set()
        done.wait(10)

    def run():
        seen["before"] = mg.is_grad_enabled()
        worker()
        seen["after"] = mg.is_grad_enabled()

    with mg.no_grad():
        thread = threading.Thread(target=run)
        thread.start()
        inside.wait(10)
    assert mg.is_grad_enabled(), "another thread inside the same decorated function must not matter"
    done.set()
    thread.join()
    assert seen == {"before": True, "in": False, "after": True}


def test_threads_record_and_differentiate_side_by_side():
    results = {}

    def work(k):
        x = mg.tensor(np.full(10, float(k)), requires_grad=True)
        for _ in range(50):
            x.grad = None
            (x * x * x).sum().backward()
        results[k] = x.grad.tolist()

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert results == {k: [3.0 * k * k] * 10 for k in range(4)}


def test_a_leaf_made_without_the_tape_still_requires_gradients():
    with mg.no_grad():
        x = leaf(1.0)
    (x * 2).backward()
    assert x.grad.item() == 2
