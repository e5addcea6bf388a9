"""`optoscope claims`."""

import dataclasses
from pathlib import Path

from optoscope.cli.commands import _check_file, _Computes, _Tasks
from optoscope.cli.devices import prepare
from optoscope.cli.output import Output, make_reporter


@dataclasses.dataclass(frozen=True)
class Claims(_Computes):
    """Print the paper's claims with what was measured: reproduced, partly, or not, by a stated rule.

    Example: optoscope claims linear_regression rosenbrock --out claims
    """

    task: _Tasks = ()
    """The paper's tasks; all of them if none is named."""
    out: Path | None = None
    """Directory for claims.json, with every number, interval and rule."""
    source: Path | None = None
    """Directory with artifacts in the layout of the shipped ones."""
    seed: int = 0
    """Draws the test problems."""
    json: bool = False
    """Print JSON instead of tables."""
    force: bool = False
    """Overwrite claims.json."""

    def run(self) -> int:
        """Judge, print and save."""
        prepare(self.mnist_dir)
        from optoscope.claims import make_ledger

        if self.out is not None:
            _check_file(self.out / "claims.json", self.force)
        with make_reporter("claims") as report:
            ledger = make_ledger(self.task, seed=self.seed, source=self.source, report=report.stage)
        if self.out is not None:
            ledger.save(self.out)
        if self.json:
            import json
            import sys

            sys.stdout.write(json.dumps(ledger.to_json(), indent=1, allow_nan=False) + "\n")
            return 0
        out = Output()
        for task in ledger.counts:
            rows = [
                [one.section, "" if one.figure is None else one.figure, one.says, one.verdict + " *" * one.is_beyond,
                 one.sentence]
                for one in ledger.findings
                if one.task == task and one.verdict != "not measured"
            ]  # fmt: skip
            if rows:
                out.table(
                    f"Claims: {task.replace('_', ' ')}", ["section", "figure", "claim", "verdict", "measured"], rows
                )
        columns = ["reproduced", "partly", "not", "not measured"]
        rows = [
            [task.replace("_", " "), *(count[column] for column in columns)] for task, count in ledger.counts.items()
        ]
        out.table("Counts", ["task", *columns], rows)
        for reason in ledger.left_out.values():
            out.text(f"left out: {reason}")
        if any(one.is_beyond for one in ledger.findings):
            out.text("* not a claim of the paper about this task: measured as well, not counted")
        if self.out is not None:
            out.text(f"wrote {self.out / 'claims.json'}")
        return out.finish()
