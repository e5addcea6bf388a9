"""Everything here needs the extra `torch`."""

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'optoscope[torch]'")
