"""`optoscope structure`."""

import dataclasses
from pathlib import Path
from typing import Any

from optoscope.cli._arguments import Force, Optimizer
from optoscope.cli._checks import check_file
from optoscope.cli._command import TakesOptimizers
from optoscope.cli.output import Reporter


@dataclasses.dataclass(frozen=True)
class Structure(TakesOptimizers):
    """Say what the updates of a whole optimizer depend on: its unit, what it reads, its symmetries and thresholds.

    OPTIMIZER is a shipped name, a path, or module:name(literals).

    Example: optoscope structure "torch.optim:AdamW(lr=0.001)"
    """

    optimizer: Optimizer
    out: Path | None = None
    """Directory for structure.json and the figure (PNG, SVG, and its numbers as JSON)."""
    force: Force = False

    def prepare(self) -> Any:
        """Return the optimizer."""
        from optoscope.artifacts.as_optimizer import as_whole

        if self.out is not None:
            check_file(self.out / "structure.json", self.force)
        return as_whole(self.optimizer, trust=self.trust)

    def compute(self, prepared: Any, report: Reporter) -> Any:
        """Measure."""
        del report
        from optoscope.whole import structure

        return structure(prepared, name=self.optimizer)

    def save(self, result: Any) -> list[Path]:
        """Write the result and the figure."""
        if self.out is None:
            return []
        from optoscope._core.files import write_json
        from optoscope.figures.structure import save_structure_figure

        self.out.mkdir(parents=True, exist_ok=True)
        path = self.out / "structure.json"
        write_json(path, result.to_json())
        return [path, *save_structure_figure(result, self.out)]
