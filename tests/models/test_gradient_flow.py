"""The lesson on vanishing and exploding gradients: what it records is the slope by the states, and what it draws is there."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

import minigrad as mg
from minigrad.nn import functional as F
from models import gradient_flow
from models.gradient_flow import BATCH, SYMBOLS, Reader, main, problem, train

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def records():
    return {cell: train(cell, updates=3, steps=8, seed=1) for cell in ("RNN", "LSTM")}


def test_the_answer_is_in_the_first_step_alone():
    x, first = problem(np.random.default_rng(0), 6)
    assert x.shape == (6, BATCH, 2 * SYMBOLS) and x.dtype == np.float32 and (x.sum(-1) == 1).all()
    assert (x[0].argmax(-1) == first).all() and (x[1:].argmax(-1) >= SYMBOLS).all()
    assert set(first) == set(range(SYMBOLS))


@pytest.mark.parametrize("cell", ["RNN", "LSTM"])
def test_the_recorded_flow_is_the_slope_of_the_loss_by_the_state(cell, records):
    """The gradient by h_t, where the steps behind t are run again from a changed h_t."""
    mg.manual_seed(1)
    model = Reader(cell)
    x, first = problem(np.random.default_rng(1), 8)
    found = records[cell].flow[0]
    out, _ = model.recurrent(mg.tensor(x[:-1]))
    state = mg.tensor(np.array(out[-1].data), requires_grad=True)
    hx = state[None]
    if cell == "LSTM":
        _, (_, c) = model.recurrent(mg.tensor(x[:-1]))
        hx = hx, c.detach()
    last, _ = model.recurrent(mg.tensor(x[-1:]), hx)
    F.cross_entropy(model.output(last[-1]), first).backward()
    assert state.grad is not None
    assert found.shape == (8,)
    assert found[-2] == pytest.approx(np.linalg.norm(state.grad.data, axis=1).mean() * BATCH, rel=1e-4)


def test_clipping_limits_what_is_done_and_not_what_is_recorded():
    free, clipped = (train("RNN", updates=2, steps=8, clip=clip, gain=2.0) for clip in (0.0, 1e-3))
    assert free.norm[0] == clipped.norm[0] > 1e-3
    assert free.norm[1] != clipped.norm[1]
    assert clipped.loss[1] != free.loss[1]


def test_a_larger_gain_lets_more_of_the_gradient_through():
    shares = [train("RNN", updates=1, steps=30, gain=gain).first_to_last(0) for gain in (0.5, 0.9, 1.1)]
    assert shares[0] < 1e-3 * shares[1] < shares[2]


def test_the_picture_and_the_numbers(tmp_path, capsys):
    path = tmp_path / "flow.svg"
    assert main(["--updates", "12", "--steps", "6", "--out", str(path)]) == 0
    said = capsys.readouterr().out
    assert "|dL/dh_1| / |dL/dh_6|" in said and str(path) in said
    assert re.search(r"without  largest norm [\d.]+, median [\d.]+, \d+ of 12 above the limit; loss [\d.]+", said)
    texts = [element.text or "" for element in ET.parse(path).iter(f"{SVG}text")]
    for expected in ("RNN: |dL/dh_t|", "LSTM: |dL/dh_t|", "gradient norm", "limit 1", "chance", "update 1", "update 12"):
        assert expected in texts
    assert len([e for e in ET.parse(path).iter(f"{SVG}path") if e.get("class") == "line"]) >= 13


def test_a_norm_of_zero_is_a_gap():
    assert np.isnan(gradient_flow._positive(0.0)) and gradient_flow._positive(1e-30) == 1e-30


def test_a_picture_that_cannot_be_written(tmp_path, capsys):
    assert main(["--updates", "2", "--steps", "3", "--out", str(tmp_path / "missing" / "x.svg")]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
