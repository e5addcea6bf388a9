"""One self-contained page of some optimizers."""

import base64
import dataclasses
import hashlib
import html
import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from optoscope._core.files import write_whole
from optoscope._core.provenance import provenance
from optoscope._core.shown import Shown
from optoscope._core.tables import Table
from optoscope._core.templates import templates_of
from optoscope._core.types import PRNGKeyArray
from optoscope.artifacts.as_optimizer import AnyOptimizer
from optoscope.explorer.landscapes import runnable_landscapes
from optoscope.explorer.recorded import run_data
from optoscope.explorer.subject import subject_of
from optoscope.mechanisms import MechanismReport, diagnose
from optoscope.recordings import Examination, Recording
from optoscope.tasks import AbstractTask

#: The height of the page inside a notebook, in pixels.
_HEIGHT = 900


@dataclasses.dataclass(frozen=True)
class Explorer(Shown):
    """A page on which optimizers can be touched.

    Attributes:
        optimizers: their names.
        data: what the page shows, as JSON data: a pool of constants, landscapes, and all that is known of each; where
            they are given, a recorded run and a ledger of claims.
        provenance: who made it.
    """

    optimizers: list[str]
    data: dict[str, Any]
    provenance: dict[str, Any]

    @property
    def headline(self) -> str:
        """What it is a page of."""
        return f"Explorer of {', '.join(self.optimizers)}: `save(path)` writes the page."

    def tables(self) -> list[Table]:
        """Return what runs in the page, one row for each optimizer."""
        rows = []
        for one in self.data["subjects"]:
            edges = one["stability"].get("edges", [])
            rows.append([one["name"], one["num_states"], one["runs_as"], edges[0] if edges else None, one["summary"]])
        columns = ["optimizer", "num_states", "runs", "first_edge", "summary"]
        return [Table("explorer", columns, rows, title="In the page")]

    def to_json(self) -> dict[str, Any]:
        """Return the table; the page's data are in the page."""
        return {table.name: table.records() for table in self.tables()} | {"provenance": self.provenance}

    def to_html(self) -> str:
        """Return the page: one HTML document that loads nothing."""
        room = resources.files("optoscope.explorer")
        script = (room / "explorer.js").read_text(encoding="utf-8")
        style = (room / "templates" / "style.css").read_text(encoding="utf-8")
        content = json.dumps(self.data | {"provenance": self.provenance}, allow_nan=False, separators=(",", ":"))
        return (
            templates_of("optoscope.explorer")
            .get_template("page.html")
            .render(
                title=", ".join(self.optimizers),
                script=script,
                script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
                style=style,
                data=content.replace("<", "\\u003c"),  # so that no text of the data can end the script element
            )
        )

    def with_ledger(self, ledger: dict[str, Any]) -> "Explorer":
        """Return the page with claims: `tasks`, `claims` with findings by task, `counts` in words, and `pictures`."""
        return dataclasses.replace(self, data=self.data | {"ledger": ledger})

    def save(self, path: str | Path) -> Path:
        """Write the page; returns its path."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, self.to_html().encode())
        return path

    def _repr_html_(self) -> str:
        page = html.escape(self.to_html(), quote=True)
        return f'<iframe title="optoscope explorer" style="width:100%;height:{_HEIGHT}px;border:0" srcdoc="{page}">'


def explore(
    *optimizers: AnyOptimizer,
    task: AbstractTask | None = None,
    key: PRNGKeyArray | None = None,
    num_steps: int = 200,
    names: Sequence[str] = (),
    run: Examination | Recording | str | Path | None = None,
) -> Explorer:
    """Make one page on which optimizers can be touched: moved, driven, taken apart and raced against each other.

    Each is diagnosed first. Modes, edges and fixed points are computed here; the page runs the optimizers themselves,
    translated operation by operation.

    Args:
        optimizers: anything that `optoscope.diagnose` takes, or what it returned.
        task: where they run; without one nothing is said about states and curvatures that really occur.
        key: draws the task's test problems; key 0 if None.
        num_steps: length of the runs that are analyzed.
        names: what to call them; what they are called anyway if empty.
        run: a run of one's own, as `examine` takes or returns it: its timeline, margin and
            arrays of parameters are shown, too.

    Returns:
        The page, to be saved, or shown in a notebook.

    Raises:
        ValueError: if none is given, or no component of one can be looked at.
        FileNotFoundError: if there is no recording of the run.
    """
    if not optimizers:
        raise ValueError("`explore` needs at least one optimizer, got none; name one, such as 'rosenbrock'.")
    if names and len(names) != len(optimizers):
        raise ValueError(f"`names` must have one name for each of {len(optimizers)} optimizers, got {len(names)}.")
    recorded = None if run is None else run_data(run)
    pool: dict[str, str] = {}
    subjects = []
    for i, given in enumerate(optimizers):
        name = names[i] if names else None
        report = (
            given
            if isinstance(given, MechanismReport)
            else diagnose(given, task=task, key=key, num_steps=num_steps, name=name)
        )
        subject = subject_of(report, report.dossier, pool)
        subject["name"] = _distinct(name or report.optimizer, [one["name"] for one in subjects])
        subjects.append(subject)
    data = {"pool": pool, "landscapes": runnable_landscapes(pool), "num_steps": num_steps, "subjects": subjects}
    if recorded is not None:
        data["run"] = recorded
    return Explorer([one["name"] for one in subjects], data, provenance(num_steps=num_steps))


def _distinct(name: str, taken: list[str]) -> str:
    """The name, with a number behind it if it is taken."""
    return next(one for one in (name, *(f"{name} ({n})" for n in range(2, len(taken) + 3))) if one not in taken)
