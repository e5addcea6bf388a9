"""The two files of an artifact: finding and reading them, whole or not at all. Nothing here needs JAX."""

from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from safetensors.numpy import load as load_arrays

from optoscope._core.choices import check_choice
from optoscope._core.files import DamagedFileError, digest, read_json, unsealed

SCHEMA_VERSION = 2
FORMAT = "optoscope artifact"


class ArtifactError(DamagedFileError):
    """A file that is not the artifact it should be; the message says what was found and what was expected."""


def shipped() -> dict[str, Path]:
    """Return the names of all optimizers that come with the package, and where they are.

    >>> "momentum_like" in shipped() and "rosenbrock/adam" in shipped()
    True
    """
    zoo = Path(str(files("optoscope") / "zoo"))
    return {path.relative_to(zoo).with_suffix("").as_posix(): path for path in sorted(zoo.rglob("*.json"))}


def shipped_for(task: str) -> tuple[str, ...]:
    """Return the names of the learned optimizer and of the tuned baselines that come with the package for a task.

    >>> shipped_for("rosenbrock")
    ('rosenbrock', 'rosenbrock/adam', 'rosenbrock/momentum', 'rosenbrock/rmsprop')
    """
    found = [name for name in shipped() if name == task or name.startswith(f"{task}/")]
    return tuple(sorted(found, key=lambda name: (name != task, name)))  # the learned one first


def find(name_or_path: str | Path) -> Path:
    """Return the path of an artifact's two files without their endings.

    Args:
        name_or_path: as in `optoscope.load`.

    Raises:
        ArtifactError: if there is a file, but not two that belong together.
        FileNotFoundError: if there is nothing of that name.
    """
    known = shipped()
    if str(name_or_path) in known:
        return known[str(name_or_path)].with_suffix("")
    path = Path(name_or_path)
    stem = path.with_suffix("") if path.suffix in (".json", ".safetensors") else path
    if stem.name and stem.with_name(stem.name + ".json").exists():
        return stem
    if path.is_dir():
        found = [p for p in sorted(path.glob("*.json")) if p.with_suffix(".safetensors").exists()]
        if len(found) != 1:
            raise FileNotFoundError(f"{path} holds {len(found)} artifacts; name the one you want by its path.")
        return found[0].with_suffix("")
    if path.exists():
        raise ArtifactError(f"{path} is not an optoscope artifact: there is no {stem.name}.json beside it.")
    if path.suffix or len(path.parts) > 2 or path.is_absolute():
        raise FileNotFoundError(f"there is no artifact at {path}; looked for {stem.name}.json.")
    try:
        check_choice("optimizer", str(name_or_path), known)
    except ValueError as error:
        raise FileNotFoundError(f"{error} There is no artifact at that path either.") from None
    raise AssertionError


def read_header(path: Path) -> dict[str, Any]:
    """Read the JSON of an artifact.

    Raises:
        ArtifactError: if it is damaged, from another version or something else.
    """
    try:
        data = read_json(path)
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise ArtifactError(f"{path.name} is not an optoscope artifact: expected format {FORMAT!r}.")
        version = data.get("schema_version")
        if version != SCHEMA_VERSION or isinstance(version, bool):
            raise ArtifactError(
                f"{path.name} has schema version {version!r}, this optoscope reads {SCHEMA_VERSION}; "
                "install the version that wrote it (see its provenance), or make it again."
            )
        data = unsealed(data, path.name)
    except DamagedFileError as error:
        raise ArtifactError(str(error)) from None
    if data.get("kind") not in ("trained", "tuned"):
        raise ArtifactError(f"{path.name} holds a {data.get('kind')!r}; expected 'trained' or 'tuned'.")
    return data


def read_arrays(path: Path, data: dict[str, Any]) -> dict[str, np.ndarray]:
    """Read the arrays that belong to an artifact's JSON.

    Raises:
        ArtifactError: if they are missing, damaged, not finite where they must be, or another artifact's.
    """
    if not path.exists():
        raise ArtifactError(f"{path.name} is missing beside its JSON; copy both files of the artifact.")
    content = path.read_bytes()
    if digest(content) != data.get("sha256"):
        raise ArtifactError(
            f"{path.name} is damaged, cut off or from another artifact: its SHA-256 is {digest(content)[:12]}..., "
            f"expected {str(data.get('sha256'))[:12]}...; copy or make the artifact again."
        )
    try:
        return load_arrays(content)
    except safetensors.SafetensorError as error:
        raise ArtifactError(f"{path.name} is not a safetensors file ({error}).") from None
