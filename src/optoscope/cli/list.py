"""`optoscope list`."""

import dataclasses
from typing import Any

from optoscope._core.tables import Table
from optoscope.cli._command import Command
from optoscope.cli.output import Output, Reporter


@dataclasses.dataclass(frozen=True)
class List(Command):
    """List tasks, presets, rules that can be tuned, shipped optimizers and figures.

    Example: optoscope list --json
    """

    def prepare(self) -> None:
        """There is nothing to check."""

    def compute(self, prepared: None, report: Reporter) -> dict[str, Any]:
        """Load what ships."""
        del prepared, report
        from optoscope import artifacts

        return {name: artifacts.load(name) for name in artifacts.shipped()}

    def show(self, result: dict[str, Any], out: Output) -> None:
        """Print what there is."""
        from optoscope._core.allowed import describe, settings_of
        from optoscope.paper.reproduce import figure_numbers
        from optoscope.tasks import TASKS
        from optoscope.training.config import PRESETS, MetaTrainConfig
        from optoscope.training.search_spaces import SEARCH_SPACES

        rows = [_describe(name, artifact) for name, artifact in result.items()]
        out.table(Table("shipped", ["name", "task", "how", "meta_objective"], rows, title="Shipped optimizers"))
        out.table(Table("tasks", ["name"], [[name] for name in TASKS]))
        out.table(Table("presets", ["name", "tasks"], [[name, list(tasks)] for name, tasks in PRESETS.items()]))
        default = MetaTrainConfig()
        settings = [[name, getattr(default, name), describe(hint)] for name, hint in settings_of(type(default)).items()]
        columns, title = ["name", "default", "allowed"], "Settings of meta-training (--set)"
        out.table(Table("settings", columns, settings, title=title))
        spaces = [[task, list(rules)] for task, rules in SEARCH_SPACES.items()]
        out.table(Table("tunable", ["task", "rules"], spaces, title="Rules that can be tuned"))
        out.table(Table("figures", ["numbers"], [[list(figure_numbers())]], title="Figures of the paper"))


def _describe(name: str, artifact) -> list:
    if hasattr(artifact, "preset"):
        how = f"GRU-{artifact.optimizer.num_units}, preset {artifact.preset}, seed {artifact.seed}"
        return [name, artifact.task, how, artifact.metrics["best_validation"]]
    how = ", ".join(f"{name}={value:.4g}" for name, value in artifact.hyperparameters.items())
    return [name, artifact.task, how, artifact.score]
