"""The ledger as a part of the page: one line per claim, which opens."""

import html
from collections.abc import Mapping

from optoscope.claims import ALL_TASKS, Finding, Ledger, Quantity

_CLASSES = {"reproduced": "reproduced", "partly": "partly", "not": "not", "not measured": "none"}
_THEMES = {
    "performance": "Performance",
    "momentum": "Momentum",
    "clipping": "Gradient clipping",
    "schedule": "Learning-rate schedules",
    "adaptation": "Learning-rate adaptation",
    "grouping": "Layers, weights and biases",
    "recovered_momentum": "An optimizer that recovers momentum",
    "meta_training": "Modes through meta-training",
    "tuning": "Tuned baselines",
}


def claims_section(ledger: Ledger, figures: Mapping[int, tuple[str, float]]) -> str:
    """Return the claims as HTML, theme by theme.

    Args:
        ledger: the claims.
        figures: number -> title, and width over height, of the figures on the page. A claim shows its figure by the
            class `picture-N` of the style sheet, which holds each picture once.
    """
    parts, theme = [], ""
    for finding in ledger.findings:
        own = finding.claim.partition(".")[0]
        if own != theme:
            theme = own
            parts.append(f"<h3>{html.escape(_THEMES.get(own, own))}</h3>")
        parts.append(_claim(finding, figures))
    return "\n".join(parts)


def left_out(ledger: Ledger) -> str:
    """Return what is missing, as a paragraph; nothing if all is there."""
    if not ledger.left_out:
        return ""
    return f"<p class=lead>Left out: {html.escape(' '.join(ledger.left_out.values()))}</p>"


def task_label(name: str) -> str:
    """Return a task's name as it stands in front of a claim.

    >>> task_label("linear_regression"), task_label("mnist")
    ('Linear regression', 'MNIST')
    """
    return "MNIST" if name == "mnist" else name.replace("_", " ").capitalize()


def _claim(one: Finding, figures: Mapping[int, tuple[str, float]]) -> str:
    where = f"{task_label(one.task)} · section {one.section}"
    if one.is_beyond:
        where += " · not a claim about this task, measured as well"
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td><td class=number>{html.escape(_number(quantity.value))}</td>"
        f"<td>{html.escape(_interval(quantity))}</td></tr>"
        for name, quantity in one.quantities.items()
    )
    table = f'<div class="scroll"><table><tbody>{rows}</tbody></table></div>' if rows else ""
    link = picture = ""
    if one.figure is not None and one.figure in figures and one.verdict != "not measured":
        title, ratio = figures[one.figure]
        link = f'<a href="#figure-{one.figure}">Figure {one.figure}</a>. '
        picture = (
            f'<div class="picture picture-{one.figure}" role="img" style="aspect-ratio: {ratio:.4f}" '
            f'aria-label="{html.escape(title, quote=True)}"></div>'
        )
    return (
        f'<details class="claim" id="{html.escape(one.claim)}-{html.escape(one.task.replace(" ", "_"))}">'
        f'<summary><span class="verdict {_CLASSES[one.verdict]}">{one.verdict}</span>'
        f'<span class="what">{html.escape(one.says)}<small>{html.escape(where)}. {html.escape(one.sentence)}</small>'
        f'</span></summary><div class="inside">{table}<p>{html.escape(one.rule)}</p>'
        f"{picture}<p>{link}<code>{html.escape(one.command)}</code></p></div></details>"
    )


def counts_table(ledger: Ledger) -> tuple[list[str], list[list[str]]]:
    """Return head and rows of the table of verdicts per task."""
    columns = ["reproduced", "partly", "not", "not measured"]
    rows = [
        [ALL_TASKS.capitalize() if task == ALL_TASKS else task_label(task), *(str(count[c]) for c in columns)]
        for task, count in ledger.counts.items()
    ]
    return ["claims about", *columns], rows


def _number(value: float) -> str:
    return f"{value:.4g}"


def _interval(quantity: Quantity) -> str:
    if quantity.interval is None:
        return quantity.how
    return f"[{quantity.interval[0]:.3g}, {quantity.interval[1]:.3g}], {quantity.how}"
