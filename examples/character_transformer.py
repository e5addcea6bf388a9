"""Train a character-level transformer on a text that ships with Python, with AdamW behind a global norm.

    python examples/character_transformer.py [--record DIRECTORY] [--steps N] [--width N] [--rate R]

The text is Python's own topics of help. One line records the run: see `record` below. With --margin-every the margin to
the optimizer's edge is measured on the way. `optoscope examine DIRECTORY` then says what the run did; `spike.py` is a
run that breaks. Needs the extra `optoscope[torch]`.
"""

import argparse
import time

import torch
from torch import nn

import optoscope


def text() -> str:
    """About half a million characters: what `help()` knows."""
    from pydoc_data.topics import topics

    return "\n".join(topics[name] for name in sorted(topics))


class Block(nn.Module):
    """Attention and a small network, each behind a normalization."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mix, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.net = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.heads = heads

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, length, width = x.shape
        parts = self.mix(self.norm1(x)).view(batch, length, 3, self.heads, width // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4)
        # Written out, because the fused attention of torch has no second derivatives on a CPU.
        scores = q @ k.transpose(-1, -2) * (width // self.heads) ** -0.5
        hidden = torch.ones(length, length, dtype=torch.bool, device=x.device).triu(1)
        weights = scores.masked_fill(hidden, float("-inf")).softmax(-1)
        x = x + self.out((weights @ v).transpose(1, 2).reshape(batch, length, width))
        return x + self.net(self.norm2(x))


class Transformer(nn.Module):
    """Predicts the next character: about 0.8M parameters at a width of 128 with four blocks."""

    def __init__(self, characters: int, *, width: int = 128, depth: int = 4, heads: int = 4, length: int = 64):
        super().__init__()
        self.characters, self.places = nn.Embedding(characters, width), nn.Embedding(length, width)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, characters)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.characters(tokens) + self.places.weight[: tokens.shape[1]]
        return self.head(self.norm(self.blocks(x)))


def main(arguments: list[str] | None = None) -> list[float]:
    """Train; returns the losses."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", default=None, metavar="DIRECTORY")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--margin-every", type=int, default=0, help="steps between margins; 0 for none")
    options = parser.parse_args(arguments)
    torch.manual_seed(0)
    letters = text()
    known = {letter: i for i, letter in enumerate(sorted(set(letters)))}
    data, length = torch.tensor([known[letter] for letter in letters]), 64
    model = Transformer(len(known), width=options.width, depth=options.depth, length=length)
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.rate, weight_decay=0.1)
    warm = max(1, options.steps // 10)
    factor = lambda step: min(
        (step + 1) / warm, 0.55 + 0.45 * float(torch.cos(torch.tensor(3.14 * step / options.steps)))
    )
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    recorder = optoscope.record(optimizer, options.record, model=model) if options.record else None  # the one line
    losses, start, margin = [], time.perf_counter(), None
    for step in range(options.steps):
        where = torch.randint(len(data) - length - 1, (options.batch,))
        rows = torch.stack([data[i : i + length + 1] for i in where])
        loss_of = lambda rows=rows: nn.functional.cross_entropy(
            model(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten()
        )
        optimizer.zero_grad()
        loss = loss_of()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        losses.append(loss.item())
        if recorder and options.margin_every and (step + 1) % options.margin_every == 0:
            margin = recorder.margin(loss_of, start=margin)
            print(f"step {step}: loss {losses[-1]:.3f}, margin {margin.margin:.3f} ({margin.num_products} products)")
        elif step % 50 == 0:
            print(f"step {step}: loss {losses[-1]:.3f}")
    seconds = time.perf_counter() - start
    print(f"{sum(x.numel() for x in model.parameters()):,} parameters, {1e3 * seconds / options.steps:.0f} ms a step")
    if recorder:
        recorder.close()
    return losses


if __name__ == "__main__":
    main()
