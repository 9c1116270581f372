"""Multi-head attention: against torch, its masks, and its caches."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.errors import DTypeError, GraphError, ShapeError, UsageError

rng = np.random.default_rng(11)
N, L, S, E, H = 3, 4, 5, 8, 2


def floats(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def layout(x, batch_first):
    return x if batch_first else np.ascontiguousarray(x.swapaxes(0, 1))


PADDING = np.array([[False] * 5, [False, False, True, True, True], [True, False, False, False, True]])
MASK = np.array([[False, True, True, False, True]] * 2 + [[False] * 5] * 2)
PER_HEAD = rng.random((N * H, L, S)) < 0.3
PER_HEAD[..., 1] = False  # no query without a key: torch would give NaN


def as_floats(mask):
    return np.where(mask, -np.inf, 0).astype(np.float32)


MASKS = {
    "none": {},
    "padding": {"key_padding_mask": PADDING},
    "float padding": {"key_padding_mask": as_floats(PADDING)},
    "mask": {"attn_mask": MASK},
    "float mask": {"attn_mask": floats(L, S)},
    "mask per head": {"attn_mask": PER_HEAD},
    "float mask per head": {"attn_mask": floats(N * H, L, S)},
    "both": {"attn_mask": MASK & False | (np.arange(5) == 3), "key_padding_mask": PADDING},
    "both as floats": {"attn_mask": floats(L, S), "key_padding_mask": as_floats(PADDING)},
}


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.parametrize("masks", MASKS)
def test_cross_attention_against_torch(batch_first, need_weights, masks):
    torch = pytest.importorskip("torch")
    theirs = torch.nn.MultiheadAttention(E, H, batch_first=batch_first)
    torch.nn.init.normal_(theirs.in_proj_bias), torch.nn.init.normal_(theirs.out_proj.bias)
    ours = nn.MultiheadAttention(E, H, batch_first=batch_first)
    ours.load_state_dict(theirs.state_dict())
    query, memory = layout(floats(N, L, E), batch_first), layout(floats(N, S, E), batch_first)
    a, b = mg.tensor(query, requires_grad=True), mg.tensor(memory, requires_grad=True)
    c, d = torch.tensor(query, requires_grad=True), torch.tensor(memory, requires_grad=True)
    options = {"need_weights": need_weights, "average_attn_weights": False}
    out, weights = ours(a, b, b, **MASKS[masks], **options)
    expected, torch_weights = theirs(c, d, d, **{k: torch.tensor(v) for k, v in MASKS[masks].items()}, **options)
    g = floats(*expected.shape)
    out.backward(mg.tensor(g)), expected.backward(torch.tensor(g))
    np.testing.assert_allclose(out.detach().numpy(), expected.detach().numpy(), atol=1e-5)
    if need_weights:
        np.testing.assert_allclose(weights.detach().numpy(), torch_weights.detach().numpy(), atol=1e-6)
    else:
        assert weights is None
    for x, y in [(a, c), (b, d), *zip(ours.parameters(), theirs.parameters())]:
        np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), atol=2e-5)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_self_attention_against_torch(batch_first, causal, bias):
    torch = pytest.importorskip("torch")
    theirs = torch.nn.MultiheadAttention(E, H, bias=bias, batch_first=batch_first)
    ours = nn.MultiheadAttention(E, H, bias=bias, batch_first=batch_first)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    theirs.load_state_dict({k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()})
    x = layout(floats(N, S, E), batch_first)
    a, c = mg.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    later = torch.triu(torch.ones(S, S, dtype=torch.bool), 1) if causal else None
    out, _ = ours(a, a, a, need_weights=False, is_causal=causal)
    expected, _ = theirs(c, c, c, need_weights=False, attn_mask=later)
    g = floats(*expected.shape)
    out.backward(mg.tensor(g)), expected.backward(torch.tensor(g))
    np.testing.assert_allclose(out.detach().numpy(), expected.detach().numpy(), atol=1e-5)
    for p, q in [(a, c), *zip(ours.parameters(), theirs.parameters())]:
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), atol=2e-5)
    # both masks, and the mask besides the flag, say the same
    again, average = ours(a, a, a, attn_mask=np.triu(np.ones((S, S), bool), 1) if causal else None, is_causal=causal)
    np.testing.assert_allclose(again.detach().numpy(), out.detach().numpy(), atol=1e-6)
    np.testing.assert_allclose(average.detach().numpy().sum(-1), 1, atol=1e-6)


def test_other_key_and_value_features_against_torch():
    torch = pytest.importorskip("torch")
    theirs = torch.nn.MultiheadAttention(E, H, kdim=3, vdim=6, batch_first=True)
    ours = nn.MultiHeadAttention(E, H, kdim=3, vdim=6, batch_first=True)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    arrays = floats(N, L, E), floats(N, S, 3), floats(N, S, 6)
    out, weights = ours(*map(mg.tensor, arrays))
    expected, torch_weights = theirs(*map(torch.tensor, arrays))
    np.testing.assert_allclose(out.detach().numpy(), expected.detach().numpy(), atol=1e-5)
    np.testing.assert_allclose(weights.detach().numpy(), torch_weights.detach().numpy(), atol=1e-6)


@pytest.mark.parametrize("batch_first", [False, True])
def test_without_a_batch(batch_first):
    layer = nn.MultiheadAttention(E, H, batch_first=batch_first)
    query, memory = mg.tensor(floats(L, E)), mg.tensor(floats(S, E))
    dim = 0 if batch_first else 1
    out, weights = layer(query, memory, memory, key_padding_mask=PADDING[1])
    expected, expected_weights = layer(
        query.unsqueeze(dim), memory.unsqueeze(dim), memory.unsqueeze(dim), key_padding_mask=PADDING[1:2]
    )
    assert np.array_equal(out.numpy(), expected.squeeze(dim).numpy())
    assert weights.shape == (L, S) and np.array_equal(weights.numpy(), expected_weights[0].numpy())


@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.parametrize("as_float", [False, True])
def test_a_fully_padded_row_gives_the_bias_and_no_gradient(need_weights, as_float):
    layer = nn.MultiheadAttention(E, H, batch_first=True)
    nn.init.normal_(layer.out_proj.bias)
    x = mg.tensor(floats(2, 3, E), requires_grad=True)
    padding = np.array([[True] * 3, [False] * 3])
    out, weights = layer(x, x, x, as_floats(padding) if as_float else padding, need_weights)
    np.testing.assert_allclose(out.detach().numpy()[0], np.broadcast_to(layer.out_proj.bias.numpy(), (3, E)), atol=1e-6)
    assert weights is None or not weights.numpy()[0].any()
    out.sum().backward()
    assert not x.grad.numpy()[0].any()
    assert all(np.isfinite(p.grad.numpy()).all() for p in layer.parameters())


def test_a_float_mask_can_learn():
    layer = nn.MultiheadAttention(E, H, batch_first=True).double()
    x = mg.tensor(rng.standard_normal((1, 3, E)))
    mask = mg.tensor(rng.standard_normal((3, 3)), requires_grad=True)
    layer(x, x, x, attn_mask=mask)[0].square().sum().backward()
    step = np.zeros((3, 3))
    step[1, 2] = 1e-6
    up, down = (layer(x, x, x, attn_mask=mask.detach() + s)[0].square().sum().item() for s in (step, -step))
    assert mask.grad[1, 2].item() == pytest.approx((up - down) / 2e-6, rel=1e-5)


def test_dropout_in_training_only():
    layer = nn.MultiheadAttention(E, H, dropout=0.5, batch_first=True)
    x = mg.tensor(floats(4, 20, E))
    _, weights = layer(x, x, x, average_attn_weights=False)
    assert (weights.numpy() == 0).mean() == pytest.approx(0.5, abs=0.05)
    layer.eval()
    a, b = layer(x, x, x)[0], layer(x, x, x, need_weights=False)[0]
    np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-6)


def test_future_changes_nothing_earlier():
    layer = nn.MultiheadAttention(E, H, batch_first=True)
    x = floats(2, 6, E)
    before = layer(*[mg.tensor(x)] * 3, is_causal=True)[0].numpy()
    x[:, 4:] += 100
    t = mg.tensor(x)
    after = layer(t, t, t, is_causal=True)[0].numpy()
    assert np.array_equal(before[:, :4], after[:, :4]) and not np.allclose(before[:, 4:], after[:, 4:])


# -- caches -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("sizes", [[1] * 40, [3, 1, 5, 2], [20, 20]])
def test_self_attention_step_by_step(batch_first, sizes):
    layer = nn.MultiheadAttention(E, H, batch_first=batch_first)
    x = mg.tensor(floats(N, sum(sizes), E))
    padding = rng.random((N, sum(sizes))) < 0.2
    cache = nn.AttentionCache()
    with mg.no_grad():
        whole = x if batch_first else x.transpose(0, 1)
        expected = layer(whole, whole, whole, padding, False, is_causal=True)[0]
        time = 1 if batch_first else 0
        parts = []
        for piece in whole.split(sizes, time):
            stop = cache.length + piece.shape[time]
            parts.append(layer(piece, piece, piece, padding[:, :stop], False, is_causal=True, cache=cache)[0])
    assert cache.length == sum(sizes)
    np.testing.assert_allclose(mg.cat(parts, time).numpy(), expected.numpy(), atol=1e-5)


def test_self_attention_cache_with_other_masks():
    layer = nn.MultiheadAttention(E, H, batch_first=True)
    x, mask = mg.tensor(floats(N, 5, E)), floats(5, 5)
    with mg.no_grad():
        expected = layer(x, x, x, attn_mask=mask, is_causal=True)[0].numpy()
        cache = nn.AttentionCache()
        first, second = x[:, :2], x[:, 2:]
        a = layer(first, first, first, attn_mask=mask[:2, :2], is_causal=True, cache=cache)[0].numpy()
        b = layer(second, second, second, attn_mask=mask[2:], is_causal=True, cache=cache)[0].numpy()
    np.testing.assert_allclose(np.concatenate([a, b], 1), expected, atol=1e-5)


def test_memory_is_projected_once():
    layer = nn.MultiheadAttention(E, H, batch_first=True)
    memory = mg.tensor(floats(N, S, E))
    queries = mg.tensor(floats(N, 3, E))
    cache = nn.MemoryCache()
    with mg.no_grad():
        expected = layer(queries, memory, memory, PADDING)[0].numpy()
        for i in range(3):
            # after the first step the memory and its mask are not looked at
            seen, mask = (memory, PADDING) if i == 0 else (memory * np.nan, None)
            out = layer(queries[:, i : i + 1], seen, seen, mask, cache=cache)[0].numpy()
            np.testing.assert_allclose(out[:, 0], expected[:, i], atol=1e-6)
        with pytest.raises(UsageError, match="key_padding_mask"):
            layer(queries, memory, memory, attn_mask=np.zeros((3, S), bool), cache=nn.MemoryCache())


def test_select_reorders_repeats_and_drops_rows():
    layer = nn.MultiheadAttention(E, H, batch_first=True)
    x, memory = mg.tensor(floats(N, 4, E)), mg.tensor(floats(N, S, E))
    rows = [2, 0, 2, 2]
    past, known = nn.AttentionCache(), nn.MemoryCache()
    past.select([0]), known.select([0])  # nothing to do while they are empty
    with mg.no_grad():
        first = x[:, :3]
        layer(first, first, first, is_causal=True, cache=past)
        layer(first, memory, memory, PADDING, cache=known)
        past.select(rows), known.select(rows)
        step = mg.tensor(floats(4, 1, E))
        whole = mg.cat([first[rows], step], 1)
        expected = layer(whole, whole, whole, is_causal=True)[0][:, 3:]
        out = layer(step, step, step, is_causal=True, cache=past)[0]
        np.testing.assert_allclose(out.numpy(), expected.numpy(), atol=1e-6)
        expected = layer(step, memory[rows], memory[rows], PADDING[rows])[0]
        np.testing.assert_allclose(layer(step, step, step, cache=known)[0].numpy(), expected.numpy(), atol=1e-6)


def test_beams_of_one_sentence_share_its_memory():
    cache = nn.MemoryCache()
    cache.fill(mg.tensor(floats(2, H, S, 4)), mg.tensor(floats(2, H, S, 4)), None)
    cache.select([0, 0, 0, 1, 1, 1])
    keys, _, _ = cache.read(6)
    cache.select([2, 0, 1, 3, 3, 5])
    assert np.shares_memory(cache.read(6)[0].numpy(), keys.numpy())  # nothing was copied
    cache.select([0, 3])
    assert np.array_equal(cache.read(2)[0].numpy(), keys.numpy()[[0, 3]])


def test_cache_errors():
    layer = nn.MultiheadAttention(E, H, batch_first=True)
    x, cache = mg.tensor(floats(N, 2, E)), nn.AttentionCache()
    with pytest.raises(GraphError, match="no_grad"):
        layer(x, x, x, cache=cache)
    assert cache.length == 0
    with mg.no_grad():
        layer(x, x, x, cache=cache)
        with pytest.raises(ShapeError, match=r"the cache holds 3 rows, and the query has 2: call cache.select"):
            layer(x[:2], x[:2], x[:2], cache=cache)
        memory = nn.MemoryCache()
        layer(x, x, x, cache=memory)
        with pytest.raises(ShapeError, match="the cache holds 3 rows, and the query has 1"):
            layer(x[:1], x, x, cache=memory)
        with pytest.raises(ShapeError, match=r"8 features|8, 8, 8"):
            layer(mg.ones(N, 1, 3), x, x, cache=memory)
    assert cache.length == 2


# -- bad input ----------------------------------------------------------------------------------------------------------


def test_errors():
    with pytest.raises(UsageError, match="embed_dim=8 and num_heads=3"):
        nn.MultiheadAttention(8, 3)
    with pytest.raises(UsageError, match="between 0 and 1"):
        nn.MultiheadAttention(8, 2, dropout=1.5)
    layer = nn.MultiheadAttention(E, H)
    x = mg.ones(L, N, E)
    with pytest.raises(ShapeError, match="one layout"):
        layer(x, mg.ones(L, E), mg.ones(L, E))
    with pytest.raises(ShapeError, match="8, 8, 8"):
        layer(x, mg.ones(S, N, 5), mg.ones(S, N, 5))
    with pytest.raises(ShapeError, match="batch_first is False"):
        layer(x, mg.ones(S, N + 1, E), mg.ones(S, N + 1, E))
    with pytest.raises(ShapeError, match="batch_first is False"):
        layer(x, mg.ones(S, N, E), mg.ones(S + 1, N, E))
    with pytest.raises(ShapeError, match=r"key_padding_mask has the shape \(3, 4\) here: got \(4, 3\)"):
        layer(x, x, x, np.zeros((L, N), bool))
    with pytest.raises(ShapeError, match=r"\(4, 4\) or \(6, 4, 4\) here: got \(3, 4, 4\)"):
        layer(x, x, x, attn_mask=np.zeros((N, L, L), bool))
    with pytest.raises(DTypeError, match=r"attn_mask is bool .* got dtype int64"):
        layer(x, x, x, attn_mask=np.zeros((L, L), int))
