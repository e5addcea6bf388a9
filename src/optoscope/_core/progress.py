"""How long work tells where it stands; silent unless somebody listens."""

from collections.abc import Callable
from typing import Any

#: Called with what is being done, how much of it is done, and how much there is.
Report = Callable[[str, int, int], Any]
#: Called with a sentence about the work, such as a damaged file that is passed over.
Announce = Callable[[str], Any]


def silent(*told: Any) -> None:
    """Tell nobody."""
