"""What each setting may be: a note beside the field, from which checks, help and documentation come.

    num_steps: Annotated[int, Allowed(1, 1_000_000)] = 200

Nothing heavy is imported here, so that a command line can show its help at once.
"""

import dataclasses
import math
import numbers
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from optoscope._core.choices import check_choice
from optoscope._core.literals import read_literal

#: Single precision ends near these magnitudes: what is larger is infinite there, what is smaller is 0.
SMALLEST, LARGEST = 1e-30, 1e30
#: The longest text that a setting may be.
LONGEST_TEXT = 2000


@dataclasses.dataclass(frozen=True)
class Allowed:
    """The numbers that a setting may be; of a tuple, each of its numbers.

    Attributes:
        low, high: the ends of the interval, which belong to it.
        below: whether `high` itself is left out.
        or_infinite: whether infinity is allowed too; it then means "no bound".
        distinct: of a tuple: whether nothing may be there twice.
        at_most: of a tuple: the largest number of entries.
        advice: what to do, where that is not plain.
    """

    low: float = -LARGEST
    high: float = LARGEST
    below: bool = False
    or_infinite: bool = False
    distinct: bool = False
    at_most: int | None = None
    advice: str = ""

    def __contains__(self, number: float) -> bool:
        if number == math.inf:
            return self.or_infinite
        return self.low <= number < self.high if self.below else self.low <= number <= self.high

    def __str__(self) -> str:
        """What is allowed, in words; empty if everything is."""
        low, high = _number(self.low), _number(self.high)
        if self.low == -LARGEST and self.high == LARGEST:
            words = ""
        elif self.high == LARGEST:
            words = "above 0" if self.low == SMALLEST else f"at least {low}"
        elif self.low == SMALLEST:
            words = f"above 0, at most {high}"
        else:
            words = f"from {low} to below {high}" if self.below else f"from {low} to {high}"
        if self.or_infinite:
            words += ", or inf"
        if self.at_most is not None:
            words += f"{', ' if words else ''}at most {self.at_most} of them"
        return words


#: The intervals that many settings share.
SEED = Allowed(0, 2**32 - 1)
POSITIVE = Allowed(SMALLEST)
COUNT = Allowed(1, 1_000_000)
NAMES = Allowed(distinct=True)

#: Types of settings that many functions and commands share.
Seed = Annotated[int, SEED]
NumSteps = Annotated[int, Allowed(1, 1_000_000, advice="the paper uses 200")]
NumProblems = Annotated[int, Allowed(1, 1_000_000, advice="the paper uses 64")]


def settings_of(kind: Any) -> dict[str, Any]:
    """Return the settings of a dataclass, or the arguments of a function, with their annotations."""
    hints = typing.get_type_hints(kind, include_extras=True)
    if dataclasses.is_dataclass(kind):
        return {field.name: hints[field.name] for field in dataclasses.fields(kind)}
    return {name: hint for name, hint in hints.items() if name != "return"}


def check_settings(settings: Any, *, call: Callable[[str], str] = str) -> None:
    """Check every field of a frozen dataclass against its annotation; whole numbers become floats where those belong.

    Args:
        settings: the dataclass.
        call: from a field's name to what messages call it.

    Raises:
        ValueError: if one is not allowed; the message says what is, what it was, and what to do.
    """
    for name, hint in settings_of(type(settings)).items():
        object.__setattr__(settings, name, check_setting(call(name), getattr(settings, name), hint))


def check_setting(name: str, value: Any, hint: Any) -> Any:
    """Return a value as its annotation wants it.

    Args:
        name: what the setting is called.
        value: what it is.
        hint: its annotation: bool, int, float, str, Path, None, a Literal, tuples and unions of these, with or without
            `Allowed` beside them.

    Returns:
        The value; numbers of NumPy and lists become Python's numbers and tuples.

    Raises:
        ValueError: if it is not allowed.

    >>> check_setting("num_steps", 5, NumSteps)
    5
    """
    kind, allowed = _unwrap(hint)
    alternatives = typing.get_args(kind) if typing.get_origin(kind) in (typing.Union, types.UnionType) else (kind,)
    problem = ""
    for alternative in alternatives:
        inner, own = _unwrap(alternative)
        try:
            return _as_kind(name, value, inner, own or allowed)
        except _NotOfThisKind as error:
            problem = problem or str(error)
    raise ValueError(f"`{name}` {_wanted(alternatives, allowed)}, got {_short(value)}{problem}.")


def read_setting(name: str, text: str, hint: Any) -> Any:
    """Return the value that a text stands for: a literal, or the text itself where text is wanted.

    Raises:
        ValueError: if it is not allowed.

    >>> read_setting("num_steps", "5", NumSteps)
    5
    """
    if text in ("inf", "Infinity"):
        return check_setting(name, math.inf, hint)
    try:
        value = read_literal(text)
    except ValueError:
        value = text
    return check_setting(name, value, hint)


def describe(hint: Any) -> str:
    """Return what a setting may be, in words, for help and documentation; empty if the type says it all.

    >>> describe(NumSteps)
    'from 1 to 1000000'
    """
    kind, allowed = _unwrap(hint)
    if typing.get_origin(kind) is Literal:
        return " or ".join(map(str, typing.get_args(kind)))
    words = "" if allowed is None else str(allowed)
    if any(typing.get_origin(inner) is tuple for inner in typing.get_args(kind)):
        return f"such as {_example(kind)}"
    for inner in typing.get_args(kind):
        words = words or ("" if inner is Ellipsis else describe(inner))
    return words


class _NotOfThisKind(Exception):
    """A value is none of the kind; the text is what is wrong with it, if that is not plain."""


def _unwrap(hint: Any) -> tuple[Any, Allowed | None]:
    allowed = None
    while typing.get_origin(hint) is Annotated:
        allowed = next((one for one in hint.__metadata__ if isinstance(one, Allowed)), allowed)
        hint = hint.__origin__
    return hint, allowed


def _as_kind(name: str, value: Any, kind: Any, allowed: Allowed | None) -> Any:
    """Return the value as one of a kind; what is of that kind and yet not allowed is an error at once."""
    if typing.get_origin(kind) is Literal:
        if isinstance(value, str):
            check_choice(name, value, typing.get_args(kind))
            return value
        raise _NotOfThisKind
    if typing.get_origin(kind) is tuple:
        return _as_tuple(name, value, typing.get_args(kind), allowed)
    if kind in (int, float):
        wanted = numbers.Integral if kind is int else numbers.Real
        if isinstance(value, bool) or not isinstance(value, wanted):
            raise _NotOfThisKind
        return _in_range(name, _exactly(value, kind), allowed or Allowed(), kind)
    if kind in (str, Path):
        if not isinstance(value, kind):
            raise _NotOfThisKind
        check_text(name, str(value))
        return value
    if kind is Any or kind is None or kind is types.NoneType:
        if kind is Any or value is None:
            return value
        raise _NotOfThisKind
    if not isinstance(value, kind):
        raise _NotOfThisKind
    return value


def _exactly(value: Any, kind: Any) -> Any:
    try:
        return kind(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _in_range(name: str, value: Any, allowed: Allowed, kind: Any) -> Any:
    if value not in allowed:
        advice = f"; {allowed.advice}" if allowed.advice else ""
        raise ValueError(f"`{name}` must be {_number_in_words(kind, allowed)}, got {_short(value)}{advice}.")
    return value


def _as_tuple(name: str, value: Any, kinds: tuple[Any, ...], allowed: Allowed | None) -> tuple:
    if not isinstance(value, tuple | list):
        raise _NotOfThisKind
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        kinds = kinds[:1] * len(value)
    if len(kinds) != len(value):
        raise _NotOfThisKind(f" with {len(value)} entries instead of {len(kinds)}")
    of_each = None if allowed is None else dataclasses.replace(allowed, distinct=False, at_most=None)
    entries = tuple(
        check_setting(name, entry, Annotated[kind, of_each] if of_each and not _unwrap(kind)[1] else kind)
        for entry, kind in zip(value, kinds)
    )
    if allowed is not None and allowed.distinct:
        twice = [entry for i, entry in enumerate(entries) if entry in entries[:i]]
        if twice:
            raise ValueError(f"`{name}` has {twice[0]!r} twice; name each once.")
    if allowed is not None and allowed.at_most is not None and len(entries) > allowed.at_most:
        raise ValueError(f"`{name}` takes at most {allowed.at_most} entries, got {len(entries)}.")
    return entries


def check_text(name: str, text: str) -> None:
    """Check that a text can be printed and used as a name.

    Raises:
        ValueError: if it is empty, too long, or holds characters that no name has.
    """
    if not text.strip():
        raise ValueError(f"`{name}` is empty; leave it out, or say what it should be.")
    if len(text) > LONGEST_TEXT:
        raise ValueError(f"`{name}` must have at most {LONGEST_TEXT} characters, got {len(text)}: {_short(text)}.")
    bad = next((one for one in text if not one.isprintable()), None)
    if bad is not None:
        raise ValueError(f"`{name}` holds the character {bad!a}, which cannot be printed; got {_short(text)}.")


def _wanted(alternatives: tuple[Any, ...], allowed: Allowed | None) -> str:
    words = {bool: "True or False", str: "text", Path: "a path"}
    known = []
    for one in alternatives:
        kind, own = _unwrap(one)
        if kind in (int, float):
            known.append(_number_in_words(kind, own or allowed or Allowed()))
        elif typing.get_origin(kind) is tuple:
            known.append(f"a tuple such as {_example(kind)}")
        elif kind is types.NoneType:
            known.append("None")
        elif typing.get_origin(kind) is Literal:
            known += map(repr, typing.get_args(kind))
        else:
            known.append(words.get(kind, getattr(kind, "__name__", str(kind))))
    return f"must be {' or '.join(known)}"


def _number_in_words(kind: Any, allowed: Allowed) -> str:
    what = "a whole number" if kind is int else "a number" if allowed.or_infinite else "a finite number"
    words = str(allowed) or f"between {-LARGEST:g} and {LARGEST:g}"
    return f"{what} {'of ' if words.startswith('at least') else ''}{words}"


def _example(kind: Any) -> str:
    kind, allowed = _unwrap(kind)
    if typing.get_origin(kind) is tuple:
        entries = [_example(one) for one in typing.get_args(kind) if one is not Ellipsis]
        return f"({', '.join(entries)}{',' if len(entries) == 1 else ''})"
    low = 1 if allowed is None or allowed.low <= 1 else allowed.low
    return {int: str(low), float: f"{float(low)}"}.get(kind, "'name'")


def _number(value: float) -> str:
    return str(int(value)) if abs(value) < 1e10 and value == int(value) else f"{value:g}"


def _short(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**20:
        return f"a number of {value.bit_length() * 30103 // 100000 + 1} digits"
    text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
