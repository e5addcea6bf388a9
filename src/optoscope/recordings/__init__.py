"""A run of one's own: recorded while it trains, examined afterwards, and its margin to the optimizer's edge.

The room is not called `recording`, because `optoscope.recording(state)` is a function. What records in torch loads no
JAX, so each name is loaded when it is first used.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optoscope.recordings.examination import Examination as Examination
    from optoscope.recordings.examination import examine as examine
    from optoscope.recordings.jax_margin import margin as margin
    from optoscope.recordings.jax_recorder import recorded as recorded
    from optoscope.recordings.jax_recorder import recording as recording
    from optoscope.recordings.jax_recorder import write_recording as write_recording
    from optoscope.recordings.margins import Margin as Margin
    from optoscope.recordings.reading import Recording as Recording
    from optoscope.recordings.reading import read_recording as read_recording
    from optoscope.recordings.torch_recorder import Recorder as Recorder
    from optoscope.recordings.torch_recorder import record as record
    from optoscope.recordings.watching import write_scalars as write_scalars

_PLACES = {
    "Examination": "examination",
    "examine": "examination",
    "margin": "jax_margin",
    "recorded": "jax_recorder",
    "recording": "jax_recorder",
    "write_recording": "jax_recorder",
    "Margin": "margins",
    "Recording": "reading",
    "read_recording": "reading",
    "Recorder": "torch_recorder",
    "record": "torch_recorder",
    "write_scalars": "watching",
}


def __getattr__(name: str):
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}.")
    return getattr(importlib.import_module(f"optoscope.recordings.{_PLACES[name]}"), name)
