"""What a task's problems look like: the pictures beside the results."""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from optoscope._core.results import Result


@dataclasses.dataclass(frozen=True)
class ConditionNumbers(Result):
    """Condition numbers of random problems (bottom of Fig. 1a).

    Attributes:
        values: largest over smallest eigenvalue of each problem's Hessian.
        provenance: who made it.
    """

    values: Float[np.ndarray, " problem"]
    provenance: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class LossSurface(Result):
    """The loss over a plane, and where runs start (bottom of Fig. 1b).

    Attributes:
        x, y: the coordinates.
        losses: loss at each.
        starts: starts of random problems.
        provenance: who made it.
    """

    x: Float[np.ndarray, " x"]
    y: Float[np.ndarray, " y"]
    losses: Float[np.ndarray, "y x"]
    starts: Float[np.ndarray, "problem two"]
    provenance: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class LabeledPoints(Result):
    """A dataset in the plane (bottom of Fig. 1c).

    Attributes:
        points: coordinates.
        labels: -1 or 1.
        provenance: who made it.
    """

    points: Float[np.ndarray, "example 2"]
    labels: Float[np.ndarray, " example"]
    provenance: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Architecture(Result):
    """The layers of a convolutional network (bottom of Fig. 1d).

    Attributes:
        shapes: height, width and channels of the input and of what each convolution puts out.
        num_classes: outputs of the dense layer.
        kernel_size: of every convolution.
        num_params: parameters in all.
        provenance: who made it.
    """

    shapes: Int[np.ndarray, "layer 3"]
    num_classes: int
    kernel_size: int
    num_params: int
    provenance: dict[str, Any]


#: What a task's problems look like.
Description = ConditionNumbers | LossSurface | LabeledPoints | Architecture
