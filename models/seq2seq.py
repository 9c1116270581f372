"""The recurrent translator: ``python -m models.seq2seq train | translate | test | attention``.

Sutskever, Vinyals and Le 2014, "Sequence to Sequence Learning with Neural Networks": an encoder reads the source into its last
states, and a decoder with weights of its own starts from them and writes the translation word by word. With attention
(Bahdanau, Cho and Bengio 2015; Luong, Pham and Manning 2015) the decoder also looks back at every word of the source, and where
it looked can be seen.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import nn, optim, viz
from minigrad.data import BOS, EOS, PAD, TextPairs, Tokenizer
from minigrad.data.batching import Batch
from minigrad.errors import UsageError
from minigrad.nn import functional as F
from minigrad.nn.utils.rnn import PackedRows
from minigrad.ops.random import generator
from minigrad.tensor import raw, wrap
from minigrad.training import schedules
from minigrad.training.arguments import share, whole
from minigrad.training.pictures import embedding_of, sample
from minigrad.training.pretrained import put_vectors
from minigrad.training.translator import Translator

PRESETS: dict[str, dict[str, Any]] = {
    "mini": {"layers": 1, "dim": 128, "encoder_hidden": 128, "decoder_hidden": 256},
    "small": {"layers": 2, "dim": 256, "encoder_hidden": 256, "decoder_hidden": 256},
    "base": {"layers": 1, "dim": 256, "encoder_hidden": 512, "decoder_hidden": 512},
    "large": {"layers": 2, "dim": 512, "encoder_hidden": 512, "decoder_hidden": 512},
}

_COMMON = {
    "cell": "gru", "bidirectional": True, "attention": "general", "input_feeding": False, "scheduled_sampling": 0.0,
    "bridge": "linear", "tie": "all", "start": "bos", "freeze_embeddings": False,
}  # fmt: skip

_BUILT_IN = {
    **_COMMON, "preset": "mini", "tokens": "pieces", "dropout": 0.1, "label_smoothing": 0.0,
    "lr": 4e-3, "warmup": 100, "schedule": "linear", "steps": 1800, "max_tokens": 1024,
    "metric": "exact_match", "patience": 0, "keep": 1, "average": 1, "validate_every": 450,
    "tokenize": "none", "train_size": 40_000, "valid_size": 500, "test_size": 2000,
}  # fmt: skip

RECIPES: dict[str, dict[str, Any]] = {
    "phrases": _BUILT_IN,
    "dates": _BUILT_IN,
    "reverse": {**_BUILT_IN, "tokens": "words"},
    "copy": {**_BUILT_IN, "tokens": "words"},
    "text": {
        **_COMMON, "preset": "base", "tokens": "subwords", "vocab_size": 8000, "dropout": 0.3, "label_smoothing": 0.1,
        "lr": 1.5e-3, "warmup": 200, "schedule": "linear", "steps": 2270, "batch_sentences": 128, "max_tokens": 8192,
        "metric": "bleu", "patience": 0, "keep": 1, "average": 1, "tokenize": "13a",
    },
}  # fmt: skip

ATTENTIONS = {"dot": nn.DotAttention, "general": nn.GeneralAttention, "additive": nn.AdditiveAttention}
CHOICES = {
    "cell": ("lstm", "gru"), "bridge": ("linear", "copy"), "attention": ("none", *ATTENTIONS),
    "tie": ("all", "decoder", "none"), "start": ("bos", "eos"),
}  # fmt: skip


class Seq2Seq(nn.Module):
    """A translator.

    Args:
        vocabulary: how many tokens there are, on both sides together.
        dim: features of an embedding, and of what the output layer reads.
        encoder_hidden, decoder_hidden: features of a state, in the encoder of each direction.
        layers: recurrent layers of the encoder, and of the decoder.
        cell: "lstm" or "gru".
        bidirectional: whether the encoder also reads from the end.
        bridge: how the encoder's last states become the decoder's first: "linear" puts the directions side by side and
            through a linear layer and tanh, one for each layer; "copy" takes them as they are, where the sizes match.
        attention: "none", "dot", "general" or "additive"; see :mod:`minigrad.nn.recurrent_attention`.
        input_feeding: whether each step also reads what the last one gave to the output layer (Luong et al. 2015, section 3.3).
        scheduled_sampling: how often, in training, the decoder reads the word it would have written instead of the right one
            (Bengio et al. 2015, "Scheduled Sampling for Sequence Prediction with Recurrent Neural Networks"; a constant rate).
        dropout: on embeddings, between layers, and on what the output layer reads.
        tie: "all" shares one matrix between embeddings and output layer, "decoder" between target embedding and output layer,
            "none" shares nothing.
        start: the token from which writing starts, "bos" or "eos".
        frozen: which embeddings stay as they are in training: "source", "target".
        label_smoothing: probability spread over all tokens in the training loss.
    """

    def __init__(
        self,
        vocabulary: int,
        dim: int = 128,
        encoder_hidden: int = 128,
        decoder_hidden: int = 128,
        layers: int = 1,
        cell: str = "gru",
        bidirectional: bool = True,
        bridge: str = "linear",
        attention: str = "general",
        input_feeding: bool = False,
        scheduled_sampling: float = 0.0,
        dropout: float = 0.0,
        tie: str = "all",
        start: str = "bos",
        frozen: tuple[str, ...] = (),
        label_smoothing: float = 0.0,
    ):
        super().__init__()
        self.input_feeding, self.scheduled_sampling = input_feeding, scheduled_sampling
        self.start = EOS if start == "eos" else BOS
        self.label_smoothing = label_smoothing
        self.source_embedding = nn.Embedding(vocabulary, dim, padding_idx=PAD)
        self.target_embedding = self.source_embedding if tie == "all" else nn.Embedding(vocabulary, dim, padding_idx=PAD)
        layer = nn.LSTM if cell == "lstm" else nn.GRU
        between = dropout if layers > 1 else 0.0
        self.encoder = layer(dim, encoder_hidden, layers, dropout=between, bidirectional=bidirectional)
        self.decoder = layer(dim * (2 if input_feeding else 1), decoder_hidden, layers, dropout=between)
        memory = encoder_hidden * (2 if bidirectional else 1)
        count = layers * (2 if cell == "lstm" else 1)
        self.bridge = None
        if bridge == "linear":
            self.bridge = nn.ModuleList([nn.Linear(memory, decoder_hidden) for _ in range(count)])
        self.attention = None if attention == "none" else ATTENTIONS[attention](decoder_hidden, memory)
        features = decoder_hidden + (0 if self.attention is None else memory)
        self.readout = nn.Linear(features, dim, bias=False)
        self.drop = nn.Dropout(dropout)
        self.output = nn.Linear(dim, vocabulary)
        for embedding in (self.source_embedding, self.target_embedding):
            nn.init.normal_(embedding.weight, std=0.3)  # with smaller ones, gates and tanh hardly tell words apart at first
            with mg.no_grad():
                embedding.weight[PAD] = 0.0
        if tie != "none":
            self.output.weight = self.target_embedding.weight
        for side in frozen:
            getattr(self, f"{side}_embedding").weight.requires_grad = False

    # -- reading --------------------------------------------------------------------------------------------------------

    def encode(self, source: np.ndarray) -> Writing:
        """The state in which ``source`` (batch, time) has been read, and nothing written. Padding is not computed."""
        padding = source == PAD
        rows = PackedRows(np.maximum(source.shape[1] - padding.sum(1), 1), source.shape[1])
        x = self.drop(self.source_embedding(rows.of(source)))
        out, states = self.encoder(rows.packed(x))
        states = self._bridged(states if isinstance(states, tuple) else (states,))
        fed = wrap(np.zeros((len(source), self.output.in_features), np.float32)) if self.input_feeding else None
        if self.attention is None:
            return Writing(states, fed)
        memory = rows.padded(out.data)
        return Writing(states, fed, memory, self.attention.keys(memory), padding)

    def _bridged(self, states: tuple) -> tuple:
        """The decoder's first states, each (layers, batch, hidden), from the encoder's (layers * directions, batch, hidden)."""
        layers, directions = self.encoder.num_layers, 2 if self.encoder.bidirectional else 1
        if directions == 2:
            _, batch, hidden = states[0].shape
            states = tuple(
                s.reshape(layers, 2, batch, hidden).transpose(1, 2).reshape(layers, batch, 2 * hidden) for s in states
            )
        if self.bridge is None:
            return states
        through = iter(self.bridge)
        return tuple(mg.stack([next(through)(s[layer]).tanh() for layer in range(layers)]) for s in states)

    # -- writing --------------------------------------------------------------------------------------------------------

    def decode(self, target_input: np.ndarray, state: Writing, lengths: np.ndarray, look: list | None = None):
        """What the output layer reads, one row for each token within ``lengths`` (batch,), and which rows these are.

        At each position the decoder has seen ``target_input`` (batch, time) up to there, not beyond. The attention weights
        (batch, time, source) are appended to ``look``.
        """
        rows = PackedRows(lengths, target_input.shape[1])
        if self.input_feeding or (self.training and self.scheduled_sampling):
            return self._decode_by_steps(target_input, state, rows, look), rows
        x = self.drop(self.target_embedding(self._started(rows.of(target_input))))
        out, _ = self.decoder(rows.packed(x), state.states if len(state.states) > 1 else state.states[0])
        context = None
        if self.attention is not None:
            context, weights = self.attention(
                rows.padded(out.data), state.memory, state.padding, keys=state.keys, need_weights=look is not None
            )
            context = rows.of_tensor(context)
            if look is not None:
                look.append(raw(weights))
        return self._read_out(out.data, context), rows

    def _decode_by_steps(self, target_input: np.ndarray, state: Writing, rows: PackedRows, look: list | None) -> mg.Tensor:
        """The same where a step reads what the last one gave."""
        rate = self.scheduled_sampling if self.training else 0.0
        own = generator().random(target_input.shape) < rate if rate else None
        outs, seen, tokens = [], [], None
        for t in range(target_input.shape[1]):
            given = target_input[:, t]
            if own is not None and t and own[:, t].any():
                with mg.no_grad():
                    tokens = raw(self.output(outs[-1])).argmax(1)
                given = np.where(own[:, t], tokens, given)
            outs.append(self._step(state, given, None if look is None else seen))
        if look is not None:
            look.append(np.stack(seen, 1))
        return rows.of_tensor(mg.stack(outs, 1))

    def _step(self, state: Writing, tokens: np.ndarray, look: list | None = None) -> mg.Tensor:
        """Append ``tokens`` (rows,) to what has been written: what the output layer reads then, (rows, dim)."""
        x = self.drop(self.target_embedding(self._started(tokens)))
        if state.fed is not None:
            x = mg.cat([x, state.fed], 1)
        out, states = self.decoder(x.unsqueeze(0), state.states if len(state.states) > 1 else state.states[0])
        state.states = states if isinstance(states, tuple) else (states,)
        out, context = out.squeeze(0), None
        if self.attention is not None:
            context, weights = self.attention(out, state.memory, state.padding, keys=state.keys, need_weights=look is not None)
            if look is not None:
                look.append(raw(weights))
        result = self._read_out(out, context)
        if state.fed is not None:
            state.fed = result
        return result

    def _read_out(self, states: mg.Tensor, context: mg.Tensor | None) -> mg.Tensor:
        """``tanh(W [h; c])``: Luong et al. 2015, equation 5; without attention there is no ``c``."""
        joined = states if context is None else mg.cat([states, context], 1)
        return self.drop(self.readout(joined).tanh())

    def _started(self, ids: np.ndarray) -> np.ndarray:
        """Batches and searches begin with ``<bos>``, this model perhaps with ``<eos>``."""
        return ids if self.start == BOS else np.where(ids == BOS, self.start, ids)

    # -- training -------------------------------------------------------------------------------------------------------

    def forward(self, source: np.ndarray, target_input: np.ndarray) -> mg.Tensor:
        """Scores for each next token, (batch, time, vocabulary)."""
        lengths = np.full(len(target_input), target_input.shape[1])
        hidden, rows = self.decode(target_input, self.encode(source), lengths)
        return rows.padded(self.output(hidden))

    def loss(self, batch: Batch, label_smoothing: float | None = None) -> tuple[mg.Tensor, int]:
        """The summed cross-entropy of a batch's targets, padding left out, and their number."""
        lengths = np.count_nonzero(batch.target != PAD, axis=1)
        hidden, rows = self.decode(batch.target_input, self.encode(batch.source), lengths)
        smoothing = self.label_smoothing if label_smoothing is None else label_smoothing
        loss = F.linear_cross_entropy(
            hidden,
            self.output.weight,
            rows.of(batch.target),
            linear_bias=self.output.bias,
            reduction="sum",
            ignore_index=PAD,
            label_smoothing=smoothing,
        )
        return loss, batch.target_tokens

    # -- decoding: see minigrad.decoding ----------------------------------------------------------------------------------

    def begin(self, source: np.ndarray) -> Writing:
        """The state in which nothing has been written yet."""
        return self.encode(source)

    def advance(self, state: Writing, tokens: np.ndarray) -> np.ndarray:
        """Append ``tokens`` (rows,) and score what may follow, (rows, vocabulary)."""
        return raw(self.output(self._step(state, tokens)))

    @property
    def aligns(self) -> bool:
        """Whether the model has attention, so that :meth:`align` can say where it looks."""
        return self.attention is not None

    @mg.no_grad()
    def align(self, source: np.ndarray, target_input: np.ndarray) -> np.ndarray:
        """Where the decoder looks as it writes: (batch, target time, source time); each row of a sentence sums to 1.

        Raises:
            UsageError: for a model without attention.
        """
        if not self.aligns:
            raise UsageError("a model without attention looks nowhere in particular: build one with attention='general'")
        look: list[np.ndarray] = []
        lengths = np.full(len(target_input), target_input.shape[1])
        self.decode(target_input, self.encode(source), lengths, look)
        return look[0]


class Writing:
    """A translation in progress.

    Attributes:
        states: of the decoder, each (layers, rows, hidden).
        fed: with input feeding what the last step gave to the output layer, (rows, dim).
        memory, keys, padding: with attention what the encoder read, (rows, source time, features), and where that is padding.
    """

    def __init__(self, states: tuple, fed=None, memory=None, keys=None, padding=None):
        self.states, self.fed, self.memory, self.keys, self.padding = states, fed, memory, keys, padding
        self._sentences = None if memory is None else np.arange(len(memory))  # which sentence each row of the memory is

    def select(self, rows: np.ndarray) -> None:
        """Keep the given rows, in their order."""
        self.states = tuple(s[:, rows] for s in self.states)
        self.fed = None if self.fed is None else self.fed[rows]
        if self._sentences is None or np.array_equal(self._sentences[rows], self._sentences):
            return  # beams of a sentence share what was read: where they only change places, nothing is to be copied
        self._sentences = self._sentences[rows]
        self.memory, self.padding = self.memory[rows], self.padding[rows]
        self.keys = self.keys[rows]


def add_options(parser: argparse.ArgumentParser) -> None:
    """The model's options."""
    add = parser.add_argument_group("model").add_argument
    switch = argparse.BooleanOptionalAction
    add("--cell", choices=CHOICES["cell"])
    add("--layers", type=whole(1), metavar="N", help="recurrent layers of the encoder, and of the decoder")
    add("--dim", type=whole(1), metavar="N", help="features of an embedding")
    add("--encoder-hidden", type=whole(1), metavar="N", help="features of the encoder's states, in each direction")
    add("--decoder-hidden", type=whole(1), metavar="N", help="features of the decoder's states")
    add("--bidirectional", action=switch, help="whether the encoder also reads from the end")
    add("--bridge", choices=CHOICES["bridge"], help="how the encoder's last states become the decoder's first")
    add("--attention", choices=CHOICES["attention"], help="how the decoder looks back at the source")
    add("--input-feeding", action=switch, help="each step also reads what the last gave to the output layer; slower")
    add("--scheduled-sampling", type=share, metavar="RATE", help="how often training reads the model's own last word; slower")
    add("--dropout", type=share, metavar="X")
    add("--tie", choices=CHOICES["tie"], help="which embeddings share a matrix")
    add("--start", choices=CHOICES["start"], help="the token that writing starts from")
    add("--source-vectors", metavar="FILE", help="word vectors, or a run of models.word2vec, as first source embeddings")
    add("--target-vectors", metavar="FILE", help="the same for the target")
    add("--freeze-embeddings", action=switch, help="leave embeddings that were given as they are")
    add("--schedule", choices=schedules.NAMES, help="of the learning rate, after warm-up")


def check(options: dict[str, Any]) -> None:
    """Raise UsageError for options that make no model."""
    for name, known in CHOICES.items():
        if options[name] not in known:
            raise UsageError(f"--{name} is one of {', '.join(known)}: got {options[name]!r}")
    directions = 2 if options["bidirectional"] else 1
    memory, hidden = options["encoder_hidden"] * directions, options["decoder_hidden"]
    sizes = f"got {options['encoder_hidden']} x {directions} and {hidden}"
    if options["bridge"] == "copy" and memory != hidden:
        raise UsageError(f"--bridge copy needs --encoder-hidden times directions to be --decoder-hidden: {sizes}; take linear")
    if options["attention"] == "dot" and memory != hidden:
        raise UsageError(
            f"--attention dot needs --encoder-hidden times directions to be --decoder-hidden: {sizes}; take general"
        )
    if options["replace_unknown"] and options["attention"] == "none":
        raise UsageError("--replace-unknown needs a model with attention: leave it out with --attention none")
    vectors = [side for side in ("source", "target") if options.get(f"{side}_vectors")]
    if options["freeze_embeddings"] and not vectors:
        raise UsageError(
            "--freeze-embeddings keeps embeddings that were given: name them with --source-vectors, or leave it out"
        )
    if options["tie"] == "all" and len(vectors) == 2:
        raise UsageError("--tie all has one matrix for both sides: give vectors for one of them, or --tie decoder or none")


def build(options: dict[str, Any], vocabulary: int) -> Seq2Seq:
    """The model that the options describe."""
    names = (
        "dim", "encoder_hidden", "decoder_hidden", "layers", "cell", "bidirectional", "bridge", "attention", "input_feeding",
        "scheduled_sampling", "dropout", "tie", "start", "label_smoothing",
    )  # fmt: skip
    sides = [side for side in ("source", "target") if options.get(f"{side}_vectors")]
    frozen = tuple(sides) if options["freeze_embeddings"] else ()
    return Seq2Seq(vocabulary, frozen=frozen, **{name: options[name] for name in names})


def begin_with(options: dict[str, Any], model: Seq2Seq, tokenizer: Tokenizer) -> list[str]:
    """Put word vectors into the embeddings of a new model; a line to print for each file."""
    lines = []
    for side in ("source", "target"):
        if path := options.get(f"{side}_vectors"):
            embedding = getattr(model, f"{side}_embedding")
            lines.append(f"{side + ' from':<11} {put_vectors(path, embedding, tokenizer, f'--{side}-vectors')}")
    return lines


def make_optimizer(options: dict[str, Any], model: nn.Module) -> tuple[optim.Optimizer, optim.lr_scheduler.LRScheduler]:
    """Adam, and the chosen schedule."""
    learning = [p for p in model.parameters() if p.requires_grad]
    adam = optim.AdamW(learning, lr=options["lr"], betas=(0.9, 0.99), eps=1e-8, weight_decay=options["weight_decay"])
    factor = schedules.factor(options["schedule"], options["warmup"], options["steps"])
    return adam, optim.lr_scheduler.LambdaLR(adam, factor)


def pictures(model: Seq2Seq, tokenizer: Tokenizer, pairs: TextPairs) -> Iterator[tuple[str, viz.Picture]]:
    """Where a trained model looks as it writes one sentence, if it has attention, and its embeddings."""
    if model.aligns:
        batch, source, target = sample(tokenizer, pairs)
        weights = model.align(batch.source, batch.target_input)[0]
        yield "attention", viz.attention(weights, target, source, title="where the decoder looks as it writes each token")
    yield "embedding", embedding_of(model.target_embedding.weight, tokenizer)


JOB = Translator(
    "seq2seq",
    "Train a recurrent network to translate, translate with it, measure it, and see where it looks.",
    add_options,
    check,
    build,
    RECIPES,
    PRESETS,
    make_optimizer,
    begin_with=begin_with,
    aligns=True,
    pictures=pictures,
)

if __name__ == "__main__":
    sys.exit(JOB.main())
