"""Everything that is known about one optimizer: each quantity computed once, when it is first asked for."""

import copy
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from optoscope._core.checks import check_count
from optoscope._core.results import Result
from optoscope._core.types import PRNGKeyArray
from optoscope.anatomy.center import along_positive_arm, along_rates, best_center, modes_at_rest, search_starts
from optoscope.anatomy.driven import (
    Driven,
    GradientRange,
    drive,
    given_range,
    is_idle,
    met_range,
    own_range,
    range_among,
)
from optoscope.anatomy.groups import GroupPaths, group_paths
from optoscope.anatomy.linear_updates import LinearUpdates, linear_updates
from optoscope.anatomy.operating_point import (
    LearningRates,
    OperatingPoint,
    measure_learning_rates,
    point_after_gradients,
    point_at_rest,
    repels,
)
from optoscope.anatomy.settling import InputAttractors, Rest, find_input_attractors, let_rest
from optoscope.anatomy.shifts import ModeShift, mode_shift
from optoscope.anatomy.thresholds import Thresholds, find_thresholds
from optoscope.artifacts import TrainedOptimizer, TunedOptimizer
from optoscope.artifacts.as_optimizer import AnyOptimizer, name_of_optimizer, read_whole
from optoscope.dynamics import (
    SETTLING_STEPS,
    AutonomousTrajectory,
    Branch,
    FixedPoints,
    Linearization,
    Modes,
    PrincipalComponents,
    Probe,
    RestPoint,
    UpdateFunction,
    continue_fixed_points,
    find_fixed_points,
    find_rest,
    linearize,
    modes,
    principal_components,
    update_function,
)
from optoscope.dynamics.autonomous import with_learning_rates
from optoscope.optimizers import AbstractOptimizer
from optoscope.running.visits import Visits, visit
from optoscope.tasks import AbstractTask, name_of
from optoscope.whole import Structure, find_component
from optoscope.whole import structure as find_structure

#: Modes along which update functions are computed.
NUM_SHIFTS = 4
#: Constant gradients at which fixed points are searched for from everywhere, in units of the largest one met.
INPUTS = np.array([-1.0, -0.1, -0.01, 0.01, 0.1, 1.0])
#: Length of the run without a gradient where each step leaves JAX for the host, and the steps are counted.
_HOST_STEPS = 400


class Dossier:
    """One optimizer, alone or on a task, taken apart (Maheswaranathan et al., 2021, sections 4 and 5).

    Nothing is computed when it is made. Every quantity is an attribute: computed when it is first asked for, and kept.
    One that this optimizer does not have (modes where there is no derivative, visits without a task) raises a
    `ValueError` that says why.

    Attributes:
        optimizer: the rule.
        component: how it was taken out of a whole optimizer.
        task: where it runs; None without one.
        name: what the optimizer is called.
        num_problems, num_steps: size of the runs.
        key: draws problems and starts.

    >>> from optoscope.optimizers import Momentum
    >>> Dossier(Momentum(0.1, 0.9)).modes.decays.real.tolist()
    [0.9]
    """

    def __init__(
        self,
        optimizer: AnyOptimizer,
        task: AbstractTask | None = None,
        *,
        key: PRNGKeyArray | None = None,
        num_problems: int = 64,
        num_steps: int = 200,
        num_starts: int = 505,
        gradients: float | int | tuple[float, float] | list[float] | None = None,
        untrained: AbstractOptimizer | None = None,
        visits: Visits | None = None,
        structure: Structure | None = None,
        name: str | None = None,
    ):
        """Say what is to be taken apart.

        Args:
            optimizer: anything that `optoscope.as_optimizer` takes; an artifact brings its network before meta-training
                with it. Where it is not component-wise, one component is looked at as `find_component` has it.
            task: gives the test problems on which it runs.
            key: draws problems and starts; needed with a task.
            num_problems, num_steps: size of the runs.
            num_starts: of the search for fixed points.
            gradients: the largest magnitude of gradients, or the smallest and the largest. If None that of the task;
                without a task all magnitudes, or for a network those around where it begins to saturate.
            untrained: the same network before meta-training, whose spectrum is the control.
            visits: runs on test problems that were made before.
            structure: of the whole optimizer, where it was measured before.
            name: what to call it; its class if None.

        Raises:
            ValueError: if an argument does not fit.
        """
        check_count("num_problems", num_problems, minimum=2)
        check_count("num_starts", num_starts, minimum=2)
        if task is not None and key is None:
            raise ValueError("with a task, `key` is needed: it draws the test problems; use jax.random.key(0).")
        found = read_whole(optimizer)
        if untrained is None and isinstance(found, TrainedOptimizer):
            untrained = found.untrained
        self._whole = found.optimizer if isinstance(found, TrainedOptimizer | TunedOptimizer) else found
        known = None if structure is None else structure.symmetries
        self.component = find_component(self._whole, symmetries=known)
        if task is not None and self.component.view != "own":
            raise ValueError(
                "on a task only optimizers can be looked at whose components stand by themselves; this one's does not: "
                f"{self.component.reason}. Leave out `task`: one component is then {self.component.sentence}."
            )
        self.optimizer, self.task, self.key = self.component.optimizer, task, key
        self.num_problems, self.num_starts, self.untrained = num_problems, num_starts, untrained
        self.num_steps = check_count("num_steps", num_steps) if visits is None else visits.states.shape[1]
        self.name = name or name_of_optimizer(optimizer) or type(self.optimizer).__name__
        self._given = None if gradients is None else given_range(gradients)
        if visits is not None:
            self.__dict__["visits"] = visits
        if structure is not None:
            self.__dict__["structure"] = structure

    def of(self, optimizer: AbstractOptimizer) -> "Dossier":
        """Return the dossier of another rule in place of this component, of which nothing is known yet."""
        other = copy.copy(self)
        of_the_whole = {"structure"}
        quantities = {name for name in vars(Dossier) if isinstance(vars(Dossier)[name], cached_property)} - of_the_whole
        other.__dict__ = {name: value for name, value in vars(self).items() if name not in quantities}
        other.optimizer = optimizer
        return other

    @property
    def task_name(self) -> str:
        """The task's name; empty without a task."""
        return "" if self.task is None else name_of(self.task)

    def _on_task(self) -> tuple[AbstractTask, PRNGKeyArray]:
        if self.task is None or self.key is None:
            raise ValueError(f"{self.name} has no task here; give one, with a key that draws its problems.")
        return self.task, self.key

    def known(self, quantity: str) -> Any:
        """Return a quantity by its name; None where this optimizer does not have it."""
        try:
            return getattr(self, quantity)
        except ValueError:
            return None

    # What it does.

    @cached_property
    def probe(self) -> Probe:
        """Compiled experiments on the optimizer in float64."""
        return Probe(self.optimizer)

    @cached_property
    def visits(self) -> Visits:
        """Runs on test problems."""
        task, key = self._on_task()
        return visit(self.optimizer, task, key=key, num_problems=self.num_problems, num_steps=self.num_steps)

    @cached_property
    def components(self) -> PrincipalComponents:
        """Principal components of the states visited."""
        return principal_components(self.visits.states)

    @cached_property
    def groups(self) -> GroupPaths | None:
        """Mean states of each group of parameters; None where there is one group."""
        return group_paths(self.optimizer, self.visits) if len(self.visits.groups) > 1 else None

    @cached_property
    def group_sizes(self) -> list[int]:
        """Number of components in each group of the task's parameters."""
        task, key = self._on_task()
        return [leaf.size for leaf in jax.tree.leaves(jax.eval_shape(task.sample, key).initial_params)]

    def mean_path(self, group: int | None = None) -> Float[np.ndarray, "step state"]:
        """Return the mean state at each step, over one group or over all components of the parameters."""
        states = np.asarray(self.visits.states, float)
        of = [states[self.visits.group == i].mean(0) for i in range(len(self.visits.groups))]
        return np.average(of, axis=0, weights=self.group_sizes) if group is None else of[group]

    @cached_property
    def range(self) -> GradientRange:
        """Which magnitudes of gradients count: those given, else those met on the task, else the optimizer's own."""
        if self._given is not None:
            return self._given
        if self.task is not None:
            return met_range(self.visits, self.task_name)
        if self.component.context is not None:
            return range_among(self.component)
        return own_range(self.probe, self.num_steps)

    @cached_property
    def structure(self) -> Structure:
        """What the updates of the whole optimizer depend on."""
        return find_structure(self._whole, name=self.name)

    @cached_property
    def driven(self) -> Driven:
        """Runs under steady gradients of several sizes."""
        return drive(self.probe, self.range.driven, self.num_steps)

    @cached_property
    def is_idle(self) -> bool:
        """Whether the update is the same whatever the gradients are."""
        return is_idle(self.probe, self.range.driven, self.autonomous.states, self.driven)

    # Where it rests.

    @cached_property
    def _calm(self) -> RestPoint:
        settling = SETTLING_STEPS
        if self.optimizer.runs_on_host and getattr(self.optimizer, "has_running_clock", False):
            settling = _HOST_STEPS  # it never rests: what is left to see is what changes late
        return find_rest(self.optimizer, num_steps=max(settling, self.num_steps))

    @cached_property
    def autonomous(self) -> AutonomousTrajectory:
        """The run without a gradient from the initial state."""
        run = self._calm
        return with_learning_rates(self.optimizer, run.states[: self.num_steps + 1], run.updates[: self.num_steps])

    @property
    def long_run(self) -> Float[np.ndarray, "step state"]:
        """States of that run, and of some thousand steps more."""
        return self._calm.states

    @cached_property
    def rest_point(self) -> RestPoint:
        """Where that run comes to rest; if it stays at a point that repels, where small gradients lead from there."""
        if repels(self._calm):
            nearby = find_rest(self.optimizer, self.driven.constant[0, -1])
            if nearby.is_attracting:
                return nearby
        return self._calm

    @cached_property
    def rest(self) -> Rest:
        """Runs without a gradient from everywhere."""
        return let_rest(self.optimizer, self.visits, key=self._on_task()[1])

    @cached_property
    def rest_updates(self) -> UpdateFunction:
        """Update functions at some states held without a gradient, from the lowest to the highest learning rate."""
        return update_function(self.optimizer, along_rates(self.rest), self._symmetric(201))

    @cached_property
    def resting(self) -> FixedPoints:
        """Fixed points at g = 0, from visited states and from random ones of the box around them."""
        starts = search_starts(self.visits.states, self._on_task()[1], self.num_starts)
        return find_fixed_points(self.optimizer, gradient=0.0, seeds=starts)

    @cached_property
    def center(self) -> Float[np.ndarray, " state"]:
        """Where it rests; else on a task a fixed point among `resting`, else the slowest point among them."""
        if self.rest_point.is_fixed and not repels(self.rest_point):
            return self.rest_point.state
        if self.task is None:
            raise ValueError(f"the run of {self.name} without a gradient does not come to rest.")
        return best_center(self.optimizer, self.resting)

    @cached_property
    def inputs(self) -> InputAttractors:
        """Where runs under constant gradients end, from everywhere."""
        return find_input_attractors(self.optimizer, self.rest, self.center, self.range.high * INPUTS)

    @cached_property
    def branch(self) -> Branch:
        """Fixed points followed over the gradients that count: the S-curve."""
        ends = (-self.range.high, self.range.high)
        return continue_fixed_points(self.optimizer, gradients=ends, start=self.center)

    @cached_property
    def branch_updates(self) -> UpdateFunction:
        """Update functions along the curve's positive arm, from the center to the tail."""
        positive = np.geomspace(self.range.high * 1e-4, self.range.high, 120)
        grid = np.concatenate([-positive[::-1], [0.0], positive])
        return update_function(self.optimizer, self.branch.states[along_positive_arm(self.branch)], grid)

    # What it is there.

    @cached_property
    def linearization(self) -> Linearization:
        """At the center."""
        known = self.rest_point.linearization
        return known if known is not None and known.state is self.center else linearize(self.optimizer, self.center)

    @cached_property
    def modes(self) -> Modes:
        """Eigenmodes of the linearization."""
        return modes(self.linearization)

    @cached_property
    def untrained_modes(self) -> Modes | None:
        """Those of the same network before meta-training; None for other optimizers."""
        return None if self.untrained is None else modes_at_rest(self.untrained)

    @cached_property
    def linear(self) -> LinearUpdates:
        """Updates of the linearized optimizer on the gradients met."""
        return linear_updates(self.linearization, self.known("modes"), self.visits)

    @cached_property
    def learning_rates(self) -> LearningRates:
        """Learning rates along the run without a gradient, as small gradients see them."""
        return measure_learning_rates(self.probe, self.autonomous, self.range)

    @cached_property
    def operating_point(self) -> OperatingPoint:
        """Where an optimizer that may not rest is linearized: where it rests, else along its run."""
        if self.learning_rates.magnitude:
            return point_after_gradients(self.learning_rates, self.driven)
        return point_at_rest(self.learning_rates, self.rest_point, self.autonomous.states)

    @cached_property
    def operating_linearization(self) -> Linearization:
        """At the operating point."""
        if self.operating_point.is_fixed:
            return self.linearization
        return linearize(self.optimizer, self.operating_point.state)

    @cached_property
    def operating_modes(self) -> Modes:
        """Eigenmodes of the linearization at the operating point."""
        return self.modes if self.operating_point.is_fixed else modes(self.operating_linearization)

    # How its updates depend on gradient and state.

    def _symmetric(self, num: int) -> Float[np.ndarray, " grid"]:
        return np.linspace(-self.range.high, self.range.high, num)

    @cached_property
    def initial_update(self) -> UpdateFunction:
        """Update function at the initial state, over the gradients that count."""
        return update_function(self.optimizer, np.asarray(self.optimizer.initial_state()), self._symmetric(401))

    def _shift_along(self, mode: int) -> ModeShift:
        if self.task is not None:
            reached = self.visits.states
        else:
            constant = self.driven.constant[: len(self.driven.magnitudes) // 2 + 1]
            reached = np.concatenate([constant, self.driven.alternating])
        return mode_shift(self.optimizer, self.center, self.modes, reached, mode=mode)

    @cached_property
    def shift(self) -> ModeShift:
        """Update functions along the leading mode."""
        return self._shift_along(0)

    @cached_property
    def shifts(self) -> tuple[ModeShift, ...]:
        """Update functions along the first modes, the leading one first (one of each conjugate pair)."""
        leaders = [int(unit[0]) for unit in self.modes.units()[:NUM_SHIFTS]]
        return (self.shift, *(self._shift_along(mode) for mode in leaders[1:]))

    @cached_property
    def vertical_shift(self) -> float:
        """Share of the change along the leading mode that is an offset, over gradients up to the 95% quantile met."""
        met = np.inf if self.task is None else float(np.quantile(np.abs(self.visits.gradients), 0.95))
        return self.shift.offset_share(met)

    @cached_property
    def thresholds(self) -> Thresholds:
        """From which gradient on updates saturate, at visited states."""
        return find_thresholds(self.optimizer, self.visits, key=self._on_task()[1])

    #: The parts that are results, in the order in which `save` computes them.
    PARTS = (
        "visits", "components", "resting", "linearization", "modes", "untrained_modes", "shifts", "initial_update",
        "autonomous", "branch", "branch_updates", "rest", "rest_updates", "inputs", "thresholds", "linear", "groups",
    )  # fmt: skip

    def save(self, directory: str | Path) -> Path:
        """Compute each part and write it as a file of its own into a directory."""
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        for name in self.PARTS:
            value = getattr(self, name)
            if isinstance(value, Result):
                value.save(directory / f"{name}.npz")
            elif isinstance(value, tuple):
                for i, one in enumerate(value):
                    one.save(directory / f"{name}_{i + 1}.npz")
        return directory
