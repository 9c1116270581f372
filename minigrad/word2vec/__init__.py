"""Word vectors: from text to vectors, fast.

The mathematics is that of Mikolov et al. 2013, the loops are in :mod:`minigrad.kernels.word2vec`. Import what is needed from the
modules: ``corpus`` (text in blocks), ``vocabulary``, ``phrases``, ``trainer``.
"""
