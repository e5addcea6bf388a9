"""The main job: from artifacts to figures, a table of results and an index page."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from optoscope import tasks
from optoscope._core.choices import check_choice
from optoscope._core.progress import Report, silent
from optoscope.explorer import Explorer, explore
from optoscope.explorer.program import UntranslatableError
from optoscope.mechanisms import diagnose
from optoscope.paper.claims import judge
from optoscope.paper.figures import FIGURES, available, draw, figures_for
from optoscope.paper.study import (
    PAPER_TASKS,
    Study,
    bounded_problems,
    tasks_at_hand,
    tasks_with_baselines,
    tasks_with_optimizers,
)
from optoscope.running import evaluate
from optoscope.training.recipes import RECIPES, make

#: Test problems of the second, larger evaluation of small tasks; the first has the paper's 64.
NUM_MANY_PROBLEMS = 512


def check_tasks(task_names: Sequence[str]) -> tuple[str, ...]:
    """Return the tasks to reproduce; if none is named, all of them whose data need no download.

    Raises:
        ValueError: for an unknown task.
    """
    there = tasks_with_optimizers()
    for name in task_names:
        check_choice("task", name, there)
    return tuple(name for name in there if name in task_names) if task_names else tasks_at_hand()


def figure_numbers() -> list[int]:
    """Return the numbers of the figures that can be drawn from what ships."""
    return figures_for(tasks_at_hand(), tasks_with_baselines())


def check_figure(number: int | str) -> None:
    """Check that a figure of this number can be drawn from what ships.

    Raises:
        ValueError: if it cannot; the message says what is missing, or which figures there are.
    """
    figure = {str(known): one for known, one in FIGURES.items()}.get(str(number))
    if figure is not None and int(number) not in figure_numbers():
        missing = " or ".join(figure.tasks or figure.any_of)
        raise ValueError(f"figure {number} is about {missing}, for which no optimizer ships yet; train or tune one.")
    check_choice("figure", str(number), ["all", *map(str, figure_numbers())])


def reproduce(
    task_names: Sequence[str],
    directory: Path,
    *,
    from_scratch: bool = False,
    seed: int = 0,
    report: Report = silent,
) -> Path:
    """Reproduce the paper's results for some tasks.

    Args:
        task_names: names of tasks; if empty, all of them, but those whose data would have to be downloaded are left
            out.
        directory: where `index.html`, `figures/` and, from scratch, `artifacts/` go.
        from_scratch: meta-train and tune instead of using what ships; resumable.
        seed: draws the test problems.
        report: called with what is being done, how much is done and how much there is.

    Returns:
        The path of the page.

    Raises:
        ValueError: for an unknown task.
    """
    from optoscope.paper.figures.drawn import save_figure
    from optoscope.paper.report.page import EXPLORER, ledger_data, write_page

    chosen = check_tasks(task_names)
    directory.mkdir(parents=True, exist_ok=True)
    source = None
    if from_scratch:
        source = directory / "artifacts"
        for recipe in RECIPES:
            if recipe.task in chosen:
                make(recipe, source, report=report)
    key = jax.random.key(seed)
    asked = chosen if task_names else PAPER_TASKS
    tuned_names = [name for name in asked if name in tasks_with_baselines(source)]
    study = Study(chosen, key=key, source=source, tuned_names=tuned_names)
    wide = {}
    many = [task for task in chosen if bounded_problems(tasks.get(task), NUM_MANY_PROBLEMS) == NUM_MANY_PROBLEMS]
    for i, task in enumerate(many):
        rules = {"learned": study.trained[task].optimizer}
        rules |= {rule: tuned.optimizer for rule, tuned in study.tuned[task].items()}
        wide[task] = evaluate(tasks.get(task), rules, num_problems=NUM_MANY_PROBLEMS, key=key)
        report("evaluating on many problems", i + 1, len(many))
    numbers = available(study)
    drawn = []
    for i, number in enumerate(numbers):
        drawn.append(draw(number, study))
        save_figure(drawn[-1], directory / "figures")
        report("figures", i + 1, len(numbers))
    ledger = judge(study, asked=asked, seed=seed, report=report)
    # Where JAX has operations that the page does not know, the report goes without it.
    with contextlib.suppress(UntranslatableError):
        page = _explorer(study, report).with_ledger(ledger_data(directory, drawn, ledger))
        page.save(directory / EXPLORER)
    return write_page(directory, study, wide, drawn, ledger, seed=seed, from_scratch=from_scratch)


def _explorer(study: Study, report: Report) -> Explorer:
    """The interactive page of what the report is about: each learned optimizer beside what was tuned for its task."""
    from optoscope.figures.style import in_sentence

    optimizers: dict[str, Any] = {}
    for task in study.evaluations:
        optimizers[f"learned on {in_sentence(task)}"] = study.trained[task]
        optimizers |= {f"{rule}, tuned on {in_sentence(task)}": one for rule, one in study.tuned[task].items()}
    reports = []
    for i, (name, one) in enumerate(optimizers.items()):
        reports.append(diagnose(one, name=name))
        report("explorer", i + 1, len(optimizers))
    return explore(*reports)


def draw_figures(
    numbers: Sequence[int],
    directory: Path,
    *,
    seed: int = 0,
    source: Path | None = None,
    report: Report = silent,
) -> dict[int, Path]:
    """Draw some figures; returns the path of each picture.

    Raises:
        ValueError: for an unknown number.
    """
    from optoscope.paper.figures.drawn import save_figure

    for number in numbers:
        check_figure(number)
    study = Study(tasks_at_hand(), key=jax.random.key(seed), source=source, tuned_names=tasks_with_baselines(source))
    written = {}
    for i, number in enumerate(numbers):
        written[number] = save_figure(draw(number, study), directory)[0]
        report("figures", i + 1, len(numbers))
    return written
