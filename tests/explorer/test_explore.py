"""The page: what is in it, and what a browser makes of it."""

import base64
import hashlib
import html
import json
import re
from pathlib import Path

import numpy as np
import pytest
from chromium import PROGRAM, Page

import optoscope
from optoscope.dynamics import find_rest, modes, stability_map
from optoscope.explorer import Explorer, explore
from optoscope.mechanisms import diagnose
from optoscope.optimizers import Adam, Momentum

ROOM = Path(optoscope.__file__).parent / "explorer"
RULE = Momentum(0.1, 0.9)


@pytest.fixture(scope="module")
def page() -> Explorer:
    return explore(RULE, Adam(0.01, 0.9, 0.99), names=["heavy ball", "adam"], num_steps=60)


def test_modes_edges_and_fixed_points_are_those_of_python(page):
    subject = page.data["subjects"][0]
    point = find_rest(RULE).linearization
    np.testing.assert_allclose(subject["modes"]["decays"], [[0.9, 0.0]], rtol=1e-12)
    np.testing.assert_allclose(subject["modes"]["learning_rates"], [[0.1, 0.0]], rtol=1e-12)
    assert len(modes(point).units()) == len(subject["modes"]["units"])
    np.testing.assert_allclose(subject["stability"]["edges"], stability_map(RULE, [1.0]).edges, rtol=1e-6)
    np.testing.assert_allclose(subject["stability"]["edges"], [2 * (1 + 0.9) / 0.1], rtol=1e-6)
    assert subject["summary"].startswith("momentum with timescale 0.90")


def test_what_an_optimizer_does_not_have_says_why(page):
    adam = page.data["subjects"][1]
    assert "reason" in adam["curvatures"] and "task" in adam["curvatures"]["reason"]


def test_the_page_is_one_file_that_loads_nothing(page, tmp_path):
    path = page.save(tmp_path / "new" / "page.html")
    text = path.read_text()
    assert not re.findall(r"(?:src|href)=[\"'](?!#|data:)", text.partition('<script type="application/json"')[0])
    assert "default-src 'none'" in text
    script = text.rpartition("<script>")[2].partition("</script>")[0]
    digest = re.search(r"'sha256-([^']+)'", text).group(1)
    assert hashlib.sha256(script.encode()).digest() == base64.b64decode(digest)
    assert len(text) < 3e6


def test_no_name_ends_the_script(tmp_path):
    bad = "</script><script>alert(1)</script>"
    text = explore(RULE, names=[bad], num_steps=40).to_html()
    assert bad not in text and text.count("<script") == 2


def test_shown_in_a_notebook_and_as_a_table(page):
    frame = page._repr_html_()
    assert frame.startswith("<iframe") and "srcdoc" in frame
    assert html.unescape(frame.partition('srcdoc="')[2].removesuffix('">')) == page.to_html()
    assert "heavy ball" in repr(page)
    assert [row["optimizer"] for row in page.to_json()["explorer"]] == ["heavy ball", "adam"]


def test_a_report_explores_itself():
    report = diagnose(RULE, name="mine", num_steps=40)
    page = report.explore()
    assert page.optimizers == ["mine"]
    assert "dossier" not in report.to_json() and "dossier" not in repr(report).lower()


def test_names():
    assert explore(RULE, RULE, names=["a", "a"], num_steps=40).optimizers == ["a", "a (2)"]
    with pytest.raises(ValueError, match="at least one optimizer"):
        explore()
    with pytest.raises(ValueError, match="one name for each of 1"):
        explore(RULE, names=["a", "b"])


def test_the_bundle_is_made_of_the_sources():
    said = json.loads((ROOM / "explorer.json").read_text())
    sha256 = lambda path: hashlib.sha256(path.read_bytes()).hexdigest()
    assert sha256(ROOM / "explorer.js") == said["bundle_sha256"], "run `make explorer`"
    sources = "".join(sha256(path) for path in sorted((ROOM / "script").glob("*.js")))
    assert hashlib.sha256(sources.encode()).hexdigest() == said["sources_sha256"], "run `make explorer`"
    licenses = (ROOM / "explorer.licenses.txt").read_text()
    assert all(f"{name} {one['version']}" in licenses for name, one in said["packages"].items())
    assert said["packages"]["d3-selection"]["integrity"].startswith("sha512-")


@pytest.fixture(scope="module")
def browser(page, tmp_path_factory):
    """The page on a screen as wide as a phone's, with a view in its address."""
    if PROGRAM is None:
        pytest.skip("Chromium is not installed; apt-get install --no-install-recommends chromium.")
    path = page.save(tmp_path_factory.mktemp("page") / "page.html")
    browser = Page(tmp_path_factory.mktemp("profile"), width=380)
    try:
        browser.open(path, "#g=0.5&past=1&n=3")
        browser.wait_for("document.body.dataset.ready")
        yield browser
    finally:
        browser.close()


def readings(browser):
    return browser.evaluate("[...document.querySelectorAll('.reading')].map(one => one.textContent)")


def see(browser, room):
    """Scroll a room into sight: what nobody sees is not drawn."""
    browser.evaluate(f"document.getElementById('{room}').scrollIntoView()")


def set_control(browser, room, label, value):
    """Do what a keyboard does to a control."""
    script = f"""(() => {{
      const labels = [...document.querySelectorAll('#{room} label')];
      const label = labels.find((one) => one.textContent.startsWith('{label}'));
      const control = document.getElementById(label.htmlFor);
      control.focus();
      if (control.type === 'checkbox') control.click();
      else {{
        control.value = '{value}';
        control.dispatchEvent(new Event(control.tagName === 'SELECT' ? 'change' : 'input', {{ bubbles: true }}));
      }}
      return document.activeElement === control;
    }})()"""
    assert browser.evaluate(script)


def test_every_room_shows_numbers_of_python(browser):
    found = readings(browser)
    assert len(found) == 8 and all(found)
    # After gradients 1, 1, 1 the velocity is 2.71; with 0.5 it is 0.9 * 2.71 + 0.5.
    assert f"the update is −{0.1 * (0.9 * 2.71 + 0.5):.3g}." in found[0]
    assert "effective learning rate there is 0.1 " in found[0]
    text = browser.evaluate("document.body.innerText")
    assert "1: decay 0.9" in text and "momentum with timescale 0.90" in text
    assert "edge 38" in browser.evaluate("document.querySelector('#stability svg').textContent")
    assert not [one for one in found if "NaN" in one or "undefined" in one]


def test_pictures_say_what_they_show(browser):
    labels = browser.evaluate("[...document.querySelectorAll('svg')].map(one => one.getAttribute('aria-label'))")
    assert len(labels) >= 10 and all(labels)


def test_what_is_moved_in_one_room_moves_in_all_and_in_the_address(browser):
    set_control(browser, "update", "for so many steps", 10)
    see(browser, "schedule")
    browser.wait_for("document.querySelector('#schedule .reading').textContent.includes('Before step 10 ')")
    browser.wait_for("location.hash.includes('n=10')")
    set_control(browser, "settings", "learning rate", 200)  # the end of the slider: a hundredfold
    browser.wait_for("document.querySelector('#settings .reading').textContent.startsWith('Moved.')")
    see(browser, "update")
    browser.wait_for("document.querySelector('#update .reading').textContent.includes('learning rate there is 10 ')")
    set_control(browser, "modes", "Keep this mode", None)
    browser.wait_for("document.querySelector('#modes .reading').textContent.includes('1 of 1 modes are off')")
    set_control(browser, "bar", "Optimizer", 1)
    browser.wait_for("document.querySelector('#about h2').textContent === 'adam'")


def test_no_error_and_no_request(browser):
    assert not browser.of("Runtime.exceptionThrown") and not browser.of("Runtime.consoleAPICalled")
    assert [entry for entry in browser.of("Log.entryAdded") if entry["entry"]["level"] in ("error", "warning")] == []
    asked = {event["request"]["url"] for event in browser.of("Network.requestWillBeSent")}
    assert all(url.startswith(("file:", "data:")) for url in asked) and len(asked) <= 2


@pytest.mark.parametrize("width", [320, 380, 800, 1400])
def test_no_screen_scrolls_sideways(browser, width):
    browser.resize(width)
    browser.wait_for(f"innerWidth === {width}")
    browser.wait_for(f"document.documentElement.scrollWidth <= {width}")


def test_everything_can_be_reached_and_has_a_name(browser):
    unnamed = browser.evaluate(
        "[...document.querySelectorAll('input, select')].filter(one => !one.labels.length).length"
        " + [...document.querySelectorAll('button, a')].filter(one => !one.textContent.trim()).length"
    )
    assert unnamed == 0
    assert browser.evaluate("document.querySelectorAll('[tabindex=\"-1\"]').length") == 0
