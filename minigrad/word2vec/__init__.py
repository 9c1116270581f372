"""Word vectors: training them, asking them, storing them."""
