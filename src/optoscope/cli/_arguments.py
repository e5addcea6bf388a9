"""Arguments that several commands share: what each may be, and how help shows it."""

from pathlib import Path
from typing import Annotated, Literal

import tyro

from optoscope._core.allowed import NAMES, SEED, Allowed

_argument = tyro.conf.arg
_first = tyro.conf.Positional

Task = Annotated[str, _first, _argument(metavar="TASK", help="Name of a task; `optoscope list` shows them.")]
Tasks = Annotated[tuple[str, ...], NAMES, _first, _argument(metavar="[TASK ...]")]
TaskOption = Annotated[str, _argument(metavar="TASK", help="Name of a task.")]
Rule = Annotated[str, _first, _argument(metavar="RULE")]
Number = Annotated[str, _first, _argument(metavar="NUMBER")]
Optimizer = Annotated[
    str, _first, _argument(metavar="OPTIMIZER", help="A shipped name, a path, or module:name(literals).")
]
Optimizers = Annotated[tuple[str, ...], NAMES, _first, _argument(metavar="[OPTIMIZER ...]")]
Names = Annotated[tuple[str, ...], NAMES, _argument(metavar="NAME")]
Settings = Annotated[
    tuple[str, ...],
    _argument(
        metavar="NAME=VALUE", help="Settings that differ from the preset, such as num_units=64 num_meta_steps=2000."
    ),
]
NumProblems = Annotated[int, Allowed(1, 1_000_000, advice="the paper uses 64")]
SeveralProblems = Annotated[int, Allowed(2, 1_000_000, advice="the paper uses 64")]
NumSteps = Annotated[int, Allowed(1, 1_000_000, advice="the paper uses 200"), _argument(help="Updates per run.")]
Place = Annotated[
    Literal["local", "processes"], _argument(help="Where the parts run: in this process, or in processes of their own.")
]
NumProcesses = Annotated[
    int | None,
    Allowed(1, 1024),
    _argument(help="Processes at once, with --on processes; as many as cores if not given."),
]
Seed = Annotated[int, SEED]
Json = Annotated[bool, _argument(help="Print JSON instead of tables.")]
Resume = Annotated[bool, _argument(help="Go on with what --out holds.")]
Force = Annotated[bool, _argument(help="Overwrite what --out holds.")]
MnistDir = Annotated[
    Path | None,
    _argument(
        help="Where the four MNIST files are; without it $OPTOSCOPE_MNIST, then the cache, then a download.",
    ),
]
Trust = Annotated[
    bool,
    _argument(
        help="Call what module:name(literals) names even where nothing says that it is an optimizer: your code runs."
    ),
]
