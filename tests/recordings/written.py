"""Recordings written without a run."""

import numpy as np

from optoscope.recordings.files import Writer

ABOUT = {
    "framework": "torch",
    "optimizer": "Planted",
    "parameters": [{"name": "a", "shape": [4], "group": 0, "role": "weight"}],
    "components": {"parameter": [0] * 4, "index": [0, 1, 2, 3]},
    "setting_names": [],
    "state_types": {},
    "provenance": {"settings": {"every": 1}},
}
KINDS = ("x", "raw", "gradient", "update")
BOUND = 300_000


def write(directory, steps, bound=BOUND):
    writer = Writer(directory, ABOUT, bound=bound, row_bytes=100)
    for step in range(writer.next_step, writer.next_step + steps):
        kept = {f"kept.{kind}": np.full(4, step, np.float32) for kind in KINDS}
        layers = {f"kept.{kind}_norms": np.ones(1, np.float32) for kind in ("gradient", "update", "parameter")}
        norms = {f"each.{kind}_norm": 1.0 for kind in ("gradient", "update", "parameter")}
        each = {"each.step": np.int64(step), "each.session": np.int64(writer.session), "each.loss": float(step)}
        writer.add({**each, **norms, **kept, **layers})
    writer.close()
