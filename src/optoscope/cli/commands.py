"""The commands as frozen dataclasses: fields are arguments, docstrings are help, `run` calls one public function.

Heavy modules are imported inside `run`.
"""

import ast
import dataclasses
import sys
import typing
from pathlib import Path
from typing import Annotated, Any

import tyro

from optoscope.cli.devices import prepare
from optoscope.cli.output import Output, make_reporter

_Task = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="TASK")]
_Rule = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RULE")]
_Number = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NUMBER")]
_Optimizer = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="OPTIMIZER")]
_Tasks = Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[TASK ...]")]
_Optimizers = Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[OPTIMIZER ...]")]


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Computes:
    """What all commands that compute have in common."""

    mnist_dir: Path | None = None
    """Where the four MNIST files are; without it $OPTOSCOPE_MNIST, then the cache, then a download."""


@dataclasses.dataclass(frozen=True)
class List:
    """List tasks, presets, rules that can be tuned, shipped optimizers and figures.

    Example: optoscope list --json
    """

    json: bool = False
    """Print JSON instead of tables."""

    def run(self) -> int:
        """Print what there is."""
        from optoscope import artifacts
        from optoscope.report.reproduce import figure_numbers
        from optoscope.tasks import TASKS
        from optoscope.training.config import PRESETS
        from optoscope.training.search_spaces import SEARCH_SPACES

        out = Output(json=self.json)
        rows = [_describe(name, artifacts.load(name)) for name in artifacts.shipped()]
        out.table("Shipped optimizers", ["name", "task", "how", "meta-objective"], rows)
        out.table("Tasks", ["name"], [[name] for name in TASKS])
        out.table("Presets", ["name", "tasks"], [[name, ", ".join(tasks)] for name, tasks in PRESETS.items()])
        spaces = [[task, ", ".join(rules)] for task, rules in SEARCH_SPACES.items()]
        out.table("Rules that can be tuned", ["task", "rules"], spaces)
        out.table("Figures of the paper", ["numbers"], [[", ".join(str(n) for n in figure_numbers())]])
        return out.finish()


@dataclasses.dataclass(frozen=True)
class Train(_Computes):
    """Meta-train a learned optimizer on a task.

    Example: optoscope train linear_regression --preset fast --out runs/lr

    Ctrl-C and SIGTERM save and leave; the same command with --resume goes on, to the same bits. Killed without warning,
    it loses what it did since the last checkpoint: about a second, or the meta-step under way.
    """

    task: _Task
    """Name of a task; `optoscope list` shows them."""
    out: Path
    """Directory for the trained optimizer, its checkpoints and its log."""
    preset: str = "fast"
    """Settings: fast, rehearsal, paper, authors or momentum."""
    seed: int = 0
    """Determines everything random."""
    set: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=VALUE")] = ()
    """Settings that differ from the preset, such as num_units=64 num_meta_steps=2000."""
    resume: bool = False
    """Go on with the run in --out."""
    force: bool = False
    """Start anew in a directory that holds a run, which is lost."""

    def run(self) -> int:
        """Train and save."""
        prepare(self.mnist_dir)
        import jax

        from optoscope import tasks
        from optoscope.training import meta_train, preset
        from optoscope.training.run_directory import discard_run
        from optoscope.training.validation import why_nothing_was_learned

        task = tasks.get(self.task)
        config = _override(preset(self.preset, self.task), self.set)
        if self.force and not self.resume:
            discard_run(self.out)
        with make_reporter(f"{self.task}, preset {self.preset}, seed {self.seed}") as report:
            trained = meta_train(
                task,
                config=config,
                key=jax.random.key(self.seed),
                directory=self.out,
                resume=self.resume,
                preset=self.preset if not self.set else f"{self.preset} with {' '.join(self.set)}",
                seed=self.seed,
                report=report.meta_training,
                announce=report.note,
            )
        failure = why_nothing_was_learned(trained)
        if failure is not None:
            print(f"optoscope: {failure} No optimizer was written.", file=sys.stderr)  # noqa: T201
            return 1
        path = trained.save(self.out / self.task.partition("(")[0])
        out = Output()
        out.text(
            f"best validation {trained.metrics['best_validation']:.5f} at meta-step {trained.metrics['best_step']} "
            f"({trained.metrics['seconds']:.0f} s, {trained.metrics['num_skipped']} steps skipped, "
            f"{trained.metrics['num_rollbacks']} rolled back); wrote {path}"
        )
        return out.finish()


@dataclasses.dataclass(frozen=True)
class Search(_Computes):
    """Search meta-training's learning rate, scales, clip and width: short runs first, the best go on.

    Example: optoscope search rosenbrock --num-samples 16 --widths 16 32 --out runs/search
    """

    task: _Task
    """Name of a task."""
    out: Path
    """Directory: one run per sample, and every result in log.jsonl."""
    num_samples: int = 16
    """Settings to try; the first is the preset itself."""
    widths: tuple[int, ...] = ()
    """Numbers of units to choose from; the preset's if none is given."""
    preset: str = "fast"
    """Center of the search."""
    seed: int = 0
    """Determines everything random."""
    set: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=VALUE")] = ()
    """Settings that differ from the preset."""
    resume: bool = False
    """Go on with the search in --out."""
    json: bool = False
    """Print JSON instead of a table."""

    def run(self) -> int:
        """Search and save."""
        prepare(self.mnist_dir)
        import jax

        from optoscope import tasks
        from optoscope.training import preset, search
        from optoscope.training.validation import why_nothing_was_learned

        task = tasks.get(self.task)
        config = _override(preset(self.preset, self.task), self.set)
        with make_reporter(f"search on {self.task}") as report:
            best, results = search(
                task,
                config=config,
                num_samples=self.num_samples,
                widths=self.widths,
                key=jax.random.key(self.seed),
                directory=self.out,
                resume=self.resume,
                seed=self.seed,
                report=report.stage,
            )
        failure = why_nothing_was_learned(best)
        path = None if failure is not None else best.save(self.out / "best")
        out = Output(json=self.json)
        rows = [[r.sample, r.num_meta_steps, r.validation, r.seconds, _plainly(r.settings)] for r in results]
        out.table("Samples, best first", ["sample", "meta-steps", "validation", "s", "settings"], rows)
        out.text(f"wrote {path}" if failure is None else f"{failure} No optimizer was written.")
        return out.finish() or int(failure is not None)


@dataclasses.dataclass(frozen=True)
class Tune(_Computes):
    """Tune a hand-designed optimizer on a task by random search.

    Example: optoscope tune linear_regression momentum --out runs/momentum
    """

    task: _Task
    """Name of a task."""
    rule: _Rule
    """Name of a rule, such as momentum, rmsprop or adam."""
    out: Path
    """Directory for the tuned optimizer."""
    num_samples: int = 2500
    """Random settings to try."""
    recheck: int = 0
    """Settings dropped early that are given a whole run after all, to see whether dropping them lost anything."""
    seed: int = 0
    """Determines everything random."""
    resume: bool = False
    """Go on with the search in --out."""
    force: bool = False
    """Overwrite what --out holds."""

    def run(self) -> int:
        """Tune and save."""
        prepare(self.mnist_dir)
        import jax

        from optoscope import optimizers, tasks
        from optoscope.training import tune
        from optoscope.training.run_directory import discard_run
        from optoscope.training.search_spaces import search_space

        task = tasks.get(self.task)
        optimizers.get(self.rule)
        search_space(self.task, self.rule)
        if self.force and not self.resume:
            discard_run(self.out)
        with make_reporter(f"{self.rule} on {self.task}") as report:
            tuned = tune(
                task,
                self.rule,
                num_samples=self.num_samples,
                num_rechecked=self.recheck,
                key=jax.random.key(self.seed),
                seed=self.seed,
                directory=self.out,
                resume=self.resume,
                report=report.stage,
            )
        path = tuned.save(self.out / self.rule)
        out = Output()
        for sentence in tuned.widened:
            out.text(sentence)
        out.text(f"best: {_setting(tuned)}, meta-objective {tuned.score:.5f}; wrote {path}")
        return out.finish()


@dataclasses.dataclass(frozen=True)
class Evaluate(_Computes):
    """Run optimizers on the same fresh problems of a task and compare them in pairs.

    Without OPTIMIZER: the learned optimizer and the tuned baselines that ship for the task.
    An OPTIMIZER is a shipped name, a path, or module:name(literals).

    Example: optoscope evaluate linear_regression linear_regression "optax:sgd(learning_rate=3.0, momentum=0.9)"
    """

    task: _Task
    """Name of a task."""
    optimizer: _Optimizers = ()
    """Optimizers; the first is compared with each of the others."""
    num_problems: int = 64
    """Fresh test problems."""
    num_steps: int = 200
    """Updates per run."""
    seed: int = 0
    """Draws the test problems."""
    json: bool = False
    """Print JSON instead of tables."""
    out: Path | None = None
    """Also write the whole result (losses of every run) to this .npz file."""
    force: bool = False
    """Overwrite the file --out."""

    def run(self) -> int:
        """Evaluate and print."""
        prepare(self.mnist_dir)
        from optoscope import artifacts, tasks

        task = tasks.get(self.task)
        names = self.optimizer or artifacts.shipped_for(self.task)
        if not names:
            raise ValueError(f"nothing ships for {self.task}; name the optimizers to evaluate.")
        _check_file(self.out, self.force)
        import jax

        from optoscope.cli.optimizer_spec import parse_optimizer
        from optoscope.training import evaluate

        optimizers = {name: parse_optimizer(name) for name in names}
        with make_reporter(self.task) as report:
            result = evaluate(
                task,
                optimizers,
                num_problems=self.num_problems,
                num_steps=self.num_steps,
                key=jax.random.key(self.seed),
                report=report.stage,
            )
        out = Output(json=self.json)
        rows = [
            [name, mean, error, median, int(diverged)]
            for name, mean, error, median, diverged in zip(
                result.names, result.means, result.standard_errors, result.medians, result.num_diverged
            )
        ]
        columns = ["optimizer", "mean", "standard error", "median", "diverged"]
        out.table(f"Meta-objective on {self.num_problems} problems of {self.task}", columns, rows)
        first = result.names[0]
        pairs = {name: result.compare(first, name) for name in result.names[1:]}
        out.table(
            f"{first} minus another, paired, with 95% bootstrap intervals",
            ["other", "difference", "interval", "log ratio", "interval of log ratio", "wins"],
            [
                [
                    name,
                    c.difference,
                    list(c.difference_interval),
                    c.log_ratio,
                    list(c.log_ratio_interval),
                    c.wins,
                ]
                for name, c in pairs.items()
            ],
        )
        if self.out is not None:
            out.text(f"wrote {result.save(self.out)}")
        return out.finish()


@dataclasses.dataclass(frozen=True)
class States(_Computes):
    """Keep a bounded sample of what an optimizer's components met on test problems: states, gradients and updates.

    Example: optoscope states two_moons --task two_moons --out states.npz
    """

    optimizer: _Optimizer
    """A shipped name, a path, or module:name(literals)."""
    task: str
    """Name of a task."""
    out: Path
    """File (.npz) for the sample; a JSON file beside it names the groups of parameters."""
    num_problems: int = 8
    """Test problems."""
    num_steps: int = 200
    """Updates per run."""
    max_components: int = 256
    """Components kept of each problem, as evenly from all layers, weights and biases as these allow."""
    seed: int = 0
    """Draws the problems and the components."""
    json: bool = False
    """Print JSON instead of a table."""
    force: bool = False
    """Overwrite the file."""

    def run(self) -> int:
        """Run and save."""
        prepare(self.mnist_dir)
        import jax
        import numpy as np

        from optoscope import tasks
        from optoscope.anatomy import visit
        from optoscope.cli.optimizer_spec import parse_component_wise

        _check_file(self.out, self.force)
        visits = visit(
            parse_component_wise(self.optimizer),
            tasks.get(self.task),
            key=jax.random.key(self.seed),
            num_problems=self.num_problems,
            num_steps=self.num_steps,
            max_components=self.max_components,
        )
        path = visits.save(self.out)
        out = Output(json=self.json)
        rows = [
            [name, int((visits.group == i).sum()), float(np.median(np.abs(visits.gradients[visits.group == i])))]
            for i, name in enumerate(visits.groups)
        ]
        out.table("Trajectories kept", ["group", "trajectories", "median |gradient|"], rows)
        out.text(f"wrote {path}")
        return out.finish()


@dataclasses.dataclass(frozen=True)
class Figure(_Computes):
    """Draw figures of the paper from what ships, or from artifacts of your own.

    Example: optoscope figure 3 --out figures
    """

    number: _Number
    """The number of a figure, or `all`."""
    out: Path = Path("figures")
    """Directory for PNG, SVG and the numbers drawn (JSON)."""
    source: Path | None = None
    """Directory with artifacts in the layout of the shipped ones."""
    seed: int = 0
    """Draws the test problems."""
    json: bool = False
    """Print JSON."""
    force: bool = False
    """Overwrite pictures."""

    def run(self) -> int:
        """Draw and save."""
        prepare(self.mnist_dir)
        from optoscope.report.reproduce import check_figure, draw_figures, figure_numbers

        numbers = figure_numbers() if self.number == "all" else [self.number]
        for number in numbers:
            check_figure(number)
            _check_file(self.out / f"figure_{number}.png", self.force)
        with make_reporter("figures") as report:
            written = draw_figures(
                [int(number) for number in numbers], self.out, seed=self.seed, source=self.source, report=report.stage
            )
        out = Output(json=self.json)
        out.table("Figures", ["number", "file"], [[n, str(path)] for n, path in written.items()])
        return out.finish()


@dataclasses.dataclass(frozen=True)
class Reproduce(_Computes):
    """Reproduce the paper's results: figures, table and an index page that opens without a network.

    Example: optoscope reproduce linear_regression rosenbrock --out reproduction
    """

    task: _Tasks = ()
    """Tasks; if none is named all of them, MNIST where it is at hand."""
    out: Path = Path("reproduction")
    """Directory for the page, the figures and the numbers."""
    from_scratch: bool = False
    """Meta-train and tune everything anew instead of using what ships (minutes; two moons takes an hour); goes on
    where an earlier call in the same directory stopped."""
    seed: int = 0
    """Draws the test problems."""
    json: bool = False
    """Print JSON."""
    force: bool = False
    """Write into a directory that is not empty."""

    def run(self) -> int:
        """Reproduce and save."""
        prepare(self.mnist_dir)
        from optoscope._files import fresh_directory
        from optoscope.report.reproduce import check_tasks, reproduce

        check_tasks(self.task)
        fresh_directory(self.out, force=self.force or (self.from_scratch and (self.out / "artifacts").exists()))
        with make_reporter("reproduce") as report:
            page = reproduce(self.task, self.out, from_scratch=self.from_scratch, seed=self.seed, report=report.stage)
        out = Output(json=self.json)
        out.table("Reproduction", ["page"], [[str(page)]])
        return out.finish()


def _override(config, settings: tuple[str, ...]):
    """Replace fields of a configuration by NAME=VALUE with literal values."""
    from optoscope._choices import check_choice

    types_of, changes = typing.get_type_hints(type(config)), dict[str, Any]()
    for setting in settings:
        name, separator, text = setting.partition("=")
        if not separator:
            raise ValueError(f"--set takes NAME=VALUE, got {setting!r}; for instance --set num_units=64.")
        check_choice("setting", name, [field.name for field in dataclasses.fields(config)])
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            value = text
        hint = types_of[name]
        alternatives = typing.get_args(hint) if typing.get_origin(hint) is not tuple else (hint,)
        options = [typing.get_origin(option) or option for option in alternatives or (hint,)]
        if float in options and type(value) is int:
            value = float(value)
        if type(value) not in options and value not in options:  # a choice is an option itself
            wanted = " or ".join(getattr(option, "__name__", repr(option)) for option in options)
            raise ValueError(f"setting {name!r} takes {wanted}, got {text!r}.")
        changes[name] = value
    return dataclasses.replace(config, **changes)


def _plainly(settings: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value:.3g}" for name, value in settings.items()) or "the preset's"


def _check_file(path: Path | None, force: bool) -> None:
    """Before any work: that the file may be written, and that there is a place for it."""
    if path is None:
        return
    if path.exists() and not force:
        raise FileExistsError(f"{path} exists; choose another --out, or pass --force to overwrite it.")
    path.parent.mkdir(parents=True, exist_ok=True)


def _describe(name: str, artifact) -> list:
    if hasattr(artifact, "preset"):
        how = f"GRU-{artifact.optimizer.num_units}, preset {artifact.preset}, seed {artifact.seed}"
        return [name, artifact.task, how, artifact.metrics["best_validation"]]
    return [name, artifact.task, _setting(artifact), artifact.score]


def _setting(tuned) -> str:
    return ", ".join(f"{name}={value:.4g}" for name, value in tuned.hyperparameters.items())
