"""Keep what `optoscope gallery` found for the docs: `python -m benchmarks.galleries FILE_gallery.json ...`."""

import argparse
import json
from pathlib import Path

from benchmarks._report import RESULTS
from optoscope._core.files import write_json
from optoscope._core.markdown import table
from optoscope.calibration.gallery import Gallery


def galleries() -> list[Gallery]:
    """Return the galleries that are kept."""
    return [Gallery(**json.loads(path.read_text())) for path in sorted(RESULTS.glob("gallery_*.json"))]


def galleries_tables() -> str:
    """Return the counts of each, and what was refused."""
    kept = galleries()
    columns = ["collection", "optimizers", "with a structure", "with a diagnosis", "explained to 95%"]
    counts = [[f"{one.collection} {one.version}", *one.counts.values()] for one in kept]
    refused = [
        [one.collection, f"`{row['name']}`", "no diagnosis" if row["unit"] else "nothing", row["what_it_needs"]]
        for one in kept
        for row in one.rows
        if row["view"] is None
    ]
    columns_refused = ["collection", "optimizer", "has", "why not"]
    return "\n\n".join([table(columns, counts), table(columns_refused, refused)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("found", type=Path, nargs="+", help="files that `optoscope gallery` wrote")
    for path in parser.parse_args().found:
        kept = Gallery(**json.loads(path.read_text()))
        write_json(RESULTS / f"gallery_{kept.collection}.json", kept.to_json())


if __name__ == "__main__":
    main()
