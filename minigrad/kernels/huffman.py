"""The Huffman code of a vocabulary: the binary tree whose leaves are words, frequent ones near the root.

Source: Huffman, "A Method for the Construction of Minimum-Redundancy Codes", 1952; built with two queues, in linear time, as
van Leeuwen, "On the Construction of Huffman Trees", 1976, shows.
"""

import numpy as np

from minigrad.kernels.jit import core


def huffman(counts):
    """The way from the root of the Huffman tree to each word.

    Args:
        counts: ``(n,)`` int64, n at least 2, how often each word occurs.

    Returns:
        ``(starts, nodes, codes)``: the way to word i is ``starts[i]:starts[i + 1]`` of ``nodes``, int32, the inner nodes, of
        which there are n - 1, the root being n - 2, and of ``codes``, uint8, the branch taken at each.
    """
    order = np.argsort(counts, kind="stable")
    parents, branches = np.zeros(2 * counts.size - 1, np.int64), np.zeros(2 * counts.size - 1, np.uint8)
    starts = np.zeros(counts.size + 1, np.int64)
    _grow(counts[order], parents, branches, order, starts)
    np.cumsum(starts, out=starts)
    nodes, codes = np.empty(starts[-1], np.int32), np.empty(starts[-1], np.uint8)
    _walk(parents, branches, order, starts, nodes, codes)
    return starts, nodes, codes


@core
def _grow(rising, parents, branches, order, starts):
    """Join the two rarest trees until one is left, leaves first, and of the joins the earlier; count each word's steps."""
    n = rising.size
    weights = np.empty(2 * n - 1, np.int64)
    weights[:n] = rising
    leaf, inner = 0, n
    for made in range(n, 2 * n - 1):
        total = 0
        for branch in range(2):
            if leaf < n and (inner == made or weights[leaf] <= weights[inner]):
                rarest = leaf
                leaf += 1
            else:
                rarest = inner
                inner += 1
            total += weights[rarest]
            parents[rarest] = made
            branches[rarest] = branch
        weights[made] = total
    depth = np.zeros(2 * n - 1, np.int64)
    for tree in range(2 * n - 3, -1, -1):
        depth[tree] = depth[parents[tree]] + 1
        if tree < n:
            starts[order[tree] + 1] = depth[tree]


@core
def _walk(parents, branches, order, starts, nodes, codes):
    n = order.size
    for leaf in range(n):
        place = starts[order[leaf] + 1] - 1
        tree = leaf
        while tree != 2 * n - 2:
            codes[place] = branches[tree]
            tree = parents[tree]
            nodes[place] = tree - n
            place -= 1
