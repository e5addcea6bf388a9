"""The ledger as data for the page: one entry per claim, which opens."""

from collections.abc import Mapping
from typing import Any

from optoscope.paper.claims import Finding, Ledger, Quantity
from optoscope.tasks import title_of

#: Sign of a verdict in the matrix.
SIGNS = {"reproduced": "✓", "partly": "◐", "not": "✗", "not measured": "·"}
_CLASSES = {"reproduced": "reproduced", "partly": "partly", "not": "not", "not measured": "none"}
#: Beginning of a claim's id -> heading of its theme.
THEMES = {
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


def claims_of(ledger: Ledger, pictures: Mapping[int, Any]) -> list[dict[str, Any]]:
    """Return what the page shows of each finding.

    Args:
        ledger: the findings.
        pictures: the figures on the page by their number; a claim shows its own.
    """
    return [_entry(one, pictures) for one in ledger.findings]


def _entry(one: Finding, pictures: Mapping[int, Any]) -> dict[str, Any]:
    where = f"{title_of(one.task)} · section {one.section}"
    return {
        "id": f"{one.claim}-{one.task.replace(' ', '_')}",
        **_theme(one),
        "css": _CLASSES[one.verdict],
        "verdict": one.verdict,
        "sign": SIGNS[one.verdict],
        "says": one.says,
        "is_beyond": one.is_beyond,
        "where": where + " · not a claim about this task, measured as well" * one.is_beyond,
        "sentence": one.sentence,
        "quantities": [
            {"name": name, "value": f"{quantity.value:.4g}", "interval": _interval(quantity)}
            for name, quantity in one.quantities.items()
        ],
        "rule": one.rule,
        "picture": None if one.figure is None or one.verdict == "not measured" else pictures.get(one.figure),
        "command": one.command,
    }


def _theme(one: Finding) -> dict[str, Any]:
    theme = one.claim.partition(".")[0]
    return {"theme": THEMES.get(theme, theme), "theme_number": list(THEMES).index(theme)}


def matrix_of(ledger: Ledger) -> dict[str, Any]:
    """Return the findings as a matrix: claims by theme, and for each what was found on every task."""
    of_tasks = dict.fromkeys(one.task for name in ledger.counts for one in ledger.findings if one.task == name)
    tasks = {task: title_of(task) for task in of_tasks}
    claims: dict[str, dict[str, Any]] = {}
    for one in ledger.findings:
        row = claims.setdefault(one.claim, {**_theme(one), "says": one.says, "findings": {}})
        row["findings"][tasks[one.task]] = _entry(one, {}) | {"task": tasks[one.task], "figure": one.figure}
    total = {verdict: sum(count[verdict] for count in ledger.counts.values()) for verdict in _CLASSES}
    told = ", ".join(f"{number} {verdict}" for verdict, number in total.items() if number)
    return {"tasks": list(tasks.values()), "claims": list(claims.values()), "counts": f"Of the paper's claims: {told}."}


def counts_of(ledger: Ledger) -> tuple[list[str], list[list[str]]]:
    """Return head and rows of the table of verdicts per task."""
    columns = ["reproduced", "partly", "not", "not measured"]
    rows = [[title_of(task), *(str(count[c]) for c in columns)] for task, count in ledger.counts.items()]
    return ["claims about", *columns], rows


def _interval(quantity: Quantity) -> str:
    if quantity.interval is None:
        return quantity.how
    return f"[{quantity.interval[0]:.3g}, {quantity.interval[1]:.3g}], {quantity.how}"
