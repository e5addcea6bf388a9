"""What an optimizer does to its parameters by itself."""

import pytest

from optoscope.optimizers import TorchStack
from optoscope.whole.decay import find_decay


def test_a_decay_follows_the_learning_rate_of_a_scheduler_too():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'optoscope[torch]'")
    warm_up = lambda one: torch.optim.lr_scheduler.LambdaLR(one, lambda t: min(1.0, t / 8))
    stack = TorchStack(lambda p: torch.optim.AdamW(p, lr=1e-3, weight_decay=0.1), scheduler=warm_up, clip_norm=1.0)
    assert "from step 1 on, which follows the learning rate" in find_decay(stack).sentence

    class Apart(torch.optim.SGD):  # takes its share whatever the learning rate is
        def step(self, closure=None):
            with torch.no_grad():
                for group in self.param_groups:
                    for x in group["params"]:
                        x.mul_(1 - 1e-3)
            return super().step(closure)

    stack = TorchStack(lambda p: Apart(p, lr=1e-3, momentum=0.9), scheduler=warm_up)
    assert find_decay(stack).follows_learning_rate is False
