"""Activations, distances and shapes of nn.functional: against PyTorch, finite differences, closed forms, and bad input."""

import numpy as np
import pytest

import minigrad as mg
import minigrad.nn.functional as F
from minigrad.errors import DimensionError, DTypeError, ShapeError, UsageError
from minigrad.gradcheck import gradcheck, gradgradcheck

TOLERANCE = {"float32": {"rtol": 1e-5, "atol": 2e-6}, "float64": {"rtol": 1e-11, "atol": 1e-13}}

ACTIVATIONS = [
    ("relu", {}),
    ("leaky_relu", {}),
    ("leaky_relu", {"negative_slope": 0.2}),
    ("elu", {}),
    ("elu", {"alpha": 0.5}),
    ("gelu", {}),
    ("gelu", {"approximate": "tanh"}),
    ("silu", {}),
    ("softplus", {}),
    ("softplus", {"beta": 3.0, "threshold": 2.0}),
    ("logsigmoid", {}),
    ("glu", {}),
    ("glu", {"dim": 0}),
    ("sigmoid", {}),
    ("tanh", {}),
    ("softmax", {"dim": -1}),
    ("softmax", {"dim": 0}),
    ("log_softmax", {"dim": 1}),
    ("normalize", {}),
    ("normalize", {"p": 1.0, "dim": 0}),
    ("pad", {"pad": (1, 2), "value": 1.5}),
    ("pad", {"pad": (1, -2, 0, 3)}),
    ("pad", {"pad": (-1, -1)}),
    ("pad", {"pad": (2, 1), "mode": "reflect"}),
    ("pad", {"pad": (2, 7), "mode": "replicate"}),
    ("pad", {"pad": (2, 3), "mode": "circular"}),
]
NAMES = [f"{name}-{'-'.join(map(str, options.values()))}" for name, options in ACTIVATIONS]


def normal(*shape, dtype="float64", seed=1):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def like_torch(name, arrays, options, dtype):
    """The value and gradients of ``F.name(*arrays)`` are those of torch."""
    torch = pytest.importorskip("torch")
    ours = [mg.tensor(a, requires_grad=True) for a in arrays]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    out, expected = getattr(F, name)(*ours, **options), getattr(torch.nn.functional, name)(*theirs, **options)
    assert out.dtype == dtype
    np.testing.assert_allclose(out.numpy(), expected.detach().numpy(), **TOLERANCE[dtype])
    g = normal(*expected.shape, dtype=dtype, seed=2)
    out.backward(mg.tensor(g))
    expected.backward(torch.tensor(g))
    for a, b in zip(ours, theirs):
        assert a.grad.dtype == dtype
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), **TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name, options", ACTIVATIONS, ids=NAMES)
def test_functions_of_one_tensor_match_torch(name, options, dtype):
    like_torch(name, [3 * normal(4, 3, 6, dtype=dtype)], options, dtype)


@pytest.mark.parametrize("name, options", ACTIVATIONS, ids=NAMES)
def test_finite_differences_confirm_first_and_second_derivatives(name, options):
    x = mg.tensor(2 * normal(2, 3, 4), requires_grad=True)
    options = {**options, **({"pad": (2, 3)} if options.get("mode") == "replicate" else {})}
    assert gradcheck(lambda x: getattr(F, name)(x, **options), x)
    if name != "relu":  # piecewise linear: its second derivative is 0, and the walk finds no path to it
        assert gradgradcheck(lambda x: getattr(F, name)(x, **options), x)


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "elu", "gelu", "silu", "softplus", "logsigmoid", "sigmoid", "tanh"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_activations_at_the_ends_of_the_number_line(name, dtype):
    torch = pytest.importorskip("torch")
    points = np.array([0.0, -0.0, 1e-6, -1e-6, 30, -30, 200, -200, 1e4, -1e4, np.inf, -np.inf, np.nan], dtype)
    x, y = mg.tensor(points, requires_grad=True), torch.tensor(points, requires_grad=True)
    out, expected = getattr(F, name)(x), getattr(torch.nn.functional, name)(y)
    out.backward(mg.ones(13, dtype=dtype))
    expected.sum().backward()
    finite = np.isfinite(points)
    ours, theirs = out.numpy()[finite], expected.detach().numpy()[finite]
    np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=1e-7)
    np.testing.assert_allclose(x.grad.numpy()[finite], y.grad.numpy()[finite], rtol=2e-5, atol=1e-6)
    assert np.isnan(out.numpy()[-1])
    assert not np.isnan(out.numpy()[-3])


def test_kinks_have_the_documented_gradient():
    zero = mg.zeros(1, requires_grad=True)
    for function, expected in ((F.relu, 0.0), (F.leaky_relu, 0.01), (lambda x: F.elu(x, alpha=0.5), 0.5)):
        (g,) = mg.grad(function(zero).sum(), zero)
        assert g.item() == pytest.approx(expected)


@pytest.mark.parametrize("function", [F.relu, F.leaky_relu, F.elu, F.silu, F.dropout])
def test_inplace_writes_over_the_input(function):
    values = normal(3, 4, dtype="float32")
    x = mg.tensor(values)
    mg.manual_seed(0)
    expected = function(mg.tensor(values)).numpy()
    mg.manual_seed(0)
    assert function(x, inplace=True) is x
    np.testing.assert_array_equal(x.numpy(), expected)


def test_inplace_keeps_gradients_flowing():
    x = mg.tensor(normal(3, 4), requires_grad=True)
    F.relu(x * 2, inplace=True).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), 2.0 * (x.numpy() > 0))


def test_gelu_rejects_an_unknown_approximation():
    with pytest.raises(UsageError, match="'none' and 'tanh': got 'erf'"):
        F.gelu(mg.ones(2), approximate="erf")


def test_glu_rejects_an_odd_dimension():
    with pytest.raises(ShapeError, match="even size: got size 3 for dim -1"):
        F.glu(mg.ones(2, 3))


@pytest.mark.parametrize(
    "function", [F.gelu, F.silu, F.softplus, F.elu, lambda x: F.softmax(x, -1), lambda x: F.layer_norm(x, 3)]
)
def test_integers_are_refused_with_advice(function):
    with pytest.raises(DTypeError, match=r"float32 or float64 tensor: got dtype int64; use .float\(\)"):
        function(mg.tensor([1, 2, 3]))


# -- dropout ------------------------------------------------------------------------------------------------------------


def test_dropout_keeps_the_expectation_and_repeats_its_mask_backward():
    x = mg.ones(200, 300, requires_grad=True)
    mg.manual_seed(3)
    y = F.dropout(x, 0.3)
    y.sum().backward()
    kept = y.numpy() != 0
    assert abs(kept.mean() - 0.7) < 0.01
    np.testing.assert_allclose(y.numpy()[kept], 1 / 0.7, rtol=1e-6)
    np.testing.assert_array_equal(x.grad.numpy(), y.numpy())


def test_dropout_is_reproducible_and_fresh():
    x = mg.ones(50, 20)
    mg.manual_seed(3)
    first, second = F.dropout(x), F.dropout(x)
    mg.manual_seed(3)
    again = F.dropout(x)
    assert (first.numpy() != second.numpy()).any()
    np.testing.assert_array_equal(first.numpy(), again.numpy())


def test_dropout_does_nothing_outside_training_and_all_at_one():
    x = mg.tensor([np.nan, np.inf, 1.0], requires_grad=True)
    assert F.dropout(x, 0.9, training=False) is x
    assert F.dropout(x, 0.0) is x
    y = F.dropout(x, 1.0)
    y.sum().backward()
    assert y.tolist() == [0.0, 0.0, 0.0] == x.grad.tolist()


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_dropout_rejects_what_is_no_probability(p):
    with pytest.raises(UsageError, match="probability from 0 to 1: got"):
        F.dropout(mg.ones(3), p, training=False)


# -- linear, embedding, normalisation -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "name, shapes, options",
    [
        ("linear", [(2, 5, 3), (4, 3), (4,)], {}),
        ("linear", [(5, 3), (4, 3)], {}),
        ("linear", [(3,), (4, 3), (4,)], {}),
        ("linear", [(5, 3), (3,)], {}),
        ("linear", [(5, 0), (4, 0)], {}),
        ("linear", [(2, 0, 3), (4, 3), (4,)], {}),
        ("cosine_similarity", [(4, 5), (4, 5)], {}),
        ("cosine_similarity", [(4, 1, 5), (3, 5)], {"dim": -1}),
        ("cosine_similarity", [(4, 5), (5,)], {}),
        ("cosine_similarity", [(5,), (2, 4, 5)], {"dim": 2}),
        ("pairwise_distance", [(4, 5), (4, 5)], {}),
        ("pairwise_distance", [(4, 5), (5,)], {"p": 1.0, "keepdim": True}),
    ],
)
def test_functions_of_several_tensors_match_torch(name, shapes, options, dtype):
    like_torch(name, [normal(*shape, dtype=dtype, seed=i) for i, shape in enumerate(shapes)], options, dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["layer_norm", "rms_norm"])
@pytest.mark.parametrize("shape", [(6,), (5, 6)])
@pytest.mark.parametrize("affine", [True, False])
def test_norms_match_torch(name, shape, affine, dtype):
    torch = pytest.importorskip("torch")
    arrays = [normal(4, 5, 6, dtype=dtype)] + [normal(*shape, dtype=dtype, seed=i) for i in range(2 if affine else 0)]
    arrays = arrays[: 2 if name == "rms_norm" else 3]
    ours = [mg.tensor(a, requires_grad=True) for a in arrays]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    out = getattr(F, name)(ours[0], shape, *ours[1:])
    expected = getattr(torch.nn.functional, name)(theirs[0], shape, *theirs[1:])
    g = normal(4, 5, 6, dtype=dtype, seed=9)
    out.backward(mg.tensor(g))
    expected.backward(torch.tensor(g))
    np.testing.assert_allclose(out.numpy(), expected.detach().numpy(), **TOLERANCE[dtype])
    for a, b in zip(ours, theirs):
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=2e-5, atol=5e-6)


def test_layer_norm_keeps_the_digits_of_small_noise_on_a_large_mean():
    noise = normal(3, 64)
    out = F.layer_norm(mg.tensor((1e4 + noise).astype(np.float32)), 64, eps=0.0).numpy()
    seen = (1e4 + noise).astype(np.float32).astype(np.float64)
    expected = (seen - seen.mean(1, keepdims=True)) / seen.std(1, keepdims=True)
    np.testing.assert_allclose(out, expected, atol=1e-4)


def test_linear_gives_a_wide_weight_its_gradient_once_per_token():
    x, weight = mg.ones(2, 3, 4), mg.zeros(5, 4, requires_grad=True)
    F.linear(x, weight).sum().backward()
    np.testing.assert_array_equal(weight.grad.numpy(), np.full((5, 4), 6.0))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: F.linear(mg.ones(2, 3), mg.ones(4, 5)), r"\(2, 3\) and \(4, 5\); the last dimensions of both must agree"),
        (lambda: F.linear(mg.ones(2, 3), mg.ones(4, 3), mg.ones(3)), r"bias of shape \(4,\) beside a weight of shape \(4, 3\)"),
        (lambda: F.layer_norm(mg.ones(2, 3), 4), r"got \(4,\) for an input of shape \(2, 3\); pass normalized_shape=\(3,\)"),
        (lambda: F.rms_norm(mg.ones(2, 3), (3,), mg.ones(2)), r"weight of shape \(3,\), its normalized_shape: got \(2,\)"),
        (lambda: F.embedding(mg.tensor([1]), mg.ones(3)), r"weight of shape \(rows, features\): got \(3,\)"),
        (lambda: F.pad(mg.ones(2, 3), (1, 1, 1, 1, 1, 1)), r"3 dimensions, from the last one on: the input has shape \(2, 3\)"),
        (lambda: F.pad(mg.ones(2, 3), (3, 0), mode="reflect"), "at most 2 to a side of size 3"),
        (lambda: F.pad(mg.ones(2, 3), (-2, -2)), "cannot cut off more than there is"),
    ],
)
def test_shapes_that_do_not_fit(call, message):
    with pytest.raises(ShapeError, match=message):
        call()


def test_dtypes_do_not_mix():
    with pytest.raises(DTypeError, match="one dtype: got float32 and a weight of float64"):
        F.linear(mg.ones(2, 3), mg.ones(4, 3, dtype="float64"))
    with pytest.raises(DTypeError, match="needs a tensor as weight: got list"):
        F.linear(mg.ones(2, 3), [[1.0, 2.0, 3.0]])


def test_embedding_rejects_ids_outside_the_table():
    table = mg.ones(10, 4)
    for bad in (10, -1):
        with pytest.raises(DimensionError, match=f"ids from 0 to 9 for a table of 10 rows: got {bad}; make the table"):
            F.embedding(mg.tensor([1, bad, 3]), table)
    with pytest.raises(DTypeError, match="integer ids: got dtype float32"):
        F.embedding(mg.tensor([1.0]), table)
    with pytest.raises(DimensionError, match="from -10 to 9: got 10"):
        F.embedding(mg.tensor([1]), table, padding_idx=10)


@pytest.mark.parametrize("padding_idx", [None, 2, -1])
def test_embedding_matches_torch(padding_idx):
    torch = pytest.importorskip("torch")
    ids, table = np.array([[2, 9, 2], [0, 9, 5]], np.int32), normal(10, 3)
    ours, theirs = mg.tensor(table, requires_grad=True), torch.tensor(table, requires_grad=True)
    out = F.embedding(mg.tensor(ids), ours, padding_idx)
    expected = torch.nn.functional.embedding(torch.tensor(ids), theirs, padding_idx)
    np.testing.assert_array_equal(out.numpy(), expected.detach().numpy())
    (out * out).sum().backward()
    (expected * expected).sum().backward()
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-12)


def test_empty_batches_pass_through():
    weight, bias = mg.ones(3, 3, requires_grad=True), mg.ones(3, requires_grad=True)
    ids = mg.zeros(0, 2, dtype="int64")
    out = F.softmax(F.layer_norm(F.linear(F.embedding(ids, weight), weight, bias), 3, bias, bias), -1)
    assert out.shape == (0, 2, 3)
    out.sum().backward()
    assert weight.grad.tolist() == mg.zeros(3, 3).tolist()


# -- one_hot and pad ----------------------------------------------------------------------------------------------------


def test_one_hot_is_as_in_torch():
    torch = pytest.importorskip("torch")
    classes = np.array([[0, 2], [1, 0]])
    for count in (-1, 5):
        ours = F.one_hot(mg.tensor(classes), count)
        assert ours.dtype == "int64"
        np.testing.assert_array_equal(ours.numpy(), torch.nn.functional.one_hot(torch.tensor(classes), count).numpy())


def test_one_hot_rejects_what_is_no_class():
    with pytest.raises(DimensionError, match="classes from 0 to 2: got 3"):
        F.one_hot(mg.tensor([0, 3]), 3)
    with pytest.raises(DimensionError, match="got -1"):
        F.one_hot(mg.tensor([0, -1]))
    with pytest.raises(DTypeError, match="integer classes: got dtype float32"):
        F.one_hot(mg.tensor([0.0]))
    with pytest.raises(UsageError, match="empty tensor: pass num_classes"):
        F.one_hot(mg.zeros(0, dtype="int64"))


def test_pad_rejects_bad_options():
    with pytest.raises(UsageError, match="'constant', 'reflect', 'replicate' and 'circular': got 'wrap'"):
        F.pad(mg.ones(3), (1, 1), mode="wrap")
    with pytest.raises(UsageError, match="a left and a right size for each dimension"):
        F.pad(mg.ones(3), (1, 1, 1))
    with pytest.raises(UsageError, match="value only in mode 'constant'"):
        F.pad(mg.ones(3), (1, 1), mode="reflect", value=1.0)


def test_pad_works_on_integers_and_never_shares_memory():
    x = mg.tensor([1, 2])
    assert F.pad(x, (1, 0), value=7).tolist() == [7, 1, 2]
    same = F.pad(x, (0, 0))
    assert same.tolist() == [1, 2]
    assert not np.shares_memory(same.numpy(), x.numpy())


@pytest.mark.parametrize("name", ["relu", "sigmoid"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_small_and_large_inputs_take_different_roads_to_the_same_place(name, dtype):
    """Small tensors are left to NumPy and large ones go to a kernel, except in float16, for which there is none."""
    values = np.linspace(-9, 9, 5000).astype(dtype)
    values[:3] = np.nan, np.inf, -np.inf
    large = mg.tensor(values, requires_grad=True)
    small = [mg.tensor(part, requires_grad=True) for part in np.array_split(values, 5)]
    out, parts = getattr(F, name)(large), [getattr(F, name)(part) for part in small]
    tolerance = {"float16": 2e-3, "float32": 3e-7, "float64": 1e-15}[dtype]
    np.testing.assert_allclose(out.numpy(), np.concatenate([p.numpy() for p in parts]), rtol=tolerance)
    out.sum().backward()
    for part in parts:
        part.sum().backward()
    np.testing.assert_allclose(
        large.grad.numpy(), np.concatenate([p.grad.numpy() for p in small]), rtol=tolerance, atol=tolerance
    )
