"""`optoscope diagnose`."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated

import tyro

from optoscope.cli.commands import _check_file, _Computes, _Optimizer
from optoscope.cli.devices import prepare
from optoscope.cli.output import Output


@dataclasses.dataclass(frozen=True)
class Diagnose(_Computes):
    """Say which mechanisms an optimizer has: momentum, clipping, schedule, adaptation, grouping.

    OPTIMIZER is a shipped name, a path, or module:name(literals).

    Example: optoscope diagnose "optax:adam(learning_rate=0.001)"
    """

    optimizer: _Optimizer
    """A shipped name, a path, or module:name(literals)."""
    task: str | None = None
    """Name of a task; without one nothing is said about gradients that really occur."""
    gradients: Annotated[tuple[float, ...], tyro.conf.arg(metavar="MAGNITUDE")] = ()
    """The largest magnitude of gradients, or the smallest and the largest."""
    out: Path | None = None
    """Directory for the report (JSON), the evidence (.npz) and the figure (PNG, SVG, and its numbers as JSON)."""
    num_steps: int = 200
    """Length of every run."""
    seed: int = 0
    """Draws the task's test problems."""
    json: bool = False
    """Print the report as JSON."""
    force: bool = False
    """Overwrite what --out holds."""

    def run(self) -> int:
        """Diagnose, print and save."""
        prepare(self.mnist_dir)
        import jax

        from optoscope import artifacts, tasks
        from optoscope.cli.optimizer_spec import parse_component_wise
        from optoscope.mechanisms import diagnose

        if self.out is not None:
            _check_file(self.out / "diagnosis.json", self.force)
        report = diagnose(
            parse_component_wise(self.optimizer) if ":" in self.optimizer else artifacts.load(self.optimizer),
            task=None if self.task is None else tasks.get(self.task),
            key=jax.random.key(self.seed),
            gradients=list(self.gradients) or None,
            num_steps=self.num_steps,
            name=self.optimizer,
        )
        path = None
        if self.out is not None:
            from optoscope.figures.diagnosis import save_diagnosis_figure

            path = report.save(self.out)
            save_diagnosis_figure(report, self.out)
        if self.json:
            sys.stdout.write(json.dumps(report.to_json(), indent=1, allow_nan=False) + "\n")
            return 0
        out = Output()
        out.text(f"{report.optimizer}: {report.summary}.")
        low, high = report.gradients
        out.text(f"Gradients from {low:.3g} to {high:.3g} ({report.gradients_origin}).")
        columns = ["mechanism", "verdict", "effect", "interval", "before meta-training", "why"]
        rows = [[k, v.verdict, v.effect, v.interval, v.untrained_effect, v.reason] for k, v in report.verdicts.items()]
        out.table("Mechanisms", columns, rows)
        if path is not None:
            out.text(f"wrote {path}")
        return out.finish()
