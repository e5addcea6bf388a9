"""How a run that is being recorded stands, and its numbers for those who draw them elsewhere."""

import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np

from optoscope.recordings.findings import find_all, forecast
from optoscope.recordings.identify import learning_rates
from optoscope.recordings.reading import Recording, read_recording

#: Steps whose losses are drawn as bars, and the bars, from low to high.
_BARS, _BAR = 60, "▁▂▃▄▅▆▇█"

#: Seconds without anything new, and times a step's length, from which on a run is said to have stopped.
_SILENT, _LATE = 60.0, 50.0


@dataclasses.dataclass(frozen=True)
class Standing:
    """How a run stands.

    Attributes:
        num_steps: steps taken.
        seconds_per_step: of the latest steps.
        loss, lowest: the last loss, and the lowest so far.
        rate: the learning rate.
        clipped: share of the latest steps that were clipped; NaN if that is not known.
        margin, steps_left: the last margin, and the forecast of `examine`.
        warnings: sentences.
        curve: losses as bars.
        age: seconds since something was written; NaN of a recording that is no directory.
    """

    num_steps: int
    seconds_per_step: float
    loss: float
    lowest: float
    rate: float
    clipped: float
    margin: float
    steps_left: float
    warnings: list[str]
    curve: str
    age: float = float("nan")

    @property
    def has_stopped(self) -> bool:
        """Whether nothing was written for much longer than steps take."""
        usual = 0.0 if np.isnan(self.seconds_per_step) else self.seconds_per_step
        return bool(self.age > max(_SILENT, _LATE * usual))

    def lines(self) -> list[str]:
        """Return it as lines of text."""
        known = [f"step {self.num_steps - 1}"]
        known += [f"{self.seconds_per_step:.3g} s a step"] if np.isfinite(self.seconds_per_step) else []
        known += [f"learning rate {self.rate:.3g}"] if np.isfinite(self.rate) else []
        lines = [
            ", ".join(known),
            f"loss {self.loss:.4g} (lowest {self.lowest:.4g})  {self.curve}",
        ]
        if np.isfinite(self.clipped):
            lines.append(f"clipped at {self.clipped:.0%} of the last steps")
        if np.isfinite(self.margin):
            left = f", passes 1 in {self.steps_left:.0f} steps at this slope" if 0 < self.steps_left < np.inf else ""
            lines.append(f"margin {self.margin:.3g}{left}")
        if self.has_stopped:
            lines.append(f"nothing was written for {self.age:.0f} s: the run has ended, stopped, or hangs")
        return [*lines, *(f"! {one}" for one in self.warnings)]


def look(recording: str | Path | Recording, *, latest: int = 100) -> Standing:
    """Return how a run stands now.

    Args:
        recording: its directory, which it may be writing, or a recording.
        latest: how many steps count as the last ones.
    """
    r = recording if isinstance(recording, Recording) else read_recording(recording)
    written = [] if isinstance(recording, Recording) else [path.stat().st_mtime for path in Path(recording).iterdir()]
    losses, factors = r.losses[np.isfinite(r.losses)], r.clip_factors[-latest:]
    factors = factors[np.isfinite(factors)]
    margin, _, left = forecast(r)
    recent = r.seconds[-latest:][np.isfinite(r.seconds[-latest:])]
    same = len(recent) > 1 and recent[-1] > recent[0]
    warnings = [one.sentence for one in find_all(r, None) if one.weight != "note"]
    return Standing(
        num_steps=int(r.steps[-1]) + 1,
        seconds_per_step=float((recent[-1] - recent[0]) / (len(recent) - 1)) if same else float("nan"),
        loss=float(losses[-1]) if len(losses) else float("nan"),
        lowest=float(losses.min()) if len(losses) else float("nan"),
        rate=float(learning_rates(r)[-1, 0]),
        clipped=float(np.mean(factors < 0.999)) if len(factors) else float("nan"),
        margin=margin,
        steps_left=left,
        warnings=warnings,
        curve=_bars(losses),
        age=time.time() - max(written) if written else float("nan"),
    )


def write_scalars(recording: Recording, writer: Any) -> None:
    """Hand a recording's numbers to whoever draws them: a TensorBoard `SummaryWriter`, or a run of `wandb`.

    Args:
        recording: the run.
        writer: anything with `add_scalar(name, value, step)`, or with `log(numbers, step=step)`.

    Raises:
        TypeError: if it has neither, or what is given is no recording.
    """
    if not isinstance(recording, Recording):
        raise TypeError(f"`recording` must be what `read_recording(directory)` returns, got {recording!r}.")
    series = {
        "loss": (recording.steps, recording.losses),
        "gradient_norm": (recording.steps, recording.gradient_norms),
        "update_norm": (recording.steps, recording.update_norms),
        "clip_factor": (recording.steps, recording.clip_factors),
        "learning_rate": (recording.steps, learning_rates(recording)[:, 0]),
        "margin": (recording.margin_steps, recording.margins),
    }
    if not hasattr(writer, "add_scalar") and not hasattr(writer, "log"):
        raise TypeError(f"`writer` needs `add_scalar` or `log`, and a {type(writer).__name__} has neither.")
    rows: dict[int, dict[str, float]] = {}
    for name, (steps, values) in series.items():
        for step, value in zip(steps.tolist(), values.tolist()):
            if np.isfinite(value):
                rows.setdefault(step, {})[f"optoscope/{name}"] = value
    for step, numbers in sorted(rows.items()):
        if hasattr(writer, "add_scalar"):
            for name, value in numbers.items():
                writer.add_scalar(name, value, step)
        else:
            writer.log(numbers, step=step)


def _bars(values: np.ndarray) -> str:
    if len(values) < 2:
        return ""
    parts = [float(np.mean(part)) for part in np.array_split(values, min(_BARS, len(values)))]
    low, high = min(parts), max(parts)
    return "".join(
        _BAR[round((len(_BAR) - 1) * (one - low) / (high - low))] if high > low else _BAR[0] for one in parts
    )
