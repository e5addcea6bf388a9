"""What a recording should have been: another optimizer on the recorded gradients, and where the run differs from it."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from optoscope.artifacts.as_optimizer import as_whole, name_of_optimizer
from optoscope.optimizers import AbstractOptimizer, lift
from optoscope.recordings.findings import Finding, share_in_words
from optoscope.recordings.identify import Identified, Stretch, identify, learning_rates
from optoscope.recordings.reading import Recording
from optoscope.whole import find_component

#: Share of the squared updates that may be left over where a run is what was meant.
_LEFT = 1e-3
#: The same of one step; the share of steps that must be what was meant; first steps that tell whether a run began so.
_LEFT_OF_ONE, _MOST, _FEW = 1e-2, 0.98, 20
#: The longest run that is made again.
_LONGEST = 20_000
#: A factor between two rates or decays within which they are the same.
_SAME = 1.02


def expected_updates(
    recording: Recording, optimizer: Any, *, trust: bool = False
) -> Float[np.ndarray, "kept component"]:
    """Return the updates that an optimizer makes of the recorded gradients; NaN at steps that it cannot be run to.

    Args:
        recording: that begins with the run: what an optimizer remembers is not known elsewhere. It is run as long as
            no step is missing.
        optimizer: whatever `as_optimizer` takes; it sees the sampled components as one array.
        trust: as in `as_optimizer`.

    Raises:
        ValueError: if the recording does not begin with the run, or the optimizer's components depend on each other.
    """
    whole = as_whole(optimizer, trust=trust)
    if find_component(whole).context is not None:
        raise ValueError(
            f"{name_of_optimizer(optimizer) or 'what was meant'} cannot be compared on a sample: its components depend "
            "on each other. Give the part that treats each by itself; gradients were recorded as the optimizer got "
            "them, after clipping."
        )
    tx = lift(whole) if isinstance(whole, AbstractOptimizer) else whole
    data = Stretch(recording)
    if data.start is not None or data.steps[0] != 0:
        raise ValueError(
            "what was meant can be compared only from the first step of a run on, and the recording holds no "
            "components of the first steps; record the run from its beginning."
        )
    updates = np.full(recording.updates.shape, np.nan)
    there = np.flatnonzero(data.there)
    state, move = None, jax.jit(tx.update)
    for row in range(recording.windows()[0].stop)[:_LONGEST]:
        g, x = recording.gradients[row, there], recording.x[row, there]
        if not np.isfinite(g + x).all():
            break
        params = jnp.asarray(x, jnp.float32)
        state = tx.init(params) if state is None else state
        moves, state = move(jnp.asarray(g, jnp.float32), state, params)
        updates[row, there] = np.asarray(jax.device_get(moves))
    return updates


def differences(
    recording: Recording, found: Identified | None, updates: Float[np.ndarray, "kept component"], meant: Any
) -> list[Finding]:
    """Return where a run differs from what was meant.

    A schedule is not part of a text that names an optimizer: where the updates are what was meant but for a factor at
    each step, and this is how the recorded learning rates go, that is said.

    Args:
        recording: the run.
        found: its rule.
        updates: from `expected_updates`.
        meant: what was meant, for its name.
    """
    data, name = Stretch(recording), name_of_optimizer(meant) or "what was meant"
    known = np.flatnonzero(np.isfinite(updates[:, data.there]).all(1))
    expected, was = updates[known][:, data.there], recording.updates[known][:, data.there]
    steps = recording.kept_steps[known]
    each = lambda some: np.sum(some**2, 1) / np.maximum(np.sum(was**2, 1), 1e-300)
    share = lambda some: float(np.sum(some**2) / max(np.sum(was**2), 1e-300))
    left = share(was - expected)
    span = f"of steps {steps[0]} to {steps[-1]}"
    if left <= _LEFT and each(was - expected).max() <= _LEFT_OF_ONE:
        return [
            Finding("as expected", "note", f"the updates {span} are those of {name}, to {left:.1e}", left, "updates")
        ]
    factors = np.sum(was * expected, 1) / np.maximum(np.sum(expected**2, 1), 1e-300)
    scaled = was - factors[:, None] * expected
    parts = each(was - expected)
    late = int(np.argmax(parts > _LEFT_OF_ONE)) if (parts[:_FEW] <= _LEFT).all() else 0
    rates = learning_rates(recording)[recording.kept_rows[known]]
    is_scaled = np.sum(each(scaled) <= _LEFT) >= _MOST * len(steps) and share(scaled) <= _LEFT
    if is_scaled and (not late or (np.isfinite(rates).all() and np.ptp(rates) > 0)):
        return _scheduled(recording, known, factors, left, f"the updates {span} are those of {name}")
    begin = f", from step {steps[late]} on" if late else ""
    says = f"the updates {span} are not those of {name}{begin}: {share_in_words(left)} is left over"
    made = [Finding("not as expected", "warning", says, left, "updates")]
    if found is None or not found.is_found or late:
        return made
    other = identify(recording, updates, has_rates=False)
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
    decay, meant_decay = (float(one.own_decays[np.isfinite(one.decays)].max(initial=0.0)) for one in (found, other))
    for a, b, words in (
        (decay, meant_decay, "decoupled weight decay"),
        (own.coupled, wanted.coupled, "weight decay added to the gradient"),
    ):
        if abs(a - b) > 1e-4 + 0.02 * max(abs(a), abs(b)):
            says = f"{words}: {a:.3g} was run, {b:.3g} was meant"
            made.append(Finding(f"other {words}", "warning", says, a, "updates"))
    held = learning_rates(recording)[recording.kept_rows[data.rows]]
    for g in np.flatnonzero(np.isfinite(found.rates) & np.isfinite(other.rates)):
        run, wish = found.rates[g] * held[:, g], float(other.rates[g])
        if np.isfinite(run).all() and wish and not ((run > wish / _SAME) & (run < wish * _SAME)).all():
            ran = f"{run[0]:.3g}" if np.ptp(run) == 0 else f"{run[0]:.3g} at first and {run[-1]:.3g} at last"
            says = f"learning rate of group {g}: {ran} was run, {wish:.3g} was meant"
            made.append(Finding("other learning rate", "warning", says, float(np.median(run) / wish), "learning rate"))
    return made


def _scheduled(recording: Recording, known: np.ndarray, factors: np.ndarray, left: float, says: str) -> list[Finding]:
    """The findings where updates are those that were meant but for a factor at each step."""
    held = learning_rates(recording)[recording.kept_rows[known]]
    if np.isfinite(held).all() and held.any() and np.ptp(held, axis=1).max() == 0:
        rates = held[:, 0]
        ratios = factors[rates != 0] / rates[rates != 0]
        meant = float(1 / np.median(ratios))
        if np.ptp(ratios) <= 0.02 * np.abs(ratios).max():
            was = f"{rates[0]:.3g}" if np.ptp(rates) == 0 else f"between {rates.min():.3g} and {rates.max():.3g}"
            if np.ptp(rates) and 1 / _SAME < rates.max() / meant < _SAME:
                says += f" with a schedule: its learning rate of {meant:.3g} is the largest of those recorded, {was}"
                return [Finding("as expected but for a schedule", "note", says, meant, "learning rate")]
            words = f"learning rate: {was} was run, {meant:.3g} was meant"
            return [
                Finding("not as expected", "warning", f"{says} at another learning rate", left, "updates"),
                Finding("other learning rate", "warning", words, float(rates.max() / meant), "learning rate"),
            ]
    course = f"{factors[0]:.3g} at first, {factors.max():.3g} at most, {factors[-1]:.3g} at last"
    return [
        Finding("not as expected", "warning", f"{says} times a factor of {course}", left, "updates"),
        Finding("other learning rate", "warning", f"the learning rate is {course}, times that which was meant",
                float(np.median(factors)), "learning rate"),
    ]  # fmt: skip
