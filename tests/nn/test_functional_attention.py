"""scaled_dot_product_attention: against PyTorch, its composition, and the properties that masks promise."""

import numpy as np
import pytest

import minigrad as mg
import minigrad.nn.functional as F
from minigrad.errors import DTypeError, ShapeError, UsageError
from minigrad.gradcheck import gradcheck

TOLERANCE = {"float32": {"rtol": 2e-5, "atol": 2e-6}, "float64": {"rtol": 1e-10, "atol": 1e-12}}
attention = F.scaled_dot_product_attention


def normal(*shape, dtype="float64", seed=1):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def operands(dtype="float64", queries=5, keys=7, lead=(2, 3)):
    shapes = (*lead, queries, 4), (*lead, keys, 4), (*lead, keys, 6)
    return [normal(*shape, dtype=dtype, seed=i) for i, shape in enumerate(shapes)]


def tensors(arrays):
    return [mg.tensor(a, requires_grad=True) for a in arrays]


MASKS = {
    "none": (lambda dtype: None, {}),
    "causal": (lambda dtype: None, {"is_causal": True}),
    "padding": (lambda dtype: np.arange(7) < np.array([7, 4])[:, None, None, None], {}),
    "per head": (lambda dtype: np.arange(5 * 7).reshape(5, 7) % np.array([2, 3, 4])[:, None, None] != 1, {}),
    "per query": (lambda dtype: np.arange(35).reshape(5, 7) % 3 > 0, {"scale": 0.3}),
    "additive": (lambda dtype: normal(2, 1, 5, 7, dtype=dtype, seed=9), {}),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("mask, options", MASKS.values(), ids=MASKS)
def test_attention_matches_torch(mask, options, dtype):
    torch = pytest.importorskip("torch")
    arrays, mask = operands(dtype), mask(dtype)
    ours, theirs = tensors(arrays), [torch.tensor(a, requires_grad=True) for a in arrays]
    out = attention(*ours, attn_mask=None if mask is None else mg.tensor(mask), **options)
    torch_mask = None if mask is None else torch.tensor(mask)
    expected = torch.nn.functional.scaled_dot_product_attention(*theirs, attn_mask=torch_mask, **options)
    np.testing.assert_allclose(out.numpy(), expected.detach().numpy(), **TOLERANCE[dtype])
    g = normal(*expected.shape, dtype=dtype, seed=4)
    out.backward(mg.tensor(g))
    expected.backward(torch.tensor(g))
    for a, b in zip(ours, theirs):
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), **TOLERANCE[dtype])


def test_heads_split_off_a_projection_give_the_same():
    """(batch, time, heads * features) split by reshape and transpose, as a multi-head layer does, is read by stride."""
    arrays = [normal(2, 5, 12, seed=i) for i in range(3)]
    joined = tensors(arrays)
    apart = tensors([np.ascontiguousarray(a.reshape(2, 5, 3, 4).transpose(0, 2, 1, 3)) for a in arrays])
    out = attention(*(x.reshape(2, 5, 3, 4).transpose(1, 2) for x in joined), is_causal=True)
    expected = attention(*apart, is_causal=True)
    np.testing.assert_allclose(out.numpy(), expected.numpy(), rtol=1e-12)
    out.square().sum().backward()
    expected.square().sum().backward()
    for a, b in zip(joined, apart):
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy().transpose(0, 2, 1, 3).reshape(2, 5, 12), rtol=1e-10)


def test_long_sequences_in_float32_agree_with_the_weights_in_sight():
    """Large enough for the blocked, threaded kernels, and odd enough for their edges."""
    q, k, v = tensors([normal(2, 3, 70, 33, dtype="float32", seed=i) for i in range(3)])
    out = attention(q, k, v, is_causal=True)
    weights = F.attention_weights(q, k, is_causal=True)
    np.testing.assert_allclose(weights.numpy().sum(-1), 1, rtol=1e-5)
    assert not np.triu(weights.numpy(), 1).any()
    np.testing.assert_allclose(out.numpy(), (weights @ v).numpy(), rtol=1e-4, atol=1e-5)
    expected = mg.grad((weights @ v).square().sum(), [q, k, v])
    for a, b in zip(mg.grad(out.square().sum(), [q, k, v]), expected):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-3, atol=1e-4)


def test_a_query_that_may_attend_to_nothing_gets_zero_and_sends_no_gradient():
    q, k, v = tensors(operands())
    mask = np.ones((2, 1, 5, 7), bool)
    mask[0, :, 2] = False
    out = attention(q, k, v, mg.tensor(mask))
    out.sum().backward()
    assert not out.numpy()[0, :, 2].any()
    assert not q.grad.numpy()[0, :, 2].any()
    assert np.isfinite(k.grad.numpy()).all()
    everything_hidden = attention(q, k, v, mg.tensor(np.full((5, 7), -np.inf)))
    assert not everything_hidden.numpy().any()


def test_what_a_masked_key_holds_does_not_matter():
    q, k, v = operands()
    mask = mg.tensor(np.arange(7) < 5)
    expected = attention(*tensors([q, k, v]), attn_mask=mask).numpy()
    k[..., 5:, :] = 1e30
    v[..., 5:, :] = -7
    np.testing.assert_array_equal(attention(*tensors([q, k, v]), attn_mask=mask).numpy(), expected)


def test_is_causal_hides_the_future_and_combines_with_a_mask():
    q, k, v = tensors(operands(queries=7))
    keep = mg.tensor(np.arange(7) != 3)
    both = mg.tensor(np.tri(7, dtype=bool) & (np.arange(7) != 3))
    np.testing.assert_array_equal(attention(q, k, v, keep, is_causal=True).numpy(), attention(q, k, v, both).numpy())


def test_attention_weights_are_those_of_the_output():
    q, k, v = tensors(operands())
    mask = mg.tensor(MASKS["padding"][0]("float64"))
    for p in (0.0, 0.4):
        mg.manual_seed(5)
        out = attention(q, k, v, mask, dropout_p=p)
        mg.manual_seed(5)
        weights = F.attention_weights(q, k, mask, dropout_p=p)
        np.testing.assert_allclose((weights @ v).numpy(), out.numpy(), rtol=1e-12)


def test_dropout_is_reproducible_and_keeps_the_expectation():
    q, k, v = (mg.tensor(a) for a in operands(lead=(1, 1)))
    mg.manual_seed(1)
    draws = np.stack([attention(q, k, v, dropout_p=0.5).numpy() for _ in range(600)])
    np.testing.assert_allclose(draws.mean(0), attention(q, k, v).numpy(), atol=0.2)
    mg.manual_seed(1)
    np.testing.assert_array_equal(attention(q, k, v, dropout_p=0.5).numpy(), draws[0])


@pytest.mark.parametrize("p", [0.0, 0.3])
def test_a_mask_can_learn(p):
    q, k, v = tensors(operands(queries=3, keys=4, lead=(2,)))
    bias = mg.tensor(normal(3, 4, seed=8), requires_grad=True)

    def function(q, bias):
        mg.manual_seed(2)
        return attention(q, k, v, bias, dropout_p=p, is_causal=True)

    assert gradcheck(function, [q, bias])
    np.testing.assert_allclose(function(q, bias).numpy(), function(q, bias.detach()).numpy(), rtol=1e-12)


def test_leading_dimensions_broadcast_and_their_gradients_sum():
    q, k, v = tensors([normal(2, 3, 4, 5), normal(1, 4, 5), normal(3, 4, 5)])
    assert gradcheck(attention, [q, k, v])


def test_grouped_queries_share_keys_and_values():
    torch = pytest.importorskip("torch")
    arrays = [normal(2, 4, 5, 3), normal(2, 2, 6, 3, seed=2), normal(2, 2, 6, 3, seed=3)]
    expected = torch.nn.functional.scaled_dot_product_attention(*map(torch.tensor, arrays), enable_gqa=True)
    np.testing.assert_allclose(attention(*tensors(arrays), enable_gqa=True).numpy(), expected.numpy(), rtol=1e-10)
    with pytest.raises(ShapeError, match="a multiple of those of key and value: got 4, 3"):
        attention(mg.ones(4, 5, 3), mg.ones(3, 6, 3), mg.ones(3, 6, 3), enable_gqa=True)


def test_masked_softmax_gives_zero_to_rows_that_see_nothing():
    x = mg.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, np.nan]], requires_grad=True)
    y = F.masked_softmax(x, mg.tensor([[True, True, False], [False, False, False]]))
    e = np.exp(-1)
    np.testing.assert_allclose(y.numpy(), [[e / (1 + e), 1 / (1 + e), 0], [0, 0, 0]], rtol=1e-6)
    y.square().sum().backward()
    assert x.grad.tolist()[1] == [0.0, 0.0, 0.0]
    assert x.grad.tolist()[0][2] == 0.0


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda x: attention(x, mg.ones(2, 7, 3), x), ShapeError, r"got \(2, 5, 4\), \(2, 7, 3\) and \(2, 5, 4\)"),
        (lambda x: attention(x, x, mg.ones(2, 6, 4)), ShapeError, r"a value \(\.\., keys, value_features\)"),
        (lambda x: attention(x, mg.ones(3, 5, 4), mg.ones(3, 5, 4)), ShapeError, r"\(2,\), \(3,\), \(3,\) do not fit"),
        (lambda x: attention(x, x, x.double()), DTypeError, "one dtype: got float32 and a value of float64"),
        (lambda x: attention(x, x, x, mg.ones(5, 4) > 0), ShapeError, r"keys\) \(2, 5, 5\): got \(5, 4\)"),
        (lambda x: attention(x, x, x, mg.ones(5, 5).long()), DTypeError, "mask of bool .* got int64"),
        (lambda x: attention(x, x, x, dropout_p=2), UsageError, "probability from 0 to 1: got 2"),
        (lambda x: F.masked_softmax(x[0, 0]), ShapeError, r"scores \(\.\., queries, keys\): got shape \(4,\)"),
    ],
)
def test_bad_input_is_explained(call, error, message):
    with pytest.raises(error, match=message):
        call(mg.ones(2, 5, 4))
