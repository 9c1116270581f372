"""Pictures of attention show the numbers they are given; what is captured is what really happened."""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, viz
from minigrad.errors import MissingExtraError, ShapeError, UsageError
from minigrad.nn import functional as F
from minigrad.tensor import raw

pytest.importorskip("matplotlib", reason="pictures are drawn by matplotlib, the extra viz")


def softmax(rng, *shape):
    scores = np.exp(rng.standard_normal(shape))
    return scores / scores.sum(-1, keepdims=True)


def drawn(picture):
    """The matrices of the panels, row by row from left to right."""
    return [np.asarray(axes.images[0].get_array()) for axes in picture.figure.axes if axes.images]


def hatched(axes):
    """The cells (row, column) that are hatched."""
    return {
        (round(path.vertices[:, 1].min() + 0.5), round(path.vertices[:, 0].min() + 0.5))
        for collection in axes.collections
        if collection.get_hatch()
        for path in collection.get_paths()
    }


def labels(axis):
    return [text.get_text() for text in axis.get_ticklabels() if text.get_text()]


def panels(picture):
    return [axes for axes in picture.figure.axes if axes.images]


# -- the picture --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [np.asarray, mg.tensor], ids=["array", "Tensor"])
def test_each_head_is_drawn_as_it_is(rng, kind):
    weights = softmax(rng, 3, 4, 5)
    picture = viz.attention(kind(weights), list("abcd"), list("vwxyz"), heads=["first", "second", "third"])
    assert len(drawn(picture)) == 3
    for shown, expected in zip(drawn(picture), weights):
        np.testing.assert_allclose(shown, expected, rtol=1e-6)
    assert [axes.get_title(loc="left") for axes in panels(picture)] == ["first", "second", "third"]
    first, last = panels(picture)[0], panels(picture)[-1]
    assert labels(first.yaxis) == list("abcd") and labels(last.xaxis) == list("vwxyz")
    for axes in panels(picture):  # one scale for all heads
        assert axes.images[0].get_clim() == pytest.approx((0, weights.max()))


def test_one_matrix_without_tokens_has_numbers(rng):
    picture = viz.attention(softmax(rng, 3, 4))
    (axes,) = panels(picture)
    assert labels(axes.yaxis) == ["0", "1", "2"] and labels(axes.xaxis) == ["0", "1", "2", "3"]
    (axes,) = panels(viz.attention(softmax(rng, 3, 3), list("abc")))
    assert labels(axes.xaxis) == list("abc")  # as the queries, where there are as many


def test_the_gradient_stands_beside_the_weights(rng):
    weights, slope = softmax(rng, 2, 3, 4), rng.standard_normal((2, 3, 4))
    picture = viz.attention(weights, grad=slope)
    expected = [array for w, g in zip(weights, slope) for array in (w, g, w * g)]
    for shown, array in zip(drawn(picture), expected, strict=True):
        np.testing.assert_allclose(shown, array)
    limits = [axes.images[0].get_clim() for axes in panels(picture)]
    for column, array in enumerate((weights, slope, weights * slope)):
        low, high = limits[column]
        assert high == pytest.approx(np.abs(array).max()) and low == (0 if column == 0 else -high)
        assert limits[column + 3] == limits[column]


@pytest.mark.parametrize("shape", [(4, 4), (2, 4, 4), (4,)])
def test_masked_cells_are_hatched(rng, shape):
    mask = rng.random(shape) < 0.4
    mask.flat[0] = True
    picture = viz.attention(softmax(rng, 2, 4, 4), mask=mask)
    for axes, expected in zip(panels(picture), np.broadcast_to(mask, (2, 4, 4)), strict=True):
        assert hatched(axes) == set(zip(*map(np.ndarray.tolist, np.nonzero(expected))))
    assert "hatched" in picture.figure.get_supxlabel()


def test_a_film_shows_steps_from_left_to_right(rng):
    film = {100 * i: softmax(rng, 2, 3, 4) for i in range(4)}
    picture = viz.attention(film)
    expected = [film[step][head] for head in range(2) for step in film]
    for shown, array in zip(drawn(picture), expected, strict=True):
        np.testing.assert_allclose(shown, array)
    assert [axes.get_title(loc="left") for axes in panels(picture)][:4] == ["step 0", "step 100", "step 200", "step 300"]
    long = viz.attention([softmax(rng, 3, 4) for _ in range(40)])
    assert 3 <= len(panels(long)) <= 8  # some of them, the first and the last among them
    titles = [axes.get_title(loc="left") for axes in panels(long)]
    assert titles[0] == "step 0" and titles[-1] == "step 39"


def test_numbers_that_are_none_leave_cells_empty():
    picture = viz.attention(np.array([[np.nan, 1.0], [np.inf, 0.5]]))
    assert np.array_equal(np.ma.getmaskarray(panels(picture)[0].images[0].get_array())[:, 0], [True, True])
    assert "hatched" not in picture.figure.get_supxlabel()
    assert viz.attention(np.full((2, 2), np.nan)).figure


def test_more_than_fits_is_thinned_out(rng):
    picture = viz.attention(softmax(rng, 20, 3, 3))
    assert len(panels(picture)) == 16 and "of 20 heads" in picture.figure.get_suptitle()
    (axes,) = panels(viz.attention(softmax(rng, 90, 90)))
    assert len(labels(axes.xaxis)) < 60


def test_the_text_says_what_is_looked_at():
    picture = viz.attention(np.array([[0.9, 0.1], [0.5, 0.5]]), ["he", "it"], ["er", "es"])
    spread = (-0.9 * math.log(0.9) - 0.1 * math.log(0.1) + math.log(2)) / 2
    assert f"he looks most at er (0.90), entropy {spread:.2f} nats" in repr(picture)


def test_what_does_not_fit_is_said_in_a_sentence(rng):
    weights = softmax(rng, 2, 3, 4)
    with pytest.raises(ShapeError, match=r"got \(5, 2, 3, 4\); choose one sentence of the batch, as in weights\[0\]"):
        viz.attention(np.broadcast_to(weights, (5, 2, 3, 4)))
    with pytest.raises(ShapeError, match="got 2 tokens for 3 queries"):
        viz.attention(weights, ["a", "b"])
    with pytest.raises(ShapeError, match="got 1 tokens for 4 keys"):
        viz.attention(weights, None, ["a"])
    with pytest.raises(ShapeError, match="the gradient is shaped as the weights"):
        viz.attention(weights, grad=weights[:1])
    with pytest.raises(ShapeError, match="the mask is bool"):
        viz.attention(weights, mask=np.zeros((3, 4)))
    with pytest.raises(ShapeError, match="one shape"):
        viz.attention([weights, weights[:, :2]])
    with pytest.raises(ShapeError, match="got 1 names for 2 heads"):
        viz.attention(weights, heads=["one"])
    with pytest.raises(UsageError, match="weights alone"):
        viz.attention([weights, weights], grad=weights)


def test_without_matplotlib(rng, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match="pip install"):
        viz.attention(softmax(rng, 2, 2))


# -- what is captured ---------------------------------------------------------------------------------------------------


def test_captured_weights_and_gradients_are_those_of_the_formula(rng):
    """A layer by itself against the same function written out, differentiated by the tape."""
    mg.manual_seed(1)
    layer = nn.MultiheadAttention(8, 2, batch_first=True, dtype=mg.float64)
    x = mg.tensor(rng.standard_normal((3, 5, 8)))
    toward = rng.standard_normal((3, 5, 8))
    padding = np.zeros((3, 5), np.bool_)
    padding[1, 3:] = True
    with viz.capture_attention(layer) as seen:
        out, weights = layer(x, x, x, key_padding_mask=padding, need_weights=False, is_causal=True)
        assert weights is None  # as asked
        (out * toward).sum().backward()
    (call,) = seen
    q, k, v = (
        part.reshape(3, 5, 2, 4).transpose(1, 2) for part in F.linear(x, layer.in_proj_weight, layer.in_proj_bias).chunk(3, -1)
    )
    masked = ~np.tri(5, dtype=np.bool_) | padding[:, None, None]
    scores = mg.tensor(np.where(masked, -np.inf, 0.0)) + q @ k.mT / 2.0
    expected = F.softmax(scores, -1).detach().requires_grad_()
    result = layer.out_proj((expected @ v).transpose(1, 2).reshape(3, 5, 8))
    (result * toward).sum().backward()
    np.testing.assert_allclose(raw(out), raw(result), atol=1e-12)
    np.testing.assert_allclose(call.weights, raw(expected), atol=1e-12)
    np.testing.assert_allclose(call.grad, raw(expected.grad), atol=1e-12)
    assert np.array_equal(call.masked, np.broadcast_to(masked, (3, 2, 5, 5)))


def test_a_whole_model_gives_what_it_gave_before(rng):
    mg.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    model = nn.TransformerEncoder(layer, 2)
    x = rng.standard_normal((2, 4, 8)).astype(np.float32)
    before = model(mg.tensor(x))
    before.sum().backward()
    slopes = [raw(p.grad).copy() for p in model.parameters()]
    model.zero_grad()
    with viz.capture_attention(model) as seen:
        out = model(mg.tensor(x))
        assert seen[0].grad is None and "no gradient" in repr(seen[0])
        out.sum().backward()
        assert seen[0].grad is not None
    np.testing.assert_allclose(raw(out), raw(before), rtol=1e-5, atol=1e-6)
    for p, slope in zip(model.parameters(), slopes):
        np.testing.assert_allclose(raw(p.grad), slope, rtol=1e-4, atol=1e-5)
    assert [call.name for call in seen] == ["layers.0.self_attn", "layers.1.self_attn"]
    for call in seen:
        assert call.weights.shape == call.grad.shape == (2, 2, 4, 4) and not call.masked.any()
        np.testing.assert_allclose(call.weights.sum(-1), 1, rtol=1e-5)
    model(mg.tensor(x))
    assert len(seen) == 2  # nothing is watched any more


@pytest.mark.parametrize("mean", [True, False])
def test_the_caller_gets_the_weights_it_asks_for(rng, mean):
    layer = nn.MultiheadAttention(6, 3)
    x = mg.tensor(rng.standard_normal((4, 6)).astype(np.float32))  # without a batch
    out, weights = layer(x, x, x, average_attn_weights=mean)
    with viz.capture_attention(layer) as seen, mg.no_grad():
        again, same = layer(x, x, x, average_attn_weights=mean)
    np.testing.assert_allclose(raw(again), raw(out), atol=1e-6)
    np.testing.assert_allclose(raw(same), raw(weights), atol=1e-6)
    assert seen[0].weights.shape == (1, 3, 4, 4) and seen[0].grad is None


def test_a_float_mask_masks_where_it_is_minus_infinity(rng):
    layer = nn.MultiheadAttention(4, 1, batch_first=True)
    x = mg.tensor(rng.standard_normal((1, 3, 4)).astype(np.float32))
    mask = np.array([[0, 1, -np.inf], [0, 0, 0], [-1, 0, 0]], np.float32)
    with viz.capture_attention(layer) as seen:
        layer(x, x, x, attn_mask=mask)
    assert np.array_equal(seen[0].masked[0, 0], np.isneginf(mask))


def test_a_model_without_such_attention():
    with pytest.raises(UsageError, match="Linear has none"), viz.capture_attention(nn.Linear(2, 2)):
        pass
