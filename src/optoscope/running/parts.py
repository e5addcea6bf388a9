"""Independent parts of a run: one after another here, or each in a process of its own, within a time."""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, TimeoutError, as_completed
from typing import Any, Literal, get_args

from optoscope._core.choices import check_choice
from optoscope._core.progress import Report, silent
from optoscope.running.run_log import RunLog

#: Where parts may run: in this process, or in processes of their own on this machine.
Place = Literal["local", "processes"]
#: Parts that a process does before another takes its place, so that what it has compiled does not fill the memory.
_PARTS_OF_A_PROCESS = 20


def run_parts(
    function: Callable[..., Any],
    parts: Sequence[tuple[Any, ...]],
    *,
    log: RunLog,
    keys: Sequence[Any],
    on: Place = "local",
    num_processes: int | None = None,
    limit: float | None = None,
    failed: Callable[[tuple[Any, ...], str], Any] | None = None,
    title: str = "parts",
    report: Report = silent,
) -> list[Any]:
    """Return what a function makes of each part; what is known is not made again, and what is made is kept at once.

    Args:
        function: takes a part's elements and returns JSON data; on "processes" one that can be pickled, like the parts.
        parts: arguments, one tuple for each part.
        log: keeps what is made.
        keys: under which it is kept, JSON data, one for each part.
        on: one of `Place`.
        num_processes: at once; as many as there are cores if None.
        limit: seconds that a part may take, on "processes"; none if None.
        failed: takes a part and why it came to nothing (its time ran out, its process died), and returns what stands in
            its place. Without it such a part is tried once more, and then ends the run.
        title: of the parts, for `report`.
        report: told how many are done, of how many.

    Raises:
        ValueError: for an unknown place, or a limit without processes.
        RuntimeError: if a part came to nothing twice.
    """
    check_choice("place", on, get_args(Place))
    if limit is not None and on == "local":
        raise ValueError("a part that runs in this process cannot be ended; a limit needs on='processes'.")
    left = [i for i, key in enumerate(keys) if not log.knows(key)]
    made = ((i, function(*parts[i])) for i in left)
    if on == "processes" and left:
        made = _apart(function, parts, left, num_processes or os.cpu_count() or 1, limit, failed)
    report(title, len(parts) - len(left), len(parts))
    for done, (i, value) in enumerate(made, start=len(parts) - len(left) + 1):
        log.known_or(keys[i], lambda value=value: value)
        report(title, done, len(parts))
    return [log.known(key) for key in keys]


def _apart(
    function: Callable[..., Any],
    parts: Sequence[tuple[Any, ...]],
    left: list[int],
    num_processes: int,
    limit: float | None,
    failed: Callable[[tuple[Any, ...], str], Any] | None,
) -> Iterator[tuple[int, Any]]:
    from pebble import ProcessPool

    context = multiprocessing.get_context("spawn")  # a process that runs JAX must not be forked
    with ProcessPool(min(num_processes, len(left)), max_tasks=_PARTS_OF_A_PROCESS, context=context) as pool:
        try:
            places: dict[Future[Any], int] = {
                pool.schedule(function, args=list(parts[i]), timeout=limit): i for i in left
            }
            again: list[int] = []
            for future in as_completed(places):
                i = places[future]
                if reason := _why_not(future, limit):
                    if failed is None:
                        again.append(i)
                        continue
                    yield i, failed(parts[i], reason)
                else:
                    yield i, future.result()
            for i in again:
                future = pool.schedule(function, args=list(parts[i]), timeout=limit)
                if reason := _why_not(future, limit):
                    raise RuntimeError(f"a part of the run came to nothing twice: {reason}; what is done is kept.")
                yield i, future.result()
        finally:
            pool.stop()


def _why_not(future: Future[Any], limit: float | None) -> str | None:
    """Why a part came to nothing that is not its own error: that one is raised."""
    from pebble import ProcessExpired

    try:
        error = future.exception()
    except TimeoutError as late:  # on Python 3.11 and newer a future may raise what it holds
        error = late
    if isinstance(error, TimeoutError) and limit is not None:
        return f"it was not done within {limit:g} s"
    if isinstance(error, ProcessExpired):
        return f"its process ended (exit code {error.exitcode})"
    return None
