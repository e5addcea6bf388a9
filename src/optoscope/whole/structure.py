"""What the updates of a whole optimizer depend on: unit, exponents, symmetries and thresholds."""

import dataclasses
import time
from typing import Any

import numpy as np

from optoscope._core.provenance import provenance
from optoscope._core.results import Result
from optoscope._core.tables import Table
from optoscope._core.types import Float
from optoscope.artifacts.as_optimizer import name_of_optimizer
from optoscope.whole._bench import AbstractBench, Case, make_bench
from optoscope.whole._exponents import (
    FACTORS,
    PARAMETER_SIZE,
    SETTINGS,
    Setting,
    make_case,
    measure,
    typical_entry,
)
from optoscope.whole._kinks import find_thresholds
from optoscope.whole._symmetries import SYMMETRIC, measure_symmetries, rotates
from optoscope.whole.decay import Decay, find_decay
from optoscope.whole.rhythm import Rhythm, find_rhythm

#: An exponent, or a leak, below this is none.
NOTHING = 1e-3
#: Steps of the runs for the exponents; and their number where a step takes more operations of torch than the third.
_STEPS, _FEWEST, _MANY_OPERATIONS = 24, 16, 1000
#: Steps by which components that stand by themselves at first must not have been tied together; what is doubled then.
_LATE = 64
_OTHERS = [FACTORS.index(name) for name in ("row", "column", "rest", "others")]

UNITS = ("component", "row and column", "matrix", "layer", "network")


@dataclasses.dataclass(frozen=True)
class Structure(Result):
    """What the updates of a whole optimizer depend on.

    All is measured on two matrices of 24 x 16 whose gradients are normal with size 1, at parameters of size 0.1, in
    runs of some tens of steps (64 for whether components are tied together); nothing is said of what begins later.

    Attributes:
        optimizer: its name.
        unit: what is treated as one: "component", "row and column", "matrix" (as a linear map), "layer" (a norm over a
            tensor), "network".
        reads: relative change of the updates where only gradients, parameters, the value of the loss, or the seed of
            random numbers are changed; 0 for what is not read.
        exponents: octaves by which an entry's update changes when a factor doubles: of constant gradients, "own",
            "row", "column" and "rest" of its matrix, "matrix", "others", "all"; of parameters; of the loss's value.
        scale: of the gradients at which they were taken.
        union: for each factor the exponent of largest size under any stimulus.
        stimuli: names of the rows of `table`.
        factors: names of its columns.
        table: exponents under each stimulus.
        symmetries: leak of each symmetry; NaN (null in JSON) where it could not be tried.
        thresholds: sharp breaks of the response to one gradient: the `norm` that is compared with `value`, the scale,
            the slopes on both sides.
        decay: what it does to parameters by itself, as `whole.Decay` has it.
        rhythm: accumulation, and the share of its updates that is noise, as `whole.Rhythm` has it.
        summary: all of it in plain words.
        seconds: how long it took.
        provenance: who made it.
    """

    optimizer: str
    unit: str
    reads: dict[str, float]
    exponents: dict[str, float]
    scale: float
    union: dict[str, float]
    stimuli: list[str]
    factors: list[str]
    table: Float[np.ndarray, "stimulus factor"]
    symmetries: dict[str, float]
    thresholds: list[dict[str, Any]]
    decay: dict[str, Any]
    rhythm: dict[str, Any]
    summary: str
    seconds: float
    provenance: dict[str, Any]

    def tables(self) -> list[Table]:
        """Return exponents, symmetries and thresholds."""
        rows = [[name, *(round(value, 2) for value in row.tolist())] for name, row in zip(self.stimuli, self.table)]
        keys = ["norm", "value", "slope_below", "slope_above"]
        thresholds = Table("thresholds", keys, [[one[key] for key in keys] for one in self.thresholds])
        return [
            Table(
                "table",
                ["stimulus", *self.factors],
                rows,
                title="Octaves by which an update changes when one thing is doubled",
            ),
            Table(
                "symmetries", ["changed", "share_that_does_not_follow"], [[k, v] for k, v in self.symmetries.items()]
            ),
            *([thresholds] if self.thresholds else []),
        ]


def structure(optimizer: Any, *, name: str | None = None) -> Structure:
    """Measure what the updates of a whole optimizer depend on.

    Args:
        optimizer: whatever `as_optimizer` takes: an optax transformation; a torch optimizer, its class, a function that
            makes one, or a `TorchStack`; a name, a text; or the rule of one component.
        name: what to call it.

    Returns:
        The structure; `print` shows it.

    Raises:
        TypeError: if it is none of these.
        CannotRun: if it cannot be made or stepped; the message says what it asks for.

    >>> import optax
    >>> found = structure(optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.1)))
    >>> found.unit, [round(found.exponents[name], 1) for name in ("own", "matrix", "others")]
    ('network', [1.0, 0.3, -0.7])
    """
    start = time.monotonic()
    bench = make_bench(optimizer)
    settings, num_steps = _plan(bench)
    table, noise = measure(bench, settings, num_steps)
    if np.abs(table[:, _OTHERS]).max() <= NOTHING and _couples_late(bench):
        table, noise = measure(bench, settings, _LATE)
    table = np.where(np.abs(table) < np.minimum(noise, 0.05)[:, None], 0.0, table)
    union = {factor: float(column[np.abs(column).argmax()]) for factor, column in zip(FACTORS, table.T)}
    exponents: dict[str, float] = dict(zip(FACTORS, table[0].tolist()))
    symmetries = measure_symmetries(bench, num_steps)
    rhythm = find_rhythm(bench)
    decay = find_decay(optimizer)
    thresholds = find_thresholds(bench)
    reads = {
        "gradients": _reads_gradients(bench, num_steps),
        "parameters": max(abs(union[k]) for k in ("own_parameter", "parameters", "all_parameters")),
        "values": abs(union["value"]),
        "randomness": rhythm.noise,
    }
    if decay.kind != "none" and reads["parameters"] == 0:
        reads["parameters"] = NOTHING
    unit = _with_thresholds(_unit(union, symmetries), thresholds)
    return Structure(
        optimizer=name or _name(optimizer),
        unit=unit,
        reads=reads,
        exponents=exponents,
        scale=1.0,
        union=union,
        stimuli=[setting.label for setting in settings],
        factors=list(FACTORS),
        table=table,
        symmetries=symmetries,
        thresholds=thresholds,
        decay=decay.to_json(),
        rhythm=rhythm.to_json(),
        summary=_summary(unit, exponents, union, reads, symmetries, thresholds, decay, rhythm),
        seconds=round(time.monotonic() - start, 2),
        provenance=provenance(),
    )


def _plan(bench: AbstractBench) -> tuple[tuple[Setting, ...], int]:
    """The settings and the steps of each run, fewer where a step takes very many operations; no clock is asked."""
    many = bench.count_operations(make_case(SETTINGS[0], 4)) > _MANY_OPERATIONS
    return (SETTINGS[:5], _FEWEST) if many else (SETTINGS, _STEPS)


def _couples_late(bench: AbstractBench) -> bool:
    """Whether an entry's update depends on other gradients, be it only after some tens of steps."""
    case = make_case(SETTINGS[1], _LATE)
    i, j = typical_entry(case)
    others = [2 * g for g in case.gradients]
    others[0][:, i, j] = case.gradients[0][:, i, j]
    plain, changed = (run[0][:, i, j] for run in bench.run([case, Case(case.params, others)]))
    with np.errstate(all="ignore"):
        change = np.sqrt(np.mean((changed - plain) ** 2) / np.mean(plain**2))
    return bool(change > max(NOTHING, 8 * bench.rounding * PARAMETER_SIZE / np.sqrt(np.mean(plain**2))))


def _unit(union: dict[str, float], symmetries: dict[str, float]) -> str:
    if abs(union["others"]) > NOTHING or abs(union["all_parameters"] - union["parameters"]) > 0.02:
        return "network"
    inside = max(abs(union[name]) for name in ("row", "column", "rest", "rest_parameters"))
    if inside <= NOTHING:
        return "component"
    if symmetries["order of components"] <= SYMMETRIC:
        return "layer"
    if symmetries["sign of one component"] <= SYMMETRIC:
        return "row and column"
    return "matrix"


def _with_thresholds(unit: str, thresholds: list[dict[str, Any]]) -> str:
    """The unit, where a norm of gradients larger than those that were tried ties more together."""
    norms = " ".join(one["norm"] or "" for one in thresholds)
    if "all gradients" in norms:
        return "network"
    if unit == "component" and "a matrix's gradients" in norms:
        return "layer"
    return "row and column" if unit == "component" and ("a row's" in norms or "a column's" in norms) else unit


def _reads_gradients(bench, num_steps):
    case = make_case(SETTINGS[1], num_steps)
    other = Case(case.params, [g[::-1].copy() for g in case.gradients])
    found, again = (run[0] for run in bench.run([case, other]))
    with np.errstate(all="ignore"):
        change = np.sqrt(np.mean((found - again) ** 2) / np.mean(found**2))
    return float(change) if np.isfinite(change) else 0.0


#: What is treated as one, in words, by unit.
UNIT_WORDS = {
    "component": "every component by itself",
    "row and column": "an entry depends on its row and its column",
    "matrix": "a matrix is treated as one",
    "layer": "all gradients of a tensor act on each other, wherever they stand",
    "network": "all tensors are tied together",
}


def _summary(unit, exponents, union, reads, symmetries, thresholds, decay: Decay, rhythm: Rhythm) -> str:
    if reads["gradients"] == 0:
        return "its updates do not depend on the gradients"
    parts = [UNIT_WORDS[unit]]
    total = exponents["all"]
    where = " of size 1" if thresholds else ""  # elsewhere it may be otherwise
    if abs(total) < 0.05:
        parts.append(f"updates keep their size as all gradients{where} grow")
    elif abs(total - 1) < 0.05:
        parts.append(f"updates grow as gradients{where} do" if where else "updates grow as the gradients do")
    else:
        parts.append(f"updates grow as gradients{where} to the power {total:.2f}")
    if unit == "matrix" and rotates(symmetries):
        leak = max(symmetries["rotation of rows"], symmetries["rotation of columns"])
        parts.append(f"it commutes with rotations of rows and columns to {leak:.1g}")
    for one in thresholds:
        flat = abs(one["slope_above"]) < 0.02 + 0.1 * abs(one["slope_below"])
        what = "clips" if flat else "bends"
        if one["norm"] is None:
            parts.append(f"it {what} where one gradient has a size of {one['value']:.3g}")
        else:
            parts.append(f"it {what} at a {one['norm']} of {one['value']:.3g}")
    if decay.kind in ("coupled", "decoupled"):
        parts.append(decay.sentence)
    elif abs(union["parameters"]) > 0.5:
        parts.append(f"updates grow as the parameters to the power {union['parameters']:.2f}")
    elif reads["parameters"] > NOTHING:
        parts.append("it reads the parameters")
    if reads["values"] > NOTHING:
        parts.append(f"it reads the value of the loss (power {union['value']:.2f})")
    parts += [sentence for sentence in (rhythm.sentence,) if sentence]
    return "; ".join(parts)


def _name(optimizer: Any) -> str:
    name = name_of_optimizer(optimizer) or getattr(optimizer, "__name__", type(optimizer).__name__)
    return (
        "this optimizer" if name in ("<lambda>", "GradientTransformationExtraArgs", "GradientTransformation") else name
    )
