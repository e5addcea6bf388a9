"""The list of interventions that an ablation runs: each mechanism removed, each alone, some together, and controls."""

import dataclasses
from typing import Any

import jax
import numpy as np
import optax
from jaxtyping import Float

from optoscope._types import PRNGKeyArray
from optoscope.anatomy import Visits, gradient_range
from optoscope.dynamics import update_function
from optoscope.interventions.controls import Unchanged, random_directions
from optoscope.interventions.drift import FreezeDrift, ReadAtRest, Scheduled, StartAt
from optoscope.interventions.gain import HoldGain, HoldState, LinearMemory
from optoscope.interventions.groups import by_group, equal_size_factors
from optoscope.interventions.landmarks import Landmarks, leading_modes
from optoscope.interventions.modes import RemoveDirections, keep_modes, remove_modes
from optoscope.interventions.readout import Monotonic, RemoveOffset, Rescaled, Tangent
from optoscope.optimizers import AbstractOptimizer, GradientDescent

#: The mechanisms that can be removed, in the order of the paper.
MECHANISMS = ("momentum", "clipping", "schedule", "adaptation", "non-monotonicity", "grouping")
#: The name under which the optimizer itself stands.
INTACT = "intact"
#: Random directions whose mean squared cosine with those removed is larger are no control for them.
_SAME = 0.9


@dataclasses.dataclass(frozen=True)
class Variant:
    """One optimizer made from the one under study.

    Attributes:
        name: unique within an ablation.
        mechanism: what it is about; for several together their names, joined by ` + `.
        kind: `intact`, `removed`, `alone`, `together`, `control` or `baseline`.
        optimizer: component-wise, or made by `by_group`.
        reference: the variant with which it is compared.
        control_of: of a control, the variant beside which it stands.
        notes: numbers about it, as JSON data.
    """

    name: str
    mechanism: str
    kind: str
    optimizer: AbstractOptimizer | optax.GradientTransformation
    reference: str = INTACT
    control_of: str = ""
    notes: dict[str, Any] = dataclasses.field(default_factory=dict)

    def rescaled(self, factor: float) -> AbstractOptimizer | optax.GradientTransformation:
        """Return it with all updates multiplied by a factor; another factor does not compile anew."""
        scale = jax.numpy.asarray(factor, jax.numpy.float32)
        if isinstance(self.optimizer, AbstractOptimizer):
            return Rescaled(self.optimizer, scale)
        return by_group([Rescaled(one, scale) for one in self.optimizer.init.args[0]])  # type: ignore[attr-defined]


@dataclasses.dataclass(frozen=True)
class Subject:
    """What variants are made from.

    Attributes:
        optimizer: the optimizer under study.
        landmarks: of it.
        visits: what it met on tuning problems.
        num_components: components in each group of parameters.
    """

    optimizer: AbstractOptimizer
    landmarks: Landmarks
    visits: Visits
    num_components: list[int]

    @property
    def has_slope_at_start(self) -> bool:
        """Whether the update function has a slope at g = 0 wherever a run begins (Adam's has none)."""
        return bool(self.landmarks.autonomous.has_learning_rate.all())

    def mean_path(self, group: int | None = None) -> Float[np.ndarray, "step state"]:
        """Return the mean state at each step, over one group or over all components of the parameters."""
        states = np.asarray(self.visits.states, float)
        of = [states[self.visits.group == i].mean(0) for i in range(len(self.visits.groups))]
        return np.average(of, axis=0, weights=self.num_components) if group is None else of[group]


def make_variants(
    subject: Subject, *, mechanisms: tuple[str, ...], num_controls: int, key: PRNGKeyArray
) -> tuple[list[Variant], dict[str, str]]:
    """Make all variants that an optimizer allows.

    Args:
        subject: the optimizer and what is known of it.
        mechanisms: which of `MECHANISMS` to remove, and to try alone.
        num_controls: random draws beside the removal of modes.
        key: draws them.

    Returns:
        The variants, and for each mechanism that it does not have, or that cannot be removed, the reason.
    """
    variants, left_out = [Variant(INTACT, "", "intact", subject.optimizer), *_nothing(subject)], {}
    makers = {
        "momentum": lambda: _momentum(subject, num_controls, key),
        "clipping": lambda: _clipping(subject),
        "schedule": lambda: _schedule(subject),
        "adaptation": lambda: _adaptation(subject),
        "non-monotonicity": lambda: _non_monotonicity(subject),
        "grouping": lambda: _grouping(subject),
    }
    for mechanism in mechanisms:
        made = makers[mechanism]()
        if isinstance(made, str):
            left_out[mechanism] = made
        else:
            variants += made
    if len(mechanisms) > 1:
        variants += _together(subject)
    return variants, left_out


def _nothing(subject):
    optimizer, landmarks = subject.optimizer, subject.landmarks
    nothing = np.zeros((optimizer.num_states, optimizer.num_states))
    return [
        Variant("unchanged, wrapped", "", "control", Unchanged(optimizer)),
        Variant("no direction removed", "", "control", RemoveDirections(optimizer, landmarks.path, nothing)),
    ]


def _momentum(subject, num_controls, key):
    optimizer, landmarks = subject.optimizer, subject.landmarks
    made = [Variant("offset removed", "momentum", "removed", RemoveOffset(optimizer))]
    if landmarks.modes is None:
        return made
    leading = leading_modes(landmarks.modes)
    if not len(leading):
        return "absent: linearized at rest, it remembers nothing of a gradient"
    removal = remove_modes(optimizer, landmarks.modes, leading, path=landmarks.path)
    notes: dict[str, Any] = {
        "modes": len(leading),
        "largest |decay|": float(np.abs(landmarks.modes.decays[leading]).max()),
    }
    made.append(Variant("leading modes removed", "momentum", "removed", removal, notes=notes))
    visited = np.asarray(subject.visits.states, float)
    deviations = visited - landmarks.path[np.minimum(np.arange(visited.shape[1]), len(landmarks.path) - 1)]
    for i, draw_key in enumerate(jax.random.split(key, num_controls)):
        control = random_directions(removal.removed, deviations, key=draw_key)
        if control.overlap > _SAME:
            notes["draws left out as nearly the same directions"] = (
                notes.get("draws left out as nearly the same directions", 0) + 1
            )
            continue
        made.append(
            Variant(
                f"random directions removed, draw {i + 1}",
                "momentum",
                "control",
                RemoveDirections(optimizer, landmarks.path, control.removed),
                control_of="leading modes removed",
                notes={
                    "variance ratio": control.variance_ratio,
                    "removed variance ratio": control.removed_ratio,
                    "overlap with the modes": control.overlap,
                },
            )
        )
    if len(leading) < optimizer.num_states:
        kept = keep_modes(optimizer, landmarks.modes, leading, path=landmarks.path)
        made.append(Variant("all but the leading modes removed", "leading modes, nonlinear", "together", kept))
    some, whole = landmarks.modes.as_optimizer(leading), landmarks.modes.as_optimizer()
    made.append(Variant("leading modes alone", "momentum", "alone", some))
    made.append(Variant("all modes alone (linearized)", "momentum", "alone", whole))
    return made


def _clipping(subject):
    if not subject.has_slope_at_start:
        return "undecided: its update function has no slope at g = 0 in some states, so there is no tangent"
    optimizer, rest = subject.optimizer, subject.landmarks.rest[None]
    return [
        Variant("tangent readout", "clipping", "removed", Tangent(optimizer)),
        Variant("tangent readout and state", "clipping", "removed", Tangent(optimizer, state="tangent")),
        Variant("update function at rest alone", "clipping", "alone", HoldState(optimizer, rest)),
    ]


def _schedule(subject):
    optimizer, landmarks = subject.optimizer, subject.landmarks
    if not landmarks.drifts:
        return "absent: without gradients its state does not move"
    still = StartAt if landmarks.at_rest else FreezeDrift
    made = [
        Variant("started at rest", "schedule", "removed", still(optimizer, landmarks.rest)),
        Variant("read out at rest", "schedule", "removed", ReadAtRest(optimizer, landmarks.path, landmarks.rest)),
    ]
    if subject.has_slope_at_start:
        alone = Scheduled(GradientDescent(1.0), landmarks.autonomous.learning_rates)
        made.append(Variant("learning rates times gradient", "schedule", "alone", alone))
    return made


def _adaptation(subject):
    optimizer, landmarks = subject.optimizer, subject.landmarks
    made = [
        Variant("gain of the run without gradients", "adaptation", "removed", HoldGain(optimizer, landmarks.path)),
        Variant("gain of the mean state", "adaptation", "removed", HoldGain(optimizer, subject.mean_path())),
    ]
    if subject.has_slope_at_start:
        still = StartAt if landmarks.at_rest else FreezeDrift
        alone = Tangent(RemoveOffset(still(optimizer, landmarks.rest)))
        made.append(Variant("state's slope times gradient", "adaptation", "alone", alone))
    return made


def _non_monotonicity(subject):
    largest = gradient_range(subject.visits.gradients)
    states = np.stack([subject.landmarks.path[0], subject.landmarks.rest])
    grid = np.append(0.0, np.geomspace(1e-4 * largest, largest, 400))
    lost = 0.0
    for sign in (-1, 1):
        updates = update_function(subject.optimizer, states, sign * grid).updates
        moved = -sign * (updates - updates[:, :1])
        highest = np.maximum.accumulate(moved, axis=1)
        lost = max(lost, float((highest - moved).max() / max(np.abs(moved).max(), np.finfo(float).tiny)))
    if lost < 1e-3:
        return f"absent: up to |g| = {largest:g} its update function does not slope back, initially and at rest"
    return [
        Variant(
            "running maximum over |g|",
            "non-monotonicity",
            "removed",
            Monotonic(subject.optimizer),
            notes={"share of the largest update lost on the way back": lost},
        )
    ]


def _grouping(subject):
    if len(subject.visits.groups) < 2:
        return "absent: the task has one group of parameters"
    optimizer, visits = subject.optimizer, subject.visits
    everywhere = range(len(visits.groups))
    sizes = [float(np.sqrt(np.mean(np.square(visits.gradients[visits.group == i], dtype=float)))) for i in everywhere]
    factors = equal_size_factors(sizes, subject.num_components)
    equal = by_group([Rescaled(optimizer, 1 / factor, factor) for factor in factors])
    own = by_group([HoldGain(optimizer, subject.mean_path(i)) for i in everywhere])
    common = by_group([HoldGain(optimizer, subject.mean_path()) for _ in everywhere])
    name = "gain of each group's mean state"
    notes = dict(zip(visits.groups, factors))
    return [
        Variant("gradients of equal size, updates scaled back", "grouping", "removed", equal, notes=notes),
        Variant(name, "grouping", "together", own),
        Variant("gain of all groups' mean state", "grouping", "removed", common, reference=name),
    ]


def _together(subject):
    optimizer, landmarks = subject.optimizer, subject.landmarks
    rest, path, made = landmarks.rest[None], landmarks.path, []
    if landmarks.modes is not None:
        name = "linear memory, update function at rest"
        made.append(Variant(name, "momentum + clipping", "together", LinearMemory(optimizer, rest)))
    if not landmarks.drifts or not subject.has_slope_at_start:
        return made
    if landmarks.modes is not None:
        rates = landmarks.autonomous.learning_rates
        if rates[-1] > 0:
            scheduled = Scheduled(landmarks.modes.as_optimizer(), rates / rates[-1])
            made.append(Variant("learning rates times all modes", "momentum + schedule", "together", scheduled))
        linear = Tangent(LinearMemory(optimizer, path), state="tangent")
        made.append(Variant("linearized along the run without gradients", "momentum + schedule", "together", linear))
    made.append(
        Variant("update functions along that run", "clipping + schedule", "together", HoldState(optimizer, path))
    )
    name = "linear memory and update functions along that run"
    made.append(Variant(name, "momentum + clipping + schedule", "together", LinearMemory(optimizer, path)))
    return made
