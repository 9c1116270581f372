"""The monitor: its numbers against NumPy, training unchanged to the bit, misuse, size."""

import json
import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim, viz
from minigrad.errors import DataError, UsageError
from minigrad.formats import tensorboard
from minigrad.nn import functional as F
from minigrad.viz import measures
from minigrad.viz.record import Record


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(11, 8)
        self.rnn = nn.LSTM(8, 8, batch_first=True)
        self.hidden = nn.Linear(8, 12)
        self.out = nn.Linear(12, 5)
        self.idle = nn.Linear(3, 3)

    def forward(self, x):
        return self.out(F.relu(self.hidden(self.rnn(self.embedding(x))[0][:, -1])))


def data(seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 11, (16, 7)), rng.integers(0, 5, 16)


def train(steps, every=None, clear=True, **how):
    mg.manual_seed(3)
    model = Net()
    optimizer = optim.Adam(model.parameters(), lr=1e-2)
    x, y = data()
    monitor = viz.Monitor(model, optimizer, every=every, **how) if every else None
    losses = []
    for _ in range(steps):
        if clear:
            optimizer.zero_grad()
        loss = F.cross_entropy(F.dropout(model(x), 0.1), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if monitor:
            monitor.step(loss)
    if monitor:
        monitor.close()
    return model, losses, monitor, optimizer


def test_training_is_the_same_to_the_bit_with_a_monitor_and_leaves_no_trace():
    plain, losses, _, _ = train(7)
    watched, same, monitor, optimizer = train(7, every=2)
    assert losses == same
    for (name, a), b in zip(plain.named_parameters(), watched.parameters()):
        assert np.array_equal(mg.Tensor.numpy(a.detach()), b.detach().numpy()), name
    assert "step" not in optimizer.__dict__
    assert all(m._hooks is None for m in watched.modules())
    assert not watched.rnn._flow_hooks
    assert monitor.record.series["loss"]["steps"] == [1, 2, 4, 6]


def test_norms_and_ratios_are_those_computed_by_hand():
    mg.manual_seed(1)
    model = nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 3))
    optimizer = optim.SGD(model.parameters(), lr=0.3)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 6)).astype("float32"), rng.integers(0, 3, 20)
    with viz.Monitor(model, optimizer, every=1) as monitor:
        for step in range(1, 4):
            before = {n: p.detach().numpy().copy() for n, p in model.named_parameters()}
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            gradients = {n: p.grad.numpy().copy() for n, p in model.named_parameters()}
            optimizer.step()
            monitor.step(loss, lr=0.3)
            series = monitor.record.series
            for name, p in model.named_parameters():
                weight = np.linalg.norm(before[name].astype(float))
                change = np.linalg.norm(p.detach().numpy().astype(float) - before[name].astype(float))
                expected = {
                    "weight": weight, "gradient": np.linalg.norm(gradients[name].astype(float)), "update": change / weight,
                }  # fmt: skip
                for kind, value in expected.items():
                    assert series[f"{kind}/{name}"]["values"][-1] == pytest.approx(value, rel=1e-5), (kind, name, step)
            hidden = np.tanh(x @ before["0.weight"].T + before["0.bias"])
            assert series["std/1"]["values"][-1] == pytest.approx(hidden.std(), rel=1e-4)
            assert series["saturated/1/tanh"]["values"][-1] == pytest.approx((np.abs(hidden) > 0.975).mean(), abs=1e-3)
            assert series["cross entropy"]["values"][-1] == pytest.approx(loss.item(), rel=1e-6)
    assert series["cross entropy"]["classes"] == 3
    assert series["lr"]["values"] == [0.3] * 3
    assert "test_monitor.py" in series["saturated/1/tanh"]["line"]


def test_without_an_optimizer_the_change_is_measured_from_step_to_step():
    mg.manual_seed(1)
    model = nn.Linear(4, 2)
    x = np.ones((3, 4), np.float32)
    with viz.Monitor(model, every=1) as monitor:
        for _ in range(3):
            model.zero_grad()
            loss = (model(x) ** 2).sum()
            loss.backward()
            before = model.weight.detach().numpy().copy()
            with mg.no_grad():
                for p in model.parameters():
                    p -= p.grad * 0.01
            monitor.step(loss)
    change = np.linalg.norm(model.weight.detach().numpy() - before) / np.linalg.norm(before)
    assert monitor.record.series["update/weight"]["values"][-1] == pytest.approx(change, rel=1e-5)
    assert monitor.record.series["carried"]["values"] == [0, 0]


def test_gradients_through_time_are_those_of_the_hidden_states():
    _, _, monitor, _ = train(1, every=1)
    lags = sorted(int(name.rpartition("/")[2]) for name in monitor.record.series if name.startswith("time/"))
    assert lags == list(range(7))
    # The same by hand: the hidden states of a layer written out with a cell, and their gradients kept.
    mg.manual_seed(3)
    model = Net()
    x, y = data()
    seen = []
    handle = model.rnn.register_gradient_flow_hook(lambda name, norms: seen.append(norms))
    F.cross_entropy(F.dropout(model(x), 0.1), y).backward()
    handle.remove()
    by_hand = np.sqrt((seen[0].astype(float) ** 2).mean(1))
    for lag in lags:
        assert monitor.record.series[f"time/rnn.l0/{lag}"]["values"][0] == pytest.approx(by_hand[6 - lag], rel=1e-5)


def test_a_parameter_without_gradient_is_missing_and_carried_gradients_are_seen():
    _, _, monitor, _ = train(9, every=3)
    series = monitor.record.series
    assert series["missing/idle.weight"]["steps"] == [1, 3, 6, 9]
    assert "gradient/idle.weight" not in series
    assert series["carried"]["values"] == [0, 0, 0]
    _, _, monitor, _ = train(9, every=3, clear=False)
    assert monitor.record.series["carried"]["values"] == [1, 1, 1]
    assert monitor.record.series["carried"]["steps"] == [2, 4, 7]


def test_clearing_in_place_and_accumulating_rightly_are_no_carrying():
    mg.manual_seed(0)
    model = nn.Linear(4, 3)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    x, y = np.random.default_rng(0).normal(size=(8, 4)).astype("float32"), np.arange(8) % 3
    with viz.Monitor(model, optimizer, every=1) as monitor:
        for step in range(6):
            if step % 2:
                optimizer.zero_grad(set_to_none=False)
            else:
                for p in model.parameters():
                    if p.grad is not None:
                        p.grad.zero_()
            for half in (slice(4), slice(4, 8)):
                loss = F.cross_entropy(model(x[half]), y[half]) / 2
                loss.backward()
            optimizer.step()
            monitor.step(loss)
    assert monitor.record.series["carried"]["values"] == [0] * 5


def test_a_nan_between_the_looks_is_noticed():
    model = nn.Linear(2, 1)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    x = np.ones((2, 2), np.float32)
    with viz.Monitor(model, optimizer, every=100) as monitor:
        for step in range(5):
            optimizer.zero_grad()
            loss = mg.log(model(x).sum() * 0 + (1.0 if step < 2 else -1.0))
            loss.backward()
            optimizer.step()
            monitor.step(loss)
    series = monitor.record.series
    assert series["not finite/loss"]["steps"] == [3]
    finding = viz.doctor(monitor)[0]
    assert (finding.ailment, finding.step) == ("not finite", 3)


def test_an_operation_that_makes_a_nan_is_named_with_its_line():
    model = nn.Linear(2, 1)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    with viz.Monitor(model, optimizer, every=1) as monitor:
        for _ in range(2):
            optimizer.zero_grad()
            loss = mg.log(model(np.ones((2, 2), np.float32)).sum() * 0 - 1.0)  # of a negative number
            loss.backward()
            optimizer.step()
            monitor.step(loss)
    finding = viz.doctor(monitor)[0]
    assert finding.ailment == "not finite" and finding.step == 1
    assert "log" in finding.place and "of a negative number" in finding.line


def test_the_record_stays_small_and_round_trips(tmp_path):
    _, _, monitor, _ = train(60, every=1, limit=10)
    lengths = {name: len(s["steps"]) for name, s in monitor.record.series.items()}
    assert max(lengths.values()) <= 16
    assert monitor.record.series["loss"]["steps"][0] == 1
    assert monitor.every > 1
    path = monitor.save(tmp_path)
    assert path == tmp_path / "monitor.json"
    loaded = Record.load(path)
    assert loaded.series.keys() == monitor.record.series.keys()
    for name, series in loaded.series.items():
        assert series["steps"] == monitor.record.series[name]["steps"]
        assert series["values"] == pytest.approx(monitor.record.series[name]["values"], rel=1e-6)
    assert str(viz.doctor(tmp_path)) == str(viz.doctor(monitor))
    assert json.loads(path.read_text())["format"] == "minigrad.graph/1"


def test_misuse_is_told():
    model = nn.Linear(2, 2)
    with pytest.raises(UsageError, match="watches a Module"):
        viz.Monitor(optim.SGD(model.parameters(), lr=1), model)
    with pytest.raises(UsageError, match="every is a whole number from 1"):
        viz.Monitor(model, every=0)
    with pytest.raises(UsageError, match="takes an optimizer"):
        viz.Monitor(model, [1])
    with viz.Monitor(model) as monitor, pytest.raises(DataError, match=r"call monitor.step\(loss\)"):
        viz.doctor(monitor)
    with pytest.raises(UsageError, match="run directory"):
        viz.doctor(3)


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1.0, 1e15, 1e30])
def test_norms_neither_underflow_nor_overflow(scale):
    values = (np.random.default_rng(0).normal(size=1000) * scale).astype("float32")
    assert measures.norm(values) == pytest.approx(np.linalg.norm(values.astype(float)), rel=1e-5)
    assert measures.norm(values[:0]) == 0
    assert math.isnan(measures.norm(np.array([1, np.nan], np.float32)))
    assert measures.norm(np.array([1, np.inf], np.float32)) == math.inf


def test_units_are_dead_only_if_no_row_wakes_them():
    values = np.zeros((1000, 5), np.float32)
    values[999, 1] = values[0, 3] = 2
    assert measures.alive(values).tolist() == [False, True, False, True, False]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("masked", [None, "bool", "float"])
def test_the_sharpness_of_attention_is_the_entropy_of_its_weights(causal, masked):
    rng = np.random.default_rng(0)
    q, k = rng.normal(size=(2, 2, 3, 9, 4)).astype("float32")
    mask = None
    if masked:
        mask = np.arange(9)[None, None, None] < np.array([9, 5])[:, None, None, None]
        mask = mask if masked == "bool" else np.where(mask, 0, -np.inf).astype("float32")
    found = measures.attention_sharpness(q, k, mask, causal, 0.5)
    weights = F.masked_softmax(mg.tensor(q @ k.swapaxes(-1, -2)), mask, causal, 0.5).numpy().astype(float)
    allowed = np.broadcast_to(weights > 0, weights.shape)
    entropy = -(weights * np.log(np.where(weights > 0, weights, 1))).sum(-1)
    count = allowed.sum(-1)
    expected = (entropy[count > 1] / np.log(count[count > 1])).mean()
    assert found == pytest.approx(expected, rel=1e-4)
    assert measures.sharpness(weights, mask, causal) == pytest.approx(expected, rel=1e-4)


def test_what_it_sees_goes_to_tensorboard_as_it_comes(tmp_path):
    _, _, monitor, _ = train(4, every=2, tensorboard=tmp_path)
    (path,) = tmp_path.iterdir()
    entries = {(e.tag, e.step): e.value for e in tensorboard.read(path)}
    series = monitor.record.series
    for name in ("loss", "gradient/out.weight", "update/out.weight", "std/hidden"):
        for step, value in zip(series[name]["steps"], series[name]["values"]):
            assert entries[name, step] == pytest.approx(value, rel=1e-6)
    for kind in ("gradient", "weight"):
        assert entries[f"{kind}/out.weight (histogram)", 4]["num"] == 12 * 5
