"""Numba kernels on plain contiguous arrays. They know nothing of tensors and import nothing of minigrad but each other."""
