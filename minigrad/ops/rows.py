"""Rows chosen by number, none twice: sequences put together without padding, and taken apart again.

Each of the two operations is the gradient of the other. Since no row comes twice, nothing has to be added up.
"""

from __future__ import annotations

import numpy as np

from ..primitive import primitive


@primitive(r"x_{i_k}")
def gather_rows(x, index):
    """The rows of ``x`` whose numbers are in the array ``index``, none twice: ``index.shape`` followed by ``x.shape[1:]``."""
    return x[index]


@primitive(r"y_{i_k} = x_k")
def place_rows(x, index, count, fill):
    """``count`` rows of ``fill``, but where ``index`` says, none twice, those of ``x``: the inverse of :func:`gather_rows`."""
    out = np.full((count, *x.shape[index.ndim :]), fill, x.dtype)
    out[index] = x
    return out


gather_rows.vjp(x=lambda g, x_shape, index: place_rows.on(g, index, x_shape[0], 0.0))
place_rows.vjp(x=lambda g, index: gather_rows.on(g, index))
