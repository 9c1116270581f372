"""How fast minigrad is, next to NumPy and PyTorch in the same run: ``python -m tools.bench [GROUP ...]``.

Timings on one machine, minutes apart, differ by a tenth and more; so a time alone says little, and a comparison with a time
from another day says nothing. Here the libraries take turns, minigrad, then each peer, then minigrad again, and what counts is
the ratio within a turn, peer's time / minigrad's: its median over the turns. See :mod:`tools.bench.measure`.

Every library gets the same work, the same number of threads, and, where the APIs agree, the very same source.
"""
