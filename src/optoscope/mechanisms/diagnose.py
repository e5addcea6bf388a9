"""All mechanisms of one optimizer, from one call."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import optax

from optoscope._files import write_json
from optoscope._provenance import provenance
from optoscope._types import PRNGKeyArray
from optoscope.mechanisms._material import Material, gather
from optoscope.mechanisms._verdict import Verdict, plain
from optoscope.mechanisms.adaptation import assess_adaptation
from optoscope.mechanisms.clipping import assess_clipping
from optoscope.mechanisms.grouping import assess_grouping
from optoscope.mechanisms.momentum import assess_momentum
from optoscope.mechanisms.schedule import assess_schedule
from optoscope.optimizers import AbstractOptimizer, from_optax
from optoscope.tasks import AbstractTask


@dataclasses.dataclass(frozen=True)
class MechanismReport:
    """What an optimizer is made of.

    Attributes:
        optimizer: its name.
        task: name of the task; None without one.
        summary: the mechanisms in plain words, and what could not be decided.
        verdicts: by mechanism: momentum, clipping, schedule, adaptation, grouping.
        gradients: the smallest and the largest magnitude of the gradients used.
        gradients_origin: where this range comes from.
        provenance: who made it.
    """

    optimizer: str
    task: str | None
    summary: str
    verdicts: dict[str, Verdict]
    gradients: list[float]
    gradients_origin: str
    provenance: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON data; what is not finite is null."""
        return {
            "optimizer": self.optimizer,
            "task": self.task,
            "summary": self.summary,
            "gradients": plain(self.gradients),
            "gradients_origin": self.gradients_origin,
            "verdicts": {name: verdict.to_json() for name, verdict in self.verdicts.items()},
            "provenance": self.provenance,
        }

    def save(self, directory: str | Path) -> Path:
        """Write `diagnosis.json`, and each verdict with its evidence as `MECHANISM.npz`, into a directory."""
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        for name, verdict in self.verdicts.items():
            verdict.save(directory / f"{name}.npz")
        path = directory / "diagnosis.json"
        write_json(path, self.to_json())
        return path


def diagnose(
    optimizer: AbstractOptimizer | optax.GradientTransformation,
    *,
    task: AbstractTask | None = None,
    key: PRNGKeyArray | None = None,
    gradients: float | int | tuple[float, float] | list[float] | None = None,
    untrained: AbstractOptimizer | None = None,
    num_steps: int = 200,
    name: str | None = None,
) -> MechanismReport:
    """Find out which mechanisms an optimizer has, how strong they are, and with which numbers.

    Args:
        optimizer: any component-wise rule; an optax transformation is taken through `from_optax`.
        task: where it runs; without one nothing is said about gradients that really occur.
        key: draws the test problems; key 0 if None.
        gradients: the largest magnitude of gradients, or the smallest and the largest; if None that of the task, or
            all magnitudes from 1e-8 to 1e8.
        untrained: the same network before meta-training: what it has too is not learned.
        num_steps: length of every run.
        name: what to call the optimizer.

    Returns:
        The verdicts, a summary in plain words, and the range of gradients that was used.

    Raises:
        ValueError: if an argument does not fit, the transformation is not component-wise, or every run diverged.

    >>> from optoscope.optimizers import Momentum
    >>> diagnose(Momentum(learning_rate=0.1, decay=0.9)).summary
    'momentum with timescale 0.90; no clipping; no schedule; no adaptation'
    """
    rule = optimizer if isinstance(optimizer, AbstractOptimizer) else from_optax(optimizer)
    material = gather(
        rule,
        task=task,
        key=jax.random.key(0) if key is None and task is not None else key,
        gradients=gradients,
        untrained=untrained,
        num_steps=num_steps,
        name=name,
    )
    return assess(material)


def assess(material: Material) -> MechanismReport:
    """Assess all mechanisms from experiments that were made."""
    adaptation = assess_adaptation(material)
    verdicts: dict[str, Verdict] = {
        "momentum": assess_momentum(material),
        "clipping": assess_clipping(material, adaptation),
        "schedule": assess_schedule(material, adaptation),
        "adaptation": adaptation,
        "grouping": assess_grouping(material),
    }
    return MechanismReport(
        optimizer=material.name,
        task=material.task,
        summary=_summary(material, verdicts),
        verdicts=verdicts,
        gradients=[material.low, material.high],
        gradients_origin=material.origin,
        provenance=provenance(num_steps=material.num_steps),
    )


def _summary(material, verdicts):
    if material.is_idle:
        return "it does nothing: its update is the same whatever the gradients are"
    clauses = []
    for name, verdict in verdicts.items():
        if verdict.verdict == "present":
            clauses.append(verdict.summary)
        elif name == "grouping" and verdict.verdict == "undecided":
            continue
        else:
            clauses.append(f"no {name}" if verdict.verdict == "absent" else f"{name} undecided ({verdict.reason})")
    return "; ".join(clauses)
