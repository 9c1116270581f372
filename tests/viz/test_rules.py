"""Gradient rules in the words of their own source."""

import ast

import pytest

import minigrad as mg
from minigrad.primitive import REGISTRY, Fused
from minigrad.viz.rules import describe, text_of


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_every_operation_can_be_described(name):
    primitive = REGISTRY[name]
    told = describe(primitive)
    assert told["formula"] and told["arguments"] == list(primitive.argnames) and told["fused"] == isinstance(primitive, Fused)
    for argument, rule in told["rules"].items():
        assert argument in primitive.argnames and rule["formula"]
        if not told["fused"]:
            assert rule["formula"].endswith("…") or ast.parse(rule["formula"], mode="eval")
            assert set(rule["reads"]) <= {*primitive.argnames, "out", *(f"{a}_shape" for a in primitive.argnames)}


def test_the_rule_of_an_argument_is_its_own():
    told = describe(REGISTRY["mul"])["rules"]
    assert told["a"] == {"formula": "g * b", "reads": ["b"]} and told["b"] == {"formula": "g * a", "reads": ["a"]}


def test_rules_without_source(own_primitives):
    rule = eval("lambda g, x: g * 2")
    twice = mg.primitive(r"2 x", name="twice")(lambda x: x * 2)
    twice.vjp(x=rule)
    assert describe(twice)["rules"]["x"]["formula"] == "" and text_of(abs) == "abs(x)"
