"""The catalogue of planted optimizers: what the families build, in random units and coordinates."""

import dataclasses
import importlib.util

import jax
import numpy as np

from optoscope._core.types import PRNGKeyArray
from optoscope.anatomy.driven import WINDOW
from optoscope.calibration.brought import Brought
from optoscope.calibration.disguise import InUnits, in_random_coordinates
from optoscope.calibration.families import ALWAYS_TOLD, BEYOND_WORDS, FAMILIES, OF_TORCH
from optoscope.calibration.parts import Pipeline
from optoscope.calibration.truth import Truth
from optoscope.calibration.truths import truth_of
from optoscope.mechanisms.clipping import DEPARTURE
from optoscope.optimizers import AbstractOptimizer

#: Units of gradients and of updates: eight decades each.
UNITS = (1e-4, 1e4)
#: Constructions are made for gradients in this range, in their own units.
RANGE = (1e-3, 1.0)


@dataclasses.dataclass(frozen=True)
class Planted:
    """An optimizer in disguise, and what is known of it.

    Attributes:
        name: unique, such as `heavy ball 3`.
        family: what it is an example of.
        optimizer: what is diagnosed: in random coordinates and units.
        plain: the construction itself, in its own units.
        truth: in the units of `optimizer`.
        gradients: the range of gradients that `diagnose` is told; None if it is told nothing.
        input_scale: plain gradients per gradient of `optimizer`.
        output_scale: updates of `optimizer` per plain update.
    """

    name: str
    family: str
    optimizer: AbstractOptimizer
    plain: AbstractOptimizer
    truth: Truth
    gradients: tuple[float, float] | None
    input_scale: float
    output_scale: float

    @property
    def has_words(self) -> bool:
        """Whether the explanation has words for it."""
        return self.family not in BEYOND_WORDS


def catalogue(*, key: PRNGKeyArray, num_steps: int = 200, families: tuple[str, ...] = tuple(FAMILIES)) -> list[Planted]:
    """Return the planted optimizers that are made by hand, with numbers drawn anew for each key.

    Those of torch are left out where torch is not installed.

    Every second one of a family comes without a range of gradients: all magnitudes are tried then, so that its
    thresholds have to be found among sixteen decades.

    Args:
        key: draws numbers, units and coordinates.
        num_steps: length of the runs by which they will be diagnosed.
        families: names from `FAMILIES`.
    """
    seed = np.asarray(jax.random.key_data(key)).ravel()
    planted = []
    for number, (family, (count, build)) in enumerate(FAMILIES.items()):
        if family not in families or (family in OF_TORCH and importlib.util.find_spec("torch") is None):
            continue
        rng = np.random.default_rng([*seed, number])
        for i in range(count):
            told = family in ALWAYS_TOLD or i % 2 == 0
            name = f"{family} {i + 1}"
            planted.append(disguise(name, family, build(rng, i), rng, num_steps=num_steps, told=told))
    return planted


def disguise(
    name: str,
    family: str,
    plain: AbstractOptimizer | Brought,
    rng: np.random.Generator,
    *,
    num_steps: int,
    told: bool,
    truth: Truth | None = None,
) -> Planted:
    """Put an optimizer made for gradients in `RANGE` into random units and coordinates.

    Args:
        name, family, plain: see `Planted`. One that was brought keeps its coordinates.
        rng: draws the disguise.
        num_steps: length of the runs by which it will be diagnosed.
        told: whether the range of gradients is told.
        truth: about `plain`; worked out from its parts if None.

    Raises:
        TypeError: if there is no truth and `plain` is no pipeline.
    """
    known: Truth | AbstractOptimizer = truth or (plain.truth if isinstance(plain, Brought) else plain)
    rule = plain.optimizer if isinstance(plain, Brought) else plain
    low, high = np.log10(UNITS)
    input_scale, output_scale = (float(10 ** rng.uniform(low, high)) for _ in range(2))
    if not isinstance(known, Truth):
        if not isinstance(known, Pipeline):
            raise TypeError(f"the truth about a {type(known).__name__} has to be given; only a Pipeline's follows.")
        largest = RANGE[1] if told else WINDOW[1] * input_scale
        known = truth_of(known, largest=largest, num_steps=num_steps, departure=DEPARTURE)
    scaled = InUnits(rule, input_scale=input_scale, output_scale=output_scale)
    return Planted(
        name=name,
        family=family,
        optimizer=scaled if isinstance(plain, Brought) else in_random_coordinates(scaled, rng, mixed=told),
        plain=rule,
        truth=known.rescaled(input_scale, output_scale),
        gradients=(RANGE[0] / input_scale, RANGE[1] / input_scale) if told else None,
        input_scale=input_scale,
        output_scale=output_scale,
    )
