"""Every optimizer of a collection: what it depends on, what it is made of, or what it needs."""

import dataclasses
import time
import warnings
from pathlib import Path
from typing import Any

from optoscope._core.choices import check_choice
from optoscope._core.files import write_json, write_whole
from optoscope._core.progress import Announce, Report, silent
from optoscope._core.provenance import provenance
from optoscope._core.results import Result
from optoscope._core.tables import Table
from optoscope._core.templates import templates_of
from optoscope.anatomy import Dossier
from optoscope.calibration.collections import find_entries, version_of
from optoscope.mechanisms.diagnose import assess
from optoscope.running.parts import Place, run_parts
from optoscope.running.run_log import open_run
from optoscope.whole import structure
from optoscope.whole._bench import explain

#: Exponents that the page shows.
EXPONENTS = ("own", "row", "column", "rest", "matrix", "others", "parameters")


@dataclasses.dataclass(frozen=True)
class Gallery(Result):
    """Every optimizer of a collection, measured or refused.

    Attributes:
        collection: its name.
        version: of the package.
        rows: for each its `name` and `arguments`; `unit`, `exponents` and `what_it_does`, as `Structure` has them (None
            and "" if it cannot run); how a component is looked at (`view`: "own", "context", "spectral", None), the
            `diagnosis` in words and the share of the component's updates that its explanation gives (`explained`);
            `what_it_needs`: what stands in the way, where something does; `seconds`.
        provenance: who made it.
    """

    collection: str
    version: str
    rows: list[dict[str, Any]]
    provenance: dict[str, Any]

    def tables(self) -> list[Table]:
        """Return the optimizers, one row each."""
        columns = ["name", "arguments", "unit", "what_it_does", "view", "diagnosis", "explained", "what_it_needs"]
        rows = [["" if row[column] is None else row[column] for column in columns] for row in self.rows]
        return [Table("rows", columns, rows, title=f"Optimizers of {self.collection} {self.version}")]

    @property
    def counts(self) -> dict[str, int]:
        """How many there are, have a structure, have a diagnosis, and are explained to 95%."""
        return {
            "optimizers": len(self.rows),
            "structures": sum(row["unit"] is not None for row in self.rows),
            "diagnoses": sum(row["view"] is not None for row in self.rows),
            "explained": sum((row["explained"] or 0.0) >= 0.95 for row in self.rows),
        }

    def write(self, directory: str | Path) -> Path:
        """Write `COLLECTION_gallery.json` and the page `COLLECTION_gallery.html`; returns the page."""
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        write_json(directory / f"{self.collection}_gallery.json", self.to_json())
        page = directory / f"{self.collection}_gallery.html"
        write_whole(page, self.page().encode())
        return page

    def page(self) -> str:
        """Return the page: a table that can be sorted and searched, and needs nothing else."""
        template = templates_of("optoscope.calibration").get_template("gallery.html")
        return template.render(gallery=self, counts=self.counts, exponents=EXPONENTS)


def gallery(
    collection: str,
    *,
    names: tuple[str, ...] | None = None,
    num_steps: int = 200,
    on: Place = "local",
    num_processes: int | None = None,
    limit: float | None = None,
    directory: Path | None = None,
    report: Report = silent,
    announce: Announce = silent,
) -> Gallery:
    """Measure and diagnose every optimizer of a collection, made with its defaults.

    Args:
        collection: "optax", "torch" or "pytorch_optimizer"; its package must be installed.
        names: of some of them; all if None.
        num_steps: that a diagnosis looks at; torch's optimizers, which are run step by step, take long with many.
        on: "local", in this process, or "processes": each optimizer in a process that it may take down with it.
        num_processes: at once; as many as there are cores if None.
        limit: seconds for one optimizer, on "processes"; one that takes longer is given up, and said so.
        directory: keeps each optimizer as it is done; the same call goes on with those that are left.
        report: told what is going on: a name, how many are done, of how many.
        announce: told what is not as it should be, but does not stop the run.

    Raises:
        ValueError: for an unknown collection, name or place, a limit without processes, or if the directory holds
            another collection.
        ImportError: if the package is not installed.
    """
    entries = find_entries(collection)
    if names is not None:
        check_names(collection, names)
        entries = [entry for entry in entries if entry.name in names]
    settings = {"collection": collection, "version": version_of(collection), "num_steps": num_steps}
    with open_run(directory, settings, resume=True, announce=announce) as log:
        rows = run_parts(
            _row,
            [(collection, entry.name, entry.arguments, num_steps) for entry in entries],
            log=log,
            keys=[[entry.name, entry.arguments] for entry in entries],
            on=on,
            num_processes=num_processes,
            limit=limit,
            failed=_given_up,
            title=f"optimizers of {collection}",
            report=report,
        )
    return Gallery(collection, version_of(collection), rows, provenance())


def check_names(collection: str, names: tuple[str, ...]) -> None:
    """Check that a collection has these optimizers.

    Raises:
        ValueError: for an unknown collection or name.
    """
    known = {entry.name for entry in find_entries(collection)}
    for name in names:
        check_choice(f"optimizer of {collection}", name, known)


def _row(collection: str, name: str, arguments: str, num_steps: int) -> dict[str, Any]:
    entry = next(one for one in find_entries(collection) if (one.name, one.arguments) == (name, arguments))
    start, row = time.monotonic(), _nothing_known(name, arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of others' code, about what will change in it
        try:
            found = structure(entry.make(), name=name)
            exponents = {name: float(found.exponents[name]) for name in EXPONENTS}
            row |= {"unit": found.unit, "exponents": exponents, "what_it_does": found.summary}
            report = assess(Dossier(entry.make(), structure=found, name=name, num_steps=num_steps))
            row |= {"view": report.view, "diagnosis": report.summary, "explained": report.explained}
        except Exception as error:  # whatever others' code raises is its reason
            row["what_it_needs"] = explain(error)
    return row | {"seconds": round(time.monotonic() - start, 2)}


def _given_up(part: tuple[Any, ...], reason: str) -> dict[str, Any]:
    _, name, arguments, _ = part
    return _nothing_known(name, arguments) | {"what_it_needs": reason, "seconds": None}


def _nothing_known(name: str, arguments: str) -> dict[str, Any]:
    return {
        "name": name,
        "arguments": arguments,
        "unit": None,
        "exponents": None,
        "what_it_does": "",
        "view": None,
        "diagnosis": "",
        "explained": None,
        "what_it_needs": "",
    }
