"""The recurrent translator as a model."""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad.data import BOS, EOS, PAD, Batch
from minigrad.decoding import beam_search, greedy
from minigrad.errors import UsageError
from models.seq2seq import JOB, PRESETS, RECIPES, Seq2Seq, build

SOURCE = np.array([[4, 5, 6, EOS], [7, EOS, PAD, PAD], [8, 4, EOS, PAD]])
WRITTEN = np.array([[BOS, 5, 9, 4, 8], [BOS, 6, 6, 7, 10], [BOS, 4, 4, 11, 5]])

KINDS = {
    "general": {},
    "additive": {"attention": "additive"},
    "dot": {"attention": "dot", "encoder_hidden": 4, "decoder_hidden": 8, "bridge": "copy"},
    "none": {"attention": "none", "cell": "lstm"},
    "lstm": {"cell": "lstm", "layers": 2},
    "one direction": {"bidirectional": False, "encoder_hidden": 6, "decoder_hidden": 6, "bridge": "copy", "cell": "lstm"},
    "fed": {"input_feeding": True, "layers": 2},
    "fed, no attention": {"input_feeding": True, "attention": "none"},
    "eos": {"start": "eos", "tie": "none"},
}


def tiny(vocabulary=12, **options):
    mg.manual_seed(0)
    return Seq2Seq(vocabulary, **{"dim": 6, "encoder_hidden": 5, "decoder_hidden": 7, **options})


def batch_of(source, target):
    target = np.asarray(target)
    start = np.full((len(target), 1), BOS)
    end = np.full((len(target), 1), EOS)
    return Batch(np.arange(len(target)), np.asarray(source), np.hstack([start, target]), np.hstack([target, end]))


@pytest.fixture(params=KINDS)
def model(request):
    return tiny(**KINDS[request.param]).eval()


def test_a_position_does_not_see_the_future(model):
    before = model(SOURCE, WRITTEN).numpy()
    changed = WRITTEN.copy()
    changed[:, 3:] = [[6, 4], [4, 4], [9, 9]]
    after = model(SOURCE, changed).numpy()
    assert np.array_equal(before[:, :3], after[:, :3])
    assert not np.array_equal(before[:, 3:], after[:, 3:])


def test_steps_give_what_the_whole_sentence_gives(model):
    with mg.no_grad():
        full = model(SOURCE, WRITTEN).numpy()
        state = model.begin(SOURCE)
        for t in range(WRITTEN.shape[1]):
            assert np.allclose(model.advance(state, WRITTEN[:, t]), full[:, t], atol=1e-6)


def test_a_sentence_in_a_batch_is_as_alone(model):
    full = model(SOURCE, WRITTEN).numpy()
    padded = np.full((3, 9), PAD)
    padded[:, :4] = SOURCE
    assert np.allclose(model(padded, WRITTEN).numpy(), full, atol=1e-6)
    for row in range(3):
        own = SOURCE[row : row + 1, : np.count_nonzero(SOURCE[row])]
        assert np.allclose(model(own, WRITTEN[row : row + 1]).numpy(), full[row : row + 1], atol=1e-6)


def test_the_loss_of_a_batch_is_that_of_its_sentences(model):
    batch = batch_of(SOURCE, WRITTEN[:, 1:])
    batch.target[1, 2:], batch.target_input[1, 3:] = [EOS, PAD, PAD], PAD
    together, count = model.loss(batch)
    assert count == 13
    lengths = np.count_nonzero(batch.target, axis=1)
    alone = 0.0
    for row, length in enumerate(lengths):
        rows = slice(row, row + 1)
        own = Batch(np.array([0]), SOURCE[rows], batch.target_input[rows, :length], batch.target[rows, :length])
        alone += model.loss(own)[0].item()
    assert together.item() == pytest.approx(alone, rel=1e-5)


def test_what_padding_holds_gets_no_gradient(model):
    loss, _ = model.loss(batch_of(SOURCE, WRITTEN[:, 1:]))
    loss.backward()
    assert (model.source_embedding.weight.grad.numpy()[PAD] == 0).all() or model.output.weight is model.source_embedding.weight
    assert all(p.grad is not None and np.isfinite(p.grad.numpy()).all() for p in model.parameters())


def test_selected_rows_of_a_state_go_on_by_themselves(model):
    rows = np.array([1, 1, 0])
    with mg.no_grad():
        state = model.begin(SOURCE)
        model.advance(state, WRITTEN[:, 0])
        state.select(rows)
        state.select(np.array([1, 0, 2]))  # beams of one sentence that change places
        scores = model.advance(state, np.array([6, 5, 5]))
        full = model(SOURCE[rows], np.array([[BOS, 6], [BOS, 5], [BOS, 5]])).numpy()
    assert np.allclose(scores, full[:, 1], atol=1e-6)


def test_a_beam_of_one_is_greedy_and_a_wider_one_finds_no_worse(model):
    with mg.no_grad():
        model.output.weight.copy_(model.output.weight * 8)  # far from uniform, so that the search has something to find
    one = beam_search(model, SOURCE, beam_size=1, length_penalty=0.0, max_length=6)
    found = greedy(model, SOURCE, max_length=6)
    wide = beam_search(model, SOURCE, beam_size=12, length_penalty=0.0, max_length=6)
    for [single], other, [best, *_] in zip(one, found, wide):
        assert single.tokens == other.tokens
        assert best.score >= single.score - 1e-5


def test_the_loss_is_that_of_torch_on_the_same_scores():
    torch = pytest.importorskip("torch")
    model = tiny().eval()
    batch = batch_of(SOURCE, WRITTEN[:, 1:])
    batch.target[1, 4] = PAD
    scores = torch.tensor(model(batch.source, batch.target_input).numpy())
    for smoothing in (0.0, 0.1):
        loss, count = model.loss(batch, label_smoothing=smoothing)
        flat = scores.reshape(-1, 12), torch.tensor(batch.target).reshape(-1)
        expected = torch.nn.functional.cross_entropy(*flat, ignore_index=PAD, reduction="sum", label_smoothing=smoothing)
        assert count == 14
        assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_it_is_the_same_model_in_torch(cell):
    """Encoder, bridge, attention and decoder, written with torch's own layers and given the same weights."""
    torch = pytest.importorskip("torch")
    model = tiny(cell=cell, layers=2).eval()
    kind = torch.nn.LSTM if cell == "lstm" else torch.nn.GRU
    encoder, decoder = kind(6, 5, 2, bidirectional=True, batch_first=True), kind(6, 7, 2, batch_first=True)
    for mine, theirs in ((model.encoder, encoder), (model.decoder, decoder)):
        theirs.load_state_dict({name: torch.tensor(p.numpy()) for name, p in mine.state_dict().items()})
    weight = {name: torch.tensor(p.numpy()) for name, p in model.state_dict().items()}
    source, written = SOURCE[:1], WRITTEN[:1]
    with torch.no_grad():
        embedded = weight["source_embedding.weight"]
        memory, states = encoder(embedded[torch.tensor(source)])
        states = states if cell == "lstm" else (states,)
        started, place = [], 0
        for state in states:
            layers = []
            for layer in range(2):
                joined = torch.cat([state[2 * layer], state[2 * layer + 1]], 1)
                w, b = weight[f"bridge.{place}.weight"], weight[f"bridge.{place}.bias"]
                layers.append(torch.tanh(joined @ w.T + b))
                place += 1
            started.append(torch.stack(layers))
        out, _ = decoder(embedded[torch.tensor(written)], tuple(started) if cell == "lstm" else started[0])
        weights = torch.softmax(out @ weight["attention.key.weight"] @ memory.mT, -1)
        hidden = torch.tanh(torch.cat([out, weights @ memory], 2) @ weight["readout.weight"].T)
        expected = hidden @ weight["output.weight"].T + weight["output.bias"]
    assert np.allclose(model(source, written).numpy(), expected.numpy(), atol=1e-5)


def test_scheduled_sampling():
    batch = batch_of(SOURCE, WRITTEN[:, 1:])
    forced, _ = tiny().loss(batch)
    steps = tiny(scheduled_sampling=1e-12)  # step by step, and no word is ever replaced
    assert steps.loss(batch)[0].item() == pytest.approx(forced.item(), rel=1e-5)
    model = tiny(scheduled_sampling=0.999999)
    with mg.no_grad():
        model.output.bias[7] = 9.0  # so that what it would have written is known
    own = WRITTEN.copy()
    own[:, 1:] = 7
    sampled = model.loss(batch)[0].item()
    changed = Batch(batch.indices, batch.source, own, batch.target)
    assert sampled == pytest.approx(model.eval().loss(changed)[0].item(), rel=1e-5)
    assert model.loss(batch)[0].item() != pytest.approx(sampled, rel=1e-4)  # and evaluation is teacher-forced


def test_dropout_is_for_training_alone():
    model = tiny(dropout=0.5, layers=2)
    assert not np.array_equal(model(SOURCE, WRITTEN).numpy(), model(SOURCE, WRITTEN).numpy())
    model.eval()
    assert np.array_equal(model(SOURCE, WRITTEN).numpy(), model(SOURCE, WRITTEN).numpy())


@pytest.mark.parametrize("kind", ["general", "additive", "fed"])
def test_where_it_looks(kind):
    weights = tiny(**KINDS[kind]).eval().align(SOURCE, WRITTEN)
    assert weights.shape == (3, 5, 4)
    assert np.allclose(weights.sum(-1), 1, atol=1e-6)
    assert (weights[1, :, 2:] == 0).all() and (weights[2, :, 3:] == 0).all()
    with pytest.raises(UsageError, match="without attention"):
        tiny(attention="none").align(SOURCE, WRITTEN)


def test_lengths_of_one_and_of_padding_alone():
    model = tiny().eval()
    short = model(np.array([[EOS], [5]]), np.array([[BOS], [BOS]]))
    assert short.shape == (2, 1, 12) and np.isfinite(short.numpy()).all()
    empty = model(np.array([[4, EOS], [PAD, PAD]]), np.array([[BOS], [BOS]])).numpy()
    assert np.isfinite(empty).all()


def test_it_learns_to_copy_and_reads_longer_sentences_than_it_has_learnt():
    mg.manual_seed(0)
    model = Seq2Seq(8, dim=16, encoder_hidden=16, decoder_hidden=32)
    adam = mg.optim.Adam(model.parameters(), lr=0.01)
    random = np.random.default_rng(0)
    for _ in range(250):
        words = random.integers(4, 8, (32, 4))
        loss, count = model.loss(batch_of(np.hstack([words, np.full((32, 1), EOS)]), words))
        adam.zero_grad()
        (loss * (1 / count)).backward()
        adam.step()
    model.eval()
    words = random.integers(4, 8, (20, 4))
    found = greedy(model, np.hstack([words, np.full((20, 1), EOS)]))
    assert sum(h.tokens == list(row) for h, row in zip(found, words)) >= 18
    assert loss.item() / count < 0.5 * math.log(4)
    longer = greedy(model, np.hstack([random.integers(4, 8, (2, 30)), np.full((2, 1), EOS)]))
    assert all(h.tokens for h in longer)


def test_tied_and_frozen_matrices():
    def parameters(tie):
        return sum(p.numel() for p in tiny(tie=tie).parameters())

    assert parameters("decoder") - parameters("all") == 12 * 6
    assert parameters("none") - parameters("decoder") == 12 * 6
    model = tiny(tie="none", frozen=("source",))
    model.loss(batch_of(SOURCE, WRITTEN[:, 1:]))[0].backward()
    assert model.source_embedding.weight.grad is None and model.target_embedding.weight.grad is not None


def test_every_preset_builds():
    for name in PRESETS:
        options = JOB.settle(JOB.parser().parse_args(["train", "--preset", name]))
        assert isinstance(build(options, 50), Seq2Seq) and options["data"] == "phrases"
    assert {"phrases", "dates", "reverse", "copy", "text"} == RECIPES.keys()
