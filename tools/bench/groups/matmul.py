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
    "float64": [(1, n, n, n, "") for n in (32, 128, 512, 1024)],
    "attention": [
        (512, 32, 32, 32, ""),
        (512, 32, 32, 32, "B"),
        (24, 32, 32, 32, "B"),
        (256, 24, 32, 24, "B"),
        (256, 24, 24, 32, ""),
        (64, 100, 64, 100, ""),
        (128, 128, 32, 128, "B"),
    ],
    "layers": [
        (1, 1536, 256, 1024, ""),
        (1, 4096, 128, 128, "B"),
        (1, 4096, 128, 10_000, "B"),
        (1, 512, 4096, 128, "A"),  # the gradient of a weight
    ],
    "few rows, columns or depth": [
        (1, 1, 1024, 1024, ""),
        (1, 4, 256, 1024, ""),
        (1, 4, 256, 1024, "B"),
        (1, 8, 512, 10_000, "B"),
        (1, 1024, 1024, 1, ""),
        (1, 4096, 256, 8, ""),
        (1, 4096, 8, 256, ""),
        (1, 16, 20_000, 16, ""),
    ],
    "odd sizes": [(1, 100, 100, 100, ""), (1, 257, 129, 1023, ""), (1, 1000, 1000, 1000, "A")],
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
    """Squares, products that models ask for, and shapes that are hard to do well; float32, but for one section of float64."""
    for section, products in SECTIONS.items():
        dtype = np.float64 if section == "float64" else np.float32
        for matrices, rows, depth, cols, transposed in products:
            a = _drawn(matrices, rows, depth, "A" in transposed, dtype)
            b = _drawn(matrices, depth, cols, "B" in transposed, dtype)
            sides = {name: product(name, library, a, b) for name, library in libraries.items()}
            label = f"{rows} x {depth}{_t('A', transposed)} by {depth} x {cols}{_t('B', transposed)}"
            work = 2e-9 * matrices * rows * depth * cols  # a multiplication and an addition for each triple of indices
            yield Contest(f"{matrices} of {label}" if matrices > 1 else label, sides, work, "GFLOP", section=section)


def _drawn(matrices: int, rows: int, cols: int, transposed: bool, dtype: type) -> np.ndarray:
    """Random matrices (rows, cols), or a view of those that lie transposed in memory; a single one has two dimensions."""
    shape = (cols, rows) if transposed else (rows, cols)
    drawn = np.random.default_rng(0).standard_normal((matrices, *shape)[matrices == 1 :], dtype=dtype)
    return drawn.swapaxes(-1, -2) if transposed else drawn


def _t(operand: str, transposed: str) -> str:
    return " T" if operand in transposed else ""
