"""The page: what is in it, and what a browser makes of it."""

import base64
import hashlib
import html
import json
import re
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from chromium import PROGRAM, Page

import optoscope
from optoscope.anatomy import Dossier
from optoscope.dynamics import find_rest, modes, stability_map
from optoscope.explorer import Explorer, explore
from optoscope.mechanisms import diagnose
from optoscope.mechanisms.explanation.words import decay_in_words
from optoscope.mechanisms.momentum import assess_momentum
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
    assert len(modes(point).units()) == len(subject["modes"]["decays"])
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
    (digest,) = re.findall(r"'sha256-([^']+)'", text)
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
    script = ROOM / "script"
    named = sorted(
        path.relative_to(script).as_posix() for folder in (script, script / "rooms") for path in folder.glob("*.js")
    )
    sources = "".join(sha256(script / name) for name in named)
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
    assert len(found) == 9 and all(found)
    # After gradients 1, 1, 1 the velocity is 2.71; with 0.5 it is 0.9 * 2.71 + 0.5.
    assert f"the update is −{0.1 * (0.9 * 2.71 + 0.5):.3g}." in found[0]
    assert "effective learning rate there is 0.1 " in found[0]
    text = browser.evaluate("document.body.innerText")
    assert "1: decay 0.90" in text and "Momentum with timescale 0.90" in text
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
    browser.wait_for("document.querySelector('#settings .reading').textContent.startsWith('As moved: ')")
    see(browser, "update")
    browser.wait_for("document.querySelector('#update .reading').textContent.includes('learning rate there is 10 ')")
    set_control(browser, "modes", "Keep this mode", None)
    browser.wait_for("document.querySelector('#modes .reading').textContent.includes('1 of 1 modes are off')")
    set_control(browser, "bar", "Optimizer", 1)
    browser.wait_for("document.querySelector('#about h2').textContent === 'adam'")


def reading(browser, room, **view):
    """What a room says of a view that its address names."""
    words = "&".join(f"{name}={quote(str(value))}" for name, value in view.items())
    before = int(browser.wait_for("document.body.dataset.ready && document.body.dataset.view"))
    browser.evaluate(f"history.replaceState(null, '', '#{words}'); dispatchEvent(new Event('hashchange'))")
    browser.wait_for(f"document.body.dataset.view > {before}")
    see(browser, room)
    browser.wait_for(f"document.querySelector('#{room}').dataset.view === document.body.dataset.view")
    return browser.evaluate(f"document.querySelector('#{room} .reading').textContent")


@pytest.mark.parametrize("decay", [0.0, 0.05, 0.5, 0.97, 0.9995])
def test_the_sentence_modes_and_edges_follow_the_settings(browser, decay):
    rule = Momentum(0.02, decay)
    text = reading(browser, "settings", settings=f"0:learning_rate:0.02 0:decay:{decay}")
    verdict = assess_momentum(Dossier(rule))
    words = {"present": f"momentum with timescale {decay_in_words(decay)}", "absent": "no momentum"}
    clause = words.get(verdict.verdict, "momentum undecided")
    assert text.startswith(f"As moved: {clause}"), text
    edge = stability_map(rule, [1.0]).edges[0]
    assert f"stable up to a curvature of {float(f'{edge:.3g}'):g}" in text
    assert browser.evaluate("document.querySelector('#about .summary').textContent").startswith(f"As moved: {clause}")
    see(browser, "modes")
    browser.wait_for(
        f"document.querySelector('#modes .reading').textContent.startsWith('Mode 1: decay {decay_in_words(decay)}')"
    )
    see(browser, "stability")
    browser.wait_for(f"document.querySelector('#stability svg').textContent.includes('edge {float(f'{edge:.3g}'):g}')")


def test_the_memory_of_squares_follows_the_settings(browser):
    text = reading(browser, "settings", who=1, settings="1:b1:0.5 1:b2:0.999")
    assert text.startswith("As moved: momentum with timescale 0.50;")
    assert "a gain driven by squared gradients over 1000 steps (decay 0.999)" in text


def test_parameters_that_shrink_move_the_edge(browser):
    # z^2 - (1.9 - 0.1 c - s) z + 0.9 (1 - s) has the root -1 at c = 38 - 19 s.
    reading(browser, "stability", decay=0.1)
    assert "edge 36.1" in browser.evaluate("document.querySelector('#stability svg').textContent")


def test_modes_that_are_switched_off_are_missing_from_the_run(browser):
    assert "at curvature 19 it is 1 away after 120 steps" in reading(browser, "modes", off="0")


def test_hysteresis_is_a_loop(browser):
    text = reading(browser, "states", sweep=50)
    assert "Up and down, the way differs by" in text
    assert browser.evaluate("getComputedStyle(document.querySelectorAll('#states figure')[1]).display") != "none"
    assert "Up and down" not in reading(browser, "states")


def test_the_formula_is_set_and_runs(browser):
    text = reading(browser, "formula")
    assert text == "On all kinds of gradients it gives 100.0% of the updates, on the ones drawn here 100.0%."
    heights = browser.evaluate(
        "[...document.querySelectorAll('#formula math')].map(one => one.getBoundingClientRect().height)"
    )
    assert len(heights) >= 2 and all(10 < height < 120 for height in heights)


@pytest.mark.parametrize("landscape", ["quadratic", "rosenbrock", "saddle", "valley", "matrix"])
def test_both_race_on_every_landscape(browser, landscape):
    text = reading(browser, "landscapes", landscape=landscape, race=300)
    start, *ends = (float(x.replace("−", "-")) for x in re.findall(r"(?:where it is|ball|adam) ([\d.e−]*\d)", text))
    assert len(ends) == 2 and max(ends) < start, text


def test_a_picture_can_be_dragged(browser):
    reading(browser, "update", g=0.5)
    box = browser.evaluate(
        "(() => { const box = document.querySelector('#update svg').getBoundingClientRect();"
        " return [box.x, box.y, box.width, box.height]; })()"
    )
    x, y, width, height = box
    for kind, share in (("mousePressed", 0.5), ("mouseMoved", 0.8), ("mouseReleased", 0.8)):
        at = {"x": x + share * width, "y": y + height / 2}
        browser.call("Input.dispatchMouseEvent", type=kind, button="left", buttons=1, clickCount=1, **at)
    browser.wait_for("/g=0\\.[5-9]/.test(location.hash) && !location.hash.includes('g=0.5&')")


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


def test_the_address_names_a_room_and_can_show_it_alone(browser, page, tmp_path):
    assert browser.evaluate("document.querySelector('nav a').hash") == "#room=update"
    browser.call("Page.navigate", url="about:blank")
    browser.open(page.save(tmp_path / "page.html"), "#only=modes&who=1")
    browser.wait_for("document.body.dataset.ready")
    assert browser.evaluate("[...document.querySelectorAll('.room')].map(one => one.id)") == ["modes"]
    assert browser.evaluate("getComputedStyle(document.querySelector('header')).display") == "flex"
    assert not browser.evaluate("document.querySelector('header').checkVisibility()")
