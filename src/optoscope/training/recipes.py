"""How every shipped optimizer is made: data."""

import dataclasses
from pathlib import Path
from typing import Literal

import jax

from optoscope import artifacts, tasks
from optoscope._core.progress import Report, silent
from optoscope.artifacts import TrainedOptimizer, TunedOptimizer
from optoscope.training.config import preset
from optoscope.training.meta_train import Progress, meta_train
from optoscope.training.tune import tune


@dataclasses.dataclass(frozen=True)
class Recipe:
    """One artifact: its name, and the call that makes it.

    Attributes:
        name: the artifact's name, which is also its path without ending.
        task: the task.
        how: `train` or `tune`.
        setting: the preset, or the rule.
        num_rechecked: of a tuned rule, settings dropped early that are run whole after all.
        seed: of what figures and claims rest on, chosen among those that `benchmarks/seeds.py` reports, on problems of
            their own; 0 where there was no choice.
    """

    name: str
    task: str
    how: Literal["train", "tune"]
    setting: str
    seed: int = 0
    num_rechecked: int = 0

    @property
    def command(self) -> str:
        """The command line that makes the same optimizer."""
        if self.how == "train":
            return f"optoscope train {self.task} --preset {self.setting} --seed {self.seed} --out DIR"
        recheck = f" --recheck {self.num_rechecked}" if self.num_rechecked else ""
        return f"optoscope tune {self.task} {self.setting}{recheck} --seed {self.seed} --out DIR"


BASELINES = ("momentum", "rmsprop", "adam")

#: What figures and claims are about.
RECIPES: tuple[Recipe, ...] = (
    Recipe("linear_regression", "linear_regression", "train", "fast", seed=3),
    Recipe("rosenbrock", "rosenbrock", "train", "fast", seed=0),
    Recipe("two_moons", "two_moons", "train", "fast", seed=0),
    Recipe("mnist", "mnist", "train", "fast", seed=0),
    Recipe("momentum_like", "linear_regression", "train", "momentum"),
    *(
        Recipe(f"{task}/{rule}", task, "tune", rule)
        for task in ("linear_regression", "rosenbrock")
        for rule in BASELINES
    ),
    *(Recipe(f"two_moons/{rule}", "two_moons", "tune", rule, num_rechecked=50) for rule in BASELINES),
    *(Recipe(f"mnist/{rule}", "mnist", "tune", rule, num_rechecked=20) for rule in BASELINES),
)

#: What ships besides, to compare with: other seeds, and the settings of the authors and of the paper.
COMPARISONS: tuple[Recipe, ...] = (
    *(Recipe(f"two_moons_seed{seed}", "two_moons", "train", "fast", seed=seed) for seed in (1, 2)),
    *(Recipe(f"mnist_seed{seed}", "mnist", "train", "rehearsal", seed=seed) for seed in (1, 2)),
    Recipe("linear_regression_authors", "linear_regression", "train", "authors"),
    Recipe("linear_regression_paper", "linear_regression", "train", "paper"),
)


def make(recipe: Recipe, directory: Path, *, report: Report = silent) -> TrainedOptimizer | TunedOptimizer:
    """Make an artifact in a directory, or load it if it is there already; training goes on where it stopped.

    Args:
        recipe: what to make.
        directory: where artifacts lie, in the layout of the shipped ones.
        report: called with what is being done, how much is done and how much there is.

    Returns:
        The artifact, as saved.
    """
    target = directory / recipe.name
    if target.with_name(target.name + ".json").exists():
        return artifacts.load(target)
    task, key = tasks.get(recipe.task), jax.random.key(recipe.seed)
    if recipe.how == "tune":
        stage = lambda what, done, total: report(f"{recipe.name}: {what}", done, total)
        made = tune(
            task,
            recipe.setting,
            key=key,
            num_rechecked=recipe.num_rechecked,
            seed=recipe.seed,
            directory=directory / ".runs" / recipe.name,
            resume=True,
            report=stage,
        )
    else:

        def progress(state: Progress) -> None:
            report(f"{recipe.name}: meta-training", state.step, state.num_steps)

        made = meta_train(
            task,
            config=preset(recipe.setting, recipe.task),
            key=key,
            directory=directory / ".runs" / recipe.name,
            resume=True,
            preset=recipe.setting,
            seed=recipe.seed,
            report=progress,
        )
    made.save(target)
    return made
