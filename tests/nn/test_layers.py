"""The layers with weights of their own, and the activations: against torch, with weights moved both ways."""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.errors import DimensionError, DTypeError, ShapeError, UsageError

rng = np.random.default_rng(7)


def floats(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def same_as_torch(ours, theirs, *inputs, atol=1e-5):
    """Forward and backward with torch's weights, and then with ours in torch."""
    torch = pytest.importorskip("torch")
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for direction in ("to us", "to torch"):
        if direction == "to us":
            ours.load_state_dict(theirs.state_dict())
        else:
            for p in ours.parameters():
                nn.init.normal_(p)
            theirs.load_state_dict({name: torch.tensor(t.numpy()) for name, t in ours.state_dict().items()})
        ours.zero_grad(), theirs.zero_grad()
        xs = [mg.tensor(x, requires_grad=x.dtype.kind == "f") for x in inputs]
        ys = [torch.tensor(x, requires_grad=x.dtype.kind == "f") for x in inputs]
        a, b = ours(*xs), theirs(*ys)
        g = np.cos(np.arange(b.numel())).reshape(b.shape).astype(np.float32)
        a.backward(mg.tensor(g)), b.backward(torch.tensor(g))
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), atol=atol, rtol=1e-4)
        for x, y in [*zip(xs, ys), *zip(ours.parameters(), theirs.parameters())]:
            if y.grad is not None:
                np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), atol=atol, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "args", "shape"),
    [
        ("Linear", (4, 3), (2, 5, 4)),
        ("Linear", (4, 3, False), (4,)),
        ("LayerNorm", (4,), (2, 3, 4)),
        ("LayerNorm", ((3, 4), 1e-3, True, False), (2, 3, 4)),
        ("LayerNorm", (4, 1e-5, False), (3, 4)),
        ("RMSNorm", (4,), (2, 3, 4)),
        ("RMSNorm", ((3, 4), 1e-2, False), (2, 3, 4)),
        ("Identity", (54, "whatever"), (2, 3)),
        ("ReLU", (), (3, 4)),
        ("LeakyReLU", (0.2,), (3, 4)),
        ("ELU", (0.7,), (3, 4)),
        ("GELU", (), (3, 4)),
        ("GELU", ("tanh",), (3, 4)),
        ("SiLU", (), (3, 4)),
        ("Sigmoid", (), (3, 4)),
        ("LogSigmoid", (), (3, 4)),
        ("Tanh", (), (3, 4)),
        ("Softplus", (2.0, 1.0), (3, 4)),
        ("GLU", (0,), (4, 3)),
        ("GLU", (), (4, 6)),
        ("Softmax", (0,), (3, 4)),
        ("LogSoftmax", (-1,), (3, 4)),
    ],
)
def test_against_torch(name, args, shape):
    torch = pytest.importorskip("torch")
    same_as_torch(getattr(nn, name)(*args), getattr(torch.nn, name)(*args), floats(*shape))


@pytest.mark.parametrize("padding_idx", [None, 1, -1])
def test_embedding_against_torch(padding_idx):
    torch = pytest.importorskip("torch")
    ids = np.array([[0, 1, 4], [4, 4, 2]])
    same_as_torch(nn.Embedding(5, 3, padding_idx), torch.nn.Embedding(5, 3, padding_idx), ids)


@pytest.mark.parametrize("name", ["Linear", "Embedding", "LayerNorm", "MultiheadAttention"])
def test_first_weights_are_distributed_as_torchs(name):
    torch = pytest.importorskip("torch")
    args = (64, 4) if name == "MultiheadAttention" else (64,) if name == "LayerNorm" else (64, 96)
    mg.manual_seed(1), torch.manual_seed(1)
    ours, theirs = getattr(nn, name)(*args), getattr(torch.nn, name)(*args)
    for (key, p), q in zip(ours.named_parameters(), theirs.parameters()):
        a, b = p.detach().numpy(), q.detach().numpy()
        assert p.shape == tuple(q.shape), key
        assert abs(a.mean() - b.mean()) < 0.03 and a.std() == pytest.approx(b.std(), rel=0.2, abs=1e-6), key
        if name == "Linear":
            assert np.abs(a).max() <= 1 / math.sqrt(64)


def test_seed_decides_the_weights():
    def weights():
        mg.manual_seed(3)
        return nn.Linear(4, 4).weight.numpy()

    assert np.array_equal(weights(), weights())


@pytest.mark.parametrize(
    "layer",
    [
        lambda **k: nn.Linear(3, 2, **k),
        lambda **k: nn.Embedding(3, 2, **k),
        lambda **k: nn.LayerNorm(3, **k),
        lambda **k: nn.RMSNorm(3, **k),
        lambda **k: nn.MultiheadAttention(4, 2, **k),
        lambda **k: nn.TransformerDecoderLayer(4, 2, 8, **k),
        lambda **k: nn.PositionalEncoding(4, learned=True, **k),
    ],
)
def test_dtype_of_the_parameters(layer):
    assert {p.dtype for p in layer().parameters()} == {np.dtype("float32")}
    assert {p.dtype for p in layer(dtype=mg.float64).parameters()} == {np.dtype("float64")}


def test_linear_in_float64_and_without_rows():
    layer = nn.Linear(3, 2).double()
    assert layer(mg.ones(1, 3, dtype=mg.float64)).dtype == mg.float64
    assert nn.Linear(3, 2)(mg.ones(0, 3)).shape == (0, 2)
    with pytest.raises(ShapeError, match="in_features"):
        nn.Linear(3, 2)(mg.ones(1, 4))


def test_embedding_padding_row_starts_at_zero_and_stays():
    layer = nn.Embedding(4, 3, padding_idx=-2)
    assert layer.padding_idx == 2 and layer.weight[2].tolist() == [0, 0, 0]
    layer(mg.tensor([2, 2, 1])).sum().backward()
    assert layer.weight.grad[2].tolist() == [0, 0, 0] and layer.weight.grad[1].tolist() == [1, 1, 1]


def test_embedding_from_pretrained():
    table = mg.tensor(floats(4, 3))
    frozen = nn.Embedding.from_pretrained(table)
    assert not frozen.weight.requires_grad and (frozen.num_embeddings, frozen.embedding_dim) == (4, 3)
    assert np.shares_memory(frozen.weight.numpy(), table.numpy())
    assert nn.Embedding.from_pretrained(table, freeze=False, padding_idx=-1).padding_idx == 3
    assert np.array_equal(frozen(mg.tensor([3])).numpy()[0], table.numpy()[3])
    with pytest.raises(ShapeError):
        nn.Embedding.from_pretrained(mg.ones(3))
    with pytest.raises(UsageError):
        nn.Embedding.from_pretrained(table, padding_idx=4)


def test_embedding_errors():
    with pytest.raises(UsageError, match=r"4 rows.*got 4"):
        nn.Embedding(4, 2, padding_idx=4)
    with pytest.raises(DimensionError, match="got 4"):
        nn.Embedding(4, 2)(mg.tensor([0, 4]))
    with pytest.raises(DTypeError):
        nn.Embedding(4, 2)(mg.tensor([0.0]))


def test_dropout_acts_in_training_only():
    x = mg.ones(100, 100)
    layer = nn.Dropout(0.25)
    y = layer(x).numpy()
    assert set(np.unique(y)) == {np.float32(0), np.float32(4 / 3)}
    assert (y == 0).mean() == pytest.approx(0.25, abs=0.02)
    assert layer.eval()(x) is x
    assert nn.Dropout(0.0)(x) is x and not nn.Dropout(1.0)(x).numpy().any()
    for p in (-0.1, 1.1):
        with pytest.raises(UsageError, match="between 0 and 1"):
            nn.Dropout(p)


def test_inplace_activations_write_over_their_input():
    for layer in (nn.ReLU(inplace=True), nn.LeakyReLU(0.1, inplace=True), nn.ELU(1.0, True), nn.SiLU(True)):
        x = mg.tensor([-1.0, 2.0])
        y = layer(x)
        assert y is x and x[0].item() > -1
        assert "inplace=True" in repr(layer)


@pytest.mark.parametrize("layer", [nn.LayerNorm(3, bias=False), nn.LayerNorm(3, elementwise_affine=False)])
def test_layer_norm_without_parameters(layer):
    x = floats(5, 3)
    expected = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(layer(mg.tensor(x)).detach().numpy(), expected, atol=1e-5)


# -- positions ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("features", [1, 6, 7])
def test_sinusoids_are_those_of_the_paper(features):
    layer = nn.PositionalEncoding(features, batch_first=True)
    y = layer(mg.zeros(2, 200, features)).numpy()
    for position in (0, 1, 63, 64, 199):
        for i in range(features):
            angle = position / 10000 ** ((i - i % 2) / features)
            expected = math.cos(angle) if i % 2 else math.sin(angle)
            assert y[1, position, i] == pytest.approx(expected, abs=1e-6)


def test_positions_of_any_length_and_offset():
    layer = nn.PositionalEncoding(4, max_len=8)
    long = layer(mg.zeros(300, 1, 4)).numpy()
    assert np.array_equal(layer(mg.zeros(3, 1, 4), offset=297).numpy(), long[297:])
    assert np.array_equal(layer(mg.zeros(300, 4)).numpy(), long[:, 0])
    assert np.array_equal(layer(mg.zeros(300, 2, 4)).numpy()[:, 1], long[:, 0])
    exact = layer(mg.zeros(10, 4, dtype=mg.float64))
    assert exact.dtype == mg.float64 and np.abs(exact.numpy() - long[:10, 0]).max() < 1e-7
    assert not layer.state_dict()


def test_learned_positions():
    layer = nn.PositionalEncoding(4, max_len=8, learned=True, batch_first=True)
    assert list(layer.state_dict()) == ["weight"]
    layer(mg.zeros(3, 5, 4), offset=2).sum().backward()
    assert layer.weight.grad.numpy()[:, 0].tolist() == [0, 0, 3, 3, 3, 3, 3, 0]
    assert layer(mg.zeros(8, 4)).shape == (8, 4)
    with pytest.raises(ShapeError, match="8 positions, and 9 are needed"):
        layer(mg.zeros(1, 5, 4), offset=4)


def test_positional_encoding_drops_out_and_checks():
    layer = nn.PositionalEncoding(4, dropout=0.5)
    x = mg.ones(50, 4)
    assert (layer(x).numpy() == 0).any() and not (layer.eval()(x).numpy() == 0).all()
    assert "sinusoidal" in repr(layer) and "max_len=3" in repr(nn.PositionalEncoding(2, max_len=3, learned=True))
    with pytest.raises(ShapeError, match="4 features"):
        layer(mg.ones(3, 5))
    with pytest.raises(UsageError, match="offset -1"):
        layer(mg.ones(3, 4), offset=-1)
    with pytest.raises(UsageError):
        nn.PositionalEncoding(4, dropout=2)
