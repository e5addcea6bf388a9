"""A run that is made to break: its learning rate rises tenfold, and the margin passes 1 before the loss jumps.

    python examples/spike.py [--record DIRECTORY] [--steps N] [--raise-at N] [--over N] [--rate R]

A small dense network learns digits with momentum on all of 256 examples. From one step on the learning rate rises, to
ten times what it was. `optoscope examine DIRECTORY` shows loss and margin. Needs the extra `optoscope[torch]`.
"""

import argparse
import tempfile

import torch
from sklearn.datasets import load_digits
from torch import nn

import optoscope


def main(arguments: list[str] | None = None) -> tuple[int | None, int | None]:
    """Train; returns the step at which the margin passed 1, and the step at which the loss spiked, after the rise."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", default=None, metavar="DIRECTORY")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--raise-at", type=int, default=150)
    parser.add_argument("--over", type=int, default=100, help="steps over which the rate rises")
    parser.add_argument("--rate", type=float, default=0.8)
    parser.add_argument("--every", type=int, default=5, help="steps between margins")
    options = parser.parse_args(arguments)
    torch.manual_seed(0)
    images, labels = (torch.tensor(x[:256]) for x in load_digits(return_X_y=True))
    images = images.float() / 16
    model = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=options.rate, momentum=0.9)
    risen = lambda step: min(max((step - options.raise_at) / options.over, 0.0), 1.0)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 + 9 * risen(step))
    loss_of = lambda: nn.functional.cross_entropy(model(images), labels, label_smoothing=0.1)
    lowest, margin, passed, spiked = float("inf"), None, None, None
    with optoscope.record(optimizer, options.record or tempfile.mkdtemp(), model=model) as recorder:
        for step in range(options.steps):
            optimizer.zero_grad()
            loss = loss_of()
            loss.backward()
            optimizer.step()
            scheduler.step()
            lowest = min(lowest, loss.item())
            if step < options.raise_at - 50:
                continue
            if step % options.every == 0 and spiked is None:
                margin = recorder.margin(loss_of, start=margin)
                print(f"step {step}: loss {loss.item():.4f}, margin {margin.margin:.2f}")
                passed = step if passed is None and margin.margin > 1 else passed
            if loss.item() > 1.5 * lowest and spiked is None:
                spiked = step
                print(f"step {step}: loss {loss.item():.4f} is above 1.5 times its lowest value")
    print(f"margin above 1 from step {passed}, spike at step {spiked}")
    return passed, spiked


if __name__ == "__main__":
    main()
