"""What is a clear answer: the one definition of how a call may end, for all parts of the campaign."""

import re

_PARSER = "helptext"  # the argument parser draws a box around its paragraph, and says where its help is
_MOST_CHARACTERS = 1500
_STOPPED = (130, 143)  # by a signal, for which one word is enough


def complaint(code: int | None, out: str, err: str, *, allowed: tuple[int, ...]) -> str:
    """Say what is wrong with how a command ended; empty if nothing is.

    Args:
        code: its exit code, None for a hang.
        out: its standard output.
        err: its standard error.
        allowed: exit codes that are right here; all but 0 need one paragraph.
    """
    if code is None:
        return "hangs"
    if "Traceback (most recent call last)" in err:
        return f"traceback: {err.strip().splitlines()[-1][:200]}"
    if code < 0 and code not in allowed:
        return f"dies of signal {-code}"
    if code not in allowed:
        return f"exit code {code}, expected {' or '.join(map(str, allowed))}: {paragraph_of(err)[:200]}"
    if "Warning: " in err:
        return f"a bare warning: {next(line for line in err.splitlines() if 'Warning: ' in line)[:200]}"
    if code in _STOPPED and paragraph_of(err):
        return ""
    if code > 0:
        return unclear(err)
    return ""


def unclear(err: str) -> str:
    """Say why standard error does not end with one clear paragraph; empty if it does."""
    if _PARSER in err:
        return ""
    words = paragraph_of(err)
    if not words:
        return f"no paragraph: {err.strip()[-200:]!r}"
    if err.count("\noptoscope: ") + err.startswith("optoscope: ") > 1:
        return "more than one paragraph"
    if "\n" in words.strip():
        return f"a paragraph of several lines: {words[:200]!r}"
    if len(words) > _MOST_CHARACTERS:
        return f"a paragraph of {len(words)} characters: {words[:100]!r}"
    if len(words.split()) < 3:
        return f"a riddle: {words!r}"
    return ""


def paragraph_of(err: str) -> str:
    """Return what a command says at its end, after its progress."""
    found = re.search(r"^optoscope: (.*)\Z", err, re.DOTALL | re.MULTILINE)
    return found[1].strip() if found else ""


#: Exceptions that may leave the library on bad input, by exact type; optoscope's own are known by their module.
_DOCUMENTED = ("ValueError", "TypeError", "FileNotFoundError", "FileExistsError", "PermissionError")


def undocumented(error: BaseException, name: str) -> str:
    """Say why an exception is no clear refusal of a file; empty if it is one.

    Args:
        error: what was raised.
        name: the file's name, or its beginning, which the message has to give.
    """
    kind, text = type(error), str(error)
    if not kind.__module__.startswith("optoscope") and kind.__name__ not in _DOCUMENTED:
        return f"a bare {kind.__name__}: {text[:150]}"
    if len(text.split()) < 4 or len(text) > _MOST_CHARACTERS or "\n" in text.strip():
        return f"an unclear {kind.__name__}: {text[:150]!r}"
    if name not in text:
        return f"a {kind.__name__} that does not name {name}: {text[:150]}"
    return ""
