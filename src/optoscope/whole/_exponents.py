"""What one entry's update depends on: each factor doubled, under several stimuli, and the change taken in octaves."""

from typing import NamedTuple

import numpy as np

from optoscope.whole._bench import AbstractBench, Case

SHAPE = (24, 16)
#: What is doubled: gradients of the entry, of the rest of its row, column and matrix, of all of its matrix, of the
#: other matrix, of both; parameters of the entry, of the rest of its matrix, of its matrix, of both; the loss's value.
FACTORS = (
    "own",
    "row",
    "column",
    "rest",
    "matrix",
    "others",
    "all",
    "own_parameter",
    "rest_parameters",
    "parameters",
    "all_parameters",
    "value",
)
STIMULI = ("constant", "changing", "alternating", "sparse", "moving")
PARAMETER_SIZE = 0.1


class Setting(NamedTuple):
    """A stimulus at parameters of some size."""

    stimulus: str
    size: float

    @property
    def label(self) -> str:
        """In words."""
        return self.stimulus if self.size == PARAMETER_SIZE else f"{self.stimulus}, parameters of size {self.size:g}"


SETTINGS = (
    *(Setting(stimulus, PARAMETER_SIZE) for stimulus in STIMULI),
    Setting("changing", 1e-3),
    Setting("changing", 10.0),
)


def make_case(setting: Setting, num_steps: int, *, shapes=(SHAPE, SHAPE), scale: float = 1.0, seed: int = 0) -> Case:
    """The run of a setting: gradients of size `scale` on all tensors."""
    rng = np.random.default_rng(seed)
    params = [setting.size * rng.standard_normal(shape) for shape in shapes]
    gradients = []
    for shape in shapes:
        fixed = rng.standard_normal(shape)
        fixed /= np.sqrt(np.mean(fixed**2))  # tensors of one shape weigh the same in a norm
        turns = np.where(np.arange(num_steps) % 2, -1.0, 1.0).reshape(-1, *[1] * len(shape))
        if setting.stimulus in ("constant", "moving"):
            values = np.repeat(fixed[None], num_steps, 0)
        elif setting.stimulus == "alternating":
            values = turns * fixed
        else:
            values = rng.standard_normal((num_steps, *shape))
            if setting.stimulus == "sparse":
                values *= rng.random(values.shape) < 0.2
        gradients.append(scale * values)
    return Case(params, gradients, hold=setting.stimulus != "moving")


def typical_entry(case: Case) -> tuple[int, int]:
    """The entry of the first matrix whose gradients, row and column have typical sizes."""
    squares = np.mean(case.gradients[0] ** 2, axis=0)
    far = sum(
        np.abs(np.log(np.maximum(part, 1e-300) / np.median(squares if part.shape == squares.shape else squares.mean())))
        for part in (squares, squares.mean(1, keepdims=True), squares.mean(0, keepdims=True))
    )
    i, j = np.unravel_index(np.argmin(far), squares.shape)
    return int(i), int(j)


def doubled(case: Case, factor: str, entry: tuple[int, int]) -> Case:
    """The case with one factor doubled."""
    i, j = entry
    mask = np.ones(case.params[0].shape)
    own, row, column = (mask * 0 for _ in range(3))
    own[i, j], row[i], column[:, j] = 1, 1, 1
    row, column = row - own, column - own
    rest = mask - own - row - column
    shares = {"own": own, "row": row, "column": column, "rest": rest, "matrix": mask}
    params, gradients, value = list(case.params), list(case.gradients), case.value
    if factor in shares:
        gradients[0] = gradients[0] * (1 + shares[factor])
    elif factor in ("others", "all"):
        gradients[1:] = [2 * g for g in gradients[1:]]
        gradients[0] = 2 * gradients[0] if factor == "all" else gradients[0]
    elif factor == "value":
        value = 2 * value
    else:
        share = {"own_parameter": own, "rest_parameters": mask - own}.get(factor, mask)
        params[0] = params[0] * (1 + share)
        if factor == "all_parameters":
            params[1:] = [2 * x for x in params[1:]]
    return Case(params, gradients, case.hold, value, case.seed)


def measure(bench: AbstractBench, settings: tuple[Setting, ...], num_steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Exponents [setting, factor] and what of them may be rounding.

    The size of an update is the root mean square over the second half of the run. An exponent of 0 means that nothing
    changed; where only rounding changed, it is 0 as well.
    """
    cases, entries = [], []
    for setting in settings:
        case = make_case(setting, num_steps)
        entry = typical_entry(case)
        entries.append(entry)
        cases.append(case)
        cases += [doubled(case, factor, entry) for factor in FACTORS]
    runs = bench.run(cases)
    width = 1 + len(FACTORS)
    exponents, noise = np.zeros((len(settings), len(FACTORS))), np.zeros(len(settings))
    for k, (i, j) in enumerate(entries):
        updates = np.array([run[0][num_steps // 2 :, i, j] for run in runs[k * width : (k + 1) * width]])
        with np.errstate(all="ignore"):
            sizes = np.sqrt(np.mean(updates**2, axis=1))
            logs = np.log2(sizes[1:] / sizes[0])
            # What only turns the update's course, not its size, counts as well.
            turned = np.sqrt(np.mean((updates[1:] - updates[0]) ** 2, axis=1)) / sizes[0]
            noise[k] = 8 * bench.rounding * max(settings[k].size, 1e-3) / sizes[0]
        logs = np.where(np.isfinite(logs), logs, 0.0)
        hidden = (np.abs(logs) < 1e-6) & (turned > max(1e-6, noise[k]))
        logs = np.where(hidden & (np.arange(len(FACTORS)) > 0), np.copysign(np.log2(1 + turned), 1.0), logs)
        exponents[k] = np.where(turned <= noise[k], 0.0, logs)
    return exponents, np.where(np.isfinite(noise), noise, np.inf)
