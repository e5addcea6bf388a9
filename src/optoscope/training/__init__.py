"""Meta-training, tuning and evaluation."""

from optoscope.training.config import PRESETS as PRESETS
from optoscope.training.config import MetaTrainConfig as MetaTrainConfig
from optoscope.training.config import preset as preset
from optoscope.training.meta_train import Progress as Progress
from optoscope.training.meta_train import meta_train as meta_train
from optoscope.training.run_checks import check_run as check_run
from optoscope.training.search import Searched as Searched
from optoscope.training.search import search as search
from optoscope.training.search_spaces import Range as Range
from optoscope.training.search_spaces import Stage as Stage
from optoscope.training.tune import tune as tune
