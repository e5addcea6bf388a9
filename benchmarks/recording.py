"""What recording costs: time of a step with and without it, and what it leaves on disk.

    python -m benchmarks.recording [--steps N] [--large]

Steps with and without a recorder alternate, so that a machine that is busy with other things is busy for both.
"""

import argparse
import importlib.util
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import torch
from torch import nn

import optoscope

EXAMPLE = Path(__file__).parent.parent / "examples" / "character_transformer.py"


def example_model() -> tuple[nn.Module, torch.Tensor]:
    """The example's transformer, and tokens for it."""
    spec = importlib.util.spec_from_file_location("character_transformer", EXAMPLE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Transformer(100), torch.randint(100, (16, 64))


def large_model() -> tuple[nn.Module, torch.Tensor]:
    """About 50M parameters in twelve dense layers, and inputs for them."""
    width = 2048
    return nn.Sequential(*(layer for _ in range(12) for layer in (nn.Linear(width, width), nn.Tanh()))), torch.randn(
        16, width
    )


def compare(model: nn.Module, inputs: torch.Tensor, num_steps: int) -> dict[str, float]:
    """Return seconds of a step without and with recording, their ratio, and megabytes on disk per 1000 steps."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def step() -> float:
        start = time.perf_counter()
        optimizer.zero_grad()
        model(inputs).square().mean().backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return time.perf_counter() - start

    step()
    directory = Path(tempfile.mkdtemp())
    plain, recorded, taken = [], [], 0
    block = max(1, num_steps // 8)
    for _ in range(num_steps // block):
        plain += [step() for _ in range(block)]
        recorder = optoscope.record(optimizer, directory, model=model)
        step()  # looks for schedulers once
        recorded += [step() for _ in range(block)]
        taken += block + 1
        recorder.close()
    size = sum(path.stat().st_size for path in directory.iterdir())
    shutil.rmtree(directory)
    a, b = statistics.median(plain), statistics.median(recorded)
    return {"plain": a, "recorded": b, "ratio": b / a, "megabytes_per_1000": size / 1e3 / taken}


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--large", action="store_true", help="50M parameters instead of 0.8M")
    options = parser.parse_args(arguments)
    model, inputs = large_model() if options.large else example_model()
    found = compare(model, inputs, options.steps)
    count = sum(x.numel() for x in model.parameters())
    print(
        f"{count:,} parameters: {1e3 * found['plain']:.1f} ms a step, {1e3 * found['recorded']:.1f} ms recorded "
        f"({100 * (found['ratio'] - 1):+.1f}%), {found['megabytes_per_1000']:.1f} MB per 1000 steps"
    )


if __name__ == "__main__":
    main()
