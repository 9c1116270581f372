"""The losses of word2vec: against finite differences, torch, and what they must be by definition."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.errors import ShapeError, UsageError
from minigrad.nn import functional as F
from minigrad.word2vec import losses

WORDS, DIM, BATCH = 5, 3, 4
TARGETS = np.array([0, 3, 3, 4])
NEGATIVES = np.array([[1, 2], [3, 0], [2, 2], [4, 4]])  # rows 1 and 3 draw their own target
CONTEXTS = np.array([[1, 2, -1], [0, 0, 4], [2, -1, -1], [3, 1, 0]])
# A tree over five words: the way to each leaf, inner node by inner node.
#        0
#      1   2        words 0 1 under node 1, word 2 and node 3 under node 2, words 3 4 under node 3
POINTS = np.array([[0, 1, -1], [0, 1, -1], [0, 2, -1], [0, 2, 3], [0, 2, 3]])
CODES = np.array([[0, 0, 0], [0, 1, 0], [1, 0, 0], [1, 1, 0], [1, 1, 1]])


def drawn(*shape, seed=0):
    return mg.tensor(np.random.default_rng(seed).standard_normal(shape), dtype=mg.float64, requires_grad=True)


def model(loss, dtype=mg.float64):
    """A model whose vectors are no longer small, so that errors in them show."""
    mg.manual_seed(1)
    made = losses.Word2Vec(WORDS, DIM, loss, dtype=dtype)
    with mg.no_grad():
        for seed, p in enumerate(made.parameters()):
            p.copy_(mg.tensor(np.random.default_rng(seed).standard_normal(p.shape), dtype=dtype))
    return made


TARGETS_OF = {"softmax": (TARGETS,), "ns": (TARGETS, NEGATIVES), "hs": (POINTS[TARGETS], CODES[TARGETS])}


@pytest.mark.parametrize("reduction", ["sum", "mean", "none"])
@pytest.mark.parametrize("loss", losses.LOSSES)
def test_gradients_of_the_losses(loss, reduction):
    function = {"softmax": losses.full_softmax, "ns": losses.negative_sampling, "hs": losses.hierarchical_softmax}[loss]
    rows = WORDS - (loss == "hs")
    assert mg.gradcheck(
        lambda h, u: function(h, u, *TARGETS_OF[loss], reduction), [drawn(BATCH, DIM), drawn(rows, DIM, seed=1)]
    )


@pytest.mark.parametrize("loss", losses.LOSSES)
@pytest.mark.parametrize("inputs", [TARGETS[::-1], CONTEXTS], ids=["skipgram", "cbow"])
def test_gradients_of_the_vectors(loss, inputs):
    made = model(loss)

    def total(v, u):
        made.input.weight, made.output.weight = v, u
        return made.loss(inputs, *TARGETS_OF[loss], corrected=True)

    points = [nn.Parameter(made.input.weight), nn.Parameter(made.output.weight)]
    assert mg.gradcheck(total, points)


def test_full_softmax_of_skip_gram_is_the_cross_entropy_of_a_linear_layer():
    made = model("softmax")
    layer = nn.Linear(DIM, WORDS, bias=False, dtype=mg.float64)
    layer.weight = made.output.weight
    inputs = np.array([2, 0, 1, 1])
    expected = F.cross_entropy(layer(made.input(inputs)), TARGETS, reduction="none")
    np.testing.assert_allclose(made.loss(inputs, TARGETS, reduction="none").numpy(), expected.detach().numpy(), rtol=1e-14)


@pytest.mark.parametrize("dtype, tolerance", [(mg.float32, 1e-5), (mg.float64, 1e-12)])
def test_negative_sampling_against_torch(dtype, tolerance):
    torch = pytest.importorskip("torch")
    made = model("ns", dtype)
    v, u = (torch.tensor(p.detach().numpy(), requires_grad=True) for p in (made.input.weight, made.output.weight))
    inputs = np.array([2, 0, 1, 2])
    h = v[inputs]
    positive = torch.nn.functional.logsigmoid((h * u[TARGETS]).sum(-1))
    negative = torch.nn.functional.logsigmoid(-(u[NEGATIVES] @ h[:, :, None]).squeeze(-1))
    counts = torch.tensor(TARGETS[:, None] != NEGATIVES)
    expected = -positive.sum() - (negative * counts).sum()
    expected.backward()
    found = made.loss(inputs, TARGETS, NEGATIVES)
    found.backward()
    np.testing.assert_allclose(found.item(), expected.item(), rtol=tolerance)
    for ours, theirs in ((made.input.weight, v), (made.output.weight, u)):
        np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=tolerance, atol=tolerance)


def test_the_gradients_are_the_formulas():
    """dE/du_j = e_j h and dE/dh = sum_j e_j u_j with e_j = s(u_j . h) - label_j, written out with loops."""
    made = model("ns")
    v, u = made.input.weight.detach().numpy(), made.output.weight.detach().numpy()
    inputs = np.array([2, 0, 1, 2])
    made.loss(inputs, TARGETS, NEGATIVES).backward()
    expected_v, expected_u = np.zeros_like(v), np.zeros_like(u)
    for word, target, negatives in zip(inputs, TARGETS, NEGATIVES):
        for j, label in [(target, 1), *((n, 0) for n in negatives if n != target)]:
            error = 1 / (1 + np.exp(-u[j] @ v[word])) - label
            expected_u[j] += error * v[word]
            expected_v[word] += error * u[j]
    np.testing.assert_allclose(made.input.weight.grad.numpy(), expected_v, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(made.output.weight.grad.numpy(), expected_u, rtol=1e-12, atol=1e-14)


def test_hierarchical_probabilities_sum_to_one():
    hidden, inner = drawn(2, DIM), drawn(WORDS - 1, DIM, seed=1)
    for h in (hidden[:1], 50 * hidden[1:]):  # with vectors that saturate the logistic function too
        every = losses.hierarchical_softmax(h.expand(WORDS, DIM), inner, POINTS, CODES, "none")
        assert np.exp(-every.detach().numpy()).sum() == pytest.approx(1, abs=1e-12)


def test_what_stands_beyond_the_end_of_a_way_counts_for_nothing():
    hidden, inner = drawn(2, DIM), drawn(WORDS - 1, DIM, seed=1)
    short = losses.hierarchical_softmax(hidden, inner, POINTS[:2, :2], CODES[:2, :2], "none")
    filled = losses.hierarchical_softmax(hidden, inner, POINTS[:2], np.where(POINTS[:2] < 0, 99, CODES[:2]), "none")
    np.testing.assert_array_equal(short.detach().numpy(), filled.detach().numpy())


def test_negative_samples_that_are_the_target_do_not_count():
    hidden, output = drawn(1, DIM), drawn(WORDS, DIM, seed=1)
    alone = losses.negative_sampling(hidden, output, [3], np.empty((1, 0), int))
    assert losses.negative_sampling(hidden, output, [3], [[3, 3]]).item() == alone.item()
    alone.backward()
    assert np.count_nonzero(output.grad.numpy().any(1)) == 1


@pytest.mark.parametrize("corrected", [False, True])
def test_the_hidden_vector_of_cbow_is_the_mean_and_each_word_gets_the_error(corrected):
    made = model("ns")
    v = made.input.weight.detach().numpy()
    hidden = losses.context_mean(made.input, CONTEXTS, corrected=corrected)
    expected = [v[row[row >= 0]].mean(0) for row in CONTEXTS]
    np.testing.assert_allclose(hidden.detach().numpy(), expected, rtol=1e-14)
    error = drawn(BATCH, DIM, seed=2).detach()
    (hidden * error).sum().backward()
    gradient = np.zeros_like(v)
    for row, e in zip(CONTEXTS, error.numpy()):
        words = row[row >= 0]
        for word in words:  # a word that occurs twice gets it twice
            gradient[word] += e / len(words) if corrected else e
    np.testing.assert_allclose(made.input.weight.grad.numpy(), gradient, rtol=1e-13, atol=1e-15)


def test_vectors_begin_as_in_word2vec():
    mg.manual_seed(0)
    made = losses.Word2Vec(1000, 50, "hs")
    assert made.output.weight.shape == (999, 50) and not made.output.weight.detach().numpy().any()
    drawn_ = made.input.weight.detach().numpy()
    assert drawn_.min() >= -0.01 and drawn_.max() < 0.01
    assert drawn_.std() == pytest.approx(0.02 / np.sqrt(12), rel=0.01)


def test_a_few_steps_of_each_lower_the_loss():
    for loss in losses.LOSSES:
        made = model(loss)
        optimizer = mg.optim.SGD(made.parameters(), lr=0.5)
        course = []
        for _ in range(30):
            optimizer.zero_grad()
            total = made.loss(CONTEXTS, *TARGETS_OF[loss])
            total.backward()
            optimizer.step()
            course.append(total.item())
        assert course[-1] < 0.5 * course[0]


def test_bad_arguments():
    made = model("ns")
    with pytest.raises(UsageError, match="context 1 has none"):
        made([[0, 1], [-1, -1]])
    with pytest.raises(ShapeError, match="row of negatives"):
        made.loss(TARGETS, TARGETS, NEGATIVES[:2])
    with pytest.raises(ShapeError, match="has a code"):
        model("hs").loss(TARGETS, POINTS, CODES[:2])
    with pytest.raises(UsageError, match="softmax, ns, hs: got 'nce'"):
        losses.Word2Vec(3, 2, "nce")
