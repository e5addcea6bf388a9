"""A run of one's own: recorded while it trains, examined afterwards, and its margin to the optimizer's edge.

The room is not called `recording`, because `optoscope.recording(state)` is a function.
"""

from optoscope.recordings.recording import Recording as Recording
from optoscope.recordings.recording import read_recording as read_recording
from optoscope.recordings.torch_recorder import Recorder as Recorder
from optoscope.recordings.torch_recorder import record as record
