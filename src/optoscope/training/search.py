"""Random search over the settings of meta-training, as the paper tuned its own: short runs first, the best go on."""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from optoscope._core.checks import check_count, check_number
from optoscope._core.files import sealed, write_json
from optoscope._core.fingerprint import fingerprint
from optoscope._core.progress import Announce, Report, silent
from optoscope._core.types import PRNGKeyArray
from optoscope.artifacts import TrainedOptimizer
from optoscope.running.run_log import open_run
from optoscope.tasks import AbstractTask
from optoscope.training.config import MetaTrainConfig
from optoscope.training.meta_train import meta_train

#: Settings that are searched, each evenly in its logarithm between these multiples of the configuration's value.
FACTORS: dict[str, tuple[float, float]] = {
    "learning_rate": (1 / 8, 8.0),
    "input_scale": (1 / 10, 10.0),
    "output_scale": (1 / 10, 10.0),
    "clip": (1 / 10, 10.0),
}


@dataclasses.dataclass(frozen=True)
class Searched:
    """One setting that was tried.

    Attributes:
        sample: its number.
        settings: what differs from the configuration.
        num_meta_steps: how far it was trained.
        validation: its best validation so far.
        finite_share: share of the validation problems over which that is the mean; a larger one is better.
        seconds: time spent on it.
    """

    sample: int
    settings: dict[str, Any]
    num_meta_steps: int
    validation: float
    finite_share: float
    seconds: float

    @property
    def rank(self) -> tuple[float, float]:
        """Smaller is better."""
        return -self.finite_share, self.validation


def search(
    task: AbstractTask,
    *,
    config: MetaTrainConfig,
    num_samples: int,
    key: PRNGKeyArray,
    directory: str | Path,
    widths: Sequence[int] = (),
    shares: Sequence[float] = (1 / 16, 1 / 4, 1.0),
    kept: float = 1 / 4,
    resume: bool = False,
    seed: int | None = None,
    report: Report = silent,
    announce: Announce = silent,
) -> tuple[TrainedOptimizer, list[Searched]]:
    """Search meta-training's learning rate, scales and clip, and the width if several are given.

    Every sample is trained for the first share of the meta-steps; the best of them for the next, and so on. Going on
    means resuming the same run, so nothing is computed twice.

    Args:
        task: what to train on.
        config: the center of the search.
        num_samples: number of settings.
        key: draws the settings and determines every run.
        directory: one run directory per sample, and `log.jsonl` with every result.
        widths: numbers of units to choose from; the configuration's if empty.
        shares: of the meta-steps, one per round, rising to 1.
        kept: share of the samples that go on after each round.
        resume: go on with the search in `directory`.
        seed: the seed that made `key`, recorded in the results.
        report: called with what is being done, how much is done and how much there is.
        announce: called with sentences about what a directory holds that is damaged, or of other versions.

    Returns:
        The best optimizer, and every sample's last result, best first.

    Raises:
        ValueError: if a number is out of range, or `directory` holds another search.
        FileExistsError: if `directory` holds a search and `resume` is false.
    """
    check_count("num_samples", num_samples, hint="a few dozen short runs find the right decade")
    check_number("kept", kept, low=0, high=1.0 + 1e-9, open_low=True, hint="it is the share that goes on")
    if not shares:
        raise ValueError("`shares` must not be empty; (1.0,) trains every sample to the end.")
    folder = Path(directory)
    described = {"task": repr(task), "task_hash": fingerprint(task), "config": dataclasses.asdict(config)}
    described |= {"num_samples": num_samples, "widths": list(widths), "shares": list(shares), "kept": kept}
    described |= {"key": fingerprint(key), "num_devices": jax.local_device_count()}
    drawn = _settings(config, num_samples, widths, key)

    def train(sample: int, stop: int) -> TrainedOptimizer:
        return meta_train(
            task, config=dataclasses.replace(config, **drawn[sample]), key=key,
            directory=folder / f"sample_{sample:03d}", resume=True,
            preset=f"search sample {sample}", seed=seed, stop_at=stop, announce=announce,
        )  # fmt: skip

    def searched(sample: int, stop: int) -> dict[str, Any]:
        metrics = train(sample, stop).metrics
        found = (metrics[name] for name in ("best_validation", "finite_share", "seconds"))
        return dataclasses.asdict(Searched(sample, drawn[sample], stop, *found))

    with open_run(folder, described, resume=resume, announce=announce) as log:
        left, ranked, latest, stop = list(range(num_samples)), [], {}, 0
        for round_, share in enumerate(shares):
            stop = max(1, round(share * config.num_meta_steps))
            for done, sample in enumerate(left):
                report(f"round {round_ + 1}: {stop} meta-steps", done, len(left))
                kept_part = log.known_or([sample, stop], lambda sample=sample, stop=stop: searched(sample, stop))
                latest[sample] = Searched(**kept_part)
            ranked = sorted(left, key=lambda sample: latest[sample].rank)
            left = ranked[: max(1, math.ceil(kept * len(left)))]
        best = train(ranked[0], stop)  # it is there already
        results = sorted(latest.values(), key=lambda one: (-one.num_meta_steps, one.rank))
        write_json(folder / "results.json", sealed({"results": [dataclasses.asdict(one) for one in results]}))
    return best, results


def _settings(config: MetaTrainConfig, num_samples: int, widths: Sequence[int], key) -> list[dict[str, Any]]:
    """Draw settings; the first sample is the configuration itself."""
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel())
    drawn: list[dict[str, Any]] = []
    for sample in range(num_samples):
        logs = {name: rng.uniform(np.log(low), np.log(high)) for name, (low, high) in FACTORS.items()}
        one: dict[str, Any] = {name: float(getattr(config, name) * np.exp(log)) for name, log in logs.items()}
        if widths:
            one["num_units"] = int(rng.choice(np.asarray(widths)))
        drawn.append(one if sample else {})
    return drawn
