"""The Transformer and its command line, run for real on small models."""

import io
import json
import math
import os
import signal
import sys

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.data import BOS, EOS, PAD, Batch, Tokenizer
from minigrad.errors import AnomalyError
from minigrad.training import checkpoint
from minigrad.training.rundir import RunDirectory
from models.transformer import JOB, Transformer, build

SMALL = (
    "--encoder-layers 1 --decoder-layers 1 --dim 16 --ffn 16 --heads 2 --warmup 4 --max-tokens 128 --train-size 60 --valid-size 6 "
    "--test-size 6 --validate-every 4 --threads 1 --lr 0.01"
).split()


def train(out, *more):
    return JOB.main(["train", "--data", "copy", "--out", str(out), *SMALL, *more])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of eight steps."""
    path = tmp_path_factory.mktemp("runs") / "copy"
    assert train(path, "--steps", "8", "--keep", "3") == 0
    return path


def tiny(vocabulary=12, **options):
    return Transformer(vocabulary, dim=16, ffn=16, heads=2, encoder_layers=1, decoder_layers=2, dropout=0.0, **options)


def batch_of(source, target):
    target = np.asarray(target)
    start = np.full((len(target), 1), BOS)
    end = np.full((len(target), 1), EOS)
    return Batch(np.arange(len(target)), np.asarray(source), np.hstack([start, target]), np.hstack([target, end]))


# -- the model ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_a_position_does_not_see_the_future(norm):
    mg.manual_seed(0)
    model = tiny(norm=norm).eval()
    random = np.random.default_rng(0)
    source = random.integers(4, 12, (2, 5))
    written = random.integers(4, 12, (2, 6))
    before = model(source, written).numpy()
    written[:, 4:] = random.integers(4, 12, (2, 2))
    after = model(source, written).numpy()
    assert np.array_equal(before[:, :4], after[:, :4])
    assert not np.array_equal(before[:, 4:], after[:, 4:])


def test_what_lies_only_in_the_future_stays_at_chance():
    """Targets are random and the source says nothing: a decoder that saw the next token would bring the loss to 0."""
    mg.manual_seed(0)
    model = tiny(vocabulary=8)
    adam = mg.optim.Adam(model.parameters(), lr=0.01)
    random = np.random.default_rng(0)

    def fresh():
        return batch_of(np.full((32, 2), 4), random.integers(4, 8, (32, 6)))

    for _ in range(150):
        loss, count = model.loss(fresh())
        adam.zero_grad()
        (loss * (1 / count)).backward()
        adam.step()
    with mg.no_grad():
        loss, count = model.loss(fresh())
    chance = 6 * math.log(4) / 7  # six random words out of four, and an <eos> whose place is certain
    assert loss.item() / count == pytest.approx(chance, abs=0.08)


def test_padding_changes_nothing():
    mg.manual_seed(0)
    model = tiny().eval()
    source = np.array([[4, 5, 6, EOS]])
    padded = np.array([[4, 5, 6, EOS, PAD, PAD, PAD]])
    written = np.array([[BOS, 7, 8]])
    assert np.allclose(model(source, written).numpy(), model(padded, written).numpy(), atol=1e-6)


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("positions", ["sinusoidal", "learned"])
def test_cached_decoding_gives_what_full_decoding_gives(norm, positions):
    mg.manual_seed(0)
    model = tiny(norm=norm, positions=positions).eval()
    source = np.array([[4, 5, 6, EOS], [7, EOS, PAD, PAD]])
    written = np.array([[BOS, 5, 9, 4, 8], [BOS, 6, 6, 7, 10]])
    with mg.no_grad():
        full = model(source, written).numpy()
        state = model.begin(source)
        for t in range(written.shape[1]):
            assert np.allclose(model.advance(state, written[:, t]), full[:, t], atol=1e-5)


def test_selected_rows_of_a_state_go_on_by_themselves():
    mg.manual_seed(0)
    model = tiny().eval()
    source = np.array([[4, 5, 6, EOS], [7, EOS, PAD, PAD]])
    with mg.no_grad():
        state = model.begin(source)
        model.advance(state, np.array([BOS, BOS]))
        state.select(np.array([1, 1, 0]))
        scores = model.advance(state, np.array([5, 6, 5]))
        full = model(source[[1, 1, 0]], np.array([[BOS, 5], [BOS, 6], [BOS, 5]])).numpy()
    assert np.allclose(scores, full[:, 1], atol=1e-5)


def test_attention_weights_are_there_for_every_layer_and_head():
    model = tiny().eval()
    weights = model.attention(np.array([[4, 5, 6, EOS, PAD]]), np.array([[BOS, 7, 8]]))
    assert weights.shape == (2, 1, 2, 3, 5)  # layers, batch, heads, target, source
    assert np.allclose(weights.sum(-1), 1, atol=1e-5)
    assert (weights[..., 4] == 0).all()


def test_tied_matrices_are_one_parameter():
    def parameters(tie):
        return sum(p.numel() for p in tiny(tie=tie).parameters())

    assert parameters("decoder") - parameters("all") == 12 * 16
    assert parameters("none") - parameters("decoder") == 12 * 16


def test_the_loss_is_that_of_torch_on_the_same_scores():
    torch = pytest.importorskip("torch")
    mg.manual_seed(0)
    model = tiny().eval()
    batch = batch_of([[4, 5, EOS], [6, EOS, PAD]], [[7, 8], [9, 10]])
    batch.target[1, 2] = PAD
    scores = torch.tensor(model(batch.source, batch.target_input).numpy())
    for smoothing in (0.0, 0.1):
        loss, count = model.loss(batch, label_smoothing=smoothing)
        expected = torch.nn.functional.cross_entropy(
            scores.reshape(-1, 12), torch.tensor(batch.target).reshape(-1), ignore_index=PAD, reduction="sum", label_smoothing=smoothing
        )
        assert count == 5
        assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


# -- training from the command line -------------------------------------------------------------------------------------


def test_a_run_leaves_everything_behind(trained):
    for name in ("config.json", "vocabulary.json", "log.txt", "metrics.jsonl", "loss.svg", "samples/step-00000008.txt"):
        assert (trained / name).stat().st_size > 0
    for name in ("best", "last", "step-00000004", "step-00000008"):
        arrays, _ = checkpoint.load(trained / "checkpoints" / f"{name}.safetensors")
        assert any(key.startswith("model.") for key in arrays)
    lines = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert {"loss", "lr", "grad_norm"} <= lines[0].keys()
    assert {"valid_loss", "perplexity", "bleu", "exact_match"} <= lines[-1].keys()


def test_a_resumed_run_ends_with_the_same_bits(tmp_path):
    assert train(tmp_path / "whole", "--steps", "8", "--dropout", "0.1") == 0
    assert train(tmp_path / "parts", "--steps", "8", "--dropout", "0.1", "--schedule", "constant") == 0
    assert train(tmp_path / "one", "--steps", "5", "--dropout", "0.1", "--schedule", "constant") == 0
    assert JOB.main(["train", "--resume", str(tmp_path / "one"), "--steps", "8"]) == 0
    expected, _ = checkpoint.load(tmp_path / "parts" / "checkpoints" / "last.safetensors")
    resumed, _ = checkpoint.load(tmp_path / "one" / "checkpoints" / "last.safetensors")
    assert expected.keys() == resumed.keys()
    assert all(np.array_equal(expected[name], resumed[name]) for name in expected)


def test_the_same_seed_gives_the_same_bits(tmp_path, trained):
    assert train(tmp_path / "again", "--steps", "8") == 0
    assert train(tmp_path / "other", "--steps", "8", "--seed", "2") == 0
    first, again, other = (
        checkpoint.load(path / "checkpoints" / "last.safetensors")[0] for path in (trained, tmp_path / "again", tmp_path / "other")
    )
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert any(not np.array_equal(first[name], other[name]) for name in first)


def test_accumulated_batches_make_one_update(tmp_path):
    assert train(tmp_path / "run", "--steps", "3", "--accumulate", "2") == 0
    _, state = checkpoint.load(tmp_path / "run" / "checkpoints" / "last.safetensors")
    assert state["progress"]["step"] == 3
    assert state["progress"]["batch"] + state["progress"]["epoch"] * 100 >= 6 or state["progress"]["epoch"]


def test_ctrl_c_saves_and_validates(tmp_path, monkeypatch, capsys):
    from minigrad.training.loop import Trainer

    update = Trainer.update

    def interrupted(self, batches):
        result = update(self, batches)
        if self.step == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return result

    monkeypatch.setattr(Trainer, "update", interrupted)
    assert train(tmp_path / "run", "--steps", "100") == 0
    _, state = checkpoint.load(tmp_path / "run" / "checkpoints" / "last.safetensors")
    assert state["progress"]["step"] == 3
    assert "interrupted" in capsys.readouterr().err
    assert RunDirectory.open(tmp_path / "run").metrics()[-1]["valid_loss"] > 0


def test_nan_stops_training_names_the_operation_and_keeps_the_checkpoint(tmp_path, monkeypatch, capsys):
    from minigrad.training.loop import Trainer

    update = Trainer.update

    def poisoned(self, batches):
        if self.step == 5:
            with mg.no_grad():
                self.model.source_embedding.weight[4:] = np.inf
        return update(self, batches)

    monkeypatch.setattr(Trainer, "update", poisoned)
    assert train(tmp_path / "run", "--steps", "100") == 1
    message = capsys.readouterr().err
    assert "step 6" in message and "first here" in message
    arrays, state = checkpoint.load(tmp_path / "run" / "checkpoints" / "last.safetensors")
    assert state["progress"]["step"] == 4
    assert all(np.isfinite(a).all() for a in arrays.values() if a.dtype.kind == "f")


def test_blame_names_the_operation():
    mg.manual_seed(0)
    model = tiny()
    with mg.no_grad():
        model.encoder.layers[0].linear1.weight[...] = 1e38
    with pytest.raises(AnomalyError, match="linear"), mg.detect_anomaly():
        model.loss(batch_of([[4, 5, EOS]], [[7, 8]]))


# -- translate and test -------------------------------------------------------------------------------------------------


def test_translate_gives_a_line_for_a_line(trained, monkeypatch, capsys):
    words = Tokenizer.from_json(RunDirectory.open(trained).vocabulary()).vocabulary.words[:3]
    monkeypatch.setattr(sys, "stdin", io.StringIO(" ".join(words) + "\n\nunheard of\n"))
    assert JOB.main(["translate", "--run", str(trained), "--beam", "2", "--threads", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and lines[1] == ""


def test_n_best_lists(trained, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO("a b\n"))
    assert JOB.main(["translate", "--run", str(trained), "--beam", "3", "--n-best", "3", "--scores"]) == 0
    scores = [float(line.split("\t")[0]) for line in capsys.readouterr().out.splitlines()]
    assert len(scores) == 3 and scores == sorted(scores, reverse=True)


def test_test_prints_every_figure(trained, tmp_path, capsys):
    assert JOB.main(["test", "--run", str(trained), "--beam", "2", "--output", str(tmp_path / "out.txt")]) == 0
    out = capsys.readouterr().out
    for word in ("BLEU", "chrF", "exact match", "loss", "perplexity", "version:"):
        assert word in out
    assert len((tmp_path / "out.txt").read_text().splitlines()) == 6


def test_checkpoints_can_be_averaged(trained, capsys):
    assert JOB.main(["test", "--run", str(trained), "--beam", "1", "--average", "2"]) == 0
    averaged, _ = checkpoint.load(trained / "checkpoints" / "averaged.safetensors")
    parts = [checkpoint.load(trained / "checkpoints" / f"step-0000000{n}.safetensors")[0] for n in (4, 8)]
    for name, value in averaged.items():
        assert np.allclose(value, (parts[0][name].astype(np.float64) + parts[1][name]) / 2, atol=1e-7)


def test_files_of_ones_own(tmp_path, capsys):
    lines = [f"a{i % 7} b{i % 5} c{i % 3}" for i in range(60)]
    (tmp_path / "x.src").write_text("\n".join(lines) + "\n")
    (tmp_path / "x.tgt").write_text("\n".join(line.upper() for line in lines) + "\n")
    files = [str(tmp_path / "x.src"), str(tmp_path / "x.tgt")]
    status = JOB.main(["train", "--train", *files, "--tokens", "words", "--out", str(tmp_path / "run"), *SMALL, "--steps", "4", "--average", "1"])
    assert status == 0
    assert JOB.main(["test", "--run", str(tmp_path / "run"), "--test", *files, "--beam", "1"]) == 0
    assert "60 sentences" in capsys.readouterr().out


# -- bad input ----------------------------------------------------------------------------------------------------------


def one_sentence(capsys):
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ") and "Traceback" not in error
    return error


def test_a_used_directory_is_refused(trained, capsys):
    before = (trained / "config.json").read_bytes()
    assert train(trained, "--steps", "2") == 1
    assert "--resume" in one_sentence(capsys)
    assert (trained / "config.json").read_bytes() == before


@pytest.mark.parametrize(
    "content, said",
    [(None, "not"), (b"", "empty"), (b"\x00\x01\x02" * 50, "binary"), ("käse\n".encode("latin-1") * 9, "UTF-8")],
    ids=["missing", "empty", "binary", "latin-1"],
)
def test_unusable_files(tmp_path, capsys, content, said):
    (tmp_path / "good").write_text("a b c\n" * 9)
    if content is not None:
        (tmp_path / "bad").write_bytes(content)
    assert JOB.main(["train", "--train", str(tmp_path / "bad"), str(tmp_path / "good"), "--out", str(tmp_path / "run"), *SMALL]) == 1
    error = one_sentence(capsys)
    assert "bad" in error and said in error
    assert not (tmp_path / "run").exists()


def test_sides_of_different_length(tmp_path, capsys):
    (tmp_path / "a").write_text("x\n" * 5)
    (tmp_path / "b").write_text("x\n" * 7)
    assert JOB.main(["train", "--train", str(tmp_path / "a"), str(tmp_path / "b"), "--out", str(tmp_path / "run")]) == 1
    error = one_sentence(capsys)
    assert "5" in error and "7" in error and "6" in error


def test_a_very_long_line_is_skipped_and_counted(tmp_path, capsys):
    lines = [f"a{i} b c d" for i in range(30)] + ["a " * 100_000]
    (tmp_path / "x").write_text("\n".join(lines) + "\n")
    files = [str(tmp_path / "x")] * 2
    assert JOB.main(["train", "--train", *files, "--tokens", "words", "--out", str(tmp_path / "run"), *SMALL, "--steps", "2", "--average", "1"]) == 0
    assert "1 too long" in capsys.readouterr().out


def test_a_vocabulary_of_one_word(tmp_path, capsys):
    (tmp_path / "x").write_text("".join("a " * n + "a\n" for n in range(30)))
    status = JOB.main(["train", "--train", str(tmp_path / "x"), str(tmp_path / "x"), "--tokens", "words", "--out", str(tmp_path / "run"), *SMALL])
    assert status == 1
    assert "vocabulary" in one_sentence(capsys)


@pytest.mark.parametrize(
    "arguments",
    [["--no-such-option"], ["--preset", "enormous"], ["--steps", "0"], ["--steps", "many"], ["--data", "weather"]],
)
def test_unknown_options_exit_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        JOB.main(["train", *arguments])
    assert stopped.value.code == 2
    assert "error: argument" in (error := capsys.readouterr().err) or "unrecognized" in error


def test_an_unknown_column(tmp_path, capsys):
    (tmp_path / "x.tsv").write_text("a\tb\n" * 9)
    assert JOB.main(["train", "--train", str(tmp_path / "x.tsv"), "--columns", "0", "5", "--out", str(tmp_path / "run")]) == 1
    assert "column" in one_sentence(capsys)


def test_built_in_data_and_files_exclude_each_other(tmp_path, capsys):
    assert JOB.main(["train", "--data", "copy", "--train", "a", "b"]) == 1
    assert "--data" in one_sentence(capsys)


def damaged(trained, tmp_path, damage):
    """A copy of a run with its best checkpoint changed."""
    run = tmp_path / "damaged"
    (run / "checkpoints").mkdir(parents=True)
    for name in ("config.json", "vocabulary.json"):
        (run / name).write_bytes((trained / name).read_bytes())
    (run / "checkpoints" / "best.safetensors").write_bytes(damage((trained / "checkpoints" / "best.safetensors").read_bytes()))
    return run


def test_a_truncated_checkpoint(trained, tmp_path, capsys):
    run = damaged(trained, tmp_path, lambda content: content[: len(content) // 2])
    assert JOB.main(["test", "--run", str(run)]) == 1
    assert "best.safetensors" in one_sentence(capsys)


def test_a_checkpoint_of_another_version(trained, tmp_path, capsys):
    run = damaged(trained, tmp_path, lambda content: content.replace(b"minigrad.checkpoint/1", b"minigrad.checkpoint/9"))
    assert JOB.main(["test", "--run", str(run)]) == 1
    assert "version 9" in one_sentence(capsys)


def test_a_checkpoint_of_another_shape(trained, tmp_path, capsys):
    run = damaged(trained, tmp_path, lambda content: content)
    config = json.loads((run / "config.json").read_text())
    config["options"]["dim"] = 32
    (run / "config.json").write_text(json.dumps(config))
    assert JOB.main(["test", "--run", str(run)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and "does not fit this model" in error and "(" in error


def test_a_missing_run(tmp_path, capsys):
    assert JOB.main(["test", "--run", str(tmp_path / "nowhere")]) == 1
    assert "nowhere" in one_sentence(capsys)


def test_token_ids_out_of_range():
    model = tiny(vocabulary=8)
    with pytest.raises(mg.errors.DimensionError, match="8"):
        model.loss(batch_of([[9, EOS]], [[5]]))


def test_every_preset_builds():
    from models.transformer import PRESETS, RECIPES

    for name in ("mini", "tiny", "small"):
        options = JOB.settle(JOB.parser().parse_args(["train", "--preset", name]))
        assert options["dim"] == PRESETS[name]["dim"]
        assert isinstance(build(options, 50), nn.Module)
    assert {"dates", "reverse", "copy", "text"} == RECIPES.keys()
