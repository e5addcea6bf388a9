"""Time and memory of the paper's evidence: `python -m benchmarks.evidence --out DIR`.

Draws all figures and judges all claims, each by its command in a process of its own, from what ships.
"""

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path

from benchmarks._report import record

COMMANDS = {"figure all": ("figure", "all"), "claims": ("claims",)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    numbers = {}
    for name, command in COMMANDS.items():
        start = time.perf_counter()
        whole = [sys.executable, "-m", "optoscope", *command, "--out", str(arguments.out / command[0])]
        subprocess.run([*whole, "--force"], check=True)
        numbers[f"{name}, s"] = round(time.perf_counter() - start, 1)
        # The largest of the children so far, in kilobytes on Linux.
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        numbers[f"largest memory up to {name}, GB"] = round(peak * 1024 / 1e9, 2)
    numbers["together, s"] = round(sum(value for name, value in numbers.items() if name.endswith(", s")), 1)
    record("evidence", numbers)


if __name__ == "__main__":
    main()
