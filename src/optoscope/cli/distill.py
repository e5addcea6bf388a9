"""`optoscope distill`."""

import dataclasses
from pathlib import Path

from optoscope.cli.commands import _check_file, _Computes, _Optimizer
from optoscope.cli.devices import prepare
from optoscope.cli.output import Output, make_reporter


@dataclasses.dataclass(frozen=True)
class Distill(_Computes):
    """Distill an optimizer into a formula of few numbers, and measure what the formula keeps.

    OPTIMIZER is a shipped name, a path, or module:name(literals).

    Example: optoscope distill rosenbrock --task rosenbrock --out distilled
    """

    optimizer: _Optimizer
    """A shipped name, a path, or module:name(literals)."""
    task: str
    """Name of a task."""
    out: Path | None = None
    """Directory for the result (.npz), its summary (JSON), the formula (text and LaTeX) and the figure."""
    max_numbers: int = 30
    """Constants that the formula may have."""
    path: tuple[str, ...] = ()
    """Pieces in the order in which they are added, those that come together joined by +, momentum first; a path that
    suits Rosenbrock if none. docs/distillation.md lists them."""
    effort: float = 1.0
    """Multiplies the lengths of all searches."""
    num_test: int = 4096
    """Test problems."""
    num_steps: int = 200
    """Updates per run."""
    seed: int = 0
    """Draws problems and starts."""
    json: bool = False
    """Print JSON instead of tables."""
    force: bool = False
    """Overwrite what --out holds."""

    def run(self) -> int:
        """Distill, print and save."""
        prepare(self.mnist_dir)
        import jax

        from optoscope import tasks
        from optoscope.cli.optimizer_spec import parse_component_wise
        from optoscope.distillation import DistillConfig, distill

        task = tasks.get(self.task)
        if self.out is not None:
            _check_file(self.out / "distilled.npz", self.force)
        config = DistillConfig(max_numbers=self.max_numbers, num_test=self.num_test, num_steps=self.num_steps)
        if self.path:
            groups = tuple(tuple(piece.replace("_", " ") for piece in group.split("+")) for group in self.path)
            config = dataclasses.replace(config, path=groups)
        with make_reporter(f"distill {self.optimizer} on {self.task}") as report:
            result = distill(
                parse_component_wise(self.optimizer),
                task,
                key=jax.random.key(self.seed),
                source=self.optimizer,
                config=config.with_effort(self.effort),
                report=report.stage,
            )
        out = Output(json=self.json)
        summary = result.summary()
        rows = [
            [
                ("* " if i == result.chosen else "") + ", ".join(size["pieces"]),
                size["num_numbers"],
                size["one_step_r2"],
                size["running_r2"],
                size["validation"],
                size["mean"],
                size["median"],
                size["advantage_kept"]["mean"],
                "{:.3f} to {:.3f}".format(*result.advantage_interval(i)),
            ]
            for i, size in enumerate(summary["sizes"])
        ]
        out.table(
            "Sizes (kept: share of the advantage over the baseline; "
            f"source {summary['source_mean']:.4g}, {result.baseline or 'no baseline'} "
            f"{summary['baseline_mean']:.4g}; * chosen by validation)",
            ["pieces", "numbers", "R2 one step", "R2 running", "validation", "mean", "median", "kept", "95% interval"],
            rows,
        )
        for line in summary["formula"]:
            out.text(line)
        if self.out is not None:
            from optoscope.figures.distillation import save_distillation_figure

            written = [result.save(self.out / "distilled.npz"), *save_distillation_figure(result, self.out)]
            out.text(f"wrote {', '.join(str(path) for path in written)}")
        return out.finish()
