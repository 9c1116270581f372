"""The public functions that add PyTorch's argument names to a primitive."""

import inspect

import numpy as np
import pytest

import minigrad as mg
from minigrad.ops import named
from minigrad.primitive import Primitive
from tests.ops.against_torch import assert_same

NAMES = [name for name, value in vars(named).items() if inspect.isfunction(value) and not name.startswith("_")]
OF_ONE = [name for name in NAMES if len(inspect.signature(getattr(named, name)).parameters) == 1]
ARRAYS = {"x": np.random.default_rng(0).uniform(0.1, 2, (2, 3)).astype(np.float32)}


@pytest.mark.parametrize("name", OF_ONE)
@pytest.mark.parametrize("form", ["lib.{}(x)", "lib.{}(input=x)", "x.{}()"])
def test_forms_of_one_argument_as_torch(name, form):
    assert_same(form.format(name), ARRAYS)


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(OF_ONE)))
@pytest.mark.parametrize(
    "form", ["lib.{}(x, 2 * x)", "lib.{}(input=x, other=2 * x)", "lib.{}(x, other=2 * x)", "x.{}(other=2 * x)"]
)
def test_forms_of_two_arguments_as_torch(name, form):
    assert_same(form.format(name), ARRAYS)


@pytest.mark.parametrize("name", NAMES)
def test_each_says_what_it_is(name):
    function = getattr(mg, name)
    assert function.__name__ == name
    assert "Here " in function.__doc__
    assert function.__doc__.startswith(mg.REGISTRY[name].__doc__)


def test_no_public_function_takes_its_arguments_by_position_alone():
    """The primitives in the namespace of the operations are those behind operators, under names that PyTorch has not."""
    torch = pytest.importorskip("torch")
    assert not [n for n, value in vars(mg).items() if isinstance(value, Primitive) and hasattr(torch, n)]
    assert not [
        n for n, value in vars(mg.nn.functional).items() if isinstance(value, Primitive) and n in mg.nn.functional.__all__
    ]


def test_an_unknown_name_is_refused():
    with pytest.raises(TypeError, match="unexpected keyword argument 'out'"):
        mg.exp(mg.ones(2), out=mg.ones(2))
