"""Matrices of generalization written down in few digits, joined, and counted by kinds of optimizers."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from optoscope.robustness.generalization import Agreement, GeneralizationMatrix

#: Arrays of a matrix, and to how many digits they are kept: enough that counts of cells come out the same.
_DIGITS = {
    "means": 3,
    "medians": 3,
    "final_medians": 3,
    "above_start": 6,
    "diverged": 6,
    "circled": 6,
    "stable_fractions": 6,
    "stable_ends": 6,
    "run_agreement": 6,
    "range_ratios": 6,
}
#: Arrays in which null stands for a run that diverged, not for what does not apply.
_INFINITE = ("means", "medians", "final_medians")
#: Axis of tasks in every array.
_TASKS = 1


def matrix_numbers(matrix: GeneralizationMatrix) -> dict[str, Any]:
    """Return a matrix as JSON data of few digits; what is not finite is null."""
    return {
        "axes": ["optimizer", "task", "scale", "horizon"],
        "optimizers": matrix.optimizers,
        "tasks": matrix.tasks,
        "references": matrix.references,
        "scales": matrix.scales.tolist(),
        "horizons": matrix.horizons.tolist(),
        **{name: _rounded(getattr(matrix, name), digits) for name, digits in _DIGITS.items()},
        "settings": matrix.provenance["settings"],
    }


def matrix_of(numbers: dict[str, Any]) -> GeneralizationMatrix:
    """Return the matrix that `matrix_numbers` wrote down."""
    arrays = {name: np.array(numbers[name], float) for name in _DIGITS}  # null becomes NaN
    for name in _INFINITE:
        arrays[name] = np.where(np.isnan(arrays[name]), np.inf, arrays[name])
    return GeneralizationMatrix(
        optimizers=numbers["optimizers"],
        tasks=numbers["tasks"],
        references=numbers["references"],
        scales=np.array(numbers["scales"]),
        horizons=np.array(numbers["horizons"]),
        **arrays,
        provenance={"settings": numbers["settings"]},
    )


def select_tasks(matrix: GeneralizationMatrix, names: list[str]) -> GeneralizationMatrix:
    """Return a matrix with some of its tasks, in this order."""
    chosen = [matrix.tasks.index(name) for name in names]
    return dataclasses.replace(
        matrix,
        tasks=names,
        references=[matrix.references[i] for i in chosen],
        **{name: getattr(matrix, name)[:, chosen] for name in _DIGITS},
    )


def join_matrices(old: GeneralizationMatrix, new: GeneralizationMatrix) -> GeneralizationMatrix:
    """Return the tasks of an older matrix that a new one lacks, then its own; settings of both are kept.

    Raises:
        ValueError: if they have other optimizers, scales or horizons.
    """
    for name in ("optimizers", "scales", "horizons"):
        if not np.array_equal(getattr(old, name), getattr(new, name)):
            raise ValueError(f"what was measured before has other {name}; measure all tasks again.")
    kept = select_tasks(old, [task for task in old.tasks if task not in new.tasks])
    settings = {key: {**old.provenance["settings"][key], **one} for key, one in new.provenance["settings"].items()}
    return dataclasses.replace(
        new,
        tasks=[*kept.tasks, *new.tasks],
        references=[*kept.references, *new.references],
        **{name: np.concatenate([getattr(kept, name), getattr(new, name)], axis=_TASKS) for name in _DIGITS},
        provenance={**new.provenance, "settings": settings},
    )


def _learned_on(*tasks: str) -> Callable[[str], bool]:
    return lambda name: "/" not in name and (name in tasks or name.startswith(tuple(f"{task}_seed" for task in tasks)))


#: Kinds of shipped optimizers that predictions are counted for -> whether one belongs, by its name.
KINDS: dict[str, Callable[[str], bool]] = {
    "momentum": lambda name: name.endswith("/momentum"),
    "RMSProp": lambda name: name.endswith("/rmsprop"),
    "learned on linear regression or Rosenbrock": _learned_on("linear_regression", "rosenbrock", "momentum_like"),
    "learned on two moons or MNIST": _learned_on("two_moons", "mnist"),
}


def agreement_by_kind(matrix: GeneralizationMatrix) -> list[tuple[str, str, Agreement]]:
    """Return how predictions agree with outcomes: for all cells, for each kind of optimizer, and for each optimizer.

    Returns:
        Which optimizers, which tasks, and the counts; groups without a cell are left out.
    """
    on = {"all but MNIST": [task for task in matrix.tasks if task != "mnist"], "MNIST": ["mnist"]}
    on = {where: [task for task in tasks if task in matrix.tasks] for where, tasks in on.items()}
    kinds = {kind: [name for name in matrix.optimizers if belongs(name)] for kind, belongs in KINDS.items()}
    groups = [("all", matrix.optimizers, "all", matrix.tasks)]
    groups += [(kind, names, where, tasks) for kind, names in kinds.items() for where, tasks in on.items()]
    groups += [(name, [name], "all", matrix.tasks) for name in matrix.optimizers]
    return [
        (who, where, one)
        for who, optimizers, where, tasks in groups
        for one in matrix.agreement(optimizers=optimizers, tasks=tasks)
        if one.num_cells
    ]


def _rounded(array: Any, digits: int) -> Any:
    if array.ndim:
        return [_rounded(part, digits) for part in array]
    return float(f"{array:.{digits}g}") if abs(array) < 1e30 else None
