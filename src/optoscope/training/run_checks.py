"""Whether a meta-training run can be started: what a configuration cannot know by itself. Nothing is written."""

import jax

from optoscope import artifacts, tasks
from optoscope._core.memory import check_memory
from optoscope.optimizers import GRUOptimizer
from optoscope.running.share_out import devices_for
from optoscope.tasks import AbstractTask
from optoscope.training.config import PRESETS, MetaTrainConfig, preset
from optoscope.training.memory import estimated_bytes, with_segments
from optoscope.training.meta_step import untrained

_FLOAT = 4  # bytes


def check_run(task: AbstractTask, config: MetaTrainConfig) -> MetaTrainConfig:
    """Check that a configuration fits its task, the machine and its warm start.

    Args:
        task: where problems come from.
        config: settings, each of which is allowed by itself.

    Returns:
        The configuration with the longest segments that fit into its `memory_gigabytes`.

    Raises:
        ValueError: if something does not fit; the message says what to change.
        FileNotFoundError: if there is no optimizer of the name that it starts from.
    """
    devices = devices_for(config.batch_size)
    num_devices = len(devices)
    if config.part_size is not None and config.batch_size // num_devices % config.part_size:
        raise ValueError(
            f"`batch_size` must be a multiple of `part_size` x {num_devices} devices, got {config.batch_size} and "
            f"{config.part_size}."
        )
    if config.segment_length is not None and config.num_steps % config.segment_length:
        raise ValueError(
            f"`num_steps` must be a multiple of `segment_length`, got {config.num_steps} and {config.segment_length}; "
            "segment_length=None keeps every step."
        )
    _check_size(task, config)
    if config.warm_start is not None:
        _start_of(config.warm_start).embedded_in(untrained(config, jax.random.key(0)))
    segmented = with_segments(task, config, num_devices)
    if devices[0].platform == "cpu":
        needs = estimated_bytes(task, segmented, num_devices)
        check_memory(needs, f"meta-steps with {config.num_units} units and {config.batch_size} problems")
    return segmented


def _check_size(task: AbstractTask, config: MetaTrainConfig) -> None:
    """What is kept at least: the weights with their copies, and the problems."""
    problem = jax.eval_shape(task.sample, jax.random.key(0))
    count = lambda tree: sum(leaf.size for leaf in jax.tree.leaves(tree))
    weights = 3 * config.num_units**2
    check_memory(_FLOAT * weights * (config.num_snapshots + 4), f"{config.num_units} units")
    check_memory(_FLOAT * config.batch_size * count(problem), f"batches of {config.batch_size} problems")
    validation = config.num_validation_problems * (count(problem) + config.num_steps)
    check_memory(_FLOAT * validation, f"{config.num_validation_problems} validation problems")


def _start_of(name: str) -> GRUOptimizer:
    """Return what a run starts from; of a preset that is to be trained first, a network of its size."""
    setting, separator, task = name.partition(":")
    if not separator or setting not in PRESETS:
        return artifacts.load_trained(name).optimizer
    config = preset(setting, task)
    check_run(tasks.get(task), config)
    return untrained(config, jax.random.key(0))
