"""Formulas in a line of text."""

import xml.dom.minidom

import pytest

from minigrad.primitive import REGISTRY
from minigrad.viz.latex import lines, markup, plain


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_every_operation_has_a_formula_that_can_be_shown(name):
    formula = REGISTRY[name].formula
    text = plain(formula)
    assert text and not set(text) & set("\\{}") and "  " not in text
    assert all(text.count(a) == text.count(b) for a, b in ("()", "[]", "⟨⟩", "⌊⌋"))
    xml.dom.minidom.parseString(f"<x>{markup(formula)}</x>")


@pytest.mark.parametrize(
    ("formula", "text", "marked"),
    [
        (r"x W^{\mathsf{T}} + b", "x Wᵀ + b", "x W<SUP>T</SUP> + b"),
        (r"\frac{1}{n} \sum_i x_i", "1/n Σᵢ xᵢ", "1/n Σ<SUB>i</SUB> x<SUB>i</SUB>"),
        (r"\frac{x - \bar{x}}{\sqrt{v}}", "(x - x̄) / √v", "(x - x̄) / √v"),
        (r"e^{x_i}", "e^(xᵢ)", "e<SUP>x<SUB>i</SUB></SUP>"),
        (r"x > 0 \; ? \; x : y", "x > 0 ? x : y", "x &gt; 0 ? x : y"),
        (r"W_n x_t", "Wₙ xₜ", "W<SUB>n</SUB> x<SUB>t</SUB>"),
    ],
)
def test_conversions(formula, text, marked):
    assert plain(formula) == text and markup(formula) == marked


def test_long_formulas_break_at_commas_outside_brackets():
    assert lines("h = f(a, b), c = (d, e)", 10) == ["h = f(a, b),", "c = (d, e)"]
    assert lines("a, b", 10) == ["a, b"]
