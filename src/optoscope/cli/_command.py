"""What all commands have in common: arguments are checked first, then it computes, saves and shows."""

import abc
import contextlib
import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, ClassVar

import tyro

from optoscope._core.allowed import check_settings, describe
from optoscope._core.locks import held
from optoscope.cli._arguments import Json, MnistDir, Trust
from optoscope.cli.output import Output, Reporter, make_reporter


class Command(abc.ABC):
    """One command: a frozen dataclass whose fields are its arguments and whose docstrings are its help.

    Every command takes --json, and those that run tasks --mnist-dir; the rest each declares for itself. `run` does four
    things in this order, and nothing is written before the third unless `prepare` let it:

    1. `prepare` checks everything that can be known at once, and returns what it made of the arguments.
    2. `compute` computes.
    3. `save` writes, and returns the paths.
    4. `show` prints.
    """

    json: Json = False

    def __init_subclass__(cls, **settings: Any):
        super().__init_subclass__(**settings)
        own = cls.__annotations__
        for base in cls.__mro__[1:]:
            if issubclass(base, Command):  # what is shared comes last in the help
                own.update({name: hint for name, hint in base.__annotations__.items() if name not in own})
        for name, hint in own.items():
            if words := describe(hint):
                own[name] = Annotated[hint, tyro.conf.arg(help_behavior_hint=_hint(words))]

    def run(self) -> int:
        """Check, compute, save and show; returns the exit code."""
        check_settings(self, call=self.shown)
        self.set_up()
        prepared = self.prepare()
        gc.freeze()  # what was imported stays
        gc.enable()
        place: Path | None = getattr(self, "out", None)
        with contextlib.nullcontext() if place is None else held(place, is_file=place.suffix in (".npz", ".html")):
            with make_reporter(self.title) as report:
                result = self.compute(prepared, report)
            failure = self.failure(result)
            written = [] if failure else self.save(result)
        out = Output(json=self.json)
        self.show(result, out)
        if written:
            out.text(f"wrote {', '.join(str(path) for path in written)}")
        code = out.finish()
        if failure:
            print(f"optoscope: {failure}", file=sys.stderr)  # noqa: T201
        return 1 if failure else code

    @classmethod
    def shown(cls, name: str) -> str:
        """What help calls an argument."""
        is_positional = tyro.conf.Positional in getattr(cls.__annotations__[name], "__metadata__", ())
        return name.upper() if is_positional else f"--{name.replace('_', '-')}"

    @property
    def title(self) -> str:
        """What progress is the progress of."""
        return type(self).__name__.lower()

    @property
    def goes_on(self) -> str:
        """What is said after "stopped": how to go on."""
        return "; the same command with --resume goes on" if hasattr(self, "resume") else ""

    def set_up(self) -> None:  # noqa: B027
        """Set up the process, before JAX starts."""

    @abc.abstractmethod
    def prepare(self) -> Any:
        """Check whatever can be checked before any work, without writing, and return what `compute` needs."""

    @abc.abstractmethod
    def compute(self, prepared: Any, report: Reporter) -> Any:
        """Compute the result."""

    def failure(self, result: Any) -> str | None:
        """Return why the result is of no use, if so; then nothing is saved, and the exit code is 1."""
        del result
        return None

    def save(self, result: Any) -> list[Path]:
        """Write the result where it was asked for; returns the paths."""
        del result
        return []

    def show(self, result: Any, out: Output) -> None:
        """Print the result."""
        out.result(result)


def _hint(words: str) -> Callable[[str], str]:
    """What follows the help of an argument: its default, and what it may be."""
    return lambda default: f"({words})" if default in ("", "None") else f"(default: {default}; {words})"


class Computes(Command):
    """A command that computes."""

    def set_up(self) -> None:
        """Use all cores, or as many devices as the run had that goes on."""
        from optoscope.cli.devices import use_all_cores
        from optoscope.running.run_log import recorded

        out = getattr(self, "out", None)
        use_all_cores(recorded(out, "num_devices") if out is not None and getattr(self, "resume", False) else None)


class RunsTasks(Computes):
    """A command that runs tasks."""

    mnist_dir: MnistDir = None

    def set_up(self) -> None:
        """Remember where MNIST is, too."""
        super().set_up()
        if self.mnist_dir is not None:
            if not (self.mnist_dir.is_dir() and os.access(self.mnist_dir, os.R_OK | os.X_OK)):
                raise ValueError(f"--mnist-dir {self.mnist_dir} is not a directory that can be read.")
            os.environ["OPTOSCOPE_MNIST"] = str(self.mnist_dir)


class TakesOptimizers(Computes):
    """A command that is given optimizers."""

    #: Whether it runs for so long that compiling is little of its work.
    is_long: ClassVar[bool] = False
    trust: Trust = False

    def set_up(self) -> None:
        """Keep what is compiled, unless that is little of the work."""
        from optoscope.cli.compilations import keep_compilations

        super().set_up()
        if not self.is_long:
            keep_compilations()

    def read_optimizer(self, text: str) -> Any:
        """Return the optimizer that an argument names."""
        from optoscope import as_optimizer

        return as_optimizer(text, trust=self.trust)

    def read_rule(self, text: str) -> Any:
        """Return the rule of one component that an argument names."""
        from optoscope import as_rule

        return as_rule(text, trust=self.trust)
