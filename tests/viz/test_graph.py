"""The graph: what is drawn, folded, closed and left out, and that it says so."""

import json
import re
import sys
import xml.dom.minidom
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import minigrad as mg
from minigrad import nn, viz
from minigrad.errors import GraphError, UsageError
from minigrad.viz import dot, wording
from minigrad.viz.render import NoRenderer, TooSlow


def array(rng, *shape):
    return mg.tensor(rng.standard_normal(shape).astype("f"))


def kinds(graph):
    return sorted(box.kind for box in graph.view.boxes.values())


def ops(graph):
    """The operations and closed modules that are drawn, in order."""
    nodes = graph.record.nodes
    return [
        box.call.module if box.kind == "module" else nodes[box.members[0]]["op"]
        for box in graph.view.boxes.values()
        if box.kind in ("operation", "module")
    ]


def arrow(graph, source, target):
    """The one arrow between operations of these names."""
    nodes = graph.record.nodes
    (found,) = [
        a
        for a in graph.view.arrows.values()
        if nodes[a.source.members[0]]["op"] == source and nodes[a.target.members[0]]["op"] == target
    ]
    return found


class Block(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.first, self.second = nn.Linear(size, size), nn.Linear(size, size)

    def forward(self, x):
        return x + self.second(mg.tanh(self.first(x)))


class Stack(nn.Module):
    def __init__(self, size, depth):
        super().__init__()
        self.layers = nn.ModuleList([Block(size) for _ in range(depth)])
        self.out = nn.Linear(size, 1)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return self.out(x)


@pytest.fixture
def stack(rng):
    """A record of four residual blocks and a layer behind them."""
    model = Stack(3, 4)
    with viz.record(model) as record:
        model(array(rng, 2, 3)).sum().backward()
    return record


# -- structure ----------------------------------------------------------------------------------------------------------


def test_everything_of_a_small_graph(rng):
    model = nn.Linear(3, 2)
    with viz.record(model) as record:
        mg.tanh(model(array(rng, 4, 3))).sum().backward()
    graph = viz.graph(record)
    assert ops(graph) == ["linear", "tanh", "sum"] and len(graph.view.boxes) == len(record.nodes) == 6
    drawn = {(a.source.members[0], a.target.members[0]) for a in graph.view.arrows.values()}
    assert drawn == {(e["source"], e["target"]) for e in record.edges}
    assert "8 parameters in 2 tensors" in graph.notes[0]
    for text in ("4×3", "4×2", "<B>weight</B> 2×3", "<B>bias</B> 2", "linear", "tanh", "sum"):
        assert text in graph.source


def test_arrows_have_the_gain_of_their_use(rng):
    x, a = array(rng, 4).requires_grad_(), array(rng, 4)
    with viz.record() as record:
        mg.exp(x * a).sum().backward()
    graph = viz.graph(record)
    grad = np.exp(x.numpy() * a.numpy())
    np.testing.assert_allclose(arrow(graph, "mul", "exp").gain, np.linalg.norm(grad) / 2, rtol=1e-6)
    np.testing.assert_allclose(arrow(graph, "exp", "sum").gain, 2, rtol=1e-6)
    assert dot.Paint(viz.LIGHT).gain(np.linalg.norm(grad) / 2) in graph.source


def test_repeated_layers_are_drawn_once(stack):
    graph = viz.graph(stack)
    assert ops(graph) == ["linear", "tanh", "linear", "add", "linear", "sum"]
    (layer,) = [a for a in graph.view.arrows.values() if a.carried and a.target.key != a.source.key and len(a.uses) == 3][:1]
    assert layer.carried
    assert "<B>layers.0</B> … <B>layers.3</B> <B>× 4</B>" in graph.source and "drawn once" in graph.notes[2]
    weights = [b for b in graph.view.boxes.values() if b.kind == "parameter" and len(b.members) == 4]
    assert len(weights) == 4 and {b.parameters for b in weights} == {9, 3}
    everything = viz.graph(stack, fold=False)
    assert len(ops(everything)) == 18 and not any(a.carried for a in everything.view.arrows.values())


def test_parallel_parts_are_not_a_repeat(rng):
    q, k, v = (nn.Linear(3, 3) for _ in range(3))
    with viz.record({"q": q, "k": k, "v": v}) as record:
        x = array(rng, 2, 3)
        a, b, c = q(x), k(x), v(x)
        (a * mg.tanh(b) * mg.sin(c)).sum().backward()
    assert ops(viz.graph(record)) == ["linear", "linear", "linear", "tanh", "mul", "sin", "mul", "sum"]


def test_many_parallel_operations_are_one():
    with viz.record() as record:
        x = mg.tensor(np.ones((8, 2), "f"), requires_grad=True)
        sum(mg.stack([x[i] for i in range(8)]).sum(0)).backward()
    graph = viz.graph(record)
    assert ops(graph).count("getitem") <= 3 and ">× 8<" in graph.source


@pytest.fixture
def unrolled(rng):
    """A record of a cell that was called twelve times, with a loss at every step."""
    cell, out = nn.LSTMCell(2, 3), nn.Linear(3, 1)
    xs = array(rng, 12, 4, 2)
    with viz.record({"cell": cell, "out": out}) as record:
        h, c, loss = mg.zeros(4, 3), mg.zeros(4, 3), mg.tensor(0.0)
        for t in range(12):
            h, c = cell(xs[t], (h, c))
            loss = loss + out(h).square().mean()
        loss.backward()
    return record


def test_time_steps_are_rolled_up(unrolled):
    graph = viz.graph(unrolled)
    assert ops(graph) == ["getitem", "lstm", "getitem", "getitem", "linear", "square", "mean", "add"]
    assert "<B>× 12</B>  turns, one shown" in graph.source
    back = [a for a in graph.view.arrows.values() if a.carried]
    assert sorted(len(a.uses) for a in back) == [11, 11, 11]  # h, c and the loss, from each step to the next
    weights = {b.key: b for b in graph.view.boxes.values() if b.kind == "parameter"}
    assert len(weights) == 6 and "used 12×" in graph.source
    lstm = next(b for b in graph.view.boxes.values() if b.members and graph.record.nodes[b.members[0]]["op"] == "lstm")
    assert lstm.count == 12
    norms = [n["grad"]["norm"] for n in unrolled.nodes if n["op"] == "lstm"]
    assert sorted(lstm.norms) == sorted(norms) and wording.between(norms) in graph.source
    assert len(ops(viz.graph(unrolled, fold=False))) == 8 * 12 - 1  # the last c is not used


def test_a_shared_parameter_has_a_stub_at_each_use(rng):
    w = nn.Parameter(np.eye(3, dtype="f"))
    with viz.record() as record:
        x = array(rng, 2, 3)
        mg.sin(mg.exp(x @ w) @ w.mT @ w).sum().backward()
    graph = viz.graph(record)
    stubs = [b for b in graph.view.boxes.values() if b.kind == "parameter"]
    assert len(stubs) == 3 and "1 of 3 uses" in graph.source
    assert all(sum(a.source is b for a in graph.view.arrows.values()) == 1 for b in stubs)


def test_depth(stack):
    assert ops(viz.graph(stack, depth=0)) == ["", "sum"]
    assert ops(viz.graph(stack, depth=1)) == ["layers.0", "out", "sum"]
    assert "opened to depth 1 of 3" in viz.graph(stack, depth=1).notes[2]
    assert "4 operations, 24 parameters each" in viz.graph(stack, depth=1).source
    unfolded = viz.graph(stack, depth=1, fold=False)
    assert ops(unfolded) == ["layers.0", "layers.1", "layers.2", "layers.3", "out", "sum"]
    assert "4 operations, 24 parameters<" in unfolded.source


def test_the_gain_of_a_closed_module_is_that_of_the_whole(stack):
    graph = viz.graph(stack, depth=1, fold=False)
    modules = [b for b in graph.view.boxes.values() if b.kind == "module"]
    results = [n for n in stack.nodes if n["op"] == "add"]
    for before, after in zip((0, 1, 2), (1, 2, 3)):
        (between,) = [a for a in graph.view.arrows.values() if a.source is modules[before] and a.target is modules[after]]
        expected = results[before]["grad"]["norm"] / results[after]["grad"]["norm"]
        np.testing.assert_allclose(between.gains, [expected], rtol=1e-12)


def test_modules_are_closed_where_there_is_no_room(stack):
    graph = viz.graph(stack, max_nodes=8, fold=False)
    assert len(graph.view.boxes) <= 8 and graph.view.depth == 1 and "would not fit into 8 boxes" in graph.notes[2]
    deeper = viz.graph(stack, max_nodes=300, fold=False, depth=9)
    assert deeper.view.depth == deeper.view.deepest == 3


def test_the_oldest_are_left_out_where_nothing_can_be_closed():
    functions = [mg.sin, mg.exp, mg.tanh, mg.cos]
    y = x = mg.tensor([0.5], requires_grad=True)
    for i in range(400):
        y = functions[(i * i) % 4 if i % 3 else i % 4](y) if i % 5 else y * x
    graph = viz.graph(y.sum(), max_nodes=20, fold=False)
    assert len(graph.view.boxes) == 20 and ops(graph)[-1] == "sum"
    shown = {m for box in graph.view.boxes.values() if box.kind != "more" for m in box.members}
    assert graph.view.dropped == graph.view.total - len(shown) > 380
    assert f"the oldest {graph.view.dropped:,} nodes are left out" in graph.notes[2]
    assert f"… {graph.view.dropped:,} earlier nodes" in graph.source


def test_focus(rng):
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 3)
    with viz.record({"encoder": model}) as record:
        model(array(rng, 2, 5, 8)).sum().backward()
    graph = viz.graph(record, focus="encoder.layers.1.self_attn")
    inside = [n["id"] for n in record.nodes if n["module"] and n["module"].startswith("encoder.layers.1.self_attn")]
    drawn = [b.members for b in graph.view.boxes.values() if b.kind == "operation"]
    assert inside and all([op] in drawn for op in inside)
    assert {"encoder.layers.0", "encoder.layers.2", "encoder.layers.1.linear1"} <= set(ops(graph))
    with pytest.raises(UsageError, match=r"focus is the path of a module that ran: got 'encoder.layer'.*encoder.layers.0"):
        viz.graph(record, focus="encoder.layer")


def test_inputs_masks_and_constants(rng):
    with viz.record() as record:
        x = array(rng, 3).requires_grad_()
        nn.ReLU()(x.masked_fill(np.array([True, False, False]), 0.0)).sum().backward()
    assert kinds(viz.graph(record)).count("constant") == 0
    assert kinds(viz.graph(record, constants=True)).count("constant") == 1


def test_the_root(stack):
    first = next(n["id"] for n in stack.nodes if n["op"] == "tanh")
    assert ops(viz.graph(stack, root=first)) == ["linear", "tanh"]


# -- what is known ------------------------------------------------------------------------------------------------------


def test_before_backward_it_says_so(rng):
    x = array(rng, 3).requires_grad_()
    with viz.record() as record:
        y = mg.exp(x).sum()
    graph = viz.graph(record)
    assert graph.notes[1] == "made before backward(): there are no gradients yet"
    assert "∇" not in re.sub(r'tooltip="[^"]*"', "", graph.source) and "no gradients yet" in graph.source
    assert "no gradients yet" in viz.graph(y).notes[1]
    y.backward()
    graph = viz.graph(y)
    assert ".grad holds" in graph.notes[1] and f"|∇| {wording.number(np.linalg.norm(x.grad.numpy()))}" in graph.source


def test_a_tensor_without_history():
    with pytest.raises(GraphError, match="no history"):
        viz.graph(mg.tensor(1.0))
    with pytest.raises(UsageError, match="draws a Tensor or a Record: got int"):
        viz.graph(3)
    with pytest.raises(UsageError, match="nothing to draw"):
        viz.graph(viz.Record())


def test_parameter_names_of_an_unrecorded_graph(rng):
    model = nn.Linear(3, 2)
    assert "<B>weight</B>" in viz.graph(model(array(rng, 2, 3)).sum(), model=model).source


def test_values_formulas_and_nan():
    x = mg.tensor([0.0, 4.0], requires_grad=True)
    with viz.record() as record:
        (mg.log(x) * mg.tensor([0.0, 1.0])).sum().backward()
    graph = viz.graph(record, values=True, formulas=True)
    assert "ln x" in graph.source and "2 ± 2" in graph.source and "1 NaN or infinite in ∇" in graph.source


def test_backward_follows_the_gradients(stack):
    graph = viz.graph(stack, show="backward", fold=False)
    shown = re.sub(r'tooltip="[^"]*"', "", graph.source)
    assert shown.count("dir=back") == sum(e["gradient"] for e in stack.edges) == shown.count("->")
    tanh = next(e for e in stack.edges if stack.nodes[e["target"]]["op"] == "tanh")
    assert wording.number(tanh["contribution"]["norm"]) in shown


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": -1}, "depth is a whole number from 0"),
        ({"max_nodes": 1}, "max_nodes is a whole number from 2"),
        ({"show": "sideways"}, "'forward' or 'backward'"),
        ({"theme": "pink"}, "the theme is"),
    ],
)
def test_bad_options(stack, options, message):
    with pytest.raises(UsageError, match=message):
        viz.graph(stack, **options)


# -- text, files, notebooks -----------------------------------------------------------------------------------------------


def test_the_same_record_gives_the_same_text(stack, tmp_path):
    stack.save(tmp_path / "r.json")
    again = viz.Record.load(tmp_path / "r.json")
    assert viz.graph(stack).source == viz.graph(stack).source == viz.graph(again).source


HOSTILE = [
    'a"b', "<script>alert(1)</script>", "new\nline", "emoji 🎉", "x" * 10_000, "back\\slash\\N", "&amp; &#10;", "\x00\x1b[31m",
    "\ud800half", "]]>", "--", "",
]  # fmt: skip


@pytest.fixture(scope="module")
def hostile():
    """A record in which everything that can have a name has a bad one."""
    model = nn.Module()
    for name in HOSTILE:
        if name and "." not in name:
            model.register_parameter(name, nn.Parameter(np.ones(2, "f")))
    model.forward = lambda x: sum(x * p for p in model.parameters())
    with viz.record({HOSTILE[1]: model}) as record:
        model(mg.tensor([1.0, 2.0])).sum().backward()
    return record


def test_hostile_names_render(hostile, renderer):
    svg = viz.graph(hostile, title="".join(HOSTILE), fold=False).render("svg").decode()
    document = xml.dom.minidom.parseString(svg)
    assert not document.getElementsByTagName("script")
    texts = "".join(t.firstChild.data for t in document.getElementsByTagName("text") if t.firstChild).replace("\u200b", "")
    assert 'a"b' in texts and "<script>" in texts and "back\\slash\\N" in texts and "🎉" in texts
    assert "x" * 100 not in texts and "x…x" in texts
    tips = [a.getAttribute("xlink:title") for a in document.getElementsByTagName("a")]
    assert any("back\\slash\\N" in tip.replace("\u200b", "") for tip in tips)
    assert any("x" * 5000 in tip for tip in tips)


@hypothesis.given(st.text())
def test_any_text_can_be_a_label_or_an_attribute(text):
    xml.dom.minidom.parseString(f"<x>{wording.words(text)}</x>".encode("utf-8", "strict"))
    inner = wording.quoted(text)[1:-1]
    assert '"' not in inner and "\\" not in inner and "\n" not in inner
    xml.dom.minidom.parseString(f'<x t="{inner}"/>'.encode("utf-8", "strict"))


def test_shortened():
    assert wording.shortened("a" * 50, 9) == "aaaaa…aaa" and wording.shortened("abc", 3) == "abc"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (1234.5, "1.23e+03"), (0.012345, "0.0123"), (1e-7, "1.0e-7"), (2.5e12, "2.5e12"), (float("inf"), "inf")],
)
def test_numbers(value, text):
    assert wording.number(value) == text


def test_files(stack, tmp_path, graphviz):
    graph = viz.graph(stack)
    magic = {"svg": b"<svg", "png": b"\x89PNG", "pdf": b"%PDF", "dot": b"digraph", "json": b'{"format":"minigrad.graph/1"'}
    for kind, start in magic.items():
        assert graph.save(tmp_path / f"g.{kind}") == tmp_path / f"g.{kind}"
        assert (tmp_path / f"g.{kind}").read_bytes().startswith(start)
    with pytest.raises(UsageError, match="end the name in one of them"):
        graph.save(tmp_path / "g.gif")
    with pytest.raises(UsageError, match="rendered as svg, png, pdf"):
        graph.render("gif")


def test_notebooks(stack, graphviz):
    bundle = viz.graph(stack)._repr_mimebundle_()
    assert bundle["image/svg+xml"].startswith("<svg") and bundle["image/png"].startswith(b"\x89PNG")
    assert bundle["text/plain"].startswith("Graph: Stack")
    assert [*viz.graph(stack)._repr_mimebundle_(include=["text/plain"])] == ["text/plain"]


def test_without_graphviz(stack, tmp_path, no_graphviz):
    graph = viz.graph(stack)
    with pytest.warns(UserWarning, match=r"no Graphviz here.*g\.dot: pip install") as caught:
        assert graph.save(tmp_path / "g.svg") == tmp_path / "g.dot"
    assert caught[0].filename == __file__ and (tmp_path / "g.dot").read_text() == graph.source
    bundle = graph._repr_mimebundle_()
    assert [*bundle] == ["text/plain"] and "pip install" in bundle["text/plain"]
    with pytest.raises(NoRenderer):
        graph.render("png")


def test_a_layout_that_takes_too_long_is_closed_further(stack, monkeypatch):

    from minigrad.viz import graph as _  # noqa: F401 - the function; the module is found by its name

    module, sizes = sys.modules[viz.Graph.__module__], []

    def slow(source, kind):
        sizes.append(source.count(" [label=<"))
        if len(sizes) < 3:
            raise TooSlow("too slow")
        return source.encode()

    monkeypatch.setattr(module, "render", slow)
    graph = viz.graph(stack, fold=False)
    text = graph.render("svg").decode()
    assert graph.view.depth == 1 and sizes[0] > sizes[1] > sizes[2]
    assert "closed to depth 1, for the layout of" in text and "took too long" in text


def test_themes_differ_and_keep_contrast(stack):
    from minigrad.viz.style import contrast

    for theme in (viz.LIGHT, viz.DARK):
        paint = dot.Paint(theme)
        assert theme.background in viz.graph(stack, theme=theme.name).source
        for fill in (paint.operation, paint.module, paint.parameter, paint.input, *paint.cluster):
            assert contrast(theme.ink, fill) > 7 and contrast(theme.faint, fill) > 4
        for gain in (1e-9, 0.01, 0.1, 1, 10, 100, 1e9):
            assert contrast(paint.gain(gain), theme.background) > 2.5


def test_the_record_stays_as_it_was(stack):
    before = json.dumps(stack.to_dict())
    viz.graph(stack, max_nodes=5, values=True, show="backward")
    assert json.dumps(stack.to_dict()) == before


def test_it_goes_on_with_the_library_graphviz(stack):
    graph = viz.graph(stack)
    assert graph.to_graphviz().source.rstrip() == graph.source.rstrip()


def test_no_path_of_the_machine_is_in_the_picture():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    with viz.record() as record:
        (x * x).sum().backward()
    source = viz.graph(record).source
    assert "test_graph.py:" in source
    assert str(Path(__file__).parent.parent.parent) not in source
