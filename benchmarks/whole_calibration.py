"""How often `structure` is right about planted whole optimizers: `python -m benchmarks.whole_calibration --out DIR`.

What is done is kept in DIR; the same command goes on. The table of `docs/whole_optimizers.md` comes from its results.
"""

import argparse
from pathlib import Path

from benchmarks._report import numbers_of, record
from optoscope._core.markdown import table


def whole_calibration_tables() -> str:
    """Return right answers by question and half, and every wrong one."""
    numbers = numbers_of("whole_calibration")
    columns = ["half", "question", "planted", "right", "without", "right"]
    text = table(columns, numbers["answers"])
    if not numbers["wrong"]:
        return f"{text}\n\nNo answer was wrong."
    return f"{text}\n\nWrong answers:\n\n{table(['plant', 'question', 'truth', 'answer'], numbers['wrong'])}"


def main() -> None:
    from optoscope.calibration.whole_calibration import calibrate_wholes

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="directory that keeps what is done")
    found = calibrate_wholes(directory=parser.parse_args().out, report=lambda *progress: print(*progress, flush=True))
    answers, wrong = found.tables()
    record("whole_calibration", {"answers": answers.rows, "wrong": wrong.rows})


if __name__ == "__main__":
    main()
