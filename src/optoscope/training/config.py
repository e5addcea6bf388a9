"""Settings of meta-training, as data. This file imports neither JAX nor NumPy, so that a command line can show it."""

import dataclasses
from typing import Annotated, Literal

from optoscope._core.allowed import COUNT, POSITIVE, Allowed, NumSteps, check_settings
from optoscope._core.choices import check_choice
from optoscope._core.literals import name_in

_Count = Annotated[int, COUNT]
_MetaSteps = Annotated[int, Allowed(1, 1_000_000_000)]
_Scale = Annotated[float, POSITIVE]
_Decay = Annotated[float, Allowed(0, 1, below=True)]
_Bound = Annotated[float, dataclasses.replace(POSITIVE, or_infinite=True)]
#: Settings of one way to estimate the meta-gradient that mean nothing in the other.
_OF_EVOLUTION = ("perturbation", "truncation")
_OF_BACKPROPAGATION = ("segment_length", "memory_gigabytes", "part_size", "part_clip", "bfloat16")


@dataclasses.dataclass(frozen=True)
class MetaTrainConfig:
    """Everything that determines a meta-training run, besides its task and its seed.

    Raises:
        ValueError: if a setting is not what is allowed beside it.
    """

    num_units: Annotated[int, Allowed(1, 100_000)] = 32
    """Size of the GRU's state."""
    input_scale: _Scale = 1.0
    """Multiplies the gradient before the network reads it."""
    output_scale: _Scale = 1.0
    """Multiplies the update that the network writes."""
    input_kind: Literal["gradient", "log_sign"] = "gradient"
    """What the network reads: the gradient, or the pair (log1p |g|, sign g)."""
    bfloat16: bool = False
    """Whether the cell's products, and the activations kept for the reverse pass, have this precision in training: less
    memory, and less time where the hardware has it. What comes out is run in float32."""
    num_steps: NumSteps = 200
    """Length of the unroll."""
    batch_size: _Count = 64
    """Problems per meta-step."""
    estimator: Literal["backpropagation", "evolution"] = "backpropagation"
    """How the meta-gradient is found: exactly, through the whole unroll, or by persistent evolution strategies, which
    run every problem twice, keep nothing of the unroll in memory, and go on where unrolls are chaotic."""
    perturbation: _Scale = 0.01
    """Standard deviation of the perturbations of the weights (evolution)."""
    truncation: NumSteps | None = None
    """Steps of a run per meta-step (evolution); a divisor of every unroll's length. None: whole unrolls."""
    num_meta_steps: _MetaSteps = 5000
    """Meta-steps in all."""
    learning_rate: _Scale = 4e-3
    """Largest learning rate of the meta-optimizer, Adam."""
    schedule: Literal["cosine", "exponential"] = "cosine"
    """How the learning rate falls: to `decay_rate` times the largest at the end (cosine), or by `decay_rate` every
    `decay_steps` meta-steps, in steps (exponential)."""
    warmup_steps: Annotated[int, Allowed(0, 1_000_000_000)] = 0
    """Meta-steps of linear warm-up."""
    decay_rate: Annotated[float, Allowed(0, 1)] = 0.01
    """See `schedule`."""
    decay_steps: _MetaSteps = 500
    """See `schedule`."""
    b1: _Decay = 0.9
    """Adam's decay of the mean."""
    b2: _Decay = 0.999
    """Adam's decay of the mean square."""
    eps: _Scale = 1e-8
    """Adam's epsilon."""
    clip: _Bound = 5.0
    """Element-wise bound on the meta-gradient."""
    l2: Annotated[float, Allowed(0, advice="0 switches it off")] = 1e-5
    """Weight of the (unsquared) Euclidean norm of the meta-parameters."""
    objective_cap: _Bound = float("inf")
    """Bound on one problem's objective: beyond it the problem is counted as the bound and gives no gradient. Rosenbrock
    starts next to the minimum make the plain mean heavy-tailed."""
    weight_average: Annotated[float, Allowed(0, 1, below=True, advice="0 switches it off")] = 0.0
    """Decay of an exponential moving average of the weights, which is then what is validated and kept; 0 for none."""
    spike_factor: _Bound = float("inf")
    """A meta-step whose objective exceeds this many times the running one is not applied; the weights go back to
    their average instead. It ends an instability before it spreads, and needs `weight_average`."""
    num_validation_problems: _Count = 256
    """Problems on which the best weights are chosen; never trained on."""
    validate_every: _MetaSteps = 100
    """Meta-steps between validations."""
    num_snapshots: Annotated[int, Allowed(1, 10_000, advice="the first is always kept")] = 32
    """How many weights along meta-training are kept: the first, the last, and others spaced evenly in the logarithm of
    the meta-step; 1 keeps those before meta-training only."""
    curriculum: tuple[tuple[NumSteps, _MetaSteps], ...] = ()
    """Shorter unrolls to begin with: pairs (num_steps, meta-steps), in order; the rest has the whole length, and so has
    validation."""
    warm_start: str | None = None
    """An optimizer to start from: a name or path, or `PRESET:TASK`, which is then trained first, with the same seed. It
    may come from a cheaper task, or have fewer units. Its weights are taken over, not its scales."""
    segment_length: NumSteps | None = None
    """Steps per rematerialized segment: less memory for one more forward pass of the network. None keeps every step,
    unless `memory_gigabytes` says otherwise."""
    memory_gigabytes: Annotated[float, Allowed(1e-3, 1e6)] | None = None
    """Picks the longest segments with which the run stays within this much memory."""
    part_size: Annotated[int, Allowed(1, 1_000_000, advice="1 keeps the least in memory")] | None = None
    """Problems that each device works off at a time, so that a batch's size does not set the memory. None: all."""
    part_clip: _Bound = float("inf")
    """Norm to which the gradient of each part of a batch is scaled down before the mean over parts: with parts of one
    problem, one chaotic run does not drown the others."""

    def __post_init__(self):
        check_settings(self)
        if self.spike_factor != float("inf") and not self.weight_average:
            raise ValueError(
                "`spike_factor` sets weights back to their average; set `weight_average` too, such as 0.995."
            )
        self._check_estimator()

    def _check_estimator(self):
        others = _OF_EVOLUTION if self.estimator == "backpropagation" else _OF_BACKPROPAGATION
        for field in dataclasses.fields(self):
            if field.name in others and getattr(self, field.name) != field.default:
                raise ValueError(
                    f"`{field.name}` means nothing with estimator={self.estimator!r}; leave it at {field.default!r}."
                )
        lengths = [self.num_steps, *(length for length, _ in self.curriculum)]
        if self.truncation is not None and any(length % self.truncation for length in lengths):
            raise ValueError(
                f"`truncation` must divide the length of every unroll ({', '.join(map(str, lengths))}), got "
                f"{self.truncation}."
            )


def preset(name: str, task: str) -> MetaTrainConfig:
    """Return the settings of a preset for a task.

    Args:
        name: `fast` (ours), `rehearsal` (short runs, on a smaller network or an easier task, where others start from),
            `paper` (App. D.2), `authors` (their released linear-regression configuration) or `momentum` (App. B: a
            recipe whose optimizer recovers momentum on linear regression).
        task: the task's registered name; scales depend on it.

    Raises:
        ValueError: for an unknown name, or a preset that does not exist for the task.
    """
    check_choice("preset", name, PRESETS)
    settings, task = PRESETS[name], name_in(task)  # a task with other settings has its task's preset
    if task not in settings:
        available = ", ".join(sorted(settings))
        raise ValueError(f"preset {name!r} does not exist for task {task!r}; it exists for {available}.")
    return settings[task]


# Weights of 256 units are 0.8 MB at every step that is kept: only those before meta-training are.
_PAPER = MetaTrainConfig(
    num_units=256,
    num_snapshots=1,
    batch_size=32,
    num_meta_steps=5000,
    learning_rate=1e-3,
    schedule="exponential",
    decay_rate=0.8,
    decay_steps=500,
    clip=5.0,
    l2=1e-5,
)

_FAST = MetaTrainConfig(
    num_units=32,
    batch_size=64,
    num_meta_steps=12000,
    learning_rate=2.5e-3,
    warmup_steps=50,
    b1=0.8,
    b2=0.9,
    eps=1e-6,
    clip=0.05,
    l2=1e-5,
    objective_cap=2.0,
    weight_average=0.995,
    spike_factor=2.0,
    segment_length=20,
)

_NETWORK = dataclasses.replace(
    _FAST,
    warmup_steps=10,
    decay_rate=0.05,
    b1=0.9,
    b2=0.98,
    clip=0.002,
    weight_average=0.9,
    validate_every=10,
    num_snapshots=24,
    segment_length=None,
)

# What was learned on two moons carries over. Half of the objective comes from the first fifth of a run. The gradients
# of most problems point the same way; those of some are several times as large and do not.
_MNIST = dataclasses.replace(
    _NETWORK,
    warm_start="two_moons",
    input_scale=300.0,
    output_scale=1 / 6000,
    batch_size=4,
    part_size=1,
    part_clip=0.03,
    num_meta_steps=20,
    curriculum=((40, 20),),
    learning_rate=5e-4,
    warmup_steps=5,
    validate_every=10,
    num_validation_problems=4,
    memory_gigabytes=5.0,
)

#: preset -> task -> settings
PRESETS: dict[str, dict[str, MetaTrainConfig]] = {
    "fast": {
        "linear_regression": _FAST,
        "rosenbrock": dataclasses.replace(
            _FAST,
            input_scale=1e-2,
            output_scale=0.1,
            num_meta_steps=8000,
            spike_factor=float("inf"),
            learning_rate=1e-3,
            b1=0.9,
            b2=0.99,
        ),
        # Three steps to a network: linear regression, whose optimizer ships, a small network, the whole one. The scales
        # differ: the wider a network, the smaller the gradient of one weight. More gain at the start does better at
        # once, but some runs are then chaotic and their meta-gradients drown all others.
        "two_moons": dataclasses.replace(
            _NETWORK,
            warm_start="rehearsal:two_moons(num_examples=256, widths=(16, 16, 16))",
            input_scale=100.0,
            output_scale=1 / 1500,
            batch_size=8,
            num_meta_steps=8,
            learning_rate=1e-4,
            warmup_steps=2,
            validate_every=4,
            num_validation_problems=16,
            memory_gigabytes=3.0,
        ),
        # The scale was chosen on validation problems. Longer unrolls see more of a run.
        "mnist": dataclasses.replace(
            _MNIST, input_scale=600.0, num_meta_steps=54, curriculum=((40, 24), (100, 30)), validate_every=6
        ),
    },
    "rehearsal": {
        "two_moons": dataclasses.replace(
            _NETWORK,
            warm_start="linear_regression",
            input_scale=30.0,
            output_scale=1 / 600,
            batch_size=32,
            num_meta_steps=400,
            learning_rate=1e-3,
            num_validation_problems=64,
            memory_gigabytes=3.0,
            validate_every=20,
        ),
        # Minibatches make these gradients noisy, as MNIST's are.
        "digits": dataclasses.replace(
            _NETWORK,
            warm_start="two_moons",
            input_scale=30.0,
            output_scale=1 / 1200,
            batch_size=16,
            num_meta_steps=160,
            learning_rate=1e-3,
            num_validation_problems=32,
            memory_gigabytes=3.0,
            validate_every=20,
        ),
        "mnist": _MNIST,
    },
    "paper": {
        "linear_regression": _PAPER,
        "rosenbrock": dataclasses.replace(_PAPER, input_scale=1e-2, output_scale=0.1),
    },
    "authors": {
        "linear_regression": dataclasses.replace(
            _PAPER,
            num_snapshots=1,
            batch_size=64,
            learning_rate=7.84e-4,
            decay_rate=0.5547,
            decay_steps=1000,
            b1=0.806,
            b2=0.594,
            eps=4.5e-6,
            clip=0.0473,
            l2=1e-6,
        ),
    },
    "momentum": {
        # The scales keep the gradients of this task in the network's linear range.
        "linear_regression": MetaTrainConfig(
            num_units=64,
            input_scale=0.1,
            output_scale=10.0,
            batch_size=64,
            num_meta_steps=2000,
            learning_rate=8e-3,
            schedule="exponential",
            decay_rate=0.5,
            decay_steps=1000,
            eps=0.1,
            clip=5.0,
            l2=1e-4,
        ),
    },
}
