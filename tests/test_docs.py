"""The docs are true: code on pages runs and prints what they say, links lead somewhere, no public name is missing."""

import contextlib
import importlib
import importlib.util
import inspect
import io
import re
from pathlib import Path

import pytest

import optoscope
from optoscope._core.markdown import between_marks
from optoscope.cli.reference import arguments_reference, settings_reference

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
#: A block of Python, and the block of output behind it, if there is one.
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\s*^```output\n(.*?)^```$)?", re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if "```python" in page.read_text()], ids=lambda page: page.stem
)
def test_code_on_the_page_runs_and_prints_what_it_says(page):
    if page.stem in ("pytorch", "compare", "whole_optimizers"):
        pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'optoscope[torch]'")
    names = {"__name__": page.stem}
    blocks = list(BLOCK.finditer(page.read_text()))
    assert len(blocks) == page.read_text().count("```python")
    for code, output in (block.groups() for block in blocks):
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(code, str(page), "exec"), names)
        if output is not None:
            assert printed.getvalue() == output


def test_the_page_on_the_command_line_says_what_the_help_says():
    text = (DOCS / "command_line.md").read_text()
    for name, reference in (("settings", settings_reference), ("arguments", arguments_reference)):
        assert between_marks(text, name, reference()) == text, "python -m benchmarks.pages writes it"


def test_the_readme_is_short_and_has_the_two_commands_and_its_picture():
    text = (ROOT / "README.md").read_text()
    assert 500 <= len(text.split()) <= 600
    assert "make reproduce" in text and "make test" in text
    (picture,) = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text)
    assert (ROOT / picture).stat().st_size > 1000


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_every_mechanism_has_a_page_that_says_what_its_source_says():
    mechanisms = {path.stem for path in (DOCS / "mechanisms").glob("*.md")}
    assert mechanisms == {"momentum", "clipping", "schedule", "adaptation", "grouping"}
    for name in mechanisms:
        says = importlib.import_module(f"optoscope.mechanisms.{name}").__doc__
        assert all(f"**{part}.**" in says for part in ("Definition", "Estimator", "When it misleads"))
        assert f"automodule:: optoscope.mechanisms.{name}\n" in (DOCS / "mechanisms" / f"{name}.md").read_text()


def test_every_page_is_in_the_contents():
    contents = (DOCS / "index.md").read_text()
    for page in sorted(DOCS.rglob("*.md")):
        name = page.relative_to(DOCS).with_suffix("").as_posix()
        assert name == "index" or name.startswith("mechanisms/") or f"\n{name}\n" in contents


@pytest.fixture(scope="module")
def reference():
    spec = importlib.util.spec_from_file_location("public_names", DOCS / "public_names.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_no_public_name_is_missing_in_the_reference(reference):
    pages = {room: reference.page(room) for room in reference.rooms()}
    subpackages = {name for name in optoscope.__all__ if inspect.ismodule(getattr(optoscope, name))}
    assert {f"optoscope.{name}" for name in subpackages} < set(pages)
    assert set(optoscope.__all__) - subpackages == set(reference.public_names("optoscope"))
    for room, page in pages.items():
        for name in reference.public_names(room):
            assert f"`{name} <" in page
            assert len(reference.first_line(room, name)) > 10, f"{room}.{name} says nothing of itself"
    documented = re.findall(r":: optoscope\.(?:\w+\.)*(\w+)$", "".join(pages.values()), re.MULTILINE)
    assert set(optoscope.__all__) - subpackages <= set(documented)
    assert len(documented) > 200


def test_no_two_public_classes_share_a_name(reference):
    where = {}
    for room in reference.rooms():
        for name, module in reference.public_names(room).items():
            value = getattr(importlib.import_module(module), name)
            if inspect.isclass(value):
                where.setdefault(name, set()).add(value)
    assert not {name for name, values in where.items() if len(values) > 1}
