"""The record: every number against one computed by hand from the same arrays."""

import gc
import inspect
import json
import weakref

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, viz
from minigrad.errors import DataError, UsageError
from minigrad.nn.module import Module
from minigrad.primitive import state


def leaf(values, dtype="float32"):
    return mg.tensor(np.asarray(values, dtype), requires_grad=True)


def random(rng, *shape):
    return leaf(rng.standard_normal(shape))


def contributions(record, tensor):
    """(operation, argument) -> what that use of ``tensor`` sent back."""
    return {(record.nodes[e["target"]]["op"], e["argument"]): e["contribution"] for e in record.uses(tensor)}


# -- contributions ------------------------------------------------------------------------------------------------------


def test_contributions_of_every_use_are_those_computed_by_hand(rng):
    x, a, b = random(rng, 4, 3), rng.standard_normal((4, 3)).astype("f"), rng.standard_normal((4, 3)).astype("f")
    with viz.record() as record:
        y = x * mg.tensor(a)
        z = mg.sin(x)
        w = x - mg.tensor(b)
        ((y + z + w) * mg.tensor(b)).sum().backward()
    by_hand = {("mul", "a"): a * b, ("sin", "x"): np.cos(x.numpy()) * b, ("sub", "a"): b}
    got = contributions(record, x)
    assert got.keys() == by_hand.keys()
    total = sum(by_hand.values())
    for use, array in by_hand.items():
        np.testing.assert_allclose(got[use]["norm"], np.linalg.norm(array), rtol=1e-6)
        np.testing.assert_allclose(got[use]["gain"], np.linalg.norm(array) / np.linalg.norm(b), rtol=1e-6)
        cosine = (array * total).sum() / np.linalg.norm(array) / np.linalg.norm(total)
        np.testing.assert_allclose(got[use]["cosine"], cosine, atol=1e-6)
    np.testing.assert_allclose(record.node(x)["grad"]["norm"], np.linalg.norm(x.grad.numpy()), rtol=1e-6)


def test_contributions_of_scalars_add_up_to_the_gradient():
    x = leaf(0.7)
    with viz.record() as record:
        (x * 3 + mg.exp(x) - x * x).backward()
    sizes = [e["contribution"]["norm"] for e in record.uses(x)]
    signs = [1, 1, -1, -1]  # in the order of use: 3x, exp x, and each of the two in x * x
    assert len(sizes) == 4
    np.testing.assert_allclose(np.dot(sizes, signs), x.grad.item(), rtol=1e-6)


def test_a_broadcast_contribution_is_taken_after_it_was_summed(rng):
    x, bias = random(rng, 5, 3), random(rng, 3)
    with viz.record() as record:
        ((x + bias) * x).sum().backward()
    (use,) = record.uses(bias)
    assert use["gradient"] and use["argument"] == "b"
    np.testing.assert_allclose(use["contribution"]["norm"], np.linalg.norm(x.numpy().sum(0)), rtol=1e-6)


def test_a_contribution_in_another_dtype_is_taken_after_it_was_cast():
    x = leaf([1.0, 2.0])
    with viz.record() as record:
        (x * mg.tensor([1e60, 1e60], dtype="float64")).sum().backward()
    assert record.uses(x)[0]["contribution"]["inf"] == 2  # float32 cannot hold it


def test_reading_parts_of_a_sequence(rng):
    x = random(rng, 6, 2)
    with viz.record() as record:
        sum(((x[i] * float(i)).sum() for i in range(1, 6)), start=mg.tensor(0.0)).backward()
    got = [e["contribution"] for e in record.uses(x)]
    np.testing.assert_allclose([c["norm"] for c in got], np.sqrt(2) * np.arange(1, 6), rtol=1e-6)
    assert all(c["zero"] == 10 for c in got)
    np.testing.assert_allclose(np.linalg.norm(x.grad.numpy()) ** 2, sum(c["norm"] ** 2 for c in got), rtol=1e-6)


def test_recording_changes_no_gradient(rng):
    model = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    x = random(rng, 2, 5, 8)
    found = []
    for watch in (False, True):
        model.zero_grad()
        x.grad = None
        if watch:
            with viz.record(model):
                (model(x) ** 2).mean().backward()
        else:
            (model(x) ** 2).mean().backward()
        found.append([p.grad.numpy() for p in (x, *model.parameters())])
    for before, after in zip(*found):
        np.testing.assert_array_equal(before, after)


def test_nan_and_infinite_are_counted_not_hidden():
    x = leaf([0.0, 1.0, -1.0])
    with viz.record() as record:
        mg.sqrt(x).sum().backward()
    node = next(n for n in record.nodes if n["op"] == "sqrt")
    assert (node["value"]["nan"], node["value"]["zero"]) == (1, 1) and node["value"]["max"] == 1
    contribution = record.uses(x)[0]["contribution"]
    assert contribution["nan"] + contribution["inf"] == np.count_nonzero(~np.isfinite(x.grad.numpy())) > 0
    assert contribution["gain"] is None


# -- structure ----------------------------------------------------------------------------------------------------------


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(3, 3)
        self.tied = nn.Linear(3, 3, bias=False)
        self.tied.weight = self.inner.weight

    def forward(self, features):
        return self.tied(mg.tanh(self.inner(self.inner(features))))


def test_modules_calls_and_names(rng):
    model, x = Twice(), mg.tensor(rng.standard_normal((2, 3)).astype("f"))
    with viz.record(model) as record:
        model(x).sum().backward()
    where = [(n["op"], n["module"], n["call"]) for n in record.nodes if n["kind"] == "operation"]
    assert where == [
        ("linear", "inner", 0),
        ("linear", "inner", 1),
        ("tanh", "", 0),
        ("linear", "tied", 0),
        ("sum", None, None),
    ]
    weight = record.node("inner.weight")
    assert weight["kind"] == "parameter" and weight["aliases"] == ["tied.weight"] and record.node("tied.weight") is weight
    assert len(record.uses("inner.weight")) == 3
    assert record.node("features")["kind"] == "input" and record.node(x) is record.node("features")
    assert record.modules["inner"] == {
        "path": "inner",
        "type": "Linear",
        "parameters": 12,
        "calls": 2,
        "options": "in_features=3, out_features=3, bias=True",
    }
    assert [c["parent"] for c in record.calls] == [None, 0, 0, 0]


def test_without_a_model_modules_are_named_after_their_class(rng):
    one, other = nn.Linear(3, 3), nn.Linear(3, 3)
    with viz.record() as record:
        other(one(random(rng, 2, 3)))
    assert [*record.modules] == ["Linear", "Linear_2"] and record.node("Linear_2.bias")["shape"] == [3]


def test_several_models_by_name(rng):
    with viz.record({"generator": nn.Linear(2, 2)}) as record:
        assert record.modules["generator"]["calls"] == 0
    with pytest.raises(UsageError, match="a module, or a dict of modules"):
        viz.record("model")


def test_the_users_line():
    x = leaf(1.0)
    with viz.record() as record:
        line = inspect.currentframe().f_lineno + 1
        mg.exp(x)
    data = record.to_dict()["nodes"][-1]["line"]
    assert data["number"] == line and data["code"] == "mg.exp(x)" and data["file"].endswith("test_record.py")


def test_what_is_kept_for_the_backward_pass():
    with viz.record() as record:
        leaf(np.ones((2, 3))) * leaf(np.ones(3))
        mg.exp(leaf([1.0, 2.0]))
    product, exponential = [n for n in record.nodes if n["kind"] == "operation"]
    assert [(s["name"], s["shape"], s["bytes"]) for s in product["saved"]] == [("b", [3], 12), ("a", [2, 3], 24)] or [
        (s["name"], s["shape"], s["bytes"]) for s in product["saved"]
    ] == [("a", [2, 3], 24), ("b", [3], 12)]
    assert [(s["name"], s["bytes"]) for s in exponential["saved"]] == [("out", 8)]


def test_formulas_and_rules():
    with viz.record() as record:
        y = leaf(2.0) * leaf(3.0)
        nn.functional.layer_norm(y.reshape(1, 1), (1,))
    mul = record.operations["mul"]
    assert mul["formula"] == r"a \odot b" and not mul["fused"] and mul["rules"]["a"] == {"formula": "g * b", "reads": ["b"]}
    assert record.operations["layer_norm"]["fused"] and "x" in record.operations["layer_norm"]["rules"]


def test_steps_come_in_the_order_they_ran():
    x = leaf(1.0)
    with viz.record() as record:
        (mg.exp(x) * x).backward()
    assert [(record.nodes[s["node"]]["op"], s["arguments"]) for s in record.backward] == [("mul", ["a", "b"]), ("exp", ["x"])]


def test_constants_detached_tensors_and_no_grad():
    x = leaf([1.0, 2.0])
    with viz.record() as record:
        y = x * 2
        with mg.no_grad():
            z = y + 1
        (y.detach() * x).sum().backward()
    made = record.node(z)
    assert made["taped"] is False and record.inputs(z)[0]["gradient"] is False
    product = [n for n in record.nodes if n["op"] == "mul"][1]
    detached, used = record.inputs(product["id"])
    assert detached["source"] == record.node(y)["id"] and not detached["gradient"] and detached["contribution"] is None
    assert used["gradient"] and used["contribution"]["norm"] == pytest.approx(np.sqrt(20))


def test_no_backward_says_so():
    with viz.record() as record:
        leaf(1.0) * 2
    assert not record.has_backward and "no backward pass" in repr(record)
    with viz.record() as record, pytest.raises(mg.errors.GraphError):
        y = leaf(1.0) * 2
        y.backward()
        y.backward()
    assert record.has_backward and [p["finished"] for p in record.passes] == [True, False]


def test_a_graph_from_before_the_record():
    x = leaf([3.0, 4.0])
    y = (x * x).sum()
    with viz.record() as record:
        y.backward()
    assert [n["op"] for n in record.nodes] == [None, "mul", "sum"] and all(n.get("earlier") for n in record.nodes[1:])
    assert [e["contribution"]["norm"] for e in record.uses(x)] == [5, 5] and record.node(x)["grad"]["norm"] == 10


def test_passes():
    x = leaf([3.0, 4.0])
    with viz.record() as record:
        y = (x * x).sum()
        y.backward(retain_graph=True)
        y.backward(mg.tensor(2.0))
    assert [p["leaves"][0]["norm"] for p in record.passes] == [10, 20] and [p["seeds"][0]["max"] for p in record.passes] == [
        1,
        2,
    ]
    assert record.node(x)["grad"]["norm"] == 20 and record.node(x)["grad"]["pass"] == 1
    assert [s["pass"] for s in record.backward] == [0, 0, 1, 1]


def test_second_derivatives():
    x = leaf(2.0)
    with viz.record() as record:
        (g,) = mg.grad(x * x * x, x, create_graph=True)
        g.backward()
    assert x.grad.item() == 12 and record.node(x)["grad"]["norm"] == 12 and record.node(x)["grad"]["pass"] == 1
    assert {n.get("during") for n in record.nodes if n["kind"] == "operation"} == {None, 0}
    second = [e["contribution"]["norm"] for e in record.uses(x) if (e["contribution"] or {}).get("pass") == 1]
    assert sum(second) == 12  # all of them positive


def test_second_derivative_of_a_fused_operation_counts_once(rng):
    x = random(rng, 2, 4)
    with viz.record() as record:
        (g,) = mg.grad((nn.functional.layer_norm(x, (4,)) ** 3).sum(), x, create_graph=True)
        (g * g).sum().backward()
    np.testing.assert_allclose(record.node(x)["grad"]["norm"], np.linalg.norm(x.grad.numpy()), rtol=1e-6)


def test_checkpoint(rng):
    x, w = random(rng, 3, 4), random(rng, 4, 4)
    with viz.record() as record:
        y = mg.checkpoint(lambda x: mg.tanh(x @ w), x)
        (y * x).sum().backward()
    product, inside = None, []
    for edge in record.uses(x):
        contribution = edge["contribution"]
        if contribution and contribution["pass"] != record.nodes[edge["target"]].get("during"):
            inside.append(record.nodes[edge["target"]]["op"])
        product = product or record.nodes[edge["target"]]["op"]
    assert sorted(inside) == ["checkpoint", "mul"]  # those alone make up the gradient
    np.testing.assert_allclose(record.node(x)["grad"]["norm"], np.linalg.norm(x.grad.numpy()), rtol=1e-6)
    np.testing.assert_allclose(record.node(w)["grad"]["norm"], np.linalg.norm(w.grad.numpy()), rtol=1e-6)


# -- what it costs ------------------------------------------------------------------------------------------------------


def test_off_leaves_nothing_behind():
    plain = Module.__call__
    with viz.record():
        assert Module.__call__ is not plain
        with viz.record():
            pass
        assert Module.__call__ is not plain
    assert Module.__call__ is plain and not state.observers


def test_an_error_inside_ends_the_record(rng):
    model = nn.Linear(3, 3)
    recorder = viz.record(model)
    with pytest.raises(mg.errors.ShapeError), recorder:
        model(random(rng, 2, 4))
    assert not state.observers and not recorder.scopes.stack


def test_no_tensor_is_kept_alive(rng):
    model = nn.Linear(16, 16)
    gc.disable()
    try:
        with viz.record(model) as record:
            y = model(random(rng, 4, 16))
            array, node = weakref.ref(y._data), weakref.ref(y._node)
            loss = (y * y).sum()
            loss.backward()
            del y, loss
            assert array() is None and node() is None
        model_reference = weakref.ref(model.weight)
        del model
        assert model_reference() is None
    finally:
        gc.enable()
    assert record.has_backward


def test_long_chains():
    x = leaf(1.0)
    with viz.record() as record:
        y = x
        for _ in range(3000):
            y = y * 1.0
        y.backward()
    assert len(record.nodes) == 3001 and record.node(x)["grad"]["norm"] == 1
    again = viz.Record.from_dict(json.loads(json.dumps(record.to_dict())))
    assert len(again.backward) == 3000


def test_without_statistics():
    x = leaf([1.0])
    with viz.record(values=False, gradients=False, lines=False) as record:
        (x * 2).sum().backward()
    assert all(n["value"] is None and n["grad"] is None and n["line"] is None for n in record.nodes)
    assert record.has_backward and all(e["contribution"] is None for e in record.edges)


@pytest.mark.parametrize("samples", [-1, 65, 1.5, True])
def test_a_bad_number_of_samples(samples):
    with pytest.raises(UsageError, match="from 0 to 64 samples"):
        viz.record(samples=samples)


def test_samples():
    with viz.record(samples=5) as record:
        mg.tensor(np.arange(101.0, dtype="f")) * 1
    assert record.nodes[0]["value"]["samples"] == [0, 25, 50, 75, 100]


# -- files --------------------------------------------------------------------------------------------------------------


def test_a_file_round_trips_and_is_strict_json(tmp_path):
    x = leaf([0.0, 1.0, np.inf])
    with viz.record(nn.Linear(1, 1)) as record:
        (mg.log(x) * mg.tensor([np.nan, 1.0, 1.0])).sum().backward()
    record.log("loss", 3, float("nan"), "nats")
    record.save(tmp_path / "r.json")
    data = json.loads((tmp_path / "r.json").read_text(), parse_constant=lambda text: pytest.fail(text))
    assert data["format"] == "minigrad.graph/1" and data["series"]["loss"]["values"] == ["NaN"]
    assert data["nodes"][0]["value"]["samples"] == [0, 1, "Infinity"]
    again = viz.Record.load(tmp_path / "r.json")
    assert again.to_dict() == record.to_dict()
    assert again.nodes[0]["value"]["samples"][2] == np.inf and np.isnan(again.series["loss"]["values"][0])


def test_a_name_that_looks_like_a_number_stays_a_name(tmp_path):
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.NaN = nn.Parameter(np.ones(2, "f"))

    model = Odd()
    with viz.record(model) as record:
        model.NaN * 1
    record.save(tmp_path / "r.json")
    assert viz.Record.load(tmp_path / "r.json").node("NaN")["kind"] == "parameter"


def _good():
    x = leaf([1.0])
    with viz.record() as record:
        nn.ReLU()(x * 2).sum().backward()
    return json.loads(json.dumps(record.to_dict()))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda d: d.update(format="minigrad.graph/2"), "format is 'minigrad.graph/1'.*/2"),
        (lambda d: d.pop("nodes"), "'nodes' is a list: got NoneType"),
        (lambda d: d["nodes"][1].update(id=7), "node 1 .* id 1: got 7"),
        (lambda d: d["nodes"][0].update(kind="thing"), "node 0 .*kind among operation, parameter.*'thing'"),
        (lambda d: d["nodes"][1].update(op="no-such"), "node 1 .*listed in operations: got 'no-such'"),
        (lambda d: d["nodes"][1].update(shape=[-1]), "node 1 .*shape"),
        (lambda d: d["nodes"][1].update(scope=99), "node 1 .*calls: got 99"),
        (lambda d: d["nodes"][1]["value"].update(mean="many"), "the value of node 1 .*number.*'many'"),
        (lambda d: d["edges"][0].update(source=99), "edge 0 .*between two"),
        (lambda d: d["edges"][0].pop("argument"), "edge 0 .*at an argument"),
        (lambda d: d["backward"].append({"node": -1}), "backward step 3"),
        (lambda d: d["calls"][0].update(parent=5), "call 0 .*inside an earlier call"),
        (lambda d: d["calls"][0].update(module="gone"), "call 0 .*listed in modules"),
        (lambda d: d["passes"][0].update(roots=["x"]), "pass 0"),
        (lambda d: d["series"].update(loss={"steps": [1], "values": []}), "series 'loss'"),
    ],
)
def test_what_is_wrong_with_a_record_is_said(spoil, message):
    data = _good()
    viz.Record.from_dict(_good())
    spoil(data)
    with pytest.raises(DataError, match=message):
        viz.Record.from_dict(data)


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "no record"), ("[1]", "got 'list'"), ('{"format": NaN}', "JSON has no NaN"), ("[" * 100_000, "no record")],
)
def test_a_file_that_is_no_record(tmp_path, text, message):
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(DataError, match=message):
        viz.Record.load(tmp_path / "r.json")


def test_a_missing_file(tmp_path):
    with pytest.raises(DataError, match=r"cannot read the record .*No such file"):
        viz.Record.load(tmp_path / "none.json")


def test_nodes_that_are_not_there():
    with viz.record() as record:
        leaf([1.0]) * 2
    with pytest.raises(UsageError, match="not in the record"):
        record.node(leaf([1.0]))
    with pytest.raises(UsageError, match="no parameter or input 'w'"):
        record.node("w")
    with pytest.raises(UsageError, match="an id below 2"):
        record.node(2)
