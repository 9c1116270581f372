"""Packed and padded sequences against PyTorch, and what becomes of lengths that cannot be."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import DTypeError, ShapeError, UsageError
from minigrad.gradcheck import gradcheck, gradgradcheck
from minigrad.nn.utils import rnn as packing

torch = pytest.importorskip("torch")
theirs = torch.nn.utils.rnn

LENGTHS = [2, 5, 3, 5]


@pytest.mark.parametrize("extra", [0, 2])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("rest", [(), (3,), (2, 3)])
def test_packing_and_padding_again(rest, batch_first, extra, rng):
    shape = (4, 5 + extra, *rest) if batch_first else (5 + extra, 4, *rest)
    x = rng.standard_normal(shape)
    packed = packing.pack_padded_sequence(mg.tensor(x), LENGTHS, batch_first, enforce_sorted=False)
    expected = theirs.pack_padded_sequence(torch.tensor(x), LENGTHS, batch_first, enforce_sorted=False)
    assert all(indices.dtype == np.int64 for indices in packed[1:])
    # PyTorch's sort is not stable, so equal lengths may change places there: what is padded again must agree.
    np.testing.assert_array_equal(packed.batch_sizes.numpy(), expected.batch_sizes.numpy())
    for options in ({}, {"batch_first": True}, {"padding_value": -7.0, "total_length": 8}):
        padded, lengths = packing.pad_packed_sequence(packed, **options)
        expected_padded, expected_lengths = theirs.pad_packed_sequence(expected, **options)
        np.testing.assert_array_equal(padded.numpy(), expected_padded.numpy())
        np.testing.assert_array_equal(lengths.numpy(), expected_lengths.numpy())


def test_sequences_that_come_sorted(rng):
    x = rng.standard_normal((5, 3, 2)).astype(np.float32)
    packed = packing.pack_padded_sequence(mg.tensor(x), mg.tensor([5, 2, 2]))
    expected = theirs.pack_padded_sequence(torch.tensor(x), [5, 2, 2])
    assert packed.sorted_indices is None and packed.unsorted_indices is None
    np.testing.assert_array_equal(packed.data.numpy(), expected.data.numpy())
    np.testing.assert_array_equal(packed.batch_sizes.numpy(), expected.batch_sizes.numpy())
    assert packed.double().data.dtype == np.float64 and packed.double().float().data.dtype == np.float32


@pytest.mark.parametrize("options", [{}, {"batch_first": True}, {"padding_value": 2.0}, {"padding_side": "left"}])
def test_pad_sequence(options, rng):
    arrays = [rng.standard_normal((n, 2)) for n in LENGTHS]
    found = packing.pad_sequence([mg.tensor(a) for a in arrays], **options)
    np.testing.assert_array_equal(found.numpy(), theirs.pad_sequence([torch.tensor(a) for a in arrays], **options).numpy())


@pytest.mark.parametrize("batch_first", [False, True])
def test_sequences_come_back(batch_first, rng):
    sequences = [mg.tensor(rng.standard_normal((n, 2))) for n in LENGTHS]
    padded = packing.pad_sequence(sequences, batch_first)
    results = packing.unpad_sequence(padded, LENGTHS, batch_first)
    unpacked = packing.unpack_sequence(packing.pack_sequence(sequences, enforce_sorted=False))
    for a, b, c in zip(sequences, results, unpacked, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
        np.testing.assert_array_equal(a.numpy(), c.numpy())


def test_gradients_reach_what_was_packed(rng):
    x = mg.tensor(rng.standard_normal((5, 4, 2)), requires_grad=True)

    def there(x):
        return packing.pack_padded_sequence(x, LENGTHS, enforce_sorted=False).data ** 2

    def back(x):
        packed = packing.pack_padded_sequence(x, LENGTHS, enforce_sorted=False)
        return packing.pad_packed_sequence(packed, padding_value=1.0)[0] ** 2

    for function in (there, back):
        assert gradcheck(function, [x])
        assert gradgradcheck(function, [x])


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda p, x: p.pack_padded_sequence(x, [4, 2, 0]), UsageError, "from 1 to the 4 steps"),
        (lambda p, x: p.pack_padded_sequence(x, [5, 2, 1]), UsageError, "from 1 to the 4 steps"),
        (lambda p, x: p.pack_padded_sequence(x, [2, 3, 1]), UsageError, "enforce_sorted=False"),
        (lambda p, x: p.pack_padded_sequence(x, [2, 1]), ShapeError, "each of 3 sequences"),
        (lambda p, x: p.pack_padded_sequence(x, mg.tensor([2.0, 1.0, 1.0])), DTypeError, "integers"),
        (lambda p, x: p.pack_padded_sequence(x[:, :0], []), ShapeError, "at least one step"),
        (lambda p, x: p.pack_padded_sequence(x[:, 0, 0], [1]), ShapeError, "at least one step"),
        (lambda p, x: p.pad_packed_sequence(p.pack_sequence([x]), total_length=3), UsageError, "at least the longest"),
        (lambda p, x: p.pad_sequence([]), UsageError, "at least one"),
        (lambda p, x: p.pad_sequence([x, x[:, :1]]), ShapeError, "agree"),
        (lambda p, x: p.pad_sequence([x], padding_side="top"), UsageError, "'right' or 'left'"),
        (lambda p, x: p.unpad_sequence(x, [9, 1, 1]), UsageError, "from 1 to the 4 steps"),
    ],
)
def test_bad_input(call, error, words):
    with pytest.raises(error, match=words):
        call(packing, mg.zeros(4, 3, 2))


def test_nothing_to_invert():
    assert packing.invert_permutation(None) is None


def test_packed_rows_are_those_of_a_packed_sequence():
    random = np.random.default_rng(0)
    lengths, x = np.array([2, 5, 1, 5]), random.normal(size=(4, 5, 3)).astype(np.float32)
    rows = packing.PackedRows(lengths, 5)
    expected = packing.pack_padded_sequence(mg.tensor(x), lengths, batch_first=True, enforce_sorted=False)
    packed = rows.packed(rows.of_tensor(mg.tensor(x)))
    for mine, theirs in zip(packed, expected):
        assert np.array_equal(mine.numpy(), theirs.numpy())
    assert np.array_equal(rows.of(x[:, :, 0]), packed.data.numpy()[:, 0])
    inside = np.arange(5) < lengths[:, None]
    assert np.array_equal(rows.padded(packed.data).numpy(), np.where(inside[..., None], x, 0))
