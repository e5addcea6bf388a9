"""All claims, judged on what ships."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from optoscope import tasks
from optoscope._core.choices import check_choice
from optoscope._core.files import write_json
from optoscope._core.progress import Report, silent
from optoscope._core.provenance import provenance
from optoscope._core.shown import Shown
from optoscope._core.tables import Table
from optoscope.paper.claims import (
    adaptation,
    clipping,
    grouping,
    meta_training,
    momentum,
    performance,
    recovered_momentum,
    schedule,
    tuning,
)
from optoscope.paper.claims._claim import ALL_TASKS, Claim, Finding
from optoscope.paper.study import (
    PAPER_TASKS,
    Study,
    tasks_at_hand,
    tasks_with_baselines,
    tasks_with_optimizers,
)
from optoscope.training.recipes import BASELINES

#: Every claim, in the order of the paper.
CLAIMS: tuple[Claim, ...] = (
    *performance.CLAIMS,
    *momentum.CLAIMS,
    *clipping.CLAIMS,
    *schedule.CLAIMS,
    *adaptation.CLAIMS,
    *grouping.CLAIMS,
    *recovered_momentum.CLAIMS,
    *meta_training.CLAIMS,
    *tuning.CLAIMS,
)
#: Verdicts that are counted, in this order.
VERDICTS = ("reproduced", "partly", "not", "not measured")


@dataclasses.dataclass(frozen=True)
class Ledger(Shown):
    """The findings about all claims.

    Attributes:
        findings: in the order of the claims, and of the tasks in the paper.
        left_out: task -> why nothing of it was measured.
        provenance: who made it.
    """

    findings: tuple[Finding, ...]
    left_out: dict[str, str]
    provenance: dict[str, Any]

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Task -> verdict -> number of the paper's claims with it."""
        names = [name for name in (*PAPER_TASKS, ALL_TASKS) if any(one.task == name for one in self.findings)]
        counted = [one for one in self.findings if not one.is_beyond]
        return {
            name: {v: sum(one.task == name and one.verdict == v for one in counted) for v in VERDICTS} for name in names
        }

    def tables(self) -> list[Table]:
        """Return the claims that were measured, and how many have each verdict."""
        found = [
            [one.task, one.section, one.figure, one.says, one.verdict + " *" * one.is_beyond, one.sentence]
            for one in self.findings
            if one.verdict != "not measured"
        ]
        columns = ["task", "section", "figure", "claim", "verdict", "measured"]
        rows = [[task, *(count[verdict] for verdict in VERDICTS)] for task, count in self.counts.items()]
        title = "Claims (* not a claim of the paper about this task: measured as well, not counted)"
        return [
            Table("findings", columns, found, title=title),
            Table("counts", ["task", *(verdict.replace(" ", "_") for verdict in VERDICTS)], rows),
        ]

    def to_json(self) -> dict[str, Any]:
        """Return the ledger as JSON data; what is not finite is null."""
        return super().to_json() | {"counts": self.counts}

    def save(self, directory: str | Path) -> Path:
        """Write `claims.json`; returns its path."""
        path = Path(directory) / "claims.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, self.to_json())
        return path


def make_ledger(
    task_names: Sequence[str] = (),
    *,
    seed: int = 0,
    num_problems: int = 64,
    source: str | Path | None = None,
    report: Report = silent,
) -> Ledger:
    """Judge all claims on the optimizers that ship, or on artifacts of one's own.

    Args:
        task_names: the paper's tasks; if empty, all of them, but those whose data would have to be downloaded are
            left out.
        seed: draws the test problems.
        num_problems: test problems per task; network tasks have fewer.
        source: directory with artifacts in the layout of the shipped ones.
        report: called with what is being done, how much is done and how much there is.

    Returns:
        The ledger; tasks without a learned optimizer are in it as not measured.

    Raises:
        ValueError: for an unknown task, or if no task that was asked for has optimizers.
    """
    for name in task_names:
        check_choice("task of the paper", name, PAPER_TASKS)
    asked = [name for name in PAPER_TASKS if not task_names or name in task_names]
    possible = tasks_with_optimizers(source) if task_names else tasks_at_hand(source)
    there = [name for name in asked if name in possible]
    if not there:
        raise ValueError(f"no learned optimizer ships for {', '.join(asked)}; see `optoscope list`.")
    study = Study(
        there,
        key=jax.random.key(seed),
        num_problems=num_problems,
        source=source,
        tuned_names=[name for name in asked if name in tasks_with_baselines(source)],
    )
    return judge(study, asked=asked, seed=seed, report=report)


def judge(
    study: Study,
    *,
    asked: Sequence[str] = PAPER_TASKS,
    seed: int = 0,
    report: Report = silent,
) -> Ledger:
    """Judge all claims on the results of a study.

    Args:
        study: what they rest on.
        asked: the tasks of interest; those that the study lacks are reported as not measured.
        seed: of its test problems, for the commands that are printed.
        report: called with what is being done, how much is done and how much there is.
    """
    rows = [(claim, name, name in claim.beyond) for claim in CLAIMS for name in (*claim.tasks, *claim.beyond)]
    rows = [row for row in rows if _is_asked(study, row[1], row[2], asked)]
    findings = []
    for i, (claim, name, is_beyond) in enumerate(rows):
        findings.append(_finding(claim, study, name, is_beyond, seed))
        report("claims", i + 1, len(rows))
    return Ledger(
        findings=tuple(findings),
        left_out={name: _absence(study, name) for name in asked if name not in study.tasks},
        provenance=provenance(seed=seed, tasks=list(study.tasks)) | {"study": study.provenance},
    )


def _is_asked(study: Study, task: str, is_beyond: bool, asked: Sequence[str]) -> bool:
    if task == ALL_TASKS:
        return set(asked) >= set(study.tasks) and len(study.tasks) > 1
    return task in asked and not (is_beyond and task not in study.tasks)


def _finding(claim: Claim, study: Study, task: str, is_beyond: bool, seed: int) -> Finding:
    is_there = task == ALL_TASKS or task in (study.tasks if claim.needs_learned else study.tuned)
    measured = claim.measure(study, task) if is_there else None
    command = claim.command or f"optoscope figure {claim.figure}"
    if measured is None:
        verdict, quantities = "not measured", {}
        sentence = _absence(study, task) if not is_there else "What ships does not allow to measure it."
    else:
        verdict = claim.judge(measured.quantities)
        quantities = {rule.what: one for rule, one in zip(claim.rules, measured.quantities)}
        sentence = measured.sentence
    return Finding(
        claim=claim.id,
        section=claim.section,
        figure=claim.figure,
        says=claim.says,
        task=task,
        verdict=verdict,
        is_beyond=is_beyond,
        quantities=quantities,
        sentence=sentence,
        rule=claim.rule,
        command=command.format(task=task) + (f" --seed {seed}" if seed else ""),
    )


def _absence(study: Study, task: str) -> str:
    name = tasks.title_of(task)
    if not tasks.is_at_hand(task):
        return f"{name}: its data are not at hand; pass --mnist-dir or set OPTOSCOPE_MNIST to have it measured."
    missing = [] if task in study.tuned else [f"no tuned baselines ({', '.join(BASELINES)})"]
    return f"{name}: no learned optimizer ships yet" + "".join(f", and {what}" for what in missing) + "."
