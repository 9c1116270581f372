import heapq

import numpy as np
import pytest

from minigrad.kernels.huffman import huffman


def optimal_bits(counts):
    """The length of the whole text in an optimal prefix code: the sum of all joins of the two rarest trees."""
    heap = list(map(int, counts))
    heapq.heapify(heap)
    total = 0
    while len(heap) > 1:
        joined = heapq.heappop(heap) + heapq.heappop(heap)
        total += joined
        heapq.heappush(heap, joined)
    return total


@pytest.mark.parametrize("counts", [[1, 1], [5, 1], [1, 1, 1, 1], [9, 1, 1], [1, 2, 4, 8, 16], "zipf", "random"])
def test_the_code_is_optimal_and_a_tree(counts, rng):
    made = {"zipf": 10_000 // np.arange(1, 200), "random": rng.integers(1, 50, 77)}
    counts = np.array(made.get(counts, counts) if isinstance(counts, str) else counts, np.int64)
    starts, nodes, codes = huffman(counts)
    lengths = np.diff(starts)
    assert (lengths * counts).sum() == optimal_bits(counts)
    assert np.sum(0.5**lengths) == 1  # Kraft: every branch leads to a word
    assert nodes.max() == counts.size - 2
    branches = {}
    for word in range(counts.size):
        way = list(zip(nodes[starts[word] : starts[word + 1]].tolist(), codes[starts[word] : starts[word + 1]].tolist()))
        assert way[0][0] == counts.size - 2  # the root
        for step, following in zip(way, [*(node for node, _ in way[1:]), f"word {word}"]):
            assert branches.setdefault(step, following) == following  # one branch leads to one place
    assert len(branches) == 2 * (counts.size - 1)


def test_equal_counts_give_the_same_code_every_time():
    counts = np.full(9, 3)
    for first, second in zip(huffman(counts), huffman(counts)):
        np.testing.assert_array_equal(first, second)
