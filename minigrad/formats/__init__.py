"""File formats: each module reads and writes one of them, on plain NumPy arrays, and knows nothing about tensors."""
