"""How the documentation is built: `make docs`."""

import importlib
import re
import sys
from pathlib import Path

from sphinx.ext.autodoc.mock import mock

import optoscope

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(1, str(Path(__file__).parent.parent))
import public_names

from benchmarks.galleries import galleries


def _is_there(package):
    try:
        importlib.import_module(package)
    except ImportError:
        return False
    return True


project = "optoscope"
author = copyright = "The optoscope authors"
version = release = optoscope.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
myst_heading_anchors = 3
nitpicky = False
suppress_warnings = ["ref.python"]  # a name that two classes share, as in "settings", is no reference

# The notebook is run anew by every build, and an error in it ends the build.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 600

html_theme = "furo"
html_title = "optoscope"
html_static_path = []
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_mock_imports = [] if _is_there("torch") else ["torch"]
napoleon_use_ivar = True


def as_rst(app, what, name, obj, options, lines):
    """Read the docstrings' `code` as code, and |g| and products as they stand: they are written to be read as text."""
    for i, line in enumerate(lines):
        if "`" in line or "|" in line or "*" in line:
            parts = line.replace("``", "`").split("`")
            parts[::2] = [part.replace("|", r"\|").replace("*", r"\*").replace(r"\*\*", "**") for part in parts[::2]]
            lines[i] = line if line.lstrip().startswith((">>>", "...")) else "``".join(parts)


def with_types_as_code(app, what, name, obj, options, lines):
    """Show the types of attributes, which are their shapes, as they stand in the source; keep names together."""
    for i, line in enumerate(lines):
        if names := re.match(r":(?:ivar|param) [\w, ]+:", line):
            lines[i] = names[0].replace(", ", ",") + line[names.end() :]
        if match := re.match(r"(:vartype [^:]+): (.*)", line):
            short = re.sub(r"\b(jaxtyping|jaxlib\._jax|numpy|typing|optoscope\.[\w.]+)\.(?=\w)", "", match[2])
            lines[i] = f"{match[1]}: ``{short}``"


def write_reference(app):
    """Make the pages of the API reference before Sphinx looks for pages."""
    with mock(autodoc_mock_imports):
        public_names.write_pages(Path(app.srcdir) / "api")


def write_explorer(app):
    """Make the interactive page that the page on the explorer shows."""
    names = ("rosenbrock", "rosenbrock/momentum", "rosenbrock/adam")
    optoscope.explore(*names, task=optoscope.tasks.get("rosenbrock")).save(Path(app.outdir) / "explorer.html")


def write_galleries(app):
    """Make the pages of optimizers that others made."""
    for kept in galleries():
        (Path(app.outdir) / f"gallery_{kept.collection}.html").write_text(kept.page())


def setup(app):
    """Say what is done when."""
    app.connect("builder-inited", write_reference)
    app.connect("builder-inited", write_explorer)
    app.connect("builder-inited", write_galleries)
    app.connect("autodoc-process-docstring", as_rst, priority=400)  # before napoleon reads it
    app.connect("autodoc-process-docstring", with_types_as_code, priority=600)  # and after
