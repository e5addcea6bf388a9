"""Long runs at tiny sizes: what is killed, and what is started twice."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.campaign.faults import Fault, plant

#: Settings of meta-training with which a run takes seconds.
TINY = {
    "num_meta_steps": 4,
    "num_units": 4,
    "num_steps": 8,
    "batch_size": 2,
    "num_validation_problems": 4,
    "validate_every": 2,
    "num_snapshots": 3,
    "segment_length": None,
}
_SET = ("--set", *(f"{name}={value}" for name, value in TINY.items()))


class Workload(NamedTuple):
    """Something that works on a directory: a command, or a call of the library.

    Attributes:
        command: its arguments without `--out`; empty for a call.
        resume: what is added to go on.
        out: what `--out` is inside of the directory.
        call: takes the directory and whether to go on; returns an exit code.
        rerecords: whether its log is an account of what it did, of which the end may be made again.
    """

    command: tuple[str, ...]
    resume: tuple[str, ...] = ("--resume",)
    out: str = ""
    call: Callable[[Path, bool], int] | None = None
    rerecords: bool = False

    def arguments(self, folder: Path, *, resume: bool = False) -> list[str]:
        """The whole command line."""
        return [*self.command, "--out", str(folder / self.out), *(self.resume if resume else ())]


def perform(workload: Workload, folder: Path, resume: bool, trace: Path | None, fault: Fault | None) -> int:
    """Run a workload in this process, watched, with a fault if there is one; returns the exit code."""
    if trace is not None:
        plant(folder, trace, fault)
    if workload.call is not None:
        return workload.call(folder, resume)
    return command(workload.arguments(folder, resume=resume))


def command(arguments: Sequence[str]) -> int:
    """Run a command line in this process, as the installed script would."""
    from optoscope.__main__ import main

    sys.argv = ["optoscope", *arguments]
    return main()


def train_and_save_at_every_step(folder: Path, resume: bool) -> int:
    """The library's own call, as a script would make it; prints each meta-step, and the rest as the command does."""
    import jax

    from optoscope import tasks
    from optoscope.training import MetaTrainConfig, meta_train

    try:
        trained = meta_train(
            tasks.get("linear_regression"),
            config=MetaTrainConfig(**TINY),
            key=jax.random.key(0),
            directory=folder,
            resume=resume,
            seed=0,
            report=lambda progress: (sys.stdout.write(f"meta-step {progress.step}\n"), sys.stdout.flush())[0],
            checkpoint_seconds=0.0,
        )
        trained.save(folder / "linear_regression")
    except KeyboardInterrupt as stop:
        sys.stderr.write(f"optoscope: {stop}.\n")
        return 130
    except (ValueError, OSError) as error:
        sys.stderr.write(f"optoscope: {error}\n")
        return 2
    return 0


#: Runs that go on where they stopped.
RUNS: dict[str, Workload] = {
    "train": Workload(("train", "linear_regression", *_SET), rerecords=True),
    "train, saved at every meta-step": Workload((), call=train_and_save_at_every_step, rerecords=True),
    "tune": Workload(("tune", "rosenbrock", "gradient_descent", "--num-samples", "30")),
    "search": Workload(("search", "linear_regression", "--num-samples", "2", *_SET)),
    "generalize": Workload(
        ("generalize", "rosenbrock/momentum", "--tasks", "rosenbrock", "--scales", "0.1", "1",
         "--horizons", "20", "--num-problems", "2"),
        ("--force",),
    ),
    "ablate": Workload(
        ("ablate", "linear_regression/momentum", "--task", "linear_regression", "--num-problems", "2",
         "--num-steps", "20", "--mechanisms", "momentum", "--num-controls", "0")
    ),
}  # fmt: skip

#: Everything else that writes into --out and takes seconds.
OTHERS: dict[str, Workload] = {
    "diagnose": Workload(("diagnose", "optax:sgd(0.1)", "--num-steps", "40"), ()),
    "stability": Workload(("stability", "linear_regression/momentum", "--num-steps", "20"), ()),
    "costs": Workload(("costs", "rosenbrock", "optax:sgd(1e-4)", "--num-problems", "2", "--num-steps", "5"), ()),
    "evaluate": Workload(
        ("evaluate", "rosenbrock", "optax:sgd(1e-4)", "--num-problems", "2", "--num-steps", "5"), (), "one.npz"
    ),
    "states": Workload(
        ("states", "rosenbrock/momentum", "--task", "rosenbrock", "--num-problems", "2", "--num-steps", "5"),
        (),
        "one.npz",
    ),
    "gallery": Workload(("gallery", "optax", "--name", "sgd"), ()),
    "explore": Workload(("explore", "optax:sgd(0.1)", "--num-steps", "40"), (), "one.html"),
    "compare": Workload(("compare", "optax:sgd(0.1)", "optax:sgd(0.2)", "--num-steps", "20"), ()),
    "structure": Workload(("structure", "optax:sgd(0.1)"), ()),
}
WORKLOADS = RUNS | OTHERS
