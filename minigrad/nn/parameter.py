"""Parameter: a tensor that a module learns."""

from __future__ import annotations

import numpy as np

from ..tensor import Tensor, as_array


class Parameter(Tensor):
    """A leaf tensor that requires gradients and that a :class:`Module` lists among its parameters when it is assigned to one.

    Args:
        data: a Tensor, whose memory is shared, or anything that :func:`minigrad.tensor` takes, which is copied.
        requires_grad: False for a weight that is saved and loaded with the others but not trained.

    Raises:
        DTypeError: for integers that should require gradients.
    """

    __slots__ = ()

    def __init__(self, data, requires_grad: bool = True):
        self._data = np.asarray(data._data) if isinstance(data, Tensor) else as_array(data)
        self._grad = self._node = self._hooks = None
        self._requires_grad = False
        if requires_grad:
            self.requires_grad_()

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"
