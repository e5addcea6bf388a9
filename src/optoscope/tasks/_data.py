"""The only place that looks for data outside the package, or downloads any: MNIST."""

import gzip
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

VARIABLE = "OPTOSCOPE_MNIST"

#: Files and their SHA-256.
FILES = {
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)


class DataError(OSError):
    """A dataset cannot be had; the message says what to do."""


def load_mnist(directory: str | Path | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Read MNIST's training set.

    It is looked for in `directory`, or else in `$OPTOSCOPE_MNIST`; without either it is fetched into the user's cache
    once. Every file's SHA-256 is checked each time; a damaged one in the cache is fetched again, elsewhere refused.

    Args:
        directory: where the four gzip files are.

    Returns:
        Images [60000, 28, 28] and labels [60000], both unsigned bytes.

    Raises:
        DataError: if a file is missing or damaged, or cannot be downloaded.
    """
    folder, find = _place(directory)
    paths = [find(folder, name) for name in FILES]
    images, labels = (_read_idx(path) for path in paths[:2])
    return images.reshape(-1, 28, 28), labels


def mnist_is_at_hand() -> bool:
    """Return whether MNIST can be read without a download; whether its files are whole is not looked at."""
    folder, _ = _place(None)
    return all((folder / name).is_file() for name in FILES)


def _place(directory: str | Path | None) -> tuple[Path, Callable[[Path, str], Path]]:
    """Return the folder where the files are looked for, and what returns one of them checked, or fetches it."""
    chosen = directory or os.environ.get(VARIABLE)
    return (Path(chosen).expanduser(), _in_folder) if chosen else (_cache(), _in_cache)


def _in_folder(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.is_file():
        raise DataError(
            f"MNIST is not in {folder}: there is no {name}. Pass --mnist-dir or set {VARIABLE} to a directory that "
            f"holds {', '.join(FILES)}; unset it to download them."
        )
    if _sha256(path) != FILES[name]:
        raise DataError(f"{path} is damaged or another file: its SHA-256 is not {FILES[name][:12]}...; copy it again.")
    return path


def _in_cache(folder: Path, name: str) -> Path:
    path = folder / name
    if path.is_file() and _sha256(path) == FILES[name]:
        return path
    import pooch

    failures = []
    for mirror in _MIRRORS:
        try:
            # Written aside, checked, then renamed: there is never a partial file of this name.
            pooch.retrieve(mirror + name, known_hash=f"sha256:{FILES[name]}", fname=name, path=folder)
            return path
        except Exception as error:
            failures.append(f"{mirror}: {error}")
    raise DataError(
        f"MNIST could not be downloaded ({'; '.join(failures)}). Put {', '.join(FILES)} into a directory and pass it "
        f"with --mnist-dir or in {VARIABLE}; or use the task `digits`, which needs no download."
    )


def _cache() -> Path:
    import pooch

    return Path(pooch.os_cache("optoscope")) / "mnist"


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _read_idx(path: Path) -> np.ndarray:
    """Read the IDX format: two zero bytes, the type (8: unsigned byte), the number of axes, their lengths, the data."""
    content = gzip.decompress(path.read_bytes())
    num_axes = content[3]
    lengths = np.frombuffer(content, ">u4", num_axes, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * num_axes).reshape(lengths)
