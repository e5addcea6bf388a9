"""The experiments on one component, under the name that they had."""

from optoscope.dynamics.probe import Probe as Probe
