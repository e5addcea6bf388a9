"""Entry point of `optoscope`. Only the parser is loaded before a command is known, so that help comes at once."""

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import tyro

from optoscope.cli.ablate import Ablate
from optoscope.cli.calibrate import Calibrate
from optoscope.cli.claims import Claims
from optoscope.cli.commands import Evaluate, Figure, List, Reproduce, Search, States, Train, Tune
from optoscope.cli.costs import Costs
from optoscope.cli.diagnose import Diagnose
from optoscope.cli.distill import Distill
from optoscope.cli.gallery import Gallery
from optoscope.cli.generalize import Generalize
from optoscope.cli.signals import farewell, say_how_to_go_on
from optoscope.cli.stability import Stability

_DESCRIPTION = """Open up optimizers: meta-train learned ones, tune baselines, and take any of them apart.

Examples:

  optoscope list

  optoscope evaluate linear_regression

  optoscope reproduce --out reproduction

`optoscope COMMAND --help` explains a command."""


def _command(kind: type) -> object:
    return Annotated[kind, tyro.conf.subcommand(kind.__name__.lower())]


_COMMANDS = tuple(
    _command(kind)
    for kind in (
        List,
        Train,
        Search,
        Tune,
        Evaluate,
        Costs,
        States,
        Figure,
        Reproduce,
        Diagnose,
        Calibrate,
        Gallery,
        Claims,
        Ablate,
        Stability,
        Generalize,
        Distill,
    )
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code.

    0: done; 1: some part failed; 2: the call was wrong, with one paragraph on standard error; 130 or 143: stopped by
    Ctrl-C or SIGTERM.
    """
    command = tyro.cli(
        tyro.conf.configure(tyro.conf.OmitSubcommandPrefixes)(_union(_COMMANDS)),
        prog="optoscope",
        description=_DESCRIPTION,
        args=arguments,
    )
    say_how_to_go_on("; the same command with --resume goes on" if hasattr(command, "resume") else "")
    try:
        return command.run()
    except KeyboardInterrupt as stop:
        return farewell(stop)
    except (ValueError, TypeError, OSError, AttributeError, ImportError) as error:
        if os.environ.get("OPTOSCOPE_TRACEBACK"):
            raise
        print(f"optoscope: {error}", file=sys.stderr)  # noqa: T201
        return 2


def _union(kinds: tuple):
    union = kinds[0]
    for kind in kinds[1:]:
        union = union | kind
    return union


if __name__ == "__main__":
    from optoscope.__main__ import main as main_of_process

    sys.exit(main_of_process())
