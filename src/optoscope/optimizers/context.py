"""What surrounds one component of a whole optimizer while it is looked at: all others under a stationary stimulus."""

from typing import Literal, NamedTuple

import numpy as np

from optoscope._core.checks import check_number
from optoscope._core.choices import check_choice

Pattern = Literal["fixed", "alternating", "singular values"]


class Context(NamedTuple):
    """The other components, and what they get at each step.

    The component is the first entry of the first matrix. Its own parameter stays at 0 (where the optimizer keeps
    copies of parameters, it moves, and is part of the state); the others stay where they are.

    Attributes:
        shapes: of all parameters; the first is a matrix.
        gradients: size of the others' gradients, root mean square.
        parameters: size of the others' parameters, root mean square.
        pattern: "fixed" gradients; "alternating" ones change sign at each step; with "singular values" the first
            gradient is diagonal and fixed: in an optimizer that commutes with rotations the component is then a
            singular value among others.
    """

    shapes: tuple[tuple[int, ...], ...] = ((3, 2), (2,))
    gradients: float | int = 1.0
    parameters: float | int = 1.0
    pattern: Pattern = "fixed"

    def checked(self) -> "Context":
        """Return it after checking its fields.

        Raises:
            ValueError: if a size is negative, the pattern is unknown, or the first shape is no matrix.
        """
        check_number("gradients", self.gradients, low=0, hint="1 gives all others gradients of order 1")
        check_number("parameters", self.parameters, low=0, hint="1 gives all others parameters of order 1")
        check_choice("pattern", self.pattern, ("fixed", "alternating", "singular values"))
        if not self.shapes or len(self.shapes[0]) != 2:
            raise ValueError(f"the first of `shapes` must be a matrix, got {self.shapes!r}; try ((3, 2), (2,)).")
        return self

    @property
    def others(self) -> int:
        """Number of the other components."""
        return sum(int(np.prod(shape, dtype=int)) for shape in self.shapes) - 1

    def describe(self) -> str:
        """In words."""
        kind = "constant" if self.pattern == "fixed" else "alternating"
        if self.pattern == "singular values":
            return f"among {min(self.shapes[0]) - 1} others of size {self.gradients:g} and less"
        return f"among {self.others} others with {kind} gradients of size {self.gradients:g}"

    def start(self) -> list[np.ndarray]:
        """Where the parameters are."""
        rng = np.random.default_rng(7)
        values = [self.parameters * _unit(rng.standard_normal(shape)) for shape in self.shapes]
        values[0][0, 0] = 0.0
        return values

    def gradient(self, step: int, own: float = 0.0) -> list[np.ndarray]:
        """The gradients at a step, with the component's own one in its place."""
        rng = np.random.default_rng(8)
        values = [self.gradients * _unit(rng.standard_normal(shape)) for shape in self.shapes]
        if self.pattern == "singular values":
            diagonal = np.zeros(self.shapes[0])
            np.fill_diagonal(diagonal, self.gradients * 0.8 ** np.arange(min(self.shapes[0])))
            values[0] = diagonal
        if self.pattern == "alternating" and step % 2:
            values = [-value for value in values]
        values[0][0, 0] = own
        return values


#: Contexts that are tried in turn: some optimizers take matrices alone, or only larger ones.
CONTEXTS = (
    Context(),
    Context(((3, 2), (2, 3))),
    Context(((4, 3),)),
    Context(((3, 2), (2, 3)), pattern="alternating"),
)
SPECTRAL = (
    Context(((3, 3), (3,)), pattern="singular values"),
    Context(((3, 3),), pattern="singular values"),
)


def contexts(given: "Context | bool") -> tuple[Context, ...]:
    """The contexts to try for an argument `context`.

    Raises:
        TypeError: if it is neither a `Context` nor True.
    """
    if given is True:
        return CONTEXTS
    if isinstance(given, Context):
        return (given.checked(),)
    raise TypeError(f"`context` must be a Context, or True for the usual ones, got {given!r}.")


def _unit(values: np.ndarray) -> np.ndarray:
    return values / np.sqrt(np.mean(values**2))


#: Factors by which a number is changed to see whether anything depends on it, one for each moment visited: large and
#: small ones, and those of sign, for what a sign or a maximum is taken of.
TRIED_FACTORS = np.array([-1.0, 1.1, -10.0, 0.9, 10.0, -100.0, 0.0, -1.0, 2.0, 100.0, -3.0, 0.5, -30.0, 1000.0])


def gradients_to_visit() -> np.ndarray:
    """Gradients of many sizes that lead to as many moments as there are `TRIED_FACTORS`, after two more."""
    rng = np.random.default_rng(5)
    return rng.standard_normal(len(TRIED_FACTORS) + 2) * 10.0 ** rng.uniform(-3, 1, len(TRIED_FACTORS) + 2)


def unless_chaotic(found: np.ndarray, expected: np.ndarray, shaken: np.ndarray, tolerance: float) -> np.ndarray:
    """Return `found` with the updates left out that an optimizer itself does not repeat.

    Args:
        found: of the rule [sequence, step].
        expected: of the optimizer.
        shaken: of the optimizer, with gradients that differ in the last digits.
        tolerance: updates of the optimizer itself that differ by a tenth of this share are compared no more.
    """
    with np.errstate(all="ignore"):
        sizes = np.maximum(np.abs(expected), np.abs(shaken))
        chaotic = ~(np.abs(expected - shaken) <= 0.1 * tolerance * sizes) & np.isfinite(expected)
    chaotic = np.maximum.accumulate(chaotic, axis=1) & (np.arange(found.shape[1]) >= 8)
    return np.where(chaotic, expected, found)
