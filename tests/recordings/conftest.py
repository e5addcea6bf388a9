"""Planted runs are imported as `tests.recordings`, here as in the tests of the commands."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
