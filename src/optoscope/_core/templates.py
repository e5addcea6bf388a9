"""The one way in which pages are filled in: everything is escaped, and what a page asks for must be there."""

import functools
from typing import Any


@functools.cache
def templates_of(package: str) -> Any:
    """Return the `jinja2.Environment` of the templates in a package."""
    import jinja2

    made = jinja2.Environment(
        loader=jinja2.PackageLoader(package),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    made.tests["number_text"] = lambda value: str(value)[:1].isdigit() or str(value)[:1] == "-"
    return made
