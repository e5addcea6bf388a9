"""Is `compare` right? Pairs that are the same, that differ in one thing, and that settings make the same.

    python -m benchmarks.pairs

The pairs are those of `optoscope.calibration.pairs`. What `compare` says of each is kept as it comes in
`benchmarks/results/pairs.json`; pairs that are there are not compared again (remove the file to begin anew). The
figures of the five worked pairs of docs/compare.md go to docs/images/.
"""

import json
from pathlib import Path
from typing import Any

from benchmarks._report import RESULTS, numbers_of
from optoscope._core.files import write_json
from optoscope._core.markdown import table
from optoscope._core.provenance import provenance
from optoscope.calibration.pairs import DIFFERENT, PAIRS, SAME, TRANSLATED, Pair
from optoscope.figures import figure_of

#: Pairs that the page works through, and their figures.
WORKED: dict[str, Pair] = {
    "eps": TRANSLATED["where eps stands"],
    "adam": SAME["Adam"],
    "dampening": DIFFERENT["dampening"],
    "schedule": DIFFERENT["place of a schedule"],
    "correction": DIFFERENT["bias correction"],
}
IMAGES = Path(__file__).parent.parent / "docs" / "images"


def pairs_tables() -> str:
    """What `compare` said of every pair, and how often it was right."""
    kept = numbers_of("pairs")
    parts = []
    for kind, pairs in PAIRS.items():
        rows = [_row(kind, name, kept[kind][name]) for name in pairs if name in kept[kind]]
        right = sum(kept[kind][name]["right"] for name in pairs if name in kept[kind])
        head = ["pair", "what it says" if kind != "translated" else "settings of the second", "right"]
        parts += [f"**{kind.capitalize()}: {right} of {len(rows)} right.**", "", table(head, rows), ""]
    return "\n".join(parts)


def _row(kind: str, name: str, found: dict[str, Any]) -> list[str]:
    if kind == "translated":
        said = ", ".join(f"{key}={value}" for key, value in found["translation"].items())
        left = "" if found["left"] < 1e-6 else f" ({found['left']:.2g} is left)"
        return [name, f"`{said}`{left}", "yes" if found["right"] else "no"]
    told = "the same" if found["same"] else f"they part at step {found['first_step']}: {found['mechanism']}"
    return [name, told, "yes" if found["right"] else "no"]


def draw() -> None:
    """Draw the worked pairs."""
    from optoscope.figures._save import small_png

    for name, pair in WORKED.items():
        path = IMAGES / f"compare_{name}.png"
        figure_of(pair.compared()).savefig(path, dpi=150, bbox_inches="tight", metadata={"Software": None})
        path.write_bytes(small_png(path))


def main() -> None:
    path = RESULTS / "pairs.json"
    kept = json.loads(path.read_text())["numbers"] if path.exists() else {}
    for kind, pairs in PAIRS.items():
        of_kind = kept.setdefault(kind, {})
        for name, pair in pairs.items():
            if name not in of_kind:
                found = pair.compared()
                of_kind[name] = {
                    "right": pair.is_right(found),
                    "same": found.same,
                    "first_step": found.first_step,
                    "mechanism": found.mechanism,
                    "translation": found.translation,
                    "left": found.left,
                    "summary": found.summary,
                }
                write_json(path, {"numbers": kept, "provenance": provenance()})
                print(kind, name, of_kind[name]["right"], of_kind[name]["summary"], flush=True)
    draw()

    from benchmarks.pages import write_pages

    write_pages()


if __name__ == "__main__":
    main()
