"""The recurrent layers against PyTorch: values, states and every gradient; and how they answer bad input."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.errors import DTypeError, ShapeError, UsageError
from minigrad.nn.utils import rnn as packing

torch = pytest.importorskip("torch")

KINDS = ["RNN", "LSTM", "GRU"]
OPTIONS = {
    "one layer": {},
    "two layers": {"num_layers": 2},
    "both directions": {"num_layers": 2, "bidirectional": True},
    "batch first": {"batch_first": True, "bidirectional": True},
    "no bias": {"bias": False},
}
TIME, BATCH, FEATURES, HIDDEN = 5, 3, 4, 6
LENGTHS = [2, 5, 3]


def pair(kind, dtype="float64", **options):
    """One of our layers, and PyTorch's with the same weights."""
    theirs = getattr(torch.nn, kind)(FEATURES, HIDDEN, **options).to(getattr(torch, dtype))
    ours = getattr(nn, kind)(FEATURES, HIDDEN, **options, dtype=dtype)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def both(array):
    """A tensor of ours, and one of theirs, that want gradients."""
    return mg.tensor(array, requires_grad=True), torch.tensor(array, requires_grad=True)


def states(kind, rng, *shape):
    """Initial states for both, as the layer takes them, and as flat lists."""
    pairs = [both(rng.standard_normal(shape)) for _ in range(2 if kind == "LSTM" else 1)]
    ours, theirs = zip(*pairs)
    return (ours, theirs, ours, theirs) if kind == "LSTM" else (ours[0], theirs[0], ours, theirs)


def flat(result):
    """The tensors of a layer's result, however nested."""
    if isinstance(result, (mg.Tensor, torch.Tensor)):
        return [result]
    if hasattr(result, "batch_sizes"):
        return [result.data]
    return [x for part in result for x in flat(part)]


def check(ours, theirs, inputs, module=None, reference=None, rtol=1e-10, atol=1e-11):
    """Values, and the gradients of a weighted sum of all results, by the inputs and the parameters."""
    rng = np.random.default_rng(3)
    total, expected_total = 0.0, 0.0
    for a, b in zip(flat(ours), flat(theirs), strict=True):
        assert a.shape == tuple(b.shape)
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=rtol, atol=atol)
        weight = rng.standard_normal(a.shape).astype(a.dtype)
        total, expected_total = total + (a * weight).sum(), expected_total + (b * torch.tensor(weight)).sum()
    total.backward()
    expected_total.backward()
    compared = list(inputs)
    if module is not None:
        named = dict(reference.named_parameters())
        parameters = dict(module.named_parameters())
        assert list(parameters) == list(named)
        compared += [(parameters[name], named[name]) for name in named]
    for a, b in compared:
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=rtol, atol=atol)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_values_and_gradients_are_those_of_torch(kind, options, rng):
    ours, theirs = pair(kind, **options)
    x, their_x = both(rng.standard_normal((TIME, BATCH, FEATURES)))
    count = options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1)
    batch = TIME if options.get("batch_first") else BATCH
    hx, their_hx, leaves, their_leaves = states(kind, rng, count, batch, HIDDEN)
    check(ours(x, hx), theirs(their_x, their_hx), [(x, their_x), *zip(leaves, their_leaves)], ours, theirs)


@pytest.mark.parametrize("kind", KINDS)
def test_in_float32_without_states_and_without_a_batch(kind, rng):
    ours, theirs = pair(kind, "float32", bidirectional=True)
    array = rng.standard_normal((TIME, FEATURES)).astype(np.float32)
    x, their_x = both(array)
    result = ours(x)
    assert all(tensor.dtype == np.float32 for tensor in flat(result))
    check(result, theirs(their_x), [(x, their_x)], ours, theirs, rtol=1e-4, atol=1e-5)
    hx = torch.zeros(2, HIDDEN)
    theirs(their_x, (hx, hx) if kind == "LSTM" else hx)  # states without a batch too
    hx = mg.zeros(2, HIDDEN)
    np.testing.assert_allclose(
        flat(ours(x, (hx, hx) if kind == "LSTM" else hx))[0].detach().numpy(), flat(result)[0].detach().numpy()
    )


def test_the_rectifier_as_nonlinearity(rng):
    ours, theirs = pair("RNN", nonlinearity="relu", num_layers=2)
    x, their_x = both(rng.standard_normal((TIME, BATCH, FEATURES)))
    check(ours(x), theirs(their_x), [(x, their_x)], ours, theirs)


@pytest.mark.parametrize("enforce_sorted", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_packed_sequences(kind, enforce_sorted, rng):
    ours, theirs = pair(kind, num_layers=2, bidirectional=True)
    x, their_x = both(rng.standard_normal((TIME, BATCH, FEATURES)))
    lengths = sorted(LENGTHS, reverse=True) if enforce_sorted else LENGTHS
    hx, their_hx, leaves, their_leaves = states(kind, rng, 4, BATCH, HIDDEN)
    packed = packing.pack_padded_sequence(x, lengths, enforce_sorted=enforce_sorted)
    their_packed = torch.nn.utils.rnn.pack_padded_sequence(their_x, lengths, enforce_sorted=enforce_sorted)
    check(ours(packed, hx), theirs(their_packed, their_hx), [(x, their_x), *zip(leaves, their_leaves)], ours, theirs)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_lengths_do_what_packing_does(kind, batch_first, rng):
    ours, theirs = pair(kind, bidirectional=True, batch_first=batch_first)
    array = rng.standard_normal((TIME + 1, BATCH, FEATURES))
    x, their_x = both(array.swapaxes(0, 1).copy() if batch_first else array)
    packed = torch.nn.utils.rnn.pack_padded_sequence(their_x, LENGTHS, batch_first, enforce_sorted=False)
    out, state = theirs(packed)
    padded, _ = torch.nn.utils.rnn.pad_packed_sequence(out, batch_first, total_length=TIME + 1)
    result = ours(x, lengths=mg.tensor(LENGTHS))
    check(result, (padded, state), [(x, their_x)], ours, theirs)


@pytest.mark.parametrize("kind", KINDS)
def test_what_stands_beyond_a_sequence_does_not_matter(kind, rng):
    layer = getattr(nn, kind)(FEATURES, HIDDEN, bidirectional=True)
    x = rng.standard_normal((TIME, BATCH, FEATURES)).astype(np.float32)
    expected, _ = layer(mg.tensor(x), lengths=LENGTHS)
    for i, n in enumerate(LENGTHS):
        x[n:, i] = np.nan
        assert not expected.numpy()[n:, i].any()
    np.testing.assert_array_equal(layer(mg.tensor(x), lengths=LENGTHS)[0].numpy(), expected.numpy())


def test_dropout_acts_between_layers_in_training_alone(rng):
    layer = nn.GRU(FEATURES, HIDDEN, 2, dropout=0.5)
    x = mg.tensor(rng.standard_normal((TIME, BATCH, FEATURES)).astype(np.float32))
    first, second = layer(x)[0], layer(x)[0]
    assert not mg.allclose(first, second)
    layer.eval()
    np.testing.assert_array_equal(layer(x)[0].numpy(), layer(x)[0].numpy())
    layer.train().dropout = 1.0
    np.testing.assert_allclose(layer(x)[1][0].numpy(), layer(2 * x)[1][0].numpy() * 1.0, atol=1)  # the first layer still learns
    layer.dropout = 0.0
    np.testing.assert_array_equal(layer(x)[0].numpy(), layer.eval()(x)[0].numpy())


@pytest.mark.parametrize("kind", KINDS)
def test_cells(kind, rng):
    theirs = getattr(torch.nn, f"{kind}Cell")(FEATURES, HIDDEN).double()
    ours = getattr(nn, f"{kind}Cell")(FEATURES, HIDDEN, dtype="float64")
    ours.load_state_dict(theirs.state_dict())
    for lead in ((BATCH,), ()):
        x, their_x = both(rng.standard_normal((*lead, FEATURES)))
        hx, their_hx, leaves, their_leaves = states(kind, rng, *lead, HIDDEN)
        ours.zero_grad()
        theirs.zero_grad()
        check(ours(x, hx), theirs(their_x, their_hx), [(x, their_x), *zip(leaves, their_leaves)], ours, theirs)
        np.testing.assert_allclose(flat(ours(x))[0].detach().numpy(), flat(theirs(their_x))[0].detach().numpy(), rtol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_is_its_cell_step_by_step(kind, rng):
    layer, cell = getattr(nn, kind)(FEATURES, HIDDEN), getattr(nn, f"{kind}Cell")(FEATURES, HIDDEN)
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in layer.state_dict().items()})
    x = mg.tensor(rng.standard_normal((TIME, BATCH, FEATURES)).astype(np.float32))
    state, outputs = None, []
    for t in range(TIME):
        state = cell(x[t], state)
        outputs.append(flat(state)[0])
    out, last = layer(x)
    np.testing.assert_allclose(out.numpy(), mg.stack(outputs).numpy(), rtol=1e-5, atol=1e-6)
    for a, b in zip(flat(last), flat(state), strict=True):
        np.testing.assert_allclose(a[0].numpy(), b.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_and_their_first_values(kind):
    options = {"num_layers": 2, "bidirectional": True}
    ours, theirs = getattr(nn, kind)(3, 50, **options), getattr(torch.nn, kind)(3, 50, **options)
    assert {k: v.shape for k, v in ours.state_dict().items()} == {k: tuple(v.shape) for k, v in theirs.state_dict().items()}
    assert list(ours.state_dict()) == list(theirs.state_dict())
    bound = 1 / np.sqrt(50)
    values = np.concatenate([p.detach().numpy().ravel() for p in ours.parameters()])
    assert np.abs(values).max() <= bound
    assert values.std() == pytest.approx(bound / np.sqrt(3), rel=0.02)
    assert [len(weights) for weights in ours.all_weights] == [4] * 4
    assert repr(ours) == repr(theirs)


# -- gradients through time ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_flow_is_the_norm_of_each_states_gradient(kind, rng):
    """dL/dh_t, taken by letting a cell go on from each of its states by hand."""
    layer, cell = getattr(nn, kind)(FEATURES, HIDDEN), getattr(nn, f"{kind}Cell")(FEATURES, HIDDEN)
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in layer.state_dict().items()})
    x = mg.tensor(rng.standard_normal((TIME, BATCH, FEATURES)).astype(np.float32))
    weight = mg.tensor(rng.standard_normal((TIME, BATCH, HIDDEN)).astype(np.float32))
    seen = {}
    handle = layer.register_gradient_flow_hook(lambda name, norms: seen.update({name: norms}))
    (layer(x)[0] * weight).sum().backward()
    state, hidden = None, []
    for t in range(TIME):
        state = cell(x[t], state)
        hidden.append(flat(state)[0])
    gradients = mg.grad((mg.stack(hidden) * weight).sum(), hidden)
    expected = [np.linalg.norm(g.numpy(), axis=1) for g in gradients]
    np.testing.assert_allclose(seen["l0"], expected, rtol=1e-5)
    handle.remove()
    seen.clear()
    (layer(x)[0] * weight).sum().backward()
    assert not seen


def test_the_gradient_flow_of_each_layer_and_sequence(rng):
    layer = nn.LSTM(FEATURES, HIDDEN, 2, bidirectional=True)
    x = mg.tensor(rng.standard_normal((TIME, BATCH, FEATURES)).astype(np.float32))
    seen = {}
    layer.register_gradient_flow_hook(lambda name, norms: seen.update({name: norms}))
    layer(x, lengths=LENGTHS)[0].sum().backward()
    assert set(seen) == {"l0", "l0_reverse", "l1", "l1_reverse"}
    for norms in seen.values():
        assert norms.shape == (TIME, BATCH)
        assert [(column > 0).tolist() for column in norms.T] == [(np.arange(TIME) < n).tolist() for n in LENGTHS]


def test_a_vanishing_gradient_is_seen():
    layer = nn.RNN(1, 8)
    with mg.no_grad():
        layer.weight_hh_l0.copy_(0.5 * mg.eye(8))
    seen = []
    layer.register_gradient_flow_hook(lambda name, norms: seen.append(norms[:, 0]))
    layer(mg.zeros(20, 1, 1))[0][-1].sum().backward()
    ratios = seen[0][1:] / seen[0][:-1]
    assert (ratios > 1.9).all()  # each step back halves it


# -- bad input ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: nn.LSTM(0, 3), UsageError, "input_size is positive"),
        (lambda: nn.LSTM(3, 0), UsageError, "hidden_size is positive"),
        (lambda: nn.GRU(3, 3, 0), UsageError, "num_layers is positive"),
        (lambda: nn.GRU(3, 3.5), DTypeError, "hidden_size is an integer"),
        (lambda: nn.GRU(3, 3, bias=1), DTypeError, "bias is True or False"),
        (lambda: nn.GRU(3, 3, 2, dropout=1.5), UsageError, "between 0 and 1"),
        (lambda: nn.LSTM(3, 3, proj_size=2), UsageError, "nn.Linear"),
        (lambda: nn.RNN(3, 3, nonlinearity="sine"), UsageError, "'tanh' or 'relu'"),
        (lambda: nn.RNNCell(3, 3, nonlinearity="sine"), UsageError, "'tanh' or 'relu'"),
        (lambda: nn.GRUCell(3, 0), UsageError, "positive"),
    ],
)
def test_bad_sizes_and_options(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_dropout_on_one_layer_warns():
    with pytest.warns(UserWarning, match="does nothing"):
        nn.LSTM(3, 3, dropout=0.5)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda m, z: m(z(4, 2, 7)), ShapeError, "takes 3 features"),
        (lambda m, z: m(z(4, 2, 3, 1)), ShapeError, "2 or 3 dimensions"),
        (lambda m, z: m(z(3)), ShapeError, "2 or 3 dimensions"),
        (lambda m, z: m(z(0, 2, 3)), ShapeError, "at least one step"),
        (lambda m, z: m(z(4, 2, 3).double()), DTypeError, "one dtype"),
        (lambda m, z: m(z(4, 2, 3).long()), DTypeError, "float32 or float64"),
        (lambda m, z: m(z(4, 2, 3), z(1, 2, 5)), DTypeError, "a pair"),
        (lambda m, z: m(z(4, 2, 3), (z(1, 2, 5), z(1, 2, 4))), ShapeError, r"of shape \(1, 2, 5\)"),
        (lambda m, z: m(z(4, 2, 3), (z(1, 5), z(1, 5))), ShapeError, r"of shape \(1, 2, 5\)"),
        (lambda m, z: m(z(4, 3), (z(1, 1, 5), z(1, 1, 5))), ShapeError, r"of shape \(1, 5\)"),
        (lambda m, z: m(z(4, 2, 3), (z(1, 2, 5), z(1, 2, 5).double())), DTypeError, "one dtype"),
        (lambda m, z: m(z(4, 2, 3), lengths=[4, 0]), UsageError, "from 1 to the 4 steps"),
        (lambda m, z: m(z(4, 2, 3), lengths=[5, 1]), UsageError, "from 1 to the 4 steps"),
        (lambda m, z: m(z(4, 2, 3), lengths=[4]), ShapeError, "one length for each"),
        (lambda m, z: m(packing.pack_sequence([z(4, 3)]), lengths=[4]), UsageError, "knows its lengths"),
        (lambda m, z: m(packing.pack_sequence([z(4, 2)])), ShapeError, "takes 3 features"),
        (lambda m, z: m(packing.pack_sequence([z(4)])), ShapeError, "packed sequences"),
    ],
)
def test_bad_calls(call, error, words):
    with pytest.raises(error, match=words):
        call(nn.LSTM(3, 5), mg.zeros)


def test_a_pair_of_states_is_refused_where_there_is_one():
    state = mg.zeros(1, 2, 5)
    with pytest.raises(DTypeError, match="one initial state"):
        nn.GRU(3, 5)(mg.zeros(4, 2, 3), (state, state))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda m, z: m(z(2, 7)), ShapeError, r"\(batch, 3\)"),
        (lambda m, z: m(z(4, 2, 3)), ShapeError, r"\(batch, 3\)"),
        (lambda m, z: m(z(2, 3), (z(1, 5), z(1, 5))), ShapeError, r"of shape \(2, 5\)"),
        (lambda m, z: m(z(2, 3), z(2, 5)), DTypeError, "a pair"),
        (lambda m, z: m(z(2, 3).double()), DTypeError, "one dtype"),
    ],
)
def test_bad_calls_of_a_cell(call, error, words):
    with pytest.raises(error, match=words):
        call(nn.LSTMCell(3, 5), mg.zeros)


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_batch(kind):
    layer = getattr(nn, kind)(FEATURES, HIDDEN, bidirectional=True)
    out, state = layer(mg.zeros(TIME, 0, FEATURES))
    assert out.shape == (TIME, 0, 2 * HIDDEN)
    assert flat(state)[0].shape == (2, 0, HIDDEN)
    out.sum().backward()
    assert not layer.weight_hh_l0.grad.numpy().any()
