"""What settings may be: one note beside the field."""

import dataclasses
import math
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optoscope._core.allowed import Allowed, check_setting, check_settings, describe, read_setting, settings_of
from optoscope.training import PRESETS, MetaTrainConfig

Share = Annotated[float, Allowed(0, 1, below=True, advice="0 switches it off")]
Bound = Annotated[float, Allowed(1e-30, or_infinite=True)]
Few = Annotated[tuple[int, ...], Allowed(1, 9, distinct=True, at_most=3)]
Pairs = tuple[tuple[Annotated[int, Allowed(1)], Annotated[int, Allowed(1)]], ...]


@pytest.mark.parametrize(
    ("value", "hint", "found"),
    [
        (1, float, 1.0),
        (np.float32(0.5), Share, 0.5),
        (np.int64(3), int, 3),
        (math.inf, Bound, math.inf),
        ([1, 2], Few, (1, 2)),
        ([[1, 2], (3, 4)], Pairs, ((1, 2), (3, 4))),
        (None, Annotated[int, Allowed(1)] | None, None),
        (4, Annotated[int, Allowed(1)] | None, 4),
        ("a", Literal["a", "b"], "a"),
        (Path("x"), str | Path | None, Path("x")),
        (True, bool, True),
    ],
)
def test_what_is_allowed_comes_back_as_its_kind(value, hint, found):
    back = check_setting("x", value, hint)
    assert back == found and type(back) is type(found)


@pytest.mark.parametrize(
    ("value", "hint", "message"),
    [
        (1.0, Share, "`x` must be a finite number from 0 to below 1, got 1.0; 0 switches it off."),
        (math.nan, Share, "`x` must be a finite number from 0 to below 1, got nan"),
        (True, int, r"`x` must be a whole number between -1e\+30 and 1e\+30, got True\."),
        (1.0, int, "`x` must be a whole number"),
        (-math.inf, Bound, "`x` must be a number above 0, or inf, got -inf"),
        (10**400, float, "got inf"),
        (10**400, int, "got a number of 401 digits"),
        (1e300, float, r"between -1e\+30 and 1e\+30, got 1e\+300"),
        ((1, 1), Few, "`x` has 1 twice; name each once."),
        ((1, 2, 3, 4), Few, "`x` takes at most 3 entries, got 4"),
        ((0,), Few, "`x` must be a whole number from 1 to 9, got 0"),
        (((1,),), Pairs, r"`x` must be a tuple such as \(1, 1\), got \(1,\) with 1 entries instead of 2"),
        (5, Pairs, r"`x` must be a tuple such as \(\(1, 1\),\), got 5"),
        ("c", Literal["a", "b"], "unknown x 'c'. Known: a, b"),
        (3, str | None, "`x` must be text or None, got 3"),
        (" ", str, "`x` is empty"),
        ("a\x00", str, r"`x` holds the character '\\x00'"),
        ("a" * 3000, str, "`x` must have at most 2000 characters, got 3000"),
        (1, bool, "`x` must be True or False, got 1"),
    ],
)
def test_what_is_not_allowed_is_one_sentence(value, hint, message):
    with pytest.raises(ValueError, match=message):
        check_setting("x", value, hint)


@pytest.mark.parametrize(
    ("text", "hint", "found"),
    [("5", int, 5), ("5", float, 5.0), ("inf", Bound, math.inf), ("adam", str, "adam"), ("None", str | None, None),
     ("((1, 2),)", Pairs, ((1, 2),)), ("a", Literal["a", "b"], "a"), ("'a'", str, "a")],
)  # fmt: skip
def test_settings_are_read_from_text(text, hint, found):
    assert read_setting("x", text, hint) == found


@given(st.text(max_size=40) | st.integers().map(str) | st.floats().map(str))
@pytest.mark.parametrize("hint", [int, Share, Bound, Pairs, Few, str | None, bool, Literal["a", "b"]])
def test_any_text_is_read_or_refused(hint, text):
    try:
        value = read_setting("x", text, hint)
    except ValueError as error:
        assert len(str(error)) < 300
    else:
        assert check_setting("x", value, hint) == value


def test_the_words_are_those_of_the_check():
    assert describe(Share) == "from 0 to below 1"
    assert describe(Bound) == "above 0, or inf"
    assert describe(Few) == "from 1 to 9, at most 3 of them"
    assert describe(Annotated[int, Allowed(1)] | None) == "at least 1"
    assert describe(Literal["a", "b"]) == "a or b"
    assert describe(Pairs) == "such as ((1, 1),)"
    assert describe(bool) == describe(str) == ""


def test_a_dataclass_is_checked_where_it_is_made():
    with pytest.raises(ValueError, match="`b1` must be a finite number from 0 to below 1, got 2"):
        MetaTrainConfig(b1=2)
    assert type(MetaTrainConfig(learning_rate=1).learning_rate) is float
    assert all(config == dataclasses.replace(config) for one in PRESETS.values() for config in one.values())


def test_every_number_of_a_configuration_says_what_it_may_be():
    numbers = [name for name, hint in settings_of(MetaTrainConfig).items() if describe(hint)]
    assert set(settings_of(MetaTrainConfig)) - set(numbers) == {"bfloat16", "warm_start"}
    check_settings(MetaTrainConfig())
