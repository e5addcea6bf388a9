"""A table of every rule in optax: what `diagnose` says of it, or why it is not the rule of one component."""

import dataclasses
import re
import time
import warnings
from pathlib import Path
from typing import Any

from optoscope._core.choices import check_choice
from optoscope._core.files import write_json, write_whole
from optoscope._core.markdown import table
from optoscope._core.progress import Report, silent
from optoscope._core.provenance import provenance
from optoscope._core.results import Result
from optoscope._core.tables import Table
from optoscope.calibration.optax_rules import OptaxRule, find_rules
from optoscope.mechanisms import diagnose
from optoscope.optimizers import from_optax


@dataclasses.dataclass(frozen=True)
class Gallery(Result):
    """Every rule of optax, diagnosed or refused.

    Attributes:
        rules: for each its name, its arguments, the outcome ("diagnosed" or "refused"), the summary or the reason, the
            verdicts as `MechanismReport.to_json` has them (None if refused), and the seconds that it took.
        optax: the version.
        provenance: who made it.
    """

    rules: list[dict[str, Any]]
    optax: str
    provenance: dict[str, Any]

    def tables(self) -> list[Table]:
        """Return the rules, one row each."""
        columns = ["name", "arguments", "outcome", "text"]
        rows = [[row[column] for column in columns] for row in self.rules]
        return [Table("rules", columns, rows, title=f"Rules of optax {self.optax}")]

    def write(self, directory: str | Path) -> Path:
        """Write `optax_gallery.json` and the page `optax_gallery.md` into a directory; returns the page."""
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        write_json(directory / "optax_gallery.json", self.to_json())
        page = directory / "optax_gallery.md"
        write_whole(page, gallery_page(self).encode())
        return page


def optax_gallery(*, names: tuple[str, ...] | None = None, report: Report = silent) -> Gallery:
    """Diagnose every rule that the installed optax makes, or say why it is refused.

    Args:
        names: of rules, such as `adam` or `contrib.adopt`; all of them if None.
        report: told what is going on: a name, how many are done, of how many.

    Raises:
        ValueError: for an unknown name.
    """
    rules = find_rules()
    if names is not None:
        check_rules(names)
        rules = [rule for rule in rules if rule.name.removeprefix("optax.") in names]
    rows = []
    for i, rule in enumerate(rules):
        report("rules of optax", i, len(rules))
        rows.append(_examined(rule))
    report("rules of optax", len(rules), len(rules))
    made = provenance()
    return Gallery(rules=rows, optax=made["versions"]["optax"], provenance=made)


def check_rules(names: tuple[str, ...]) -> None:
    """Check that optax has these rules.

    Raises:
        ValueError: for an unknown name.
    """
    known = {rule.name.removeprefix("optax.") for rule in find_rules()} if names else ()
    for name in names:
        check_choice("rule of optax", name, known)


def _examined(rule: OptaxRule) -> dict[str, Any]:
    start = time.monotonic()
    verdicts = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of optax, about what will change in it
            optimizer = from_optax(rule.make())
            found = diagnose(optimizer, name=rule.title)
        outcome, text, verdicts = "diagnosed", found.summary, found.to_json()["verdicts"]
    except (ValueError, TypeError) as error:
        outcome, text = "refused", _reason(error)
    return {
        "name": rule.name.removeprefix("optax."),
        "arguments": rule.arguments,
        "outcome": outcome,
        "text": text,
        "verdicts": verdicts,
        "seconds": round(time.monotonic() - start, 2),
    }


def _reason(error: Exception) -> str:
    """What a refusal says after its opening, up to its advice."""
    text = " ".join(str(error).split())
    match = re.search(r"and this one does not: (.*?)(?:; `rollout` runs.*)?$", text)
    reason = match[1] if match else text
    return reason.split(". Leave out")[0]


def gallery_page(gallery: Gallery) -> str:
    """Return the gallery as Markdown; `optoscope gallery` writes it."""
    diagnosed = [row for row in gallery.rules if row["outcome"] == "diagnosed"]
    refused = [row for row in gallery.rules if row["outcome"] == "refused"]
    lines = [
        "# Every rule of optax",
        "",
        f"Made by `optoscope gallery` with optax {gallery.optax}; do not edit. {len(diagnosed)} rules of one component "
        f"are diagnosed, {len(refused)} are refused by `from_optax`, which names what it measured. All magnitudes of "
        "gradients from 1e-8 to 1e8 were tried; thresholds are in units of the gradient. Arguments without a "
        "default are those of the second column; all else is as optax has it. Rules that decay weights by default are "
        "there twice, as they are and without.",
        "",
        "## Diagnosed",
        "",
        _table(["rule", "arguments", "what it is made of"], diagnosed),
        "",
        "## Refused",
        "",
        _table(["rule", "arguments", "why"], refused),
    ]
    return "\n".join(lines) + "\n"


def _table(columns: list[str], rows: list[dict[str, Any]]) -> str:
    return table(columns, [[f"`{row['name']}`", row["arguments"], row["text"]] for row in rows])
