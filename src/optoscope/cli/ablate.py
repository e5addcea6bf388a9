"""`optoscope ablate`."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from optoscope.cli.commands import _check_file, _Computes, _Optimizer
from optoscope.cli.devices import prepare
from optoscope.cli.output import Output, make_reporter


@dataclasses.dataclass(frozen=True)
class Ablate(_Computes):
    """Remove each mechanism of an optimizer, and try each alone: which are needed, and which are enough?

    OPTIMIZER is a shipped name, a path, or module:name(literals).

    Example: optoscope ablate rosenbrock --task rosenbrock --out ablation
    """

    optimizer: _Optimizer
    """A shipped name, a path, or module:name(literals)."""
    task: str
    """Name of a task."""
    out: Path | None = None
    """Directory for the whole result (.npz), the figure (PNG, SVG), its numbers (JSON), and what is known meanwhile."""
    mechanisms: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME")] = ()
    """Mechanisms: momentum, clipping, schedule, adaptation, non-monotonicity, grouping; all if none is named."""
    num_problems: int = 64
    """Test problems, and as many to tune each variant's scale of updates on."""
    num_steps: int = 200
    """Updates per run."""
    num_controls: int = 5
    """Random draws beside the removal of modes."""
    seed: int = 0
    """Draws problems and controls."""
    json: bool = False
    """Print JSON instead of tables."""
    resume: bool = False
    """Go on with the ablation in --out."""
    force: bool = False
    """Overwrite what --out holds."""

    def run(self) -> int:
        """Ablate, print and save."""
        prepare(self.mnist_dir)
        import jax
        import numpy as np

        from optoscope import tasks
        from optoscope.cli.optimizer_spec import parse_component_wise
        from optoscope.interventions import MECHANISMS, ablate
        from optoscope.running.run_log import discard_run

        task = tasks.get(self.task)
        if self.out is not None:
            _check_file(self.out / "ablation.npz", self.force)
            if self.force and not self.resume:
                discard_run(self.out)
        with make_reporter(f"ablate {self.optimizer} on {self.task}") as report:
            result = ablate(
                parse_component_wise(self.optimizer),
                task,
                key=jax.random.key(self.seed),
                num_problems=self.num_problems,
                num_steps=self.num_steps,
                mechanisms=self.mechanisms or MECHANISMS,
                num_controls=self.num_controls,
                directory=self.out,
                resume=self.resume,
                report=report.stage,
            )
        out = Output(json=self.json)
        ratio = lambda values: np.exp(values).tolist()
        rows = [
            [
                result.mechanisms[i] or result.kinds[i],
                name,
                result.kinds[i],
                float(result.scales[i]),
                ratio(result.log_ratios[i]),
                ratio(result.rescaled_log_ratios[i]),
                ratio(result.rescaled_log_ratio_intervals[i]),
                float(result.kept[i]),
                int(result.num_diverged[i]),
            ]
            for i, name in enumerate(result.names)
        ]
        out.table(
            f"Meta-objective relative to the intact optimizer's on {self.num_problems} problems of {self.task}",
            ["mechanism", "variant", "kind", "scale", "ratio", "ratio at that scale", "95% interval",
             f"advantage over {result.best_baseline or 'a baseline'} kept", "diverged"],
            rows,
        )  # fmt: skip
        columns = ["mechanism", "needed", "why_needed", "sufficient", "why_sufficient"]
        out.table("Verdicts", columns, [[entry[column] for column in columns] for entry in result.verdicts])
        if self.out is not None:
            from optoscope.figures.ablation import save_ablation_figure

            written = [result.save(self.out / "ablation.npz"), *save_ablation_figure(result, self.out)]
            out.text(f"wrote {', '.join(str(path) for path in written)}")
        return out.finish()
