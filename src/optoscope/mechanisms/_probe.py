"""The probe under the name that it once had."""

from optoscope.dynamics.probe import Probe as Probe
