"""The tables of the docs: `python -m benchmarks.pages` writes them, `--check` says which pages are out of date.

They come from `benchmarks/results/`, from what ships, and from what the package says of its own arguments.
"""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks._report import RESULTS
from benchmarks.ablation import ablation_tables
from benchmarks.distillation import distillation_tables
from benchmarks.explorer import explorer_table
from benchmarks.galleries import galleries_tables
from benchmarks.leaving_home import leaving_home_table
from benchmarks.ledger import counts_table, seeds_table
from benchmarks.margins import margins_table
from benchmarks.pairs import pairs_tables
from benchmarks.prevalence import prevalence_table
from benchmarks.recording import recording_table
from benchmarks.robustness_tables import generalization_tables, neighbors_table, stability_table
from benchmarks.training_tables import (
    networks_table,
    presets_table,
    results_table,
    shipped_table,
    speed_table,
    ways_table,
)
from benchmarks.whole_calibration import whole_calibration_tables
from optoscope._core.markdown import between_marks
from optoscope.calibration.calibrate import LIMITS
from optoscope.cli.reference import arguments_reference, settings_reference

DOCS = Path(__file__).parent.parent / "docs"
#: page -> marks -> what stands between them
PAGES: Mapping[str, Mapping[str, Callable[[], str]]] = {
    "claims": {"ledger": seeds_table, "prevalence": prevalence_table},
    "command_line": {"settings": settings_reference, "arguments": arguments_reference},
    "compare": {"pairs": pairs_tables},
    "distillation": {"distilled": distillation_tables},
    "explore": {"explorer": explorer_table},
    "galleries": {"galleries": galleries_tables},
    "generalization": {"generalization": generalization_tables, "neighbors": neighbors_table},
    "interventions": {"ablation": ablation_tables},
    "recordings": {"margins": margins_table, "recording": recording_table, "leaving home": leaving_home_table},
    "results": {"results": results_table, "counts": counts_table},
    "speed": {"speed": speed_table},
    "stability": {"stability": stability_table},
    "training": {
        "presets": presets_table,
        "ways": ways_table,
        "networks": networks_table,
        "shipped": shipped_table,
    },
    "whole_optimizers": {"planted": whole_calibration_tables},
}


def filled(name: str) -> str:
    """Return the text of a page with its tables."""
    text = (DOCS / f"{name}.md").read_text()
    for mark, make in PAGES[name].items():
        text = between_marks(text, mark, make())
    return text


def write_pages() -> None:
    """Fill every page."""
    for name in PAGES:
        (DOCS / f"{name}.md").write_text(filled(name))


def main() -> int:
    if "--check" not in sys.argv:
        write_pages()
        return 0
    stale = [name for name in PAGES if filled(name) != (DOCS / f"{name}.md").read_text()]
    for name in stale:
        print(f"docs/{name}.md is out of date; python -m benchmarks.pages writes its tables", file=sys.stderr)
    others = other_limits()
    for name in others:
        print(f"{name} has other thresholds than when it was calibrated; optoscope calibrate measures", file=sys.stderr)
    return 1 if stale or others else 0


def other_limits() -> list[str]:
    """Return the mechanisms whose thresholds are not those with which they were calibrated."""
    measured = json.loads((RESULTS / "calibration.json").read_text())["limits"]
    of = lambda name: (measured[name]["absent below"], measured[name]["present above"])
    return [name for name, limits in LIMITS.items() if of(name) != tuple(limits)]


if __name__ == "__main__":
    sys.exit(main())
