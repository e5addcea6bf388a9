"""`optoscope figure`."""

import dataclasses
from pathlib import Path
from typing import Any

from optoscope._core.tables import Table
from optoscope.cli._arguments import Force, Number, Seed
from optoscope.cli._checks import check_file, check_source
from optoscope.cli._command import RunsTasks
from optoscope.cli.output import Output, Reporter


@dataclasses.dataclass(frozen=True)
class Figure(RunsTasks):
    """Draw figures of the paper from what ships, or from artifacts of your own.

    Example: optoscope figure 3 --out figures
    """

    number: Number
    """The number of a figure, or `all`."""
    out: Path = Path("figures")
    """Directory for PNG, SVG and the numbers drawn (JSON)."""
    source: Path | None = None
    """Directory with artifacts in the layout of the shipped ones."""
    seed: Seed = 0
    """Draws the test problems."""
    force: Force = False

    @property
    def title(self) -> str:
        """What is drawn."""
        return "figures"

    def prepare(self) -> list[int]:
        """Return the numbers of the figures."""
        from optoscope.paper.reproduce import check_figure, figure_numbers

        check_source(self.source)
        numbers = figure_numbers() if self.number == "all" else [self.number]
        for number in numbers:
            check_figure(number)
            check_file(self.out / f"figure_{number}.png", self.force)
        return [int(number) for number in numbers]

    def compute(self, prepared: list[int], report: Reporter) -> dict[int, Path]:
        """Draw, and write each picture."""
        from optoscope.paper.reproduce import draw_figures

        return draw_figures(prepared, self.out, seed=self.seed, source=self.source, report=report.stage)

    def show(self, result: Any, out: Output) -> None:
        """Print where they are."""
        out.table(Table("figures", ["number", "file"], [[n, str(path)] for n, path in result.items()]))
