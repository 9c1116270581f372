"""The recurrent translator's command line: what a run leaves behind, what is printed, and what can be put in."""

import io
import json
import re
import sys

import numpy as np
import pytest

from minigrad.data import Tokenizer
from minigrad.training import checkpoint
from minigrad.training.rundir import RunDirectory
from minigrad.word2vec.vectors import WordVectors
from models.seq2seq import JOB

SMALL = [
    *("--dim", "8", "--encoder-hidden", "8", "--decoder-hidden", "12", "--warmup", "4", "--lr", "0.01", "--max-tokens", "128"),
    *("--validate-every", "4", "--threads", "1", "--no-pictures"),
]
SIZES = ["--train-size", "60", "--valid-size", "6", "--test-size", "6"]


def train(out, *more, data="copy"):
    return JOB.main(["train", "--data", data, "--out", str(out), *SMALL, *SIZES, *map(str, more)])


def train_on(files, out, *more):
    names = ["--train", *map(str, files), "--tokens", "words", "--out", str(out), "--tokenize", "none"]
    return JOB.main(["train", *names, *SMALL, *map(str, more)])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of eight steps on the default data."""
    path = tmp_path_factory.mktemp("runs") / "phrases"
    assert train(path, "--steps", "8", data="phrases") == 0
    return path


@pytest.fixture(scope="module")
def without_attention(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "plain"
    assert train(path, "--steps", "2", "--attention", "none", "--cell", "lstm") == 0
    return path


@pytest.fixture
def typed(monkeypatch):
    """``typed(text)``: what standard input will hold."""
    return lambda text: monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


def last_arrays(run):
    return checkpoint.load(run / "checkpoints" / "last.safetensors")[0]


def test_a_run_leaves_everything_behind(trained):
    for name in ("config.json", "vocabulary.json", "log.txt", "metrics.jsonl", "loss.svg", "samples/step-00000008.txt"):
        assert (trained / name).stat().st_size > 0
    lines = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert {"valid_loss", "perplexity", "bleu", "exact_match"} <= lines[-1].keys()


@pytest.mark.parametrize("more", [("--dropout", 0.2), ("--scheduled-sampling", 0.5, "--cell", "lstm")])
def test_a_resumed_run_ends_with_the_same_bits(tmp_path, more):
    constant = ("--schedule", "constant", *more)
    assert train(tmp_path / "whole", "--steps", "7", *constant) == 0
    assert train(tmp_path / "parts", "--steps", "5", *constant) == 0
    assert JOB.main(["train", "--resume", str(tmp_path / "parts"), "--steps", "7"]) == 0
    whole, parts = last_arrays(tmp_path / "whole"), last_arrays(tmp_path / "parts")
    assert whole.keys() == parts.keys()
    assert all(np.array_equal(whole[name], parts[name]) for name in whole)


@pytest.mark.parametrize(
    "more",
    [
        ("--cell", "lstm", "--layers", "2", "--attention", "additive", "--tie", "none"),
        ("--input-feeding", "--start", "eos", "--tie", "decoder"),
        ("--no-bidirectional", "--bridge", "copy", "--encoder-hidden", "12", "--attention", "dot"),
        ("--scheduled-sampling", "0.3", "--dropout", "0.1", "--batch-sentences", "5"),
    ],
)
def test_every_kind_of_model_trains_and_translates(tmp_path, typed, capsys, more):
    assert train(tmp_path / "run", "--steps", "2", *more) == 0
    capsys.readouterr()
    typed("a b c\n\nd e\n")
    assert JOB.main(["translate", "--run", str(tmp_path / "run"), "--beam", "2"]) == 0
    lines = capsys.readouterr().out.split("\n")
    assert len(lines) == 4 and lines[1] == ""


def test_lines_that_are_empty_short_and_long(trained, typed, capsys):
    typed("\na\n" + "the dog eats bread " * 40 + "\n")
    assert JOB.main(["translate", "--run", str(trained)]) == 0
    lines = capsys.readouterr().out.split("\n")
    assert len(lines) == 4 and lines[0] == ""


def test_attention_draws_a_picture(trained, tmp_path, capsys):
    out = tmp_path / "look.svg"
    assert JOB.main(["attention", "The dog eats bread.", "--run", str(trained), "--out", str(out)]) == 0
    written, where = capsys.readouterr().out.splitlines()
    assert where == f"the picture is in {out}"
    picture = out.read_text()
    source = re.findall(r'class="source"[^>]*>([^<]*)<', picture)
    assert source == ["The", "dog", "eats", "bread", ".", "&lt;eos&gt;"]
    assert picture.count('class="cell"') == len(source) * picture.count('class="written"')
    assert written and JOB.main(["attention", "a dog", "--run", str(trained)]) == 0
    assert (trained / "attention.svg").exists()


def test_what_needs_attention_says_so(without_attention, typed, one_sentence):
    run = ["--run", str(without_attention)]
    assert JOB.main(["attention", "a b", *run]) == 1
    assert "has no attention" in one_sentence()
    typed("a b\n")
    assert JOB.main(["translate", "--replace-unknown", *run]) == 1
    assert "has no attention" in one_sentence()


def test_a_picture_of_nothing_or_nowhere(trained, tmp_path, one_sentence):
    assert JOB.main(["attention", "", "--run", str(trained)]) == 1
    assert "1 to 4,000 tokens" in one_sentence()
    assert JOB.main(["attention", "a", "--run", str(trained), "--out", str(tmp_path / "no" / "x.svg")]) == 1
    assert "--out" in one_sentence()


def test_unknown_words_are_copied(tmp_path, typed, capsys):
    """Rare words are unknown, and the model learns to write <unk> for them: from the source comes what they are."""
    random = np.random.default_rng(0)
    lines = [f"{random.choice(['see', 'take', 'find'])} rare{i}" for i in range(150)]
    (tmp_path / "x").write_text("\n".join(lines) + "\n")
    options = ["--min-count", 3, "--steps", 60, "--lr", "0.03", "--validate-every", 60, "--schedule", "constant"]
    assert train_on([tmp_path / "x"] * 2, tmp_path / "run", *options) == 0
    capsys.readouterr()
    for more, expected in (([], "take <unk>"), (["--replace-unknown"], "take zebras")):
        typed("take zebras\n")
        assert JOB.main(["translate", "--run", str(tmp_path / "run"), *more]) == 0
        assert capsys.readouterr().out == expected + "\n"


def test_embeddings_begin_with_word_vectors_and_stay_where_frozen(tmp_path, capsys):
    (tmp_path / "x").write_text("the cat sees\nthe dog sees\nthe cat\nthe dog\nsees\n")
    vectors = np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)
    WordVectors(["cat", "dog", "horse"], vectors).save(tmp_path / "v.txt")
    options = ["--steps", 2, "--tie", "none", "--source-vectors", tmp_path / "v.txt"]
    assert train_on([tmp_path / "x"] * 2, tmp_path / "run", "--freeze-embeddings", *options) == 0
    assert "vectors of 2 of 4 tokens" in capsys.readouterr().out
    tokens = Tokenizer.from_json(RunDirectory.open(tmp_path / "run").vocabulary()).vocabulary.tokens
    table = last_arrays(tmp_path / "run")["model.source_embedding.weight"]
    rows = table[[tokens.index("cat"), tokens.index("dog")]]
    scale = rows[0, 0] / vectors[0, 0]
    assert np.allclose(rows, vectors[:2] * scale, atol=1e-6) and scale > 0
    (tmp_path / "v.txt").unlink()  # a trained model no longer needs them
    assert JOB.main(["train", "--resume", str(tmp_path / "run"), "--steps", "3"]) == 0
    assert np.array_equal(last_arrays(tmp_path / "run")["model.source_embedding.weight"], table)


def test_vectors_that_do_not_fit(tmp_path, one_sentence):
    (tmp_path / "x").write_text("the cat sees\nthe dog sees\nthe cat\nthe dog\nsees\n")
    WordVectors(["cat", "dog"], np.ones((2, 5), np.float32)).save(tmp_path / "five.txt")
    WordVectors(["horse"], np.ones((1, 8), np.float32)).save(tmp_path / "horse.txt")
    (tmp_path / "empty").mkdir()
    for name, said in (("five.txt", "--dim 5"), ("horse.txt", "none of them"), ("empty", "vectors.safetensors"), ("no", "no")):
        assert train_on([tmp_path / "x"] * 2, tmp_path / "run", "--source-vectors", tmp_path / name) == 1
        assert said in one_sentence()
        assert not (tmp_path / "run").exists()


def test_a_test_split_is_held_out_by_source(tmp_path, capsys):
    (tmp_path / "x.tsv").write_text("".join(f"word{i % 30} a\tb word{i % 30} {i % 2}\n" for i in range(60)))
    assert train_on([tmp_path / "x.tsv"], tmp_path / "run", "--holdout", 7, "--steps", 1) == 0
    said = capsys.readouterr().out
    assert "training    38 pairs" in said  # 30 sources of two pairs each: 7 for the test, and of the others 4 for validation
    assert "translating the test split, 14 sentences" in said
    assert JOB.main(["test", "--run", str(tmp_path / "run"), "--split", "test"]) == 0
    assert "14 sentences" in capsys.readouterr().out
