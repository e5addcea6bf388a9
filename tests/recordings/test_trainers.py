"""Runs of trainers are recorded as their own loops are; each is tried where it is installed."""

import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'optoscope[torch]'")

from optoscope.recordings import read_recording, record  # noqa: E402
from optoscope.recordings.trainers import lightning_recorder, transformers_recorder  # noqa: E402


def optional(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(name, reason=f"{name} is not installed: pip install {name}")


@pytest.mark.filterwarnings("ignore")
def test_accelerate(tmp_path):
    accelerate = optional("accelerate")
    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=2)
    model = torch.nn.Linear(3, 1)
    model, optimizer = accelerator.prepare(model, torch.optim.AdamW(model.parameters(), lr=0.01))
    with record(optimizer, tmp_path, model=model):
        for _ in range(6):
            with accelerator.accumulate(model):
                accelerator.backward(model(torch.ones(4, 3)).square().mean())
                accelerator.clip_grad_norm_(model.parameters(), 0.01)
                optimizer.step()
                optimizer.zero_grad()
    found = read_recording(tmp_path)
    assert len(found.steps) == 3 and (found.backward_passes == 2).all() and np.isfinite(found.losses).all()
    np.testing.assert_allclose(found.gradient_norms, 0.01, rtol=1e-3)


@pytest.mark.filterwarnings("ignore")
def test_lightning(tmp_path):
    lightning = optional("lightning")

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(3, 1)

        def training_step(self, batch, _):
            return self.layer(batch[0]).square().mean()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.01)

    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.randn(20, 3)), batch_size=4)
    trainer = lightning.Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[lightning_recorder(tmp_path / "run")], default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.fit(Module(), data)
    found = read_recording(tmp_path / "run")
    assert len(found.steps) == 5 and found.parameters[0]["name"] == "layer.weight"
    assert np.isfinite(found.losses).all()


@pytest.mark.filterwarnings("ignore")
def test_transformers(tmp_path):
    transformers = optional("transformers")
    optional("accelerate")

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(3, 1)

        def forward(self, x, labels=None):
            return {"loss": (self.layer(x) - labels).square().mean()}

    rows = [{"x": torch.randn(3), "labels": torch.zeros(1)} for _ in range(16)]
    arguments = transformers.TrainingArguments(
        str(tmp_path / "out"), max_steps=4, per_device_train_batch_size=4, report_to=[], use_cpu=True,
        save_strategy="no", disable_tqdm=True, logging_strategy="no",
    )  # fmt: skip
    trainer = transformers.Trainer(
        Model(), arguments, train_dataset=rows, callbacks=[transformers_recorder(tmp_path / "run")]
    )
    trainer.train()
    found = read_recording(tmp_path / "run")
    assert len(found.steps) == 4 and np.isfinite(found.losses).all() and found.scheduler_steps[-1] == 3
