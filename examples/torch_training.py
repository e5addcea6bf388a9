"""Train a small torch network with a shipped learned optimizer, beside SGD with momentum and Adam.

    python examples/torch_training.py [--optimizer NAME] [--steps N] [--networks N] [--seed N]

Every optimizer gets the same small search: six settings, tried on one network. Then each trains other networks, the
same for all, and the table says how it did on them. Needs the extra `optoscope[torch]`; no JAX is loaded.
"""

import argparse
import itertools
import time
from typing import NamedTuple

import torch
from sklearn.datasets import make_moons
from torch import nn

import optoscope
from optoscope.torch_optimizer import LearnedOptimizer

#: Gradient and update scales to try. An optimizer that was learned on these very networks needs little of either.
OWN_SCALES = [(g, u) for g in (0.5, 1.0, 2.0) for u in (0.7, 1.0)]
OTHER_SCALES = [(g, u) for g in (10.0, 100.0) for u in (0.003, 0.01, 0.03)]


class Row(NamedTuple):
    """One line of the table."""

    name: str
    setting: str
    mean_loss: float
    final_loss: float
    accuracy: float
    seconds: float


def data(seed: int, num: int = 512) -> tuple[torch.Tensor, torch.Tensor]:
    points, labels = make_moons(num, noise=0.1, random_state=seed)
    return torch.tensor(points, dtype=torch.float32), torch.tensor(labels, dtype=torch.float32)


def network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    sizes = (2, 64, 64, 64, 1)
    layers = [layer for i, o in itertools.pairwise(sizes) for layer in (nn.Linear(i, o), nn.Tanh())]
    return nn.Sequential(*layers[:-1], nn.Flatten(0))


def train(make, num_steps: int, seed: int) -> tuple[list[float], float]:
    """Return the losses along the way, and the accuracy on fresh data at the end."""
    model, (points, labels) = network(seed), data(seed=0)
    optimizer = make(model.parameters())
    loss_of = nn.BCEWithLogitsLoss()
    losses = []
    for _ in range(num_steps):
        optimizer.zero_grad()
        loss = loss_of(model(points), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    with torch.no_grad():
        losses.append(loss_of(model(points), labels).item())
        points, labels = data(seed=1)
        accuracy = ((model(points) > 0) == (labels > 0.5)).float().mean().item()
    return losses, accuracy


def candidates(learned: str) -> dict[str, dict[str, object]]:
    """For each optimizer, six settings and what makes it with them."""
    scales = OWN_SCALES if learned.startswith("two_moons") else OTHER_SCALES
    return {
        f"learned ({learned})": {
            f"gradient_scale={g:g} update_scale={u:g}": lambda params, g=g, u=u: LearnedOptimizer(
                params, learned, gradient_scale=g, update_scale=u
            )
            for g, u in scales
        },
        "SGD, momentum 0.9": {
            f"lr={lr:g}": lambda params, lr=lr: torch.optim.SGD(params, lr=lr, momentum=0.9)
            for lr in (0.01, 0.03, 0.1, 0.3, 0.5, 1.0)
        },
        "Adam": {
            f"lr={lr:g}": lambda params, lr=lr: torch.optim.Adam(params, lr=lr)
            for lr in (0.001, 0.003, 0.006, 0.01, 0.03, 0.1)
        },
    }


def mean(values) -> float:
    values = list(values)
    return sum(values) / len(values)


def main(arguments: list[str] | None = None) -> list[Row]:
    known = [name for name in optoscope.shipped() if "/" not in name]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--optimizer", default="two_moons" if "two_moons" in known else "linear_regression")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--networks", type=int, default=3, help="networks that the table averages over")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    first = 1000 * options.seed
    rows = []
    for name, settings in candidates(options.optimizer).items():
        scores = {setting: mean(train(make, options.steps, first)[0]) for setting, make in settings.items()}
        best = min(scores, key=lambda setting: (scores[setting] != scores[setting], scores[setting]))
        start = time.perf_counter()
        runs = [train(settings[best], options.steps, first + 1 + i) for i in range(options.networks)]
        seconds = (time.perf_counter() - start) / options.networks
        losses = [losses for losses, _ in runs]
        rows.append(
            Row(name, best, mean(map(mean, losses)), mean(run[-1] for run in losses), mean(a for _, a in runs), seconds)
        )
    print(
        f"{'optimizer':28} {'best of six settings':38} {'mean loss':>9} {'last loss':>9} {'accuracy':>8} {'s/run':>6}"
    )
    for row in rows:
        print(
            f"{row.name:28} {row.setting:38} {row.mean_loss:9.4f} {row.final_loss:9.5f} {row.accuracy:8.3f} "
            f"{row.seconds:6.2f}"
        )
    return rows


if __name__ == "__main__":
    main()
