"""What makes ``x + y`` and ``x.sum()`` work: the operators, and the list of operations that tensors also have as methods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .tensor import Tensor

ops: Any = None  # the module of operations, put here by attach() when it exists

_NAMES = """
    add sub mul div neg pow square maximum minimum atan2 eq ne lt le gt ge logical_and logical_or logical_xor
    logical_not exp expm1 log log1p log2 sqrt rsqrt reciprocal abs sign sin cos tan tanh sigmoid erf floor round clamp
    masked_fill isnan isinf isfinite to relu softmax log_softmax sum mean var std prod max min amax amin argmax argmin
    norm logsumexp cumsum any all matmul mm bmm mv dot outer addmm trace diagonal reshape reshape_as ravel view view_as
    transpose t swapaxes permute movedim moveaxis expand expand_as broadcast_to squeeze unsqueeze flatten unflatten
    split chunk unbind narrow flip roll repeat repeat_interleave tile tril triu contiguous clone gather scatter_add
    index_select take_along_dim masked_select select topk sort argsort unique nonzero multinomial bernoulli
    clip floor_divide remainder equal isclose allclose bitwise_and bitwise_or bitwise_xor
"""

#: Operations that are methods too: ``x.exp()`` is ``minigrad.exp(x)``.
METHODS = _NAMES.split()


class Methods:
    """The operators of :class:`minigrad.Tensor`."""

    __slots__ = ()

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    def __add__(self, other) -> Tensor:
        return ops.plus(self, other)

    def __radd__(self, other) -> Tensor:
        return ops.plus(other, self)

    def __sub__(self, other) -> Tensor:
        return ops.minus(self, other)

    def __rsub__(self, other) -> Tensor:
        return ops.minus(other, self)

    def __mul__(self, other) -> Tensor:
        return ops.times(self, other)

    def __rmul__(self, other) -> Tensor:
        return ops.times(other, self)

    def __truediv__(self, other) -> Tensor:
        return ops.div(self, other)

    def __rtruediv__(self, other) -> Tensor:
        return ops.div(other, self)

    def __pow__(self, other) -> Tensor:
        return ops.pow(self, other)

    def __rpow__(self, other) -> Tensor:
        return ops.pow(other, self)

    def __matmul__(self, other) -> Tensor:
        return ops.matmul(self, other)

    def __rmatmul__(self, other) -> Tensor:
        return ops.matmul(other, self)

    def __neg__(self) -> Tensor:
        return ops.negated(self)

    def __pos__(self) -> Methods:
        return self

    def __abs__(self) -> Tensor:
        return ops.abs(self)

    def __invert__(self) -> Tensor:
        return ops.invert(self)

    def __and__(self, other) -> Tensor:
        return ops.bitwise_and(self, other)

    def __or__(self, other) -> Tensor:
        return ops.bitwise_or(self, other)

    def __xor__(self, other) -> Tensor:
        return ops.bitwise_xor(self, other)

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__

    def __floordiv__(self, other) -> Tensor:
        return ops.floor_divide(self, other)

    def __rfloordiv__(self, other) -> Tensor:
        return ops.floor_divide(other, self)

    def __mod__(self, other) -> Tensor:
        return ops.remainder(self, other)

    def __rmod__(self, other) -> Tensor:
        return ops.remainder(other, self)

    def __eq__(self, other):
        return ops.eq(self, other) if _comparable(other) else NotImplemented

    def __ne__(self, other):
        return ops.ne(self, other) if _comparable(other) else NotImplemented

    def __lt__(self, other) -> Tensor:
        return ops.lt(self, other)

    def __le__(self, other) -> Tensor:
        return ops.le(self, other)

    def __gt__(self, other) -> Tensor:
        return ops.gt(self, other)

    def __ge__(self, other) -> Tensor:
        return ops.ge(self, other)

    def where(self, condition, other) -> Tensor:
        """These values where ``condition`` holds, ``other`` elsewhere."""
        return ops.where(condition, self, other)

    def __getitem__(self, index) -> Tensor:
        return ops.getitem(self, index)

    def __setitem__(self, index, value) -> None:
        ops.setitem(self, index, value)

    def __contains__(self, value) -> bool:
        return bool(ops.any(ops.eq(self, value)).item())

    # -- in place -------------------------------------------------------------------------------------------------------

    def add_(self, other, *, alpha=1) -> Tensor:
        """``self += alpha * other``, in place."""
        return ops.update_in_place(self, ops.plus, (other if alpha == 1 else other * alpha,))

    def sub_(self, other, *, alpha=1) -> Tensor:
        """``self -= alpha * other``, in place."""
        return ops.update_in_place(self, ops.minus, (other if alpha == 1 else other * alpha,))

    def mul_(self, other) -> Tensor:
        """``self *= other``, in place."""
        return ops.update_in_place(self, ops.times, (other,))

    def div_(self, other) -> Tensor:
        """``self /= other``, in place."""
        return ops.update_in_place(self, ops.div, (other,))

    def copy_(self, other) -> Methods:
        """Take the values of ``other``, which may broadcast, in place."""
        self[...] = other
        return self

    def fill_(self, value) -> Methods:
        """Set every element to ``value``, in place."""
        self[...] = value
        return self

    def zero_(self) -> Methods:
        """Set every element to 0, in place."""
        return self.fill_(0)

    def clamp_(self, min=None, max=None) -> Tensor:
        """Move every element into [min, max], in place."""
        return ops.update_in_place(self, ops.clamp, (min, max))

    def masked_fill_(self, mask, value) -> Tensor:
        """``value`` where the bool tensor ``mask`` holds, in place."""
        return ops.update_in_place(self, ops.masked_fill, (mask, value))

    def pow_(self, exponent) -> Tensor:
        """``self **= exponent``, in place."""
        return ops.update_in_place(self, ops.pow, (exponent,))

    __ipow__ = pow_
    __iadd__, __isub__, __imul__, __itruediv__ = add_, sub_, mul_, div_

    def uniform_(self, low: float = 0.0, high: float = 1.0) -> Methods:
        """Fill with uniform random numbers from [low, high), in place."""
        return self.copy_(ops.rand(self.shape, dtype=self.dtype) * (high - low) + low)

    def normal_(self, mean: float = 0.0, std: float = 1.0) -> Methods:
        """Fill with normal random numbers, in place."""
        return self.copy_(ops.randn(self.shape, dtype=self.dtype) * std + mean)

    # -- dtypes and shapes ----------------------------------------------------------------------------------------------

    def float(self) -> Tensor:
        """In float32."""
        return ops.to(self, np.float32)

    def double(self) -> Tensor:
        """In float64."""
        return ops.to(self, np.float64)

    def long(self) -> Tensor:
        """In int64."""
        return ops.to(self, np.int64)

    def int(self) -> Tensor:
        """In int32."""
        return ops.to(self, np.int32)

    def bool(self) -> Tensor:
        """In bool: whether each element is not zero."""
        return ops.to(self, np.bool_)

    def type_as(self, other) -> Tensor:
        """In the dtype of ``other``."""
        return ops.to(self, other.dtype)

    def is_contiguous(self) -> bool:
        """Whether the memory is in row-major order."""
        return bool(self._data.flags.c_contiguous)

    def element_size(self):
        """Bytes per element."""
        return self._data.itemsize

    @property
    def T(self) -> Tensor:
        """All dimensions in reverse order."""
        return ops.reversed_dims(self)

    @property
    def mT(self) -> Tensor:
        """The last two dimensions swapped."""
        return ops.matrix_transpose(self)

    def new_zeros(self, *shape, size=None, dtype=None, requires_grad=False) -> Tensor:
        """Zeros of another shape in this dtype."""
        return ops.zeros(*shape, size=size, dtype=dtype or self.dtype, requires_grad=requires_grad)

    def new_ones(self, *shape, size=None, dtype=None, requires_grad=False) -> Tensor:
        """Ones of another shape in this dtype."""
        return ops.ones(*shape, size=size, dtype=dtype or self.dtype, requires_grad=requires_grad)

    def new_full(self, size, fill_value, *, dtype=None, requires_grad=False) -> Tensor:
        """``fill_value`` in another shape in this dtype."""
        return ops.full(size, fill_value, dtype=dtype or self.dtype, requires_grad=requires_grad)


def _comparable(value) -> bool:
    return isinstance(value, (Methods, np.ndarray, np.generic, bool, int, float))


def attach(tensor_class, operations) -> None:
    """Give ``tensor_class`` the operations in :data:`METHODS` as methods."""
    global ops
    ops = operations
    for name in METHODS:
        setattr(tensor_class, name, getattr(operations, name))
