"""The matrix product: minigrad's kernel on plain arrays, as NumPy's; PyTorch's on its tensors, unrecorded.

A letter T stands for an operand that is stored transposed, as ``x.T`` of an array is.
"""

from collections.abc import Iterator

import numpy as np

from tools.bench.measure import OURS, Contest, Libraries, Work

# (matrices, rows, depth, columns, "" or the operands stored transposed: "A", "B")
Product = tuple[int, int, int, int, str]
SECTIONS: dict[str, list[Product]] = {
    "n = 32 to 256": [(1, n, n, n, "") for n in (32, 48, 64, 96, 128, 192, 256)],
    "n = 512 to 2048": [(1, n, n, n, "") for n in (512, 768, 1024, 2048)],
    "attention": [
        (512, 32, 32, 32, ""),
        (512, 32, 32, 32, "B"),
        (256, 24, 32, 24, "B"),
        (256, 24, 24, 32, ""),
        (128, 128, 32, 128, "B"),
        (8, 512, 64, 512, "B"),
    ],
    "layers": [
        (1, 1536, 256, 1024, ""),
        (1, 4096, 128, 128, "B"),
        (1, 4096, 128, 10_000, "B"),
        (1, 512, 4096, 128, "A"),  # the gradient of a weight
    ],
    "other shapes": [
        (1, 100, 100, 100, ""),
        (1, 257, 257, 257, ""),
        (1, 1000, 1000, 1000, "A"),
        (1, 1, 1024, 1024, ""),
        (1, 1024, 1024, 1, ""),
        (1, 8, 1024, 1024, ""),
        (1, 1024, 1024, 8, "B"),
        (1, 20_000, 16, 16, ""),
        (1, 16, 20_000, 16, ""),
        (1, 2000, 4, 2000, ""),
    ],
}


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
    """Small squares, large ones, and products that models ask for; float32."""
    for section, products in SECTIONS.items():
        for matrices, rows, depth, cols, transposed in products:
            a = _drawn(matrices, rows, depth, "A" in transposed)
            b = _drawn(matrices, depth, cols, "B" in transposed)
            sides = {name: product(name, library, a, b) for name, library in libraries.items()}
            label = f"{rows} x {depth}{_t('A', transposed)} by {depth} x {cols}{_t('B', transposed)}"
            work = 2e-9 * matrices * rows * depth * cols  # a multiplication and an addition for each triple of indices
            yield Contest(f"{matrices} of {label}" if matrices > 1 else label, sides, work, "GFLOP", section=section)


def _drawn(matrices: int, rows: int, cols: int, transposed: bool) -> np.ndarray:
    """Random matrices (rows, cols), or a view of those that lie transposed in memory; a single one has two dimensions."""
    shape = (cols, rows) if transposed else (rows, cols)
    drawn = np.random.default_rng(0).standard_normal((matrices, *shape)[matrices == 1 :], dtype=np.float32)
    return drawn.swapaxes(-1, -2) if transposed else drawn


def _t(operand: str, transposed: str) -> str:
    return " T" if operand in transposed else ""
