"""What recording costs: time of a step with and without it, and what it takes of memory and disk.

    python -m benchmarks.recording [--rounds N] [--long-steps N] [--models NAME ...]

Blocks of steps with and without a recorder alternate, so that a machine that is busy otherwise is busy for both.
Seconds are those of the processor, of the fastest tenth of the steps, which other work disturbs least.
"""

import argparse
import importlib.util
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optoscope
from benchmarks._report import RESULTS, numbers_of, record
from optoscope._core.markdown import table
from optoscope.recordings import read_recording

EXAMPLE = Path(__file__).parent.parent / "examples" / "character_transformer.py"


def example_model() -> tuple[Any, Any]:
    """The example's transformer, and tokens for it."""
    import torch

    spec = importlib.util.spec_from_file_location("character_transformer", EXAMPLE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Transformer(100), torch.randint(100, (16, 64))


def dense_model(width: int, depth: int, batch: int) -> tuple[Any, Any]:
    """Dense layers of one width, and inputs for them."""
    import torch
    from torch import nn

    layers = [layer for _ in range(depth) for layer in (nn.Linear(width, width), nn.Tanh())]
    return nn.Sequential(*layers), torch.randn(batch, width)


MODELS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "character transformer": example_model,
    "4 dense layers of 512, batches of 256": lambda: dense_model(512, 4, 256),
    "12 dense layers of 2048, batches of 16": lambda: dense_model(2048, 12, 16),
}


def compare(name: str, rounds: int, block: int = 4) -> dict[str, float | str]:
    """Return seconds of a step without and with recording, and what a recorded step leaves on disk."""
    import torch
    from torch import nn

    model, inputs = MODELS[name]()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def step() -> float:
        start = time.process_time()
        optimizer.zero_grad()
        model(inputs).square().mean().backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return time.process_time() - start

    step()
    directory = Path(tempfile.mkdtemp())
    plain, recorded, looking, memory = [], [], [], 0
    for _ in range(rounds):
        step()
        plain += [step() for _ in range(block)]
        with optoscope.record(optimizer, directory, model=model) as recorder:
            looking.append(sum(step() for _ in range(2)))  # looks for schedulers
            recorded += [step() for _ in range(block)]
            memory = recorder.memory
    size = sum(path.stat().st_size for path in directory.iterdir())
    shutil.rmtree(directory)
    a, b = (statistics.quantiles(times, n=10)[0] for times in (plain, recorded))
    return {
        "model": name,
        "parameters": sum(x.numel() for x in model.parameters()),
        "plain": a,
        "recorded": b,
        "once": max(statistics.median(looking) - 2 * b, 0.0),
        "memory": memory,
        "disk": size / ((block + 2) * rounds),
    }


def long_run(num_steps: int, megabytes: float = 4.0) -> dict[str, float]:
    """Return the largest size on disk, and how memory grows, over many steps of a small model under a small bound."""
    import torch

    model, directory = torch.nn.Linear(8, 1), Path(tempfile.mkdtemp())
    optimizer, inputs = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9), torch.randn(4, 8)
    peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    largest, after_tenth = 0, 0
    with optoscope.record(optimizer, directory, model=model, megabytes=megabytes):
        for step in range(num_steps):
            optimizer.zero_grad()
            model(inputs).square().mean().backward()
            optimizer.step()
            if step % 100 == 0:
                largest = max(largest, sum(path.stat().st_size for path in directory.iterdir()))
            if step == num_steps // 10:
                after_tenth = peak()
        memory = peak() - after_tenth
    found = read_recording(directory)
    shutil.rmtree(directory)
    return {
        "steps": num_steps,
        "bound": megabytes * 1e6,
        "largest": largest,
        "memory growth": memory,
        "known": len(found.steps),
        "with components": len(found.kept_steps),
        "last": int(found.steps[-1]),
    }


def recording_table() -> str:
    """Return what the last measurement showed, in Markdown."""
    found = numbers_of("recording")
    columns = ["model", "parameters", "a step", "recorded", "overhead", "once", "memory", "disk per 1000 steps"]
    cells = [
        [
            one["model"],
            f"{one['parameters']:,}",
            f"{1e3 * one['plain']:.0f} ms",
            f"{1e3 * one['recorded']:.0f} ms",
            f"{one['recorded'] / one['plain'] - 1:+.1%}",
            f"{one['once']:.2f} s",
            f"{one['memory'] / 1e6:.1f} MB",
            f"{one['disk'] / 1e3:.1f} MB",
        ]
        for one in found["models"]
    ]
    long = found["long run"]
    says = (
        f"{long['steps']:,} steps under a bound of {long['bound'] / 1e6:.0f} MB took at most "
        f"{long['largest'] / 1e6:.2f} MB on disk, and memory grew by {long['memory growth'] / 1e6:.1f} MB after the "
        f"first tenth; losses and norms of {long['known']:,} steps are left, with components of "
        f"{long['with components']:,}."
    )
    return f"{table(columns, cells)}\n\n{says}"


def main(arguments: list[str] | None = None) -> None:
    """Measure, and keep what was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--long-steps", type=int, default=100_000, help="0: not measured again")
    parser.add_argument("--models", nargs="*", default=list(MODELS), help="others are kept as they were measured")
    options = parser.parse_args(arguments)
    importlib.import_module("torch").set_num_threads(1)
    numbers: dict[str, Any] = numbers_of("recording") if (RESULTS / "recording.json").exists() else {"models": []}
    if options.long_steps:  # first, while nothing else has taken memory
        numbers["long run"] = long_run(options.long_steps)
        print(numbers["long run"], flush=True)
    measured = {one["model"]: one for one in numbers["models"]}
    for name in options.models:
        measured[name] = compare(name, options.rounds)
        print(measured[name], flush=True)
    record("recording", {**numbers, "models": [measured[name] for name in MODELS if name in measured]})


if __name__ == "__main__":
    main()
