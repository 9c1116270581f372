"""The matrix product: minigrad's kernel on plain arrays, as NumPy's; PyTorch's on its tensors, unrecorded."""

from collections.abc import Iterator

import numpy as np

from tools.bench.measure import OURS, Contest, Libraries, Work

_SQUARES = (32, 64, 96, 128, 192, 256, 512, 1024, 2048)
#: What the Transformer presets ask for: (name, shape of A, shape of B, whether B is stored transposed).
_OTHERS = (
    ("1536 x 256 by 256 x 1024", (1536, 256), (256, 1024), False),
    ("4096 x 128 by 128 x 10000, transposed", (4096, 128), (128, 10_000), True),
    ("512 of 32 x 32 by 32 x 32", (512, 32, 32), (512, 32, 32), False),
    ("512 of 32 x 32 by 32 x 32, transposed", (512, 32, 32), (512, 32, 32), True),
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
    """Squares from 32 to 2048, then products of the Transformer's shapes; float32."""
    draw = np.random.default_rng(0).standard_normal
    squares = [(f"{n} x {n} by {n} x {n}", (n, n), (n, n), False) for n in _SQUARES]
    for label, left, right, transposed in (*squares, *_OTHERS):
        a = draw(left, dtype=np.float32)
        b = (
            draw((*right[:-2], right[-1], right[-2]), dtype=np.float32).swapaxes(-1, -2)
            if transposed
            else draw(right, dtype=np.float32)
        )
        work = 2e-9 * a.size * right[-1]  # a multiplication and an addition for each element of A and column of B
        yield Contest(label, {name: product(name, library, a, b) for name, library in libraries.items()}, work, "GFLOP")
