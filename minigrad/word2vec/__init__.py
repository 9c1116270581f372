"""Word vectors: from text to vectors, fast.

The mathematics is that of Mikolov et al. 2013, the loops are in :mod:`minigrad.kernels.word2vec`::

    text = prepare(Corpus("text.txt"), min_count=5)             # corpus, text: read, count and number the words
    trainer = Trainer(text.vocabulary, Options(size=100))       # trainer, options
    trainer.fit(text.numbers, report=print)
    trainer.vectors                                             # (words, size), in the order of text.vocabulary.words
"""
