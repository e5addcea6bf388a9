"""Rules as a recording may show them: run on recorded gradients, in NumPy."""

import dataclasses
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

Memory = Literal["none", "sum", "average"]
Gain = Literal["none", "mean square", "sum of squares", "sign"]
Clock = Literal["none", "runs", "stands still"]


@dataclasses.dataclass(frozen=True)
class Rule:
    """The direction of an optimizer's updates, for a learning rate of 1; `dx = -rate (direction + decay x)`.

    In update order, with `g` the gradient plus `coupled x`:
    `m = b1 m + g` (sum) or `m = b1 m + (1 - b1) g` (average); `v = b2 v + (1 - b2) g^2`; the direction is `m`, or
    `b1 m + g` (Nesterov, of a sum), over `sqrt(v) + eps` for a gain by the mean square. With a clock that runs, `m` and
    `v` are divided by `1 - b1^t` and `1 - b2^t`; one that stands still leaves `t = 1`. For a gain by the sum of squares
    `v = v + g^2`. For a gain by sign the direction
    is the sign of `b1 m + (1 - b1) g`, with `m = b2 m + (1 - b2) g`. With `after` the gradients are divided first, and
    the memory is of what comes out.

    Attributes:
        memory: of gradients.
        b1: its decay.
        nesterov: whether the present gradient is added once more.
        gain: what the direction is divided by.
        b2, eps: of the mean square.
        clock: of the bias corrections.
        coupled: weight decay that is added to the gradient.
        after: whether the memory is of divided gradients.
    """

    memory: Memory = "none"
    b1: float = 0.0
    nesterov: bool = False
    gain: Gain = "none"
    b2: float = 0.0
    eps: float = 0.0
    clock: Clock = "none"
    coupled: float = 0.0
    after: bool = False

    def __str__(self) -> str:
        parts = []
        if self.gain == "sign":
            parts.append(f"the sign of a mix of gradient and average (decays {self.b1:.4g} and {self.b2:.4g})")
        else:
            names = {"none": "the present gradient", "sum": "momentum", "average": "an average of gradients"}
            parts.append(names[self.memory] + (f" with decay {self.b1:.4g}" if self.memory != "none" else ""))
            if self.nesterov:
                parts.append("Nesterov's look ahead")
            if self.gain == "mean square":
                of = "of gradients " if self.after else ""
                parts.append(f"{of}divided by the root of the mean square (decay {self.b2:.5g}, eps {self.eps:.3g})")
            if self.gain == "sum of squares":
                parts.append(f"divided by the root of the sum of all squares (eps {self.eps:.3g})")
            if self.clock == "runs":
                parts.append("with bias corrections")
            if self.clock == "stands still":
                parts.append("with bias corrections whose step counter stands still at 1")
        if self.coupled:
            parts.append(f"weight decay of {self.coupled:.3g} added to the gradient")
        return ", ".join(parts)

    def directions(self, *given: Any, **known: Any) -> Float[np.ndarray, "step component"]:
        """Return the direction at each step; the arguments are those of `run`."""
        return self.run(*given, **known)[0]

    def run(
        self,
        gradients: Float[np.ndarray, "step component"],
        x: Float[np.ndarray, "step component"],
        *,
        start: tuple[np.ndarray, np.ndarray, float] | None = None,
        resets: tuple[int, ...] = (),
        decays: Float[np.ndarray, " step"] | None = None,
    ) -> tuple[Float[np.ndarray, "step component"], tuple[np.ndarray, np.ndarray, float]]:
        """Return the direction at each step, and memory, mean square and step counter after the last.

        Args:
            gradients: as the optimizer got them.
            x: the parameters before each step.
            start: memory, mean square and step counter before the first step; none of either without.
            resets: steps before which all of it is forgotten.
            decays: of the memory at each step, in place of `b1`, where that is scheduled.
        """
        size = gradients.shape[1]
        m, v, t = (np.zeros(size), np.zeros(size), 0.0) if start is None else start
        found = np.empty_like(gradients)
        for k, (g, here) in enumerate(zip(gradients, x)):
            if k in resets:
                m, v, t = np.zeros(size), np.zeros(size), 0.0
            t, b1 = t + 1, self.b1 if decays is None or not self.b1 else float(decays[k])
            if self.coupled:
                g = g + self.coupled * here
            if self.gain == "sign":
                found[k] = np.sign(b1 * m + (1 - b1) * g)
                m = self.b2 * m + (1 - self.b2) * g
                continue
            count = {"none": np.inf, "runs": t, "stands still": 1.0}[self.clock]
            root = np.ones(size)
            if self.gain in ("mean square", "sum of squares"):
                v = v + g * g if self.gain == "sum of squares" else self.b2 * v + (1 - self.b2) * g * g
                root = np.sqrt(v if self.clock == "none" or not self.b2 else v / (1 - self.b2**count)) + self.eps
            divided = lambda out, root=root: np.divide(out, root, out=np.zeros(size), where=root > 0)
            fed = divided(g) if self.after else g
            m = b1 * m + (fed if self.memory != "average" else (1 - b1) * fed)
            out = fed + b1 * m if self.nesterov else m
            if self.memory == "average" and self.clock != "none":
                out = out / (1 - b1**count)
            found[k] = out if self.after else divided(out)
        return found, (m, v, t)
