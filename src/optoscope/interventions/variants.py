"""The list of interventions that an ablation runs: each mechanism removed, each alone, some together, and controls."""

import dataclasses
from typing import Any

import jax
import numpy as np
import optax

from optoscope._core.types import PRNGKeyArray
from optoscope.anatomy import Dossier
from optoscope.dynamics import update_function
from optoscope.interventions.controls import Unchanged, random_directions
from optoscope.interventions.drift import ReadAtRest, Scheduled
from optoscope.interventions.gain import HoldGain, HoldState, LinearMemory
from optoscope.interventions.groups import by_group, equal_size_factors
from optoscope.interventions.landmarks import drifts, has_slope_at_start, held_at_rest, modes_of, path_to_rest
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


def make_variants(
    dossier: Dossier, *, mechanisms: tuple[str, ...], num_controls: int, key: PRNGKeyArray
) -> tuple[list[Variant], dict[str, str]]:
    """Make all variants that an optimizer allows.

    Args:
        dossier: what is known of the optimizer, on tuning problems.
        mechanisms: which of `MECHANISMS` to remove, and to try alone.
        num_controls: random draws beside the removal of modes.
        key: draws them.

    Returns:
        The variants, and for each mechanism that it does not have, or that cannot be removed, the reason.
    """
    variants, left_out = [Variant(INTACT, "", "intact", dossier.optimizer), *_nothing(dossier)], {}
    makers = {
        "momentum": lambda: _momentum(dossier, num_controls, key),
        "clipping": lambda: _clipping(dossier),
        "schedule": lambda: _schedule(dossier),
        "adaptation": lambda: _adaptation(dossier),
        "non-monotonicity": lambda: _non_monotonicity(dossier),
        "grouping": lambda: _grouping(dossier),
    }
    for mechanism in mechanisms:
        made = makers[mechanism]()
        if isinstance(made, str):
            left_out[mechanism] = made
        else:
            variants += made
    if len(mechanisms) > 1:
        variants += _together(dossier)
    return variants, left_out


def _nothing(dossier):
    optimizer = dossier.optimizer
    nothing = np.zeros((optimizer.num_states, optimizer.num_states))
    return [
        Variant("unchanged, wrapped", "", "control", Unchanged(optimizer)),
        Variant("no direction removed", "", "control", RemoveDirections(optimizer, path_to_rest(dossier), nothing)),
    ]


def _momentum(dossier, num_controls, key):
    optimizer = dossier.optimizer
    made = [Variant("offset removed", "momentum", "removed", RemoveOffset(optimizer))]
    modes, path = modes_of(dossier), path_to_rest(dossier)
    if modes is None:
        return made
    leading = modes.leading()
    if not len(leading):
        return "absent: linearized at rest, it remembers nothing of a gradient"
    removal = remove_modes(optimizer, modes, leading, path=path)
    notes: dict[str, Any] = {
        "modes": len(leading),
        "largest |decay|": float(np.abs(modes.decays[leading]).max()),
    }
    made.append(Variant("leading modes removed", "momentum", "removed", removal, notes=notes))
    visited = np.asarray(dossier.visits.states, float)
    deviations = visited - path[np.minimum(np.arange(visited.shape[1]), len(path) - 1)]
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
                RemoveDirections(optimizer, path, control.removed),
                control_of="leading modes removed",
                notes={
                    "variance ratio": control.variance_ratio,
                    "removed variance ratio": control.removed_ratio,
                    "overlap with the modes": control.overlap,
                },
            )
        )
    if len(leading) < optimizer.num_states:
        kept = keep_modes(optimizer, modes, leading, path=path)
        made.append(Variant("all but the leading modes removed", "leading modes, nonlinear", "together", kept))
    some, whole = modes.as_optimizer(leading), modes.as_optimizer()
    made.append(Variant("leading modes alone", "momentum", "alone", some))
    made.append(Variant("all modes alone (linearized)", "momentum", "alone", whole))
    return made


def _clipping(dossier):
    if not has_slope_at_start(dossier):
        return "undecided: its update function has no slope at g = 0 in some states, so there is no tangent"
    optimizer, rest = dossier.optimizer, dossier.rest_point.state[None]
    return [
        Variant("tangent readout", "clipping", "removed", Tangent(optimizer)),
        Variant("tangent readout and state", "clipping", "removed", Tangent(optimizer, state="tangent")),
        Variant("update function at rest alone", "clipping", "alone", HoldState(optimizer, rest)),
    ]


def _schedule(dossier):
    optimizer = dossier.optimizer
    if not drifts(dossier):
        return "absent: without gradients its state does not move"
    path, rest = path_to_rest(dossier), dossier.rest_point.state
    made = [
        Variant("started at rest", "schedule", "removed", held_at_rest(dossier)),
        Variant("read out at rest", "schedule", "removed", ReadAtRest(optimizer, path, rest)),
    ]
    if has_slope_at_start(dossier):
        alone = Scheduled(GradientDescent(1.0), dossier.autonomous.learning_rates)
        made.append(Variant("learning rates times gradient", "schedule", "alone", alone))
    return made


def _adaptation(dossier):
    optimizer = dossier.optimizer
    made = [
        Variant(
            "gain of the run without gradients", "adaptation", "removed", HoldGain(optimizer, path_to_rest(dossier))
        ),
        Variant("gain of the mean state", "adaptation", "removed", HoldGain(optimizer, dossier.mean_path())),
    ]
    if has_slope_at_start(dossier):
        alone = Tangent(RemoveOffset(held_at_rest(dossier)))
        made.append(Variant("state's slope times gradient", "adaptation", "alone", alone))
    return made


def _non_monotonicity(dossier):
    largest = dossier.range.high
    grid = np.geomspace(1e-4 * largest, largest, 400)
    states = np.stack([dossier.autonomous.states[0], dossier.rest_point.state])
    lost = float(update_function(dossier.optimizer, states, np.append(-grid[::-1], grid)).slope_back.max())
    if lost < 1e-3:
        return f"absent: up to |g| = {largest:g} its update function does not slope back, initially and at rest"
    return [
        Variant(
            "running maximum over |g|",
            "non-monotonicity",
            "removed",
            Monotonic(dossier.optimizer),
            notes={"share of the largest update lost on the way back": lost},
        )
    ]


def _grouping(dossier):
    if len(dossier.visits.groups) < 2:
        return "absent: the task has one group of parameters"
    optimizer, visits = dossier.optimizer, dossier.visits
    everywhere = range(len(visits.groups))
    sizes = [float(np.sqrt(np.mean(np.square(visits.gradients[visits.group == i], dtype=float)))) for i in everywhere]
    factors = equal_size_factors(sizes, dossier.group_sizes)
    equal = by_group([Rescaled(optimizer, 1 / factor, factor) for factor in factors])
    own = by_group([HoldGain(optimizer, dossier.mean_path(i)) for i in everywhere])
    common = by_group([HoldGain(optimizer, dossier.mean_path()) for _ in everywhere])
    name = "gain of each group's mean state"
    notes = dict(zip(visits.groups, factors))
    return [
        Variant("gradients of equal size, updates scaled back", "grouping", "removed", equal, notes=notes),
        Variant(name, "grouping", "together", own),
        Variant("gain of all groups' mean state", "grouping", "removed", common, reference=name),
    ]


def _together(dossier):
    optimizer = dossier.optimizer
    rest, path, modes = dossier.rest_point.state, path_to_rest(dossier), modes_of(dossier)
    made = list[Variant]()
    if modes is not None:
        name = "linear memory, update function at rest"
        made.append(Variant(name, "momentum + clipping", "together", LinearMemory(optimizer, rest[None])))
    if not drifts(dossier) or not has_slope_at_start(dossier):
        return made
    if modes is not None:
        rates, last = dossier.autonomous.learning_rates, -dossier.linearization.D
        if last > 0:
            scheduled = Scheduled(modes.as_optimizer(), np.append(rates, last) / last)
            made.append(Variant("learning rates times all modes", "momentum + schedule", "together", scheduled))
        linear = Tangent(LinearMemory(optimizer, path), state="tangent")
        made.append(Variant("linearized along the run without gradients", "momentum + schedule", "together", linear))
    made.append(
        Variant("update functions along that run", "clipping + schedule", "together", HoldState(optimizer, path))
    )
    name = "linear memory and update functions along that run"
    made.append(Variant(name, "momentum + clipping + schedule", "together", LinearMemory(optimizer, path)))
    return made
