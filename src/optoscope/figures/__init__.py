"""How figures look, and those that are not the paper's: they draw results and compute none.

matplotlib is loaded only when something is drawn.
"""

from typing import Any


def figure_of(result: Any):
    """Draw a result, as its `plot()` does; returns a `matplotlib.figure.Figure`."""
    from optoscope.figures import results

    return results.figure_of(result)
