"""The benchmark's recurrent translators: both libraries compute the same loss and the same gradients."""

import numpy as np
import pytest

import minigrad as mg
from tools.bench.groups import train_seq2seq


@pytest.mark.parametrize("cell", ["LSTM", "GRU"])
@pytest.mark.parametrize("layers", [1, 2])
def test_both_translators_compute_the_same_loss_and_gradients(cell, layers):
    torch = pytest.importorskip("torch")
    ours, theirs = (train_seq2seq.translator(library, 50, cell, layers, 8) for library in (mg, torch))
    theirs.load_state_dict({name: torch.from_numpy(np.array(value.data)) for name, value in ours.state_dict().items()})
    losses = [
        model.loss(*train_seq2seq.words(library, 50, time=6, batch=3)) for model, library in ((ours, mg), (theirs, torch))
    ]
    assert losses[0].item() == pytest.approx(losses[1].item(), rel=1e-5)
    for loss in losses:
        loss.backward()
    expected = dict(theirs.named_parameters())
    for name, p in ours.named_parameters():
        np.testing.assert_allclose(p.grad.data, expected[name].grad, rtol=2e-3, atol=1e-6, err_msg=name)


def test_a_step_changes_every_parameter(monkeypatch):
    made = []
    build = train_seq2seq.translator
    monkeypatch.setattr(train_seq2seq, "translator", lambda *arguments: made.append(build(*arguments)) or made[0])
    for name, size in (("VOCABULARY", 40), ("BATCH", 2), ("TIME", 5)):
        monkeypatch.setattr(train_seq2seq, name, size)
    step = train_seq2seq.step(mg, "LSTM", 1, 8)
    before = {name: np.array(p.data) for name, p in made[0].named_parameters()}
    step()
    assert [name for name, p in made[0].named_parameters() if np.array_equal(p.data, before[name])] == []
