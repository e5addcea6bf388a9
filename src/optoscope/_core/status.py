"""Numerical status codes, one message each: what happened to a candidate that a solver worked on."""

import enum


class DivergedError(ValueError):
    """The call was sound, but every run of it diverged; a command ends with exit code 1."""


class Status(enum.IntEnum):
    """Outcome of one numerical candidate.

    Results carry one code per candidate; nothing is dropped silently. `Status(code).message` is the text.
    """

    CONVERGED = 0
    SLOW = 1
    NOT_CONVERGED = 2
    NOT_FINITE = 3
    OUT_OF_RANGE = 4

    @property
    def message(self) -> str:
        """One sentence for people."""
        return _MESSAGES[self]


_MESSAGES = {
    Status.CONVERGED: "the residual is below the tolerance",
    Status.SLOW: "a slow point: the state moves by less than the slow tolerance a step, but does not stand still",
    Status.NOT_CONVERGED: "the search ended before the residual reached the tolerance",
    Status.NOT_FINITE: "a residual or a derivative was not finite (for instance sqrt at 0)",
    Status.OUT_OF_RANGE: "the solution left the range that was asked for",
}
