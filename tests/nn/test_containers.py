"""Containers behave as lists and dictionaries, and name their parts as torch does."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.errors import DimensionError, DTypeError, UsageError


def keys(module):
    return [name for name, _ in module.named_modules()][1:]


def linear(n=2):
    return nn.Linear(n, n)


def test_sequential_runs_in_order():
    a, b = linear(), nn.ReLU()
    net = nn.Sequential(a, b)
    x = mg.tensor([[1.0, -2.0]])
    assert np.array_equal(net(x).numpy(), mg.relu(a(x)).numpy())
    assert nn.Sequential()(x) is x


def test_sequential_is_a_list_of_numbered_parts():
    layers = [linear() for _ in range(4)]
    net = nn.Sequential(*layers)
    assert len(net) == 4 and list(net) == layers and net[-1] is layers[3]
    assert list(net[1:3]) == layers[1:3] and type(net[1:3]) is nn.Sequential
    new = linear()
    net[0] = new
    assert net[0] is new and keys(net) == ["0", "1", "2", "3"]
    del net[1]
    assert list(net) == [new, layers[2], layers[3]] and keys(net) == ["0", "1", "2"]
    net.insert(1, layers[1])
    assert net.append(layers[0]) is net
    assert list(net) == [new, *layers[1:], layers[0]] and keys(net) == ["0", "1", "2", "3", "4"]
    assert net.pop(0) is new and len(net) == 4


def test_sequential_with_names():
    net = nn.Sequential({"in": linear(), "act": nn.ReLU(), "out": linear()})
    assert keys(net) == ["in", "act", "out"] and net[1] is net.act
    assert keys(net[1:]) == ["act", "out"]
    del net[0]
    assert keys(net) == ["act", "out"]
    net.append(nn.Identity())
    assert keys(net) == ["act", "out", "2"]
    with pytest.raises(UsageError, match="names"):
        net.insert(0, linear())
    del net[0]
    with pytest.raises(UsageError, match="taken"):
        net.append(linear())


def test_module_list():
    layers = [linear() for _ in range(3)]
    items = nn.ModuleList(layers[:1])
    items.append(layers[1]).extend([layers[2]])
    assert list(items) == layers and layers[1] in items and keys(items) == ["0", "1", "2"]
    assert len(list(items.parameters())) == 6
    items += [nn.Identity()]
    assert len(items) == 4 and len(items + nn.ModuleList([nn.Identity()])) == 5 and len(items) == 4
    assert isinstance(items[:2], nn.ModuleList)
    del items[:2]
    assert next(iter(items)) is layers[2] and keys(items) == ["0", "1"]
    with pytest.raises(NotImplementedError):
        items(1)


def test_module_dict():
    d = nn.ModuleDict({"a": linear(), "b": nn.ReLU()})
    d["c"] = nn.Identity()
    d.update([("a", nn.Identity())])
    assert list(d) == ["a", "b", "c"] == d.keys() and len(d) == 3 and "b" in d and "z" not in d
    assert isinstance(d["a"], nn.Identity) and d.values()[1] is d["b"] and dict(d.items())["c"] is d["c"]
    assert d.pop("b") is not None and "b" not in d
    del d["c"]
    assert d.keys() == ["a"]
    d.clear()
    assert not len(d)


def test_parameter_list():
    items = nn.ParameterList([mg.ones(2), nn.Parameter(mg.zeros(3))])
    assert [p.shape for p in items] == [(2,), (3,)] and all(isinstance(p, nn.Parameter) for p in items)
    items.append(mg.ones(1))
    assert list(items.state_dict()) == ["0", "1", "2"]
    assert "(0): Parameter of shape (2,)" in repr(items)


def test_errors():
    with pytest.raises(DTypeError, match="holds modules: got function"):
        nn.Sequential(linear(), mg.relu)
    with pytest.raises(DTypeError):
        nn.ModuleList([1])
    with pytest.raises(DTypeError):
        nn.ModuleDict({"a": 1})
    with pytest.raises(DimensionError, match="2 items: got the index 2"):
        nn.ModuleList([linear(), linear()])[2]
    with pytest.raises(DimensionError):
        nn.ModuleList()[0] = linear()
    with pytest.raises(UsageError, match="no 'x': it has a"):
        nn.ModuleDict({"a": linear()})["x"]
    with pytest.raises(KeyError, match="no 'x': it has a"):
        nn.ModuleDict({"a": linear()})["x"]
    with pytest.raises(UsageError, match="already has an attribute 'keys'"):
        nn.ModuleDict({"keys": linear()})
