"""Tensor: an array that remembers how it was made."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import aliasing
from .errors import DimensionError, DTypeError, GraphError, ShapeError, UsageError
from .methods import Methods
from .promotion import FLOAT32, scalar_dtype


def as_dtype(dtype) -> np.dtype:
    """The NumPy dtype for ``dtype``: a NumPy dtype or type, a Python type (``float`` is float64, as in PyTorch), or a name.

    Raises:
        DTypeError: if minigrad has no such dtype (it has bool, integers, float16, float32 and float64).
    """
    try:
        result = np.dtype(dtype)
    except TypeError:
        result = None
    if result is None or result.kind not in "biuf":
        raise DTypeError(f"a tensor's dtype is bool, an integer or a float: got {dtype!r}; try minigrad.float32")
    return result


def as_array(data, dtype=None) -> np.ndarray:
    """A new array holding ``data``; Python floats become float32, Python integers int64, NumPy arrays keep their dtype."""
    if isinstance(data, Tensor):
        data = data._data
    if dtype is not None:
        dtype = as_dtype(dtype)
    try:
        if isinstance(data, (np.ndarray, np.generic)):
            array = np.array(data, dtype=dtype, order="C")
        else:
            if isinstance(data, (list, tuple)):
                data = _unwrapped(data)
            array = np.array(data, dtype=dtype, order="C")
            if dtype is None and array.dtype == np.float64 and not _holds_float64(data):
                array = array.astype(FLOAT32)
    except (ValueError, TypeError) as error:
        if isinstance(error, (DTypeError, ShapeError)):
            raise
        if isinstance(data, (list, tuple)):
            raise ShapeError(f"a tensor's rows must all have one length and hold numbers: {error}") from None
        raise DTypeError(f"a tensor holds numbers or booleans: got {type(data).__name__} ({error})") from None
    if array.dtype.kind not in "biuf":
        raise DTypeError(f"a tensor holds numbers or booleans: got data of dtype {array.dtype}")
    return array.astype(array.dtype.newbyteorder("=")) if not array.dtype.isnative else array


def _unwrapped(data):
    """Nested lists with the tensors in them replaced by their arrays."""
    return [_unwrapped(x) if isinstance(x, (list, tuple)) else x._data if isinstance(x, Tensor) else x for x in data]


def _holds_float64(data) -> bool:
    if isinstance(data, (np.ndarray, np.generic)):
        return data.dtype == np.float64
    return isinstance(data, (list, tuple)) and any(_holds_float64(x) for x in data)


class Tensor(Methods):
    """An n-dimensional array that can record how it was computed, so that gradients can flow back through it.

    Make one with :func:`minigrad.tensor`. Operations on tensors that require gradients leave a trail of nodes (``grad_fn``);
    :meth:`backward` walks it and adds d(this)/d(leaf) to the ``grad`` of every leaf.

    Attributes:
        data: the values, a NumPy array (shared, not copied).
        grad: the accumulated gradient, a Tensor of the same shape, or None.
        requires_grad: whether operations on this tensor are recorded.
        grad_fn: the node that made it, or None for a leaf.
    """

    __slots__ = ("__weakref__", "_data", "_grad", "_hooks", "_node", "_requires_grad")

    __array_priority__ = 1000  # ndarray * tensor asks the tensor

    _data: Any  # an array, or a NumPy scalar for a zero-dimensional value that an operation computed
    _grad: Tensor | None
    _node: Any
    _hooks: dict | None
    _requires_grad: bool

    def __init__(self, data, dtype=None, requires_grad: bool = False):
        self._data = as_array(data, dtype)
        self._grad = self._node = self._hooks = None
        self._requires_grad = False
        if requires_grad:
            self.requires_grad_()

    # -- values ---------------------------------------------------------------------------------------------------------

    @property
    def data(self) -> np.ndarray:
        """The values as a NumPy array that shares this tensor's memory. Assigning puts another array in their place."""
        return aliasing.lend(self)

    @data.setter
    def data(self, value) -> None:
        if isinstance(value, Tensor):
            array = value._data
        elif type(value) is np.ndarray and value.dtype.kind in "biuf" and value.dtype.isnative:
            array = aliasing.adopt(value)
        else:
            array = as_array(value)
        if self._requires_grad and array.dtype.kind != "f":
            raise DTypeError(f"only floating-point tensors can require gradients: got data of dtype {array.dtype}")
        if self._data is not array:
            aliasing.note_write(self._data)
        self._data = array

    def numpy(self) -> np.ndarray:
        """The values as a NumPy array that shares this tensor's memory."""
        return self.data

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        same = dtype is None or self._data.dtype == dtype
        if same and not copy:
            return self.data
        if copy is False:
            raise DTypeError(
                f"a tensor of dtype {self.dtype} is no array of dtype {dtype} without a copy: leave copy=False out"
            )
        return np.array(self._data, dtype=dtype)

    def item(self) -> float | int | bool:
        """The one value of a tensor of one element, as a Python number.

        Raises:
            ShapeError: if there are more elements than one.
        """
        if self._data.size != 1:
            raise ShapeError(f"item() needs a tensor of one element: got shape {self.shape}; reduce it first, or use tolist()")
        return self._data.item()

    def tolist(self):
        """The values as nested Python lists, or a number where there are no dimensions."""
        return self._data.tolist()

    @property
    def shape(self) -> tuple[int, ...]:
        """The size of every dimension."""
        return self._data.shape

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return self._data.ndim

    @property
    def dtype(self) -> np.dtype:
        """The NumPy dtype of the values."""
        return self._data.dtype

    def size(self, dim: int | None = None):
        """The shape, or the size of one dimension."""
        if dim is None:
            return self.shape
        try:
            return self.shape[dim]
        except IndexError:
            raise DimensionError(f"size() takes a dim that the tensor has: got {dim} for shape {self.shape}") from None

    def numel(self) -> int:
        """The number of elements."""
        return self._data.size

    def dim(self) -> int:
        """The number of dimensions."""
        return self._data.ndim

    def __len__(self) -> int:
        if not self._data.ndim:
            raise DTypeError("len() needs a tensor with dimensions: this one has none; use item()")
        return self._data.shape[0]

    def __iter__(self):
        if not self._data.ndim:
            raise DTypeError("only a tensor with dimensions can be iterated over: this one has none; use item()")
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        if self._data.size != 1:
            raise UsageError(f"the truth of a tensor of shape {self.shape} is ambiguous: use .any() or .all()")
        return bool(self._data.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self._data.dtype.kind not in "iu":
            raise DTypeError(f"only an integer tensor of one element is an index: got dtype {self.dtype}")
        return int(self.item())

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec and self._data.size == 1 else format(str(self), spec)

    __hash__ = object.__hash__  # pyright: ignore - == compares elements; tensors are dictionary keys by identity

    # -- the tape -------------------------------------------------------------------------------------------------------

    @property
    def requires_grad(self) -> bool:
        """Whether operations on this tensor are recorded."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Switch recording on or off for this leaf, in place.

        Raises:
            DTypeError: if the values are not floating-point.
            GraphError: if it is the result of a recorded operation, and ``requires_grad`` is False.
        """
        if requires_grad and self._data.dtype.kind != "f":
            raise DTypeError(f"only floating-point tensors can require gradients: got dtype {self.dtype}; use .float() first")
        if not requires_grad and self._node is not None:
            raise GraphError("only a leaf can stop requiring gradients: this tensor is a result; use .detach()")
        self._requires_grad = bool(requires_grad)
        return self

    @property
    def grad(self) -> Tensor | None:
        """The gradient that backward passes have added up here, or None."""
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            if not isinstance(value, Tensor):
                raise DTypeError(f"grad is a Tensor or None: got {type(value).__name__}; wrap it in minigrad.tensor(...)")
            if value.shape != self.shape or value.dtype != self.dtype:
                raise ShapeError(
                    f"grad has its tensor's shape and dtype, {self.shape} {self.dtype}: got {value.shape} {value.dtype}"
                )
        self._grad = value

    @property
    def grad_fn(self):
        """The node that made this tensor, or None for a leaf."""
        return self._node

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded operation made it; gradients collect in the leaves that require them."""
        return self._node is None

    def backward(self, gradient=None, retain_graph: bool | None = None, create_graph: bool = False) -> None:
        """Add d(self)/d(leaf) to the ``grad`` of every leaf that this tensor was computed from.

        Args:
            gradient: d(objective)/d(self), of this tensor's shape; may be left out for a tensor of one element (then 1).
            retain_graph: keep the saved values, so that a second backward is possible; as ``create_graph`` where left out.
            create_graph: record the backward pass itself, for higher derivatives.

        Raises:
            GraphError: if nothing was recorded, a first backward has used the graph up, or a value it needs was changed.
            ShapeError: if ``gradient`` is left out for a tensor of several elements, or has another shape.
        """
        autograd.backward(self, gradient, retain_graph, create_graph)

    def detach(self) -> Tensor:
        """The same values (shared memory) without their history: gradients stop here."""
        return wrap(self._data)

    def retain_grad(self) -> None:
        """Keep the gradient of this intermediate result in its ``grad`` when backward passes by."""
        autograd.retain_grad(self)

    def register_hook(self, hook):
        """Call ``hook(gradient)`` whenever a gradient of this tensor is computed; what it returns, if anything, replaces it.

        Returns:
            a handle with ``remove()``.
        """
        return autograd.register_hook(self, hook)

    # -- presentation and interoperability ------------------------------------------------------------------------------

    def __repr__(self) -> str:
        values = np.array2string(np.asarray(self._data), separator=", ", prefix="tensor(", precision=4, threshold=1000)
        tags = []
        if self._data.dtype not in (FLOAT32, np.dtype(np.int64), np.dtype(np.bool_)):
            tags.append(f"dtype={self.dtype}")
        if self._data.size == 0 and self.ndim != 1:
            tags.append(f"size={self.shape}")
        if self._node is not None:
            tags.append(f"grad_fn={self._node!r}")
        elif self._requires_grad:
            tags.append("requires_grad=True")
        return f"tensor({', '.join([values, *tags])})"

    def __reduce_ex__(self, protocol):
        raise DTypeError(
            "tensors are not pickled, because unpickling a file runs whatever code it holds: save x.numpy() with numpy.save, "
            "or the arrays of a whole state_dict() with minigrad.formats.safetensors.write"
        )

    def __copy__(self) -> Tensor:
        copy = type(self).__new__(type(self))
        copy._data, copy._grad, copy._node, copy._hooks = self._data, self._grad, self._node, None
        copy._requires_grad = self._requires_grad
        return copy

    def __deepcopy__(self, memo) -> Tensor:
        if self._node is not None:
            raise GraphError("only leaf tensors can be deep-copied: this one is a result; use .detach().clone()")
        copy = type(self).__new__(type(self))
        copy._data = np.array(self._data)
        copy._grad = None if self._grad is None else wrap(np.array(self._grad._data))
        copy._node = copy._hooks = None
        copy._requires_grad = self._requires_grad
        memo[id(self)] = copy
        return copy

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        from .ops.numpy_protocol import apply_ufunc

        return apply_ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(self, function, types, args, kwargs):
        from .ops.numpy_protocol import apply_function

        return apply_function(function, args, kwargs)


def wrap(array, requires_grad: bool = False) -> Tensor:
    """A Tensor around ``array`` itself: no copy, no checks. For minigrad's own use."""
    result = Tensor.__new__(Tensor)
    result._data = array
    result._grad = result._node = result._hooks = None
    result._requires_grad = requires_grad
    return result


def tensor(data, dtype=None, requires_grad: bool = False) -> Tensor:
    """A new tensor holding a copy of ``data``.

    Args:
        data: a number, nested lists of numbers, a NumPy array or a Tensor. Python floats become float32, Python integers
            int64, booleans bool; NumPy arrays keep their dtype.
        dtype: the dtype to convert to.
        requires_grad: record the operations on it, so that ``backward()`` fills its ``grad``.

    Raises:
        DTypeError: for data that is not numeric, or an integer tensor that should require gradients.
        ShapeError: for rows of different lengths.
    """
    return Tensor(data, dtype, requires_grad)


def raw(value):
    """The array (or scalar) behind a Tensor; anything else as it is."""
    return value._data if isinstance(value, Tensor) else value


def tensor_of(value) -> Tensor:
    """A Tensor as it is, an array in a Tensor around it.

    Raises:
        DTypeError: for anything else, such as a list or a number.
    """
    return value if isinstance(value, Tensor) else wrap(np.asarray(array_of(value)))


def array_of(value) -> Any:
    """The array behind a Tensor, or the array itself.

    Raises:
        DTypeError: for anything else, such as a list or a number.
    """
    if isinstance(value, Tensor):
        return value._data
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biuf":
        return value
    raise DTypeError(f"this operation works on a tensor: got a {type(value).__name__}; make one with minigrad.tensor(...)")


from . import autograd  # noqa: E402 - it needs Tensor, which needs it in turn, but not before backward()

__all__ = ["Tensor", "array_of", "as_array", "as_dtype", "raw", "scalar_dtype", "tensor", "tensor_of", "wrap"]
