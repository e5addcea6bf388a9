"""The campaign is imported as `tests.campaign`, here as in the children of its fork server."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
