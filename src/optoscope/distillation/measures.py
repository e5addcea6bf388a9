"""How near a formula comes to the optimizer that it stands for, and what it is worth elsewhere."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from optoscope._core.json_data import to_json
from optoscope.running import evaluate
from optoscope.running.problems import Purpose, sample_problems
from optoscope.running.rollouts import Save, rollout_batch
from optoscope.tasks import TASKS, name_of
from optoscope.tasks import get as get_task


def nearness(r2: float) -> str:
    """What an R2 of updates means.

    >>> nearness(1.0), nearness(0.44)
    ("the source's (R2 1.0000)", "like the source's in part (R2 0.440)")
    >>> nearness(-0.947)
    "further from the source's than no update at all would be (R2 -0.947)"
    """
    if not np.isfinite(r2):
        return "not to be compared with the source's, because it diverges"
    if r2 < 0:
        return f"further from the source's than no update at all would be (R2 {r2:.3f})"
    if r2 > 0.99995:
        return f"the source's (R2 {r2:.4f})"
    return f"nearly the source's (R2 {r2:.3f})" if r2 > 0.95 else f"like the source's in part (R2 {r2:.3f})"


def running_r2(task, optimizer, sizes, key, config):
    """R2 of the updates of each size on its own runs, against the source's on the same problems."""
    problems, keys = sample_problems(task, Purpose.TEST.key(key), min(64, config.num_test))

    @eqx.filter_jit
    def updates(one):
        run = rollout_batch(task, problems, one, num_steps=config.num_steps, keys=keys, save=Save(updates=True))
        return jnp.concatenate([leaf.reshape(-1) for leaf in jax.tree.leaves(run.updates)])

    reference = np.asarray(updates(optimizer), np.float64)
    with np.errstate(all="ignore"):
        errors = [np.sum((np.asarray(updates(size.completed), np.float64) - reference) ** 2) for size in sizes]
    return 1 - np.array(errors) / np.sum(reference**2)


def update_functions(optimizer, trajectories, moments, grid):
    """Update functions [moment, grid] at the states to which the first component's gradients led."""
    driven = jnp.asarray(trajectories.gradients[:, 0])

    def advance(h, g):
        return optimizer.step(h, g)[0], h

    states = eqx.filter_jit(lambda g: jax.lax.scan(advance, optimizer.initial_state(), g)[1])(driven)[moments]
    ask = jax.vmap(lambda h: jax.vmap(lambda g: optimizer.step(h, g)[1])(jnp.asarray(grid, jnp.float32)))
    return np.asarray(eqx.filter_jit(ask)(states), np.float64)


def generalize(task, optimizer, chosen, baseline, key, config):
    """Other horizons on the same task, and one other task."""
    other = get_task(next(kind for kind in TASKS if kind != task.kind))
    rows = []
    for where, num_steps in ((task, config.num_steps // 4), (task, config.num_steps * 5), (other, config.num_steps)):
        contenders = {"source": optimizer, "distilled": chosen}
        if baseline is not None:
            contenders["baseline"] = baseline
        found = evaluate(where, contenders, num_problems=min(64, config.num_test), num_steps=max(num_steps, 1), key=key)
        rows.append(
            {
                "task": name_of(where),
                "num_steps": max(num_steps, 1),
                "median": to_json(dict(zip(found.names, found.medians))),
                "mean": to_json(dict(zip(found.names, found.means))),
                "diverged": {name: int(value) for name, value in zip(found.names, found.num_diverged)},
            }
        )
    return rows
