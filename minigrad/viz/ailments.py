"""What can ail a training run, as data: from which number on, for how long, why there, and what helps.

The thresholds are relative where they can be: of one layer to another, of a step to the first. A rule speaks up after
``patience`` looks in a row on the wrong side of ``threshold``, and falls silent only on the right side of ``release``.
"""

from __future__ import annotations

from typing import NamedTuple


class Ailment(NamedTuple):
    """One rule.

    Attributes:
        name: what it is called in reports.
        threshold, release: where it begins, and where it is over.
        patience: looks in a row, or as many as there are if fewer (but never fewer than two, except where it is 1).
        measure: what the number is.
        why: why the threshold lies there, and who says so.
        remedy: what to try, most promising first.
    """

    name: str
    threshold: float
    release: float
    patience: int
    measure: str
    why: str
    remedy: str


AILMENTS = {
    a.name: a
    for a in (
        Ailment(
            "not finite", 0, 0, 1,
            "NaN or infinite values",
            "one of them spreads to every parameter with the next update",
            "lower the learning rate or warm it up; clip gradients (nn.utils.clip_grad_norm_); keep log, sqrt "
            "and division away from 0; run one step under minigrad.detect_anomaly() to see where it begins",
        ),
        Ailment(
            "vanishing gradient", 1e-3, 1e-2, 3,
            "gradient per weight, relative to the largest of a later layer",
            "layers this far behind learn a thousand times more slowly (Glorot & Bengio 2010, section 4, on how gradients "
            "shrink from layer to layer)",
            "use relu or gelu in place of sigmoid or tanh, He or Glorot initial weights (nn.init), residual connections, "
            "or normalisation (nn.LayerNorm) between the layers",
        ),
        Ailment(
            "gradient vanishing through time", 1e-4, 1e-3, 3,
            "|dL/dh| at the sequence's beginning, relative to its end",
            "what happened there cannot be learnt from (Pascanu, Mikolov & Bengio 2013, section 2)",
            "use an LSTM or a GRU in place of a plain RNN, begin with a forget-gate bias of 1 or more "
            "(Jozefowicz et al. 2015), use shorter sequences, a loss at every step, or attention",
        ),
        Ailment(
            "exploding gradient", 1e4, 1e3, 3,
            "gradient per weight, relative to the smallest of a later layer",
            "no single learning rate serves layers this far apart",
            "use He or Glorot initial weights (nn.init), normalisation (nn.LayerNorm), and clip gradients "
            "(nn.utils.clip_grad_norm_)",
        ),
        Ailment(
            "gradient exploding through time", 1e3, 1e2, 2,
            "|dL/dh| at the sequence's beginning, relative to its end",
            "one long sequence decides the whole update (Pascanu, Mikolov & Bengio 2013, section 2)",
            "clip gradients (nn.utils.clip_grad_norm_), begin with orthogonal recurrent weights "
            "(nn.init.orthogonal_), use an LSTM "
            "or a GRU, or shorter sequences",
        ),
        Ailment(
            "growing gradient", 100, 30, 2,
            "gradient norm of all parameters together, relative to the first looks",
            "training that goes well makes gradients smaller; a hundredfold is divergence, not noise",
            "lower the learning rate or warm it up, and clip gradients (nn.utils.clip_grad_norm_)",
        ),
        Ailment(
            "exploding activation", 1e3, 1e2, 2,
            "standard deviation of the last layer's output, relative to the first's",
            "a signal that grows so much from layer to layer overflows in a slightly deeper network (He et al. "
            "2015, section 2.2)",
            "use He or Glorot initial weights (nn.init), which keep the variance, or normalisation (nn.LayerNorm)",
        ),
        Ailment(
            "saturated", 0.5, 0.3, 3,
            "share of values at the flat ends of tanh, sigmoid or gates",
            "there the slope is below 5 % of its greatest, and hardly a gradient passes (Glorot & Bengio 2010, section 3)",
            "make the weights before it smaller, normalise its input (nn.LayerNorm, data of mean 0 and deviation "
            "1), or lower the "
            "learning rate",
        ),
        Ailment(
            "dead units", 0.5, 0.3, 3,
            "share of units that were 0 on every example of the last batches",
            "a relu unit that is never above 0 gets no gradient, and so never comes back (Maas, Hannun & Ng 2013, section 2)",
            "lower the learning rate, begin with biases of 0 and He initial weights, or use leaky_relu or gelu",
        ),
        Ailment(
            "unused parameter", 1, 1, 2,
            "looks without a gradient, of all looks",
            "a trainable parameter without a gradient stays as it was drawn",
            "use it in forward(), look for a .detach(), .item() or no_grad() on its way to the loss, or delete it; "
            "if it is frozen on purpose, say so with requires_grad_(False)",
        ),
        Ailment(
            "parameter outside the optimizer", 1, 1, 1,
            "trainable parameters that no optimizer updates",
            "it gets gradients but is never changed",
            "make the optimizer after the model is complete, from model.parameters(), or add it with "
            "optimizer.add_param_group({'params': [...]}); if it is frozen on purpose, say so with requires_grad_(False)",
        ),
        Ailment(
            "gradients not cleared", 1, 1, 2,
            "backward passes that added to gradients already used by an update",
            "each update then repeats all earlier ones",
            "call optimizer.zero_grad() before loss.backward(), once for each optimizer.step()",
        ),
        Ailment(
            "updates too large", 0.1, 0.03, 3,
            "change of a step relative to the weights, median of all weight matrices",
            "about 0.001 is healthy (Karpathy, 'Building makemore, part 3: activations and gradients', 2022); "
            "at 0.1 a matrix is another one after ten steps",
            "lower the learning rate, to a tenth to begin with, or warm it up",
        ),
        Ailment(
            "updates too small", 1e-7, 1e-6, 3,
            "change of a step relative to the weights, median of all weight matrices, from the first look on",
            "float32 keeps 24 bits, so changes below 6e-8 of a weight are rounded away",
            "raise the learning rate, and look whether gradients vanish or the loss was scaled down",
        ),
        Ailment(
            "initial loss", 1.5, 1.5, 1,
            "cross-entropy of the first step, relative to ln(classes), and more than 2 nats above it",
            "a model that knows nothing yet should give each class about the same probability, a loss of ln(classes) "
            "(Karpathy, 'A Recipe for Training Neural Networks', 2019)",
            "make the initial weights of the output layer smaller (std of 1/sqrt(features) or 0.01), and look "
            "whether logits are "
            "scaled, or the loss is given probabilities or a sum",
        ),
        Ailment(
            "collapsed attention", 0.05, 0.15, 3,
            "entropy of attention weights, relative to that of even ones, before the loss has halved",
            "weights all on one key have no gradient that could move them (Zhai et al. 2023, 'Stabilizing "
            "Transformer Training by "
            "Preventing Attention Entropy Collapse')",
            "scale the scores by 1/sqrt(features), make the query and key projections smaller, normalise what enters them "
            "(nn.LayerNorm), lower or warm up the learning rate",
        ),
    )
}  # fmt: skip
