"""The Transformer as a model."""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.data import BOS, EOS, PAD, Batch
from minigrad.errors import AnomalyError
from models.transformer import JOB, Transformer, build


def tiny(vocabulary=12, **options):
    return Transformer(vocabulary, dim=16, ffn=16, heads=2, encoder_layers=1, decoder_layers=2, dropout=0.0, **options)


def batch_of(source, target):
    target = np.asarray(target)
    start = np.full((len(target), 1), BOS)
    end = np.full((len(target), 1), EOS)
    return Batch(np.arange(len(target)), np.asarray(source), np.hstack([start, target]), np.hstack([target, end]))


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_a_position_does_not_see_the_future(norm):
    mg.manual_seed(0)
    model = tiny(norm=norm).eval()
    random = np.random.default_rng(0)
    source = random.integers(4, 12, (2, 5))
    written = random.integers(4, 12, (2, 6))
    before = model(source, written).numpy()
    written[:, 4:] = random.integers(4, 12, (2, 2))
    after = model(source, written).numpy()
    assert np.array_equal(before[:, :4], after[:, :4])
    assert not np.array_equal(before[:, 4:], after[:, 4:])


def test_what_lies_only_in_the_future_stays_at_chance():
    """Targets are random and the source says nothing: a decoder that saw the next token would bring the loss to 0."""
    mg.manual_seed(0)
    model = tiny(vocabulary=8)
    adam = mg.optim.Adam(model.parameters(), lr=0.01)
    random = np.random.default_rng(0)

    def fresh():
        return batch_of(np.full((32, 2), 4), random.integers(4, 8, (32, 6)))

    for _ in range(150):
        loss, count = model.loss(fresh())
        adam.zero_grad()
        (loss * (1 / count)).backward()
        adam.step()
    with mg.no_grad():
        loss, count = model.loss(fresh())
    chance = 6 * math.log(4) / 7  # six random words out of four, and an <eos> whose place is certain
    assert loss.item() / count == pytest.approx(chance, abs=0.08)


def test_padding_changes_nothing():
    mg.manual_seed(0)
    model = tiny().eval()
    source = np.array([[4, 5, 6, EOS]])
    padded = np.array([[4, 5, 6, EOS, PAD, PAD, PAD]])
    written = np.array([[BOS, 7, 8]])
    assert np.allclose(model(source, written).numpy(), model(padded, written).numpy(), atol=1e-6)


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("positions", ["sinusoidal", "learned"])
def test_cached_decoding_gives_what_full_decoding_gives(norm, positions):
    mg.manual_seed(0)
    model = tiny(norm=norm, positions=positions).eval()
    source = np.array([[4, 5, 6, EOS], [7, EOS, PAD, PAD]])
    written = np.array([[BOS, 5, 9, 4, 8], [BOS, 6, 6, 7, 10]])
    with mg.no_grad():
        full = model(source, written).numpy()
        state = model.begin(source)
        for t in range(written.shape[1]):
            assert np.allclose(model.advance(state, written[:, t]), full[:, t], atol=1e-5)


def test_selected_rows_of_a_state_go_on_by_themselves():
    mg.manual_seed(0)
    model = tiny().eval()
    source = np.array([[4, 5, 6, EOS], [7, EOS, PAD, PAD]])
    with mg.no_grad():
        state = model.begin(source)
        model.advance(state, np.array([BOS, BOS]))
        state.select(np.array([1, 1, 0]))
        scores = model.advance(state, np.array([5, 6, 5]))
        full = model(source[[1, 1, 0]], np.array([[BOS, 5], [BOS, 6], [BOS, 5]])).numpy()
    assert np.allclose(scores, full[:, 1], atol=1e-5)


def test_attention_weights_are_there_for_every_layer_and_head():
    model = tiny().eval()
    weights = model.attention(np.array([[4, 5, 6, EOS, PAD]]), np.array([[BOS, 7, 8]]))
    assert weights.shape == (2, 1, 2, 3, 5)  # layers, batch, heads, target, source
    assert np.allclose(weights.sum(-1), 1, atol=1e-5)
    assert (weights[..., 4] == 0).all()


def test_tied_matrices_are_one_parameter():
    def parameters(tie):
        return sum(p.numel() for p in tiny(tie=tie).parameters())

    assert parameters("decoder") - parameters("all") == 12 * 16
    assert parameters("none") - parameters("decoder") == 12 * 16


def test_the_loss_is_that_of_torch_on_the_same_scores():
    torch = pytest.importorskip("torch")
    mg.manual_seed(0)
    model = tiny().eval()
    batch = batch_of([[4, 5, EOS], [6, EOS, PAD]], [[7, 8], [9, 10]])
    batch.target[1, 2] = PAD
    scores = torch.tensor(model(batch.source, batch.target_input).numpy())
    for smoothing in (0.0, 0.1):
        loss, count = model.loss(batch, label_smoothing=smoothing)
        expected = torch.nn.functional.cross_entropy(
            scores.reshape(-1, 12),
            torch.tensor(batch.target).reshape(-1),
            ignore_index=PAD,
            reduction="sum",
            label_smoothing=smoothing,
        )
        assert count == 5
        assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_blame_names_the_operation():
    mg.manual_seed(0)
    model = tiny()
    with mg.no_grad():
        model.encoder.layers[0].linear1.weight[...] = 1e38
    with pytest.raises(AnomalyError, match="linear"), mg.detect_anomaly():
        model.loss(batch_of([[4, 5, EOS]], [[7, 8]]))


def test_token_ids_out_of_range():
    model = tiny(vocabulary=8)
    with pytest.raises(mg.errors.DimensionError, match="8"):
        model.loss(batch_of([[9, EOS]], [[5]]))


def test_every_preset_builds():
    from models.transformer import PRESETS, RECIPES

    for name in ("mini", "tiny", "small"):
        options = JOB.settle(JOB.parser().parse_args(["train", "--preset", name]))
        assert options["dim"] == PRESETS[name]["dim"]
        assert isinstance(build(options, 50), nn.Module)
    assert {"dates", "phrases", "reverse", "copy", "text"} == RECIPES.keys()
