"""The check of a name against the known ones. It imports nothing heavy, so that a command line can use it."""

from collections.abc import Iterable
from difflib import get_close_matches

_MOST = 40  # names that are listed


def check_choice(what: str, name: str, known: Iterable[str]) -> None:
    """Check that `name` is one of `known`.

    Raises:
        ValueError: naming the nearest known names and all of them.
    """
    known = sorted(known)
    if name in known:
        return
    near = get_close_matches(str(name), known, n=1)
    guess = f" Did you mean {near[0]!r}?" if near else ""
    shown = known if len(known) <= _MOST else [*known[:_MOST], f"and {len(known) - _MOST} others"]
    raise ValueError(f"unknown {what} {name!r}.{guess} Known: {', '.join(shown)}.")
