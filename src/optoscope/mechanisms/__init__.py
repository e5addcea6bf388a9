"""Which mechanisms an optimizer has: momentum, clipping, schedule, adaptation, grouping."""

from optoscope.mechanisms._verdict import Verdict as Verdict
from optoscope.mechanisms.adaptation import AdaptationVerdict as AdaptationVerdict
from optoscope.mechanisms.adaptation import assess_adaptation as assess_adaptation
from optoscope.mechanisms.clipping import ClippingVerdict as ClippingVerdict
from optoscope.mechanisms.clipping import assess_clipping as assess_clipping
from optoscope.mechanisms.compare import Comparison as Comparison
from optoscope.mechanisms.compare import compare as compare
from optoscope.mechanisms.diagnose import MechanismReport as MechanismReport
from optoscope.mechanisms.diagnose import diagnose as diagnose
from optoscope.mechanisms.explanation.explain import Explanation as Explanation
from optoscope.mechanisms.explanation.explain import explain as explain
from optoscope.mechanisms.grouping import GroupingVerdict as GroupingVerdict
from optoscope.mechanisms.grouping import assess_grouping as assess_grouping
from optoscope.mechanisms.momentum import MomentumVerdict as MomentumVerdict
from optoscope.mechanisms.momentum import assess_momentum as assess_momentum
from optoscope.mechanisms.schedule import ScheduleVerdict as ScheduleVerdict
from optoscope.mechanisms.schedule import assess_schedule as assess_schedule
