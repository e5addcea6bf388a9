"""Files whose doctests need an extra that is not installed are not collected."""

import importlib.util

collect_ignore = []
if importlib.util.find_spec("torch") is None:
    collect_ignore += ["src/optoscope/torch_optimizer.py", "src/optoscope/optimizers/torch_adapter.py"]
