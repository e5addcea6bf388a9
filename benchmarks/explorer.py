"""The interactive page in a browser: its size, how long it takes to open, frames while a slider is dragged, and how far
its engine is from Python: `python -m benchmarks.explorer` (needs node and Chromium)."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import optoscope
from benchmarks._report import numbers_of, record
from optoscope._core.markdown import table
from optoscope.explorer.runnable import runnable

#: Room -> the slider that is dragged in it.
DRAGGED = {"update": 0, "states": 0, "stability": 0, "landscapes": 2, "compare": 0}
#: Frames of a drag, and times that the page is opened.
NUM_FRAMES, NUM_OPENINGS = 120, 5
NAMES = ("rosenbrock", "rosenbrock/adam", "rosenbrock/momentum")

#: Moves a slider once a frame; gives the milliseconds from frame to frame.
_DRAG = """(() => {
  document.getElementById('ROOM').scrollIntoView();
  const slider = document.querySelectorAll('#ROOM input[type=range]')[WHICH];
  const times = [];
  const move = (now) => {
    times.push(now);
    slider.value = slider.max * (0.5 + 0.4 * Math.sin(times.length / 9));
    slider.dispatchEvent(new Event('input', { bubbles: true }));
    if (times.length <= FRAMES) requestAnimationFrame(move);
    else window.dragged = times.slice(1).map((time, i) => time - times[i]);
  };
  setTimeout(() => requestAnimationFrame(move), 300);
})()"""


def measured() -> dict[str, float]:
    """Return everything that is measured."""
    from tests.chromium import Page

    with tempfile.TemporaryDirectory() as folder:
        path = optoscope.explore(*NAMES, task=optoscope.tasks.get("rosenbrock")).save(Path(folder) / "page.html")
        numbers: dict[str, float] = {"size, kB": round(path.stat().st_size / 1000)}
        page = Page(Path(folder) / "profile", width=1400, height=900)
        try:
            numbers |= _opening(page, path) | _frames(page)
        finally:
            page.close()
    return numbers | _agreement()


def _opening(page: Any, path: Path) -> dict[str, float]:
    times = []
    for _ in range(NUM_OPENINGS):
        page.call("Page.navigate", url="about:blank")
        page.evaluate("1")
        page.events.clear()
        page.open(path)
        page.wait_for("document.body.dataset.ready")
        times.append(page.evaluate("[document.body.dataset.drawn, document.body.dataset.ready].map(Number)"))
    drawn, ready = np.median(times, axis=0)
    return {"first picture, ms": round(float(drawn)), "all rooms, ms": round(float(ready))}


def _frames(page: Any) -> dict[str, float]:
    found = {}
    for room, which in DRAGGED.items():
        script = _DRAG.replace("ROOM", room).replace("WHICH", str(which)).replace("FRAMES", str(NUM_FRAMES))
        page.evaluate(f"delete window.dragged; {script}")
        times = page.wait_for("window.dragged")
        found[f"{room}, frames a second"] = round(1000 / float(np.median(times)), 1)
    return found


def _agreement() -> dict[str, float]:
    """Largest difference of updates, states and learning rates from Python's, over the largest of each."""
    from tests.explorer.test_runnable import (
        FROM_OPTAX,
        IN_FLOAT32,
        MOST_UNITS,
        NUM_STEPS,
        OWN,
        gradients,
        in_python,
        in_the_page,
    )

    rules = {f"{type(rule).__name__} {i}": rule for i, rule in enumerate(OWN)}
    rules |= {name: optoscope.as_rule(tx) for name, tx in FROM_OPTAX.items() if name not in IN_FLOAT32}
    shipped = {name: optoscope.as_rule(name) for name in optoscope.shipped()}
    shipped = {name: rule for name, rule in shipped.items() if rule.num_states <= MOST_UNITS}
    found = {"steps": float(NUM_STEPS)}
    for label, group in (("rules", rules), ("shipped", shipped)):
        results = in_the_page([lambda pool, rule=rule: runnable(rule, pool) for rule in group.values()], gradients())
        apart = [_apart(one, in_python(rule, gradients())) for rule, one in zip(group.values(), results)]
        found |= {f"{label} compared": float(len(group)), f"{label}, largest relative difference": max(apart)}
    return found


def _apart(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> float:
    sizes = {name: np.nanmax(np.abs(wanted[name]), initial=0.0) or 1.0 for name in found}
    return float(max(np.nanmax(np.abs(found[name] - wanted[name]), initial=0.0) / sizes[name] for name in found))


def explorer_table() -> str:
    """What was measured, as a table for the docs."""
    return table(["measured", "value"], [[name, f"{value:g}"] for name, value in numbers_of("explorer").items()])


if __name__ == "__main__":
    record("explorer", measured())
