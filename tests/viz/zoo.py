"""A zoo of training runs, ill on purpose or healthy, by which the doctor is measured: ``python -m tests.viz.zoo``.

Each is a function of a seed that trains a small model for a moment and returns its monitor. A fault says which findings are
right: one of them must be reported. A control must get no finding at all. The rules were tuned on the seeds 0 to 2; what the
documentation says was measured on others.
"""

import argparse
import itertools
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

import minigrad as mg
from minigrad import nn, optim, viz
from minigrad.nn import functional as F

FAULTS: dict[str, tuple[Callable[[int], viz.Monitor], tuple[str, ...]]] = {}
CONTROLS: dict[str, Callable[[int], viz.Monitor]] = {}
CLASSES, FEATURES, VOCABULARY = 4, 10, 20


def fault(*right):
    def register(function):
        FAULTS[function.__name__] = function, right
        return function

    return register


def control(function):
    CONTROLS[function.__name__] = function
    return function


# -- data, models, training ---------------------------------------------------------------------------------------------


def points(seed, count=48):
    """Points and the classes that a random linear map gives them."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, FEATURES)).astype("float32")
    return x, (x @ rng.normal(size=(FEATURES, CLASSES))).argmax(1)


def sequences(seed, length, count=24):
    """Sequences of tokens, and a class that depends on the first and the last token."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, VOCABULARY, (count, length))
    return x, (x[:, 0] + x[:, -1]) % CLASSES


def train(model, loss_of, optimizer, steps=40, every=4, clear=True, watched=True, after=None):
    """Train and watch; ``loss_of(step)`` computes the loss."""
    with viz.Monitor(model, optimizer if watched else None, every=every) as monitor:
        for step in range(steps):
            if clear:
                optimizer.zero_grad()
            loss = loss_of(step)
            loss.backward()
            if after:
                after(step)
            optimizer.step()
            monitor.step(loss)
    return monitor


def mlp(*sizes, activation=nn.ReLU, he=False):
    layers = []
    for n, m in itertools.pairwise(sizes):
        layers += [nn.Linear(n, m), activation()]
        if he:
            nn.init.kaiming_normal_(layers[-2].weight, nonlinearity="relu")
            nn.init.zeros_(layers[-2].bias)
    return nn.Sequential(*layers[:-1])


def scaled(tensor, factor):
    with mg.no_grad():
        tensor *= factor


def classify(model, seed, optimizer=None, lr=3e-3, scale=1.0, **how):
    x, y = points(seed)
    x = x * np.float32(scale)
    optimizer = optimizer or optim.Adam(model.parameters(), lr=lr)
    return train(model, lambda step: F.cross_entropy(model(x), y), optimizer, **how)


class Recurrent(nn.Module):
    def __init__(self, cell=nn.LSTM, hidden=16, layers=1, every_step=False, **how):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, 12)
        self.rnn = cell(12, hidden, layers, batch_first=True, **how)
        self.out = nn.Linear(hidden * (2 if how.get("bidirectional") else 1), CLASSES)
        self.every_step = every_step

    def forward(self, x, lengths=None):
        states = self.rnn(self.embedding(x), lengths=lengths)[0]
        return self.out(states if self.every_step else states.mean(1) if lengths is not None else states[:, -1])


def read(model, seed, length, lr=3e-3, lengths=None, **how):
    x, y = sequences(seed, length)
    optimizer = optim.Adam(model.parameters(), lr=lr)

    def loss_of(step):
        scores = model(x, lengths)
        if model.every_step:
            return F.cross_entropy(scores.reshape(-1, CLASSES), (x % CLASSES).reshape(-1))
        return F.cross_entropy(scores, y)

    return train(model, loss_of, optimizer, **how)


class Attentive(nn.Module):
    def __init__(self, layers=2, norm_first=True, dim=16, tied=False, dropout=0.0, activation="relu"):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, dim)
        self.positions = nn.PositionalEncoding(dim, 0.0, 64, batch_first=True)
        block = nn.TransformerEncoderLayer(
            dim, 2, 32, dropout=dropout, batch_first=True, norm_first=norm_first, activation=activation
        )
        self.encoder = nn.TransformerEncoder(block, layers, nn.LayerNorm(dim) if norm_first else None)
        self.out = nn.Linear(dim, VOCABULARY, bias=False)
        for p in self.encoder.parameters():
            if p.ndim > 1:
                nn.init.xavier_uniform_(p)
        nn.init.normal_(self.embedding.weight, std=dim**-0.5)
        nn.init.normal_(self.out.weight, std=0.02)
        if tied:
            self.out.weight = self.embedding.weight

    def forward(self, x):
        return self.out(self.encoder(self.positions(self.embedding(x) * 4.0)))


def rewrite(model, seed, lr=3e-3, length=8, optimizer=None, reverse=True, **how):
    """Learn to write a sequence backwards."""
    x, _ = sequences(seed, length, 16)
    y = (x[:, ::-1] if reverse else x).reshape(-1)
    optimizer = optimizer or optim.Adam(model.parameters(), lr=lr)
    smoothing = how.pop("smoothing", 0.0)
    return train(
        model, lambda s: F.cross_entropy(model(x).reshape(-1, VOCABULARY), y, label_smoothing=smoothing), optimizer, **how
    )


# -- faults: feed-forward -------------------------------------------------------------------------------------------------


@fault("vanishing gradient")
def deep_sigmoid(seed):
    return classify(mlp(FEATURES, *[16] * 9, CLASSES, activation=nn.Sigmoid), seed)


@fault("vanishing gradient")
def deep_tanh_of_tiny_weights(seed):
    model = mlp(FEATURES, *[16] * 7, CLASSES, activation=nn.Tanh)
    for module in model:
        if isinstance(module, nn.Linear):
            scaled(module.weight, 0.2)
    return classify(model, seed, optim.SGD(model.parameters(), lr=0.1))


@fault("exploding activation", "initial loss", "exploding gradient")
def weights_of_variance_one(seed):
    model = mlp(FEATURES, *[32] * 7, CLASSES)
    for module in model:
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight)
    return classify(model, seed)


@fault("saturated")
def tanh_of_large_weights(seed):
    model = mlp(FEATURES, 32, 32, CLASSES, activation=nn.Tanh)
    scaled(model[0].weight, 40)
    return classify(model, seed)


@fault("saturated")
def sigmoid_of_raw_data(seed):
    return classify(mlp(FEATURES, 32, CLASSES, activation=nn.Sigmoid), seed, scale=255.0)


@fault("dead units")
def negative_biases(seed):
    model = mlp(FEATURES, 32, 32, CLASSES)
    nn.init.constant_(model[2].bias, -8)
    return classify(model, seed)


@fault("dead units", "updates too large")
def relu_after_a_giant_step(seed):
    model = mlp(FEATURES, 32, 32, CLASSES)
    return classify(model, seed, optim.SGD(model.parameters(), lr=30.0))


@fault("unused parameter")
def layer_never_called(seed):
    model = mlp(FEATURES, 32, CLASSES)
    model.forgotten = nn.Linear(8, 8)
    x, y = points(seed)
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    return train(model, lambda s: F.cross_entropy(model[2](model[1](model[0](x))), y), optimizer)


@fault("unused parameter")
def detached_on_the_way(seed):
    model = mlp(FEATURES, 32, 32, CLASSES)
    x, y = points(seed)
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    return train(model, lambda s: F.cross_entropy(model[4](model[3](model[2](model[1](model[0](x)).detach()))), y), optimizer)


@fault("gradients not cleared")
def no_zero_grad(seed):
    model = mlp(FEATURES, 32, CLASSES)
    return classify(model, seed, optim.SGD(model.parameters(), lr=0.03), clear=False)


@fault("updates too large")
def learning_rate_too_high_for_sgd(seed):
    model = mlp(FEATURES, 32, 32, CLASSES, activation=nn.Tanh)
    return classify(model, seed, optim.SGD(model.parameters(), lr=100.0))


@fault("updates too large")
def learning_rate_too_high_for_adam(seed):
    return classify(mlp(FEATURES, 32, 32, CLASSES), seed, lr=0.5)


@fault("updates too small")
def learning_rate_too_low(seed):
    model = mlp(FEATURES, 32, CLASSES)
    return classify(model, seed, optim.SGD(model.parameters(), lr=1e-8))


@fault("parameter outside the optimizer")
def optimizer_of_the_last_layer_alone(seed):
    model = mlp(FEATURES, 32, CLASSES)
    return classify(model, seed, optim.Adam(model[2].parameters(), lr=3e-3))


@fault("initial loss")
def output_weights_too_large(seed):
    model = mlp(FEATURES, 32, CLASSES)
    scaled(model[2].weight, 40)
    return classify(model, seed)


@fault("not finite")
def nan_in_the_data(seed):
    model = mlp(FEATURES, 32, CLASSES)
    x, y = points(seed)
    bad = x.copy()
    bad[seed % 48, seed % FEATURES] = np.nan
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    return train(model, lambda step: F.cross_entropy(model(bad if step == 13 else x), y), optimizer)


@fault("not finite")
def logarithm_of_a_negative_number(seed):
    model = mlp(FEATURES, 16, 1)
    x, _ = points(seed)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    return train(model, lambda step: mg.log(mg.sigmoid(model(x)) + 0.6 - step * 0.1).mean() ** 2, optimizer)


@fault("not finite")
def root_of_zero(seed):
    model = mlp(FEATURES, 16, 1)
    x, _ = points(seed)
    optimizer = optim.SGD(model.parameters(), lr=0.01)
    return train(model, lambda s: (mg.sqrt(F.relu(model(x)) * (s != 9) + (s < 9)) / (s != 9)).mean(), optimizer)


# -- faults: recurrent ----------------------------------------------------------------------------------------------------


@fault("gradient vanishing through time")
def plain_rnn_over_long_sequences(seed):
    return read(Recurrent(nn.RNN), seed, 40)


@fault("gradient vanishing through time")
def lstm_that_forgets(seed):
    model = Recurrent(nn.LSTM)
    with mg.no_grad():
        model.rnn.bias_ih_l0[16:32] = -3.0
    return read(model, seed, 20)


@fault("gradient exploding through time", "not finite", "growing gradient")
def rnn_of_large_recurrent_weights(seed):
    model = Recurrent(nn.RNN, nonlinearity="relu")
    nn.init.orthogonal_(model.rnn.weight_hh_l0)
    scaled(model.rnn.weight_hh_l0, 2.5)
    return read(model, seed, 30, lr=1e-3)


@fault("saturated")
def saturated_rnn(seed):
    model = Recurrent(nn.RNN)
    scaled(model.rnn.weight_ih_l0, 30)
    return read(model, seed, 6)


@fault("saturated")
def saturated_gru(seed):
    model = Recurrent(nn.GRU)
    scaled(model.rnn.weight_ih_l0, 60)
    return read(model, seed, 6)


@fault("saturated")
def saturated_lstm(seed):
    model = Recurrent(nn.LSTM)
    scaled(model.rnn.weight_ih_l0, 60)
    return read(model, seed, 6)


@fault("gradients not cleared")
def lstm_without_zero_grad(seed):
    return read(Recurrent(nn.LSTM), seed, 6, clear=False)


@fault("updates too large")
def learning_rate_too_high_for_lstm(seed):
    return read(Recurrent(nn.LSTM), seed, 6, lr=0.5)


@fault("unused parameter")
def second_lstm_never_called(seed):
    model = Recurrent(nn.LSTM)
    model.second = nn.LSTM(16, 16)
    return read(model, seed, 6)


@fault("initial loss")
def gru_with_output_weights_too_large(seed):
    model = Recurrent(nn.GRU)
    scaled(model.out.weight, 100)
    return read(model, seed, 6)


# -- faults: attention ----------------------------------------------------------------------------------------------------


@fault("collapsed attention")
def queries_and_keys_too_large(seed):
    model = Attentive()
    for layer in model.encoder.layers:
        scaled(layer.self_attn.in_proj_weight[:32], 30)
    return rewrite(model, seed, lr=1e-3)


@fault("initial loss")
def transformer_with_output_weights_too_large(seed):
    model = Attentive()
    scaled(model.out.weight, 100)
    return rewrite(model, seed)


@fault("updates too large")
def learning_rate_too_high_for_a_transformer(seed):
    return rewrite(Attentive(), seed, lr=0.5)


@fault("unused parameter")
def second_embedding_never_used(seed):
    model = Attentive()
    model.target_embedding = nn.Embedding(VOCABULARY, 16)
    return rewrite(model, seed)


@fault("parameter outside the optimizer")
def embedding_outside_the_optimizer(seed):
    model = Attentive()
    parameters = [p for name, p in model.named_parameters() if "embedding" not in name]
    return rewrite(model, seed, optimizer=optim.Adam(parameters, lr=3e-3))


@fault("dead units")
def dead_feed_forward_block(seed):
    model = Attentive()
    nn.init.constant_(model.encoder.layers[1].linear1.bias, -12)
    return rewrite(model, seed)


@fault("gradients not cleared")
def transformer_without_zero_grad(seed):
    return rewrite(Attentive(), seed, lr=1e-3, clear=False)


@fault("not finite")
def infinite_weight_in_a_transformer(seed):
    model = Attentive()

    def after(step):
        if step == 10:
            with mg.no_grad():
                model.encoder.layers[0].linear1.weight[0, 0] = float("inf")

    return rewrite(model, seed, after=after)


@fault("updates too small")
def transformer_with_a_tiny_learning_rate(seed):
    return rewrite(Attentive(), seed, lr=1e-10)


# -- controls -------------------------------------------------------------------------------------------------------------


@control
def relu_network(seed):
    return classify(mlp(FEATURES, 32, 32, CLASSES), seed)


@control
def tanh_network_by_sgd(seed):
    model = mlp(FEATURES, 32, 32, CLASSES, activation=nn.Tanh)
    return classify(model, seed, optim.SGD(model.parameters(), lr=0.1))


@control
def momentum(seed):
    model = mlp(FEATURES, 32, CLASSES)
    return classify(model, seed, optim.SGD(model.parameters(), lr=0.03, momentum=0.9))


@control
def shallow_sigmoid_network(seed):
    return classify(mlp(FEATURES, 32, 32, CLASSES, activation=nn.Sigmoid), seed)


@control
def gelu_network_with_weight_decay(seed):
    model = mlp(FEATURES, 32, 32, CLASSES, activation=nn.GELU)
    return classify(model, seed, optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.1))


@control
def trained_to_convergence(seed):
    return classify(mlp(FEATURES, 32, CLASSES), seed, lr=1e-2, steps=300, every=20)


@control
def converged_by_sgd(seed):
    model = mlp(FEATURES, 32, 32, CLASSES, activation=nn.Tanh)
    return classify(model, seed, optim.SGD(model.parameters(), lr=0.3), steps=400, every=20)


@control
def small_learning_rate(seed):
    return classify(mlp(FEATURES, 32, CLASSES), seed, lr=1e-5)


@control
def learning_rate_that_ends_at_zero(seed):
    model = mlp(FEATURES, 32, CLASSES)
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    schedule = optim.lr_scheduler.LambdaLR(optimizer, lambda step: max(0.0, 1 - step / 60))
    x, y = points(seed)

    def loss_of(step):
        if step:
            schedule.step()
        return F.cross_entropy(model(x), y)

    return train(model, loss_of, optimizer, steps=80)


@control
def deep_relu_network_of_he_weights(seed):
    return classify(mlp(FEATURES, *[32] * 8, CLASSES, he=True), seed, lr=1e-3)


class Residual(nn.Module):
    def __init__(self, blocks):
        super().__init__()
        self.first, self.out = nn.Linear(FEATURES, 24), nn.Linear(24, CLASSES)
        self.norms = nn.ModuleList([nn.LayerNorm(24) for _ in range(blocks)])
        self.blocks = nn.ModuleList([nn.Linear(24, 24) for _ in range(blocks)])

    def forward(self, x):
        x = self.first(x)
        for norm, block in zip(self.norms, self.blocks):
            x = x + F.relu(block(norm(x)))
        return self.out(x)


@control
def residual_network_of_twelve_blocks(seed):
    return classify(Residual(12), seed, lr=1e-3)


@control
def dropout_network(seed):
    layers = [nn.Linear(FEATURES, 32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, 32), nn.ReLU(), nn.Dropout(0.3)]
    return classify(nn.Sequential(*layers, nn.Linear(32, CLASSES)), seed)


@control
def frozen_first_layer(seed):
    model = mlp(FEATURES, 32, 32, CLASSES)
    model[0].requires_grad_(False)
    return classify(model, seed, optim.Adam([p for p in model.parameters() if p.requires_grad], lr=3e-3))


@control
def gradients_accumulated_rightly(seed):
    model = mlp(FEATURES, 32, CLASSES)
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    x, y = points(seed)

    def loss_of(step):
        for part in range(3):
            (F.cross_entropy(model(x[part::4]), y[part::4]) / 4).backward()
        return F.cross_entropy(model(x[3::4]), y[3::4]) / 4

    return train(model, loss_of, optimizer)


@control
def clipped_gradients(seed):
    model = mlp(FEATURES, 32, CLASSES)
    after = lambda step: nn.utils.clip_grad_norm_(model.parameters(), 0.1)
    return classify(model, seed, optim.SGD(model.parameters(), lr=0.1), after=after)


@control
def regression(seed):
    model = mlp(FEATURES, 32, 1, activation=nn.Tanh)
    x, _ = points(seed)
    y = np.sin(x.sum(1, keepdims=True)).astype("float32")
    return train(model, lambda s: F.mse_loss(model(x), y), optim.Adam(model.parameters(), lr=3e-3), steps=60)


@control
def certain_yes_or_no(seed):
    model = nn.Sequential(nn.Linear(FEATURES, 32), nn.Tanh(), nn.Linear(32, 1), nn.Sigmoid())
    x, _ = points(seed)
    y = (x[:, :1] > 0).astype("float32")
    return train(model, lambda s: F.binary_cross_entropy(model(x), y), optim.Adam(model.parameters(), lr=1e-2), 200, 10)


@control
def output_layer_that_begins_at_zero(seed):
    model = mlp(FEATURES, 32, 32, CLASSES)
    nn.init.zeros_(model[4].weight)
    return classify(model, seed)


@control
def monitor_without_an_optimizer(seed):
    return classify(mlp(FEATURES, 32, CLASSES), seed, watched=False)


@control
def rmsprop(seed):
    model = mlp(FEATURES, 32, CLASSES)
    return classify(model, seed, optim.RMSprop(model.parameters(), lr=1e-3))


class Words(nn.Module):
    def __init__(self, words):
        super().__init__()
        self.embedding, self.out = nn.Embedding(words, 16), nn.Linear(16, CLASSES)

    def forward(self, x):
        return self.out(self.embedding(x).mean(1))


@control
def embedding_of_rare_words(seed):
    model = Words(1000)
    x, y = sequences(seed, 6)  # 20 of the 1000 rows
    return train(model, lambda s: F.cross_entropy(model(x), y), optim.Adam(model.parameters(), lr=3e-3))


@control
def short_rnn(seed):
    return read(Recurrent(nn.RNN), seed, 5)


@control
def lstm_with_a_loss_at_every_step(seed):
    return read(Recurrent(nn.LSTM, every_step=True), seed, 20)


@control
def lstm_that_remembers(seed):
    model = Recurrent(nn.LSTM)
    with mg.no_grad():
        model.rnn.bias_ih_l0[16:32] = 2.0
    return read(model, seed, 25)


@control
def gru(seed):
    return read(Recurrent(nn.GRU), seed, 8)


@control
def stacked_lstm(seed):
    return read(Recurrent(nn.LSTM, layers=2), seed, 8)


@control
def bidirectional_lstm_of_different_lengths(seed):
    lengths = np.random.default_rng(seed).integers(3, 9, 24)
    return read(Recurrent(nn.LSTM, bidirectional=True), seed, 8, lengths=lengths)


@control
def lstm_trained_on(seed):
    return read(Recurrent(nn.LSTM), seed, 6, lr=1e-2, steps=200, every=10)


@control
def pre_norm_transformer(seed):
    return rewrite(Attentive(3), seed)


@control
def post_norm_transformer(seed):
    return rewrite(Attentive(2, norm_first=False), seed, lr=1e-3)


@control
def transformer_trained_on(seed):
    return rewrite(Attentive(2), seed, lr=5e-3, steps=120, every=8)


@control
def transformer_of_tied_weights(seed):
    return rewrite(Attentive(2, tied=True), seed, reverse=False, smoothing=0.1)


@control
def transformer_with_dropout_and_gelu(seed):
    return rewrite(Attentive(2, dropout=0.1, activation="gelu"), seed)


# -- measuring ------------------------------------------------------------------------------------------------------------


def findings(name: str, seed: int) -> list[str]:
    """What the doctor finds in one run."""
    run = FAULTS[name][0] if name in FAULTS else CONTROLS[name]
    mg.manual_seed(seed)
    with np.errstate(all="ignore"):
        return [finding.ailment for finding in viz.doctor(run(seed))]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print how often each fault was found, and how often a control was called ill."""
    parser = argparse.ArgumentParser(prog="python -m tests.viz.zoo", description="Measure the doctor's hits and false alarms.")
    parser.add_argument("--seeds", type=int, nargs=2, default=(1000, 1020), metavar=("FROM", "TO"), help="TO is left out")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these runs alone")
    given = parser.parse_args(arguments)
    seeds = range(*given.seeds)
    started = time.perf_counter()
    totals = Counter()
    for title, names in (("fault", FAULTS), ("control", CONTROLS)):
        print(f"| {title} | {'found' if names is FAULTS else 'false alarms'} | what else was reported |\n|---|---|---|")
        for name in names:
            if given.only and name not in given.only:
                continue
            reports = [findings(name, seed) for seed in seeds]
            right = FAULTS[name][1] if name in FAULTS else ()
            good = sum(bool(set(right) & set(r)) if right else bool(r) for r in reports)
            others = Counter(ailment for r in reports for ailment in set(r) if ailment not in right)
            totals[title] += good
            totals[title, "of"] += len(reports)
            rest = ", ".join(f"{a} {n}" for a, n in others.most_common())
            asked = f" ({' or '.join(right)})" if right else ""
            print(f"| {name.replace('_', ' ')}{asked} | {good} of {len(reports)} | {rest} |", flush=True)
        print()
    for title, what in (("fault", "hits"), ("control", "false alarms")):
        count = totals[title, "of"]
        if count:
            print(f"{what}: {totals[title]} of {count} runs, {100 * totals[title] / count:.1f} %")
    print(f"seeds {seeds.start} to {seeds.stop - 1}, {time.perf_counter() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
