"""A training step of a recurrent translator: forward, backward, clipping, Adam; 64 sentences of 24 words a side, 8,000 words.

The very same source is minigrad's model and PyTorch's, but for the loss, computed as users of each do: minigrad with
``linear_cross_entropy``, PyTorch with a Linear and ``cross_entropy``. A test gives both the same weights and compares.
"""

from collections.abc import Iterator
from types import ModuleType

import numpy as np

from tools.bench.measure import OURS, Contest, Libraries, Work

VOCABULARY, BATCH, TIME = 8_000, 64, 24
SIZES = (("LSTM", 2, 256), ("LSTM", 1, 512), ("GRU", 2, 256))  # (cell, layers, features)
CLIP, LEARNING_RATE = 1.0, 1e-3


def translator(library: ModuleType, vocabulary: int, cell: str, layers: int, features: int):
    """An encoder whose final states a decoder begins with; ``loss(source, target_input, target)`` is the mean of a batch.

    Words are integers (time, batch).
    """
    nn, F = library.nn, library.nn.functional

    class Seq2Seq(nn.Module):
        def __init__(self):
            super().__init__()
            self.source_embedding = nn.Embedding(vocabulary, features)
            self.target_embedding = nn.Embedding(vocabulary, features)
            self.encoder = getattr(nn, cell)(features, features, layers)
            self.decoder = getattr(nn, cell)(features, features, layers)
            self.output = nn.Linear(features, vocabulary)

        def loss(self, source, target_input, target):
            _, state = self.encoder(self.source_embedding(source))
            hidden, _ = self.decoder(self.target_embedding(target_input), state)
            if library.__name__ == OURS:
                return F.linear_cross_entropy(hidden, self.output.weight, target, linear_bias=self.output.bias)
            return F.cross_entropy(self.output(hidden).flatten(0, 1), target.flatten())

    return Seq2Seq()


def words(library: ModuleType, vocabulary: int, time: int, batch: int) -> list:
    """Random words (time, batch): source, the target as the decoder reads it, and the target a step later."""
    generator = np.random.default_rng(0)
    source, target = generator.integers(0, vocabulary, (2, time, batch))
    target_input = np.concatenate([np.zeros_like(target[:1]), target[:-1]])
    return [library.tensor(side) for side in (source, target_input, target)]


def step(library: ModuleType, cell: str, layers: int, features: int) -> Work:
    """One update, as a training loop does it."""
    model = translator(library, VOCABULARY, cell, layers, features)
    adam = library.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    sides = words(library, VOCABULARY, TIME, BATCH)
    clip = library.nn.utils.clip_grad_norm_

    def work():
        adam.zero_grad()
        model.loss(*sides).backward()
        clip(model.parameters(), CLIP)
        adam.step()

    return work


def contests(libraries: Libraries) -> Iterator[Contest]:
    """LSTMs of two layers of 256 and of one of 512; and GRUs, which PyTorch takes step by step."""
    for cell, layers, features in SIZES:
        sides = {name: step(library, cell, layers, features) for name, library in libraries.items() if name != "torch.compile"}
        name = f"{cell} translator, {layers} x {features}"
        yield Contest(name, sides, BATCH * TIME, "tokens", section=f"{cell} translator")
