"""Checks before any work: may it be written, and does it fit into memory?"""

import tempfile
from pathlib import Path
from typing import Any

from optoscope._core.memory import check_memory


def check_file(path: Path | None, force: bool, *, ending: str = "") -> None:
    """Check that a file may be written, without writing anything.

    Raises:
        FileExistsError: if it is there and `force` is false.
        ValueError: if its name does not have the ending.
        OSError: if there is no place for it.
    """
    if path is None:
        return
    if ending and path.suffix != ending:
        raise ValueError(f"--out must be a file that ends in {ending}, got {path}; name it {path}{ending}.")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a directory, not a file; choose another --out.")
    if path.exists() and not force:
        raise FileExistsError(f"{path} exists; choose another --out, or pass --force to overwrite it.")
    check_place(path.parent)


def check_directory(path: Path, *, force: bool) -> None:
    """Check that a directory may be filled, without making it.

    Raises:
        FileExistsError: if it holds something and `force` is false.
        OSError: if it cannot be made or written into.
    """
    check_place(path)
    if path.exists() and any(path.iterdir()) and not force:
        raise FileExistsError(
            f"{path} exists and is not empty; choose another --out, or pass --force to write into it."
        )


def check_place(directory: Path) -> None:
    """Check that a directory can be written into, or made.

    Raises:
        OSError: if not; the message says where it ends.
    """
    try:
        there = next(place for place in (directory, *directory.absolute().parents) if place.exists())
    except OSError as error:  # a name that is too long, for instance
        raise OSError(f"nothing can be written to {directory}: {error.strerror}; choose another --out.") from None
    if not there.is_dir():
        raise NotADirectoryError(f"{there} is a file, so nothing can be written into it; choose another --out.")
    try:
        with tempfile.TemporaryFile(dir=there):
            return
    except OSError as error:  # tried, because permissions do not tell of full disks and of file systems that refuse
        raise OSError(f"{there} cannot be written into: {error.strerror}; choose another --out.") from None


def check_source(source: Path | None) -> None:
    """Check that a directory with artifacts is there.

    Raises:
        NotADirectoryError: if not.
    """
    if source is not None and not source.is_dir():
        raise NotADirectoryError(
            f"--source {source} is not a directory; name one with artifacts in the layout of the shipped ones."
        )


def check_fits(
    task: Any,
    *,
    num_problems: int,
    num_steps: int,
    num_components: int | None = None,
    kept_per_component: int = 0,
) -> None:
    """Check that what must be kept at least fits into this machine's memory.

    Args:
        task: where problems come from.
        num_problems, num_steps: size of the runs; the loss of every step is kept.
        num_components: of these the states are kept too; of all if None.
        kept_per_component: numbers that are kept per component and step.

    Raises:
        ValueError: if it does not; the message says how much it would be.
    """
    import jax

    try:
        problem = jax.eval_shape(task.sample, jax.random.key(0))
    except (OverflowError, TypeError, ValueError):
        raise ValueError(f"the problems of {task!r} are too large for JAX; choose smaller settings.") from None
    count = lambda tree: sum(leaf.size for leaf in jax.tree.leaves(tree))
    components = min(num_components or count(problem.initial_params), count(problem.initial_params))
    numbers = count(problem) + (num_steps + 1) * (1 + components * kept_per_component)
    check_memory(4 * num_problems * numbers, f"{num_problems} problems and {num_steps} steps")
