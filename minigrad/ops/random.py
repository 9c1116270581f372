"""The one random generator behind everything that is random: same seed, same numbers."""

from __future__ import annotations

import numpy as np

from ..errors import DTypeError, ShapeError, UsageError
from ..promotion import FLOAT32, INT64
from ..tensor import Tensor, array_of, as_dtype, wrap
from .dims import integer, shape_of

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
    return dict(_generator.bit_generator.state)


def set_rng_state(state: dict) -> None:
    """Put the generator back into a state that :func:`get_rng_state` gave."""
    _generator.bit_generator.state = state


def _floating(dtype) -> np.dtype:
    dtype = FLOAT32 if dtype is None else as_dtype(dtype)
    if dtype.kind != "f":
        raise DTypeError(f"random numbers of this kind are floating-point: got dtype {dtype}; use randint for integers")
    return dtype


def _drawn(draw, shape: tuple[int, ...], dtype, requires_grad: bool) -> Tensor:
    """Numbers from one of the generator's methods, which know float32 and float64; float16 is rounded from float32."""
    dtype = _floating(dtype)
    values = draw(shape, dtype=FLOAT32 if dtype.itemsize < 4 else dtype)
    return wrap(np.asarray(values, dtype), requires_grad)


def rand(*shape, size=None, dtype=None, requires_grad: bool = False) -> Tensor:
    """Uniform random numbers from [0, 1)."""
    return _drawn(_generator.random, shape_of(shape, size), dtype, requires_grad)


def randn(*shape, size=None, dtype=None, requires_grad: bool = False) -> Tensor:
    """Random numbers from the standard normal distribution."""
    return _drawn(_generator.standard_normal, shape_of(shape, size), dtype, requires_grad)


def randint(low=0, high=None, size=None, *, dtype=None) -> Tensor:
    """Uniform random integers from [low, high), low being 0 where it is left out: ``randint(10, (2, 3))``.

    Raises:
        DTypeError: if there is no size.
        UsageError: unless low < high.
    """
    if isinstance(high, (tuple, list)):  # randint(high, size)
        low, high, size = 0, low, high
    elif high is None:
        low, high = 0, low
    if size is None:
        raise DTypeError("randint needs a size: randint(high, size) or randint(low, high, size)")
    low, high = integer(low, "low"), integer(high, "high")
    if high <= low:
        raise UsageError(f"randint needs low < high: got {low} and {high}")
    dtype = INT64 if dtype is None else as_dtype(dtype)
    return wrap(np.asarray(_generator.integers(low, high, shape_of((), size))).astype(dtype, copy=False))


def randperm(n: int, *, dtype=None) -> Tensor:
    """A random order of the integers from 0 to n - 1."""
    (count,) = shape_of((n,))
    return wrap(_generator.permutation(count).astype(INT64 if dtype is None else as_dtype(dtype), copy=False))


def rand_like(input, *, dtype=None, requires_grad: bool = False) -> Tensor:
    """As :func:`rand`, with the shape and dtype of ``input``."""
    return rand(array_of(input).shape, dtype=dtype or array_of(input).dtype, requires_grad=requires_grad)


def randn_like(input, *, dtype=None, requires_grad: bool = False) -> Tensor:
    """As :func:`randn`, with the shape and dtype of ``input``."""
    return randn(array_of(input).shape, dtype=dtype or array_of(input).dtype, requires_grad=requires_grad)


def randint_like(input, low: int = 0, high=None, *, dtype=None) -> Tensor:
    """As :func:`randint`, with the shape and dtype of ``input``."""
    return randint(low, high, array_of(input).shape, dtype=dtype or array_of(input).dtype)


def bernoulli(input, p: float | None = None) -> Tensor:
    """1 with the probability that each element of ``input`` gives (or with ``p`` everywhere), else 0, in the input's dtype.

    Raises:
        DTypeError: for probabilities that are not floating-point.
        UsageError: for probabilities outside [0, 1].
    """
    x = array_of(input)
    chances = np.asarray(x if p is None else p)
    if chances.dtype.kind != "f" and p is None:
        raise DTypeError(f"bernoulli needs floating-point probabilities: got dtype {chances.dtype}; use .float() first")
    if not ((chances >= 0) & (chances <= 1)).all():
        raise UsageError("bernoulli needs probabilities from 0 to 1: got some outside, or NaN")
    return wrap(np.asarray(_generator.random(x.shape) < chances).astype(x.dtype))


def multinomial(input, num_samples: int, replacement: bool = False) -> Tensor:
    """Indices drawn with the probabilities, up to a factor, that each row of ``input`` gives.

    Shapes:
        (categories) gives (num_samples); (rows, categories) gives (rows, num_samples).

    Raises:
        ShapeError: for other shapes.
        DTypeError: for weights that are not floating-point.
        UsageError: for weights that are negative, not finite or all zero, or for more samples than there are categories
            with a positive weight, without replacement.
    """
    weights = array_of(input)
    if weights.ndim not in (1, 2):
        raise ShapeError(f"multinomial takes (categories) or (rows, categories): got shape {weights.shape}")
    if weights.dtype.kind != "f":
        raise DTypeError(f"multinomial needs floating-point weights: got dtype {weights.dtype}; use .float() first")
    rows = np.atleast_2d(weights).astype(np.float64)
    if not np.isfinite(rows).all() or (rows < 0).any() or (rows.sum(1) <= 0).any():
        raise UsageError("multinomial needs weights that are finite, not negative, and not all zero in a row")
    if integer(num_samples, "num_samples") <= 0:
        raise UsageError(f"multinomial needs a positive number of samples: got {num_samples}")
    drawn = _with_replacement(rows, num_samples) if replacement else _without_replacement(rows, num_samples)
    return wrap(drawn if weights.ndim == 2 else drawn[0])


def _with_replacement(rows: np.ndarray, count: int) -> np.ndarray:
    steps = np.cumsum(rows, 1)
    points = _generator.random((len(rows), count)) * steps[:, -1:]
    points = np.minimum(points, np.nextafter(steps[:, -1:], 0))  # the product may round up to the end, behind every category
    return np.stack([np.searchsorted(s, p, side="right") for s, p in zip(steps, points)])


def _without_replacement(rows: np.ndarray, count: int) -> np.ndarray:
    fewest = (rows > 0).sum(1).min()
    if fewest < count:
        raise UsageError(
            f"multinomial without replacement draws each category once: got {count} draws from {fewest} with a weight"
        )
    # The exponential race: of arrival times exponential(1) / w the earliest is that of i with probability w_i / sum(w), and
    # so on for those that are left (Efraimidis & Spirakis 2006). Weight 0 arrives never.
    arrivals = np.full(rows.shape, np.inf)
    np.divide(_generator.exponential(size=rows.shape), rows, out=arrivals, where=rows > 0)
    return np.argsort(arrivals, 1)[:, :count]
