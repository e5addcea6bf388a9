"""The index page: one HTML file that needs nothing else."""

import base64
import html
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from optoscope._files import write_whole
from optoscope._provenance import provenance
from optoscope.claims import Ledger
from optoscope.figure_data import Study
from optoscope.figures import Drawn
from optoscope.figures.style import in_sentence
from optoscope.report._style import PAGE
from optoscope.report.claims import claims_section, counts_table, left_out
from optoscope.training.evaluate import Evaluation
from optoscope.training.recipes import RECIPES


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
    page = PAGE.substitute(
        tasks=html.escape(tasks),
        command=html.escape(command),
        source="optimizers made anew by the same call" if from_scratch else "the optimizers that ship with the package",
        results=_table(list(rows[0]), [list(row.values()) for row in rows]),
        counts=_table(*counts_table(ledger)),
        left_out=left_out(ledger),
        pictures="\n".join(_picture_class(directory / "figures", one) for one in drawn),
        claims=claims_section(ledger, {one.number: (one.title, _ratio(one)) for one in drawn}),
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
    numbers = {"results": rows, "provenance": made}
    write_whole(directory / "results.json", (json.dumps(numbers, indent=1) + "\n").encode())
    ledger.save(directory)
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


def _figure(directory: Path, drawn: Drawn) -> str:
    stem = f"figure_{drawn.number}"
    picture = base64.b64encode(_small(directory / f"{stem}.png")).decode()
    links = ", ".join(f'<a href="figures/{stem}.{kind}">{kind.upper()}</a>' for kind in ("png", "svg", "json"))
    return (
        f'<figure id="figure-{drawn.number}"><img src="data:image/png;base64,{picture}" '
        f'alt="{html.escape(drawn.title, quote=True)}">'
        f"<figcaption><b>Figure {drawn.number}. {html.escape(drawn.title)}.</b> {html.escape(drawn.caption)} "
        f"Redraw: <code>optoscope figure {drawn.number}</code>. Files: {links}.</figcaption></figure>"
    )


def _ratio(drawn: Drawn) -> float:
    width, height = drawn.figure.get_size_inches()
    return float(width / height)


def _picture_class(directory: Path, drawn: Drawn) -> str:
    """A class of the style sheet that shows a figure, in the size that it has inside a claim."""
    content = base64.b64encode(_small(directory / f"figure_{drawn.number}.png", most=1100)).decode()
    return f".picture-{drawn.number} {{ background-image: url(data:image/png;base64,{content}); }}"


def _small(path: Path, *, most: int | None = None) -> bytes:
    """Return a PNG with at most 256 colors, and at most so many pixels wide: the same to the eye, in little space."""
    from PIL import Image

    with Image.open(path) as image:
        content, small = io.BytesIO(), image.convert("RGB")
        if most is not None and image.width > most:
            small = small.resize((most, round(image.height * most / image.width)), Image.Resampling.LANCZOS)
        small.quantize(256, dither=Image.Dither.NONE).save(content, "PNG", optimize=True)
    return content.getvalue()


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
