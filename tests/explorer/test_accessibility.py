"""What axe-core, where npm has installed it, finds on the page."""

from pathlib import Path

import pytest
from chromium import PROGRAM, Page

import optoscope
from optoscope.explorer import explore
from optoscope.optimizers import Adam, Momentum

AXE = Path(optoscope.__file__).parent / "explorer" / "script" / "node_modules" / "axe-core" / "axe.min.js"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if PROGRAM is None:
        pytest.skip("Chromium is not installed; apt-get install --no-install-recommends chromium.")
    if not AXE.exists():
        pytest.skip("axe-core is not installed; `make explorer` installs it, with npm.")
    page = explore(Momentum(0.1, 0.9), Adam(0.01, 0.9, 0.99), num_steps=40)
    path = page.save(tmp_path_factory.mktemp("page") / "page.html")
    browser = Page(tmp_path_factory.mktemp("profile"), width=1400)
    try:
        browser.open(path, "#sweep=50&off=0")
        browser.wait_for("document.body.dataset.ready")
        browser.evaluate(f"(() => {{ {AXE.read_text()} }})()")
        yield browser
    finally:
        browser.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [380, 820, 1400])
def test_axe_finds_no_violation(browser, scheme, width):
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    browser.resize(width)
    browser.wait_for(f"innerWidth === {width}")
    browser.evaluate("axe.run().then((found) => { window.found = found; }, (error) => { window.found = { error }; })")
    assert browser.wait_for("window.found && window.found.passes.length") > 20
    found = browser.evaluate("found.violations.map(({ id, nodes }) => [id, ...nodes.map(({ html }) => html)])")
    browser.evaluate("delete window.found")
    assert found == []
