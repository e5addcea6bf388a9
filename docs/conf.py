"""How the documentation is built: `make docs`."""

import optoscope

project = "optoscope"
author = copyright = "The optoscope authors"
version = release = optoscope.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
myst_heading_anchors = 3
nitpicky = False

# The notebook is run anew by every build, and an error in it ends the build.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 600

html_theme = "furo"
html_title = "optoscope"
html_static_path = []
autodoc_typehints = "none"
autodoc_member_order = "bysource"
