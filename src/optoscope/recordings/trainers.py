"""Callbacks that record a run of Lightning or of the Hugging Face trainer, which are imported when one is made."""

import os
from typing import Any

from optoscope.recordings.torch_recorder import record


def lightning_recorder(directory: str | os.PathLike, **settings: Any) -> Any:
    """Return a callback for Lightning's trainer that records its first optimizer.

    Args:
        directory: where to write.
        settings: as for `record`.

    Raises:
        ImportError: if neither `lightning` nor `pytorch_lightning` is installed.
    """
    try:
        from lightning.pytorch.callbacks import Callback  # pyright: ignore[reportMissingImports]
    except ImportError:
        try:
            from pytorch_lightning.callbacks import Callback  # pyright: ignore[reportMissingImports]
        except ImportError:
            raise ImportError("`lightning_recorder` needs Lightning: pip install lightning.") from None

    class _Recorder(Callback):
        recorder = None

        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            self.recorder = record(trainer.optimizers[0], directory, model=pl_module, **settings)

        def on_train_end(self, trainer: Any, pl_module: Any) -> None:
            if self.recorder is not None:
                self.recorder.close()

        def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
            self.on_train_end(trainer, pl_module)

    return _Recorder()


def transformers_recorder(directory: str | os.PathLike, **settings: Any) -> Any:
    """Return a callback for the trainer of Hugging Face's transformers.

    Args:
        directory: where to write.
        settings: as for `record`.

    Raises:
        ImportError: if `transformers` is not installed.
    """
    try:
        from transformers import TrainerCallback  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ImportError("`transformers_recorder` needs transformers: pip install transformers accelerate.") from None

    class _Recorder(TrainerCallback):
        recorder = None

        def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
            self.recorder = record(given["optimizer"], directory, model=given["model"], **settings)

        def on_train_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
            if self.recorder is not None:
                self.recorder.close()

    return _Recorder()
