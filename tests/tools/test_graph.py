"""The command that draws graphs: scripts, records, models, and what it says when something is wrong."""

import importlib.util
import json

import pytest

from minigrad import viz
from tools.graph import main

SCRIPT = """
import sys
import minigrad as mg
from neighbour import SCALE
x = mg.tensor([1.0, 2.0], requires_grad=True)
for step in range(int(sys.argv[1])):
    (mg.exp(x) * SCALE).sum().backward()
print("ran", step + 1, __name__)
"""


@pytest.fixture
def script(tmp_path):
    (tmp_path / "neighbour.py").write_text("SCALE = 3.0\n")
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    return path


def test_a_script(script, tmp_path, capsys):
    assert main([str(script), "2", "-o", str(tmp_path / "g.dot"), "--formulas"]) == 0
    said = capsys.readouterr().out
    assert "ran 2 __main__" in said and "g.dot" in said and "backward pass 2 of 2" in said
    source = (tmp_path / "g.dot").read_text()
    assert "eˣ" in source and "script.py" in source and source.startswith("digraph")


def test_a_script_is_ended_after_some_passes(script, tmp_path, capsys):
    assert main([str(script), "1000000", "-o", str(tmp_path / "g.json"), "--passes", "3"]) == 0
    assert "ran" not in capsys.readouterr().out
    assert len(viz.Record.load(tmp_path / "g.json").passes) == 3
    assert main([str(tmp_path / "g.json"), "-o", str(tmp_path / "g.dot"), "--show", "backward"]) == 0
    assert "dir=back" in (tmp_path / "g.dot").read_text()


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("x = 1\nraise KeyError('gone')", "script.py, line 2: KeyError: 'gone'"),
        ("import sys\nsys.exit('no data')", "ended with 'no data'"),
        ("x = 1", "nothing to draw: no operation ran"),
        ("def", "SyntaxError"),
    ],
)
def test_scripts_that_fail(script, tmp_path, capsys, code, message):
    script.write_text(code)
    assert main([str(script), "-o", str(tmp_path / "g.svg")]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ") and message in said and "Traceback" not in said and not (tmp_path / "g.svg").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "one of transformer, seq2seq, language_model, word2vec: got 'nothing'"),
        (["gone.py"], "there is no script gone.py"),
        (["gone.json"], "cannot read the record gone.json"),
        (["word2vec", "-o", "x.gif"], "--output ends in"),
        (["word2vec", "--cell", "gru"], "word2vec takes no further options"),
        (["word2vec", "--focus", "hiden"], "got 'hiden'; there are hidden, output"),
    ],
)
def test_what_is_wrong_is_said(arguments, message, capsys):
    assert main(arguments) == 1
    assert message in capsys.readouterr().err


def test_bad_options(capsys):
    with pytest.raises(SystemExit):
        main(["word2vec", "--depth", "-1"])
    assert "must be 0 or more" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["transformer", "--preset", "huge"])
    assert "invalid choice: 'huge'" in capsys.readouterr().err


SMALL = {
    "transformer": ["--encoder-layers", "3", "--decoder-layers", "1", "--dim", "8", "--ffn", "16", "--heads", "2"],
    "seq2seq": ["--dim", "8", "--encoder-hidden", "4", "--decoder-hidden", "8", "--layers", "1"],
    "language_model": ["--layers", "1", "--size", "8"],
    "word2vec": [],
}


@pytest.mark.parametrize("model", SMALL)
def test_models(model, tmp_path):
    arguments = ["--vocabulary", "20", "--sentences", "2", "--words", "3", *SMALL[model]]
    assert main([model, "-o", str(tmp_path / "g.json"), *arguments]) == 0
    record = viz.Record.load(tmp_path / "g.json")
    assert record.has_backward and all(n["grad"] for n in record.nodes if n["kind"] == "parameter")
    graph = viz.graph(record)
    assert 4 < len(graph.view.boxes) <= 300
    if model == "transformer":
        assert "<B>layers.2</B> <B>× 3</B>" in graph.source


def test_without_graphviz(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None)
    assert main(["word2vec", "-o", str(tmp_path / "g.svg"), "--vocabulary", "9"]) == 1
    said = capsys.readouterr()
    assert said.err.startswith("error: there is no Graphviz here") and "pip install" in said.err and said.err.count("\n") == 1
    assert (tmp_path / "g.dot").read_text().startswith("digraph") and "g.dot" in said.out


def test_the_record_is_strict_json(tmp_path):
    assert main(["word2vec", "-o", str(tmp_path / "g.json"), "--vocabulary", "9"]) == 0
    json.loads((tmp_path / "g.json").read_text(), parse_constant=pytest.fail)
