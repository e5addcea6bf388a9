"""The page of the docs that shows the paper reproduced: `python -m benchmarks.reproduced DIR`.

DIR is what `optoscope reproduce --out DIR` wrote. Writes `docs/reproduced.md` with every claim and every figure, and
the pictures to `docs/images/`.
"""

import argparse
import itertools
import json
from pathlib import Path

from optoscope._core.markdown import table
from optoscope.figures._save import small_png
from optoscope.paper.report.claims import THEMES
from optoscope.tasks import title_of

DOCS = Path(__file__).parent.parent / "docs"
VERDICTS = ("reproduced", "partly", "not", "not measured")
#: Pixels across.
WIDTH = 1400

_HEAD = """# The paper reproduced

Every claim and every figure of *Reverse engineering learned optimizers reveals known and novel mechanisms*
(Maheswaranathan et al., 2021), on the optimizers that ship with the package. `make reproduce` computes all of it anew
and writes one HTML page in which each claim opens to its numbers, its rule and its figure. This page was made from such
a run by `python -m benchmarks.reproduced DIR`; do not edit it.

[How a verdict is reached](claims.md) says what the words mean. A claim is reproduced if all of its numbers are on the
good side of stated thresholds, not reproduced if the first number is on the bad side, and partly reproduced otherwise.
Claims are in our words. A row marked with `*` is about a task of which the paper does not say it; it does not count.
"""


def _claims(findings: list[dict]) -> list[str]:
    parts = []
    for theme, group in itertools.groupby(findings, key=lambda one: one["claim"].partition(".")[0]):
        rows = []
        for says, about in itertools.groupby(group, key=lambda one: one["says"]):
            for i, one in enumerate(about):
                where = title_of(one["task"]) + " \\*" * one["is_beyond"]
                rows.append([says if i == 0 else "", where, f"**{one['verdict']}**", one["sentence"]])
        heads = ["what the paper says", "task", "verdict", "what was found"]
        parts += [f"### {THEMES[theme]}", table(heads, rows)]
    return parts


def _figures(folder: Path, images: Path) -> list[str]:
    parts = []
    for path in sorted(folder.glob("figure_*.json"), key=lambda path: int(path.stem.partition("_")[2])):
        drawn = json.loads(path.read_text())
        (images / f"{path.stem}.png").write_bytes(small_png(path.with_suffix(".png"), most=WIDTH))
        title = f"Figure {drawn['figure']}: {drawn['title'][:1].lower()}{drawn['title'][1:]}"
        parts += [f"### {title}", f"![{drawn['title']}](images/{path.stem}.png)", drawn["caption"]]
        parts += [f"`{drawn['made_with']}` draws it."]
    return parts


def page(folder: Path, images: Path) -> str:
    """Return the page, and write the pictures."""
    ledger = json.loads((folder / "claims.json").read_text())
    counts = [[title_of(task), *(row[name] for name in VERDICTS)] for task, row in ledger["counts"].items()]
    parts = [_HEAD.strip(), "## The claims", table(["claims about", *VERDICTS], counts), *ledger["left_out"].values()]
    parts += _claims(ledger["findings"])
    parts += ["## The figures", *_figures(folder / "figures", images)]
    made = ledger["provenance"]
    versions = ", ".join(f"{name} {version}" for name, version in made["versions"].items())
    parts += ["## Made with", f"{versions}; Python {made['python']}; {made['machine']}; {made['made'][:10]}."]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    (DOCS / "reproduced.md").write_text(page(arguments.folder, DOCS / "images"))


if __name__ == "__main__":
    main()
