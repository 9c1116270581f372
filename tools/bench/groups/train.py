"""A training step of the Transformer presets: forward, backward, clipping, Adam; 4,096 tokens on each side, 10,000 words.

PyTorch's side is built of ``torch.nn.TransformerEncoder`` and ``TransformerDecoder``, has the same parameters under the same
names, and computes the same loss (a test loads minigrad's weights into it and compares).
"""

import math
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np

from minigrad.data import PAD
from minigrad.data.batching import Batch
from models.transformer import PRESETS, Transformer
from tools.bench.groups import train_seq2seq
from tools.bench.measure import OURS, Contest, Libraries, Work

VOCABULARY, TOKENS = 10_000, 4096
LENGTHS = (32, 128)
DROPOUT, SMOOTHING, CLIP = 0.1, 0.1, 1.0
_ADAM: dict[str, Any] = {"lr": 1e-4, "betas": (0.9, 0.98), "eps": 1e-9}


def random_batch(length: int, tokens: int = TOKENS, vocabulary: int = VOCABULARY) -> Batch:
    """Sentences of random words, ``tokens`` in all on each side; every second one is a little shorter and padded."""
    generator = np.random.default_rng(0)

    def side() -> np.ndarray:
        words = generator.integers(PAD + 1, vocabulary, (tokens // length, length))
        words[::2, -(length // 16 + 1) :] = PAD
        return words

    source, target = side(), side()
    target_input = np.concatenate([np.ones_like(target[:, :1]), target[:, :-1]], 1)
    return Batch(np.arange(len(source)), source, target_input, target)


def torch_transformer(
    torch: ModuleType, vocabulary: int, dim: int, ffn: int, heads: int, encoder_layers: int, decoder_layers: int
):
    """The model of models/transformer.py in PyTorch's own layers: pre-norm, one matrix for embeddings and output layer."""
    nn, F = torch.nn, torch.nn.functional
    options: dict[str, Any] = {"dropout": DROPOUT, "batch_first": True, "norm_first": True}

    class TorchTransformer(nn.Module):
        def __init__(self):
            super().__init__()
            self.source_embedding = self.target_embedding = nn.Embedding(vocabulary, dim, padding_idx=PAD)
            encoder_layer = nn.TransformerEncoderLayer(dim, heads, ffn, **options)
            decoder_layer = nn.TransformerDecoderLayer(dim, heads, ffn, **options)
            self.encoder = nn.TransformerEncoder(encoder_layer, encoder_layers, nn.LayerNorm(dim), enable_nested_tensor=False)
            self.decoder = nn.TransformerDecoder(decoder_layer, decoder_layers, nn.LayerNorm(dim))
            self.output = nn.Linear(dim, vocabulary, bias=False)
            self.output.weight = self.source_embedding.weight
            nn.init.normal_(self.output.weight, std=dim**-0.5)
            # Sinusoidal positions: Vaswani et al. 2017, section 3.5.
            angle = torch.arange(max(LENGTHS))[:, None] * 10_000 ** (-torch.arange(0, dim, 2) / dim)
            self.positions = torch.stack([angle.sin(), angle.cos()], -1).flatten(1)

        def embed(self, words):
            x = self.source_embedding(words) * math.sqrt(dim) + self.positions[: words.shape[1]]
            return F.dropout(x, DROPOUT, self.training)

        def loss(self, source, target_input, target, label_smoothing=SMOOTHING):
            padding = source == PAD
            memory = self.encoder(self.embed(source), src_key_padding_mask=padding)
            future = torch.ones(target.shape[1], target.shape[1], dtype=torch.bool).triu(1)
            hidden = self.decoder(
                self.embed(target_input), memory, tgt_mask=future, tgt_is_causal=True, memory_key_padding_mask=padding
            )
            wanted = target != PAD
            scores = self.output(hidden[wanted])
            return F.cross_entropy(scores, target[wanted], reduction="sum", label_smoothing=label_smoothing)

    return TorchTransformer()


def our_step(preset: dict[str, Any], batch: Batch) -> Work:
    """One update of minigrad's model, as the training loop does it."""
    from minigrad import optim
    from minigrad.nn.utils import clip_grad_norm_

    model = Transformer(VOCABULARY, dropout=DROPOUT, label_smoothing=SMOOTHING, **preset)
    adam = optim.Adam(model.parameters(), **_ADAM)

    def work():
        adam.zero_grad()
        loss, tokens = model.loss(batch)
        (loss * (1 / tokens)).backward()
        clip_grad_norm_(model.parameters(), CLIP)
        adam.step()

    return work


def torch_step(torch: ModuleType, preset: dict[str, Any], batch: Batch, compiled: bool = False) -> Work:
    """The same update in PyTorch, eager or with the loss compiled."""
    model = torch_transformer(torch, VOCABULARY, **preset)
    loss = torch.compile(model.loss) if compiled else model.loss
    adam = torch.optim.Adam(model.parameters(), **_ADAM)
    arrays = [torch.from_numpy(side) for side in (batch.source, batch.target_input, batch.target)]

    def work():
        adam.zero_grad()
        (loss(*arrays) * (1 / batch.target_tokens)).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        adam.step()

    return work


def _compiled(torch: ModuleType, preset: dict[str, Any], batch: Batch) -> Work | None:
    """The compiled step after its first run, or None if that fails: what the compiler needs varies with the machine."""
    step = torch_step(torch, preset, batch, compiled=True)
    try:
        step()
    except Exception as error:  # its backends raise whatever they meet
        print(f"torch.compile is left out: {type(error).__name__}: {str(error).splitlines()[0]}", file=sys.stderr)
        return None
    return step


def contests(libraries: Libraries) -> Iterator[Contest]:
    """The presets tiny and small, with short and with long sentences; then the recurrent translators."""
    for name in ("tiny", "small"):
        for length in LENGTHS:
            batch = random_batch(length)
            sides = {OURS: our_step(PRESETS[name], batch)}
            if "torch" in libraries:
                sides["torch"] = torch_step(libraries["torch"], PRESETS[name], batch)
            if "torch.compile" in libraries and (step := _compiled(libraries["torch.compile"], PRESETS[name], batch)):
                sides["torch.compile"] = step
            yield Contest(f"{name}, sentences of {length}", sides, batch.target_tokens, "tokens", section="Transformer")
    yield from train_seq2seq.contests(libraries)
