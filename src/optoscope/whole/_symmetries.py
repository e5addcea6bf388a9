"""Which changes of coordinates an optimizer commutes with, each with the share of its updates that does not follow."""

import numpy as np

from optoscope.whole._bench import AbstractBench, Arrays, Case
from optoscope.whole._exponents import PARAMETER_SIZE, SHAPE, Setting, make_case

#: A leak below this is none; symmetries of matrices are kept only up to how few bits some optimizers compute in.
SYMMETRIC, _ROTATES = 1e-3, 0.15
#: Factor between what permutations and what rotations leave out, of an optimizer of matrices.
_CLEARLY = 3.0
#: In the order of `Structure.symmetries`.
SYMMETRIES = (
    "sign of one component",
    "sign of all",
    "order of components",
    "order of rows",
    "order of columns",
    "rotation of rows",
    "rotation of columns",
    "scale of the loss",
    "shift of the parameters",
    "scale of the parameters",
    "transposition",
)


def measure_symmetries(bench: AbstractBench, num_steps: int) -> dict[str, float]:
    """Return the leak of each symmetry: root mean square of what does not follow, relative to the updates."""
    case = make_case(Setting("changing", PARAMETER_SIZE), num_steps, seed=1)
    rng = np.random.default_rng(2)
    size = SHAPE[0] * SHAPE[1]
    order, rows, columns = rng.permutation(size), rng.permutation(SHAPE[0]), rng.permutation(SHAPE[1])
    left = np.linalg.qr(rng.standard_normal((SHAPE[0], SHAPE[0])))[0]
    right = np.linalg.qr(rng.standard_normal((SHAPE[1], SHAPE[1])))[0]
    flip = np.ones(SHAPE)
    flip[3, 5] = -1.0
    maps = {
        "sign of one component": lambda a: a * flip,
        "sign of all": lambda a: -a,
        "order of components": lambda a: a.reshape(*a.shape[:-2], size)[..., order].reshape(a.shape),
        "order of rows": lambda a: a[..., rows, :],
        "order of columns": lambda a: a[..., columns],
        "rotation of rows": lambda a: left @ a,
        "rotation of columns": lambda a: a @ right,
    }
    cases: dict[str, Case] = {}
    for name, change in maps.items():
        everything = name == "sign of all"
        changed = lambda parts, change=change, all_of=everything: [
            change(part) if all_of or k == 0 else part for k, part in enumerate(parts)
        ]
        cases[name] = Case(changed(case.params), changed(case.gradients))
    cases["scale of the loss"] = Case(case.params, [8 * g for g in case.gradients], value=8.0)
    cases["shift of the parameters"] = Case([x + PARAMETER_SIZE for x in case.params], case.gradients)
    cases["scale of the parameters"] = Case([4 * x for x in case.params], case.gradients)
    plain, *found = bench.run([case, *cases.values()])
    late = lambda run: run[0][num_steps // 2 :]
    identity = lambda a: a
    leaks = {name: _leak(late(run), maps.get(name, identity)(late(plain))) for name, run in zip(cases, found)}
    leaks["transposition"] = _transposed(bench, case, late(plain), num_steps)
    return {name: leaks[name] for name in SYMMETRIES}


def rotates(symmetries: dict[str, float]) -> bool:
    """Whether an optimizer commutes with rotations, up to how few bits it may compute in."""
    return max(symmetries["rotation of rows"], symmetries["rotation of columns"]) <= _ROTATES


def is_of_matrices(symmetries: dict[str, float]) -> bool:
    """Whether a matrix is treated as one: neither the signs of single components nor their order are free.

    What leaves out rotations as much, as noise does, says nothing.
    """
    least = max(SYMMETRIC, _CLEARLY * max(symmetries["rotation of rows"], symmetries["rotation of columns"]))
    return min(symmetries["order of components"], symmetries["sign of one component"]) > least


def _transposed(bench, case, expected, num_steps):
    turn = lambda parts: [np.swapaxes(parts[0], -1, -2).copy(), *parts[1:]]
    try:
        run = bench.run([Case(turn(case.params), turn(case.gradients))])[0]
    except Exception:
        return float("nan")  # it does not take the transposed matrix
    return _leak(run[0][num_steps // 2 :], np.swapaxes(expected, -1, -2))


def _leak(found: np.ndarray, expected: np.ndarray) -> float:
    with np.errstate(all="ignore"):
        return float(np.sqrt(np.mean((found - expected) ** 2) / np.mean(expected**2)))


__all__ = ["SYMMETRIC", "SYMMETRIES", "Arrays", "is_of_matrices", "measure_symmetries", "rotates"]
