"""The check that stands before every acceptance: the rule's updates are the whole optimizer's, on fresh gradients."""

from typing import Any, NamedTuple

import numpy as np

from optoscope.optimizers._leaks import LEAK_TOLERANCE, PROBE_SCALES, worst_leak
from optoscope.optimizers.torch_host import Live, refusal

NUM_STEPS = 64
#: Parameters of the runs in which components are together: what a rule must not notice.
TREE = ((), (3,), (2, 2), (2, 1, 2, 1))
_SIZE = 12
#: A matrix so large that rules which factor matrices, or treat large ones otherwise, do so; a few steps are enough.
_LARGE = (160, 136)
_FLOAT32_LEAK = 1e-4


class Sequences(NamedTuple):
    """Gradients [sequence, step] for one component each, in groups of as many as a tree has components.

    Attributes:
        gradients: dense, alternating, sparse ones and ones with long silences, of many scales.
        labels: what each group is.
        moderate: the sequences of moderate size.
    """

    gradients: np.ndarray
    labels: list[str]
    moderate: np.ndarray

    def updates_of(self, rule: Any) -> np.ndarray:
        """Updates [sequence, step] of a packed rule."""
        rows = np.tile(np.append(rule.initial_row(), 0.0), (len(self.gradients), 1))
        found = []
        for g in self.gradients.T:
            rows[:, -1] = g
            rows = rule.advance(rows)
            found.append(rows[:, -1].copy())
        return np.array(found).T

    def firsts(self) -> "Sequences":
        """The first sequence of each group alone."""
        return Sequences(self.gradients[::_SIZE], self.labels, np.arange(4, 6))

    def alone(self, rule: Any) -> np.ndarray:
        """Updates [sequence, step] of the optimizer itself, on one component at a time, from 0."""
        found = []
        for sequence in self.gradients:
            live = Live(rule.factory, rule.door, [np.zeros(1)])
            hold = not rule.carries_parameter
            found.append([live.step([np.array([g])], hold=hold)[0][0] for g in sequence])
        return np.array(found)

    def leak(self, found: np.ndarray, expected: np.ndarray) -> tuple[float, str]:
        """The largest relative difference of two sets of updates, and where."""
        groups = lambda values: values.reshape(len(self.labels), -1)
        return worst_leak(groups(found), groups(expected), self.labels)


def fresh_sequences(seed: int) -> Sequences:
    """Make the sequences; others for every seed."""
    rng = np.random.default_rng(seed)
    groups, labels = [], []
    for scale in PROBE_SCALES:
        groups.append(scale * rng.standard_normal((_SIZE, NUM_STEPS)))
        labels.append(f"at gradients of scale {scale:g}")
    turns = np.where(np.arange(NUM_STEPS) % 2, 1.0, -1.0)
    groups.append(turns * rng.uniform(0.5, 1.5, (_SIZE, NUM_STEPS)))
    groups.append(rng.uniform(0.5, 1.5, (_SIZE, NUM_STEPS)) * rng.choice([-1.0, 1.0], (_SIZE, 1)))
    groups.append(rng.standard_normal((_SIZE, NUM_STEPS)) * (rng.random((_SIZE, NUM_STEPS)) < 0.2))
    labels += ["at gradients that alternate", "at gradients of one sign", "at gradients that are mostly 0"]
    moderate = np.arange(4 * _SIZE, 6 * _SIZE)
    return Sequences(np.concatenate(groups), labels, moderate)


def refuse_disagreement(rule: Any, sequences: Sequences, *, reads_parameters: bool) -> None:
    """Refuse a rule whose updates are not those of the whole optimizer.

    The optimizer is run on all components of a group together, in tensors of different shapes, at two places. Where
    a parameter is part of the rule's state, it moves; else it is put back after each step.

    Raises:
        Refusal: with the leak that was measured, and where.
    """
    tolerance = LEAK_TOLERANCE if rule.door.dtype == "float64" else _FLOAT32_LEAK
    rng = np.random.default_rng(1)
    nowhere, somewhere, elsewhere = np.zeros(_SIZE), *rng.standard_normal((2, _SIZE))
    some = Sequences(sequences.gradients[sequences.moderate], sequences.labels[4:6], np.arange(0))
    noise = some.leak(_together(rule, some.gradients, nowhere), _together(rule, some.gradients, nowhere, seed=1))[0]
    if noise > 0:
        raise refusal(f"it draws random numbers: two runs differ by a relative {noise:.2g}")
    first, second = (nowhere, nowhere) if reads_parameters else (somewhere, elsewhere)
    for chosen, place in ((some, second), (sequences, first)):  # few first: most that is wrong is seen on them
        expected = chosen.updates_of(rule)
        leak, where = _leak_at(rule, chosen, expected, place)
        if leak <= tolerance:
            continue
        at_zero, where_at_zero = _leak_at(rule, chosen, expected, nowhere)
        if at_zero > tolerance:
            raise refusal(
                f"{where_at_zero}, the update of a component together with others differs from its update alone by a "
                f"relative leak of {at_zero:.2g}"
            )
        raise refusal(
            f"it reads the parameters: {where}, its updates at two different sets of parameters differ by a "
            f"relative leak of {leak:.2g}"
        )
    if reads_parameters:
        leak = _leak_from_the_parameters_of_others(rule, some, somewhere)
        if leak > tolerance:
            raise refusal(f"it reads the parameters of other components, by a relative leak of {leak:.2g}")
    elif not rule.carries_parameter:
        found = _together(rule, some.gradients, somewhere, hold=False)
        expected = some.updates_of(rule)
        rounding = 64 * np.finfo(rule.door.dtype).eps * (np.abs(somewhere).max() + np.abs(np.cumsum(expected, 1)).max())
        leak = worst_leak(found, expected, range(len(found)), rounding=rounding)[0]
        if leak > tolerance:
            raise refusal(
                "it reads the parameters: where they move, its updates differ from those where they stand still by a "
                f"relative leak of {leak:.2g}"
            )
    leak = _leak_in_a_large_matrix(rule, reads_parameters)
    if leak > tolerance:
        raise refusal(
            f"in a matrix of shape {_LARGE} the update of a component differs from its update alone by a relative leak "
            f"of {leak:.2g}: it treats rows and columns, or large tensors, as wholes"
        )


def _leak_at(rule, sequences, expected, place):
    """The largest relative difference from a run of all components together, up to how the parameters are rounded."""
    rounding = 64 * np.finfo(rule.door.dtype).eps * np.abs(place).max()
    if rule.carries_parameter:
        rounding += 64 * np.finfo(rule.door.dtype).eps * np.abs(np.cumsum(expected, 1)).max()
    found = _together(rule, sequences.gradients, place)
    groups = lambda values: values.reshape(len(sequences.labels), -1)
    return worst_leak(groups(found), groups(expected), sequences.labels, rounding=rounding)


def _leak_from_the_parameters_of_others(rule, sequences, somewhere):
    """How far the updates of a component at 0 depend on where the others are."""
    leak = 0.0
    expected = sequences.updates_of(rule)
    for own in range(0, _SIZE, 4):
        place = np.where(np.arange(_SIZE) == own, 0.0, somewhere)
        found = _together(rule, sequences.gradients, place)
        leak = max(leak, worst_leak(found[own::_SIZE], expected[own::_SIZE], range(len(found) // _SIZE))[0])
    return leak


def _together(rule, gradients, place, *, seed=0, hold=None):
    """Updates [sequence, step] where the components of a group are together in one optimizer."""
    shapes = list(TREE)
    found = []
    for group in gradients.reshape(-1, _SIZE, gradients.shape[1]):
        live = _made(rule, shapes, place)
        if seed:
            live.reseed(seed)
        steps = []
        for g in group.T:
            updates = live.step(_split(g, shapes), hold=not rule.carries_parameter if hold is None else hold)
            steps.append(np.concatenate([u.ravel() for u in updates]))
        found.append(np.array(steps).T)
    return np.concatenate(found)


def _made(rule, shapes, place):
    try:
        return Live(rule.factory, rule.door, _split(place, shapes))
    except Exception:
        shapes[:] = [(1,), *TREE[1:]]  # some do not take a number that is no vector
        return Live(rule.factory, rule.door, _split(place, shapes))


def _split(vector, shapes):
    ends = np.cumsum([int(np.prod(shape, dtype=int)) for shape in shapes])
    return [part.reshape(shape) for part, shape in zip(np.split(vector, ends[:-1]), shapes)]


def _leak_in_a_large_matrix(rule, reads_parameters):
    rng = np.random.default_rng(2)
    gradients = rng.standard_normal((3, *_LARGE))
    start = np.zeros(_LARGE) if reads_parameters or rule.carries_parameter else np.full(_LARGE, 0.01)
    live = Live(rule.factory, rule.door, [start])
    rows = np.tile(np.append(rule.initial_row(), 0.0), (gradients[0].size, 1))
    found, expected = [], []
    for g in gradients:
        found.append(live.step([g], hold=not rule.carries_parameter)[0].ravel())
        rows[:, -1] = g.ravel()
        rows = rule.advance(rows)
        expected.append(rows[:, -1].copy())
    rounding = 64 * np.finfo(rule.door.dtype).eps * np.abs(start).max()
    return worst_leak(np.array(found), np.array(expected), ["", "", ""], rounding=rounding)[0]
