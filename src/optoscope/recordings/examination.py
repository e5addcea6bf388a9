"""Examine a recording: the rule that was run, what it did, and what is wrong with it."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from optoscope._core.progress import Announce, silent
from optoscope._core.provenance import provenance
from optoscope._core.results import Result
from optoscope._core.tables import Table
from optoscope.recordings.findings import Finding, find_all, forecast
from optoscope.recordings.following import Followed, follow
from optoscope.recordings.identify import Identified, identify, learning_rates
from optoscope.recordings.mechanisms import find_mechanisms, signal_to_noise
from optoscope.recordings.reading import Recording, read_recording

_ORDER = ("fault", "warning", "note")


@dataclasses.dataclass(frozen=True)
class Examination(Result):
    """What a recording shows.

    Attributes:
        optimizer: what was recorded.
        findings: each with `name`, `weight` ("fault", "warning", "note"), `sentence`, `value` and `picture`.
        rule: the rule that was run, in words; why none could be looked for, if so.
        explained: share of the updates that it gives; NaN if none could be looked for.
        mechanisms: each with `name`, `sentence`, `value`, and what the same gradients do without it: `size` and
            `turned`.
        signal_to_noise: mean gradient over its standard deviation, the median over components.
        margin, margin_slope, steps_left: the last margin, its slope per step, and the forecast.
        layers: of each array of parameters its `name`, `role`, `group`, and medians over the kept steps: `gradient`,
            `update`, `parameter` (norms), `rate` (update over gradient, the effective learning rate), and `ratio`
            (update over parameter).
        steps, losses, rates, clip_factors, gradient_norms, update_norms: of each step; rates are those of group 0.
        margin_steps, margins: where the margin was measured.
        mechanism_steps: first and last step of those that the mechanisms are told of; none where there are none.
        rule_steps, unexplained: steps in which the rule was looked for or followed, and the share of the updates that
            it leaves of each.
        step_rates: fitted learning rates of those in which it was looked for; NaN after these.
        provenance: who made it.
    """

    optimizer: str
    findings: list[dict[str, Any]]
    rule: str
    explained: float
    mechanisms: list[dict[str, Any]]
    mechanism_steps: list[int]
    signal_to_noise: float
    margin: float
    margin_slope: float
    steps_left: float
    layers: list[dict[str, Any]]
    steps: Int[np.ndarray, " step"]
    losses: Float[np.ndarray, " step"]
    rates: Float[np.ndarray, " step"]
    clip_factors: Float[np.ndarray, " step"]
    gradient_norms: Float[np.ndarray, " step"]
    update_norms: Float[np.ndarray, " step"]
    margin_steps: Int[np.ndarray, " margin"]
    margins: Float[np.ndarray, " margin"]
    rule_steps: Int[np.ndarray, " seen"]
    unexplained: Float[np.ndarray, " seen"]
    step_rates: Float[np.ndarray, " seen"]
    provenance: dict[str, Any]

    def names(self, *weights: str) -> list[str]:
        """Return the names of all findings of some weights, or of all of them."""
        return [one["name"] for one in self.findings if not weights or one["weight"] in weights]

    @property
    def headline(self) -> str:
        """What was examined."""
        some = "" if len(self.steps) > self.steps[-1] - self.steps[0] else f", of which {len(self.steps)} were recorded"
        return f"{self.optimizer}, steps {self.steps[0]} to {self.steps[-1]}{some}"

    def tables(self) -> list[Table]:
        """Findings, mechanisms, and arrays of parameters."""
        named = {"findings": self.findings, "mechanisms": self.mechanisms, "layers": self.layers}
        return [
            Table(name, list(rows[0]), [list(row.values()) for row in rows]) for name, rows in named.items() if rows
        ]

    def sentences(self) -> list[str]:
        """Return the findings, the gravest first, each as a line."""
        return [f"{one['weight']}: {one['sentence']}." for one in self.findings]


def examine(
    recording: str | Path | Recording,
    *,
    expect: Any = None,
    optimizer: Any = None,
    trust: bool = False,
    announce: Announce = silent,
) -> Examination:
    """Examine a run that was recorded.

    Args:
        recording: the directory that was given to `record`, or a recording.
        expect: the optimizer that was meant, whatever `as_optimizer` takes: the differences are named.
        optimizer: the one that was run: it is diagnosed, and what each of its mechanisms did takes the place of what
            the rule that was identified did. It may be one of any kind, a learned one too.
        trust: as in `as_optimizer`.
        announce: told of damaged parts that are passed over.

    Returns:
        What was found, the gravest first; `sentences` are what people read.

    Raises:
        FileNotFoundError: if there is no recording.
        ValueError: if `expect` or `optimizer` is no optimizer, or cannot be run on a sample of components.
    """
    r = recording if isinstance(recording, Recording) else read_recording(recording, announce=announce)
    found, why = _identified(r)
    followed = follow(r, found) if found is not None and found.is_found else None
    findings = find_all(r, found, followed)
    if found is None:
        findings.append(Finding("no rule", "note", f"which rule was run is not known: {why.rstrip('.')}", np.nan))
    if expect is not None:
        from optoscope.recordings.expect import differences, expected_updates  # which need JAX

        updates = expected_updates(r, expect, trust=trust)
        findings += differences(r, found, updates, expect)
        findings.sort(key=lambda one: _ORDER.index(one.weight))
    later = followed or Followed(0, 0, (), np.zeros(0, int), np.zeros(0))
    margin, slope, left = forecast(r)
    mechanisms = find_mechanisms(r, found) if found is not None and found.is_found else []
    if optimizer is not None:
        from optoscope.recordings.diagnosed import mechanisms_of  # which needs JAX

        mechanisms, more = mechanisms_of(r, optimizer, trust=trust)
        findings += more
    return Examination(
        optimizer=f"{r.optimizer} in {r.framework}",
        findings=[dataclasses.asdict(one) for one in findings],
        rule=why if found is None else str(found.rule),
        explained=np.nan if found is None else found.explained,
        mechanisms=[dataclasses.asdict(one) for one in mechanisms],
        mechanism_steps=[] if found is None or not mechanisms else [found.first, found.last],
        signal_to_noise=np.nan if found is None else signal_to_noise(r),
        margin=margin,
        margin_slope=slope,
        steps_left=left,
        layers=_layers(r),
        steps=r.steps,
        losses=r.losses,
        rates=learning_rates(r)[:, 0],
        clip_factors=r.clip_factors,
        gradient_norms=r.gradient_norms,
        update_norms=r.update_norms,
        margin_steps=r.margin_steps,
        margins=r.margins,
        rule_steps=np.zeros(0, int)
        if found is None
        else np.append(np.arange(found.first, found.last + 1), later.steps),
        unexplained=np.zeros(0) if found is None else np.append(found.unexplained, later.unexplained),
        step_rates=np.zeros(0) if found is None else np.append(found.step_rates, np.full(len(later.steps), np.nan)),
        provenance=provenance(recorded=r.provenance, expect=_named(expect), optimizer=_named(optimizer)),
    )


def _named(optimizer: Any) -> str | None:
    return None if optimizer is None else str(optimizer)


def _identified(r: Recording) -> tuple[Identified | None, str]:
    try:
        return identify(r), ""
    except ValueError as error:
        return None, str(error)


def _layers(r: Recording) -> list[dict[str, Any]]:
    if not len(r.kept_steps):
        return []
    over = lambda below: np.divide(
        r.layer_update_norms, below, out=np.full_like(r.layer_update_norms, np.nan), where=below > 0
    )
    norms = {
        "gradient": r.layer_gradient_norms,
        "update": r.layer_update_norms,
        "parameter": r.layer_parameter_norms,
        "rate": over(r.layer_gradient_norms),
        "ratio": over(r.layer_parameter_norms),
    }
    medians = {name: [_median(column) for column in values.T] for name, values in norms.items()}
    return [
        {**{key: one[key] for key in ("name", "role", "group")}, **{name: medians[name][i] for name in medians}}
        for i, one in enumerate(r.parameters)
    ]


def _median(values: np.ndarray) -> float:
    values = values[np.isfinite(values)]
    return float(np.median(values)) if len(values) else float("nan")
