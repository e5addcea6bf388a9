"""Formulas as MathML."""

from xml.etree import ElementTree

import pytest

from optoscope.explorer.typeset import mathml

#: Statements as explanations write them.
STATEMENTS = [
    "u = clip((g/0.5), -1, 1)",
    "v' = 0.999 v + 0.001 |u|^2",
    "N = ((v'/(1 - 0.999^(n + 1)))^0.5 + 1e-08)",
    "y_n = sum_k u_(n-k) r(k), r = 1, 0.9, 0.81, ...",
    "dx = -a_n y - drift_n",
    "u = 2 (g if g > 0 else 0.5 g)",
    "u = f(g), a table",
    "u = sign(g) 2^floor(log2 |g|)",
    "v' = 0.99 v + 0.01 |u - c'|^2",
    "N = (v' + 1e-08)^0.5/(e + 1e-06)^0.5 (1 before step 5)",
    "u = sign(g) max(|g| - 1, 0)",
    "u = (g/0.3) exp(-(g/0.3)^2)",
    "u = g/sqrt(1 + g^2)",
    "v' = max(0.9 v, |u|^1)",
    "u = g if |g| < 1 else 0",
]


def parsed(text):
    return ElementTree.fromstring(text.replace("&nbsp;", " ").replace("&#8289;", ""))


@pytest.mark.parametrize("statement", STATEMENTS)
def test_statements_are_set_and_nothing_is_lost(statement):
    (found,) = mathml(statement)
    tree = parsed(found)
    # A table's words aside, only words stand as text.
    assert not [one for one in tree.iter("mtext") if len((one.text or "").split()) > 1]
    letters = "".join(tree.itertext())
    for number in (one for one in statement.split() if one.replace(".", "").isdigit() and one not in ("0.5", "1")):
        assert number in letters
    for element in tree.iter():
        if element.tag in ("msup", "msub", "mfrac", "munder"):
            assert len(element) == 2


def test_fractions_roots_and_powers():
    (found,) = mathml("u = (a + b)/(1 - c)")
    assert "<mfrac><mrow><mi>a</mi><mo>+</mo><mi>b</mi></mrow>" in found
    assert "<msqrt><mi>x</mi></msqrt>" in mathml("u = x^0.5")[0]
    assert "<msup><mn>10</mn><mn>−8</mn></msup>" in mathml("u = 1e-08")[0]


def test_what_cannot_be_read_stays_as_text():
    assert mathml("u = {<b>}") == ['<math display="block"><mtext>u = {&lt;b&gt;}</mtext></math>']
    assert mathml("u = (g")[0].startswith('<math display="block"><mtext>')


def test_a_line_may_hold_several_statements():
    assert len(mathml("u = g\nv' = 0.9 v; N = v'")) == 3
