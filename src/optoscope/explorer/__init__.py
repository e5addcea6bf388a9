"""One page on which an optimizer can be touched."""

from optoscope.explorer.explore import Explorer as Explorer
from optoscope.explorer.explore import explore as explore
