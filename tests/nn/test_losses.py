"""The loss modules hand their arguments on as torch's do."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn

rng = np.random.default_rng(9)
LOGITS = rng.standard_normal((6, 4)).astype(np.float32)
CLASSES = np.array([0, 3, 1, 1, -100, 2])
REALS = rng.standard_normal((6, 4)).astype(np.float32)
PROBABILITIES = rng.dirichlet(np.ones(4), 6).astype(np.float32)
WEIGHTS = np.array([1.0, 2.0, 0.5, 3.0], np.float32)
SCALED_DOWN = (LOGITS / 10).astype(np.float32)

CASES = [
    ("CrossEntropyLoss", {}, LOGITS, CLASSES),
    ("CrossEntropyLoss", {"weight": WEIGHTS, "ignore_index": 1, "label_smoothing": 0.1}, LOGITS, np.abs(CLASSES) % 4),
    ("CrossEntropyLoss", {"weight": WEIGHTS}, LOGITS, PROBABILITIES),
    ("NLLLoss", {"weight": WEIGHTS, "ignore_index": 3}, LOGITS, np.abs(CLASSES) % 4),
    ("MSELoss", {}, LOGITS, REALS),
    ("L1Loss", {}, LOGITS, REALS),
    ("HuberLoss", {"delta": 0.7}, LOGITS, REALS),
    ("SmoothL1Loss", {"beta": 0.4}, LOGITS, REALS),
    ("BCELoss", {}, PROBABILITIES, PROBABILITIES[::-1].copy()),
    ("BCELoss", {"weight": WEIGHTS}, PROBABILITIES, PROBABILITIES[::-1].copy()),
    ("BCEWithLogitsLoss", {"weight": WEIGHTS, "pos_weight": WEIGHTS[::-1].copy()}, LOGITS, PROBABILITIES),
    ("KLDivLoss", {}, SCALED_DOWN, PROBABILITIES),
    ("KLDivLoss", {"log_target": True}, SCALED_DOWN, np.log(PROBABILITIES)),
]


@pytest.mark.filterwarnings("ignore:reduction")  # torch's advice about the mean of a divergence
@pytest.mark.parametrize(
    ("name", "options", "input", "target", "reduction"),
    [
        (*case, reduction)
        for case in CASES
        for reduction in ("mean", "sum", "none", *(["batchmean"] if case[0] == "KLDivLoss" else []))
    ],
)
def test_against_torch(name, options, input, target, reduction):
    torch = pytest.importorskip("torch")

    def build(nn, tensor):
        return getattr(nn, name)(
            reduction=reduction, **{k: tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
        )

    ours, theirs = build(nn, mg.tensor), build(torch.nn, torch.tensor)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    x, y = mg.tensor(input, requires_grad=True), torch.tensor(input, requires_grad=True)
    a, b = ours(x, mg.tensor(target)), theirs(y, torch.tensor(target))
    a.sum().backward(), b.sum().backward()
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), rtol=1e-4, atol=1e-6)


def test_weights_follow_the_dtype():
    loss = nn.CrossEntropyLoss(weight=mg.tensor(WEIGHTS)).double()
    assert loss(mg.tensor(LOGITS, dtype=mg.float64), mg.tensor([0] * 6)).dtype == mg.float64


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss, nn.NLLLoss, nn.BCELoss, nn.BCEWithLogitsLoss])
def test_what_follows_the_weight_comes_by_name(loss):
    """PyTorch has size_average there, which would be taken for something else."""
    with pytest.raises(TypeError, match="positional argument"):
        loss(None, None)


@pytest.mark.parametrize("loss", [nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.KLDivLoss])
def test_the_reduction_comes_by_name(loss):
    with pytest.raises(TypeError, match="positional argument"):
        loss("sum")
