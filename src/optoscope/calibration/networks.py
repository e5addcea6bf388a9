"""Planted networks: untrained ones, and ones that imitate rules."""

import dataclasses

import jax
import numpy as np

from optoscope._core.types import PRNGKeyArray
from optoscope.calibration.imitations import TRAINED_RANGE, Imitation
from optoscope.calibration.planted import RANGE, Planted, disguise
from optoscope.calibration.truth import Truth
from optoscope.calibration.truths import truth_of
from optoscope.mechanisms.clipping import DEPARTURE
from optoscope.optimizers import GRUOptimizer


def plant_networks(
    found: list[Imitation], *, key: PRNGKeyArray, num_steps: int = 200, num_untrained: int = 4
) -> list[Planted]:
    """Put imitations that are good enough, and untrained networks, into random units and coordinates.

    The truth about an imitation is that about its rule; its numbers are only as good as its fit.

    Args:
        found: trained networks; those that are not accepted are left out.
        key: draws units, coordinates and untrained networks.
        num_steps: length of the runs by which they will be diagnosed.
        num_untrained: networks as they are before meta-training: they do nothing.
    """
    rng = np.random.default_rng([*np.asarray(jax.random.key_data(key)).ravel(), 1000])
    planted = []
    for i in range(num_untrained):
        network = GRUOptimizer.create(16, key=jax.random.key(int(rng.integers(2**31))))
        name = f"untrained network {i + 1}"
        truth = Truth(rate=0.0)
        planted.append(disguise(name, "untrained network", network, rng, num_steps=num_steps, told=True, truth=truth))
    for imitation in found:
        if not imitation.is_accepted:
            continue
        truth = truth_of(imitation.rule, largest=TRAINED_RANGE[1], num_steps=num_steps, departure=DEPARTURE)
        name = f"network that imitates {imitation.name}"
        case = disguise(name, "imitation", imitation.network, rng, num_steps=num_steps, told=True, truth=truth)
        low = TRAINED_RANGE[0] / RANGE[0]
        assert case.gradients is not None
        planted.append(dataclasses.replace(case, gradients=(case.gradients[0] * low, case.gradients[1])))
    return planted
