"""`optoscope states`."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

from optoscope._core.allowed import Allowed
from optoscope.cli._arguments import Force, NumProblems, NumSteps, Optimizer, Seed, TaskOption
from optoscope.cli._checks import check_file, check_fits
from optoscope.cli._command import RunsTasks, TakesOptimizers
from optoscope.cli.output import Reporter


@dataclasses.dataclass(frozen=True)
class States(RunsTasks, TakesOptimizers):
    """Keep a bounded sample of what an optimizer's components met on test problems: states, gradients and updates.

    Example: optoscope states two_moons --task two_moons --out states.npz
    """

    optimizer: Optimizer
    task: TaskOption
    out: Path
    """File (.npz) for the sample; a JSON file beside it names the groups of parameters."""
    num_problems: NumProblems = 8
    """Test problems."""
    num_steps: NumSteps = 200
    max_components: Annotated[int, Allowed(1, 1_000_000)] = 256
    """Components kept of each problem, as evenly from all layers, weights and biases as these allow."""
    seed: Seed = 0
    """Draws the problems and the components."""
    force: Force = False

    def prepare(self) -> tuple[Any, Any]:
        """Return the optimizer and the task."""
        from optoscope import tasks

        check_file(self.out, self.force, ending=".npz")
        optimizer, task = self.read_rule(self.optimizer), tasks.get(self.task)
        check_fits(
            task,
            num_problems=self.num_problems,
            num_steps=self.num_steps,
            num_components=self.max_components,
            kept_per_component=optimizer.num_states + 2,
        )
        return optimizer, task

    def compute(self, prepared: tuple[Any, Any], report: Reporter) -> Any:
        """Run."""
        del report
        import jax

        from optoscope.running import visit

        return visit(
            *prepared,
            key=jax.random.key(self.seed),
            num_problems=self.num_problems,
            num_steps=self.num_steps,
            max_components=self.max_components,
        )

    def save(self, result: Any) -> list[Path]:
        """Write the sample."""
        return [result.save(self.out)]
