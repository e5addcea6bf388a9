"""`optoscope calibrate`."""

import dataclasses
from pathlib import Path

from optoscope.cli.commands import _Computes
from optoscope.cli.devices import prepare
from optoscope.cli.output import Output, make_reporter


@dataclasses.dataclass(frozen=True)
class Calibrate(_Computes):
    """Diagnose optimizers whose mechanisms are known by construction, and count how often that is wrong.

    Example: optoscope calibrate --out calibration
    """

    out: Path
    """Directory for calibration.json, calibration_results.md and calibration.npz."""
    family: tuple[str, ...] = ()
    """Families of constructions; all of them, and networks, if none is named."""
    num_steps: int = 200
    """Length of the runs by which optimizers are diagnosed."""
    seed: int = 0
    """Draws numbers, units, coordinates and the halves."""
    json: bool = False
    """Print JSON instead of tables."""
    force: bool = False
    """Write into a directory that is not empty."""

    def run(self) -> int:
        """Calibrate and save."""
        prepare(self.mnist_dir)
        import jax

        from optoscope._files import fresh_directory
        from optoscope.calibration import calibrate

        fresh_directory(self.out, force=self.force)
        with make_reporter("calibrate") as report:
            result = calibrate(
                key=jax.random.key(self.seed),
                families=self.family or None,
                num_steps=self.num_steps,
                report=report.stage,
            )
        result.save(self.out / "calibration.npz")
        page = result.write(self.out)
        out = Output(json=self.json)
        for half in ("first", "second"):
            rows = [
                [name, *_counts(r["false positive"]), *_counts(r["false negative"]), r["undecided"]["count"]]
                for name, r in result.rates[half].items()
            ]
            columns = [
                "mechanism",
                "false positives",
                "of",
                "interval",
                "false negatives",
                "of planted",
                "its interval",
            ]
            out.table(f"Verdicts, {half} half", columns, rows)
            out.table(
                f"Numbers, {half} half",
                ["number", "compared", "median error", "largest", "bar", "beyond"],
                [[name, *e.values()] for name, e in result.errors[half].items()],
            )
        out.table(
            "Mistakes", ["half", "what"], [[half, what] for half, some in result.mistakes.items() for what in some]
        )
        out.text(f"wrote {page}")
        return out.finish()


def _counts(rate) -> list:
    return [rate["count"], rate["of"], rate["interval"]]
