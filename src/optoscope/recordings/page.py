"""The page of an examination: one HTML file that needs nothing else."""

import base64
from pathlib import Path

from optoscope._core.files import write_json, write_whole
from optoscope._core.templates import templates_of
from optoscope.recordings.examination import Examination


def write_examination(examination: Examination, directory: str | Path) -> list[Path]:
    """Write `index.html` with the pictures inside, `examination.json`, and the pictures with their numbers.

    Args:
        examination: what was found.
        directory: made if it is not there.

    Returns:
        The paths, the page first.
    """
    from optoscope.figures.recordings import save_pictures

    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    paths = save_pictures(examination, directory / "pictures")
    pictures = {
        path.stem.replace("_", " "): base64.b64encode(path.read_bytes()).decode()
        for path in paths
        if path.suffix == ".png"
    }
    made = examination.provenance
    explained = f" It gives {_short(examination.explained)} of the squared updates." if examination.mechanisms else ""
    html = (
        templates_of("optoscope.recordings")
        .get_template("examination.html")
        .render(
            title=f"{examination.headline} examined",
            findings=examination.findings,
            rule=f"{examination.rule}.{explained}",
            mechanisms=[
                [one["name"], one["sentence"], _short(one["size"]), _short(one["turned"])]
                for one in examination.mechanisms
            ],
            mechanism_steps=examination.mechanism_steps,
            signal_to_noise=_short(examination.signal_to_noise),
            pictures=pictures,
            layers=[
                [
                    one["name"],
                    one["role"],
                    one["group"],
                    *(_short(one[k]) for k in ("gradient", "update", "parameter", "rate", "ratio")),
                ]
                for one in examination.layers
            ],
            about=[
                *made["versions"].items(),
                ("examined", made["made"]),
                ("recorded", made["settings"]["recorded"].get("made", "unknown")),
                ("expected", made["settings"]["expect"] or "nothing was said"),
            ],
        )
    )
    page, data = directory / "index.html", directory / "examination.json"
    write_whole(page, html.encode())
    write_json(data, examination.to_json())
    return [page, data, *paths]


def _short(value: float) -> str:
    return f"{value:.3g}"
