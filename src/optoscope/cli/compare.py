"""`optoscope compare`."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import tyro

from optoscope._core.allowed import Allowed
from optoscope.cli._arguments import Force, Optimizer
from optoscope.cli._checks import check_file
from optoscope.cli._command import TakesOptimizers
from optoscope.cli.output import Reporter


@dataclasses.dataclass(frozen=True)
class Compare(TakesOptimizers):
    """Say whether two optimizers are the same, and if not, where and why they part.

    FIRST and SECOND are shipped names, paths, or module:name(literals), of any framework.

    Example: optoscope compare "torch.optim:RMSprop(lr=0.1, eps=0.01)" "optax:rmsprop(0.1, decay=0.99, eps=0.01)"
    """

    first: Optimizer
    second: Optimizer
    gradients: Annotated[
        tuple[float, ...], Allowed(1e-12, 1e12, distinct=True, at_most=2), tyro.conf.arg(metavar="MAGNITUDE")
    ] = ()
    """The smallest and the largest magnitude of gradients; 1e-8 to 1e4 without them."""
    num_steps: Annotated[int, Allowed(10, 10_000, advice="200 is the default")] = 200
    """Length of every sequence of gradients."""
    out: Path | None = None
    """Directory for the comparison (JSON), with the updates where they part (.npz), and its figure."""
    force: Force = False

    def prepare(self) -> tuple[float, float] | None:
        """Return the range of gradients; both optimizers are accepted before anything is computed."""
        for one in (self.first, self.second):
            self.read_rule(one)
        if self.out is not None:
            check_file(self.out / "comparison.json", self.force)
        if not self.gradients:
            return None
        if len(self.gradients) != 2 or self.gradients[0] >= self.gradients[1]:
            raise ValueError("--gradients takes two magnitudes here, the smallest first.")
        return self.gradients[0], self.gradients[1]

    def compute(self, prepared: tuple[float, float] | None, report: Reporter) -> Any:
        """Compare."""
        del report
        from optoscope.mechanisms import compare

        return compare(self.first, self.second, gradients=prepared, num_steps=self.num_steps, trust=self.trust)

    def save(self, result: Any) -> list[Path]:
        """Write the comparison."""
        if self.out is None:
            return []
        from optoscope._core.files import write_json
        from optoscope.figures.comparison import save_comparison_figure

        result.save(self.out / "comparison.npz")
        write_json(self.out / "comparison.json", result.to_json())
        return [self.out / "comparison.json", *save_comparison_figure(result, self.out)]
