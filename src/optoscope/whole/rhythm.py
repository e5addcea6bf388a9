"""When an optimizer steps, and how much of its steps is chance: accumulation, and noise."""

import dataclasses
from typing import Any

import numpy as np

from optoscope._core.results import Result
from optoscope.whole._bench import Case, make_bench
from optoscope.whole._exponents import PARAMETER_SIZE, Setting, make_case

_STEPS = 72
#: Noise is compared at gradients of these sizes.
_SIZES = (1.0, 10.0)


@dataclasses.dataclass(frozen=True)
class Rhythm(Result):
    """When an optimizer steps, and how much of its steps is chance.

    Attributes:
        period: gradients that make one step; 1 if each does.
        gathers: what is made of the gradients of a period: "mean" (a sum is the same at another
            learning rate), "last", or "other"; None without a period.
        noise: size of the difference that another seed makes, relative to the updates; 0 without randomness.
        noise_power: power of the gradients' size with which that difference grows; None without randomness.
        sentence: in words; empty if each gradient makes a step and nothing is random.
    """

    period: int
    gathers: str | None
    noise: float
    noise_power: float | None
    sentence: str


def find_rhythm(optimizer: Any) -> Rhythm:
    """Measure accumulation over up to 36 gradients, and noise.

    Args:
        optimizer: an optax transformation, a torch optimizer, its class or a factory, a stack, or a rule.
    """
    bench = make_bench(optimizer)
    case = make_case(Setting("changing", PARAMETER_SIZE), _STEPS, seed=9)
    larger = Case(case.params, [_SIZES[1] * g for g in case.gradients])
    seeds = [Case(one.params, one.gradients, seed=1) for one in (case, larger)]
    runs = bench.run([case, larger, *seeds])
    plain, more, other, more_other = (np.asarray(run[0]) for run in runs)
    moves = np.abs(plain).max((1, 2)) > 0
    period, gathers = _period(bench, case, plain, moves)
    differences = [np.sqrt(np.mean((a - b) ** 2)) for a, b in ((plain, other), (more, more_other))]
    size = np.sqrt(np.mean(plain**2))
    noise = float(differences[0] / size) if size > 0 else 0.0
    power = float(np.log10(differences[1] / differences[0])) if differences[0] > 0 and differences[1] > 0 else None
    words = []
    if period > 1:
        words.append(
            f"it steps once in {period} gradients"
            + {"mean": ", with their mean", "last": ", with the last of them"}.get(gathers or "", "")
        )
    if noise > 0:
        words.append(f"it draws random numbers, which make {noise:.2g} of its updates")
    return Rhythm(period, gathers, noise, power, "; ".join(words))


def _period(bench, case, plain, moves):
    steps = np.flatnonzero(moves)
    if len(steps) < 2 or len(steps) == len(moves):
        return 1, None
    gaps = np.diff(steps)
    if not np.all(gaps == gaps[0]):
        return 1, None
    period = int(gaps[0])
    first = steps[0] + 1 - period
    if first < 0:
        return period, "other"
    order = [g.copy() for g in case.gradients]
    for g in order:
        g[first : steps[0]] = g[first : steps[0]][::-1]  # all but the last of the first period
    swapped = bench.run([Case(case.params, order)])[0][0]
    zeroed = [g.copy() for g in case.gradients]
    for g in zeroed:
        g[first : steps[0]] = 0
    last = bench.run([Case(case.params, zeroed)])[0][0]
    at = steps[0]
    if np.allclose(last[at], plain[at], rtol=1e-6):
        return period, "last"
    if not np.allclose(swapped[at], plain[at], rtol=1e-4, atol=1e-9 * np.abs(plain[at]).max()):
        return period, "other"
    doubled = [g.copy() for g in case.gradients]
    for g in doubled:
        g[first : at + 1] = g[first : at + 1].mean(0)
    same = bench.run([Case(case.params, doubled)])[0][0]
    return period, "mean" if np.allclose(same[at], plain[at], rtol=1e-4) else "other"
