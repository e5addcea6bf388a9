"""Are two optimizers the same? The same gradients for both, and where their updates part."""

import dataclasses
import itertools
from typing import Any

import numpy as np
from jaxtyping import Float

from optoscope._core.checks import check_count, check_number
from optoscope._core.json_data import to_json
from optoscope._core.provenance import provenance
from optoscope._core.results import Result
from optoscope._core.tables import Table
from optoscope.artifacts.as_optimizer import AnyOptimizer, name_of_optimizer
from optoscope.dynamics import Probe
from optoscope.mechanisms.explanation.explain import Explanation, explain
from optoscope.mechanisms.explanation.probes import Probes, make_probes
from optoscope.mechanisms.explanation.rule import ExplainedOptimizer
from optoscope.mechanisms.translation import Adjustable, adjustable, numbers_of, trials
from optoscope.mechanisms.whole_optimizer import differences_of_wholes
from optoscope.whole import find_component

#: Largest relative difference of updates of one sequence that floats allow.
TOLERANCE = 1e-6
#: Gradients tried where no range is given.
RANGE = (1e-8, 1e4)
#: The same of a component among others whose gradients have the size 1.
RANGE_AMONG = (1e-8, 0.1)
#: Parts of an explanation that may be responsible, and their names.
_PARTS = {
    "learning rate": ("after", "before"),
    "memory": ("memory",),
    "gain": ("law", "gain_first"),
    "static map of the gradient": ("inner",),
    "static map of the update": ("outer",),
    "drift": ("drift",),
}
#: A part is responsible if exchanging it leaves at most this share of the difference.
_EXPLAINS = 0.05


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison(Result):
    """Two optimizers under the same gradients.

    Attributes:
        same: whether no update differs by more than `tolerance` of the largest update of its sequence so far.
        first_step: number of the first update that differs, counted from 1; None if they are the same.
        probe: the kind of gradients under which that is.
        gradient_scale: their size.
        difference: by kind of gradients, the largest relative difference of two updates.
        mechanism: the part that is responsible, from the explanations of both; empty if they are the same.
        translation: settings of the second under which it is the first, or comes nearest; empty where it has no
            settings that can be changed, or needs none.
        left: largest relative difference that is left under these settings; 0 without a translation.
        tolerance: see `same`.
        gradients: smallest and largest magnitude that was tried.
        num_steps: length of the sequences.
        summary: all of it in a sentence or two.
        provenance: who made it.
    """

    same: bool
    first_step: int | None
    probe: str
    gradient_scale: float | None
    difference: dict[str, float]
    mechanism: str
    translation: dict[str, Any]
    left: float
    tolerance: float
    gradients: list[float]
    num_steps: int
    summary: str
    names: list[str]
    probe_gradients: Float[np.ndarray, " step"]
    first_updates: Float[np.ndarray, " step"]
    second_updates: Float[np.ndarray, " step"]
    provenance: dict[str, Any]

    @property
    def headline(self) -> str:
        """The answer."""
        return f"{self.summary}."

    def tables(self) -> list[Table]:
        """Return how far the updates are apart under each kind of gradients."""
        rows = [[kind, value] for kind, value in self.difference.items()]
        title = "Largest difference of two updates, relative"
        return [Table("difference", ["gradients", "difference"], rows, title=title)]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON data, with the updates where they part."""
        arrays = ("probe_gradients", "first_updates", "second_updates")
        return super().to_json() | to_json({name: getattr(self, name) for name in arrays})


def compare(
    a: AnyOptimizer,
    b: AnyOptimizer,
    *,
    gradients: tuple[float, float] | list[float] | None = None,
    num_steps: int = 200,
    tolerance: float = TOLERANCE,
    names: tuple[str, str] | None = None,
    trust: bool = False,
) -> Comparison:
    """Find out whether two optimizers are the same, and if not, where and why they part.

    Args:
        a, b: whatever `as_optimizer` takes, of any framework. Given as a text `module:name(literals)`, or as a rule of
            numbers, `b` is also tried with other settings. Of whole optimizers a component of each is compared as
            `find_component` has it, and what `structure` says of the whole.
        gradients: smallest and largest magnitude; 1e-8 to 1e4 if None, small beside others' where there are others.
        num_steps: length of the sequences.
        tolerance: relative difference of updates that counts as none.
        names: what to call the two.
        trust: of texts: call whatever they name.

    Returns:
        Where they part first, by how much under each kind of gradients, the mechanism responsible, and settings.

    Raises:
        ValueError: if a number does not fit.

    >>> from optoscope.optimizers import Momentum
    >>> found = compare(Momentum(0.1, 0.9), Momentum(0.1, 0.8), num_steps=50)
    >>> found.same, found.first_step, found.mechanism
    (False, 2, 'memory')
    """
    num_steps = check_count("num_steps", num_steps, minimum=10)
    check_number("tolerance", tolerance, low=0, open_low=True, hint="1e-6 is the default")
    components = [find_component(given, trust=trust) for given in (a, b)]
    among = any(one.context is not None for one in components)
    low, high = (float(x) for x in ((RANGE_AMONG if among else RANGE) if gradients is None else gradients))
    check_number("gradients", [low, high], low=0, open_low=True, hint="use magnitudes, such as (1e-3, 10.0)")
    if not low < high:
        raise ValueError(f"`gradients` must be an increasing pair, got ({low:g}, {high:g}).")
    probes = make_probes(low, high, num_steps)
    called = names or (name_of_optimizer(a) or "the first", name_of_optimizer(b) or "the second")
    first, second = (Probe(one.optimizer) for one in components)
    one, two = (probe.updates(probes.gradients) for probe in (first, second))
    apart = _relative(one, two)
    differs = apart > tolerance
    wholes = any(one.view != "own" for one in components)
    otherwise = differences_of_wholes(a, b, trust=trust) if wholes else []
    same = not differs.any() and not otherwise
    names_of = np.array(probes.names)
    difference = {kind: float(apart[names_of == kind].max()) for kind in dict.fromkeys(probes.names)}
    row = int(np.argmax(apart.max(1)))
    step = None
    if differs.any():
        step = int(np.argmax(differs.any(0)))
        row = int(np.argmax(apart[:, step] >= 0.99 * apart[:, step].max()))  # the simplest kind that shows it
    mechanism, parts, translation, left = "", ("", ""), {}, 0.0
    if not same and step is None:
        mechanism = " and ".join(name for name, _, _ in otherwise)
    elif not same:
        explained = [explain(probe, low=low, high=high, num_steps=num_steps) for probe in (first, second)]
        mechanism, parts = _responsible(explained, probes, two)
        open_a, open_b = adjustable(a, trust=trust), adjustable(b, trust=trust)
        wanted = open_a.by_role() if open_a is not None else numbers_of(explained[0].rule)
        translation, left = ({}, 0.0) if open_b is None else _translate(one, probes, open_b, wanted, tolerance)
    found = Comparison(
        same=same,
        first_step=None if step is None else step + 1,
        probe="" if step is None else probes.names[row],
        gradient_scale=None if step is None else float(probes.scales[row]),
        difference=difference,
        mechanism=mechanism,
        translation=translation,
        left=left,
        tolerance=tolerance,
        gradients=[low, high],
        num_steps=num_steps,
        summary="",
        names=list(called),
        probe_gradients=probes.gradients[row],
        first_updates=one[row],
        second_updates=two[row],
        provenance=provenance(num_steps=num_steps, tolerance=tolerance),
    )
    return dataclasses.replace(found, summary="; ".join([_summary(found, parts), *_told(found.names, otherwise)]))


def _relative(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Differences of updates [probe, step], relative to the largest update of the sequence until then."""
    with np.errstate(all="ignore"):
        size = np.maximum.accumulate(np.fmax(np.abs(one), np.abs(two)), axis=1)
        apart = np.abs(one - two) / np.where(size > 0, size, 1.0)
    both = (np.isnan(one) & np.isnan(two)) | (one == two)
    return np.where(both, 0.0, np.where(np.isfinite(apart), apart, 1.0))


def _responsible(explained: list[Explanation], probes: Probes, two: np.ndarray) -> tuple[str, tuple[str, str]]:
    """The part of the first explanation that has to be exchanged for the second's to give the second's updates."""
    first, second = (one.rule for one in explained)

    def distance(rule: ExplainedOptimizer) -> float:
        return float(np.mean(np.minimum(_relative(rule.run(probes.gradients), two).max(1), 1.0)))

    whole, floor = distance(first), distance(second)
    enough = max(floor + _EXPLAINS * (whole - floor), 10 * TOLERANCE)

    def exchanged(labels: tuple[str, ...]) -> float:
        names = [name for label in labels for name in _PARTS[label]]
        return distance(dataclasses.replace(first, **{name: getattr(second, name) for name in names}))

    chosen: tuple[str, ...] = ()
    for size in range(1, len(_PARTS) + 1 if whole > enough else 1):  # the fewest that do it; of these the best
        tried = {labels: exchanged(labels) for labels in itertools.combinations(_PARTS, size)}
        chosen = min(tried, key=lambda labels: tried[labels])
        if tried[chosen] <= enough:
            break
    if not chosen or min(one.explained for one in explained) < 0.5:
        return "something that no part describes", ("", "")
    told = tuple("; ".join(one.parts) for one in explained)
    return " and ".join(chosen), (told[0], told[1])


def _translate(one, probes, second: Adjustable, wanted, tolerance) -> tuple[dict[str, Any], float]:
    """Settings of the second under which it comes nearest to the first, and the difference that is left."""
    best, least = {}, np.inf
    for changed in trials(second, wanted):
        try:
            rule = second.make(**changed)
        except (TypeError, ValueError):
            continue
        left = float(_relative(one, Probe(rule).updates(probes.gradients)).max())
        if left < least:
            best, least = changed, left
        if least <= tolerance:
            break
    return best, least if best else 0.0


def _told(names: list[str], otherwise: list[tuple[str, str, str]]) -> list[str]:
    return [f"{name}: {names[0]} has {one}, {names[1]} has {two}" for name, one, two in otherwise]


def _summary(found: Comparison, parts: tuple[str, str]) -> str:
    one, two = found.names
    if found.first_step is None:
        those = f"{one} and {two}" if found.same else f"single components of {one} and {two}"
        return f"{those} are the same, to {found.tolerance:.0e} of an update, under all gradients tried"
    text = (
        f"they part at step {found.first_step} under {found.probe} of size {found.gradient_scale:.2g}; "
        f"responsible: {found.mechanism}"
    )
    if any(parts):
        text += f" ({one}: {parts[0]}. {two}: {parts[1]})"
    if found.translation:
        settings = ", ".join(f"{name}={value}" for name, value in found.translation.items())
        rest = "it is the first" if found.left <= found.tolerance else f"a difference of {found.left:.2g} is left"
        text += f"; with {settings} {rest}"
    return text
