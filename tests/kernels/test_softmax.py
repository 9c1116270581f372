"""Softmax and log-softmax against the formula in float64, PyTorch, and the rules for masks, infinity and NaN."""

import numpy as np
import pytest

from minigrad.kernels import softmax as kernels

SHAPES = [(1, 1), (3, 5), (7, 20), (130, 33), (2, 5000), (1200, 40)]  # the last is shared among threads
DTYPES = [np.float32, np.float64]


def rows(shape, dtype, seed=0):
    return (3 * np.random.default_rng(seed).standard_normal(shape)).astype(dtype)


def reference(x):
    e = np.exp(x.astype(np.float64) - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def tolerance(dtype):
    return {"rtol": 20 * np.finfo(dtype).eps, "atol": 4 * np.finfo(dtype).eps}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_values(shape, dtype):
    x = rows(shape, dtype)
    y, logs = kernels.softmax(x), kernels.log_softmax(x)
    assert y.dtype == logs.dtype == dtype
    np.testing.assert_allclose(y, reference(x), **tolerance(dtype))
    np.testing.assert_allclose(logs, np.log(reference(x)), **tolerance(dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_gradients(shape, dtype):
    x, g = rows(shape, dtype), rows(shape, dtype, seed=1)
    y, g64 = reference(x), g.astype(np.float64)
    tol = tolerance(dtype) | {"atol": 30 * np.finfo(dtype).eps * np.abs(g).sum(axis=1).max()}
    expected = 0.5 * y * (g64 - (g64 * y).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(kernels.softmax_backward(g, y.astype(dtype), scale=0.5), expected, **tol)
    expected = g64 - y * g64.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(kernels.log_softmax_backward(g, np.log(y).astype(dtype)), expected, **tol)


@pytest.mark.parametrize("shape", SHAPES)
def test_writing_over_the_input_gives_the_same_bits(shape):
    x, g = rows(shape, np.float32), rows(shape, np.float32, seed=1)
    y = kernels.softmax(x)
    logs = kernels.log_softmax(x)
    for expected, over, call in [
        (y, x, lambda a: kernels.softmax(a, out=a)),
        (logs, x, lambda a: kernels.log_softmax(a, out=a)),
        (kernels.softmax_backward(g, y), g, lambda a: kernels.softmax_backward(a, y, out=a)),
        (kernels.log_softmax_backward(g, logs), g, lambda a: kernels.log_softmax_backward(a, logs, out=a)),
    ]:
        buffer = over.copy()
        assert call(buffer) is buffer
        np.testing.assert_array_equal(buffer, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_singular_rows_are_those_of_torch(dtype):
    torch = pytest.importorskip("torch")
    inf, nan = np.inf, np.nan
    x = np.array([[-inf, -inf, -inf], [1, -inf, 2], [1, inf, 2], [1, nan, 2], [-nan, 1, 2], [-1e30, 1e30, 0]], dtype)
    np.testing.assert_allclose(kernels.softmax(x), torch.softmax(torch.tensor(x), 1).numpy(), rtol=1e-6)
    np.testing.assert_allclose(kernels.log_softmax(x), torch.log_softmax(torch.tensor(x), 1).numpy(), rtol=1e-6)


@pytest.mark.parametrize("length", [1, 20, 300])
@pytest.mark.parametrize("sign", [1, -1])
def test_nan_of_either_sign_anywhere_fills_its_row_alone(length, sign):
    x = rows((length, length), np.float32)
    np.fill_diagonal(x, np.copysign(np.nan, sign))
    x[-1] = 0
    for y in kernels.softmax(x), kernels.log_softmax(x), kernels.masked_softmax(x):
        assert np.isnan(y[:-1]).all()
        assert np.isfinite(y[-1]).all()


def test_a_large_offset_costs_log_softmax_no_digits():
    x = rows((40, 50), np.float32)
    x = np.round(x * 256) / 256  # a spacing that 10^4 + x still holds
    np.testing.assert_array_equal(kernels.log_softmax(x + np.float32(1e4)), kernels.log_softmax(x))


def test_empty():
    for shape in (0, 4), (4, 0):
        x = np.empty(shape, np.float32)
        for y in kernels.softmax(x), kernels.log_softmax(x), kernels.softmax_backward(x, x), kernels.masked_softmax(x):
            assert y.shape == shape


def masked_reference(scores, mask, scale, causal):
    queries, keys = scores.shape[-2:]
    allowed = np.broadcast_to(True if mask is None else mask, scores.shape)
    if causal:
        allowed = allowed & np.tri(queries, keys, dtype=bool)
    z = np.where(allowed, scores.astype(np.float64) * scale, -np.inf)
    top = z.max(axis=-1, keepdims=True)
    e = np.exp(z - np.where(np.isinf(top), 0, top))
    total = e.sum(axis=-1, keepdims=True)
    return e / np.where(total == 0, 1, total)


MASK_SHAPES = [
    None,
    (3, 1, 1, 7),
    (1, 1, 6, 7),
    (3, 1, 6, 7),
    (3, 2, 6, 7),
    (1, 2, 1, 7),
    (6, 7),
    (7,),
    (3, 1, 6, 1),
    (1, 1, 1, 1),
]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("shape", MASK_SHAPES)
def test_masks_of_every_broadcast_shape(shape, causal):
    random = np.random.default_rng(2)
    scores = rows((3, 2, 6, 7), np.float32)
    mask = None if shape is None else random.random(shape) < 0.6
    y = kernels.masked_softmax(scores, mask, scale=0.3, causal=causal)
    np.testing.assert_allclose(y, masked_reference(scores, mask, 0.3, causal), **tolerance(np.float32))


@pytest.mark.parametrize("shape", [(4, 9), (5, 4, 9), (2, 1, 3, 4, 9), (2, 2, 2, 3, 4, 9)])
def test_scores_of_any_number_of_axes(shape):
    random = np.random.default_rng(3)
    scores = rows(shape, np.float64)
    for mask_shape in [(4, 9), (9,), shape, (*(1 for _ in shape[:-2]), 4, 1), (shape[0], *(1 for _ in shape[1:-1]), 9)]:
        mask = random.random(mask_shape) < 0.7
        y = kernels.masked_softmax(scores, mask, scale=2.0)
        np.testing.assert_allclose(y, masked_reference(scores, mask, 2.0, False), **tolerance(np.float64))


def test_a_mask_shared_among_threads():
    scores = rows((8, 4, 40, 40), np.float32)
    mask = np.arange(40) < np.arange(33, 41)[:, None, None, None]
    y = kernels.masked_softmax(scores, mask, scale=0.1)
    np.testing.assert_allclose(y, masked_reference(scores, mask, 0.1, False), **tolerance(np.float32))


@pytest.mark.parametrize("scale", [-0.5, 0.0])
def test_scales_that_reverse_or_level_the_order(scale):
    scores = rows((6, 7), np.float32)
    expected = masked_reference(scores, None, scale, True)
    np.testing.assert_allclose(kernels.masked_softmax(scores, scale=scale, causal=True), expected, **tolerance(np.float32))


def test_a_query_without_keys_attends_to_nothing():
    scores = rows((2, 3, 4, 5), np.float32)
    mask = np.ones((2, 1, 4, 5), bool)
    mask[1, 0, 2] = False
    scores[0, 0, 1] = -np.inf
    y = kernels.masked_softmax(scores, mask)
    assert not y[1, :, 2].any()
    assert not y[0, 0, 1].any()
    np.testing.assert_allclose(y[0, 1:].sum(axis=-1), 1, rtol=1e-6)
    assert not kernels.softmax_backward(np.ones_like(y[1, 0]), y[1, 0])[2].any()


@pytest.mark.parametrize("hidden", [np.nan, np.inf, -np.inf])
def test_what_a_masked_score_holds_does_not_matter(hidden):
    scores = rows((4, 6), np.float32)
    mask = np.tri(4, 6, dtype=bool)
    expected = kernels.masked_softmax(scores, mask)
    np.testing.assert_array_equal(kernels.masked_softmax(scores, causal=True), expected)
    scores[~mask] = hidden
    np.testing.assert_array_equal(kernels.masked_softmax(scores, mask), expected)
    np.testing.assert_array_equal(kernels.masked_softmax(scores, causal=True, out=scores), expected)
