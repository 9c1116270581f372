"""The training loop, on a model small enough to know what must come out."""

import sys

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad.errors import AnomalyError, CheckpointError
from minigrad.training import checkpoint
from minigrad.training.loop import Schedule, Trainer
from minigrad.training.rundir import RunDirectory
from minigrad.viz import doctor
from minigrad.viz.record import Record


class Rows:
    """A batch of a linear regression; each row counts as one token."""

    def __init__(self, x, y):
        self.x, self.y = x, y
        self.target_tokens = len(x)


class Batches:
    """Five batches of different sizes an epoch."""

    def __init__(self):
        random = np.random.default_rng(0)
        true = np.array([[1.0, -2.0, 3.0]], np.float32)
        self.rows = []
        for size in (4, 1, 3, 8, 2):
            x = random.normal(size=(size, 3)).astype(np.float32)
            self.rows.append(Rows(x, x @ true.T))

    def plan(self, epoch):
        return np.random.default_rng(epoch).permutation(5)

    def epoch(self, epoch, start=0):
        return (self.rows[i] for i in self.plan(epoch)[start:])


class Regression(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 1)

    def loss(self, batch):
        return nn.functional.mse_loss(self.linear(mg.tensor(batch.x)), mg.tensor(batch.y), reduction="sum"), len(batch.x)


@pytest.fixture
def new_trainer(tmp_path):
    count = 0

    def make(schedule, losses=None, lr=0.05, monitor=0):
        nonlocal count
        count += 1
        mg.manual_seed(1)
        model = Regression()
        adam = optim.Adam(model.parameters(), lr=lr)
        run = RunDirectory.create(tmp_path / f"run{count}")
        values = iter(losses or [])

        def validate():
            return {"valid_loss": next(values, 1.0), "exact_match": float(count)}, [("a", "b", "c")]

        return Trainer(model, adam, optim.lr_scheduler.StepLR(adam, 1000), Batches(), run, validate, schedule, monitor)

    return make


def weights(trainer):
    return {name: np.array(p.numpy()) for name, p in trainer.model.named_parameters()}


def same(a, b):
    return all(np.array_equal(a[name], b[name]) for name in a)


def test_it_learns(new_trainer):
    trainer = new_trainer(Schedule(steps=300, clip=0), lr=0.1)
    trainer.fit()
    assert np.allclose(weights(trainer)["linear.weight"], [[1, -2, 3]], atol=0.05)
    assert trainer.step == 300 and trainer.epoch == 60 and trainer.batch == 0


def test_accumulated_gradients_are_those_of_one_large_batch(new_trainer):
    apart, joined = new_trainer(Schedule(steps=1, clip=0)), new_trainer(Schedule(steps=1, clip=0))
    rows = Batches().rows
    apart.update(rows)
    joined.update([Rows(np.concatenate([r.x for r in rows]), np.concatenate([r.y for r in rows]))])
    for name, value in weights(apart).items():
        assert np.allclose(value, weights(joined)[name], atol=1e-6)


def test_gradients_are_clipped(new_trainer):
    trainer = new_trainer(Schedule(steps=1, clip=0.001))
    _, norm, _ = trainer.update(Batches().rows[:1])
    assert norm > 0.001
    after = np.sqrt(sum((p.grad.numpy() ** 2).sum() for p in trainer.model.parameters()))
    assert after == pytest.approx(0.001, rel=1e-3)


@pytest.mark.parametrize("first", [1, 4, 5, 7])
def test_resuming_gives_the_same_bits(new_trainer, first):
    whole = new_trainer(Schedule(steps=12, accumulate=2))
    whole.fit()
    part = new_trainer(Schedule(steps=first, accumulate=2))
    part.fit()
    rest = new_trainer(Schedule(steps=12, accumulate=2))
    rest.run = part.run
    rest.resume()
    assert rest.step == first
    rest.fit()
    assert same(weights(whole), weights(rest))
    assert [line["step"] for line in rest.run.metrics()] == sorted(line["step"] for line in rest.run.metrics())


def test_it_stops_when_nothing_improves(new_trainer):
    trainer = new_trainer(Schedule(steps=1000, validate_every=2, patience=3), losses=[5, 4, 3, 3, 3.5, 3.2, 1])
    trainer.fit()
    assert trainer.step == 12  # six validations: the best is the third
    trainer.model.load_state_dict(
        {k.removeprefix("model."): mg.tensor(v) for k, v in load(trainer, "best").items() if k.startswith("model.")}
    )


def load(trainer, name):
    return checkpoint.load(trainer.run.checkpoint(name))[0]


def test_it_stops_when_the_result_is_good_enough(new_trainer):
    trainer = new_trainer(Schedule(steps=1000, validate_every=2, metric="exact_match", enough=1.0))
    trainer.fit()
    assert trainer.step == 2


def test_a_loss_is_good_enough_when_it_is_low_enough(new_trainer):
    trainer = new_trainer(Schedule(steps=1000, validate_every=2, enough=0.5), losses=[0.9, 0.6, 0.5, 0.1])
    trainer.fit()
    assert trainer.step == 6


def test_a_loss_of_nan_is_never_the_best(new_trainer):
    trainer = new_trainer(Schedule(steps=6, validate_every=2), losses=[np.nan, 3, np.nan])
    trainer.fit()
    assert trainer.best == [-3, -3] and trainer.since_best == 1


def test_a_validation_is_of_the_epoch_that_was_read(new_trainer, capsys):
    for schedule, epochs in (Schedule(12, validate_every=3), {3: 1, 6: 2, 9: 2, 12: 3}), (Schedule(10), {5: 1, 10: 2}):
        new_trainer(schedule).fit()
        shown = capsys.readouterr()
        for step, epoch in epochs.items():
            assert f"validation after {step} steps (epoch {epoch})" in shown.out + shown.err


def test_numbered_checkpoints_are_kept(new_trainer):
    trainer = new_trainer(Schedule(steps=12, validate_every=2, keep=3))
    trainer.fit()
    assert [p.stem for p in trainer.run.checkpoints()] == ["step-00000008", "step-00000010", "step-00000012"]


def test_an_infinite_loss_stops_before_the_parameters_change(new_trainer):
    trainer = new_trainer(Schedule(steps=10))
    trainer.fit()
    before = weights(trainer)
    rows = Rows(np.array([[1e30, 0, 0]], np.float32), np.zeros((1, 1), np.float32))
    with pytest.raises(AnomalyError, match=r"step 11.*became infinite.*--lr"):
        trainer.update([rows])
    assert same(before, weights(trainer))


def test_a_checkpoint_of_another_model_is_refused(new_trainer):
    trainer = new_trainer(Schedule(steps=2))
    trainer.fit()
    trainer.model = nn.Linear(7, 7)
    with pytest.raises(CheckpointError, match="does not fit this model"):
        trainer.resume()


def test_going_on_from_nothing_and_from_a_damaged_state(new_trainer):
    trainer = new_trainer(Schedule(steps=2))
    with pytest.raises(CheckpointError, match="no checkpoint yet"):
        trainer.resume()
    trainer.fit()
    path = trainer.run.checkpoint("last")
    arrays, state = checkpoint.load(path)
    for key, value in (("progress", {}), ("random", {}), ("optimizer", 3)):
        checkpoint.save(path, arrays, {**state, key: value})
        with pytest.raises(CheckpointError, match="does not fit this run"):
            trainer.resume()


def test_a_monitored_run_is_the_same_to_the_bit_and_leaves_a_record(new_trainer):
    plain, watched = new_trainer(Schedule(steps=12)), new_trainer(Schedule(steps=12), monitor=4)
    plain.fit()
    watched.fit()
    assert same(weights(plain), weights(watched))
    series = Record.load(watched.run.path / "monitor.json").series
    assert series["loss"]["steps"] == series["update/linear.weight"]["steps"] == [1, 4, 8, 12]
    logged = {line["step"]: line for line in watched.run.metrics() if "grad_norm" in line}
    assert series["grad_norm"]["values"][0] == pytest.approx(logged[1]["grad_norm"])
    assert not (plain.run.path / "monitor.json").exists()


def test_a_resumed_run_goes_on_with_its_record(new_trainer):
    first = new_trainer(Schedule(steps=10), monitor=4)
    first.fit()
    second = new_trainer(Schedule(steps=20), monitor=4)
    second.run = first.run
    second.resume()
    second.fit()
    assert Record.load(first.run.path / "monitor.json").series["loss"]["steps"] == [1, 4, 8, 11, 12, 16, 20]


def test_what_broke_a_run_is_in_its_record(new_trainer):
    trainer = new_trainer(Schedule(steps=20), monitor=5)
    trainer.batches.rows[2].y[0] = np.inf
    with pytest.raises(AnomalyError):
        trainer.fit()
    report = doctor(trainer.run.path)
    assert report[0].ailment == "not finite" and "mse_loss" in report[0].line
    assert trainer.step + 1 == report[0].step


def test_without_matplotlib_there_is_a_line_of_advice(new_trainer, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    trainer = new_trainer(Schedule(steps=3), monitor=1)
    trainer.fit()
    assert "not drawn: pictures need matplotlib: pip install" in capsys.readouterr().out
    assert not (trainer.run.path / "grad_flow.svg").exists()


def test_with_matplotlib_the_flow_is_drawn(new_trainer):
    pytest.importorskip("matplotlib")
    trainer = new_trainer(Schedule(steps=3), monitor=1)
    trainer.fit()
    assert "<svg" in (trainer.run.path / "grad_flow.svg").read_text()
