"""Sample arguments for every fused primitive: whoever adds one puts it here, and its tests are written."""

import numpy as np

TARGETS = np.array([2, 0, -100, 4, 3])
IDS = np.array([[3, 1, 3], [0, 6, 3]])
KEYS = np.array([[[[True, True, False]]], [[[True, True, True]]]])  # (batch, 1, 1, keys): padding
BLOCKED = np.array([[True, False, True], [False, False, False], [True, True, True], [False, True, True]])  # row 1 sees nothing


def _attention(normal, mask=None, causal=False, p=0.0, lead=(2, 2)):
    query = normal(*lead, 4, 3)
    return query, normal(*lead, 3, 3), normal(*lead, 3, 2), mask, causal, 0.6, p, 7


ALIKE, PACKED = np.array([2, 2, 2]), np.array([3, 2, 1])  # how many sequences have each step: all, or those of that length


def _recurrent(normal, gates, sizes, reverse=False, bias=True, options=(), states=1):
    batch, features, hidden = sizes[0], 2, 2
    weights = normal(gates * hidden, features), normal(gates * hidden, hidden)
    biases = (normal(gates * hidden), normal(gates * hidden)) if bias else (None, None)
    before = (normal(batch, hidden) for _ in range(states))
    return normal(sizes.sum(), features), *before, *weights, *biases, *options, sizes, reverse, None


SAMPLES = {
    "softmax": [
        lambda normal: (normal(3, 5), 1),
        lambda normal: (normal(3, 4, 2), 1),
        lambda normal: (normal(2, 4, 3, 3), 1),
        lambda normal: (normal(4), 0),
    ],
    "log_softmax": [
        lambda normal: (normal(3, 5), 1),
        lambda normal: (normal(3, 4, 2), 0),
        lambda normal: (normal(3, 4, 9), 1),
    ],
    "relu": [
        lambda normal: (normal(4, 5),),
        lambda normal: (normal(65, 64),),
    ],
    "leaky_relu": [lambda normal: (normal(4, 5), 0.1)],
    "elu": [lambda normal: (3 * normal(4, 5), 1.5)],
    "softplus": [
        lambda normal: (3 * normal(4, 5), 1.0, 20.0),
        lambda normal: (3 * normal(4, 5), 2.0, 1.0),
    ],
    "logsigmoid": [lambda normal: (3 * normal(4, 5),)],
    "silu": [lambda normal: (3 * normal(4, 5),)],
    "gelu": [
        lambda normal: (3 * normal(4, 5), False),
        lambda normal: (3 * normal(4, 5), True),
    ],
    "linear": [
        lambda normal: (normal(2, 4, 3), normal(5, 3), normal(5)),
        lambda normal: (normal(4, 3), normal(5, 3), None),
        lambda normal: (normal(3), normal(2, 3), normal(2)),
        lambda normal: (normal(0, 3), normal(2, 3), normal(2)),
    ],
    "layer_norm": [
        lambda normal: (normal(4, 6), normal(6), normal(6), (6,), 1e-5),
        lambda normal: (normal(3, 2, 4), normal(2, 4), None, (2, 4), 1e-3),
        lambda normal: (normal(2, 3, 4), None, None, (4,), 1e-5),
    ],
    "rms_norm": [
        lambda normal: (normal(4, 6), normal(6), (6,), 1e-5),
        lambda normal: (normal(3, 2, 4), None, (2, 4), 1e-3),
    ],
    "dropout": [
        lambda normal: (normal(5, 7), 0.4, 11),
        lambda normal: (normal(2, 3, 4), 1.0, 11),
    ],
    "relu_dropout": [
        lambda normal: (normal(5, 7), 0.4, 11),
        lambda normal: (normal(2, 3, 4), 1.0, 11),
    ],
    "add_dropout": [
        lambda normal: (normal(5, 7), normal(5, 7), 0.4, 11),
        lambda normal: (normal(2, 3, 4), normal(2, 3, 4), 1.0, 11),
    ],
    "embedding": [
        lambda normal: (normal(7, 4), IDS, None),
        lambda normal: (normal(7, 4), IDS, 3),
        lambda normal: (normal(7, 4), np.array(2), 3),
    ],
    "cross_entropy": [
        lambda normal: (normal(5, 6), TARGETS, None, -100, 0.0, "mean"),
        lambda normal: (normal(5, 6), np.maximum(TARGETS, 0), np.abs(normal(6)), 0, 0.2, "mean"),
        lambda normal: (normal(5, 6), TARGETS, None, -100, 0.1, "sum"),
        lambda normal: (normal(5, 6), TARGETS, np.abs(normal(6)), -100, 1.0, "none"),
        lambda normal: (normal(2, 6), np.array([-100, -100]), None, -100, 0.1, "mean"),
    ],
    "nll_loss": [
        lambda normal: (normal(5, 6), TARGETS, None, -100, "mean"),
        lambda normal: (normal(5, 6), np.maximum(TARGETS, 0), np.abs(normal(6)), 0, "mean"),
        lambda normal: (normal(5, 6), TARGETS, np.abs(normal(6)), -100, "none"),
        lambda normal: (normal(2, 6), np.array([-100, -100]), None, -100, "sum"),
    ],
    "binary_cross_entropy_with_logits": [lambda normal: (3 * normal(5, 6), np.abs(np.tanh(normal(5, 6))))],
    "mse_loss": [
        lambda normal: (normal(5, 6), normal(5, 6), "mean"),
        lambda normal: (normal(40, 30), normal(40, 30), "sum"),
    ],
    "linear_cross_entropy": [
        lambda normal: (normal(5, 3), normal(6, 3), None, TARGETS, None, -100, 0.0, "mean", (True, True, False)),
        lambda normal: (normal(5, 3), normal(6, 3), normal(6), TARGETS, np.abs(normal(6)), -100, 0.2, "mean", (True,) * 3),
        lambda normal: (normal(5, 3), normal(6, 3), normal(6), np.maximum(TARGETS, 0), None, 9, 0.1, "sum", (True,) * 3),
        lambda normal: (normal(5, 3), normal(6, 3), normal(6), TARGETS, None, -100, 0.1, "mean", (False,) * 3),
        lambda normal: (normal(5, 3), normal(6, 3), normal(6), TARGETS, np.abs(normal(6)), -100, 1.0, "none", (False,) * 3),
        lambda normal: (normal(2, 3), normal(6, 3), None, np.array([-100, -100]), None, -100, 0.1, "mean", (True, True, False)),
    ],
    "masked_softmax": [
        lambda normal: (normal(2, 2, 4, 3), KEYS, False, 0.5),
        lambda normal: (normal(2, 4, 3), BLOCKED, False, 1.0),
        lambda normal: (normal(4, 3), None, True, 2.0),
        lambda normal: (normal(2, 4, 3), normal(4, 3), True, 2.0),
    ],
    "attention": [
        _attention,
        lambda normal: _attention(normal, KEYS),
        lambda normal: _attention(normal, BLOCKED, p=0.3),
        lambda normal: _attention(normal, normal(4, 3), causal=True, lead=(2,)),
        lambda normal: _attention(normal, None, causal=True, lead=()),
    ],
    "attention_of_heads": [
        lambda normal: (normal(2, 3, 18), None, 2, True, KEYS, True, 0.6, 0.0, 7),
        lambda normal: (normal(3, 2, 18), None, 3, False, None, False, 0.6, 0.3, 7),
        lambda normal: (normal(2, 4, 6), normal(2, 3, 12), 2, True, BLOCKED, False, 0.6, 0.0, 7),
        lambda normal: (normal(4, 1, 6), normal(3, 1, 12), 1, False, normal(4, 3), True, 0.6, 0.0, 7),
    ],
    "lstm": [
        lambda normal: _recurrent(normal, 4, ALIKE, states=2),
        lambda normal: _recurrent(normal, 4, PACKED, reverse=True, states=2),
        lambda normal: _recurrent(normal, 4, np.array([2]), bias=False, states=2),
    ],
    "gru": [
        lambda normal: _recurrent(normal, 3, PACKED),
        lambda normal: _recurrent(normal, 3, ALIKE, reverse=True, bias=False),
        lambda normal: _recurrent(normal, 3, np.array([2])),
    ],
    "rnn": [
        lambda normal: _recurrent(normal, 1, PACKED, options=("tanh",)),
        lambda normal: _recurrent(normal, 1, ALIKE, reverse=True, options=("relu",)),
        lambda normal: _recurrent(normal, 1, np.array([2]), bias=False, options=("relu",)),
    ],
}
