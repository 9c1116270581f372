"""The pictures that a run leaves behind, and that nothing about them can harm a run."""

import sys

import numpy as np
import pytest

import minigrad as mg
from minigrad import viz
from minigrad.data import BOS, EOS, TextPairs, WordTokenizer
from minigrad.training import pictures
from minigrad.training.rundir import RunDirectory
from models import seq2seq, transformer

PAIRS = TextPairs(["a b c d e f g h i j k l m n o p q r s t", "d e f", "f g"], ["t s", "f e d", "g f"])


@pytest.fixture
def tokenizer():
    return WordTokenizer.train([*PAIRS.sources, *PAIRS.targets])


@pytest.fixture
def run(tmp_path):
    return RunDirectory.create(tmp_path / "run")


def test_the_sample_is_a_pair_that_fits(tokenizer):
    batch, source, target = pictures.sample(tokenizer, PAIRS)
    assert source == ["d", "e", "f", "<eos>"] and target == ["f", "e", "d", "<eos>"]
    assert batch.source.tolist() == [[*tokenizer.encode("d e f"), EOS]]
    assert batch.target_input.tolist() == [[BOS, *tokenizer.encode("f e d")]]
    assert batch.target.tolist() == [[*tokenizer.encode("f e d"), EOS]]


def small(kind, tokenizer):
    if kind is transformer:
        sizes = {"dim": 8, "ffn": 8, "heads": 2, "encoder_layers": 1, "decoder_layers": 2}
        return transformer.Transformer(len(tokenizer), **sizes).eval()
    return seq2seq.Seq2Seq(len(tokenizer), dim=8, encoder_hidden=4, decoder_hidden=8).eval()


@pytest.mark.parametrize("kind", [transformer, seq2seq], ids=["transformer", "seq2seq"])
def test_a_model_leaves_pictures_of_itself(kind, tokenizer, run, monkeypatch):
    pytest.importorskip("matplotlib", reason="pictures are drawn by matplotlib, the extra viz")
    monkeypatch.setattr(pictures, "SECONDS", 1e9)
    mg.manual_seed(0)
    model = small(kind, tokenizer)
    before = [p.numpy().copy() for p in model.parameters()]
    line = pictures.leave(run, kind.pictures, model, tokenizer, PAIRS, ["t s", "f d d", "g"])
    names = ["errors", "attention", "embedding"]
    if kind is transformer:
        names = ["errors", "attention", "embedding", "self-attention", "positions"]
    assert line == f"pictures of the model in {run.path / 'pictures'}: {', '.join(names)}"
    assert {path.stem for path in (run.path / "pictures").iterdir()} == set(names)
    assert all(np.array_equal(p.numpy(), old) and p.grad is None for p, old in zip(model.parameters(), before, strict=True))


def test_without_matplotlib_a_line_of_advice(tokenizer, run, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    line = pictures.leave(run, None, None, tokenizer, PAIRS, PAIRS.targets)
    assert line == "no pictures of the model: pictures need matplotlib: pip install 'minigrad[viz]'"
    assert not (run.path / "pictures").exists()


class Quick:
    """A picture that takes no time."""

    def save(self, path):
        path.write_text("")


def test_whatever_goes_wrong_ends_the_pictures_alone(tokenizer, run, monkeypatch):
    def makers(model, tokenizer, pairs):
        raise ZeroDivisionError("by accident")
        yield

    monkeypatch.setattr(viz, "errors", lambda *texts, **names: Quick())
    line = pictures.leave(run, makers, None, tokenizer, PAIRS, PAIRS.targets)
    assert line == "no more pictures of the model: ZeroDivisionError: by accident; drawn before: errors"


def test_pictures_take_only_so_long(tokenizer, run, monkeypatch):
    def makers(model, tokenizer, pairs):
        yield "first", Quick()
        raise AssertionError("time was up")

    monkeypatch.setattr(viz, "errors", lambda *texts, **names: Quick())
    monkeypatch.setattr(pictures, "SECONDS", 0.0)
    assert pictures.leave(run, makers, None, tokenizer, PAIRS, PAIRS.targets).endswith(": errors")
