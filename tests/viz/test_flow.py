"""The picture of gradient flow: what its panels show, against the series they are drawn from."""

import sys

import numpy as np
import pytest

import minigrad as mg
from minigrad import viz
from minigrad.errors import DataError, MissingExtraError
from minigrad.viz.record import Record
from tests.viz import zoo


@pytest.fixture(scope="module")
def watched():
    pytest.importorskip("matplotlib")
    mg.manual_seed(0)
    return {"deep": zoo.FAULTS["deep_sigmoid"][0](0), "recurrent": zoo.CONTROLS["gru"](0)}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_panel_has_a_title_and_axes_say_what_they_show(watched, theme):
    picture = viz.grad_flow(watched["deep"], theme=theme)
    panels = [axes for axes in picture.figure.axes if axes.get_title(loc="left")]
    assert len(panels) == 4
    assert all(axes.get_xlabel() for axes in panels)
    assert picture.figure.axes[0].get_xscale() == "log"
    labels = [text.get_text() for text in panels[0].get_legend().get_texts()]
    assert labels == ["step 1", "step 20", "step 40", "vanishing"]
    assert "10 weight matrices over 11 looks" in picture.text


def test_the_lines_are_the_gradients_per_weight(watched):
    series = watched["deep"].record.series
    axes = viz.grad_flow(watched["deep"]).figure.axes[0]
    first, _, last = (line.get_xdata() for line in axes.get_lines()[:3])
    names = [f"gradient/{2 * i}.weight" for i in range(10)]
    for drawn, which in ((first, 0), (last, -1)):
        expected = [series[n]["values"][which] / np.sqrt(np.prod(series[n]["shape"])) for n in names]
        assert drawn == pytest.approx(expected, rel=1e-6)


def test_recurrent_models_show_time(watched):
    picture = viz.grad_flow(watched["recurrent"])
    axes = next(a for a in picture.figure.axes if "Through time" in a.get_title(loc="left"))
    line = axes.get_lines()[-1]
    series = watched["recurrent"].record.series
    assert line.get_xdata().tolist() == list(range(0, -8, -1))
    assert line.get_ydata() == pytest.approx([series[f"time/rnn.l0/{lag}"]["values"][-1] for lag in range(8)])


def test_it_draws_from_a_run_directory_and_writes_every_format(watched, tmp_path):
    watched["deep"].save(tmp_path)
    picture = viz.grad_flow(tmp_path, title="a $run")
    for kind in ("svg", "png", "pdf"):
        assert picture.save(tmp_path / f"flow.{kind}").stat().st_size > 5000


def test_one_look_zeros_and_broken_numbers_can_be_drawn():
    pytest.importorskip("matplotlib")
    record = Record()
    for name, values in {"gradient/a": [0.0], "gradient/b": [float("nan")], "update/a": [0.0]}.items():
        record.log(name, 1, values[0])
        record.series[name]["shape"] = [2, 3]
    assert len(viz.grad_flow(record).render("png")) > 5000


def test_without_gradients_or_matplotlib_it_says_what_to_do(watched, monkeypatch):
    with pytest.raises(DataError, match=r"call monitor.step\(loss\)"):
        viz.grad_flow(Record())
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match="pip install"):
        viz.grad_flow(watched["deep"])
