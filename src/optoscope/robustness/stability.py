"""Where an optimizer will fail: the edge predicted, the edge measured, and the curvatures of a task."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from optoscope._core.progress import Report, silent
from optoscope._core.shown import Shown
from optoscope._core.tables import Table
from optoscope._core.types import PRNGKeyArray
from optoscope.artifacts.as_optimizer import AnyOptimizer, as_rule
from optoscope.dynamics import EdgeMeasurement, Outcome, StabilityMap, find_resting_point, measure_edge, stability_map
from optoscope.robustness.curvatures import Curvatures, task_curvatures
from optoscope.tasks import AbstractTask

#: Curvatures of a map, per decade.
_PER_DECADE = 60


@dataclasses.dataclass(frozen=True)
class StabilityStudy(Shown):
    """An optimizer's stability beside that of tuned momentum and the curvatures of a task.

    Attributes:
        name: the optimizer.
        stability: its map.
        measured: its edges as simulation finds them.
        baseline_name: the other optimizer, or empty.
        baseline: its map, over the same curvatures.
        baseline_measured: its measured edges.
        curvatures: those that the optimizer's runs on the task met.
    """

    name: str
    stability: StabilityMap
    measured: EdgeMeasurement
    baseline_name: str = ""
    baseline: StabilityMap | None = None
    baseline_measured: EdgeMeasurement | None = None
    curvatures: Curvatures | None = None

    def save(self, directory: str | Path) -> Path:
        """Write each part as a file of its own into a directory."""
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is not None and not isinstance(value, str):
                value.save(directory / f"{field.name}.npz")
        return directory

    def tables(self) -> list[Table]:
        """Return the edges, and what happens beyond them."""
        columns = ["optimizer", "predicted", "measured", "error", "stable_below"]
        if self.curvatures is not None:
            columns += ["largest_curvature", "edge_over_largest", "edge_over_largest_at_the_end"]
        edges, ends = self.edges(), ["curvature", "outcome", "amplitude", "period"]
        beyond = [[row["optimizer"], *(end[c] for c in ends)] for row in edges for end in row.get("beyond", [])]
        return [
            Table("edges", columns, [[row.get(c) for c in columns] for row in edges], title="Edges of stability"),
            Table("beyond", ["optimizer", *ends], beyond, title="Beyond them"),
        ]

    def edges(self) -> list[dict[str, Any]]:
        """Return one row per edge of each optimizer: predicted, measured, what happens beyond, and task curvatures."""
        rows = edge_rows(self.name, self.stability, self.measured, self.curvatures)
        if self.baseline is not None and self.baseline_measured is not None:
            rows += edge_rows(self.baseline_name, self.baseline, self.baseline_measured, self.curvatures)
        return rows


def study_stability(
    optimizer: AnyOptimizer,
    *,
    name: str,
    task: AbstractTask | None = None,
    baseline: AnyOptimizer | None = None,
    baseline_name: str = "tuned momentum",
    key: PRNGKeyArray,
    num_problems: int = 64,
    num_steps: int = 200,
    report: Report = silent,
) -> StabilityStudy:
    """Predict an optimizer's edges of stability, measure them, and compare them with a task's curvatures.

    Args:
        optimizer: anything that `optoscope.as_optimizer` takes and that is component-wise, with a linearization at its
            resting point.
        name: what it is called.
        task: whose curvatures along the optimizer's own test runs are computed.
        baseline: another optimizer to compare with.
        baseline_name: what that is called.
        key: draws the test problems.
        num_problems, num_steps: size of the runs.
        report: called with what is being done, how much is done and how much there is.

    Returns:
        Maps over all curvatures of interest, measurements and the task's curvatures.

    Raises:
        ValueError: if an optimizer has no resting point with a linearization.
    """
    optimizer = as_rule(optimizer)
    rules = [optimizer] if baseline is None else [optimizer, as_rule(baseline)]
    points = [find_resting_point(one) for one in rules]
    measured = []
    for i, (one, point) in enumerate(zip(rules, points)):
        measured.append(measure_edge(one, point=point))
        report("measuring edges", i + 1, len(rules))
    met = None
    if task is not None:
        met = task_curvatures(task, optimizer, key=key, num_problems=num_problems, num_steps=num_steps)
        report("curvatures of the task", 1, 1)
    around = [edge for one in measured for edge in one.edges]
    around += [] if met is None else [value for value in met.span() if np.isfinite(value)]
    around = around or [1.0]
    low, high = min(around) / 10, max(around) * 10
    grid = np.geomspace(low, high, int(_PER_DECADE * np.log10(high / low)) + 1)
    maps = [stability_map(one, grid, point=point) for one, point in zip(rules, points)]
    if baseline is None:
        return StabilityStudy(name, maps[0], measured[0], curvatures=met)
    return StabilityStudy(name, maps[0], measured[0], baseline_name, maps[1], measured[1], met)


def edge_rows(
    name: str, prediction: StabilityMap, measured: EdgeMeasurement, curvatures: Curvatures | None
) -> list[dict[str, Any]]:
    """Return one row per measured edge, and one per predicted edge that was not found."""
    rows = []
    for i, (edge, predicted) in enumerate(zip(measured.edges, measured.predicted(prediction))):
        row = {
            "optimizer": name,
            "predicted": float(predicted),
            "measured": float(edge),
            "error": float(predicted / edge - 1),
            "stable below": bool(measured.stable_below[i]),
            "beyond": [
                {
                    "curvature": float(measured.beyond[i, j]),
                    "outcome": Outcome(measured.outcomes[i, j]).message,
                    "amplitude": float(measured.amplitudes[i, j]),
                    "period": float(measured.periods[i, j]),
                }
                for j in range(measured.beyond.shape[1])
            ],
        }
        rows.append(row | _beside(edge, curvatures))
    for edge in measured.missed(prediction):
        rows.append({"optimizer": name, "predicted": float(edge), "measured": float("nan"), "error": float("nan")})
    return rows


def _beside(edge, curvatures):
    """The edge in units of a task's largest curvatures."""
    if curvatures is None:
        return {}
    largest = curvatures.largest
    along = np.nanmax(np.where(np.isfinite(largest), largest, -np.inf), axis=1)
    end = largest[:, -1]
    found = {
        "task": curvatures.task,
        "largest curvature of runs, median": float(np.median(along)),
        "largest curvature of all runs": float(along.max()),
        "largest curvature at the end of runs, median": float(np.nanmedian(end)),
    }
    reference = curvatures.bound if np.isfinite(curvatures.bound) else found["largest curvature of all runs"]
    return found | {
        "edge / largest": float(edge / reference),
        "edge / largest at the end": float(edge / found["largest curvature at the end of runs, median"]),
    }
