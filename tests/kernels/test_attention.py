"""Attention block by block, against the formula in float64, its rules for masks, infinity and NaN, and its promises on bits."""

import numpy as np
import pytest

from minigrad.kernels import attention as module
from minigrad.kernels.attention import KEYS, QUERIES, backward, forward, pays
from minigrad.kernels.dropout import dropout
from minigrad.kernels.matmul import compiles
from minigrad.kernels.threads import get_num_threads, set_num_threads

pytestmark = pytest.mark.skipif(not compiles(), reason="needs the compiled kernels, so the JIT and a known CPU")
DTYPES = [np.float32, np.float64]

# One element, one block, its edges, one more than a block each way, several blocks, and more keys than queries or fewer.
SHAPES = [
    (1, 1, 1, 1),
    (5, 7, 4, 6),
    (1, 300, 64, 128),
    (3, 37, 50, 17),
    (40, 3, 16, 8),
    (13, 33, 32, 32),
    (QUERIES, KEYS, 8, 16),
    (QUERIES + 1, KEYS + 1, 3, 5),
    (700, 1300, 16, 33),
    (600, 250, 17, 2),
]


def operands(queries, keys, features=8, width=8, lead=(1, 2), dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    shapes = [(*lead, queries, features), (*lead, keys, features), (*lead, keys, width), (*lead, queries, width)]
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def in_blocks(query, key, value, g, mask=None, causal=False, scale=0.5, p=0.0, seed=3):
    """The output, and the gradients by query, key and value."""
    out = np.full(g.shape, np.nan, g.dtype)
    options = mask, causal, scale, p, seed
    kept = forward(query, key, value, *options, out)
    gradients = [np.full(x.shape, np.nan, x.dtype) for x in (query, key, value)]
    backward(g, query, key, value, *options, out, kept, *gradients)
    return out, *gradients


def by_formula(query, key, value, g, mask=None, causal=False, scale=0.5, p=0.0, seed=3):
    query, key, value, g = (x.astype(np.float64) for x in (query, key, value, g))
    with np.errstate(all="ignore"):
        scores = query @ key.swapaxes(-1, -2) * scale
        if mask is not None:
            scores = np.where(mask, scores, -np.inf) if mask.dtype == np.bool_ else scores + mask
        if causal:
            scores = np.where(np.tri(*scores.shape[-2:], dtype=bool), scores, -np.inf)
        top = scores.max(-1, keepdims=True)
        weights = np.exp(scores - np.where(top == -np.inf, 0, top))
        total = weights.sum(-1, keepdims=True)
        weights /= np.where(total == 0, 1, total)
        factor = dropout(np.ones(weights.size), p, seed, 0).reshape(weights.shape)
        slopes = g @ value.swapaxes(-1, -2) * factor
        slopes = scale * weights * (slopes - (slopes * weights).sum(-1, keepdims=True))
        weights = weights * factor
        return weights @ value, slopes @ key, slopes.swapaxes(-1, -2) @ query, weights.swapaxes(-1, -2) @ g


def check(arrays, **options):
    dtype = arrays[0].dtype
    eps = np.finfo(dtype).eps
    for found, expected in zip(in_blocks(*arrays, **options), by_formula(*arrays, **options)):
        assert found.dtype == dtype
        size = np.abs(expected).max(initial=1)
        np.testing.assert_allclose(found, expected, rtol=100 * eps, atol=30 * eps * size)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_values_and_gradients(shape, causal, dtype):
    check(operands(*shape, dtype=dtype), causal=causal)


MASKS = {
    "padding": lambda rng: np.arange(500) < np.array([500, 260])[:, None, None, None],
    "one head's": lambda rng: rng.random((2, 300, 500)) < 0.6,
    "queries'": lambda rng: rng.random((300, 1)) < 0.6,
    "keys'": lambda rng: rng.random(500) < 0.6,
    "columns in memory": lambda rng: (rng.random((500, 300)) < 0.6).T,
    "added": lambda rng: rng.standard_normal((2, 1, 300, 500)),
    "added, -inf": lambda rng: np.where(rng.random((300, 500)) < 0.6, rng.standard_normal((300, 500)), -np.inf),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("mask", MASKS)
def test_masks(mask, causal, dtype):
    made = MASKS[mask](np.random.default_rng(1))
    made = made if made.dtype == np.bool_ else made.astype(dtype)
    check(operands(300, 500, lead=(2, 2), dtype=dtype), mask=made, causal=causal)


@pytest.mark.parametrize("scale", [0.0, -0.7, 3.0])
def test_any_scale(scale):
    check(operands(20, 300), scale=scale)


@pytest.mark.parametrize("p", [0.25, 1.0])
@pytest.mark.parametrize("keys", [300, 301])  # an odd number begins rows in the middle of a random word
def test_dropout_drops_what_it_drops_of_all_weights(keys, p):
    check(operands(200, keys, lead=(2, 2)), p=p, causal=True)


def test_dropout_keeps_the_mean_and_its_share():
    query, key, value, g = operands(400, 600, width=600, lead=(1, 1), dtype=np.float32)
    value[0, 0] = np.eye(600)  # so the output shows the weights
    out, *_ = in_blocks(query, key, value, g, p=0.3)
    assert (out == 0).mean() == pytest.approx(0.3, abs=0.01)
    assert out.sum(-1).mean() == pytest.approx(1, abs=0.01)
    other, *_ = in_blocks(query, key, value, g, p=0.3, seed=4)
    assert ((out == 0) & (other == 0)).mean() == pytest.approx(0.09, abs=0.01)


@pytest.mark.parametrize("hide", [False, -np.inf])
def test_a_query_that_may_attend_to_nothing_gets_0_and_sends_no_gradient(hide):
    query, key, value, g = operands(300, 500, dtype=np.float32)
    mask = np.ones((300, 500), bool) if hide is False else np.zeros((300, 500), np.float32)
    mask[250] = hide
    mask[:, 400] = hide
    out, g_query, g_key, g_value = in_blocks(query, key, value, g, mask=mask)
    assert not out[:, :, 250].any() and not g_query[:, :, 250].any()
    assert not g_key[:, :, 400].any() and not g_value[:, :, 400].any()
    assert all(np.isfinite(x).all() for x in (out, g_query, g_key, g_value))
    check([query, key, value, g], mask=mask)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", [3, 280], ids=["first block", "last block"])
def test_nan_and_infinity_are_passed_on(bad, at):
    """Values are those of the formula; a gradient may be NaN in more places, but what is finite is right."""
    query, key, value, g = operands(30, 300)
    key[0, 0, at, 0] = bad
    value[0, 1, at, 0] = bad
    query[0, 1, 5] = bad
    results, expected = in_blocks(query, key, value, g), by_formula(query, key, value, g)
    np.testing.assert_allclose(results[0], expected[0], rtol=1e-11)
    for found, right in zip(results[1:], expected[1:]):
        finite = np.isfinite(found)
        np.testing.assert_allclose(found[finite], right[finite], rtol=1e-9, atol=1e-12)


def test_what_a_masked_key_holds_does_not_matter():
    query, key, value, g = operands(40, 600)
    mask = np.arange(600) < 450
    expected = in_blocks(query, key, value, g, mask=mask)
    key[:, :, 450:] = np.nan
    value[:, :, 450:] = 7
    out, _, _, g_value = in_blocks(query, key, value, g, mask=mask)
    np.testing.assert_array_equal(out, expected[0])
    np.testing.assert_array_equal(g_value, expected[3])


def test_large_scores_keep_their_digits():
    query, key, value, g = operands(20, 600, dtype=np.float32)
    query[..., 0] = 100
    key[..., 0] = 1000
    key[..., 300, 0] = 1000.0625
    out, *_ = in_blocks(query, key, value, g, scale=1.0)
    np.testing.assert_allclose(out, by_formula(query, key, value, g, scale=1.0)[0], atol=0.02)


def test_memory_layouts():
    """Heads side by side, a broadcast gradient, and features that are no neighbours, give the bits of contiguous arrays."""
    arrays = operands(300, 300, lead=(2, 3), dtype=np.float32)
    expected = in_blocks(*arrays, causal=True)
    query, key, value, g = arrays
    joined = np.concatenate([x.transpose(0, 2, 1, 3).reshape(2, 300, 24) for x in (query, key, value)], -1)
    views = [joined[..., 24 * i : 24 * i + 24].reshape(2, 300, 3, 8).transpose(0, 2, 1, 3) for i in range(3)]
    assert np.shares_memory(views[1], joined)
    gradient = np.empty_like(joined)
    gradients = [gradient[..., 24 * i : 24 * i + 24].reshape(2, 300, 3, 8).transpose(0, 2, 1, 3) for i in range(3)]
    out = np.empty((2, 300, 3, 8), np.float32).transpose(0, 2, 1, 3)
    options = None, True, 0.5, 0.0, 3
    kept = forward(*views, *options, out)
    backward(np.asfortranarray(g), *views, *options, out, kept, *gradients)
    for found, right in zip((out, *gradients), expected):
        np.testing.assert_array_equal(found, right)
    transposed = [np.asfortranarray(x) for x in arrays]
    for found, right in zip(in_blocks(*transposed, causal=True), expected):
        np.testing.assert_array_equal(found, right)
    g[...] = g[:1, :1, :1, :1]
    flat = np.broadcast_to(g[:1, :1, :1, :1], g.shape)
    for found, right in zip(in_blocks(query, key, value, flat), in_blocks(*arrays)):
        np.testing.assert_array_equal(found, right)


@pytest.mark.parametrize("lead", [(1, 1), (3, 5)], ids=["threads share a head", "a head has one thread"])
def test_the_same_bits_whatever_the_number_of_threads(lead):
    arrays = operands(300, 900, lead=lead, dtype=np.float32)
    before = get_num_threads()
    results = {}
    try:
        for threads in range(1, before + 1):
            set_num_threads(threads)
            results[threads] = in_blocks(*arrays, p=0.1)
            for found, expected in zip(results[threads], results[1]):
                np.testing.assert_array_equal(found, expected)
    finally:
        set_num_threads(before)


def test_the_choice():
    long = (1, 8, 4096, 64)
    assert pays(long, long, long)
    assert pays((8, 8, 1, 64), *[(8, 8, 100, 64)] * 2)  # one query and a cache of keys
    assert pays((8, 8, 4096, 64), (8, 1, 4096, 64), (1, 8, 4096, 64))  # dimensions that broadcast
    assert not pays((1, 2, 10, 16), (1, 2, 10, 16), (1, 2, 10, 16))  # small
    assert not pays(long[1:], long[1:], (2, *long[1:]))  # values of their own share weights
    assert not pays((1, 8, 4096, 0), (1, 8, 4096, 0), long)  # no features
    assert not pays(long, long, (1, 8, 4096, 0))
    assert not pays((1, 8, 0, 64), long, long) and not pays((0, 8, 9, 64), (0, 8, 9, 64), (0, 8, 9, 64))  # no work


def test_where_numpy_is_preferred_blocks_serve_long_sequences_alone(monkeypatch):
    monkeypatch.setattr(module, "prefers_numpy", lambda: True)
    medium, long = (32, 8, 512, 64), (1, 8, 4096, 64)
    assert not pays(medium, medium, medium) and pays(long, long, long)
