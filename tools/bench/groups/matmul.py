"""The matrix product: minigrad's kernel on plain arrays, as NumPy's; PyTorch's on its tensors, unrecorded."""

from collections.abc import Iterator

import numpy as np

from tools.bench.measure import OURS, Contest, Libraries, Work

_SQUARES = (32, 64, 96, 128, 192, 256, 512, 1024, 2048)
_DOUBLE_SQUARES = (32, 128, 512, 1024)
#: Products of other shapes: (what it is, shape of A, shape of B, whether B is stored transposed).
_OTHERS = (
    ("a layer", (1536, 256), (256, 1024), False),
    ("logits", (4096, 128), (128, 10_000), True),
    ("heads", (512, 32, 32), (512, 32, 32), False),
    ("heads", (512, 32, 32), (512, 32, 32), True),
    ("24 heads", (24, 32, 32), (24, 32, 32), True),
    ("heads of 100 words", (64, 100, 64), (64, 64, 100), False),
    ("few rows", (4, 256), (256, 1024), False),
    ("few rows", (4, 256), (256, 1024), True),
    ("few rows", (8, 512), (512, 10_000), True),
    ("few columns", (4096, 256), (256, 8), False),
    ("little depth", (4096, 8), (8, 256), False),
    ("odd sizes", (257, 129), (129, 1023), False),
    ("a vector", (256,), (256, 1024), False),
)


def product(name: str, library, a: np.ndarray, b: np.ndarray) -> Work:
    """One product in the library called ``name``."""
    if name == "torch":
        a, b = library.from_numpy(a), library.from_numpy(b)
        return lambda: library.matmul(a, b)
    if name == OURS:
        from minigrad.kernels import matmul

        return lambda: matmul.matmul(a, b)
    return lambda: np.matmul(a, b)


def contests(libraries: Libraries) -> Iterator[Contest]:
    """Squares in float32 from 32 to 2048, some in float64, then products of the shapes of models, in float32."""
    squares = [(f"{n} x {n} by {n} x {n}", (n, n), (n, n), False, np.float32) for n in _SQUARES]
    squares += [(f"{n} x {n} by {n} x {n}, float64", (n, n), (n, n), False, np.float64) for n in _DOUBLE_SQUARES]
    others = [(_label(what, a, b, transposed), a, b, transposed, np.float32) for what, a, b, transposed in _OTHERS]
    for label, left, right, transposed, dtype in squares + others:
        a, b = _operands(left, right, transposed, dtype)
        work = 2e-9 * a.size * right[-1]  # a multiplication and an addition for each element of A and column of B
        yield Contest(label, {name: product(name, library, a, b) for name, library in libraries.items()}, work, "GFLOP")


def _label(what: str, left: tuple, right: tuple, transposed: bool) -> str:
    count = f"{left[0]} of " if len(left) == 3 else ""
    a, b = (" x ".join(map(str, shape[-2:])) for shape in (left, (right[-1], right[-2]) if transposed else right))
    return f"{what}: {count}{a} by {f'({b}).T' if transposed else b}"


def _operands(left: tuple, right: tuple, transposed: bool, dtype) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(0).standard_normal
    if transposed:
        return draw(left, dtype=dtype), draw((*right[:-2], right[-1], right[-2]), dtype=dtype).swapaxes(-1, -2)
    return draw(left, dtype=dtype), draw(right, dtype=dtype)
