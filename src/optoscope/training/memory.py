"""How much memory a meta-step takes, and the segments that keep it within a budget."""

import dataclasses
import resource
import sys

import equinox as eqx
import jax
import numpy as np

from optoscope.optimizers._blocks import works_in_blocks
from optoscope.tasks import AbstractTask
from optoscope.training.config import MetaTrainConfig

_FLOAT = 4  # bytes
_WORKING_COPIES = 12  # arrays of a state's size alive at once within the reverse pass of one step


def estimated_bytes(task: AbstractTask, config: MetaTrainConfig, num_devices: int) -> float:
    """Estimate what one meta-step keeps, over all devices.

    By backpropagation, per problem and component: a state, three gates' activations (not where components are worked
    off in blocks) and two numbers for every step of a segment; a state and a parameter for every segment; for networks
    also one gradient for every step. By evolution, two runs of every problem, of which no step is kept.
    """
    problem = jax.eval_shape(task.sample, jax.random.key(0))
    num_components = sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(problem.initial_params))
    problems = (config.part_size or config.batch_size // num_devices) * num_devices
    length = config.segment_length or config.num_steps
    num_segments = config.num_steps // length
    units = config.num_units
    if config.estimator == "evolution":
        runs = 2 * config.batch_size * num_components * (_WORKING_COPIES + 2) * (units + 1)
        return _FLOAT * (runs + 6 * config.batch_size * units**2) + 2 * num_devices * _task_bytes(task)
    activations = 0 if works_in_blocks(problems // num_devices * num_components) else 3 * units
    kept = length * (units + activations + 2) + num_segments * (units + 1) + _WORKING_COPIES * units
    if task.is_network:
        kept += config.num_steps
    return _FLOAT * problems * num_components * kept + num_devices * _task_bytes(task)


def with_segments(task: AbstractTask, config: MetaTrainConfig, num_devices: int) -> MetaTrainConfig:
    """Return the configuration with the longest segments that fit into its `memory_gigabytes`.

    Raises:
        ValueError: if not even the segments that need the least memory fit; the message says what to change.
    """
    if config.memory_gigabytes is None:
        return config
    budget = config.memory_gigabytes * 1e9 - _resident_bytes()
    lengths = [n for n in range(config.num_steps, 0, -1) if config.num_steps % n == 0]
    needs = {n: estimated_bytes(task, dataclasses.replace(config, segment_length=n), num_devices) for n in lengths}
    fitting = [n for n in lengths if needs[n] <= budget]
    if not fitting:
        raise ValueError(
            f"one meta-step needs about {(min(needs.values()) + _resident_bytes()) / 1e9:.1f} GB, memory_gigabytes is "
            f"{config.memory_gigabytes:g}; raise it, or work the batch off in smaller parts (part_size)."
        )
    return dataclasses.replace(config, segment_length=fitting[0])


def compiled_bytes(compiled: jax.stages.Compiled, num_devices: int) -> int:
    """Return what a compiled program will allocate over all devices, as the compiler says."""
    found = compiled.memory_analysis()
    assert found is not None
    each = found.temp_size_in_bytes + found.argument_size_in_bytes + found.output_size_in_bytes
    return num_devices * int(each - found.alias_size_in_bytes)


def peak_bytes(devices) -> int:
    """Return the most memory had so far: of the devices where they tell, else of this process."""
    stats = devices[0].memory_stats()
    if stats and "peak_bytes_in_use" in stats:
        return sum(device.memory_stats()["peak_bytes_in_use"] for device in devices)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def resident_bytes(devices) -> int:
    """Return the memory in use now, of what `peak_bytes` counts."""
    stats = devices[0].memory_stats()
    if stats and "bytes_in_use" in stats:
        return sum(device.memory_stats()["bytes_in_use"] for device in devices)
    return _resident_bytes()


def _resident_bytes() -> int:
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except OSError:  # no such file system; the peak so far is the best guess
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _task_bytes(task: AbstractTask) -> int:
    """What one gradient's derivative allocates while it runs, as the compiler says."""
    if not task.is_network:
        return 0
    data, structure = eqx.partition(task, eqx.is_array)

    def product(data, key, vector):
        whole = eqx.combine(data, structure)
        problem = whole.sample(key)
        gradient = jax.grad(lambda x: whole.loss(problem, x, key))
        return jax.jvp(gradient, (problem.initial_params,), (vector,))[1]

    problem = jax.eval_shape(task.sample, jax.random.key(0))
    compiled = jax.jit(product).lower(data, jax.random.key(0), problem.initial_params).compile()
    found = compiled.memory_analysis()
    return 0 if found is None else int(found.temp_size_in_bytes)
