"""What is known of a planted optimizer by its construction."""

import dataclasses
from typing import Any, Literal

import numpy as np

MECHANISMS = ("momentum", "clipping", "schedule", "adaptation", "grouping")
AdaptationKind = Literal["none", "squared gradient", "nonlinear odd"]


@dataclasses.dataclass(frozen=True)
class Truth:
    """The mechanisms of one optimizer and their numbers, in the optimizer's own units.

    Sizes of effects are those that `optoscope.mechanisms` documents, worked out from the construction instead of by
    measurement; a mechanism that is not there has size 0.

    Attributes:
        momentum: size: the share of the response to one gradient that comes after the step that meets it.
        decays: timescales with leverage; a complex one stands for its pair.
        learning_rates: `alpha_j` of each; None where the gain of an adaptation multiplies it.
        clipping: size: how far the update falls short of the tangent's at the largest gradient.
        threshold: gradient at which it has fallen short by the stated fraction; None if there is no clipping, or it
            lies beyond the largest gradient.
        schedule: size: the largest logarithm of the ratio between two steps' learning rates.
        factors: learning rate of every step, relative to the last; None where it is not planted.
        rate: the learning rate of the last step; None where an adaptation multiplies it.
        adaptation: size: the largest logarithm of the ratio between two learning rates along constant gradients.
        kind: what drives it.
        unscored: for each mechanism that is not judged, why it is not known.
    """

    momentum: float = 0.0
    decays: tuple[complex, ...] = ()
    learning_rates: tuple[complex, ...] | None = ()
    clipping: float = 0.0
    threshold: float | None = None
    schedule: float = 0.0
    factors: tuple[float, ...] | None = None
    rate: float | None = None
    adaptation: float = 0.0
    kind: AdaptationKind = "none"
    unscored: dict[str, str] = dataclasses.field(default_factory=dict)

    def size(self, mechanism: str) -> float:
        """Return the size of a mechanism's effect; 0 if it is not there."""
        return 0.0 if mechanism == "grouping" else float(getattr(self, mechanism))

    def rescaled(self, input_scale: float, output_scale: float) -> "Truth":
        """Return the truth about `InUnits(optimizer, ...)`."""
        both = input_scale * output_scale
        rates = self.learning_rates
        return dataclasses.replace(
            self,
            learning_rates=None if rates is None else tuple(both * rate for rate in rates),
            threshold=None if self.threshold is None else self.threshold / input_scale,
            rate=None if self.rate is None else both * self.rate,
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON data; complex numbers as pairs."""
        pairs = lambda values: None if values is None else [[complex(v).real, complex(v).imag] for v in values]
        return {
            **{name: float(getattr(self, name)) for name in MECHANISMS[:-1]},
            "kind": self.kind,
            "decays": pairs(self.decays),
            "learning_rates": pairs(self.learning_rates),
            "threshold": self.threshold,
            "rate": self.rate,
            "factors": None if self.factors is None else [float(f) for f in np.asarray(self.factors)],
            "unscored": dict(self.unscored),
        }
