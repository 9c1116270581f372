"""Sequences of different lengths in a batch, as in ``torch.nn.utils.rnn``: padded to one length, or packed without padding."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from ...errors import DTypeError, ShapeError, UsageError
from ...ops import cat
from ...ops.rows import gather_rows, place_rows
from ...tensor import Tensor, raw, tensor_of, wrap


class _Packed(NamedTuple):
    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None
    unsorted_indices: Tensor | None


class PackedSequence(_Packed):
    """Sequences without padding: what the functions of this module make, and every recurrent layer takes and returns.

    Attributes:
        data: (steps of all sequences, ..): first the first steps of all sequences, the longest in front, then the second
            steps of those that have one, and so on.
        batch_sizes: (steps,), how many sequences have each step.
        sorted_indices: (sequences,), the number of each sequence before they were sorted; None if they came sorted.
        unsorted_indices: (sequences,), where each went.
    """

    __slots__ = ()

    def __new__(cls, data, batch_sizes, sorted_indices=None, unsorted_indices=None):
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def to(self, dtype) -> PackedSequence:
        """The same with its data in another dtype."""
        return self._replace(data=self.data.to(dtype))

    def float(self) -> PackedSequence:
        """The same with its data in float32."""
        return self.to(np.float32)

    def double(self) -> PackedSequence:
        """The same with its data in float64."""
        return self.to(np.float64)


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """The inverse of a permutation; None of None."""
    if permutation is None:
        return None
    inverse = np.empty(permutation.shape, np.int64)
    inverse[raw(permutation)] = np.arange(len(permutation))
    return wrap(inverse)


def checked_lengths(lengths, batch: int, longest: int, name: str) -> np.ndarray:
    """The lengths as an int64 array.

    Raises:
        DTypeError: if they are not integers.
        ShapeError: if there is not one for each of ``batch`` sequences.
        UsageError: if one is not from 1 to ``longest``.
    """
    values = np.asarray(raw(lengths) if isinstance(lengths, Tensor) else [int(raw(n)) for n in lengths])
    if values.size and values.dtype.kind not in "iu":
        raise DTypeError(f"{name} needs integers as lengths: got {values.dtype}")
    if values.shape != (batch,):
        raise ShapeError(f"{name} needs one length for each of {batch} sequences: got lengths of shape {values.shape}")
    if values.size and not 1 <= values.min() <= values.max() <= longest:
        wrong = values[(values < 1) | (values > longest)][0]
        raise UsageError(
            f"{name} needs lengths from 1 to the {longest} steps that the batch has: got {wrong}; "
            "leave empty sequences out, and cut lengths to what the padding left"
        )
    return values.astype(np.int64)


def batch_sizes_of(lengths: np.ndarray) -> np.ndarray:
    """(steps,), how many sequences have each step, for lengths that need not be sorted."""
    return np.cumsum(np.bincount(lengths)[::-1])[-2::-1].copy()  # the last of them, of step 0, is for the length 0


def places_of(sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The step, and the place of the sequence in its order, of each packed row."""
    steps, places = np.nonzero(np.arange(sizes[0]) < sizes[:, None])
    return steps, places


class PackedRows:
    """Which rows of a padded batch (batch, time) are no padding, in the order of a :class:`PackedSequence`.

    Packing here is done once for a batch, on its numbers, before there are any features: for models that embed, read and
    predict tokens, and never compute anything for padding.

    Args:
        lengths: (batch,), an array of integers from 1 to ``time``; they need not be sorted.
        time: of the padded batch.
    """

    def __init__(self, lengths: np.ndarray, time: int):
        self.batch, self.time = len(lengths), time
        self.order = np.argsort(-lengths, kind="stable")
        self.sizes = batch_sizes_of(lengths)
        steps, places = places_of(self.sizes)
        self.index = self.order[places] * time + steps

    def of(self, ids: np.ndarray) -> np.ndarray:
        """The elements (rows,) of an array (batch, time)."""
        return ids.reshape(-1)[self.index]

    def of_tensor(self, x: Tensor) -> Tensor:
        """The rows (rows, features) of a tensor (batch, time, features)."""
        return gather_rows(x.reshape(self.batch * self.time, x.shape[2]), self.index)

    def packed(self, x: Tensor) -> PackedSequence:
        """Rows (rows, features) as a packed sequence."""
        return PackedSequence(x, wrap(self.sizes), wrap(self.order))

    def padded(self, x: Tensor) -> Tensor:
        """Rows (rows, features) in their places, (batch, time, features), with 0 where there is padding."""
        return place_rows(x, self.index, self.batch * self.time, 0.0).reshape(self.batch, self.time, x.shape[1])


def pack_padded_sequence(input, lengths, batch_first: bool = False, enforce_sorted: bool = True) -> PackedSequence:
    """Sequences that were padded to one length, without their padding.

    Args:
        input: (time, batch, ..), or (batch, time, ..) with ``batch_first``.
        lengths: (batch,), integers from 1 to ``time``; what lies beyond a sequence's length is left out.
        enforce_sorted: whether the sequences must come with the longest in front. If not, they are sorted, and all that
            is made of the result comes back in their first order.

    Raises:
        ShapeError: if the shapes do not fit.
        UsageError: for a length outside that range, or lengths that should be sorted and are not.
    """
    x = tensor_of(input)
    if x.ndim < 2 or 0 in x.shape[:2]:
        raise ShapeError(f"pack_padded_sequence needs at least one step of one sequence, (time, batch, ..): got {x.shape}")
    time, batch = (x.shape[1], x.shape[0]) if batch_first else x.shape[:2]
    values = checked_lengths(lengths, batch, time, "pack_padded_sequence")
    order = None
    if (values[1:] > values[:-1]).any() or not enforce_sorted:
        if enforce_sorted:
            raise UsageError(
                "pack_padded_sequence needs sequences in the order of their lengths, the longest first: "
                f"got lengths {values.tolist()}; pass enforce_sorted=False to have them sorted"
            )
        order = np.argsort(-values, kind="stable")
    sizes = batch_sizes_of(values)
    steps, places = places_of(sizes)
    sequences = places if order is None else order[places]
    rows = sequences * time + steps if batch_first else steps * batch + sequences
    data = gather_rows(x.reshape(time * batch, *x.shape[2:]), rows)
    return PackedSequence(data, wrap(sizes), None if order is None else wrap(order))


def pad_packed_sequence(
    sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0, total_length: int | None = None
) -> tuple[Tensor, Tensor]:
    """The sequences padded to one length, in the order in which they were packed.

    Args:
        sequence: what :func:`pack_padded_sequence` or a recurrent layer made.
        batch_first: whether the result is (batch, time, ..) rather than (time, batch, ..).
        padding_value: what stands beyond the end of a sequence.
        total_length: the time of the result, at least the longest length, which it is if left out.

    Returns:
        the padded tensor, and the lengths (batch,).

    Raises:
        UsageError: if ``total_length`` is too short.
    """
    sizes = np.asarray(raw(sequence.batch_sizes))
    time, batch = len(sizes), int(sizes[0])
    if total_length is not None:
        if total_length < time:
            raise UsageError(f"total_length is at least the longest of the sequences, {time} steps: got {total_length}")
        time = total_length
    steps, places = places_of(sizes)
    lengths = np.bincount(places)
    if sequence.sorted_indices is not None:
        places = np.asarray(raw(sequence.sorted_indices))[places]
        lengths = lengths[raw(sequence.unsorted_indices)]
    rows = places * time + steps if batch_first else steps * batch + places
    padded = place_rows(sequence.data, rows, time * batch, padding_value)
    shape = (batch, time) if batch_first else (time, batch)
    return padded.reshape(*shape, *padded.shape[1:]), wrap(lengths)


def _padded_rows(sequences: Iterable[Tensor], name: str) -> tuple[list[Tensor], np.ndarray]:
    tensors = [tensor_of(x) for x in sequences]
    if not tensors:
        raise UsageError(f"{name} needs at least one sequence: got none")
    if any(not x.ndim or x.shape[1:] != tensors[0].shape[1:] for x in tensors):
        shapes = ", ".join(str(x.shape) for x in tensors)
        raise ShapeError(f"{name} needs sequences (length, ..) that agree in all but their lengths: got {shapes}")
    return tensors, np.array([len(x) for x in tensors])


def pad_sequence(
    sequences: Iterable[Tensor], batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"
) -> Tensor:
    """Sequences (length, ..) padded to the longest, as one tensor (time, batch, ..), or (batch, time, ..) with ``batch_first``.

    Args:
        padding_value: what stands where a sequence has no step.
        padding_side: "right" or "left", where that is.

    Raises:
        ShapeError: if they differ in more than their lengths.
        UsageError: for no sequences, or another side.
    """
    if padding_side not in ("right", "left"):
        raise UsageError(f"padding_side is 'right' or 'left': got {padding_side!r}")
    tensors, lengths = _padded_rows(sequences, "pad_sequence")
    batch, time = len(tensors), int(lengths.max())
    present = np.arange(time) < lengths[:, None]
    owners, steps = np.nonzero(present if padding_side == "right" else present[:, ::-1])
    rows = owners * time + steps if batch_first else steps * batch + owners
    padded = place_rows(cat(tensors), rows, time * batch, padding_value)
    shape = (batch, time) if batch_first else (time, batch)
    return padded.reshape(*shape, *padded.shape[1:])


def unpad_sequence(padded_sequences: Tensor, lengths, batch_first: bool = False) -> list[Tensor]:
    """The sequences of a padded tensor, each of its own length: the inverse of :func:`pad_sequence`."""
    time, batch = padded_sequences.shape[:2] if not batch_first else padded_sequences.shape[1::-1]
    values = checked_lengths(lengths, batch, time, "unpad_sequence")
    if batch_first:
        return [padded_sequences[i, :n] for i, n in enumerate(values.tolist())]
    return [padded_sequences[:n, i] for i, n in enumerate(values.tolist())]


def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Sequences (length, ..) in one :class:`PackedSequence`; see :func:`pack_padded_sequence`."""
    lengths = [len(x) for x in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The sequences of a :class:`PackedSequence`, in the order in which they were packed."""
    return unpad_sequence(*pad_packed_sequence(packed_sequences))
