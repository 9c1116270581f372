"""The names of a module's parts: which are refused, with the exceptions that PyTorch raises."""

import pytest

import minigrad as mg
from minigrad import nn


def net():
    result = nn.Sequential(nn.Linear(2, 2))
    result.register_buffer("count", mg.zeros(1))
    return result


@pytest.mark.parametrize(
    "register",
    [
        lambda m: m.register_buffer("0", mg.zeros(1)),
        lambda m: m.register_buffer("forward", mg.zeros(1)),
        lambda m: m.register_parameter("0", nn.Parameter(mg.zeros(1))),
        lambda m: m.register_parameter("count", nn.Parameter(mg.zeros(1))),
        lambda m: m.add_module("count", nn.Identity()),
    ],
)
def test_a_name_that_is_taken_is_refused_and_nothing_changes(register):
    module = net()
    before = list(module.state_dict())
    with pytest.raises(KeyError, match="already has an attribute"):
        register(module)
    assert list(module.state_dict()) == before


def test_what_is_there_may_be_replaced_by_its_kind():
    module = net()
    module.register_buffer("count", mg.ones(2))
    module.add_module("0", nn.Identity())
    assert list(module.state_dict()) == ["count"] and module.count.shape == (2,)


def test_names_have_no_dots():
    with pytest.raises(KeyError, match="text without dots"):
        net().add_module("a.b", nn.Identity())


def test_a_missing_part_is_an_attribute_error():
    with pytest.raises(AttributeError, match="Sequential has no part 'nope': it has 0"):
        net().get_submodule("nope")
