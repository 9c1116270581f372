"""The losses of word2vec on the tape: the mathematics that the fast kernels repeat, short enough to read in one go.

A model predicts a word from a hidden vector h. In skip-gram h is the vector of one input word; in CBOW it is the mean of the
vectors of the context. Three ways to score the prediction, each with output vectors u of its own:

    full softmax          p(w | h) = exp(u_w . h) / sum_v exp(u_v . h)          a u for each word; costs the whole vocabulary
    negative sampling     tell the word (label 1) from a few random ones (0)    a u for each word; costs 1 + negatives
    hierarchical softmax  a walk down a binary tree, word by word a leaf        a u for each inner node; costs log2(words)

Sources: Mikolov et al. 2013a, "Efficient Estimation of Word Representations in Vector Space"; Mikolov et al. 2013b,
"Distributed Representations of Words and Phrases and their Compositionality", sections 2.1 and 2.2; Rong 2014, "word2vec
Parameter Learning Explained", which derives every gradient. All three gradients have one form: with the error e_j of output
vector u_j, its prediction less its label,

    dE/du_j = e_j h        dE/dh = sum_j e_j u_j

Conventions of the original program, word2vec.c, that no paper mentions, and that are kept here:

- Input vectors begin uniform in (-1/2, 1/2) / dim (the fast trainer, like gensim, draws from (-1, 1) / dim) and output vectors
  at 0. The result is the input vectors alone.
- Skip-gram predicts the centre word from each word of its context, not the other way round. Over a whole text each pair of
  neighbours comes up in both directions, so that little depends on it.
- A negative that happens to be the word itself is left out, not replaced.
- The logistic function is read from a table between -6 and 6. Beyond, negative sampling takes it as 0 or 1, and hierarchical
  softmax changes nothing at all. Here it is exact everywhere.
- In CBOW each word of the context receives the whole dE/dh, although h is their mean and the derivative of a mean has the
  factor 1 / size: see :func:`context_mean`.
"""

from __future__ import annotations

import numpy as np

from .. import nn
from ..errors import ShapeError, UsageError
from ..nn import functional as F
from ..tensor import Tensor, raw

LOSSES = ("softmax", "ns", "hs")
MODELS = ("skipgram", "cbow")


def context_mean(embedding: nn.Embedding, contexts, *, corrected: bool = False) -> Tensor:
    """The hidden vectors of CBOW: ``h = 1/C sum_c v_c`` over the C words of each context.

    Args:
        embedding: the input vectors v.
        contexts: word numbers ``(batch, longest)``; shorter contexts are filled up with -1. A word may occur twice.
        corrected: the true gradient, ``dE/dv_c = 1/C dE/dh``. By default each word receives the whole ``dE/dh``, as in
            word2vec.c and in gensim with ``cbow_mean=1``. Irsoy et al. 2021, "Corrected CBOW Performs as well as Skip-gram",
            found this difference, and that the true gradient wants a higher learning rate.

    Returns:
        ``(batch, dim)``.

    Raises:
        UsageError: a context without a word.
    """
    contexts = np.asarray(raw(contexts))
    present = contexts >= 0
    sizes = present.sum(1, keepdims=True)
    if not sizes.all():
        raise UsageError(f"the mean is over one word or more: context {int(np.argmin(sizes))} has none; leave it out")
    weights = present.astype(embedding.weight.dtype)
    vectors = embedding(np.where(present, contexts, 0)) * weights[:, :, None]
    if corrected:
        return (vectors / sizes[:, :, None]).sum(1)
    total = vectors.sum(1)
    # The value is the mean and the gradient the sum's: what is added is zero, but the tape does not know.
    return (total / sizes).detach() + (total - total.detach())


def full_softmax(hidden: Tensor, output: Tensor, targets, reduction: str = "sum") -> Tensor:
    """``E = -log p(target | h)`` with ``p(w | h) = exp(u_w . h) / sum_v exp(u_v . h)``: the cross-entropy of all scores.

    The errors are ``e_w = p(w | h) - [w is the target]``. (Rong 2014, sections 1.1 and 2)

    Args:
        hidden: ``(batch, dim)``.
        output: the vectors u, ``(words, dim)``.
        targets: the words to predict, ``(batch)``.
        reduction: "sum", "mean" or "none".
    """
    return F.cross_entropy(hidden @ output.mT, targets, reduction=reduction)


def negative_sampling(hidden: Tensor, output: Tensor, targets, negatives, reduction: str = "sum") -> Tensor:
    """``E = -log s(u_target . h) - sum_n log s(-u_n . h)`` with the logistic function s and a few random words n.

    The errors are ``e_j = s(u_j . h) - label_j`` with label 1 for the target and 0 for a negative. (Mikolov et al. 2013b,
    equation 4; Rong 2014, section 3.2) It approximates no softmax, but yields good vectors at a small cost.

    Args:
        hidden: ``(batch, dim)``.
        output: the vectors u, ``(words, dim)``; ``syn1neg`` in word2vec.c.
        targets: the words to predict, ``(batch)``.
        negatives: random words, ``(batch, k)``. The original draws them in proportion to ``count^0.75``. One that equals its
            target does not count.
        reduction: "sum", "mean" (over the batch) or "none".
    """
    targets, negatives = np.asarray(raw(targets)), np.asarray(raw(negatives))
    if negatives.shape[:1] != targets.shape or negatives.ndim != 2:
        raise ShapeError(f"each target has its row of negatives: got {targets.shape} targets and {negatives.shape} negatives")
    samples = np.concatenate([targets[:, None], negatives], 1)  # (batch, 1 + k)
    labels = np.zeros(samples.shape, hidden.dtype)
    labels[:, 0] = 1
    counts = np.ones(samples.shape, hidden.dtype)
    counts[:, 1:] = negatives != targets[:, None]
    return _told_apart(hidden, output, samples, labels, counts, reduction)


def hierarchical_softmax(hidden: Tensor, inner: Tensor, points, codes, reduction: str = "sum") -> Tensor:
    """``E = -sum_j log s(+-u_j . h)`` over the inner nodes on the way from the root to the target's leaf.

    At node j the walk turns left (code 0) with probability ``s(u_j . h)`` and right (code 1) with the rest, so the
    probabilities of all leaves sum to 1 for any vectors: a softmax with no sum over the vocabulary. The errors are
    ``e_j = s(u_j . h) - (1 - code_j)``. (Mikolov et al. 2013b, equation 3; Rong 2014, section 3.1) With Huffman's codes
    frequent words have short ways.

    Args:
        hidden: ``(batch, dim)``.
        inner: the vectors u of the tree's inner nodes, ``(words - 1, dim)``; ``syn1`` in word2vec.c.
        points: the inner nodes on each target's way, ``(batch, longest)``; shorter ways are filled up with -1.
        codes: where to turn at each, 0 or 1, ``(batch, longest)``; what stands beyond a way's end is not read.
        reduction: "sum", "mean" (over the batch) or "none".
    """
    points, codes = np.asarray(raw(points)), np.asarray(raw(codes))
    if points.shape != codes.shape or points.ndim != 2:
        raise ShapeError(f"each node on a way has a code: got {points.shape} points and {codes.shape} codes")
    present = points >= 0
    labels = np.where(present, 1 - codes, 0).astype(hidden.dtype)
    return _told_apart(hidden, inner, np.where(present, points, 0), labels, present.astype(hidden.dtype), reduction)


def _told_apart(hidden: Tensor, output: Tensor, samples, labels, counts, reduction: str) -> Tensor:
    """The loss of several yes-or-no questions about each hidden vector: -log s(score) for yes, -log s(-score) for no."""
    vectors = F.embedding(samples, output)  # (batch, samples, dim)
    scores = (vectors * hidden.unsqueeze(1)).sum(-1)
    losses = F.binary_cross_entropy_with_logits(scores, labels, counts, reduction="none").sum(1)
    if reduction == "none":
        return losses
    return losses.mean() if reduction == "mean" else losses.sum()


class Word2Vec(nn.Module):
    """Input and output vectors, and the loss between them: CBOW or skip-gram, by any of the three losses.

    Args:
        words: how many there are.
        dim: the size of a vector.
        loss: "softmax", "ns" (negative sampling) or "hs" (hierarchical softmax).
        dtype: of the vectors; float32 where left out.

    ``input.weight`` is ``syn0`` in word2vec.c, ``output.weight`` ``syn1neg``, or with hierarchical softmax ``syn1``.
    """

    def __init__(self, words: int, dim: int, loss: str = "ns", *, dtype=None):
        super().__init__()
        if loss not in LOSSES:
            raise UsageError(f"the losses are {', '.join(LOSSES)}: got {loss!r}")
        self.loss_name = loss
        self.input = nn.Embedding(words, dim, dtype=dtype)
        self.output = nn.Embedding(max(words - 1, 1) if loss == "hs" else words, dim, dtype=dtype)
        nn.init.uniform_(self.input.weight, -0.5 / dim, 0.5 / dim)
        nn.init.zeros_(self.output.weight)

    def forward(self, inputs, *, corrected: bool = False) -> Tensor:
        """The hidden vectors ``(batch, dim)`` of input words ``(batch)``, as in skip-gram, or contexts ``(batch, longest)``."""
        inputs = np.asarray(raw(inputs))
        return self.input(inputs) if inputs.ndim == 1 else context_mean(self.input, inputs, corrected=corrected)

    def loss(self, inputs, *targets, reduction: str = "sum", corrected: bool = False) -> Tensor:
        """The loss of predictions.

        Args:
            inputs: as :meth:`forward` takes them.
            *targets: for "softmax" the words to predict; for "ns" these and their negatives; for "hs" points and codes.
            reduction: "sum", "mean" (over the batch) or "none".
            corrected: see :func:`context_mean`.
        """
        function = {"softmax": full_softmax, "ns": negative_sampling, "hs": hierarchical_softmax}[self.loss_name]
        return function(self(inputs, corrected=corrected), self.output.weight, *targets, reduction=reduction)
