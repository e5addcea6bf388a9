"""The code on the pages for contributors, and in the README, runs as it stands."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_code_on_the_page_runs(page):
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    if not blocks:
        pytest.skip("no code on this page")
    if page.name == "pytorch.md":
        pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'optoscope[torch]'")
    exec(compile("\n".join(blocks), str(page), "exec"), {"__name__": page.stem})


def test_the_tables_of_the_pages_are_those_that_were_measured(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks.readme import PAGES, filled

    for page in PAGES:
        assert filled(page) == page.read_text()


def test_the_readme_has_the_two_commands_and_its_picture():
    text = (ROOT / "README.md").read_text()
    assert "make reproduce" in text and "make test" in text
    for picture in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text):
        assert (ROOT / picture).stat().st_size > 1000
