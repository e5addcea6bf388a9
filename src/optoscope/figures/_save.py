"""Files of a figure: PNG, SVG, and the numbers drawn."""

import io
import json
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from optoscope._core.files import write_whole
from optoscope._core.json_data import to_json
from optoscope.figures.style import house_style


def save_named(figure: Figure, numbers: dict[str, Any], directory: str | Path, name: str) -> list[Path]:
    """Write `NAME.png`, `NAME.svg` and `NAME.json`; the same input gives the same files.

    Args:
        figure: the picture.
        numbers: what it shows, as `numbers_of` reads it back.
        directory: made if it is not there.
        name: of the files, without ending.

    Returns:
        The three paths.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    paths = [directory / f"{name}.{ending}" for ending in ("png", "svg", "json")]
    metadata: list[dict[str, Any]] = [{"Software": None}, {"Date": None}]
    with house_style():
        for path, about in zip(paths, metadata):
            content = io.BytesIO()
            figure.savefig(content, format=path.suffix[1:], dpi=200, metadata=about)
            write_whole(path, content.getvalue())
    write_whole(paths[2], (json.dumps(to_json(numbers), allow_nan=False) + "\n").encode())
    return paths


def small_png(path: str | Path, *, most: int | None = None) -> bytes:
    """Return a PNG with at most 256 colors: the same to the eye, in little space.

    Args:
        path: of the picture.
        most: pixels across; a wider one is made smaller.
    """
    from PIL import Image

    with Image.open(path) as image:
        content, small = io.BytesIO(), image.convert("RGB")
        if most is not None and image.width > most:
            small = small.resize((most, round(image.height * most / image.width)), Image.Resampling.LANCZOS)
        small.quantize(256, dither=Image.Dither.NONE).save(content, "PNG", optimize=True)
    return content.getvalue()
