"""What a recording should have been: another optimizer on the recorded gradients, and where the run differs from it."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from optoscope.artifacts.as_optimizer import as_whole, name_of_optimizer
from optoscope.optimizers import AbstractOptimizer, lift
from optoscope.recordings.findings import Finding
from optoscope.recordings.identify import Identified, Stretch, identify, learning_rates
from optoscope.recordings.reading import Recording

#: Share of the squared updates that may be left over where a run is what was meant.
_LEFT = 1e-3
#: A factor between two rates or decays within which they are the same.
_SAME = 1.02


def expected_updates(
    recording: Recording, optimizer: Any, *, trust: bool = False
) -> Float[np.ndarray, "kept component"]:
    """Return the updates that an optimizer makes of the recorded gradients; NaN outside the stretch looked at.

    Args:
        recording: whose stretch begins with the run: what an optimizer remembers is not known elsewhere.
        optimizer: whatever `as_optimizer` takes; it sees the sampled components as one array.
        trust: as in `as_optimizer`.

    Raises:
        ValueError: if the stretch does not begin with the run.
    """
    whole = as_whole(optimizer, trust=trust)
    tx = lift(whole) if isinstance(whole, AbstractOptimizer) else whole
    data = Stretch(recording)
    if data.start is not None or data.steps[0] != 0:
        raise ValueError(
            "what was meant can be compared only from the first step of a run on, and the recording holds no "
            "components of the first steps; record the run from its beginning."
        )
    updates = np.full(recording.updates.shape, np.nan)
    there = np.flatnonzero(data.there)
    state = None
    for row, g, x in zip(data.rows, data.gradients, data.x):
        params = jnp.asarray(x, jnp.float32)
        state = tx.init(params) if state is None else state
        moves, state = tx.update(jnp.asarray(g, jnp.float32), state, params)
        updates[row, there] = np.asarray(jax.device_get(moves))
    return updates


def differences(
    recording: Recording, found: Identified | None, updates: Float[np.ndarray, "kept component"], meant: Any
) -> list[Finding]:
    """Return where a run differs from what was meant.

    Args:
        recording: the run.
        found: its rule.
        updates: from `expected_updates`.
        meant: what was meant, for its name.
    """
    data, name = Stretch(recording), name_of_optimizer(meant) or "what was meant"
    expected = updates[data.rows][:, data.there]
    left = float(np.sum((data.updates - expected) ** 2) / max(np.sum(data.updates**2), 1e-300))
    if left <= _LEFT:
        return [Finding("as expected", "note", f"the updates are those of {name}, to {left:.1e}", left, "updates")]
    says = f"the updates are not those of {name}: {min(left, 9.99):.0%} of their square is left over"
    made = [Finding("not as expected", "warning", says, left, "updates")]
    if found is None or not found.is_found:
        return made
    other = identify(recording, updates)
    if not other.is_found:
        return made
    own, wanted = found.rule, other.rule
    for field, words in (("memory", "memory"), ("gain", "gain"), ("clock", "clock"), ("nesterov", "look ahead")):
        a, b = getattr(own, field), getattr(wanted, field)
        if a != b:
            made.append(Finding(f"other {words}", "warning", f"{words}: {a} was run, {b} was meant", left, "updates"))
    for field, words in (("b1", "decay of the memory"), ("b2", "decay of the mean square")):
        a, b = getattr(own, field), getattr(wanted, field)
        if abs(a - b) > 1e-3 and (a and b):
            made.append(
                Finding(f"other {words}", "warning", f"{words}: {a:.4g} was run, {b:.4g} was meant", a, "updates")
            )
    decay, meant_decay = (float(np.nanmedian(one.decays)) for one in (found, other))
    for a, b, words in (
        (decay, meant_decay, "decoupled weight decay"),
        (own.coupled, wanted.coupled, "weight decay added to the gradient"),
    ):
        if abs(a - b) > 1e-4 + 0.02 * max(abs(a), abs(b)):
            says = f"{words}: {a if abs(a) > 1e-4 else 0:.3g} was run, {b if abs(b) > 1e-4 else 0:.3g} was meant"
            made.append(Finding(f"other {words}", "warning", says, a, "updates"))
    held = learning_rates(recording)[recording.kept_rows[data.rows]]
    for g in range(len(found.rates)):
        rates = found.rates[g] * held[:, g], other.rates[g] * held[:, g]
        if not all(np.isfinite(one).all() for one in rates):
            continue
        ratio = rates[0] / np.where(rates[1], rates[1], np.nan)
        if not 1 / _SAME < np.nanmedian(ratio) < _SAME or np.nanmax(ratio) > _SAME * np.nanmin(ratio):
            says = (
                f"learning rate of group {g}: {rates[0][0]:.3g} at first and {rates[0][-1]:.3g} at last were run, "
                f"{rates[1][0]:.3g} and {rates[1][-1]:.3g} were meant"
            )
            made.append(Finding("other learning rate", "warning", says, float(np.nanmedian(ratio)), "learning rate"))
    return made
