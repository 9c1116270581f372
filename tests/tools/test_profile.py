"""The profile: which kernels it sees, and that it leaves them as they were. No speed is tested."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import kernels
from minigrad.nn import functional as F
from tools.profile import __main__ as command
from tools.profile import limits, record


def work():
    x = mg.tensor(np.ones((40, 30), np.float32), requires_grad=True)
    weight = mg.tensor(np.ones((20, 30), np.float32), requires_grad=True)
    F.softmax(F.linear(x, weight), 1).sum().backward()


def test_every_kernel_is_counted_once():
    before = kernels.matmul.matmul
    result = record.profile(work, steps=2)
    assert kernels.matmul.matmul is before
    product, softmax = result.parts["products of layers"], result.parts["softmax"]
    assert product.calls == 2 * 3 and product.operations == 2 * 3 * (2 * 40 * 30 * 20)
    assert softmax.calls == 2 * 2  # forward and backward
    assert softmax.bytes == 2 * (2 + 3) * 40 * 20 * 4  # in and out; gradient, output and result
    assert 0 < result.in_kernels() <= result.seconds


def test_a_kernel_within_a_kernel_belongs_to_the_outer_one():
    x = np.ones(10, np.float32)
    result = record.profile(lambda: kernels.dropout.dropout_backward(x, 0.5, 1, 2), steps=3)
    assert {name: part.calls for name, part in result.parts.items()} == {"dropout": 3}


def test_kernels_are_put_back_after_an_error():
    before = kernels.softmax.softmax
    calls = []

    def fails_the_second_time():
        calls.append(0)
        if len(calls) > 1:
            raise KeyError

    with pytest.raises(KeyError):
        record.profile(fails_the_second_time, steps=1)
    assert kernels.softmax.softmax is before


@pytest.mark.parametrize("memory", [False, True])
def test_the_command_prints_a_table(memory, monkeypatch, capsys):
    monkeypatch.setattr("tools.bench.machine.announce_threads", lambda threads: None)
    monkeypatch.setattr("tools.bench.machine.load", lambda peers, threads: ({"minigrad": mg}, []))
    monkeypatch.setattr(limits, "peak_flops", lambda: 1e11)
    monkeypatch.setattr(limits, "bandwidth", lambda: 1e10)
    monkeypatch.setattr(command, "_step", lambda options, side="minigrad", tokens=None: work)
    monkeypatch.setattr(command, "_print_memory", lambda options: print("peak memory"))
    assert command.main(["--memory"] if memory else ["--steps", "2"]) == 0
    out = capsys.readouterr().out
    for said in ["peak memory"] if memory else ["limits: 100 GFLOP/s", "10.0 GB/s", "products of layers", "softmax", "Python"]:
        assert said in out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--preset", "huge"], "the presets are mini, tiny, small"),
        (["--steps", "0"], "must be a number from 1: got '0'"),
        (["--tokens", "5"], "a batch of 5 tokens holds no sentence of 32: make --tokens larger"),
    ],
)
def test_bad_options_are_one_sentence(arguments, says, monkeypatch, capsys):
    monkeypatch.setattr("tools.bench.machine.announce_threads", lambda threads: None)
    with pytest.raises(SystemExit) as stopped:
        command.main(arguments)
    assert stopped.value.code == 2
    assert says in capsys.readouterr().err


def test_the_peak_of_memory_is_said(monkeypatch, capsys):
    pytest.importorskip("resource")
    monkeypatch.setattr("tools.bench.machine.announce_threads", lambda threads: None)
    monkeypatch.setattr(command, "_step", lambda options, side, tokens=None: work)
    assert command.main(["--peak-of", "minigrad", "--steps", "1"]) == 0
    assert "MB for a single sentence" in capsys.readouterr().out
