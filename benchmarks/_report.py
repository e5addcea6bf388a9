"""How measurements are taken and written down."""

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from optoscope._core.files import write_json
from optoscope._core.provenance import provenance

RESULTS = Path(__file__).parent / "results"


def seconds(function: Callable[[], object], *, repeats: int = 7) -> list[float]:
    """Wall seconds of each call after one that is not counted."""
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return times


def in_turn(functions: dict[Any, Callable[[], object]], *, repeats: int = 7, calls: int = 4) -> dict[Any, float]:
    """Median seconds of a call of several functions.

    Each turn calls a function a few times in a row, as a training loop does, and the functions take turns, so that
    a drift of the machine meets all of them.
    """
    for function in functions.values():
        function()
    times: dict[Any, list[float]] = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            for _ in range(calls):
                start = time.perf_counter()
                function()
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def numbers_of(name: str) -> dict:
    """Read numbers that `record` kept."""
    return json.loads((RESULTS / f"{name}.json").read_text())["numbers"]


def record(name: str, numbers: dict) -> None:
    """Print numbers and keep them in `benchmarks/results/NAME.json`."""
    print(f"{name}: {json.dumps(numbers, indent=1)}", flush=True)
    RESULTS.mkdir(exist_ok=True)
    write_json(RESULTS / f"{name}.json", {"numbers": numbers, "provenance": provenance()})
