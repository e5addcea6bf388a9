"""Reading literals: nothing is evaluated, and nothing makes it fall over."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optoscope._core.literals import parse_call, read_literal


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("f(" + "-" * 20_000 + "1)", "it has 20004 characters, at most 2000 are read"),
        ("f(" + "-" * 1_900 + "1)", "only literals are allowed|nested too deeply"),
        ("f(" + "(" * 900 + ")" * 900 + ")", "is not name"),
        ("f(" + "[" * 250 + "]" * 250 + ")", "is not name|nested too deeply"),
        ("f(1e400)", "its numbers must be finite"),
        ("f([(1, {'a': -1e400})])", "its numbers must be finite"),
        ("f(10**9)", "only literals are allowed"),
        ("f({[]: 1})", "only literals are allowed"),
        ("f(open('x'))", "only literals are allowed"),
        ("f(a=1, a=2)", "every setting has a name of its own"),
        ("f(**{'a': 1})", "every setting has a name of its own"),
        ("f(\x00)", "is not name"),
        ("f(\udcff)", "is not name"),
        ("f()()", "is not name"),
        ("f.g()", "is not name"),
        ("1" * 1_000 + "e", "is not name"),
    ],
)
def test_what_is_not_a_call_of_literals(text, message):
    with pytest.raises(ValueError, match=message) as caught:
        parse_call(text, example="f(1)")
    assert "for instance f(1)" in str(caught.value) and len(str(caught.value)) < 200


@given(st.text(alphabet="f(){}[]-+~1eE.,'\"=*: \n\\#jx_", max_size=60))
def test_any_text_is_a_call_or_refused(text):
    for read in (lambda: parse_call(text, example="f(1)"), lambda: read_literal(text)):
        with contextlib.suppress(ValueError):
            read()
