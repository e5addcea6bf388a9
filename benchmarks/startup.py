"""Cold starts: help on the command line, and what the import costs on top of JAX's."""

import subprocess
import sys

import numpy as np

from benchmarks._report import in_turn, record


def _run(*command: str):
    return lambda: subprocess.run(command, check=True, capture_output=True)


def main() -> None:
    everything = "import optoscope; [getattr(optoscope, name) for name in optoscope.__all__]"
    median = in_turn(
        {
            "help": _run(sys.executable, "-m", "optoscope", "--help"),
            "import jax": _run(sys.executable, "-c", "import jax"),
            "import optoscope": _run(sys.executable, "-c", "import jax, optoscope"),
            "import optoscope and touch every public name": _run(sys.executable, "-c", "import jax; " + everything),
        },
        repeats=9,
    )
    numbers = {f"{name}, s": round(value, 3) for name, value in median.items()}
    above = {name: value - median["import jax"] for name, value in median.items() if "optoscope" in name}
    record(
        "startup",
        {**numbers, **{f"{name}, above jax, s": float(np.round(v, 3)) for name, v in above.items()}},
    )


if __name__ == "__main__":
    main()
