"""How far `diagnose` can be trusted: optimizers whose mechanisms are known, and what it says about them."""

from optoscope.calibration.calibrate import Calibration as Calibration
from optoscope.calibration.calibrate import calibrate as calibrate
from optoscope.calibration.disguise import InCoordinates as InCoordinates
from optoscope.calibration.disguise import InUnits as InUnits
from optoscope.calibration.families import FAMILIES as FAMILIES
from optoscope.calibration.gallery import Gallery as Gallery
from optoscope.calibration.gallery import gallery as gallery
from optoscope.calibration.planted import Planted as Planted
from optoscope.calibration.planted import catalogue as catalogue
from optoscope.calibration.truth import Truth as Truth
