"""Part 3: hostile command lines. Refused with one clear paragraph, or right; nothing left behind, nothing executed.

Commands and their options are read from the help, so that none is forgotten.
"""

import contextlib
import io
import os
import random
import re
import shlex
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tests.campaign import children, trees
from tests.campaign.hostile import KINDS, ZERO_MEANS_NONE, Value
from tests.campaign.judge import complaint
from tests.campaign.ledger import Case, Ledger
from tests.campaign.workloads import TINY, command

_SET = " ".join(f"{name}={value}" for name, value in TINY.items())
#: Sound arguments of every command, on tiny sizes.
BASES = {
    "list": "",
    "train": f"linear_regression --out new --set {_SET}",
    "search": f"linear_regression --out new --num-samples 2 --set {_SET}",
    "tune": "rosenbrock gradient_descent --out new --num-samples 20",
    "evaluate": "rosenbrock optax:sgd(1e-4) --num-problems 2 --num-steps 5 --out new.npz",
    "costs": "rosenbrock optax:sgd(1e-4) --out new --num-problems 2 --num-steps 5",
    "states": "rosenbrock/momentum --task rosenbrock --out new.npz --num-problems 2 --num-steps 5",
    "figure": "3 --out new",
    "reproduce": "rosenbrock --out new",
    "explore": "optax:sgd(0.1) --out new.html --num-steps 40",
    "compare": "optax:sgd(0.1) optax:sgd(0.2) --out new --num-steps 20",
    "structure": "optax:sgd(0.1) --out new",
    "diagnose": "optax:sgd(0.1) --out new --num-steps 40",
    "calibrate": "--out new --num-steps 40",
    "gallery": "optax --out new --name sgd",
    "claims": "rosenbrock --out new",
    "ablate": "rosenbrock/momentum --task rosenbrock --out new --num-problems 2 --num-steps 20 --mechanisms momentum "
    "--num-controls 0",
    "stability": "rosenbrock/momentum --out new --num-steps 20",
    "generalize": "rosenbrock/momentum --tasks rosenbrock --scales 1 --horizons 20 --num-problems 2 --out new",
    "examine": "recorded --out new",
    "watch": "recorded --once",
    "distill": "rosenbrock --task rosenbrock --effort 0.01 --num-test 8 --num-steps 20 --out new",
}
#: Exit code of what writes to a pipe that nobody reads, as a shell gives it.
PIPE_CLOSED = 141
#: Standard output that takes nothing, and the exit codes that are right.
STREAMS = {
    "list, to a full disk": ("> /dev/full", (2,)),
    "list, standard output closed": (">&-", (0, 2)),
    "list, standard error closed": ("2>&-", (0,)),
    "list, both closed": (">&- 2>&-", (0, 2)),
    "list, nobody reads": ("| true", (0, PIPE_CLOSED)),
    "list as JSON, nobody reads": ("--json | true", (0, PIPE_CLOSED)),
}
#: Commands that take minutes, whatever their sizes: of these only what has to be refused is tried.
SLOW = ("figure", "reproduce", "calibrate", "claims", "distill")
#: Files that commands write last, and do not overwrite.
_SUMMARIES = (
    "claims",
    "comparison",
    "diagnosis",
    "generalization",
    "stability",
    "structure",
    "wall_clock",
)
#: Commands whose --out is a file.
_TO_A_FILE = ("evaluate", "states")
#: The most memory that a hostile command line may take.
MEMORY = 4_000_000_000
_HELP_WIDTH = {"COLUMNS": "240"}


class Option(NamedTuple):
    """One argument of a command: its name (of a positional one its placeholder), and what kind of value it takes."""

    command: str
    name: str
    kind: str


class CommandLine(NamedTuple):
    """A hostile command line: what is hostile about it, and whether it has to be refused."""

    arguments: tuple[str, ...]
    hostile: str
    must_refuse: bool


def options() -> list[Option]:
    """Read every argument of every command from the help.

    Raises:
        LookupError: for a command or a placeholder that this campaign does not know yet.
    """
    found = []
    for page in children.run(_print_help, environment=_HELP_WIDTH).out.split("\f")[1:]:
        name, _, text = page.partition("\n")
        if name not in BASES:
            raise LookupError(f"the campaign knows no sound arguments for the command {name}")
        for match in re.finditer(
            r"^(?:│| ) (\[?[A-Z]+(?: \.\.\.\])?|--[a-z-]+)((?:, --no-[a-z-]+)?)(?: (\S+(?: \[\S+ \.\.\.\]\])?))?  ",
            text,
            re.M,
        ):
            option, negative, placeholder = match.groups()
            if option != "--help":
                found.append(Option(name, option, _kind(name, option, negative, placeholder or "")))
    return found


def _print_help() -> None:
    """Print the help of every command, each after a form feed and its name."""
    from optoscope.cli.main import main

    page = io.StringIO()
    with contextlib.redirect_stdout(page), contextlib.suppress(SystemExit):
        main(["--help"])
    names = re.search(r"\{([a-z_,-]+)\}", page.getvalue())
    for name in names[1].split(",") if names else ():
        sys.stdout.write(f"\f{name}\n")
        with contextlib.suppress(SystemExit):
            main([name, "--help"])


def _kind(command: str, option: str, negative: str, placeholder: str) -> str:
    if negative:
        return "a switch"
    if option == "--out" and command in _TO_A_FILE:
        return "a file"
    if option == "--mnist-dir":
        return "--source"
    if option in KINDS:
        return option
    kind = ("INT or None" if "None" in placeholder else "INT") if "INT" in placeholder else placeholder
    if kind not in KINDS:
        raise LookupError(f"the campaign knows no hostile values for {command} {option} {placeholder}")
    return kind


def all_command_lines(known: list[Option]) -> list[CommandLine]:
    """Every command with every argument replaced by every hostile value of its kind."""
    found = []
    for option in known:
        values = list(KINDS[option.kind])
        if option.kind.startswith("INT"):
            values.append(Value(("0",), option.name not in ZERO_MEANS_NONE))
        for value in values:
            if value.must_refuse or option.command not in SLOW:
                made = _command_line(option, value)
                if made is not None:
                    found.append(made)
    return found


def chosen(lines: list[CommandLine], num: int, seed: int) -> list[CommandLine]:
    """Choose command lines evenly: every argument, and every value, before any twice."""
    rng, left, picked, seen = random.Random(seed), list(lines), [], set()
    rng.shuffle(left)
    for line in left:
        option, value = line.hostile.split(" = ", 1)
        if not {option, value} <= seen:
            picked.append(line)
            seen |= {option, value}
    rng.shuffle(picked)
    rest = [line for line in left if line not in set(picked)]
    return [*picked, *rest][:num]


def _command_line(option: Option, value: Value) -> CommandLine | None:
    positional, options = _base(option.command)
    if option.kind == "a switch":
        options[option.name] = value.words
    elif option.name.startswith("--"):
        added = options.get(option.name, ()) if option.name == "--set" else ()
        if option.name == "--mnist-dir":
            data = _with_mnist(positional, options)
            if data is None:
                return None
            positional, options = data
        names = {word.partition("=")[0] for word in value.words}
        options[option.name] = (*(one for one in added if one.partition("=")[0] not in names), *value.words)
    else:
        at = 1 if option.name in ("RULE", "[OPTIMIZER ...]") and len(positional) > 1 else 0
        positional[at:] = [*value.words, *(positional[at + 1 :] if option.name in ("TASK", "OPTIMIZER") else [])]
    arguments = [option.command, *positional]
    for name, words in options.items():
        arguments += [name, *words]
    shown = " ".join(word if len(word) < 60 else f"{word[:20]}... ({len(word)} characters)" for word in value.words)
    return CommandLine(tuple(arguments), f"{option.command} {option.name} = {shown!r}", value.must_refuse)


def _base(command: str) -> tuple[list[str], dict[str, tuple[str, ...]]]:
    """The sound arguments of a command: positional ones, and the words of each option."""
    positional, *rest = f" {BASES[command]}".split(" --")
    return positional.split(), {f"--{one.split()[0]}": tuple(one.split()[1:]) for one in rest}


def _with_mnist(positional: list[str], options: dict) -> tuple[list[str], dict] | None:
    """The same command on the task whose data may be missing; None if it works on no task."""
    for name in ("--task", "--tasks"):
        if name in options:
            return positional, {**options, name: ("mnist",)}
    if positional[:1] not in (["rosenbrock"], ["linear_regression"]):
        return None
    return ["mnist", *positional[1:]], options


def lay_out(place: Path) -> None:
    """Make a directory with things in the way."""
    shutil.rmtree(place, ignore_errors=True)
    for name in ("directory", "directory.npz", "keep", "readonly", "run"):
        (place / name).mkdir(parents=True)
    (place / "file").write_text("not empty\n")
    for name in ("inside.json", "inside.npz"):
        (place / "keep" / name).write_text("{}")
    for name, text in (("run.json", '{"task": "another"}\n'), ("log.jsonl", '{"step": 1}\n')):
        (place / "run" / name).write_text(text)
    for name in ("ablation.npz", "distilled.npz", "figure_3.png", *(f"{one}.json" for one in _SUMMARIES)):
        (place / "run" / name).write_text("{}")
    if (recording := place.parent.parent / "recorded").exists():
        shutil.copytree(recording, place / "recorded")
    (place / "loop").symlink_to("loop")
    (place / "readonly").chmod(0o555)


def record_a_run(place: Path) -> None:
    """Write the recording of a short run, which every directory then holds."""
    import jax.numpy as jnp
    import optax

    import optoscope

    transformation, params = optoscope.recorded(optax.sgd(0.1, momentum=0.9), components=8), jnp.ones(8)
    state = transformation.init(params)
    for _ in range(6):
        updates, state = transformation.update(params, state, params)
        params = params + updates
    optoscope.write_recording(optoscope.recording(state), place)


def judge(line: CommandLine, place: Path, *, as_a_process: bool = False) -> tuple[str, str]:
    """Type a command line in a fresh directory; returns how it ended, and what is wrong."""
    lay_out(place)
    before = trees.snapshot(place)
    environment = {"OPTOSCOPE_MNIST": None, "OPTOSCOPE_TRACEBACK": None, "HOME": str(place.parent / "home")}
    (place.parent / "home").mkdir(exist_ok=True)
    if as_a_process:
        ended = _as_a_process(line, place, environment)
    else:
        ended = children.run(command, list(line.arguments), cwd=place, environment=environment)
    after = trees.snapshot(place)
    said = trees.changes(before, after)
    if any("canary" in one or one.startswith(("keep", "file ")) for one in said):
        return "executed", f"was executed: {'; '.join(said)}"
    wrong = complaint(ended.code, ended.out, ended.err, allowed=(2,) if line.must_refuse else (0, 1, 2))
    if ended.code is None and not line.must_refuse and line.arguments[0] in SLOW:
        return "still computing", ""
    if wrong:
        left = f"; leaves {', '.join(said)}" if said and ended.code != 0 else ""
        return "ended badly", wrong + left
    if ended.peak > MEMORY:
        return "ended badly", f"took {ended.peak / 1e9:.1f} GB"
    if ended.code == 2 and said:
        return "ended badly", f"refused, but left behind: {', '.join(said)}"
    if ended.code == 2:
        return "refused by the parser" if "helptext" in ended.err else "refused with a paragraph", ""
    return "its runs led to nothing, and it says so" if ended.code == 1 else "right", ""


def campaign(ledger: Ledger, folder: Path, *, seed: int, num: int = 500, num_workers: int = 2) -> None:
    """Type command lines that the ledger does not hold yet; every tenth in a process of its own."""
    lines = chosen(all_command_lines(options()), num - len(STREAMS), seed)
    of = len(lines) + len(STREAMS)
    if not (folder / "recorded").exists():
        made = children.run(record_a_run, folder / "recorded")
        if made.code:
            raise RuntimeError(f"no run could be recorded: {made.err}")

    def one(number_and_line):
        number, line = number_and_line
        if line.hostile in ledger.cases:
            return
        place = folder / f"line_{number:04d}" / "here"
        outcome, fault = judge(line, place, as_a_process=number % 10 == 0)
        (place / "readonly").chmod(0o755)
        shutil.rmtree(place.parent)
        ledger.add(Case("command lines", line.arguments[0], line.hostile, outcome, fault), of)

    with ThreadPoolExecutor(num_workers) as pool:
        list(pool.map(one, enumerate(lines)))
    for name in STREAMS:
        if name not in ledger.cases:
            ledger.add(Case("command lines", "streams", name, *judge_stream(name)), of)


def judge_stream(name: str) -> tuple[str, str]:
    """List what there is to a standard output that takes nothing; returns how that ended, and what is wrong."""
    redirection, allowed = STREAMS[name]
    words = f"{shlex.quote(sys.executable)} -m optoscope list {redirection}"
    shell = ["bash", "-c", f"set -o pipefail; {words}"]
    try:
        done = subprocess.run(shell, capture_output=True, text=True, timeout=children.PATIENCE)
    except subprocess.TimeoutExpired:
        return "hangs", "hangs"
    # What cannot be said need not be: only a bug is wrong where standard error is closed too.
    silent = done.returncode in (PIPE_CLOSED, 2) and not done.stderr
    wrong = "" if silent else complaint(done.returncode, done.stdout, done.stderr, allowed=allowed)
    return f"exit code {done.returncode}", wrong


def _as_a_process(line: CommandLine, place: Path, environment: dict) -> children.Ended:
    kept = {name: value for name, value in {**os.environ, **environment}.items() if value is not None}
    arguments = [sys.executable, "-m", "optoscope", *line.arguments]
    try:
        done = subprocess.run(
            arguments,
            cwd=place,
            env=kept,
            capture_output=True,
            timeout=children.PATIENCE,
            preexec_fn=children.obey_permissions,
        )
    except subprocess.TimeoutExpired:
        return children.Ended(None, "", "", children.PATIENCE, 0)
    decode = lambda text: text.decode(errors="backslashreplace")
    return children.Ended(done.returncode, decode(done.stdout), decode(done.stderr), 0.0, 0)
