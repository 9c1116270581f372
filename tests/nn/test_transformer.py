"""The Transformer's layers: against torch with one set of weights, causality, and decoding step by step."""

import warnings

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.errors import GraphError, ShapeError, UsageError
from minigrad.nn import functional as F

rng = np.random.default_rng(5)
N, S, T, E, H = 2, 5, 4, 8, 2
SRC_PADDING = np.array([[False] * 5, [False, False, False, True, True]])
TGT_PADDING = np.array([[False] * 4, [False, False, False, True]])
LATER = np.triu(np.ones((T, T), bool), 1)


def floats(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def shaped(batch_first, *sizes):
    x = floats(N, *sizes)
    return x if batch_first else np.ascontiguousarray(x.swapaxes(0, 1))


def perturb(module):
    """Weights such that no norm is at 1 and no bias at 0."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    with torch.no_grad():
        for p in module.parameters():
            p.add_(torch.randn_like(p) * 0.2)
    return module


def compare(ours, theirs, inputs, masks, our_extra=None, their_extra=None, atol=2e-5):
    torch = pytest.importorskip("torch")
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    xs = [mg.tensor(x, requires_grad=True) for x in inputs]
    ys = [torch.tensor(x, requires_grad=True) for x in inputs]
    a = ours(*xs, **masks, **(our_extra or {}))
    b = theirs(*ys, **{k: torch.tensor(v) for k, v in masks.items()}, **(their_extra or {}))
    g = floats(*b.shape)
    a.backward(mg.tensor(g)), b.backward(torch.tensor(g))
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), atol=atol)
    for x, y in [*zip(xs, ys), *zip(ours.parameters(), theirs.parameters())]:
        np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), atol=10 * atol, rtol=1e-3)
    back = {name: torch.tensor(t.numpy()) for name, t in ours.state_dict().items()}
    theirs.load_state_dict(back)


@pytest.mark.parametrize(
    ("batch_first", "norm_first", "activation", "bias"),
    [
        (False, False, "relu", True),
        (False, True, "gelu", True),
        (True, False, "gelu", False),
        (True, True, "relu", True),
        (True, True, "gelu", False),
    ],
)
def test_layers_against_torch(batch_first, norm_first, activation, bias):
    torch = pytest.importorskip("torch")
    args = E, H, 12, 0.0, activation, 1e-4, batch_first, norm_first, bias
    src, tgt = shaped(batch_first, S, E), shaped(batch_first, T, E)
    compare(
        nn.TransformerEncoderLayer(*args),
        perturb(torch.nn.TransformerEncoderLayer(*args)),
        [src],
        {"src_key_padding_mask": SRC_PADDING},
    )
    compare(
        nn.TransformerDecoderLayer(*args),
        perturb(torch.nn.TransformerDecoderLayer(*args)),
        [tgt, src],
        {"tgt_mask": LATER, "tgt_key_padding_mask": TGT_PADDING, "memory_key_padding_mask": SRC_PADDING},
    )


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("norm_first", [False, True])
def test_transformer_against_torch(batch_first, norm_first):
    torch = pytest.importorskip("torch")
    args = (E, H, 2, 3, 12, 0.0)
    options = {"batch_first": batch_first, "norm_first": norm_first}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch, about its nested tensors
        theirs = perturb(torch.nn.Transformer(*args, **options))
    masks = {
        "src_key_padding_mask": SRC_PADDING,
        "memory_key_padding_mask": SRC_PADDING,
        "tgt_key_padding_mask": TGT_PADDING,
        "src_mask": rng.random((S, S)) < 0.2,
        "memory_mask": rng.random((T, S)) < 0.2,
    }
    masks["src_mask"][:, 0] = masks["memory_mask"][:, 0] = False
    inputs = [shaped(batch_first, S, E), shaped(batch_first, T, E)]
    compare(
        nn.Transformer(*args, **options),
        theirs,
        inputs,
        masks,
        {"tgt_is_causal": True},
        {"tgt_mask": torch.tensor(LATER)},
        atol=5e-5,
    )


def test_masks_as_floats_and_as_flags_agree():
    model = nn.Transformer(E, H, 1, 1, 12, 0.0, batch_first=True)
    src, tgt = mg.tensor(floats(N, T, E)), mg.tensor(floats(N, T, E))
    later = model.generate_square_subsequent_mask(T)
    assert later.tolist()[0] == [0] + [-np.inf] * 3 and later.tolist()[3] == [0] * 4
    a = model(src, tgt, src_mask=later, tgt_mask=later, memory_mask=later).numpy()
    b = model(src, tgt, src_is_causal=True, tgt_is_causal=True, memory_is_causal=True).numpy()
    np.testing.assert_allclose(a, b, atol=1e-6)


def test_without_a_batch():
    model = nn.Transformer(E, H, 1, 1, 12, 0.0)
    src, tgt = mg.tensor(floats(S, E)), mg.tensor(floats(T, E))
    expected = model(src.unsqueeze(1), tgt.unsqueeze(1), tgt_is_causal=True).squeeze(1)
    np.testing.assert_allclose(model(src, tgt, tgt_is_causal=True).numpy(), expected.numpy(), atol=1e-6)


@pytest.mark.parametrize("norm_first", [False, True])
def test_future_changes_nothing_earlier(norm_first):
    model = nn.Transformer(E, H, 1, 2, 12, 0.0, batch_first=True, norm_first=norm_first)
    src, tgt = mg.tensor(floats(N, S, E)), floats(N, 6, E)
    before = model(src, mg.tensor(tgt), tgt_is_causal=True).numpy()
    tgt[:, 3:] += rng.standard_normal((N, 3, E)) * 10
    after = model(src, mg.tensor(tgt), tgt_is_causal=True).numpy()
    assert np.array_equal(before[:, :3], after[:, :3])
    assert (np.abs(before[:, 3:] - after[:, 3:]).max(-1) > 1e-3).all()


def test_padding_changes_nothing():
    model = nn.Transformer(E, H, 2, 2, 12, 0.0, batch_first=True)
    src, tgt = floats(1, 3, E), mg.tensor(floats(1, T, E))
    longer = np.concatenate([src, floats(1, 4, E)], 1)
    padding = np.arange(7)[None] >= 3
    a = model(mg.tensor(src), tgt, tgt_is_causal=True)
    b = model(mg.tensor(longer), tgt, src_key_padding_mask=padding, memory_key_padding_mask=padding, tgt_is_causal=True)
    np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-5)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("sizes", [[1] * 18, [3, 1, 1, 4]])
def test_decoding_step_by_step_equals_decoding_at_once(batch_first, norm_first, sizes):
    model = nn.Transformer(E, H, 1, 2, 12, 0.3, batch_first=batch_first, norm_first=norm_first).eval()
    time = 1 if batch_first else 0
    src, tgt = mg.tensor(shaped(batch_first, S, E)), mg.tensor(shaped(batch_first, sum(sizes), E))
    with mg.no_grad():
        memory = model.encoder(src, src_key_padding_mask=SRC_PADDING)
        expected = model.decoder(tgt, memory, tgt_is_causal=True, memory_key_padding_mask=SRC_PADDING)
        cache, parts = model.decoder.new_cache(), []
        for piece in tgt.split(sizes, time):
            assert cache.length == sum(part.shape[time] for part in parts)
            parts.append(model.decoder(piece, memory, memory_key_padding_mask=SRC_PADDING, cache=cache))
    np.testing.assert_allclose(mg.cat(parts, time).numpy(), expected.numpy(), atol=2e-5)


def test_beams_reorder_the_cache():
    model = nn.Transformer(E, H, 1, 2, 12, 0.0, batch_first=True)
    src = mg.tensor(floats(N, S, E))
    first, second = mg.tensor(floats(N, 1, E)), mg.tensor(floats(4, 1, E))
    rows = [0, 0, 1, 1]
    with mg.no_grad():
        memory = model.encoder(src)
        cache = model.decoder.new_cache()
        model.decoder(first, memory, cache=cache, memory_key_padding_mask=SRC_PADDING)
        cache.select(rows)
        # the memory is in the cache, so that of the first step will do for more rows
        out = model.decoder(second, memory, cache=cache, memory_key_padding_mask=SRC_PADDING)
        both = mg.cat([first[rows], second], 1)
        expected = model.decoder(both, memory[rows], tgt_is_causal=True, memory_key_padding_mask=SRC_PADDING[rows])
    np.testing.assert_allclose(out.numpy()[:, 0], expected.numpy()[:, 1], atol=1e-5)


def test_a_cache_needs_no_grad():
    decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(E, H, 12, batch_first=True), 1)
    with pytest.raises(GraphError, match="no_grad"):
        decoder(mg.ones(N, 1, E), mg.ones(N, S, E), cache=decoder.new_cache())
    assert nn.DecoderCache(0).length == 0


def test_dropout_acts_in_training_only():
    for norm_first in (False, True):
        model = nn.Transformer(E, H, 1, 1, 12, 0.5, batch_first=True, norm_first=norm_first)
        src, tgt = mg.ones(N, S, E), mg.ones(N, T, E)
        assert not np.array_equal(model(src, tgt).numpy(), model(src, tgt).numpy())
        model.eval()
        assert np.array_equal(model(src, tgt).numpy(), model(src, tgt).numpy())
        mg.manual_seed(1)
        model.train()
        a = model(src, tgt).numpy()
        mg.manual_seed(1)
        assert np.array_equal(model(src, tgt).numpy(), a)


def test_copies_start_alike_and_learn_apart():
    layer = nn.TransformerEncoderLayer(E, H, 12)
    encoder = nn.TransformerEncoder(layer, 2, nn.LayerNorm(E))
    first, second = encoder.layers
    assert np.array_equal(first.linear1.weight.numpy(), second.linear1.weight.numpy())
    assert first.linear1.weight is not second.linear1.weight is not layer.linear1.weight
    model = nn.Transformer(E, H, 2, 1, 12)  # which draws them anew
    first, second = model.encoder.layers
    assert not np.array_equal(first.linear1.weight.numpy(), second.linear1.weight.numpy())


def test_custom_parts_and_activations():
    class Nothing(nn.Module):
        def forward(self, src, **masks):
            return src

    model = nn.Transformer(E, H, num_decoder_layers=1, dim_feedforward=12, custom_encoder=Nothing(), activation=mg.tanh)
    assert model(mg.ones(S, N, E), mg.ones(T, N, E)).shape == (T, N, E)
    assert nn.TransformerEncoderLayer(E, H, 12, activation=nn.SiLU()).activation.__class__ is nn.SiLU
    assert nn.TransformerEncoderLayer(E, H, 12).activation is F.relu


def test_errors():
    with pytest.raises(UsageError, match="'relu', 'gelu' or a function: got 'swish'"):
        nn.TransformerEncoderLayer(E, H, activation="swish")
    model = nn.Transformer(E, H, 1, 1, 12)
    with pytest.raises(ShapeError, match="d_model=8"):
        model(mg.ones(S, N, 7), mg.ones(T, N, E))
    with pytest.raises(ShapeError, match=r"one batch size.*batch_first=False"):
        model(mg.ones(S, N, E), mg.ones(T, 3, E))


@pytest.mark.parametrize("step_by_step", [False, True])
def test_hooks_show_the_attention_weights(step_by_step):
    model = nn.Transformer(E, H, 1, 1, 12, 0.0, batch_first=True)
    attention, seen = model.decoder.layers[0].multihead_attn, []
    attention.register_forward_pre_hook(lambda m, args, kwargs: (args, kwargs | {"need_weights": True}), with_kwargs=True)
    attention.register_forward_hook(lambda m, args, out: seen.append(out[1].numpy()))
    with mg.no_grad():
        memory = model.encoder(mg.tensor(floats(N, S, E)))
        tgt = mg.tensor(floats(N, 1, E))
        cache = model.decoder.new_cache() if step_by_step else None
        model.decoder(tgt, memory, memory_key_padding_mask=SRC_PADDING, cache=cache)
    (weights,) = seen
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-6)
    assert weights.shape == (N, 1, S) and not weights[1, :, 3:].any()


# -- fused with dropout -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm_first", [False, True])
def test_fused_dropout_is_dropout(norm_first):
    """A hook that does nothing makes the layer call its Dropouts one by one: values and gradients stay the same."""
    mg.manual_seed(3)
    layer = nn.TransformerDecoderLayer(8, 2, 16, dropout=0.3, batch_first=True, norm_first=norm_first)
    x, memory = mg.randn(2, 5, 8, requires_grad=True), mg.randn(2, 4, 8)

    def step():
        mg.manual_seed(5)
        out = layer(x, memory, tgt_is_causal=True)
        layer.zero_grad()
        x.grad = None
        (out * out).sum().backward()
        return [out.numpy().copy(), x.grad.numpy().copy(), *(p.grad.numpy().copy() for p in layer.parameters())]

    fused = step()
    seen = []
    for module in layer.modules():
        if isinstance(module, nn.Dropout):
            module.register_forward_hook(lambda module, arguments, result: seen.append(module))
    for a, b in zip(fused, step()):
        np.testing.assert_allclose(a, b, rtol=2e-6, atol=2e-6)
    assert len(seen) == 4
