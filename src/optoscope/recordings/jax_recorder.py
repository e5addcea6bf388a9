"""Record a training run in JAX: the buffers are part of the optimizer's state."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from optoscope._core.allowed import COUNT, SEED, Allowed, check_setting, settings_of
from optoscope._core.provenance import provenance
from optoscope._core.types import Array, Params
from optoscope.artifacts.as_optimizer import as_whole
from optoscope.optimizers import AbstractOptimizer, lift
from optoscope.recordings._components import choose_components, role_of
from optoscope.recordings.files import Writer
from optoscope.recordings.reading import Recording, as_recording

#: What is kept of each component, and of each array of parameters.
_COMPONENTS, _NORMS = ("x", "gradient", "update"), ("gradient_norms", "update_norms", "parameter_norms")


class RecordedState(eqx.Module):
    """The state of a recorded optimizer: its own, and the last steps.

    Attributes:
        inner: the optimizer's own state.
        count: steps taken.
        rows: the last steps, each name's [step, ...]; step `n` is row `(n // every) % steps`.
        about: what is recorded: optimizer, names, shapes, components, numbers.
    """

    inner: Any
    count: Array
    rows: dict[str, Array]
    about: tuple[Any, ...] = eqx.field(static=True)


def recorded(
    optimizer: Any,
    *,
    components: Annotated[int, Allowed(8, 100_000)] = 256,
    steps: Annotated[int, Allowed(2, 100_000)] = 256,
    every: Annotated[int, COUNT] = 1,
    seed: Annotated[int, SEED] = 0,
    name: str = "",
) -> optax.GradientTransformationExtraArgs:
    """Return an optimizer that does the same, and keeps its last steps in its state.

    It works under `jit`, `scan` and `vmap`. The state grows by `3 * components + 3 * arrays` numbers for each of the
    steps that are kept, and by `components` for each thing the optimizer itself keeps per component. `recording` reads
    them, at any time; to keep a long run, write it to the same directory now and then.

    Args:
        optimizer: whatever `as_optimizer` takes.
        components: how many components are sampled.
        steps: how many of the last steps are kept.
        every: keep each step (1), or every so many.
        seed: of the sample.
        name: what to call the optimizer.

    Returns:
        The transformation. Give `update` the parameters, and `value=loss` for the loss to be kept, too.

    Raises:
        ValueError: if a number is not allowed.

    >>> tx = recorded(optax.sgd(0.1))
    >>> x = jnp.ones(3)
    >>> _, state = tx.update(x, tx.init(x), x, value=1.5)
    >>> recording(state).losses.tolist()
    [1.5]
    """
    hints = settings_of(recorded)
    for key, value in {"components": components, "steps": steps, "every": every, "seed": seed}.items():
        check_setting(key, value, hints[key])
    whole = as_whole(optimizer)
    inner = optax.with_extra_args_support(lift(whole) if isinstance(whole, AbstractOptimizer) else whole)
    shown = name or (optimizer if isinstance(optimizer, str) else type(whole).__name__)

    def init(params: Params) -> RecordedState:
        leaves = jax.tree.leaves(params)
        names = [
            jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in jax.tree.leaves_with_path(params)
        ]
        owners, places = choose_components([x.size for x in leaves], [0] * len(leaves), components, seed=seed)
        shapes = tuple(tuple(x.shape) for x in leaves)
        about = (shown, tuple(names), shapes, tuple(owners), tuple(places), every, components, seed)
        state = inner.init(params)
        kept = [*_COMPONENTS, *(f"state.{one}" for one, _, _ in _states(state, params))]
        rows = {one: jnp.full((steps, len(owners)), jnp.nan, jnp.float32) for one in kept}
        rows |= {one: jnp.full((steps, len(leaves)), jnp.nan, jnp.float32) for one in _NORMS}
        rows |= {f"setting.{one}": jnp.full(steps, jnp.nan) for one, _ in _settings(state)}
        rows["loss"] = jnp.full(steps, jnp.nan)
        return RecordedState(state, jnp.zeros((), jnp.int32), rows, about)

    def update(updates: Params, state: RecordedState, params: Params | None = None, **extra: Any):
        _, _, _, owners, places, *_ = state.about
        moves, inner_state = inner.update(updates, state.inner, params, **extra)
        blank = jax.tree.map(lambda g: jnp.full_like(g, jnp.nan), updates) if params is None else params
        trees = {"x": blank, "gradient": updates, "update": moves}
        trees |= {f"state.{one}": tree for one, tree, _ in _states(inner_state, updates)}
        row = {one: _sampled(trees[one], owners, places) for one in trees if one in state.rows}
        for one, tree in zip(_NORMS, (updates, moves, blank)):
            row[one] = jnp.stack([jnp.linalg.norm(x.ravel().astype(jnp.float32)) for x in jax.tree.leaves(tree)])
        # The state after a step holds the settings with which it was taken.
        row |= {f"setting.{one}": jnp.asarray(value, jnp.float32) for one, value in _settings(inner_state)}
        row["loss"] = jnp.asarray(extra.get("value", jnp.nan), jnp.float32)
        place = jnp.where(state.count % every == 0, (state.count // every) % steps, steps)  # beyond the end: dropped
        rows = {one: state.rows[one].at[place].set(row[one], mode="drop") for one in state.rows}
        return moves, RecordedState(inner_state, state.count + 1, rows, state.about)

    return optax.GradientTransformationExtraArgs(init, update)  # pyright: ignore[reportArgumentType]


def recording(state: Any, *, run: int | None = None) -> Recording:
    """Return what a recorded optimizer has kept of its last steps.

    Args:
        state: the state of `recorded`, or any tree that holds one, such as that of `optax.chain`.
        run: of a state that was made under `vmap`: which run.

    Returns:
        The recording; `write_recording` writes it where `optoscope examine` reads it.

    Raises:
        ValueError: if there is no such state, or no step, or `run` is missing or too many.
    """
    found = [x for x in jax.tree.leaves(state, is_leaf=_is_recorded) if _is_recorded(x)]
    if len(found) != 1:
        raise ValueError(f"the state of one `optoscope.recorded(...)` is needed, found {len(found)}.")
    (kept,) = found
    batch = kept.count.shape
    if (run is None) != (batch == ()) or (run is not None and not 0 <= run < batch[0]):
        allowed = f"from 0 to {batch[0] - 1}" if batch else "None, as this state is of one run"
        raise ValueError(f"`run` must be {allowed}, got {run}.")
    count, rows = jax.tree.map(lambda x: np.asarray(x if run is None else x[run]), (kept.count, kept.rows))
    if count == 0:
        raise ValueError("this optimizer has not taken a step yet, so nothing is recorded.")
    name, names, shapes, owners, places, every, components, seed = kept.about
    size = len(rows["loss"])
    steps = np.arange(0, int(count), every)[-size:]
    rows = {one: array[(steps // every) % size] for one, array in rows.items()}
    settings = [one.removeprefix("setting.") for one in rows if one.startswith("setting.")]
    about = {
        "framework": "jax",
        "optimizer": name,
        "parameters": [
            {"name": one, "shape": list(shape), "group": 0, "role": role_of(one, "", len(shape))}
            for one, shape in zip(names, shapes)
        ],
        "components": {"parameter": list(owners), "index": list(places)},
        "setting_names": settings,
        "state_types": {one: kind for one, _, kind in _states(kept.inner, None, shapes)},
        "provenance": provenance(every=every, components=components, seed=seed),
    }
    norms = {one: np.sqrt(np.sum(rows[one].astype(np.float64) ** 2, 1)) for one in _NORMS}
    arrays = {
        "each.step": steps,
        "each.loss": rows["loss"],
        "each.settings": np.stack([rows[f"setting.{one}"] for one in settings], -1)[:, None]
        if settings
        else np.zeros((len(steps), 1, 0)),
        **{f"each.{one[:-1]}": norm for one, norm in norms.items()},
        "kept.step": steps,
        **{f"kept.{one}": rows[one] for one in rows if one not in ("loss",) and not one.startswith("setting.")},
    }
    arrays["kept.raw"] = arrays["kept.gradient"]
    return as_recording(about, arrays)


def write_recording(
    found: Recording, directory: str | Path, *, megabytes: Annotated[float, Allowed(0.01, 1e6)] = 256.0
) -> Path:
    """Write a recording in the files of `record`; steps that the directory already holds are left as they are.

    Args:
        found: the recording.
        directory: made if it is not there.
        megabytes: largest size on disk.

    Returns:
        The directory.

    Raises:
        ValueError: if the directory holds a recording of something else, or the bound is too small.
    """
    check_setting("megabytes", megabytes, settings_of(write_recording)["megabytes"])
    about = {
        "framework": found.framework,
        "optimizer": found.optimizer,
        "parameters": found.parameters,
        "components": {
            "parameter": found.component_parameters.tolist(),
            "index": found.component_indices.tolist(),
        },
        "setting_names": found.setting_names,
        "state_types": dict(zip(found.state_names, found.state_types)),
        "provenance": found.provenance,
    }
    kept = dict(zip(found.kept_steps.tolist(), _kept_rows(found)))
    row_bytes = 4 * ((4 + len(found.state_names)) * len(found.component_indices) + 3 * len(found.parameters)) + 200
    writer = Writer(Path(directory), about, bound=int(megabytes * 1e6), row_bytes=row_bytes)
    names = ("loss", "backward_passes", "loss_scale", "scheduler_step", "settings", "clock", "gradient_norm",
             "update_norm", "parameter_norm", "clip_factor")  # fmt: skip
    fields = (found.losses, found.backward_passes, found.loss_scales, found.scheduler_steps, found.settings,
              found.clocks, found.gradient_norms, found.update_norms, found.parameter_norms,
              found.clip_factors)  # fmt: skip
    margins = dict(zip(found.margin_steps.tolist(), found.margins.tolist()))
    try:
        for i, step in enumerate(found.steps.tolist()):
            if step >= writer.next_step:
                each = {f"each.{name}": field[i] for name, field in zip(names, fields)}
                each |= {"each.step": np.int64(step), "each.session": np.int64(writer.session)}
                writer.add({**each, "each.margin": margins.get(step, np.nan), **kept.get(step, {})})
    finally:
        writer.close()
    return Path(directory)


def _kept_rows(found: Recording) -> Iterator[dict[str, np.ndarray]]:
    names = ("x", "raw", "gradient", "update", *_NORMS)
    fields = (found.x, found.raw_gradients, found.gradients, found.updates, found.layer_gradient_norms,
              found.layer_update_norms, found.layer_parameter_norms)  # fmt: skip
    for i in range(len(found.kept_steps)):
        row = {f"kept.{name}": field[i].astype(np.float32) for name, field in zip(names, fields)}
        states = {f"kept.state.{name}": found.states[i, :, j] for j, name in enumerate(found.state_names)}
        yield row | {name: value.astype(np.float32) for name, value in states.items()}


def _is_recorded(x: Any) -> bool:
    return isinstance(x, RecordedState)


def _sampled(tree: Any, owners: tuple[int, ...], places: tuple[int, ...]) -> Array:
    owner, place = np.array(owners), np.array(places)
    parts = [
        x.ravel()[place[owner == i]].astype(jnp.float32)
        for i, x in enumerate(jax.tree.leaves(tree))
        if (owner == i).any()
    ]
    return jnp.concatenate(parts)


def _states(state: Any, params: Any, shapes: Any = None) -> Iterator[tuple[str, Any, str]]:
    """What an optimizer keeps for each component: name, tree, and type."""
    wanted = [tuple(x.shape) for x in jax.tree.leaves(params)] if shapes is None else list(shapes)
    seen: dict[str, int] = {}
    for name, value in _fields(state):
        leaves = jax.tree.leaves(value)
        fits = len(leaves) == len(wanted) and all(
            jnp.issubdtype(x.dtype, jnp.floating) and tuple(x.shape)[x.ndim - len(shape) :] == shape
            for x, shape in zip(leaves, wanted)
        )
        if fits:
            seen[name] = seen.get(name, 0) + 1
            yield name if seen[name] == 1 else f"{name} {seen[name]}", value, str(leaves[0].dtype)


def _settings(state: Any) -> Iterator[tuple[str, Any]]:
    """Numbers that `optax.inject_hyperparams` keeps, each name once."""
    seen = set()
    for name, value in _fields(state):
        if name == "hyperparams" and isinstance(value, dict):
            for key, number in value.items():
                if jnp.shape(number) == () and key not in seen:
                    seen.add(key)
                    yield key, number


def _fields(state: Any) -> Iterator[tuple[str, Any]]:
    """Fields of the named tuples and modules in a state, by name."""
    if hasattr(state, "_fields"):
        for name in state._fields:
            value = getattr(state, name)
            yield name, value
            yield from _fields(value)
    elif isinstance(state, tuple | list):
        for value in state:
            yield from _fields(value)
    elif isinstance(state, dict):
        for value in state.values():
            yield from _fields(value)
