"""The index page: one HTML file that needs nothing else."""

import base64
import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template

from optoscope._files import write_whole
from optoscope._provenance import provenance
from optoscope.figure_data import Study
from optoscope.figures import Drawn
from optoscope.report.statements import Statement
from optoscope.training.evaluate import Evaluation
from optoscope.training.recipes import RECIPES

_PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>optoscope: $tasks</title>
<style>
:root { color-scheme: light; --ink: #1b1f24; --soft: #5b6570; --line: #dfe3e8; --paper: #ffffff; --tint: #f5f7f9; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 74rem; padding: 2rem 1.2rem 5rem; color: var(--ink); background: var(--paper);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .4rem; }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .8rem; border-bottom: 1px solid var(--line); padding-bottom: .3rem; }
p.lead { color: var(--soft); margin-top: 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .86rem; }
th, td { text-align: left; vertical-align: top; padding: .4rem .5rem; border-bottom: 1px solid var(--line); }
th { background: var(--tint); font-weight: 600; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.statement { min-width: 14rem; }
#results + p + .scroll td { white-space: nowrap; }
figure { margin: 1.6rem 0 2.4rem; }
figure img { width: 100%; height: auto; border: 1px solid var(--line); border-radius: 6px; background: white; }
figcaption { color: var(--soft); font-size: .9rem; margin-top: .5rem; }
figcaption b { color: var(--ink); }
code { background: var(--tint); padding: .1rem .3rem; border-radius: 4px; font-size: .85em; overflow-wrap: anywhere; }
a { color: #0b5cad; }
details { margin-top: .3rem; }
</style>
</head>
<body>
<h1>Learned optimizers, taken apart: $tasks</h1>
<p class="lead">Made by <code>$command</code> from $source. Every number on this page was computed by that call, on test
problems that were used neither for training nor for tuning.</p>
<h2 id="results">Results</h2>
<p>Meta-objective: the mean loss over a run divided by the initial loss; lower is better. Losses are heavy-tailed, so
medians stand beside means; differences are paired, with 95% bootstrap intervals.</p>
<div class="scroll">$results</div>
<h2 id="statements">What the paper says, and what was measured</h2>
<div class="scroll">$statements</div>
<h2 id="figures">Figures</h2>
$figures
<h2 id="how">How each optimizer was made</h2>
<div class="scroll">$recipes</div>
<h2 id="provenance">Provenance</h2>
<div class="scroll">$provenance</div>
</body>
</html>
""")


def write_page(
    directory: Path,
    study: Study,
    wide: Mapping[str, Evaluation],
    drawn: Sequence[Drawn],
    statements: Sequence[Statement],
    *,
    seed: int,
    from_scratch: bool,
) -> Path:
    """Write `index.html`, with the pictures inside, and `results.json` with the numbers; returns the page's path.

    Args:
        directory: holds `figures/` with the saved pictures.
        study: where the results come from.
        wide: task -> a second evaluation on more problems.
        drawn: the figures, in order.
        statements: the rows of the second table.
        seed: of the test problems.
        from_scratch: whether optimizers were made anew.
    """
    tasks = " and ".join(name.replace("_", " ") for name in study.evaluations)
    command = f"optoscope reproduce {' '.join(study.evaluations)} --seed {seed}" + " --from-scratch" * from_scratch
    rows = [row for task in study.evaluations for row in _rows(study.evaluations[task]) + _rows(wide[task])]
    made = provenance(seed=seed, from_scratch=from_scratch)
    page = _PAGE.substitute(
        tasks=html.escape(tasks),
        command=html.escape(command),
        source="optimizers made anew by the same call" if from_scratch else "the optimizers that ship with the package",
        results=_table(list(rows[0]), [list(row.values()) for row in rows]),
        statements=_statement_table(statements),
        figures="\n".join(_figure(directory / "figures", one) for one in drawn),
        recipes=_recipes(study),
        provenance=_table(
            ["what", "value"],
            [[name, version] for name, version in made["versions"].items()]
            + [
                ["Python", made["python"]],
                ["machine", made["machine"]],
                ["made", made["made"]],
                ["seed", str(seed)],
            ],
        ),
    )
    numbers = {"results": rows, "statements": [vars(one) for one in statements], "provenance": made}
    write_whole(directory / "results.json", (json.dumps(numbers, indent=1) + "\n").encode())
    path = directory / "index.html"
    write_whole(path, page.encode())
    return path


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


def _table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    def cell(tag: str, value: object) -> str:
        text = str(value)
        number = text[:1].isdigit() or text[:1] == "-"
        return f"<{tag}{' class=number' if number and tag == 'td' else ''}>{html.escape(text)}</{tag}>"

    head = "".join(cell("th", column) for column in columns)
    body = "".join("<tr>" + "".join(cell("td", value) for value in row) + "</tr>\n" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _statement_table(statements: Sequence[Statement]) -> str:
    body = ""
    for one in statements:
        link = f'<br><a href="#figure-{one.figure}">figure {one.figure}</a>' if one.figure else ""
        body += (
            f"<tr><td>{html.escape(one.where)}{link}</td><td>{html.escape(one.task.replace('_', ' '))}</td>"
            f'<td class="statement">{html.escape(one.paper)}</td>'
            f'<td class="statement">{html.escape(one.measured)}</td></tr>\n'
        )
    head = "<tr><th>paper</th><th>task</th><th>what it says</th><th>measured</th></tr>"
    return f"<table><thead>{head}</thead><tbody>{body}</tbody></table>"


def _figure(directory: Path, drawn: Drawn) -> str:
    stem = f"figure_{drawn.number}"
    picture = base64.b64encode((directory / f"{stem}.png").read_bytes()).decode()
    links = ", ".join(f'<a href="figures/{stem}.{kind}">{kind.upper()}</a>' for kind in ("png", "svg", "json"))
    return (
        f'<figure id="figure-{drawn.number}"><img src="data:image/png;base64,{picture}" '
        f'alt="{html.escape(drawn.title, quote=True)}">'
        f"<figcaption><b>Figure {drawn.number}. {html.escape(drawn.title)}.</b> {html.escape(drawn.caption)} "
        f"Redraw: <code>optoscope figure {drawn.number}</code>. Files: {links}.</figcaption></figure>"
    )


def _recipes(study: Study) -> str:
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
