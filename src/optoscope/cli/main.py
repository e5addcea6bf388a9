"""Entry point of `optoscope`. Only the parser is loaded before a command is known, so that help comes at once."""

import functools
import operator
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import tyro

from optoscope.cli._failures import PIPE_CLOSED, check_call, explain, silence_output
from optoscope.cli.ablate import Ablate
from optoscope.cli.calibrate import Calibrate
from optoscope.cli.claims import Claims
from optoscope.cli.compare import Compare
from optoscope.cli.costs import Costs
from optoscope.cli.diagnose import Diagnose
from optoscope.cli.distill import Distill
from optoscope.cli.evaluate import Evaluate
from optoscope.cli.examine import Examine
from optoscope.cli.explore import Explore
from optoscope.cli.figure import Figure
from optoscope.cli.gallery import Gallery
from optoscope.cli.generalize import Generalize
from optoscope.cli.list import List
from optoscope.cli.reproduce import Reproduce
from optoscope.cli.search import Search
from optoscope.cli.signals import farewell, say_how_to_go_on
from optoscope.cli.stability import Stability
from optoscope.cli.states import States
from optoscope.cli.structure import Structure
from optoscope.cli.train import Train
from optoscope.cli.tune import Tune
from optoscope.cli.watch import Watch

_DESCRIPTION = """Open up optimizers: meta-train learned ones, tune baselines, and take any of them apart.

Examples:

  optoscope list

  optoscope evaluate linear_regression

  optoscope reproduce --out reproduction

`optoscope COMMAND --help` explains a command. Exit codes: 0 done; 1 a part failed; 2 the call was wrong; 70 a bug in
optoscope; 130 stopped by Ctrl-C; 141 nobody reads the output any more."""

#: Every command, in the order in which help lists them.
COMMANDS = (
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
    Explore,
    Compare,
    Structure,
    Calibrate,
    Gallery,
    Claims,
    Ablate,
    Stability,
    Generalize,
    Distill,
    Examine,
    Watch,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code.

    0: done. 1: some part failed, or memory ran out. 2: the call was wrong, or a file cannot be read or written, with
    one paragraph on standard error. 70: a bug in optoscope, with its traceback. 130 or 143: stopped by Ctrl-C or
    SIGTERM. 141: nobody reads standard output any more. With OPTOSCOPE_TRACEBACK set, every error is raised as it is.
    """
    if sys.stderr is None:  # closed: what would be said there is said to nobody
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    try:
        try:
            check_call(sys.argv[1:] if arguments is None else arguments)
            command = _parsed(arguments)
            say_how_to_go_on(command.goes_on)
            return command.run()
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()  # what cannot be written is known here, not when Python ends
    except KeyboardInterrupt as stop:
        return farewell(stop)
    except BrokenPipeError:
        silence_output()
        return PIPE_CLOSED
    except Exception as error:
        if os.environ.get("OPTOSCOPE_TRACEBACK"):
            raise
        code, sentence = explain(error)
        _say(sentence)
        return code


def _parsed(arguments: Sequence[str] | None):
    kinds: list[Any] = [Annotated[kind, tyro.conf.subcommand(kind.__name__.lower())] for kind in COMMANDS]
    return tyro.cli(
        tyro.conf.OmitSubcommandPrefixes[functools.reduce(operator.or_, kinds)],
        prog="optoscope",
        description=_DESCRIPTION,
        args=arguments,
    )


def _say(sentence: str) -> None:
    print(f"optoscope: {sentence}", file=sys.stderr)  # noqa: T201
