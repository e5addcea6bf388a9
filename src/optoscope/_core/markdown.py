"""Markdown that is made, not written: tables, and what stands between two marks of a page."""

from collections.abc import Iterable, Sequence


def table(columns: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """Return a table; a bar inside a cell is escaped.

    Args:
        columns: the heads.
        rows: as many cells each.

    >>> print(table(["rule", "state"], [["momentum", 1], ["a|b", 2]]))
    | rule | state |
    |---|---|
    | momentum | 1 |
    | a\\|b | 2 |
    """
    line = lambda cells: "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"
    return "\n".join([line(columns), "|" + "---|" * len(columns), *map(line, rows)])


def between_marks(text: str, name: str, content: str) -> str:
    """Return a page with new content between the marks `<!-- NAME -->` and `<!-- end of NAME -->`.

    Args:
        text: the page.
        name: of the marks.
        content: what stands between them from now on.

    Raises:
        ValueError: if the page does not have both marks once.

    >>> between_marks("a\\n<!-- t -->old<!-- end of t -->\\nb", "t", "new").splitlines()
    ['a', '<!-- t -->', '', 'new', '', '<!-- end of t -->', 'b']
    """
    start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    if text.count(start) != 1 or text.count(end) != 1:
        raise ValueError(f"the page must have {start} and {end} once each.")
    return text.partition(start)[0] + f"{start}\n\n{content.strip()}\n\n{end}" + text.partition(end)[2]
