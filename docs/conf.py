"""How the documentation is built: `make docs`."""

import optoscope

project = "optoscope"
author = copyright = "The optoscope authors"
version = release = optoscope.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
myst_heading_anchors = 3
nitpicky = False

html_theme = "furo"
html_title = "optoscope"
html_static_path = []
autodoc_typehints = "none"
autodoc_member_order = "bysource"
