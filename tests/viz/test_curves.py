"""Loss curves as a picture: the values are those recorded."""

import numpy as np
import pytest

from minigrad import viz
from minigrad.errors import DataError
from minigrad.training.rundir import RunDirectory

pytest.importorskip("matplotlib", reason="pictures are drawn by matplotlib, the extra viz")


def test_a_run_is_drawn_as_it_was(tmp_path):
    run = RunDirectory.create(tmp_path / "a-run")
    for step in (1, 2, 3):
        run.record(step, loss=3.0 / step, lr=0.1)
    run.record(3, valid_loss=1.5, bleu=20.0)
    picture = viz.curves(run)
    losses, scores, rates = picture.figure.axes
    training, validation, _ring = losses.lines
    np.testing.assert_allclose(training.get_xydata(), [[1, 3], [2, 1.5], [3, 1]])
    np.testing.assert_allclose(validation.get_xydata(), [[3, 1.5]])
    np.testing.assert_allclose(scores.lines[0].get_xydata(), [[3, 20]])
    np.testing.assert_allclose(rates.lines[0].get_ydata(), 0.1)
    assert [axes.get_ylabel() for axes in picture.figure.axes] == ["loss (nats per token)", "score (%)", "learning rate"]
    assert picture.figure.get_suptitle() == "a-run" and "best validation loss 1.5 at step 3" in repr(picture)


def test_a_spike_leaves_the_frame_and_a_gap_stays(rng):
    lines = [{"step": i, "loss": float(v)} for i, v in enumerate(1 + 0.01 * rng.standard_normal(200))]
    lines[50]["loss"], lines[90]["loss"] = 1000.0, float("nan")
    (axes,) = viz.curves(lines, log_scale=False).figure.axes
    assert axes.get_ylim()[1] < 10
    assert len(axes.lines) == 2 and axes.lines[0].get_alpha() < 0.5  # the faint values behind


def test_nothing_recorded():
    with pytest.raises(DataError, match="got no losses"):
        viz.curves([{"step": 1}])
