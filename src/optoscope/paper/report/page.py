"""The index page: one HTML file that needs nothing else."""

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optoscope._core.files import write_whole
from optoscope._core.provenance import provenance
from optoscope._core.templates import templates_of
from optoscope.figures._save import small_png
from optoscope.figures.style import in_sentence
from optoscope.paper.claims import Ledger
from optoscope.paper.figures.drawn import Drawn
from optoscope.paper.report.claims import claims_of, counts_of, matrix_of
from optoscope.paper.study import Study
from optoscope.running.evaluate import Evaluation
from optoscope.training.recipes import RECIPES

#: The interactive page beside this one.
EXPLORER = "explorer.html"
PAGE = "index.html"
#: Pixels across of a figure inside a claim, on this page and on the interactive one.
_SMALL, _SMALLEST = 1100, 560


def write_page(
    directory: Path,
    study: Study,
    wide: Mapping[str, Evaluation],
    drawn: Sequence[Drawn],
    ledger: Ledger,
    *,
    seed: int,
    from_scratch: bool,
) -> Path:
    """Write `index.html` with the pictures inside, `results.json` and `claims.json`; returns the page's path.

    Args:
        directory: holds `figures/` with the saved pictures.
        study: where the results come from.
        wide: task -> a second evaluation on more problems.
        drawn: the figures, in order.
        ledger: the claims, with what was found.
        seed: of the test problems.
        from_scratch: whether optimizers were made anew.
    """
    *others, last = (in_sentence(name) for name in study.evaluations)
    tasks = f"{', '.join(others)} and {last}" if others else last
    command = f"optoscope reproduce {' '.join(study.evaluations)} --seed {seed}" + " --from-scratch" * from_scratch
    rows = [
        row
        for task in study.evaluations
        for row in _rows(study.evaluations[task]) + (_rows(wide[task]) if task in wide else [])
    ]
    made = provenance(seed=seed, from_scratch=from_scratch)
    about = [
        *made["versions"].items(),
        ("Python", made["python"]),
        *((name, made[name]) for name in ("machine", "made")),
    ]
    pictures = {one.number: _picture(directory / "figures", one) for one in drawn}
    page = (
        templates_of("optoscope.paper.report")
        .get_template("page.html")
        .render(
            tasks=tasks,
            command=command,
            explorer=EXPLORER if (directory / EXPLORER).exists() else None,
            source="optimizers made anew by the same call"
            if from_scratch
            else "the optimizers that ship with the package",
            results=_table(list(rows[0]), [list(row.values()) for row in rows]),
            counts=_table(*counts_of(ledger)),
            matrix=matrix_of(ledger),
            left_out=" ".join(ledger.left_out.values()),
            findings=claims_of(ledger, pictures),
            pictures=list(pictures.values()),
            recipes=_recipes(study),
            provenance=_table(["what", "value"], [*about, ("seed", str(seed))]),
        )
    )
    numbers = {"results": rows, "provenance": made}
    write_whole(directory / "results.json", (json.dumps(numbers, indent=1) + "\n").encode())
    ledger.save(directory)
    path = directory / PAGE
    write_whole(path, page.encode())
    return path


def ledger_data(directory: Path, drawn: Sequence[Drawn], ledger: Ledger) -> dict[str, Any]:
    """Return the ledger as the interactive page beside this one shows it: a matrix whose cells open to small figures.

    Args:
        directory: holds `figures/` with the saved pictures.
        drawn: the figures.
        ledger: the claims, with what was found.
    """
    pictures = {}
    for one in drawn:
        small = base64.b64encode(small_png(directory / "figures" / f"figure_{one.number}.png", most=_SMALLEST)).decode()
        pictures[str(one.number)] = {"title": one.title, "image": f"data:image/png;base64,{small}"}
    return matrix_of(ledger) | {"page": PAGE, "pictures": pictures}


def _rows(evaluation: Evaluation) -> list[dict[str, str]]:
    rows = []
    for i, name in enumerate(evaluation.names):
        c = evaluation.compare(evaluation.names[0], name) if i else None
        rows.append(
            {
                "task": evaluation.task.replace("_", " "),
                "problems": str(evaluation.objectives.shape[1]),
                "optimizer": name,
                "mean": f"{evaluation.means[i]:.4g}",
                "standard error": f"{evaluation.standard_errors[i]:.2g}",
                "median": f"{evaluation.medians[i]:.4g}",
                "diverged": str(evaluation.num_diverged[i]),
                "learned minus this": _signed(c.difference, c.difference_interval) if c else "",
                "log(learned / this)": _signed(c.log_ratio, c.log_ratio_interval) if c else "",
            }
        )
    return rows


def _signed(value: float, interval: tuple[float, float]) -> str:
    return f"{value:.3g} [{interval[0]:.3g}, {interval[1]:.3g}]"


def _table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> dict[str, Any]:
    return {"columns": columns, "rows": rows}


def _picture(directory: Path, drawn: Drawn) -> dict[str, Any]:
    """A figure as the page shows it: large in its own place, small inside the claims about it."""
    path = directory / f"figure_{drawn.number}.png"
    width, height = drawn.figure.get_size_inches()
    return {
        "number": drawn.number,
        "title": drawn.title,
        "caption": drawn.caption,
        "ratio": f"{width / height:.4f}",
        "large": base64.b64encode(small_png(path)).decode(),
        "small": base64.b64encode(small_png(path, most=_SMALL)).decode(),
    }


def _recipes(study: Study) -> dict[str, Any]:
    rows = []
    for recipe in RECIPES:
        if recipe.task not in study.evaluations:
            continue
        if recipe.how == "tune":
            tuned = study.tuned[recipe.task][recipe.setting]
            result = ", ".join(f"{name} = {value:.4g}" for name, value in tuned.hyperparameters.items())
            made = tuned.provenance
        else:
            trained = study.trained[recipe.task] if recipe.name in study.trained else study.momentum_like
            assert trained is not None
            result = f"best validation {trained.metrics['best_validation']:.4g}, {trained.metrics['seconds']:.0f} s"
            made = trained.provenance
        rows.append([recipe.name, recipe.command, result, f"{made['machine']}, jax {made['versions']['jax']}"])
    return _table(["optimizer", "command", "result", "made on"], rows)
