"""The Transformer as a translator: ``python -m models.transformer train | translate | test``.

Vaswani et al. 2017, "Attention Is All You Need", with the options of its successors. An encoder reads the source sentence, each
layer letting every word look at every other; a decoder writes the translation word by word, looking at what it has written
and at the encoder's output. One matrix may serve as both embeddings and as the output layer (Press & Wolf 2017).
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import nn, optim, viz
from minigrad.data import PAD, Batch, TextPairs, Tokenizer
from minigrad.errors import UsageError
from minigrad.nn import functional as F
from minigrad.tensor import raw
from minigrad.training import schedules
from minigrad.training.arguments import share, whole
from minigrad.training.pictures import embedding_of, sample
from minigrad.training.translator import Translator

PRESETS: dict[str, dict[str, Any]] = {
    "mini": {"encoder_layers": 3, "decoder_layers": 3, "dim": 128, "ffn": 256, "heads": 4},
    "tiny": {"encoder_layers": 4, "decoder_layers": 4, "dim": 128, "ffn": 256, "heads": 4},  # Wu et al. 2021
    "small": {"encoder_layers": 3, "decoder_layers": 3, "dim": 256, "ffn": 1024, "heads": 8},
    "base": {"encoder_layers": 6, "decoder_layers": 6, "dim": 512, "ffn": 2048, "heads": 8},  # Vaswani et al. 2017, table 3
}

MAX_POSITIONS = 1024  # of a learned table; a sentence takes one more than it has tokens, for its end

_COMMON = {"activation": "relu", "tie": "all", "positions": "sinusoidal"}

_BUILT_IN = {
    **_COMMON, "preset": "mini", "tokens": "pieces", "dropout": 0.0, "label_smoothing": 0.0, "norm": "pre",
    "lr": 1.5e-3, "warmup": 400, "schedule": "linear", "steps": 2800, "max_tokens": 512,
    "metric": "exact_match", "patience": 0, "keep": 1, "average": 1, "validate_every": 700,
    "tokenize": "none", "train_size": 30_000, "valid_size": 500, "test_size": 2000,
}  # fmt: skip

RECIPES: dict[str, dict[str, Any]] = {
    "dates": _BUILT_IN,
    "phrases": _BUILT_IN,
    "reverse": {**_BUILT_IN, "tokens": "words"},
    "copy": {**_BUILT_IN, "tokens": "words"},
    "text": {
        **_COMMON, "preset": "tiny", "tokens": "subwords", "vocab_size": 10_000, "dropout": 0.3, "attention_dropout": 0.0,
        "activation_dropout": 0.0, "label_smoothing": 0.1, "norm": "post",
        "lr": 5e-3, "warmup": 2000, "schedule": "inverse-sqrt", "steps": 8000, "max_tokens": 4096, "metric": "bleu",
        "patience": 0, "keep": 10, "average": 10, "tokenize": "13a",
    },
}  # fmt: skip


class Transformer(nn.Module):
    """A translator.

    Args:
        vocabulary: how many tokens there are, on both sides together.
        dim, ffn, heads: features of a position, features inside the feed-forward blocks, attention heads.
        encoder_layers, decoder_layers: how deep.
        dropout: on embeddings and on what each block adds; ``attention_dropout`` on attention weights and
            ``activation_dropout`` inside the feed-forward blocks are as ``dropout`` unless given.
        norm: "pre" normalises what enters a block (easier to train), "post" what leaves it (the original).
        activation: "relu" or "gelu".
        tie: "all" shares one matrix between embeddings and output layer, "decoder" between target embedding and output layer,
            "none" shares nothing.
        positions: "sinusoidal" (any length) or "learned" (up to ``max_positions``).
        label_smoothing: probability spread over all tokens in the training loss.
    """

    def __init__(
        self,
        vocabulary: int,
        dim: int = 128,
        ffn: int = 256,
        heads: int = 4,
        encoder_layers: int = 4,
        decoder_layers: int = 4,
        dropout: float = 0.1,
        attention_dropout: float | None = None,
        activation_dropout: float | None = None,
        norm: str = "pre",
        activation: str = "relu",
        tie: str = "all",
        positions: str = "sinusoidal",
        max_positions: int = MAX_POSITIONS,
        label_smoothing: float = 0.0,
    ):
        super().__init__()
        self.dim, self.label_smoothing = dim, label_smoothing
        self.longest = max_positions - 1 if positions == "learned" else sys.maxsize  # tokens of a sentence, besides its end
        self.source_embedding = nn.Embedding(vocabulary, dim, padding_idx=PAD)
        self.target_embedding = self.source_embedding if tie == "all" else nn.Embedding(vocabulary, dim, padding_idx=PAD)
        learned = positions == "learned"
        self.positions = nn.PositionalEncoding(dim, dropout, max_positions, learned=learned, batch_first=True)
        block: dict[str, Any] = {"dropout": dropout, "activation": activation, "batch_first": True, "norm_first": norm == "pre"}

        def last_norm():
            return nn.LayerNorm(dim) if norm == "pre" else None  # with post-norm the last block has normalised already

        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(dim, heads, ffn, **block), encoder_layers, last_norm())
        self.decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(dim, heads, ffn, **block), decoder_layers, last_norm())
        self.output = nn.Linear(dim, vocabulary, bias=False)
        if tie != "none":
            self.output.weight = self.target_embedding.weight
        self._initialise(dropout, attention_dropout, activation_dropout)

    def _initialise(self, dropout, attention_dropout, activation_dropout) -> None:
        """Glorot's uniform range for matrices; embeddings with variance 1 / dim, as they are scaled by sqrt(dim)."""
        for name, p in self.named_parameters():
            if "embedding" in name or name == "output.weight":
                nn.init.normal_(p, std=self.dim**-0.5)
            elif p.ndim > 1:
                nn.init.xavier_uniform_(p)
        for embedding in (self.source_embedding, self.target_embedding):
            with mg.no_grad():
                embedding.weight[PAD] = 0.0
        for module in self.modules():
            if isinstance(module, nn.MultiheadAttention) and attention_dropout is not None:
                module.dropout = attention_dropout
            if isinstance(module, (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)) and activation_dropout is not None:
                module.dropout.p = activation_dropout

    # -- training -------------------------------------------------------------------------------------------------------

    def encode(self, source: np.ndarray) -> tuple[mg.Tensor, np.ndarray]:
        """The encoder's output (batch, time, dim) for ``source`` (batch, time), and where that is padding (batch, time)."""
        padding = source == PAD
        x = self.positions(self.source_embedding(source) * math.sqrt(self.dim))
        return self.encoder(x, src_key_padding_mask=padding), padding

    def decode(self, target_input: np.ndarray, memory: mg.Tensor, padding: np.ndarray) -> mg.Tensor:
        """The decoder's output (batch, time, dim): at each position it has seen ``target_input`` up to there, not beyond."""
        x = self.positions(self.target_embedding(target_input) * math.sqrt(self.dim))
        return self.decoder(x, memory, tgt_is_causal=True, memory_key_padding_mask=padding)

    def forward(self, source: np.ndarray, target_input: np.ndarray) -> mg.Tensor:
        """Scores for each next token, (batch, time, vocabulary)."""
        return self.output(self.decode(target_input, *self.encode(source)))

    def loss(self, batch: Batch, label_smoothing: float | None = None) -> tuple[mg.Tensor, int]:
        """The summed cross-entropy of a batch's targets, padding left out, and their number."""
        hidden = self.decode(batch.target_input, *self.encode(batch.source))
        smoothing = self.label_smoothing if label_smoothing is None else label_smoothing
        loss = F.linear_cross_entropy(
            hidden, self.output.weight, batch.target, reduction="sum", ignore_index=PAD, label_smoothing=smoothing
        )
        return loss, batch.target_tokens

    # -- decoding: see minigrad.decoding ----------------------------------------------------------------------------------

    def begin(self, source: np.ndarray) -> Writing:
        """The state in which nothing has been written yet."""
        memory, padding = self.encode(source)
        return Writing(memory, padding, self.decoder.new_cache())

    def advance(self, state: Writing, tokens: np.ndarray) -> np.ndarray:
        """Append ``tokens`` (rows,) and score what may follow, (rows, vocabulary); costs one position of the decoder."""
        x = self.target_embedding(tokens[:, None]) * math.sqrt(self.dim)
        x = self.positions(x, offset=state.cache.length)
        x = self.decoder(x, state.memory, tgt_is_causal=True, memory_key_padding_mask=state.padding, cache=state.cache)
        return raw(self.output(x[:, -1]))

    @mg.no_grad()
    def attention(self, source: np.ndarray, target_input: np.ndarray) -> np.ndarray:
        """What each position of the decoder looks at: (layers, batch, heads, target time, source time); each row sums to 1."""
        memory, padding = self.encode(source)
        found: list[np.ndarray] = []

        def look(attention, arguments, result):  # the same attention once more, this time keeping its weights
            _, weights = attention.forward(arguments[0], memory, memory, padding, average_attn_weights=False)
            found.append(raw(weights))

        hooks = [layer.multihead_attn.register_forward_hook(look) for layer in self.decoder.layers]
        try:
            self.decode(target_input, memory, padding)
        finally:
            for hook in hooks:
                hook.remove()
        return np.stack(found)


class Writing:
    """A translation in progress: the encoder's output, where it is padding, and the decoder's keys and values so far."""

    def __init__(self, memory: mg.Tensor, padding: np.ndarray, cache: nn.DecoderCache):
        self.memory, self.padding, self.cache = memory, padding, cache

    def select(self, rows: np.ndarray) -> None:
        """Keep the given rows, in their order."""
        self.memory, self.padding = self.memory[rows], self.padding[rows]
        self.cache.select(rows)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The model's options."""
    add = parser.add_argument_group("model").add_argument
    add("--encoder-layers", type=whole(1), metavar="N")
    add("--decoder-layers", type=whole(1), metavar="N")
    add("--dim", type=whole(1), metavar="N", help="features of a position")
    add("--ffn", type=whole(1), metavar="N", help="features inside the feed-forward blocks")
    add("--heads", type=whole(1), metavar="N", help="attention heads")
    add("--dropout", type=share, metavar="X")
    add("--attention-dropout", type=share, metavar="X", help="on attention weights; as --dropout if left out")
    add("--activation-dropout", type=share, metavar="X", help="inside the feed-forward blocks; as --dropout if left out")
    add("--norm", choices=("pre", "post"), help="where to normalise")
    add("--activation", choices=("relu", "gelu"))
    add("--tie", choices=("all", "decoder", "none"), help="which embeddings share a matrix")
    add("--positions", choices=("sinusoidal", "learned"), help=f"learned ones reach {MAX_POSITIONS - 1:,} tokens")
    add("--schedule", choices=schedules.NAMES, help="of the learning rate, after warm-up")


def check(options: dict[str, Any]) -> None:
    """Raise UsageError for options that make no model."""
    dim, heads, longest = options["dim"], options["heads"], options["max_length"]
    if heads < 1 or dim % heads:
        raise UsageError(f"each head takes its share of the features, so --heads divides --dim: got {heads} and {dim}")
    if options["positions"] == "learned" and longest >= MAX_POSITIONS:
        raise UsageError(f"learned positions reach {MAX_POSITIONS - 1:,} tokens: got --max-length {longest:,}; lower it")


def build(options: dict[str, Any], vocabulary: int) -> Transformer:
    """The model that the options describe."""
    names = (
        "dim", "ffn", "heads", "encoder_layers", "decoder_layers", "dropout", "attention_dropout", "activation_dropout", "norm",
        "activation", "tie", "positions", "label_smoothing",
    )  # fmt: skip
    return Transformer(vocabulary, **{name: options[name] for name in names})


def make_optimizer(options: dict[str, Any], model: nn.Module) -> tuple[optim.Optimizer, optim.lr_scheduler.LRScheduler]:
    """Adam with the betas of Vaswani et al. 2017, section 5.3, and the chosen schedule."""
    adam = optim.AdamW(model.parameters(), lr=options["lr"], betas=(0.9, 0.98), eps=1e-9, weight_decay=options["weight_decay"])
    factor = schedules.factor(options["schedule"], options["warmup"], options["steps"])
    return adam, optim.lr_scheduler.LambdaLR(adam, factor)


def pictures(model: Transformer, tokenizer: Tokenizer, pairs: TextPairs) -> Iterator[tuple[str, viz.Picture]]:
    """What a trained model looks at in one sentence and how that bears on the loss, its positions and its embeddings."""
    batch, source, target = sample(tokenizer, pairs)
    with viz.capture_attention(model) as seen:
        model.loss(batch)[0].backward()
    model.zero_grad()
    last = f"decoder.layers.{len(model.decoder.layers) - 1}.multihead_attn"
    look = next(call for call in seen if call.name == last)
    title = "the last decoder layer: where it looks as it writes each token"
    assert look.grad is not None and look.masked is not None
    yield "attention", viz.attention(look.weights[0], target, source, look.grad[0], look.masked[0], title=title)
    yield "embedding", embedding_of(model.target_embedding.weight, tokenizer)
    read = f"encoder.layers.{len(model.encoder.layers) - 1}.self_attn"
    look = next(call for call in seen if call.name == read)
    yield "self-attention", viz.attention(look.weights[0], source, title="the last encoder layer: what each token looks at")
    yield "positions", viz.positional(model.positions)


JOB = Translator(
    "transformer",
    "Train a Transformer to translate, translate with it, and measure it.",
    add_options,
    check,
    build,
    RECIPES,
    PRESETS,
    make_optimizer,
    pictures=pictures,
)

if __name__ == "__main__":
    sys.exit(JOB.main())
