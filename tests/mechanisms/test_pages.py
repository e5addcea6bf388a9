"""The code on the mechanisms' pages runs as it stands."""

import re
from pathlib import Path

import pytest

PAGES = sorted((Path(__file__).parents[2] / "docs" / "mechanisms").glob("*.md"))


@pytest.mark.parametrize(
    "page", [page for page in PAGES if "```python" in page.read_text()], ids=lambda page: page.name
)
def test_code_on_the_page_runs(page):
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    exec(compile("\n".join(blocks), str(page), "exec"), {"__name__": page.stem})


def test_every_mechanism_has_a_page():
    assert {page.stem for page in PAGES} >= {"momentum", "clipping", "schedule", "adaptation", "grouping"}
