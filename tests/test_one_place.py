"""Each quantity is computed in one place; whoever needs it asks there and applies thresholds of its own.

A row names the place and a pattern that a computation of the quantity cannot do without. A second file that matches
computes it again.
"""

import importlib
import re
from pathlib import Path

import pytest

import optoscope

ROOT = Path(optoscope.__file__).parent
PLACES = {
    "where a run comes to rest": ("dynamics.rest_point", "find_rest", r"\bSETTLING_STEPS = \d"),
    "where many runs end": ("dynamics.rest_point", "settle", r"def _?settle\w*\("),
    "impulse response of a linearization": ("dynamics.linearize", "Linearization.impulse_response", r"\bA @ h\b"),
    "impulse response of modes": ("dynamics.modes", "Modes.responses", r"learning_rates\[:, None\] \* powers"),
    "modes, conjugates together": ("dynamics.modes", "conjugate_units", r"in np\.flatnonzero\(.*imag"),
    "the few modes that matter": ("dynamics.modes", "Modes.leading", r"norm\(left - parts\["),
    "the share that the best modes explain": ("dynamics.modes", "Modes.best", r"itertools\.combinations\(range"),
    "sloping back": ("dynamics.update_function", "slope_back", r"np\.maximum\.accumulate\(moved"),
    "vertical shift": ("anatomy.shifts", "ModeShift.offset_share", r"bent\*\*2"),
    "R2 of the linearization": ("anatomy.linear_updates", "explained", r"squared_errors\.sum\(\) /"),
    "variance left": ("running.visits", "variance_ratio", r"total_variance\(states\)$|variance\[-1\] /"),
    "where to linearize": ("anatomy.operating_point", "point_at_rest", r"OperatingPoint\("),
    "which gradients count": ("anatomy.driven", "met_range", r"GradientRange\("),
    "fixed points over gradients": ("anatomy.dossier", "Dossier.branch", r"gradients=ends, start=self\.center"),
    "updates of the linearized optimizer": ("anatomy.linear_updates", "linear_updates", r"h @ A\.T"),
    "onset of saturation": ("dynamics.onset", "find_onset", r"outside = np\.flatnonzero\(~\(inside"),
}  # fmt: skip


@pytest.mark.parametrize("quantity", PLACES)
def test_a_quantity_is_computed_in_one_place(quantity):
    module, name, pattern = PLACES[quantity]
    place = importlib.import_module(f"optoscope.{module}")
    for part in name.split("."):
        place = getattr(place, part)
    computing = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in ROOT.rglob("*.py")
        if re.search(pattern, path.read_text(), re.MULTILINE)
    }
    assert computing == {module}, f"{quantity} is computed in {sorted(computing)}; ask {module}.{name}"


def test_a_dossier_computes_nothing_when_it_is_made_and_everything_once(monkeypatch):
    from optoscope import tasks
    from optoscope.anatomy import Dossier, dossier
    from optoscope.optimizers import Momentum

    calls = []
    for name in ("find_rest", "modes", "drive", "mode_shift"):
        original = getattr(dossier, name)
        monkeypatch.setattr(
            dossier, name, lambda *a, _name=name, _of=original, **k: (calls.append(_name), _of(*a, **k))[1]
        )
    made = Dossier(Momentum(0.1, 0.9))
    assert calls == []
    for _ in range(2):
        assert made.vertical_shift == pytest.approx(1.0)
        assert made.modes.decays.tolist() == [0.9]
        assert made.linearization is made.operating_linearization
    assert sorted(calls) == ["drive", "find_rest", "mode_shift", "modes"]
    assert made.known("visits") is None and made.known("groups") is None
    with pytest.raises(ValueError, match="has no task here; give one"):
        _ = made.visits
    with pytest.raises(ValueError, match="`key` is needed"):
        Dossier(Momentum(0.1, 0.9), tasks.get("rosenbrock"))
