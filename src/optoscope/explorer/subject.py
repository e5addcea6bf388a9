"""What the page shows of one optimizer: each quantity computed in Python, by the room that owns it."""

from collections.abc import Callable
from typing import Any

import numpy as np

from optoscope._core.json_data import to_json
from optoscope.anatomy import Dossier
from optoscope.anatomy.driven import WINDOW
from optoscope.dynamics import (
    Branch,
    Linearization,
    Modes,
    PrincipalComponents,
    StabilityMap,
    continue_fixed_points,
    find_resting_point,
    modes,
    principal_components,
    stability_map,
)
from optoscope.explorer.landscapes import MATRIX
from optoscope.explorer.program import UntranslatableError
from optoscope.explorer.runnable import runnable, runnable_whole
from optoscope.explorer.typeset import mathml
from optoscope.mechanisms import MechanismReport
from optoscope.mechanisms.diagnose import IDLE
from optoscope.robustness.curvatures import task_curvatures
from optoscope.robustness.generalization import affordable_problems

#: Largest gradient shown where none is given and the optimizer has no scale of its own.
_ANY_SCALE = 1.0
#: Curvatures of a stability map: how far it goes beyond the edges, and how many there are per decade.
_BELOW, _BEYOND, _PER_DECADE = 1e-3, 30.0, 40
#: Bars of the histogram of a task's curvatures, and the most problems from which they come.
_NUM_BARS, _MOST_PROBLEMS = 40, 16
#: States of which principal components are shown.
_NUM_COMPONENTS = 2


def subject_of(report: MechanismReport, dossier: Dossier, pool: dict[str, str]) -> dict[str, Any]:
    """Return all that the page needs of one optimizer, as JSON data.

    What an optimizer does not have (modes where there is no derivative) is `{"reason": why}`.

    Args:
        report: its mechanisms.
        dossier: from which the report was made.
        pool: takes the constants of programs.
    """
    try:
        own = (
            "its own equations"
            if dossier.component.view == "own"
            else f"its own equations, {dossier.component.sentence}"
        )
        rule, runs_as = runnable(dossier.optimizer, pool), own
    except UntranslatableError as error:
        rule = runnable(report.explanation.rule, pool)
        runs_as = f"its explanation, {report.explained:.1%} of its updates ({error})"
    largest = dossier.range.high if dossier.range.high < WINDOW[1] else _ANY_SCALE
    data = {
        "name": report.optimizer,
        "view": report.view,
        "task": report.task,
        "summary": report.summary,
        "is_idle": report.summary == IDLE,
        "explained": report.explained,
        "verdicts": [
            {
                "mechanism": one.mechanism,
                "verdict": one.verdict,
                "summary": one.summary,
                "kind": getattr(one, "kind", ""),
            }
            for one in report.verdicts.values()
        ],
        "explanation": _or_reason(lambda: _explanation(report, pool)),
        "rule": rule,
        "runs_as": runs_as,
        "whole": _whole(dossier, pool),
        "num_states": dossier.optimizer.num_states,
        "largest_gradient": largest,
        "schedule": _or_reason(lambda: _schedule(dossier)),
        "modes": _or_reason(
            lambda: _modes(dossier.operating_modes) | {"at": _place(dossier), "point": _point(dossier)}
        ),
        "stability": _or_reason(lambda: _stability(dossier)),
        "states": _or_reason(lambda: _states(dossier, largest)),
        "curvatures": _or_reason(lambda: _curvatures(dossier)),
    }
    return to_json(data)


def _or_reason(make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return make()
    except ValueError as error:
        return {"reason": str(error)}


def _schedule(dossier: Dossier) -> dict[str, Any]:
    rates = dossier.learning_rates
    return {"learning_rates": rates.values, "magnitude": rates.magnitude, "updates": dossier.autonomous.updates}


def _whole(dossier: Dossier, pool: dict[str, str]) -> dict[str, Any] | None:
    """The whole optimizer on a matrix; None where its component says it all, or the page cannot run it."""
    transformation = getattr(dossier.component.optimizer, "transformation", None)
    if dossier.component.view == "own" or transformation is None:
        return None
    try:
        return runnable_whole(transformation, MATRIX, pool)
    except (ValueError, TypeError):  # an operation that the page does not know, or it does not take such a matrix
        return None


def _explanation(report: MechanismReport, pool: dict[str, str]) -> dict[str, Any]:
    found = report.explanation
    return {
        "formula": found.formula,
        "mathml": mathml(found.formula),
        "parts": found.parts,
        "by_probe": found.by_probe,
        "worst": found.worst,
        "worst_share": found.worst_share,
        "rule": runnable(found.rule, pool),
    }


def _modes(found: Modes) -> dict[str, Any]:
    return {"decays": found.decays, "learning_rates": found.learning_rates, "direct": found.direct}


def _point(dossier: Dossier) -> dict[str, Any]:
    """How the page gets to the operating point by itself."""
    point = dossier.operating_point
    return {"step": point.step, "gradient": point.gradient}


def _place(dossier: Dossier) -> str:
    point = dossier.operating_point
    if point.is_fixed:
        return "where it rests without a gradient"
    met = f" after alternating gradients of size {point.gradient:.3g}" if point.gradient else ""
    return f"at its state before step {point.step}{met}; it does not rest there"


def _stability(dossier: Dossier) -> dict[str, Any]:
    point, is_held = _resting_point(dossier)
    edges = stability_map(dossier.optimizer, np.ones(1), point=point).edges
    rate = abs(-point.D)
    around = edges if len(edges) else np.array([1 / rate if rate else 1.0])
    low, high = float(around.min()) * _BELOW, float(around.max()) * _BEYOND
    grid = np.geomspace(low, high, round(_PER_DECADE * np.log10(high / low)) + 1)
    found: StabilityMap = stability_map(dossier.optimizer, grid, point=point)
    return {
        "curvatures": found.curvatures,
        "radii": found.radii,
        "leading": found.leading,
        "edges": found.edges,
        "kinds": found.kinds,
        "edge_eigenvalues": found.edge_eigenvalues,
        "state": found.state,
        "gradient": found.gradient,
        "is_held": is_held,
        "modes": _or_reason(lambda: _modes(modes(point))),
        "at": _place(dossier) if is_held else "where it rests together with its parameter",
    }


def _resting_point(dossier: Dossier) -> tuple[Linearization, bool]:
    """Where state and parameter rest together; else the operating point, which is held."""
    try:
        return find_resting_point(dossier.optimizer), False
    except ValueError:
        return dossier.operating_linearization, True


def _states(dossier: Dossier, largest: float) -> dict[str, Any]:
    if not dossier.optimizer.num_states:
        raise ValueError("this optimizer has no state: its update depends on the present gradient alone.")
    reached = dossier.visits.states if dossier.task is not None else _driven_states(dossier, largest)
    components = principal_components(reached, num_components=_NUM_COMPONENTS)
    return {
        "mean": components.mean,
        "axes": components.axes,
        "shares": components.explained_variance_ratio,
        "branch": _or_reason(lambda: _branch(dossier, components, largest)),
    }


def _driven_states(dossier: Dossier, largest: float) -> np.ndarray:
    sizes = largest * np.array([-1.0, -0.3, -0.1, 0.0, 0.1, 0.3, 1.0])
    return dossier.probe.drive(np.outer(sizes, np.ones(dossier.num_steps)))[0]


def _branch(dossier: Dossier, components: PrincipalComponents, largest: float) -> dict[str, Any]:
    found: Branch = (
        dossier.branch
        if dossier.range.high == largest
        else continue_fixed_points(dossier.optimizer, gradients=(-largest, largest), start=dossier.center)
    )
    return {
        "gradients": found.gradients,
        "places": components.project(found.states),
        "attracting": found.attracting,
        "updates": found.updates,
        "learning_rates": found.learning_rates,
    }


def _curvatures(dossier: Dossier) -> dict[str, Any]:
    if dossier.task is None or dossier.key is None:
        raise ValueError("no task was given, so no curvatures that really occur are known.")
    found = task_curvatures(
        dossier.task,
        dossier.optimizer,
        key=dossier.key,
        num_problems=min(_MOST_PROBLEMS, affordable_problems(dossier.task)),
        num_steps=dossier.num_steps - dossier.num_steps % 8 or 8,
    )
    met = found.eigenvalues[np.isfinite(found.eigenvalues) & (found.eigenvalues > 0)]
    if not len(met):
        raise ValueError("no positive curvature was met.")
    counts, ends = np.histogram(np.log10(met), bins=_NUM_BARS)
    return {"counts": counts, "ends": 10**ends, "task": found.task}
