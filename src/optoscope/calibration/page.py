"""The calibration as a page."""

from pathlib import Path
from typing import Any

from optoscope._core.files import write_json, write_whole
from optoscope._core.markdown import table
from optoscope.calibration.calibrate import Calibration


def write_calibration(calibration: Calibration, directory: str | Path) -> Path:
    """Write `calibration.json` and `calibration_results.md` into a directory; returns the page."""
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    write_json(directory / "calibration.json", calibration.to_json())
    page = directory / "calibration_results.md"
    write_whole(page, calibration_page(calibration).encode())
    return page


def calibration_page(calibration: Calibration) -> str:
    """Return the tables of a calibration as Markdown; `optoscope calibrate` writes it."""
    made = calibration.provenance
    versions = ", ".join(f"{name} {made['versions'][name]}" for name in ("optoscope", "jax", "optax"))
    parts = [
        "# How often `diagnose` is wrong",
        "",
        f"Made by `optoscope calibrate` from {calibration.num_optimizers} planted optimizers ({versions}); do not "
        "edit. What is planted, and what counts as an error, is said in [calibration](calibration.md).",
        "",
        "## Error rates in the second half",
        "",
        _rates(calibration.rates["second"]),
        "",
        "Intervals are those of Clopper and Pearson, 95%. Each optimizer has its own units and coordinates.",
        "",
        "## The self-check",
        "",
        *_self_check(calibration.self_check),
        "",
        "## Confusion in the second half",
        "",
        _confusion(calibration.confusion["second"]),
        "",
        "## Numbers in the second half",
        "",
        "Decays absolute, all else relative; schedules at their worst step. Numbers of imitating networks are compared "
        "with those of the rule that they imitate, which they share only as far as their imitation goes.",
        "",
        _errors(calibration.errors["second"]),
        "",
        "## Thresholds, from the first half",
        "",
        _limits(calibration.limits),
        "",
        "## Everything that is wrong",
        "",
        *(f"- {half} half: {sentence}" for half, some in calibration.mistakes.items() for sentence in some),
        *([] if any(calibration.mistakes.values()) else ["Nothing, in either half."]),
        "",
        "## Left undecided",
        "",
        *_undecided(calibration.cases),
        "",
        "## Networks that imitate rules",
        "",
        "Error of the worst of 320 sequences, root mean square over its steps relative to the rule's updates; at most "
        f"{made['settings']['accepted_error']:.0%} is accepted:",
        "",
        table(["rule", "error"], [[name, f"{fit:.2%}"] for name, fit in calibration.fits.items()]),
        "",
        "## All optimizers",
        "",
        table(
            ["optimizer", "states", "gradient unit", "explained", "what `diagnose` says"],
            [
                [c["name"], c["num_states"], f"{1 / c['input_scale']:.1e}", f"{c['explained']:.1%}", c["summary"]]
                for c in calibration.cases
            ],
        ),
    ]
    return "\n".join(parts) + "\n"


def _self_check(check: dict[str, Any]) -> list[str]:
    words = {
        "flagged": "wrong reports, and those about rules for which there is no word: begin with saying so",
        "false alarms": "right reports: begin with it all the same",
    }
    rows = [
        [
            words[name],
            f"{r['count']} of {r['of']}",
            f"{r['rate']:.1%} ({r['interval'][0]:.1%} to {r['interval'][1]:.1%})",
        ]
        for name in words
        if (r := check[name])["of"]
    ]
    names = [[what, ", ".join(check[what]) or "none"] for what in ("not flagged", "falsely flagged")]
    return [table(["of both halves", "count", "share"], rows), "", *(f"- {what}: {some}" for what, some in names)]


def _rates(rates: dict[str, Any]) -> str:
    rows = []
    for mechanism, kinds in rates.items():
        cells = [
            f"{r['count']} of {r['of']} (at most {r['interval'][1]:.1%})" if r["of"] else "none" for r in kinds.values()
        ]
        rows.append([mechanism, *cells])
    return table(["mechanism", "false positives", "false negatives", "undecided"], rows)


def _confusion(confusion: dict[str, Any]) -> str:
    words = {"present": "planted", "faint": "faintly planted", "absent": "not planted"}
    rows = [
        [mechanism, words[expected], *counts.values()]
        for mechanism, row in confusion.items()
        for expected, counts in row.items()
    ]
    return table(["mechanism", "truth", "found present", "found absent", "undecided"], rows)


def _errors(errors: dict[str, Any]) -> str:
    show = lambda value: "" if value is None else f"{value:.2g}"
    rows = [
        [name, e["number"], show(e["median"]), show(e["largest"]), e["bar"], e["beyond"]] for name, e in errors.items()
    ]
    return table(["number", "compared", "median error", "largest error", "bar", "beyond it"], rows)


def _limits(limits: dict[str, Any]) -> str:
    rows = [
        [mechanism, *(f"{v:.3g}" if isinstance(v, float) else v for v in (*list(limit.values())[:4],)), _yes(limit)]
        for mechanism, limit in limits.items()
    ]
    return table(
        ["mechanism", "largest where not planted", "smallest where planted", "absent below", "present above", "fits"],
        rows,
    )


def _yes(limit: dict[str, Any]) -> str:
    return "yes" if limit["between"] else "no"


def _undecided(cases: list[dict[str, Any]]) -> list[str]:
    found = [
        f"- {case['name']} ({case['half']} half): {mechanism}, of size {case['sizes'][mechanism]:.3g}; planted is "
        f"{case['truth'][mechanism]:.3g}"
        for case in cases
        for mechanism, word in case["found"].items()
        if word == "undecided"
    ]
    return found or ["Nothing."]
