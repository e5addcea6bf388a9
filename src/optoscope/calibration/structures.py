"""The structure of every optimizer of a collection, and how one component of it can be looked at."""

import dataclasses
import html
import time
import warnings
from pathlib import Path
from typing import Any

from optoscope._core.files import write_json
from optoscope._core.progress import Announce, Report, silent
from optoscope._core.provenance import provenance
from optoscope._core.results import Result
from optoscope._core.tables import Table
from optoscope.anatomy import Dossier
from optoscope.calibration.collections import Entry, find_entries, version_of
from optoscope.mechanisms.diagnose import assess
from optoscope.running.run_log import open_run
from optoscope.whole import structure
from optoscope.whole._bench import explain

_SHOWN = ("own", "row", "column", "rest", "matrix", "others", "parameters")


@dataclasses.dataclass(frozen=True)
class Structures(Result):
    """Every optimizer of a collection, measured or refused.

    Attributes:
        collection: its name.
        version: of the package.
        rows: for each its `name`, `arguments`, the `structure` as `Structure.to_json` has it (None if it cannot run),
            how a component is looked at (`view`: "own", "context", "spectral", None), the `diagnosis` in words and the
            share of the component's updates that its explanation gives (`explained`), and `reason`: what stands in the
            way, where something does; `seconds`.
        provenance: who made it.
    """

    collection: str
    version: str
    rows: list[dict[str, Any]]
    provenance: dict[str, Any]

    def tables(self) -> list[Table]:
        """Return the optimizers, one row each."""
        rows = [
            [row["name"], *((made["unit"], made["summary"]) if (made := row["structure"]) else ("", "")), row["view"],
             row["diagnosis"], row["reason"]]
            for row in self.rows
        ]  # fmt: skip
        columns = ["optimizer", "unit", "what_it_does", "component", "diagnosis", "what_it_needs"]
        return [Table("rows", columns, rows, title=f"Optimizers of {self.collection} {self.version}")]

    def write(self, directory: str | Path) -> Path:
        """Write `COLLECTION_structures.json` and the page `COLLECTION_structures.html`; returns the page."""
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        write_json(directory / f"{self.collection}_structures.json", self.to_json())
        page = directory / f"{self.collection}_structures.html"
        page.write_text(structures_page(self))
        return page


def find_structures(
    collection: str,
    *,
    names: tuple[str, ...] | None = None,
    diagnoses: bool = True,
    num_steps: int = 200,
    directory: Path | None = None,
    report: Report = silent,
    announce: Announce = silent,
) -> Structures:
    """Measure every optimizer of a collection, made with its defaults.

    Args:
        collection: "optax", "torch" or "pytorch_optimizer"; its package must be installed.
        names: of some of them; all if None.
        diagnoses: whether each is diagnosed as well, which takes longer than the structure.
        num_steps: that a diagnosis looks at; torch's optimizers, which are run step by step, take long with many.
        directory: keeps each optimizer as it is done; the same call goes on with those that are left.
        report: told what is going on: a name, how many are done, of how many.
        announce: told what is not as it should be, but does not stop the run.

    Raises:
        ValueError: for an unknown collection or name, or if the directory holds another collection.
        ImportError: if the package is not installed.
    """
    entries = find_entries(collection)
    if names is not None:
        unknown = set(names) - {entry.name for entry in entries}
        if unknown:
            raise ValueError(
                f"{collection} has no {', '.join(sorted(unknown))}; it has {', '.join(e.name for e in entries)}."
            )
        entries = [entry for entry in entries if entry.name in names]
    settings = {
        "collection": collection,
        "version": version_of(collection),
        "diagnoses": diagnoses,
        "num_steps": num_steps,
    }
    rows = []
    with open_run(directory, settings, resume=True, announce=announce) as log:
        for i, entry in enumerate(entries):
            report(collection, i, len(entries))
            measure = lambda entry=entry: _measured(entry, diagnoses, num_steps)
            rows.append(log.known_or([entry.name, entry.arguments], measure))
    report(collection, len(entries), len(entries))
    return Structures(collection, version_of(collection), rows, provenance())


def _measured(entry: Entry, diagnoses: bool, num_steps: int) -> dict[str, Any]:
    start = time.monotonic()
    row: dict[str, Any] = {"name": entry.name, "arguments": entry.arguments, "structure": None, "view": None}
    row |= {"diagnosis": "", "explained": None, "reason": ""}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of others' code, about what will change in it
        try:
            found = structure(entry.make(), name=entry.name)
            row["structure"] = found.to_json()
            if diagnoses:
                report = assess(Dossier(entry.make(), structure=found, name=entry.name, num_steps=num_steps))
                row |= {"view": report.view, "diagnosis": report.summary, "explained": report.explained}
        except Exception as error:  # whatever others' code raises is its reason
            row["reason"] = explain(error)
    return row | {"seconds": round(time.monotonic() - start, 2)}


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 15px/1.4 system-ui, sans-serif; margin: 2rem; color: #222 }}
table {{ border-collapse: collapse }}
td, th {{ padding: .25rem .5rem; border-bottom: 1px solid #ddd; text-align: left }}
th {{ cursor: pointer; position: sticky; top: 0; background: #fff }} td.number {{ text-align: right }}
input {{ font: inherit; padding: .3rem; width: 24rem; margin-bottom: 1rem }}
</style></head><body><h1>{title}</h1><p>{intro}</p>
<label>Search <input id="search" type="search"></label>
<table id="rows"><thead><tr>{head}</tr></thead><tbody>
{body}
</tbody></table><script>
const body = document.querySelector("#rows tbody"), rows = [...body.rows];
document.querySelector("#search").oninput = event => {{
  const words = event.target.value.toLowerCase().split(/\\s+/);
  rows.forEach(row => row.hidden = !words.every(word => row.textContent.toLowerCase().includes(word)));
}};
document.querySelectorAll("#rows th").forEach((cell, i) => cell.onclick = () => {{
  const down = cell.dataset.down = cell.dataset.down === "1" ? "0" : "1";
  const key = row => {{ const text = row.cells[i].textContent, x = parseFloat(text); return isNaN(x) ? text : x; }};
  const order = (x, y) => x < y ? -1 : x > y ? 1 : 0;
  rows.sort((a, b) => order(key(a), key(b)) * (down === "1" ? 1 : -1));
  rows.forEach(row => body.append(row));
}});
</script></body></html>
"""


def structures_page(found: Structures) -> str:
    """Return the page: a table that can be sorted and searched, and needs nothing else."""
    taken = [row for row in found.rows if row["structure"] is not None]
    seen = [row for row in found.rows if row["view"] is not None]
    intro = (
        f"{found.collection} {found.version}: {len(taken)} of {len(found.rows)} measured, {len(seen)} diagnosed. "
        "Exponents are octaves by which an update changes when one thing doubles, under constant gradients."
    )
    columns = ["optimizer", "arguments", "unit", "component", *_SHOWN, "what it does, or what it needs", "diagnosis"]
    head = "".join(f"<th>{html.escape(name)}</th>" for name in columns)
    body = "\n".join(_row(row) for row in found.rows)
    return _PAGE.format(title=f"Optimizers of {found.collection}", intro=html.escape(intro), head=head, body=body)


def _row(row: dict[str, Any]) -> str:
    made = row["structure"]
    cells = [row["name"], row["arguments"], made["unit"] if made else "", row["view"] or ""]
    numbers = [f"{made['exponents'][name]:.2f}" if made else "" for name in _SHOWN]
    text = ". ".join(part for part in (made["summary"] if made else "", row["reason"]) if part)
    plain = "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
    right = "".join(f'<td class="number">{number}</td>' for number in numbers)
    return f"<tr>{plain}{right}<td>{html.escape(text)}</td><td>{html.escape(row['diagnosis'])}</td></tr>"
