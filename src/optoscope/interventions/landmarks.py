"""What interventions refer to: the run that an optimizer makes by itself, where it rests, and its modes there."""

import numpy as np
from jaxtyping import Float

from optoscope.anatomy import Dossier
from optoscope.dynamics import Modes
from optoscope.interventions.drift import FreezeDrift, StartAt

#: A state that moves less than this without gradients, in units of its largest coordinate, does not move.
_STILL = 1e-9


def path_to_rest(dossier: Dossier) -> Float[np.ndarray, "step state"]:
    """Return the states of the run without gradients, to which the state at rest is appended.

    A clock that runs out stays there; of an optimizer that never rests it is the end of a long run.

    Raises:
        ValueError: if the state grows without bound.
    """
    path = np.concatenate([dossier.autonomous.states, dossier.rest_point.state[None]])
    if not np.isfinite(path).all():
        raise ValueError(f"the state of {dossier.name} grows without bound when there is no gradient.")
    return path


def drifts(dossier: Dossier) -> bool:
    """Return whether the state moves without gradients: an optimizer that starts at rest has no schedule."""
    path = path_to_rest(dossier)
    return bool(np.ptp(path, axis=0).max(initial=0.0) > _STILL * max(1.0, np.abs(path).max(initial=0.0)))


def has_slope_at_start(dossier: Dossier) -> bool:
    """Return whether the update function has a slope at g = 0 wherever a run begins (Adam's has none)."""
    return bool(dossier.autonomous.has_learning_rate.all())


def modes_of(dossier: Dossier) -> Modes | None:
    """Return the modes at rest; None where it does not rest, where that point does not attract, or has no modes."""
    return dossier.known("modes") if dossier.rest_point.is_attracting else None


def held_at_rest(dossier: Dossier) -> StartAt | FreezeDrift:
    """Return the optimizer without its schedule: started where it rests, or held there if it would go on."""
    still = StartAt if dossier.rest_point.is_attracting else FreezeDrift
    return still(dossier.optimizer, dossier.rest_point.state)
