"""Whole optimizers: what their updates depend on, one component in a context, and the spectral view."""

from optoscope.whole.component import Component as Component
from optoscope.whole.component import find_component as find_component
from optoscope.whole.component import find_singular_value as find_singular_value
from optoscope.whole.component import off_diagonal_leak as off_diagonal_leak
from optoscope.whole.component import spectral_update as spectral_update
from optoscope.whole.decay import Decay as Decay
from optoscope.whole.decay import find_decay as find_decay
from optoscope.whole.edges import WholeEdges as WholeEdges
from optoscope.whole.edges import find_edges as find_edges
from optoscope.whole.rhythm import Rhythm as Rhythm
from optoscope.whole.rhythm import find_rhythm as find_rhythm
from optoscope.whole.structure import UNIT_WORDS as UNIT_WORDS
from optoscope.whole.structure import Structure as Structure
from optoscope.whole.structure import structure as structure
