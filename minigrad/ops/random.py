"""The one random generator behind everything that is random: same seed, same numbers."""

from __future__ import annotations

import numpy as np

from ..errors import DTypeError, ShapeError, UsageError
from ..promotion import FLOAT32, INT64
from ..tensor import Tensor, as_dtype, raw, wrap
from .dims import shape_of

_generator = np.random.Generator(np.random.PCG64(0))


def manual_seed(seed: int) -> np.random.Generator:
    """Start the generator of random numbers anew from ``seed``; the same seed gives the same numbers.

    Raises:
        UsageError: for a seed that is not an integer from 0 upward.
    """
    global _generator
    if not isinstance(seed, (int, np.integer)) or isinstance(seed, bool) or seed < 0:
        raise UsageError(f"a seed is an integer from 0 upward: got {seed!r}")
    _generator = np.random.Generator(np.random.PCG64(int(seed)))
    return _generator


def generator() -> np.random.Generator:
    """The generator in use."""
    return _generator


def get_rng_state() -> dict:
    """The generator's state, as plain Python values."""
    return _generator.bit_generator.state


def set_rng_state(state: dict) -> None:
    """Put the generator back into a state that :func:`get_rng_state` gave."""
    _generator.bit_generator.state = state


def _floating(dtype) -> np.dtype:
    dtype = FLOAT32 if dtype is None else as_dtype(dtype)
    if dtype.kind != "f":
        raise DTypeError(f"random numbers of this kind are floating-point: got dtype {dtype}; use randint for integers")
    return dtype


def _new(array, requires_grad: bool) -> Tensor:
    return wrap(array, requires_grad)


def rand(*size, dtype=None, requires_grad: bool = False) -> Tensor:
    """Uniform random numbers from [0, 1)."""
    return _new(np.asarray(_generator.random(shape_of(size), dtype=_floating(dtype))), requires_grad)


def randn(*size, dtype=None, requires_grad: bool = False) -> Tensor:
    """Random numbers from the standard normal distribution."""
    return _new(np.asarray(_generator.standard_normal(shape_of(size), dtype=_floating(dtype))), requires_grad)


def randint(low: int, high=None, size=None, *, dtype=None) -> Tensor:
    """Uniform random integers from [low, high), or from [0, low) if ``high`` is left out: ``randint(10, (2, 3))``."""
    if size is None:
        low, high, size = 0, low, high
    if high is None or size is None:
        raise UsageError("randint needs high and size: randint(high, size) or randint(low, high, size)")
    if high <= low:
        raise UsageError(f"randint needs low < high: got {low} and {high}")
    dtype = INT64 if dtype is None else as_dtype(dtype)
    return wrap(np.asarray(_generator.integers(low, high, shape_of((size,) if isinstance(size, int) else tuple(size)))).astype(dtype))


def randperm(n: int) -> Tensor:
    """A random order of the integers from 0 to n - 1."""
    return wrap(_generator.permutation(n))


def rand_like(input, *, dtype=None, requires_grad: bool = False) -> Tensor:
    """As :func:`rand`, with the shape and dtype of ``input``."""
    return rand(raw(input).shape, dtype=dtype or raw(input).dtype, requires_grad=requires_grad)


def randn_like(input, *, dtype=None, requires_grad: bool = False) -> Tensor:
    """As :func:`randn`, with the shape and dtype of ``input``."""
    return randn(raw(input).shape, dtype=dtype or raw(input).dtype, requires_grad=requires_grad)


def randint_like(input, low: int, high=None, *, dtype=None) -> Tensor:
    """As :func:`randint`, with the shape and dtype of ``input``."""
    low, high = (0, low) if high is None else (low, high)
    return randint(low, high, raw(input).shape, dtype=dtype or raw(input).dtype)


def bernoulli(input) -> Tensor:
    """1 with the probability that each element gives, else 0."""
    p = raw(input)
    return wrap((_generator.random(p.shape) < p).astype(p.dtype))


def multinomial(input, num_samples: int, replacement: bool = False) -> Tensor:
    """Indices drawn with the probabilities, up to a factor, that each row of ``input`` gives.

    Shapes:
        (categories) gives (num_samples); (rows, categories) gives (rows, num_samples).

    Raises:
        ShapeError: for other shapes.
        UsageError: for weights that are negative, not finite or all zero, or for more samples than there are categories
            with a positive weight, without replacement.
    """
    weights = np.asarray(raw(input), np.float64)
    if weights.ndim not in (1, 2):
        raise ShapeError(f"multinomial takes (categories) or (rows, categories): got shape {weights.shape}")
    rows = np.atleast_2d(weights)
    if not np.isfinite(rows).all() or (rows < 0).any() or (rows.sum(1) <= 0).any():
        raise UsageError("multinomial needs weights that are finite, not negative, and not all zero in a row")
    if num_samples <= 0:
        raise UsageError(f"multinomial needs a positive number of samples: got {num_samples}")
    if replacement:
        steps = np.cumsum(rows, 1)
        points = _generator.random((len(rows), num_samples)) * steps[:, -1:]
        drawn = np.stack([np.searchsorted(s, p, side="right") for s, p in zip(steps, points)])
    else:
        if ((rows > 0).sum(1) < num_samples).any():
            raise UsageError(f"multinomial without replacement cannot draw {num_samples} of fewer positive weights")
        # The exponential race: -log(u) / w is smallest for index i with probability w_i / sum(w) (Efraimidis & Spirakis 2006).
        with np.errstate(divide="ignore"):
            arrival = _generator.exponential(size=rows.shape) / rows
        drawn = np.argsort(arrival, 1)[:, :num_samples]
    return wrap(drawn.astype(np.int64) if weights.ndim == 2 else drawn[0].astype(np.int64))
