"""The doctor: what it says and how, on a part of the zoo, on single passes, on made-up series, and from the command line."""

import json
import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim, viz
from minigrad.errors import DataError
from minigrad.nn import functional as F
from minigrad.viz import symptoms
from minigrad.viz.ailments import AILMENTS
from minigrad.viz.record import Record
from tests.viz import zoo
from tools import doctor as command


@pytest.mark.parametrize(
    "name",
    [
        "deep_sigmoid", "tanh_of_large_weights", "negative_biases", "layer_never_called", "no_zero_grad",
        "learning_rate_too_high_for_adam", "learning_rate_too_low", "optimizer_of_the_last_layer_alone",
        "output_weights_too_large", "nan_in_the_data", "lstm_that_forgets", "rnn_of_large_recurrent_weights", "saturated_gru",
        "queries_and_keys_too_large", "weights_of_variance_one",
    ],
)  # fmt: skip
def test_faults_are_found(name):
    found = zoo.findings(name, 2)
    assert set(found) & set(zoo.FAULTS[name][1]), found


@pytest.mark.parametrize(
    "name",
    [
        "relu_network", "gradients_accumulated_rightly", "frozen_first_layer", "embedding_of_rare_words", "short_rnn", "gru",
        "pre_norm_transformer", "transformer_of_tied_weights", "monitor_without_an_optimizer", "certain_yes_or_no",
    ],
)  # fmt: skip
def test_the_healthy_are_left_alone(name):
    assert zoo.findings(name, 2) == []


def test_every_rule_has_a_fault_in_the_zoo_and_every_finding_a_rule():
    meant = {ailment for _, right in zoo.FAULTS.values() for ailment in right}
    assert meant <= set(AILMENTS)
    assert set(AILMENTS) == meant
    assert len(zoo.FAULTS) >= 20 and len(zoo.CONTROLS) >= 20


def test_a_streak_needs_patience_and_ends_by_hysteresis():
    rule = AILMENTS["saturated"]
    assert (rule.threshold, rule.release, rule.patience) == (0.5, 0.3, 3)

    def spoken(*values):
        return symptoms.streak("saturated", list(enumerate(values, 1)))

    assert spoken(0.6, 0.7, 0.4, 0.6, 0.7) is None
    assert spoken(0.1, 0.6, 0.7, 0.9) == (2, 0.9, None)
    assert spoken(0.6, 0.7, 0.9, 0.4, 0.35) == (1, 0.9, None)  # between release and threshold it is not over
    assert spoken(0.6, 0.7, 0.9, 0.4, 0.2, 0.1) == (1, 0.9, 5)
    assert spoken(0.6) is None
    assert spoken(0.6, 0.6) == (1, 0.6, None)  # there are no more looks
    assert spoken(0.6, math.nan, 0.6, 0.8) == (1, 0.8, None)
    falling = [(1, 1e-4), (2, 1e-5), (3, 1e-6), (4, 0.5)]
    assert symptoms.streak("vanishing gradient", falling[:3], below=True) == (1, 1e-6, None)
    assert symptoms.streak("vanishing gradient", falling, below=True) == (1, 1e-6, 4)


def series(**values):
    record = Record()
    for name, numbers in values.items():
        for step, value in enumerate(numbers, 1):
            record.log(name, step, value)
            record.log("weight/w", step, 1.0)
    return record


def test_what_is_over_is_told_but_counts_no_more():
    report = viz.doctor(series(**{"saturated/tanh": [0.9, 0.9, 0.9, 0.1, 0.1]}))
    assert report == [] and len(report.past) == 1
    assert "from step 1 to 4" in str(report)


def test_a_report_reads_well():
    monitor = zoo.FAULTS["deep_sigmoid"][0](0)
    report = viz.doctor(monitor)
    text = str(report)
    assert text.startswith("1 finding in 11 looks at steps 1 to 40")
    assert "1. vanishing gradient: 0.weight, since step 1" in text
    assert "healthy above 0.001" in text and "try: " in text and "why: " in text
    assert max(map(len, text.splitlines())) <= 110
    (finding,) = report
    assert (finding.ailment, finding.place, finding.step, finding.until) == ("vanishing gradient", "0.weight", 1, None)
    assert finding.value < finding.threshold == 1e-3
    assert str(viz.doctor(series(loss=[1, 2]))) == "nothing wrong found in 2 looks at steps 1 to 2"


def recorded(model, x, y, backward=True):
    with viz.record(model) as record:
        loss = F.cross_entropy(model(x), y)
        if backward:
            loss.backward()
    return record


def test_a_single_pass_is_judged_too():
    mg.manual_seed(0)
    x, y = zoo.points(0)
    assert viz.doctor(recorded(zoo.mlp(10, 32, 4), x, y)) == []
    deep = viz.doctor(recorded(zoo.mlp(10, *[16] * 9, 4, activation=nn.Sigmoid), x, y))
    assert [f.ailment for f in deep] == ["vanishing gradient"] and deep[0].place == "0.weight"
    dead = zoo.mlp(10, 32, 4)
    nn.init.constant_(dead[0].bias, -20)
    assert "dead units" in [f.ailment for f in viz.doctor(recorded(dead, x, y))]
    flat = zoo.mlp(10, 32, 4, activation=nn.Tanh)
    zoo.scaled(flat[0].weight, 100)
    (finding,) = viz.doctor(recorded(flat, x, y))
    assert finding.ailment == "saturated" and "test_doctor.py" in finding.line and finding.place == "1/tanh"
    loud = zoo.mlp(10, 32, 4)
    zoo.scaled(loud[2].weight, 100)
    assert "initial loss" in [f.ailment for f in viz.doctor(recorded(loud, x, y))]


def test_the_first_nan_of_a_pass_is_named():
    model = zoo.mlp(10, 8, 1)
    x, _ = zoo.points(0)
    with viz.record(model) as record, np.errstate(all="ignore"):
        mg.log(model(x) * 0 - 1.0).sum().backward()
    finding = viz.doctor(record)[0]
    assert finding.ailment == "not finite" and finding.place.endswith("log") and "test_doctor.py" in finding.line


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for name, run in (("ill", zoo.FAULTS["no_zero_grad"][0]), ("well", zoo.CONTROLS["relu_network"])):
        (folder / name).mkdir()
        mg.manual_seed(0)
        run(0).save(folder / name)
    return folder


def test_the_command_tells_by_its_exit_status(runs, capsys):
    assert command.main([str(runs / "ill")]) == 1
    out = capsys.readouterr().out
    assert "gradients not cleared" in out and "optimizer.zero_grad()" in out
    assert command.main([str(runs / "well")]) == 0
    assert "nothing wrong found" in capsys.readouterr().out
    assert command.main([str(runs / "ill" / "monitor.json")]) == 1


def test_the_command_tells_of_misuse(runs, tmp_path, capsys):
    for argument, said in ((runs, "--monitor"), (runs / "none", "cannot read"), (__file__, "is no record")):
        assert command.main([str(argument)]) == 2
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1
    empty = tmp_path / "empty.json"
    Record().save(empty)
    assert command.main([str(empty)]) == 2
    assert "nothing to judge by" in capsys.readouterr().err
    broken = json.loads((runs / "well" / "monitor.json").read_text())
    broken["series"]["loss"]["values"] = [1]
    empty.write_text(json.dumps(broken))
    with pytest.raises(DataError, match="as many values as steps"):
        viz.doctor(empty)
    with pytest.raises(SystemExit) as stopped:
        command.main([])
    assert stopped.value.code == 2


def test_series_with_gaps_do_not_stop_the_doctor():
    record = series(loss=[1, math.nan], **{"update/w": [math.inf, 0.1]})
    record.series["loss"]["values"][0] = None
    record.series["gradient/w"] = {"steps": [1, 2], "values": [None, math.inf], "unit": "", "shape": [2, 2]}
    assert isinstance(viz.doctor(record), list)


def test_optimizers_in_a_list_are_all_watched():
    mg.manual_seed(0)
    model = zoo.mlp(10, 16, 4)
    pair = [optim.SGD(model[0].parameters(), lr=0.1), optim.Adam(model[2].parameters(), lr=1e-3)]
    x, y = zoo.points(0)
    with viz.Monitor(model, pair, every=2) as monitor:
        for _ in range(6):
            for one in pair:
                one.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            for one in pair:
                one.step()
            monitor.step(loss)
    assert viz.doctor(monitor) == []
    assert all(monitor.record.series[f"update/{i}.weight"]["values"][0] > 0 for i in (0, 2))
