"""Writing in place: item assignment and the operations whose names end in an underscore.

Memory changes, and so the tape must hear of it twice. The tensor's value is now the work of another operation, whose node
takes the place of its old one; and nodes that saved the old values must not use the new ones, which :mod:`minigrad.aliasing`
finds out by the time of the write.
"""

from __future__ import annotations

import itertools
import sys

import numpy as np

from .. import aliasing
from ..errors import DTypeError, GraphError, ShapeError
from ..primitive import primitive, state
from ..promotion import category
from ..tensor import Tensor, raw, wrap
from .indexing import explained, may_repeat, place, plain, read, shown


@primitive(r"x[i] \leftarrow v", name="setitem")
def assigned(x, value, index):
    """x with the elements at ``index`` replaced by ``value``; here as a new array."""
    result = np.array(x)
    target, index = place(result, index)
    target[index] = value
    return result


@primitive(r"x[i] \leftarrow 0", name="clear")
def cleared(x, index):
    """x with zeros at ``index``: the gradient of what an assignment kept."""
    return assigned.forward(x, 0, index)


def _value_rule(g, x_shape, index):
    taken = read(g, index)
    if not may_repeat(index):
        return taken
    # An element named twice holds the value written last; the others went nowhere. NumPy's own writing says which was last.
    numbers = np.arange(np.size(taken)).reshape(taken.shape)
    last = read(assigned.forward(np.zeros(x_shape, np.int64), numbers, index), index)
    return np.where(last == numbers, taken, 0.0)


assigned.vjp(x=lambda g, index: cleared.on(g, index), value=_value_rule)
cleared.vjp(x=lambda g, index: cleared.on(g, index))


def setitem(input: Tensor, index, value) -> None:
    """``input[index] = value``, in place and differentiable: gradients flow to ``value``, and to what was not replaced.

    Raises:
        GraphError: for a leaf that requires gradients, or a view of another tensor, outside ``no_grad()``.
        DimensionError: for an index that does not fit the tensor.
        ShapeError: for a value that does not broadcast to the elements chosen.
    """
    values = _writable(input, "setitem")
    index = plain(index, values.ndim)
    array = np.asarray(raw(value))
    if array.dtype.kind not in "biuf":
        raise DTypeError(f"elements are set to numbers, booleans or tensors of them: got {type(value).__name__}")
    if isinstance(value, Tensor) and array.shape[:1] == (1,):  # leading ones say nothing, and a gradient would miss them
        value = value.reshape(tuple(itertools.dropwhile(lambda n: n == 1, array.shape)))
    before = _before(input, (value,), "setitem")
    try:
        target, inner = place(values, index)
        with np.errstate(invalid="ignore"):  # NaN into an integer tensor is whatever the processor makes of it, as in PyTorch
            target[inner] = array
    except IndexError as error:
        raise explained(input, index, error) from None
    except ValueError as error:
        raise ShapeError(
            f"a value of shape {array.shape} does not fit {shown(index)} of a tensor of shape {values.shape}: {error}"
        ) from None
    if before is None:
        _changed(input, values, None)
    else:  # the value is in its place already; what is left is to record who put it there
        made = assigned.finish((before, value, index), (values, array, index), values, None)
        _changed(input, values, made._node)


def update_in_place(target: Tensor, operation, operands: tuple) -> Tensor:
    """Make ``target`` hold ``operation(target, *operands)``: its memory is written to, and the tape notes who made the value.

    Raises:
        GraphError: where gradients would be lost: ``target`` is a leaf that requires them, or a view.
        ShapeError, DTypeError: if the result does not have its shape, or not its kind of numbers.
    """
    name = operation.__name__
    values = _writable(target, name)
    before = _before(target, operands, name)
    result = operation(target.detach() if before is None else before, *operands)
    new = result._data
    if new.shape != values.shape:
        raise ShapeError(
            f"{name} in place keeps the shape {values.shape}: the result has {new.shape}; use the form that returns one"
        )
    if category(new.dtype) > category(values.dtype):
        raise DTypeError(
            f"{name} in place keeps the dtype {values.dtype}: the result has {new.dtype}; convert the tensor first"
        )
    node = result._node
    if node is not None and any(saved is values for saved in node.saved):
        node.saved = tuple(np.array(saved) if saved is values else saved for saved in node.saved)
    values[...] = new
    _changed(target, values, node)
    return target


def _writable(target: Tensor, name: str) -> np.ndarray:
    values = target._data
    if not isinstance(values, np.ndarray):
        return np.asarray(values)  # a zero-dimensional result gets memory of its own
    if not values.flags.writeable:
        raise GraphError(
            f"{name} in place needs memory of the tensor's own: this one is read-only, or shows one value in several places as "
            "expand does; write to a .clone()"
        )
    return values


def _before(target: Tensor, operands: tuple, name: str) -> Tensor | None:
    """What ``target`` is before the write, if the write is to be recorded.

    Raises:
        GraphError: for a leaf that requires gradients, and where another tensor that is not on the tape shows this memory.
    """
    differentiable = target._requires_grad or any(isinstance(o, Tensor) and o._requires_grad for o in operands)
    if not (state.recording and differentiable and target._data.dtype.kind == "f"):
        return None
    if target._node is None and target._requires_grad:
        raise GraphError(
            f"{name} would change a leaf that requires gradients in place, and its own value would be lost to the tape: "
            "work on a .clone(), or update it inside no_grad()"
        )
    base = getattr(target._data, "base", None)
    # A view whose base nobody else holds (a reshaped result) is the only face of its memory: such a base is held by the view
    # and by the variable here.
    if base is not None and sys.getrefcount(base) > aliasing.UNSHARED:
        raise GraphError(
            f"{name} would change a view in place, and the tensor it shows would not notice: write to that tensor itself, "
            "or to a .clone()"
        )
    # So far a constant, it now gets a history, which constants that show the same memory would miss. The array alone is held
    # by the tensor and by the caller's variable.
    if target._node is None and sys.getrefcount(target._data) > aliasing.UNSHARED:
        raise GraphError(
            f"{name} would give this tensor a history, and a view, a detached tensor or an array that shows its memory would "
            "not notice: let go of that first, or write to a .clone()"
        )
    before = wrap(target._data, target._requires_grad)
    before._node = target._node
    return before


def _changed(target: Tensor, values: np.ndarray, node) -> None:
    """Note the write, and who made the new value: ``node``, or no operation that was recorded."""
    aliasing.note_write(values, on_tape=node is not None)
    target._data = values
    if node is not None:
        node.seq = next(aliasing.clock)  # later than the write, which it knows of
        target._node, target._requires_grad = node, True
