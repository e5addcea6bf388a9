"""Random search over the hyperparameters of a hand-designed optimizer (App. D.3)."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from optoscope._core.checks import check_count
from optoscope._core.files import digest_of_array
from optoscope._core.fingerprint import fingerprint
from optoscope._core.progress import Announce, Report, silent
from optoscope._core.provenance import provenance
from optoscope._core.status import DivergedError
from optoscope._core.types import Array, Device, Float, Keys, PRNGKeyArray
from optoscope.artifacts import TunedOptimizer
from optoscope.optimizers import AbstractOptimizer
from optoscope.optimizers import get as get_optimizer
from optoscope.running.problems import Purpose, meta_objective, sample_problems
from optoscope.running.rollouts import rollout_batch
from optoscope.running.run_log import RunLog, open_run
from optoscope.running.share_out import replicate, share_out
from optoscope.tasks import AbstractTask, Problem, name_of
from optoscope.training.search_spaces import Range, Stage, search_space, search_stages

_EDGE = 0.02  # a winner within this share of a range's width of its end lies on the edge
_WIDENINGS = 4
_CHUNK = 16  # settings between two records; on more devices, as many as there are


def tune(
    task: AbstractTask,
    rule: str,
    *,
    num_samples: int = 2500,
    key: PRNGKeyArray,
    stages: Sequence[Stage] | None = None,
    space: dict[str, Range] | None = None,
    num_rechecked: int = 0,
    seed: int | None = None,
    directory: str | Path | None = None,
    resume: bool = False,
    report: Report = silent,
    announce: Announce = silent,
) -> TunedOptimizer:
    """Tune an optimizer on a task by random search, with the objective that learned optimizers are trained on.

    All settings are run on the same few problems; the best go on to the next stage, with other problems and, on heavy
    tasks, longer runs. The last stage chooses the winner on many problems (tuned on few alone, the best of 2500 can
    diverge on the next one). If the winner lies on an edge of the searched box, that side is widened and the search is
    run anew.

    Args:
        task: where problems come from; they are drawn apart from training and test problems.
        rule: an optimizer's registered name, such as `momentum`.
        num_samples: number of random settings.
        key: draws the settings and the problems.
        stages: how the settings are screened; the preset for the task if None.
        space: range per hyperparameter; the preset for the task and rule if None.
        num_rechecked: how many of the settings that were dropped before a whole run are given one after all, on the
            problems of the first stage with whole runs, to see whether dropping them early lost anything.
        seed: the seed that made `key`, recorded in the result.
        directory: where scores are logged as they come; nothing is written if None.
        resume: go on from the scores in `directory`.
        report: called with what is being done, how much is done and how much there is.
        announce: called with sentences about what a directory holds that is damaged, or of other versions.

    Returns:
        The winner and every setting with its score. Diverged settings score infinity.

    Raises:
        ValueError: if a number is out of range, there is no search space, or every setting diverged.
        FileExistsError: if `directory` holds a search and `resume` is false.
    """
    check_count("num_samples", num_samples, hint="the paper uses 2500")
    check_count("num_rechecked", num_rechecked, minimum=0)
    kind = get_optimizer(rule)
    space = dict(space or search_space(name_of(task), rule))
    stages = tuple(stages or search_stages(name_of(task)))
    described = {"task": repr(task), "task_hash": fingerprint(task), "rule": rule, "num_samples": num_samples}
    described |= {"space": _as_data(space), "stages": _as_data(stages), "key": fingerprint(key)}
    with open_run(None if directory is None else Path(directory), described, resume=resume, announce=announce) as log:
        scorer = _Scorer(task, kind, stages, Purpose.TUNE.key(key), log, report)
        return _search(scorer, task, rule, space, num_samples, num_rechecked, key, seed)


def _search(scorer, task, rule, space, num_samples, num_rechecked, key, seed) -> TunedOptimizer:
    # With few samples the best may lie a gap between samples away from an edge that it would cross.
    edge = max(_EDGE, 3 / num_samples)
    widened: list[str] = []
    attempt = 0
    while True:
        sample_key = jax.random.fold_in(Purpose.INITIALIZE.key(key), attempt)
        unit = np.asarray(jax.random.uniform(sample_key, (num_samples, len(space)), dtype=jnp.float32), np.float64)
        samples = np.column_stack([bounds.from_unit(u) for bounds, u in zip(space.values(), unit.T)])
        samples = samples.astype(np.float32).astype(np.float64)  # exactly what is run
        scores, reached = _screen(scorer, samples, list(space), attempt)
        if not np.isfinite(scores).any():
            raise DivergedError(
                f"all {num_samples} samples of {rule} diverged on {name_of(task)}; "
                "search smaller learning rates (pass `space`)."
            )
        finalists = np.flatnonzero(reached == len(scorer.stages) - 1)
        winner = int(finalists[np.argmin(scores[finalists])])
        wider = {name: bounds.widened(u, edge) for (name, bounds), u in zip(space.items(), unit[winner])}
        on_edge = {name: new for name, new in wider.items() if new is not None}
        if not on_edge:
            break
        if attempt == _WIDENINGS:
            widened.append(f"after {_WIDENINGS} widenings the winner still lies on an edge of {', '.join(on_edge)}")
            break
        for name, new in on_edge.items():
            widened.append(f"{name}: the winner lay on the edge of {space[name]}; now {new}")
            space[name] = new
        attempt += 1
    return TunedOptimizer(
        optimizer=scorer.kind(**dict(zip(space, samples[winner].tolist()))),
        task=name_of(task),
        rule=rule,
        seed=seed,
        names=list(space),
        scales=[bounds.scale for bounds in space.values()],
        ranges=[[bounds.low, bounds.high] for bounds in space.values()],
        samples=samples,
        scores=scores,
        stages_reached=reached,
        winner=winner,
        widened=widened,
        settings={
            "num_samples": num_samples,
            "stages": _as_data(scorer.stages),
            "dropped early, checked again": _recheck(scorer, samples, list(space), attempt, reached, num_rechecked),
        },
        provenance=provenance(task=repr(task), rule=rule, seed=seed),
    )


class _Scorer:
    """Scores settings on a stage's problems, chunk by chunk, and remembers in a directory what is scored already."""

    def __init__(self, task, kind, stages: tuple[Stage, ...], key, log: RunLog, report):
        self.task, self.kind, self.stages, self.log, self.report = task, kind, stages, log, report
        self.devices = jax.local_devices()
        # One draw, hence one compilation, for all stages.
        ends = np.cumsum([stage.num_problems for stage in stages])
        everything = sample_problems(task, key, int(ends[-1]))
        self.problems = [
            replicate(jax.tree.map(lambda array, part=slice(start, end): array[part], everything), self.devices)
            for start, end in zip([0, *ends], ends)
        ]

    def scores(self, samples: np.ndarray, names: list[str], stage: int, label: tuple, what: str) -> np.ndarray:
        """Score settings [sample, hyperparameter] on a stage's problems; `label` tells this set of settings apart."""
        padded = np.resize(samples, (-(-len(samples) // _CHUNK) * _CHUNK, samples.shape[1])).astype(np.float32)
        scores: list[float] = []
        for start in range(0, len(padded), _CHUNK):
            chunk = padded[start : start + _CHUNK]
            key = {"chunk": [*label, start], "settings": digest_of_array(chunk)}
            scores += self.log.known_or(key, lambda chunk=chunk: self._run(chunk, names, stage))
            self.report(what, min(start + _CHUNK, len(samples)), len(samples))
        return np.array(scores[: len(samples)])

    def _run(self, chunk: np.ndarray, names: list[str], stage: int) -> list[float]:
        """Scores of a chunk of settings, which do not depend on the number of devices that it is shared out over."""
        shared_out = np.resize(chunk, (-(-len(chunk) // len(self.devices)) * len(self.devices), chunk.shape[1]))
        values, (problems, keys) = dict(zip(names, jnp.asarray(shared_out.T))), self.problems[stage]
        num_steps, whole_steps = self.stages[stage].num_steps, self.stages[-1].num_steps
        found = _scores(self.task, self.kind, values, problems, keys, num_steps, whole_steps, self.devices)
        return np.asarray(found)[: len(chunk)].tolist()


def _screen(scorer: _Scorer, samples, names, attempt) -> tuple[np.ndarray, np.ndarray]:
    """Run the stages; returns each setting's last score and the stage that gave it."""
    scores, reached = np.empty(len(samples)), np.zeros(len(samples), int)
    left = np.arange(len(samples))
    for index, stage in enumerate(scorer.stages):
        what = f"stage {index + 1} of {len(scorer.stages)} ({stage.num_problems} problems, {stage.num_steps} steps)"
        scores[left] = scorer.scores(samples[left], names, index, (attempt, index), what)
        reached[left] = index
        best = left[np.argsort(scores[left], kind="stable")[: stage.num_kept]]
        left = np.sort(best[np.isfinite(scores[best])])
        if not len(left):
            break
    return scores, reached


def _recheck(scorer: _Scorer, samples, names, attempt, reached, num_rechecked) -> dict[str, float] | None:
    """Give some settings that were dropped early a whole run, on the problems of the first stage with whole runs."""
    whole = next(i for i, stage in enumerate(scorer.stages) if stage.num_steps == scorer.stages[-1].num_steps)
    dropped = np.flatnonzero(reached < whole)
    if not num_rechecked or not len(dropped):
        return None
    chosen = np.random.default_rng(0).choice(dropped, min(num_rechecked, len(dropped)), replace=False)
    again = scorer.scores(samples[chosen], names, whole, (attempt, "again"), "checking settings that were dropped")
    went_on = np.flatnonzero(reached >= whole)
    theirs = scorer.scores(samples[went_on], names, whole, (attempt, whole), "scores of those that went on")
    return {
        "settings checked": len(chosen),
        "best of them": float(again.min()),
        "best of those that went on": float(theirs.min()),
        "checked that would have gone on": int((again < np.sort(theirs)[scorer.stages[whole].num_kept - 1]).sum())
        if len(theirs) >= scorer.stages[whole].num_kept
        else len(chosen),
    }


@eqx.filter_jit
def _scores(
    task: AbstractTask,
    kind: type[AbstractOptimizer],
    values: dict[str, Float[Array, " sample"]],
    problems: Problem,
    keys: Keys,
    num_steps: int,
    whole_steps: int,
    devices: list[Device],
):
    """Mean meta-objective [sample] of a chunk of settings, shared out over devices; hyperparameters are traced.

    A run shorter than `whole_steps` is scored as if its last loss stayed.
    """

    def one(setting, task, problems, keys):
        losses = rollout_batch(task, problems, kind(**setting), num_steps=num_steps, keys=keys).losses
        held = jnp.repeat(losses[:, -1:], whole_steps - num_steps, axis=1)
        objectives = meta_objective(jnp.concatenate([losses, held], axis=1))
        return jnp.mean(jnp.where(jnp.isfinite(objectives), objectives, jnp.inf))

    # One setting after another: the problems of one fit into the cache, those of all would not.
    each = lambda shared, values: jax.lax.map(lambda setting: one(setting, *shared), values)
    return share_out(each, (task, problems, keys), values, devices=devices)


def _as_data(settings):
    if isinstance(settings, dict):
        return {name: dataclasses.asdict(value) for name, value in settings.items()}
    return [dataclasses.asdict(value) for value in settings]
