"""Random search over the hyperparameters of a hand-designed optimizer (App. D.3)."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from optoscope._checks import check_count
from optoscope._provenance import provenance
from optoscope._types import PRNGKeyArray
from optoscope.artifacts import TunedOptimizer
from optoscope.optimizers import AbstractOptimizer
from optoscope.optimizers import get as get_optimizer
from optoscope.rollouts import rollout_batch
from optoscope.tasks import AbstractTask, name_of
from optoscope.training.objective import Purpose, meta_objective, sample_problems
from optoscope.training.search_spaces import Range, search_space

_EDGE = 0.02  # a winner within this share of a range's width of its end lies on the edge
_WIDENINGS = 4
_CHUNK = 500


def tune(
    task: AbstractTask,
    rule: str,
    *,
    num_samples: int = 2500,
    key: PRNGKeyArray,
    num_problems: int = 64,
    num_leaders: int = 32,
    num_leader_problems: int = 1024,
    num_steps: int = 200,
    space: dict[str, Range] | None = None,
    seed: int | None = None,
    report: Callable[[str, int, int], None] | None = None,
) -> TunedOptimizer:
    """Tune an optimizer on a task by random search, with the objective that learned optimizers are trained on.

    All samples are scored on the same few problems; the leaders are scored again on many fresh ones, which choose the
    winner (tuned on few problems alone, the best of 2500 can diverge on the next one). If the winner lies on an edge
    of the searched box, that side is widened and the search is run anew.

    Args:
        task: where problems come from; they are drawn apart from training and test problems.
        rule: an optimizer's registered name, such as `momentum`.
        num_samples: number of random settings.
        key: draws the settings and the problems.
        num_problems: problems on which every sample is scored.
        num_leaders: samples that are scored again.
        num_leader_problems: fresh problems on which they are.
        num_steps: length of a run.
        space: range per hyperparameter; the preset for the task and rule if None.
        seed: the seed that made `key`, recorded in the result.
        report: called with what is being done, how much is done and how much there is.

    Returns:
        The winner and every sample with its score. Diverged samples score infinity.

    Raises:
        ValueError: if a number is out of range, there is no search space, or every sample diverged.
    """
    check_count("num_samples", num_samples, hint="the paper uses 2500")
    check_count("num_problems", num_problems)
    check_count("num_leaders", num_leaders)
    check_count("num_leader_problems", num_leader_problems)
    kind = get_optimizer(rule)
    space = dict(space or search_space(name_of(task), rule))
    say = report or (lambda what, done, total: None)
    screening = sample_problems(task, Purpose.TUNE.key(key), num_problems)
    fresh = sample_problems(task, Purpose.RESCORE.key(key), num_leader_problems)

    def score(samples: np.ndarray, problems, what: str) -> np.ndarray:
        chunk = min(_CHUNK, len(samples))
        padded = np.resize(samples, (-(-len(samples) // chunk) * chunk, samples.shape[1])).astype(np.float32)
        scores = []
        for start in range(0, len(padded), chunk):
            values = dict(zip(space, padded[start : start + chunk].T))
            scores.append(np.asarray(_scores(task, kind, values, *problems, num_steps=num_steps)))
            say(what, min(start + chunk, len(samples)), len(samples))
        return np.concatenate(scores)[: len(samples)]

    # With few samples the best may lie a gap between samples away from an edge that it would cross.
    edge = max(_EDGE, 3 / num_samples)
    widened: list[str] = []
    for attempt in range(_WIDENINGS + 1):
        sample_key = jax.random.fold_in(Purpose.INITIALIZE.key(key), attempt)
        unit = np.asarray(jax.random.uniform(sample_key, (num_samples, len(space)), dtype=jnp.float32), np.float64)
        samples = np.column_stack([bounds.from_unit(u) for bounds, u in zip(space.values(), unit.T)])
        samples = samples.astype(np.float32).astype(np.float64)  # exactly what is scored
        scores = score(samples, screening, "screening")
        if not np.isfinite(scores).any():
            raise ValueError(
                f"all {num_samples} samples of {rule} diverged on {name_of(task)}; "
                "search smaller learning rates (pass `space`)."
            )
        leaders = np.argsort(scores, kind="stable")[: min(num_leaders, num_samples)]
        leader_scores = score(samples[leaders], fresh, "scoring the leaders again")
        winner = int(leaders[np.argmin(leader_scores)])
        wider = {name: bounds.widened(u, edge) for (name, bounds), u in zip(space.items(), unit[winner])}
        on_edge = {name: new for name, new in wider.items() if new is not None}
        if not on_edge or attempt == _WIDENINGS:
            break
        for name, new in on_edge.items():
            widened.append(f"{name}: the winner lay on the edge of {space[name]}; now {new}")
            space[name] = new
    else:
        raise AssertionError("the last attempt always breaks")
    if on_edge:
        widened.append(f"after {_WIDENINGS} widenings the winner still lies on an edge of {', '.join(on_edge)}")
    return TunedOptimizer(
        optimizer=kind(**dict(zip(space, samples[winner].tolist()))),
        task=name_of(task),
        rule=rule,
        seed=seed,
        names=list(space),
        scales=[bounds.scale for bounds in space.values()],
        ranges=[[bounds.low, bounds.high] for bounds in space.values()],
        samples=samples,
        scores=scores.astype(np.float64),
        leaders=leaders,
        leader_scores=leader_scores.astype(np.float64),
        winner=winner,
        widened=widened,
        settings={
            "num_samples": num_samples,
            "num_problems": num_problems,
            "num_leader_problems": num_leader_problems,
            "num_steps": num_steps,
        },
        provenance=provenance(task=repr(task), rule=rule, seed=seed),
    )


@eqx.filter_jit
def _scores(task, kind: type[AbstractOptimizer], values, problems, keys, num_steps):
    """Mean meta-objective [sample] of one chunk of settings: one compiled program, hyperparameters traced."""

    def one(setting):
        losses = rollout_batch(task, problems, kind(**setting), num_steps=num_steps, keys=keys).losses
        objectives = meta_objective(losses)
        return jnp.mean(jnp.where(jnp.isfinite(objectives), objectives, jnp.inf))

    return jax.vmap(one)(values)
