"""Where a gradient came from: contributions against ones computed by hand, and their sum against the tape's."""

import json

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, viz
from minigrad.errors import GraphError, UsageError
from minigrad.primitive import state


def array(rng, *shape):
    return mg.tensor(rng.standard_normal(shape).astype("f"))


def test_each_use_by_hand(rng):
    x, a = array(rng, 4, 3).requires_grad_(), array(rng, 3)
    loss = (x * a).sum() - 1.5 * mg.tanh(x).sum()
    answer = viz.why(loss, x)
    by_hand = [np.broadcast_to(a.numpy(), (4, 3)), -1.5 * (1 - np.tanh(x.numpy()) ** 2)]
    whole = sum(by_hand)
    assert [(u.operation, u.argument) for u in answer.uses] == [("mul", "a"), ("tanh", "x")]
    for use, array_, expected in zip(answer.uses, answer.contributions, by_hand):
        np.testing.assert_allclose(array_, expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(use.norm, np.linalg.norm(expected), rtol=1e-5)
        np.testing.assert_allclose(use.share, (expected * whole).sum() / (whole**2).sum(), rtol=1e-4)
        angle = (expected * whole).sum() / np.linalg.norm(expected) / np.linalg.norm(whole)
        np.testing.assert_allclose(use.cosine, angle, rtol=1e-4)
    together = sum(np.linalg.norm(c) for c in by_hand)
    np.testing.assert_allclose(answer.cancelled, 1 - np.linalg.norm(whole) / together, rtol=1e-4)
    assert x.grad is None and not state.observers
    loss.backward()  # the graph is still there
    np.testing.assert_allclose(sum(answer.contributions), x.grad.numpy(), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(sum(u.share for u in answer.uses), 1, rtol=1e-6)


def test_the_steps_of_a_recurrent_weight(rng):
    cell = nn.LSTMCell(2, 3)
    xs = array(rng, 7, 4, 2)
    with viz.record({"cell": cell}) as record:
        h, c = mg.zeros(4, 3), mg.zeros(4, 3)
        for t in range(7):
            h, c = cell(xs[t], (h, c))
        loss = h.square().sum()
    answer = viz.why(loss, cell.weight_hh, record=record)
    assert answer.name == "cell.weight_hh" and [u.call for u in answer.uses] == [*range(7)]
    assert all(u.module == "cell" and u.line.startswith("test_why.py:") for u in answer.uses)
    loss.backward()
    np.testing.assert_allclose(sum(answer.contributions), cell.weight_hh.grad.numpy(), rtol=1e-5, atol=1e-7)
    assert answer.uses[0].norm == 0 and answer.uses[0].share == 0  # the state it multiplies is zero there
    assert "from 7 uses" in str(answer) and "lstm (weight_hh) in cell, call 7" in str(answer)


def test_residual_paths(rng):
    model = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True, norm_first=True)
    x = array(rng, 2, 5, 8).requires_grad_()
    h = x * 1
    loss = model(h).square().sum()
    answer = viz.why(loss, h)
    assert len(answer.uses) == 2 and {"layer_norm", "add"} <= {u.operation for u in answer.uses} | {"add"}
    (g,) = mg.grad(loss, x)
    np.testing.assert_allclose(sum(answer.contributions), g.numpy(), rtol=1e-5, atol=1e-5)


def test_a_record_gives_the_same_numbers(rng, tmp_path):
    x = array(rng, 5).requires_grad_()
    with viz.record() as record:
        loss = (mg.exp(x) * x).sum() - x.sum() * 2
    live = viz.why(loss, x, record=record)
    with viz.record() as record:
        loss = (mg.exp(x) * x).sum() - x.sum() * 2
        loss.backward()
    record.save(tmp_path / "r.json")
    for answer in (viz.why(record, x), viz.why(viz.Record.load(tmp_path / "r.json"), record.node(x)["id"])):
        assert answer.contributions is None
        for one, other in zip(live.uses, answer.uses, strict=True):
            assert (one.operation, one.argument) == (other.operation, other.argument)
            np.testing.assert_allclose([one.norm, one.share, one.cosine], [other.norm, other.share, other.cosine], rtol=1e-6)


def test_one_use_has_all_of_it():
    x = mg.tensor([3.0, 4.0], requires_grad=True)
    with viz.record() as record:
        loss = (x * 2).sum()
        loss.backward(retain_graph=True)
    for answer in (viz.why(loss, x), viz.why(record, x)):
        (use,) = answer.uses
        assert use.share == pytest.approx(1) and use.cosine == pytest.approx(1) and answer.cancelled == pytest.approx(0)


def test_everything_cancels():
    x = mg.tensor([1.0], requires_grad=True)
    answer = viz.why((x * 3 - x * 3).sum(), x)
    assert answer.norm == 0 and answer.cancelled == 1 and [u.norm for u in answer.uses] == [3, 3]
    assert [u.share for u in answer.uses] == [None, None] and "100% of what they sent back cancelled" in str(answer)


def test_the_result_itself():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    y = x * 2
    answer = viz.why(y, y, gradient=mg.tensor([3.0, 4.0]))
    assert [(u.operation, u.norm) for u in answer.uses] == [("backward", 5)]


def test_not_finite():
    x = mg.tensor([0.0, 1.0], requires_grad=True)
    answer = viz.why((mg.log(x) * mg.tensor([0.0, 1.0]) + x).sum(), x)
    assert answer.uses[0].bad == 1 and answer.uses[0].share is None and "1 NaN or infinite" in str(answer)


def test_many_uses_are_cut_short_when_printed():
    x = mg.tensor([1.0], requires_grad=True)
    answer = viz.why(sum(x * float(i) for i in range(1, 101)).sum(), x)
    lines = str(answer).splitlines()
    assert len(answer.uses) == 100 and len(lines) == 2 + 64 + 1
    assert lines[-1].split()[1:4] == ["36", "smaller", "uses"] and float(lines[-1].split()[-1][:-1]) == pytest.approx(
        100 * sum(range(1, 37)) / 5050, abs=0.06
    )


def test_as_data():
    x = mg.tensor([3.0, 4.0], requires_grad=True)
    data = viz.why((x * x).sum(), x).to_dict()
    assert json.loads(json.dumps(data)) == data and data["norm"] == pytest.approx(10) and len(data["uses"]) == 2


def test_what_cannot_be_answered():
    x, y = mg.tensor([1.0], requires_grad=True), mg.tensor([1.0], requires_grad=True)
    loss = (x * x).sum()
    with pytest.raises(GraphError, match="does not take part"):
        viz.why(loss, y)
    with pytest.raises(GraphError, match="the tensor does not require any"):
        viz.why(loss, mg.tensor([1.0]))
    with pytest.raises(UsageError, match="got float"):
        viz.why(1.0, x)
    with pytest.raises(mg.errors.ShapeError, match="one element"):
        viz.why(mg.stack([x, x]), x)
    loss.backward()
    with pytest.raises(GraphError, match=r"call it before backward\(\), or pass retain_graph=True"):
        viz.why(loss, x)
    assert not state.observers
    with viz.record() as record:
        x * 2
    with pytest.raises(UsageError, match=r"made before backward\(\)"):
        viz.why(record, x)
