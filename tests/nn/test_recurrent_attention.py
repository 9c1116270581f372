"""Soft attention for recurrent decoders, against the formulas of the papers written out in NumPy."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.errors import DTypeError, ShapeError, UsageError

KINDS = {
    "dot": lambda dtype=None: nn.DotAttention(4, 4),
    "general": lambda dtype=None: nn.GeneralAttention(3, 4, dtype=dtype),
    "additive": lambda dtype=None: nn.AdditiveAttention(3, 4, 5, dtype=dtype),
}


def operands(layer, dtype=np.float32, seed=0):
    random = np.random.default_rng(seed)
    query = random.normal(size=(2, 3, layer.query_size)).astype(dtype)
    memory = random.normal(size=(2, 5, layer.memory_size)).astype(dtype)
    padding = np.array([[False] * 5, [False, False, True, True, True]])
    return query, memory, padding


def score(layer, h, m):
    """Luong et al. 2015, equation 8; Bahdanau et al. 2015, appendix A.1.2."""
    if isinstance(layer, nn.DotAttention):
        return h @ m
    if isinstance(layer, nn.GeneralAttention):
        return h @ layer.key.weight.numpy() @ m
    hidden = np.tanh(layer.query.weight.numpy() @ h + layer.key.weight.numpy() @ m)
    return layer.score_weight.numpy() @ hidden


def by_hand(layer, query, memory, padding):
    weights = np.zeros((*query.shape[:2], memory.shape[1]))
    for b, t in np.ndindex(*query.shape[:2]):
        scores = np.array([score(layer, query[b, t], m) for m in memory[b]])
        e = np.where(padding[b], 0, np.exp(scores - scores.max()))
        weights[b, t] = e / e.sum()
    return weights @ memory, weights


@pytest.mark.parametrize("kind", KINDS)
def test_contexts_and_weights_are_those_of_the_formula(kind):
    layer = KINDS[kind]()
    query, memory, padding = operands(layer)
    expected, expected_weights = by_hand(layer, query, memory, padding)
    context, weights = layer(mg.tensor(query), mg.tensor(memory), padding, need_weights=True)
    alone, none = layer(mg.tensor(query), mg.tensor(memory), padding)
    assert none is None
    assert np.allclose(weights.numpy(), expected_weights, atol=1e-6)
    assert np.allclose(context.numpy(), expected, atol=1e-6)
    assert np.allclose(alone.numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_one_step_is_a_row_of_all_steps_and_keys_can_be_kept(kind):
    layer = KINDS[kind]()
    query, memory, padding = operands(layer)
    context, weights = layer(mg.tensor(query), mg.tensor(memory), padding, need_weights=True)
    keys = layer.keys(mg.tensor(memory))
    for t in range(3):
        one, looked = layer(mg.tensor(query[:, t]), mg.tensor(memory), padding, keys=keys, need_weights=True)
        assert np.allclose(one.numpy(), context.numpy()[:, t], atol=1e-6)
        assert np.allclose(looked.numpy(), weights.numpy()[:, t], atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("need_weights", [False, True])
def test_gradients(kind, need_weights):
    layer = KINDS[kind](mg.float64)
    query, memory, padding = operands(layer, np.float64)
    parameters = list(layer.parameters())

    def run(query, memory, *_):
        return layer(query, memory, padding, need_weights=need_weights)[0]

    inputs = [mg.tensor(query, requires_grad=True), mg.tensor(memory, requires_grad=True), *parameters]
    assert mg.gradcheck(run, inputs)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("content", [1e30, np.nan])
def test_what_padding_holds_does_not_matter(kind, content):
    layer = KINDS[kind]()
    query, memory, padding = operands(layer)
    expected = layer(mg.tensor(query), mg.tensor(memory), padding, need_weights=True)[1].numpy()
    memory[padding] = content
    found = layer(mg.tensor(query), mg.tensor(memory), padding, need_weights=True)[1].numpy()
    assert np.allclose(found, expected, atol=1e-6)
    assert (found[padding[:, None].repeat(3, 1)] == 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_sentence_of_padding_alone_gives_zero_and_no_gradient(kind):
    layer = KINDS[kind]()
    query, memory, padding = operands(layer)
    padding[1] = True
    q, m = mg.tensor(query, requires_grad=True), mg.tensor(memory, requires_grad=True)
    for need_weights in (False, True):
        context, weights = layer(q, m, padding, need_weights=need_weights)
        assert (context.numpy()[1] == 0).all()
        assert weights is None or (weights.numpy()[1] == 0).all()
        context.sum().backward()
        assert np.isfinite(q.grad.numpy()).all() and (m.grad.numpy()[1] == 0).all()


def test_bad_input():
    layer = nn.GeneralAttention(3, 4)
    query, memory, padding = operands(layer)
    with pytest.raises(UsageError, match="GeneralAttention"):
        nn.DotAttention(3, 4)
    with pytest.raises(UsageError, match="positive"):
        nn.AdditiveAttention(3, 4, 0)
    with pytest.raises(ShapeError, match=r"memory \(batch, source, 4\)"):
        layer(mg.tensor(query), mg.tensor(memory[..., :3]))
    with pytest.raises(ShapeError, match="batch"):
        layer(mg.tensor(query), mg.tensor(memory[:1]))
    with pytest.raises(ShapeError, match="padding"):
        layer(mg.tensor(query), mg.tensor(memory), padding[:, :4])
    with pytest.raises(DTypeError, match="bool"):
        layer(mg.tensor(query), mg.tensor(memory), padding.astype(int))
    with pytest.raises(DTypeError):
        layer(mg.tensor(query), mg.tensor(memory.astype(np.float64)))
