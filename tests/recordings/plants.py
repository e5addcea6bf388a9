"""Training loops in torch, one as it should be and others with one fault each."""

import torch

from optoscope.recordings import record

STEPS = 24


def network(seed=0):
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.Tanh(), torch.nn.Linear(16, 16), torch.nn.Tanh(),
                               torch.nn.Linear(16, 1))  # fmt: skip


class BFloat16State(torch.optim.AdamW):
    """Keeps its averages in bfloat16."""

    def step(self, closure=None):
        result = super().step(closure)
        for state in self.state.values():
            for name in ("exp_avg", "exp_avg_sq"):
                state[name] = state[name].bfloat16()
        return result


def in_float32(state):
    """As BFloat16State's averages must be for torch to add to them."""
    for name in ("exp_avg", "exp_avg_sq"):
        if name in state:
            state[name] = state[name].float()


def linear(optimizer, last=-1):
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: max(0.1, 1 - t / 100), last_epoch=last)


def one_cycle(optimizer, last=-1):
    """Schedules the decay of the memory, too."""
    return torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-2, total_steps=100, last_epoch=last)


def train(directory, plant="none", *, steps=STEPS, make=None, clip=1.0, seed=0, schedule=linear):
    """Train a small network with one fault, recorded; returns the model."""
    model = network(seed)
    generator = torch.Generator().manual_seed(seed + 1)
    make = make or (lambda params: torch.optim.AdamW(params, lr=1e-2, weight_decay=0.05))
    params = list(model.parameters())
    if plant == "coupled decay":
        optimizer = torch.optim.Adam(params, lr=1e-2, weight_decay=0.05)
    elif plant == "another rate":
        optimizer = torch.optim.AdamW([{"params": params[:2], "lr": 1e-3}, {"params": params[2:]}], lr=1e-2)
    elif plant == "bfloat16":
        optimizer = BFloat16State(params, lr=1e-2)
    else:
        optimizer = make(params)
    scheduler = schedule(optimizer)
    scaler = torch.amp.GradScaler("cpu", init_scale=4096.0)
    recorder = record(optimizer, directory, model=model)
    for step in range(steps):
        inputs = torch.randn(64, 6, generator=generator)
        targets = torch.sin(3 * inputs.sum(1, keepdim=True)) + 0.1 * torch.randn(64, 1, generator=generator)
        optimizer.zero_grad()
        scaler.scale((model(inputs) - targets).square().mean()).backward()
        if plant != "clipped before unscaling":
            scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(params, clip)
        if plant == "bfloat16":
            for state in optimizer.state.values():
                in_float32(state)
        scaler.step(optimizer)
        scaler.update()
        scheduler.step()
        if plant == "schedule stepped twice":
            scheduler.step()
        if plant == "counter stands still":
            for state in optimizer.state.values():
                state["step"].zero_()
        if plant == "momentum reset by a resume" and step == steps // 2:
            recorder.close()
            optimizer = make(params)  # its state was not restored
            before, scheduler = scheduler.state_dict(), schedule(optimizer)
            scheduler.load_state_dict(before)
            recorder = record(optimizer, directory, model=model)
    recorder.close()
    return model


PLANTS = (
    "counter stands still",
    "momentum reset by a resume",
    "schedule stepped twice",
    "clipped before unscaling",
    "another rate",
    "coupled decay",
    "bfloat16",
)
