"""What the page shows of a recorded run."""

from pathlib import Path
from typing import Any

import numpy as np

from optoscope._core.json_data import to_json
from optoscope.recordings import Examination, Recording, examine

#: The most steps that are shown; of more, evenly spaced ones.
_MOST_STEPS = 2000
#: Numbers of each step.
_BY_STEP = ("steps", "losses", "rates", "clip_factors", "gradient_norms", "update_norms")


def run_data(run: Examination | Recording | str | Path) -> dict[str, Any]:
    """Return a run as JSON data: findings, rule, a timeline, margins, and arrays of parameters.

    Args:
        run: an examination; or a recording or its directory, which are examined first.

    Raises:
        FileNotFoundError: if there is no recording.
    """
    found = run if isinstance(run, Examination) else examine(run)
    shown = np.unique(np.linspace(0, len(found.steps) - 1, min(len(found.steps), _MOST_STEPS)).astype(int))
    return to_json(
        {
            "optimizer": found.optimizer,
            "rule": found.rule,
            "findings": found.findings,
            "num_steps": len(found.steps),
            **{name: getattr(found, name)[shown] for name in _BY_STEP},
            "margin_steps": found.margin_steps,
            "margins": found.margins,
            "margin": found.margin,
            "steps_left": found.steps_left,
            "layers": found.layers,
        }
    )
